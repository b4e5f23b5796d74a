"""Broadcasts: whom they are for is frozen, each gets one mail within the hours of their own day, and everything adds up at any moment."""

import threading
from collections.abc import Callable
from datetime import datetime, time, timedelta
from time import sleep
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.campaigns import broadcasts, expanding, privacy
from courseapp.campaigns import loops as broadcast_loops
from courseapp.campaigns.models import Broadcast, BroadcastPage, BroadcastState
from courseapp.contacts.models import Contact, Purpose
from courseapp.contacts.windows import Window
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing import bulk, loops, outbox, pausing
from courseapp.mailing.models import Message, State
from courseapp.operations.people import erase
from tests.factories import NOW, make_consent, make_contact, make_suppression, make_user

ALL_DAY = Window(time(0), time(0))
READY = BroadcastState.SCHEDULED, BroadcastState.EXPANDING


@pytest.fixture
def marketer(app: Flask) -> User:
    """Whoever presses the buttons."""
    return make_user("marketer@example.org", roles=("marketer",))


@pytest.fixture
def begin(marketer: User) -> Callable[..., Broadcast]:
    """begin(count, …): so many people who agreed to marketing mail, and a broadcast for them, scheduled for now."""

    def make(count: int = 5, window: Window = ALL_DAY, send_at: datetime = NOW, **more: object) -> Broadcast:
        for number in range(count):
            make_consent(make_contact(f"person{number}@example.org"), Purpose.MARKETING)
        broadcast = broadcasts.new_broadcast(draft(window=window, **more), marketer.id, NOW)
        broadcasts.schedule(broadcast, send_at, marketer.id, NOW)
        db.session.commit()
        return broadcast

    return make


def draft(**more: object) -> broadcasts.Draft:
    """A broadcast's words."""
    values = {
        "title": "News",
        "purpose": Purpose.MARKETING,
        "segment": None,
        "language": "en",
        "subject": "What comes next",
        "preheader": "Two courses",
        "body": 'Hello {{ first_name | default("there") }}, there are two.',
        "window": ALL_DAY,
    }
    return broadcasts.Draft(**{**values, **more})  # type: ignore[arg-type]  # each test says what is other


def tick(now: datetime = NOW) -> int:
    """What the worker does for broadcasts."""
    return broadcast_loops.work_broadcasts(lambda: now)


def send(now: datetime = NOW) -> None:
    """What the worker does for mail."""
    loops.drain(lambda: now)
    loops.close_door()


def adds_up(broadcast: Broadcast) -> broadcasts.Account:
    """The sums, which hold whenever one looks."""
    db.session.expire_all()
    account = broadcasts.account_of(broadcast)
    assert account.waiting >= 0
    waiting = db.session.scalars(sa.select(BroadcastPage.people).where(BroadcastPage.broadcast_id == broadcast.id)).all()
    assert account.waiting == sum(waiting)
    assert account.candidates == account.waiting + sum(account.states.values())
    return account


def test_each_gets_one_mail_and_then_it_is_finished(begin) -> None:
    broadcast = begin(5)
    assert (tick(), tick()) == (5, 0)
    assert adds_up(broadcast).states == {(State.PENDING, None): 5}
    send()
    tick(NOW + timedelta(minutes=1))
    assert adds_up(broadcast).left == 5
    assert (broadcast.state, broadcast.finished_at) == (BroadcastState.FINISHED, NOW + timedelta(minutes=1))
    assert sorted(db.session.scalars(sa.select(Message.dedupe_key))) == sorted(
        f"broadcast:{broadcast.id}:{message.contact_id}" for message in db.session.scalars(sa.select(Message))
    )


