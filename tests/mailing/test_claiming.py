"""The outbox: one row per key, leases that no two workers share, and no word from a worker that came too late."""

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing import leases, outbox, standing
from courseapp.mailing.models import Message, State, Stream
from courseapp.mailing.outbox import VoidIf, claim, enqueue
from courseapp.mailing.streams import PRIORITY, stream_of
from tests.conftest import NOW
from tests.factories import make_contact, make_letter, make_message
from tests.mailing.conftest import make_course_mail, make_sign_in_mail
from tests.rows import all_rows


def in_threads(app: Flask, act, number: int) -> list:
    """Do `act(0)`, `act(1)`, … at once, each with a database session of its own; what they returned."""
    db.session.commit()
    barrier, found = threading.Barrier(number), []

    def run(which: int) -> None:
        with app.app_context():
            barrier.wait()
            found.append(act(which))

    threads = [threading.Thread(target=run, args=(which,)) for which in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == number
    return found


def test_a_key_is_enqueued_once_however_often_it_is_asked_for(app: Flask) -> None:
    contact, letter = make_contact(), make_letter()
    words = {"dedupe_key": "sequence:1:0", "stream": "course", "contact_id": contact.id, "letter": letter, "now": NOW}
    enqueue(**words)
    enqueue(**{**words, "contact_id": make_contact().id, "due_at": NOW + timedelta(days=1)})
    row = db.session.scalars(sa.select(Message)).one()
    assert (row.contact_id, row.due_at, row.state) == (contact.id, NOW, State.PENDING)


def test_a_key_enqueued_by_many_at_once_is_one_row_also_where_its_stream_is_new(app: Flask) -> None:
    contact, letter = make_contact().id, make_letter().id

    def act(_which: int) -> None:
        from courseapp.mailing.models import Letter

        enqueue(
            dedupe_key="broadcast:1:1",
            stream="marketing",
            contact_id=contact,
            letter=db.session.get_one(Letter, letter),
            now=NOW,
        )
        db.session.commit()

    in_threads(app, act, 5)
    assert db.session.query(Message).count() == db.session.query(Stream).count() == 1


def test_what_is_rolled_back_was_never_enqueued(app: Flask) -> None:
    contact, letter = make_contact(), make_letter()
    db.session.commit()
    enqueue(dedupe_key="a", stream="course", contact_id=contact.id, letter=letter, now=NOW)
    db.session.rollback()
    assert db.session.query(Message).count() == 0


def test_a_message_has_exactly_one_text(app: Flask) -> None:
    for words in ({}, {"template": "accounts/welcome", "letter": make_letter()}):
        enqueue(dedupe_key="a", stream="course", contact_id=make_contact().id, now=NOW, **words)
        with pytest.raises(sa.exc.IntegrityError):
            db.session.commit()
        db.session.rollback()


def test_service_mail_is_claimed_first_then_by_due_time(app: Flask) -> None:
    marketing = make_message(stream="marketing", due_at=NOW - timedelta(days=2))
    late = make_message(stream="course", due_at=NOW)
    early = make_message(stream="course", due_at=NOW - timedelta(hours=1))
    sign_in = make_sign_in_mail()
    make_message(stream="course", due_at=NOW + timedelta(seconds=1))
    assert [row[0] for row in claim(NOW, 10)] == [sign_in.id, early.id, late.id, marketing.id]


def test_the_service_lane_takes_service_mail_alone(app: Flask) -> None:
    make_message(stream="course")
    mine = [make_sign_in_mail().id, make_message(stream="service").id]
    assert sorted(row[0] for row in claim(NOW, 10, service_only=True)) == sorted(mine)
    assert PRIORITY[Purpose.SERVICE] < PRIORITY[Purpose.COURSE] < PRIORITY[Purpose.MARKETING]


@pytest.mark.parametrize("state", [state for state in State if state is not State.PENDING])
def test_only_what_is_pending_is_claimed(app: Flask, state: State) -> None:
    make_message(state=state)
    assert claim(NOW, 10) == []


def test_two_workers_that_claim_at_once_share_no_message_and_keep_to_their_limit(app: Flask) -> None:
    for _ in range(40):
        make_message()

    def act(_which: int) -> list[list[tuple[int, int]]]:
        batches = []
        while batch := claim(NOW, 7):
            db.session.commit()
            batches.append(batch)
        return batches

    batches = [batch for found in in_threads(app, act, 4) for batch in found]
    assert max(len(batch) for batch in batches) <= 7
    assert sorted(row for batch in batches for row in batch) == [
        (message_id, 1) for message_id in sorted(db.session.scalars(sa.select(Message.id)))
    ]


def test_a_claim_passes_over_what_another_open_transaction_holds(app: Flask) -> None:
    """SKIP LOCKED on PostgreSQL; SQLite has one writer, so there the first must have committed."""
    for _ in range(6):
        make_message()
    db.session.commit()
    first = claim(NOW, 3)
    if db.engine.dialect.name == "sqlite":
        db.session.commit()
    second: list[tuple[int, int]] = []

    def act() -> None:
        with app.app_context():
            second.extend(claim(NOW, 10))
            db.session.commit()

    other = threading.Thread(target=act)
    other.start()
    other.join(5)
    assert not other.is_alive()
    db.session.commit()
    assert len(first) == len(second) == 3
    assert not {row[0] for row in first} & {row[0] for row in second}


def test_a_worker_whose_lease_was_given_to_another_writes_nothing(app: Flask) -> None:
    message = make_course_mail()
    db.session.commit()
    [(message_id, stale)] = claim(NOW, 1)
    later = NOW + outbox.LEASE + timedelta(seconds=1)
    assert leases.reap(later) == (1, 0)
    [(_, fresh)] = claim(later, 1)
    assert outbox.begin_submitting(message_id, fresh, later)
    before = all_rows()
    assert not outbox.begin_submitting(message_id, stale, later)
    outbox.note_accepted(outbox.Accepted(message_id, stale, later, {}))
    outbox.note_failed(message_id, stale, later, "late")
    outbox.note_transient(message_id, stale, later, "late")
    outbox.note_uncertain(message_id, stale, later, "late")
    leases.release([(message_id, stale)])
    assert all_rows() == before
    outbox.note_accepted(outbox.Accepted(message_id, fresh, later, {}))
    db.session.refresh(message)
    assert message.state is State.ACCEPTED


def test_a_worker_that_was_reaped_while_sending_writes_nothing(app: Flask) -> None:
    make_course_mail()
    [(message_id, epoch)] = claim(NOW, 1)
    outbox.begin_submitting(message_id, epoch, NOW)
    assert leases.reap(NOW + outbox.LEASE * 2) == (0, 1)
    outbox.note_accepted(outbox.Accepted(message_id, epoch, NOW, {}))
    db.session.expire_all()
    assert db.session.get_one(Message, message_id).state is State.UNCERTAIN


def test_what_a_stopping_worker_gives_back_costs_no_attempt(app: Flask) -> None:
    message = make_course_mail()
    held = claim(NOW, 1)
    db.session.refresh(message)
    assert message.attempts == 1
    leases.release(held)
    db.session.refresh(message)
    assert (message.state, message.attempts, message.leased_until) == (State.PENDING, 0, None)


def test_secrets_leave_the_row_once_the_mail_was_accepted(app: Flask) -> None:
    message = make_sign_in_mail(fields={"secret_url": "u", "secret_code": "1", "name": "kept"})
    [(message_id, epoch)] = claim(NOW, 1)
    outbox.begin_submitting(message_id, epoch, NOW)
    outbox.note_accepted(outbox.Accepted(message_id, epoch, NOW, outbox.fields_to_keep(message.fields)))
    db.session.refresh(message)
    assert message.fields == {"name": "kept"}
    assert message.settled_at == NOW


def test_a_transient_failure_waits_longer_each_time_and_ends_after_eight(app: Flask) -> None:
    message, moment, waits = make_course_mail(), NOW, []
    for _ in range(outbox.MOST_ATTEMPTS):
        [(message_id, epoch)] = claim(moment, 1)
        outbox.begin_submitting(message_id, epoch, moment)
        outbox.note_transient(message_id, epoch, moment, "450 later")
        db.session.refresh(message)
        waits.append(message.due_at - moment)
        moment = max(moment, message.due_at)
    assert (message.state, message.reason) == (State.FAILED, "exhausted: 450 later")
    for number, wait in enumerate(waits[:-1]):
        assert timedelta(0) < wait <= min(outbox.BACK_OFF * 2**number, outbox.BACK_OFF_MOST) + timedelta(seconds=1)
    assert claim(moment + timedelta(days=9), 1) == []


def test_the_senders_own_trouble_costs_the_message_no_attempt(app: Flask) -> None:
    message = make_course_mail()
    for _ in range(outbox.MOST_ATTEMPTS + 2):
        moment = max(NOW, message.due_at)
        [(message_id, epoch)] = claim(moment, 1)
        outbox.begin_submitting(message_id, epoch, moment)
        outbox.note_transient(message_id, epoch, moment, "421", spend_attempt=False)
        db.session.refresh(message)
    assert (message.state, message.attempts) == (State.PENDING, 0)


def test_numbers_of_the_outbox_add_up(app: Flask) -> None:
    states = [State.PENDING, State.PENDING, State.ACCEPTED, State.FAILED]
    for state in states:
        make_message(state=state, due_at=NOW - timedelta(minutes=3))
    assert standing.states_of_outbox() == {"pending": 2, "accepted": 1, "failed": 1}
    assert standing.oldest_due(NOW) == NOW - timedelta(minutes=3)
    assert standing.oldest_due(NOW - timedelta(hours=1)) is None


def test_standard_streams_are_made_once_and_only_sign_in_reaches_unconfirmed_addresses(app: Flask) -> None:
    keys = ("sign-in", "service", "course", "marketing")
    assert [stream_of(key).id for key in keys] == [stream_of(key).id for key in keys]
    assert [key for key in keys if stream_of(key).reaches_unconfirmed] == ["sign-in"]


def test_void_if_is_kept_beside_the_message(app: Flask) -> None:
    enqueue(
        dedupe_key="a",
        stream="course",
        contact_id=make_contact().id,
        letter=make_letter(),
        now=NOW,
        void_if=VoidIf("course_completed", "user:1"),
    )
    row = db.session.scalars(sa.select(Message)).one()
    assert (row.void_if_type, row.void_if_subject) == ("course_completed", "user:1")
