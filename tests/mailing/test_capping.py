"""So much marketing within seven days for one person: what is over waits, nothing is dropped, and two workers do not exceed it together."""

from collections import Counter
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from courseapp.contacts.models import Contact, Purpose
from courseapp.contacts.pace import choose_pace
from courseapp.extensions import db
from courseapp.mailing import capping, outbox, pacing
from courseapp.mailing.loops import drain
from courseapp.mailing.models import Message, State
from courseapp.mailing.outbox import claim, enqueue
from courseapp.mailing.pacing import Limits
from courseapp.site import change_site, forget_site
from tests.factories import NOW, make_consent, make_contact, make_letter, make_message
from tests.mailing.test_claiming import in_threads
from tests.query_counts import statements

DAY = timedelta(days=1)


@pytest.fixture
def reader(app: Flask) -> Contact:
    """Somebody who agreed to everything."""
    return agreeing()


def agreeing() -> Contact:
    """One more of them."""
    contact = make_contact()
    for purpose in (Purpose.COURSE, Purpose.MARKETING):
        make_consent(contact, purpose)
    return contact


def mail(contact: Contact, number: int, at: datetime = NOW, stream: str = "marketing") -> None:
    """A mail due at a moment."""
    letter = make_letter(purpose=Purpose(stream))
    enqueue(dedupe_key=f"{stream}:{contact.id}:{number}", stream=stream, contact_id=contact.id, letter=letter, now=NOW, due_at=at)
    db.session.commit()


def work(moment: datetime) -> int:
    """Send what may go; how many left."""
    sums = drain(lambda: moment)
    db.session.commit()
    return sums["accepted"]


def allow(number: int) -> None:
    """Set how many a week."""
    change_site({"marketing_per_week": str(number)}, NOW)
    db.session.commit()
    forget_site()


def waiting() -> list[tuple[datetime, str | None]]:
    """When what waits is due, and why it waits."""
    rows = sa.select(Message.due_at, Message.reason).where(Message.state == State.PENDING).order_by(Message.due_at, Message.id)
    return [(due_at, reason) for due_at, reason in db.session.execute(rows)]


def test_the_third_waits_until_the_first_is_a_week_old_and_then_leaves(reader: Contact) -> None:
    for day in range(3):
        mail(reader, day, NOW + day * DAY)
    assert [work(NOW + day * DAY) for day in range(3)] == [1, 1, 0]
    assert waiting() == [(NOW + 7 * DAY, capping.CAPPED)]
    assert db.session.scalars(sa.select(Message.attempts).where(Message.state == State.PENDING)).all() == [0]
    assert [work(NOW + 7 * DAY - timedelta(minutes=1)), work(NOW + 7 * DAY)] == [0, 1]


def test_of_five_at_once_two_leave_each_week_and_none_is_lost(reader: Contact) -> None:
    for number in range(5):
        mail(reader, number)
    left = [sum(work(NOW + day * DAY + timedelta(minutes=5 * part)) for part in range(3)) for day in range(22)]
    assert [(day, count) for day, count in enumerate(left) if count] == [(0, 2), (7, 2), (14, 1)]


def test_sequences_and_broadcasts_count_alike_and_other_mail_neither_counts_nor_waits(reader: Contact) -> None:
    from courseapp.mailing.bulk import new_stream

    broadcast = new_stream("broadcast-1", Purpose.MARKETING)
    make_message(reader, stream=broadcast.key, state=State.ACCEPTED, settled_at=NOW - DAY)
    make_message(reader, stream="course", state=State.ACCEPTED, settled_at=NOW - DAY)
    make_message(reader, stream="service", state=State.ACCEPTED, settled_at=NOW - DAY)
    mail(reader, 1)
    mail(reader, 2)
    for number in range(3):
        mail(reader, number, stream="course")
    assert work(NOW) == 4
    assert waiting() == [(NOW + 6 * DAY, capping.CAPPED)] or waiting() == [(NOW + outbox.LEASE, capping.ON_ITS_WAY)]


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        (State.ACCEPTED, True),
        (State.DELIVERED, True),
        (State.UNCERTAIN, True),
        (State.COMPLAINED, True),
        (State.SKIPPED, False),
        (State.FAILED, False),
        (State.CANCELLED, False),
    ],
)
def test_what_came_or_may_have_come_counts(reader: Contact, state: State, counts: bool) -> None:
    allow(1)
    make_message(reader, stream="marketing", state=state, settled_at=NOW - DAY)
    mail(reader, 1)
    assert work(NOW) == (0 if counts else 1)