def test_only_who_agreed_and_can_be_reached_is_a_candidate(begin) -> None:
    for address, purpose in (("course@example.org", Purpose.COURSE), ("stopped@example.org", Purpose.MARKETING)):
        make_consent(make_contact(address), purpose)
    make_suppression("stopped@example.org")
    make_consent(make_contact("unconfirmed@example.org", confirmed=False), Purpose.MARKETING)
    make_contact("silent@example.org")
    broadcast = begin(2)
    assert broadcasts.count_of_audience(broadcast, NOW) == 2
    tick()
    assert adds_up(broadcast).candidates == 2


def test_whom_it_is_for_is_frozen_and_who_leaves_meanwhile_gets_nothing(begin) -> None:
    broadcast = begin(3)
    tick()
    make_consent(make_contact("late@example.org"), Purpose.MARKETING)
    leaving = db.session.scalars(sa.select(Contact).where(Contact.address == "person1@example.org")).one()
    make_consent(leaving, Purpose.MARKETING, action="withdrawn")
    db.session.commit()
    tick()
    send()
    account = adds_up(broadcast)
    assert (account.candidates, account.left) == (3, 2)
    assert account.states == {(State.ACCEPTED, None): 2, (State.SKIPPED, "unsubscribed"): 1}


def test_a_mail_comes_within_the_hours_of_each_ones_own_day(begin) -> None:
    for zone in ("Asia/Kathmandu", "America/New_York"):
        make_consent(make_contact(f"{zone[:4]}@example.org", zone=zone), Purpose.MARKETING)
    begin(1, Window(time(9), time(11)))  # it is nine o'clock in UTC
    tick()
    due = {contact.zone: message.due_at for message, contact in db.session.execute(sa.select(Message, Contact).join(Contact))}
    nine = NOW.replace(hour=9, minute=0)
    assert due == {"UTC": NOW, "Asia/Kathmandu": nine + timedelta(hours=18, minutes=15), "America/New_York": nine + timedelta(hours=5)}


def test_what_is_resumed_at_night_comes_within_the_hours_of_each_ones_own_day(begin, marketer) -> None:
    for zone in ("Asia/Kathmandu", "America/New_York"):
        make_consent(make_contact(f"{zone[:4]}@example.org", zone=zone), Purpose.MARKETING)
    broadcast = begin(3, Window(time(9), time(11)))
    tick()
    broadcasts.pause(broadcast, marketer.id, NOW)
    db.session.commit()
    send()
    broadcasts.resume(broadcast, marketer.id, NOW + timedelta(hours=14))
    db.session.commit()
    for quarter in range(14 * 4, 40 * 4):
        send(NOW + timedelta(minutes=15 * quarter))
        adds_up(broadcast)
    came = (
        sa.select(Contact.zone, Message.settled_at).join(Message, Message.contact_id == Contact.id).where(Message.state == State.ACCEPTED)
    )
    assert {(zone, f"{at.astimezone(ZoneInfo(zone)):%a %H:%M}") for zone, at in db.session.execute(came)} == {
        ("UTC", "Tue 09:00"),
        ("Asia/Kathmandu", "Tue 09:00"),
        ("America/New_York", "Tue 09:00"),
    }
    assert adds_up(broadcast).left == 5


def test_nothing_happens_before_its_time(begin) -> None:
    broadcast = begin(2, send_at=NOW + timedelta(hours=3))
    assert tick(NOW + timedelta(hours=2, minutes=59)) == 0
    assert adds_up(broadcast).candidates == 0
    assert tick(NOW + timedelta(hours=3)) == 2


def test_it_is_expanded_page_by_page_and_may_be_paused_and_killed_between_any_two(begin, marketer, monkeypatch) -> None:
    monkeypatch.setattr(expanding, "PAGE", 3)
    broadcast = begin(10)
    real = expanding.bulk.enqueue_many

    def killed(*words: object, **more: object) -> None:
        real(*words, **more)  # type: ignore[arg-type]  # handed on as they came
        raise KeyboardInterrupt

    monkeypatch.setattr(expanding.bulk, "enqueue_many", killed)
    with pytest.raises(KeyboardInterrupt):
        tick()
    db.session.rollback()
    assert adds_up(broadcast).waiting == 10  # the page and its mails go together
    monkeypatch.setattr(expanding.bulk, "enqueue_many", real)
    assert expanding.expand_page(broadcast, 0, NOW) == 3
    db.session.commit()
    assert adds_up(broadcast).waiting == 7
    broadcasts.pause(broadcast, marketer.id, NOW)
    db.session.commit()
    assert tick() == 0
    send()
    assert adds_up(broadcast).left == 0
    later = NOW + timedelta(minutes=10)
    broadcasts.resume(broadcast, marketer.id, later)
    db.session.commit()
    tick(later)
    send(later)
    tick(later)
    assert (adds_up(broadcast).left, broadcast.state) == (10, BroadcastState.FINISHED)


def test_a_page_that_breaks_keeps_its_people_and_is_tried_again(begin, monkeypatch) -> None:
    monkeypatch.setattr(expanding, "PAGE", 2)
    broadcast = begin(6)
    real, broken = expanding.bulk.enqueue_many, [RuntimeError("the database is shut down")]

    def once(*words: object, **more: object) -> None:
        real(*words, **more)  # type: ignore[arg-type]  # handed on as they came
        if broken:
            raise broken.pop()

    monkeypatch.setattr(expanding.bulk, "enqueue_many", once)
    with pytest.raises(RuntimeError):
        tick()
    db.session.rollback()
    kept = adds_up(broadcast).waiting
    assert kept == (4 if db.engine.dialect.name == "postgresql" else 6), "on PostgreSQL another page was put in at the same time"
    assert tick() == kept
    assert (adds_up(broadcast).waiting, adds_up(broadcast).count(State.PENDING)) == (0, 6)


def test_a_migration_that_comes_between_two_pages_and_who_holds_their_broadcast_gets_its_turn(app, begin, monkeypatch) -> None:
    if db.engine.dialect.name == "sqlite":
        return  # one writer: a migration waits for it
    monkeypatch.setattr(expanding, "PAGE", 2)
    monkeypatch.setattr(broadcast_loops, "PATIENCE", 1)
    broadcast = begin(4)
    real, asked, migrated = expanding.next_pages, threading.Event(), threading.Event()

    def migrate() -> None:
        with app.app_context():
            number = db.session.scalar(sa.text("SELECT pg_backend_pid()"))
            asking.append(number)
            asked.set()
            db.session.execute(sa.text("LOCK TABLE broadcasts IN ACCESS EXCLUSIVE MODE"))
            db.session.commit()
            migrated.set()

    def next_pages(*words: object) -> list[int]:
        found = real(*words)  # type: ignore[arg-type]  # handed on as they came
        if found and not asking:
            threading.Thread(target=migrate).start()
            assert asked.wait(10)
            waits = sa.text("SELECT cardinality(pg_blocking_pids(:number))").bindparams(number=asking[0])
            assert any(db.session.scalar(waits) or sleep(0.01) for _ in range(1000))
        return found

    asking: list[int] = []
    monkeypatch.setattr(expanding, "next_pages", next_pages)
    with pytest.raises(sa.exc.OperationalError):
        tick()
    db.session.rollback()
    assert migrated.wait(10)
    assert adds_up(broadcast).waiting == 4
    assert tick() == 4


def test_cancelling_keeps_back_all_that_has_not_left_also_what_a_worker_holds(begin, marketer) -> None:
    broadcast = begin(4)
    tick()
    held = outbox.claim(NOW, 2)
    db.session.commit()
    broadcasts.cancel(broadcast, marketer.id, NOW)
    db.session.commit()
    assert adds_up(broadcast).count(State.CANCELLED) == 2
    for message_id, epoch in held:
        assert not outbox.begin_submitting(message_id, epoch, NOW)
    db.session.commit()
    tick()
    account = adds_up(broadcast)
    assert (account.count(State.CANCELLED), account.left) == (4, 0)
    later = NOW + timedelta(hours=1)
    tick(later)
    send(later)
    assert (adds_up(broadcast).left, broadcast.stream.paused_at) == (0, None)
    with pytest.raises(Refusal):
        broadcasts.resume(broadcast, marketer.id, later)