def test_a_week_ago_counts_no_more(reader: Contact) -> None:
    allow(1)
    make_message(reader, stream="marketing", state=State.ACCEPTED, settled_at=NOW - 7 * DAY)
    mail(reader, 1)
    assert work(NOW) == 1


def test_the_owner_says_how_many(reader: Contact) -> None:
    allow(4)
    for number in range(6):
        mail(reader, number)
    assert work(NOW) == 4


def test_a_lease_that_holds_no_marketing_asks_nothing_more_and_one_that_does_two_questions(app: Flask) -> None:
    people = [agreeing() for _ in range(20)]
    asked = {}
    for stream in ("course", "marketing"):
        for contact in people:
            mail(contact, 1, stream=stream)
        capping.present_site()
        with statements() as found:
            lot = pacing.claim(NOW, 100, False, Limits())
        assert len(lot.claimed) == 20
        asked[stream] = len(found)
        db.session.commit()
    assert asked["marketing"] == asked["course"] + 2


def test_what_another_worker_has_leased_counts(reader: Contact) -> None:
    allow(1)
    mail(reader, 1)
    mail(reader, 2)
    assert len(claim(NOW, 1)) == 1
    db.session.commit()
    assert pacing.claim(NOW, 10, False, Limits()).claimed == []
    assert waiting() == [(NOW + outbox.LEASE, capping.ON_ITS_WAY)]


def test_workers_at_once_do_not_exceed_it_together(app: Flask) -> None:
    people = [agreeing() for _ in range(6)]
    for contact in people:
        for number in range(6):
            mail(contact, number)

    def one(_which: int) -> list[int]:
        claimed = []
        for _ in range(6):
            claimed += pacing.claim(NOW, 3, False, Limits()).claimed
            db.session.commit()
        return [message_id for message_id, _epoch in claimed]

    leased = [message_id for found in in_threads(app, one, 4) for message_id in found]
    each = Counter(db.session.scalars(sa.select(Message.contact_id).where(Message.id.in_(leased))))
    assert len(leased) == len(set(leased))
    assert set(each.values()) <= {1, 2}
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Message).where(Message.state == State.PENDING)) == 36 - len(leased)


@pytest.mark.one_database
@given(
    most=st.integers(1, 4),
    dues=st.lists(st.integers(0, 24 * 30), min_size=1, max_size=12),
    looks=st.lists(st.integers(0, 24 * 60), max_size=40).map(sorted),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whenever_it_is_due_and_whenever_the_worker_runs_no_week_holds_more_and_all_leave_in_the_end(
    app: Flask, most: int, dues: list[int], looks: list[int]
) -> None:
    for table in reversed(db.metadata.sorted_tables):
        db.session.execute(sa.delete(table))
    db.session.commit()
    app.extensions.pop("streams", None)
    allow(most)
    contact = agreeing()
    for number, hours in enumerate(dues):
        mail(contact, number, NOW + timedelta(hours=hours))
    for hours in [*looks, *range(24 * 60, 24 * 160, 24)]:
        work(NOW + timedelta(hours=hours))
    left = sorted(db.session.scalars(sa.select(Message.settled_at).where(Message.state == State.ACCEPTED)))
    assert len(left) == len(dues)
    assert all(later - earlier >= capping.WITHIN for earlier, later in zip(left, left[most:], strict=False))


def test_who_asked_for_one_in_thirty_days_gets_the_next_thirty_days_later(reader: Contact) -> None:
    reader.marketing_days = 30
    for day in range(2):
        mail(reader, day, NOW + day * DAY)
    mail(reader, 0, NOW + DAY, stream="course")
    assert work(NOW) == 1
    assert work(NOW + DAY) == 1  # course mail is none of it
    assert waiting() == [(NOW + 30 * DAY, capping.AT_THEIR_PACE)]
    assert work(NOW + 29 * DAY) == 0
    assert work(NOW + 30 * DAY) == 1


def test_one_wish_is_not_everybodys(reader: Contact) -> None:
    slow = agreeing()
    slow.marketing_days = 7
    for day in range(2):
        mail(reader, day, NOW + day * DAY)
        mail(slow, day, NOW + day * DAY)
    assert [work(NOW), work(NOW + DAY)] == [2, 1]
    assert waiting() == [(NOW + 7 * DAY, capping.AT_THEIR_PACE)]


def test_what_waits_for_an_old_wish_comes_when_that_is_given_up(reader: Contact) -> None:
    reader.marketing_days = 30
    mail(reader, 0)
    mail(reader, 1, NOW + DAY)
    assert [work(NOW), work(NOW + DAY)] == [1, 0]
    assert choose_pace(reader, None)
    capping.look_again(reader, NOW + DAY)
    assert work(NOW + DAY) == 1
    assert not choose_pace(reader, None)