def test_a_large_one_is_cancelled_in_slices_and_nothing_of_it_leaves_meanwhile(begin, marketer, monkeypatch) -> None:
    monkeypatch.setattr(expanding.bulk, "SLICE", 3)
    broadcast = begin(10)
    tick()
    broadcasts.cancel(broadcast, marketer.id, NOW)
    db.session.commit()
    assert adds_up(broadcast).count(State.CANCELLED) == 3
    pausing.resume(pausing.paused_streams(), NOW)  # as whoever lets all mail run again
    db.session.commit()
    send()
    tick()
    account = adds_up(broadcast)
    assert (account.count(State.CANCELLED), account.left, broadcast.stream.paused_at) == (10, 0, None)


def test_what_failed_is_tried_again_and_what_left_is_not(begin, marketer) -> None:
    broadcast = begin(3)
    tick()
    send()
    tick()
    failed = db.session.scalars(sa.select(Message).order_by(Message.id)).first()
    assert failed is not None
    failed.state, failed.reason = State.FAILED, "mailbox full"
    db.session.commit()
    assert adds_up(broadcast).states[State.FAILED, "mailbox full"] == 1
    assert broadcasts.try_failed_again(broadcast, marketer.id, NOW) == 1
    db.session.commit()
    assert broadcast.state is BroadcastState.SENDING
    send()
    tick()
    assert (adds_up(broadcast).left, broadcast.state) == (3, BroadcastState.FINISHED)
    assert broadcasts.try_failed_again(broadcast, marketer.id, NOW) == 0


def test_who_is_erased_before_their_page_comes_gets_nothing_and_stands_in_no_sum(begin, monkeypatch) -> None:
    monkeypatch.setattr(expanding, "PAGE", 2)
    broadcast = begin(5)
    expanding.freeze(broadcast, NOW)
    people = db.session.scalars(sa.select(Contact).where(Contact.address.like("person%")).order_by(Contact.id)).all()
    told = {person.id: [each["subject"] for each in privacy.export_broadcasts(person.id)] for person in people[1:4]}
    assert set(map(tuple, told.values())) == {(broadcast.subject,)}, "whoever waits in a page is told so"
    for person in people[1:4]:  # one of the first page and all of the second
        erase(None, person, NOW)
    db.session.commit()
    assert tick() == 2
    account = adds_up(broadcast)
    assert (account.candidates, account.waiting, broadcast.state) == (2, 0, BroadcastState.SENDING)
    assert set(db.session.scalars(sa.select(Message.contact_id))) == {people[0].id, people[4].id}
    assert [each["subject"] for each in privacy.export_broadcasts(people[0].id)] == [broadcast.subject]


def test_who_cancels_waits_for_a_page_on_its_way_also_where_its_broadcast_is_held_no_more(app, begin, marketer, monkeypatch) -> None:
    monkeypatch.setattr(expanding, "PAGE", 2)
    broadcast = begin(5)
    expanding.freeze(broadcast, NOW)
    db.session.commit()
    broadcast_id, marketer_id = broadcast.id, marketer.id
    assert expanding.expand_page(broadcast, 0, NOW) == 2  # as by a connection of its own, whose caller has lost the one that holds it

    def cancel() -> None:
        with app.app_context():
            broadcasts.cancel(db.session.get_one(Broadcast, broadcast_id), marketer_id, NOW)
            db.session.commit()

    cancelling = threading.Thread(target=cancel)
    cancelling.start()
    cancelling.join(0.5)
    assert cancelling.is_alive()
    db.session.commit()
    cancelling.join(20)
    db.session.refresh(broadcast)
    assert broadcasts.account_of(broadcast).states == {(State.CANCELLED, bulk.CANCELLED): 2}
    assert expanding.expand_page(broadcast, 1, NOW) == 0, "its page is gone"
    assert (tick(), broadcast.state) == (0, BroadcastState.CANCELLED)


def test_what_is_cancelled_while_it_is_put_into_the_outbox_waits_for_nobody(begin, marketer, client, monkeypatch) -> None:
    monkeypatch.setattr(expanding, "PAGE", 2)
    broadcast = begin(5)
    expanding.freeze(broadcast, NOW)
    assert expanding.expand_page(broadcast, 0, NOW) == 2
    broadcasts.cancel(broadcast, marketer.id, NOW)
    db.session.commit()
    assert db.session.scalar(sa.select(sa.func.count()).select_from(BroadcastPage)) == 0
    assert tick() == 0
    account = broadcasts.account_of(broadcast)
    assert (account.states, account.waiting) == ({(State.CANCELLED, bulk.CANCELLED): 2}, 3)
    client.sign_in(marketer)
    for endpoint in ("broadcasts.broadcast", "results.broadcast"):
        text = client.visit(endpoint, id=broadcast.public_id).text
        assert "were never prepared" in text
        assert "still to be prepared" not in text


def test_two_schedulers_make_each_mail_once(begin, app, monkeypatch) -> None:
    monkeypatch.setattr(expanding, "PAGE", 2)
    broadcast = begin(40)
    made: list[int] = []

    def work() -> None:
        with app.app_context():
            made.append(broadcast_loops.work_broadcasts(lambda: NOW))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    tick()
    assert adds_up(broadcast).states == {(State.PENDING, None): 40}


def test_a_scheduled_one_can_be_taken_back_until_it_begins(begin, marketer) -> None:
    broadcast = begin(1, send_at=NOW + timedelta(hours=1))
    broadcasts.take_back(broadcast, marketer.id, NOW)
    broadcasts.change_broadcast(broadcast, draft(subject="Other words"), 1, marketer.id, NOW)
    with pytest.raises(Refusal):
        broadcasts.change_broadcast(broadcast, draft(subject="Lost words"), 1, marketer.id, NOW)
    broadcasts.schedule(broadcast, NOW, marketer.id, NOW)
    db.session.commit()
    tick()
    with pytest.raises(Refusal):
        broadcasts.take_back(broadcast, marketer.id, NOW)
    assert db.session.scalars(sa.select(Message)).one().letter.subject == "Other words"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"subject": " "}, "subject is empty"),
        ({"body": "{{ secret }}"}, "no merge field “secret”"),
        ({"body": "{{ progress_words }}"}, "is empty"),
        ({"purpose": Purpose.COURSE, "body": "::: offer\nMore courses.\n:::\n"}, "[Oo]ffer"),
    ],
    ids=["subject", "field", "unfilled", "offer"],
)
def test_what_cannot_be_sent_is_said_in_words(marketer, words, why) -> None:
    broadcast = broadcasts.new_broadcast(draft(**words), marketer.id, NOW)
    with pytest.raises(Refusal, match=why):
        broadcasts.schedule(broadcast, NOW, marketer.id, NOW)


def test_everything_staff_do_is_in_the_journal(begin, marketer) -> None:
    broadcast = begin(1, send_at=NOW + timedelta(hours=1))
    broadcasts.pause(broadcast, marketer.id, NOW)
    broadcasts.resume(broadcast, marketer.id, NOW)
    broadcasts.cancel(broadcast, marketer.id, NOW)
    found = db.session.scalars(sa.select(Event).where(Event.subject == f"broadcast:{broadcast.id}").order_by(Event.id)).all()
    acts = ("made", "scheduled", "paused", "resumed", "cancelled")
    assert [event.type for event in found] == [f"broadcast_{act}" for act in acts]
    assert {event.facts["by_user_id"] for event in found} == {marketer.id}
