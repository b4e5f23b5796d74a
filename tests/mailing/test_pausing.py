"""A paused stream keeps its mail; resuming it says what becomes of what has waited."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.contacts.models import Contact, Purpose
from courseapp.extensions import db
from courseapp.mailing import bulk, leases, loops, outbox, pacing, pausing
from courseapp.mailing.models import Message, State, Stream
from courseapp.mailing.streams import stream_of
from tests.conftest import NOW
from tests.factories import make_consent, make_contact, make_message, make_user
from tests.mailing.conftest import make_course_mail, make_sign_in_mail
from tests.mailing.test_claiming import in_threads
from tests.query_counts import statements


def paused(*streams: str) -> list[str]:
    """The keys of the paused streams among these, or all."""
    return [stream.key for stream in pausing.paused_streams(streams)]


def test_everything_is_paused_also_what_would_be_made_on_first_use(app: Flask, drain: Callable[..., object]) -> None:
    message = make_course_mail()
    message.stream.paused_at, message.stream.paused_why = NOW, "The list is being checked."
    pausing.pause_everything("Restored.", NOW)
    assert set(paused()) == {"sign-in", "service", "course", "marketing"}
    assert {row.key: row.paused_why for row in db.session.query(Stream)}["course"] == "The list is being checked."
    drain()
    assert db.session.get_one(Message, message.id).state is State.PENDING


@pytest.mark.parametrize("state", [State.LEASED, State.SUBMITTING, State.UNCERTAIN])
def test_what_is_in_doubt_after_a_restore_is_not_sent_by_the_reaper_either(app: Flask, state: State) -> None:
    message = make_sign_in_mail(state=state, attempts=1)
    pausing.doubt_what_was_leaving("Restored.", NOW)
    leases.reap(clock.now())
    db.session.commit()
    assert db.session.get_one(Message, message.id).state is State.UNCERTAIN


@pytest.mark.parametrize(("option", "state"), [("--send-waiting", State.ACCEPTED), ("--drop-waiting", State.SKIPPED)])
def test_what_has_waited_is_sent_or_dropped_as_is_said(app: Flask, drain: Callable[..., object], option: str, state: State) -> None:
    message, later = make_course_mail(), make_message(due_at=NOW.replace(year=2027))
    pausing.pause_everything("Restored.", NOW)
    drain()  # a worker meets it, and puts it off
    runner = app.test_cli_runner()
    refused = runner.invoke(args=["mail", "resume"])
    assert refused.exit_code == 1
    assert "1 mails wait in course, sign-in, service, marketing" in refused.output
    assert "Paused: course. Restored." in runner.invoke(args=["mail", "status"]).output
    assert runner.invoke(args=["mail", "resume", option]).exit_code == 0
    drain()
    db.session.expire_all()
    assert [db.session.get_one(Message, row.id).state for row in (message, later)] == [state, State.PENDING]
    assert paused() == []


def test_one_stream_runs_again_and_the_others_wait(app: Flask) -> None:
    pausing.pause_everything("Restored.", NOW)
    db.session.commit()
    runner = app.test_cli_runner()
    assert runner.invoke(args=["mail", "resume", "sign-in"]).exit_code == 0
    assert set(paused()) == {"service", "course", "marketing"}
    again = runner.invoke(args=["mail", "resume", "sign-in", "nonsense"])
    assert again.exit_code == 1
    assert "nonsense, sign-in" in again.output


def test_what_a_worker_put_off_a_moment_after_the_page_looked_at_its_clock_is_let_go_too(app: Flask, drain: Callable[..., object]) -> None:
    make_course_mail()
    pausing.pause_everything("Restored.", NOW)
    assert drain() == {"held back": 1}
    pausing.resume(pausing.paused_streams(["course"]), NOW - timedelta(seconds=2))
    assert drain() == {"accepted": 1}


def test_what_is_put_off_while_somebody_resumes_the_stream_does_not_wait(
    app: Flask, drain: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = make_course_mail()
    pausing.pause_everything("Restored.", NOW)
    real = pacing.claim

    def resumed_meanwhile(*words: Any) -> pacing.Lot:
        """Their statement looked before this one wrote, and commits after it."""
        lot = real(*words)
        db.session.execute(sa.update(Stream).where(Stream.key == "course").values(paused_at=None))
        return lot

    monkeypatch.setattr(pacing, "claim", resumed_meanwhile)
    assert drain() == {"held back": 1, "accepted": 1}
    assert db.session.get_one(Message, message.id).state is State.ACCEPTED


def test_whoever_puts_mail_off_waits_for_who_is_about_to_resume_it(app: Flask, make_app: Callable[..., Flask]) -> None:
    message = make_course_mail()
    pausing.pause_everything("Restored.", NOW)
    db.session.commit()
    (message_id, epoch), *_none = outbox.claim(NOW, 1)
    assert not outbox.begin_submitting(message_id, epoch, NOW)
    db.session.commit()
    pausing.hold_or_let_go([message_id], NOW)
    db.session.commit()
    db.session.refresh(message)
    assert message.due_at > NOW, "it is paused yet"
    db.session.commit()
    with db.engine.connect() as other:
        other.execute(sa.update(Stream).where(Stream.key == "course").values(paused_at=None))
        if db.engine.dialect.name == "postgresql":
            ending = threading.Timer(0.3, other.commit)
            ending.start()
            pausing.hold_or_let_go([message_id], NOW)
            ending.join()
        else:  # which has one writer
            other.commit()
            pausing.hold_or_let_go([message_id], NOW)
    db.session.commit()
    db.session.refresh(message)
    assert message.due_at == NOW


def test_of_a_paused_stream_only_the_first_mails_are_met_and_all_of_it_waits(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "BATCH", 4)
    mails = [make_message(make_contact(), stream="marketing") for _number in range(30)]
    later = make_message(stream="marketing", due_at=NOW + timedelta(hours=1))
    other = make_course_mail()
    pausing.pause(stream_of("marketing"), make_user().id, "for a while", NOW)
    db.session.commit()
    with statements() as asked:
        assert loops.drain(lambda: NOW) == {"held back": 3, "accepted": 1}  # in the lease with the other
    assert sum("UPDATE messages" in statement for statement in asked) <= 8
    db.session.expire_all()
    assert {mail.due_at > NOW + timedelta(hours=12) for mail in mails} == {True}
    assert (later.due_at, other.state) == (NOW + timedelta(hours=1), State.ACCEPTED)
    for minutes in range(5, 60, 5):
        assert loops.drain(partial(NOW.__add__, timedelta(minutes=minutes))) == {}
    assert pausing.waiting_in([stream_of("marketing")], NOW) == 30
    pausing.resume([stream_of("marketing")], NOW + timedelta(minutes=30))
    db.session.commit()
    assert {mail.due_at for mail in mails} == {NOW + timedelta(minutes=30)}


def test_a_large_paused_stream_is_put_off_in_slices(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "BATCH", 2)
    monkeypatch.setattr(pausing, "SLICE", 5)
    for _number in range(16):
        make_course_mail()
    pausing.pause_everything("Restored.", NOW)
    db.session.commit()
    assert loops.drain(lambda: NOW) == {"held back": 6}  # 2 + 5, 2 + 5, 2
    is_put_off = sa.and_(Message.state == State.PENDING, Message.reason == outbox.PAUSED, Message.due_at > NOW)
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Message).where(is_put_off)) == 16


def test_a_large_stream_is_let_go_in_slices_that_workers_go_on_with(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "SLICE", 5)
    mails = [make_course_mail() for _number in range(16)]
    pausing.pause_everything("Restored.", NOW)
    db.session.commit()
    loops.drain(lambda: NOW)
    stream = stream_of("course")
    pausing.resume([stream], NOW)
    db.session.commit()
    assert sum(mail.due_at <= NOW for mail in mails) == 5
    assert loops.drain(lambda: NOW)["accepted"] == 16
    assert stream.letting_go_at is None
    assert not db.session.scalar(sa.select(Stream.id).where(Stream.letting_go_at.is_not(None), Stream.key == "course"))


def willing() -> Contact:
    """Somebody who agreed to marketing."""
    contact = make_contact()
    make_consent(contact, Purpose.MARKETING)
    return contact


def test_what_is_let_go_is_made_due_before_less_urgent_mail_is_claimed(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "SLICE", 5)
    monkeypatch.setattr(loops, "BATCH", 3)
    course = [make_course_mail() for _number in range(16)]
    stream = stream_of("course")
    pausing.pause(stream, make_user().id, "for a while", NOW)
    db.session.commit()
    loops.drain(lambda: NOW)
    for _number in range(30):
        make_message(willing(), stream="marketing")
    pausing.resume([stream], NOW)
    db.session.commit()
    sent = iter(range(60))
    monkeypatch.setattr(loops.stopping, "is_set", lambda: next(sent, 99) > 24)
    loops.drain(lambda: NOW)
    assert all(mail.state is State.ACCEPTED for mail in course)


def test_who_puts_mail_into_a_stream_that_is_let_go_waits_for_nothing(app: Flask) -> None:
    if db.engine.dialect.name == "sqlite":
        return  # which lets one write at a time
    mail = make_course_mail()
    stream = stream_of("course")
    pausing.pause(stream, make_user().id, "for a while", NOW)
    db.session.commit()
    loops.drain(lambda: NOW)
    pausing.resume([stream], NOW)
    stream.letting_go_at, mail.due_at, mail.reason = NOW, NOW + timedelta(hours=1), outbox.PAUSED
    db.session.commit()
    facts = {column.name: getattr(mail, column.name) for column in Message.__table__.columns if column.name != "id"}
    with db.engine.connect() as other:
        other.execute(sa.text("SET lock_timeout = '2s'"))
        other.execute(sa.insert(Message).values(facts | dict.fromkeys(("public_id", "dedupe_key"), "another")))
        assert pausing.let_go(NOW) == 1  # nor is it passed over for it
        other.execute(sa.insert(Message).values(facts | dict.fromkeys(("public_id", "dedupe_key"), "a-third")))
        other.rollback()
    db.session.commit()


def test_a_mail_that_somebody_holds_meanwhile_is_let_go_the_next_time(app: Flask) -> None:
    if db.engine.dialect.name == "sqlite":
        return  # which lets one write at a time
    mail = make_course_mail()
    stream = stream_of("course")
    mail.due_at, mail.reason, stream.letting_go_at = NOW + timedelta(hours=20), outbox.PAUSED, NOW
    db.session.commit()
    with db.engine.connect() as other:
        other.execute(sa.select(Message.id).where(Message.id == mail.id).with_for_update())
        assert pausing.let_go(NOW) == 0
        db.session.commit()
        other.rollback()
    assert pausing.let_go(NOW) == 1


def test_paused_again_while_it_is_let_go_the_rest_stays(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "SLICE", 5)
    for _number in range(16):
        make_course_mail()
    staff, stream = make_user().id, stream_of("course")
    for moment in (NOW, NOW + timedelta(hours=1)):
        pausing.pause(stream, staff, "for a while", moment)
        db.session.commit()
        assert loops.drain(lambda moment=moment: moment)["accepted"] == 0
        pausing.resume([stream], moment)
    pausing.pause(stream, staff, "for a while", NOW + timedelta(hours=1))
    db.session.commit()
    assert pausing.let_go(NOW + timedelta(hours=2)) == 0
    assert loops.drain(lambda: NOW + timedelta(hours=2))["accepted"] == 0
    pausing.resume([stream], NOW + timedelta(hours=3))
    db.session.commit()
    assert loops.drain(lambda: NOW + timedelta(hours=3))["accepted"] == 16


def test_what_is_left_of_a_stream_is_found_by_an_index_among_all_that_has_left(app: Flask) -> None:
    first = make_message(make_contact(), stream="marketing", state=State.ACCEPTED, settled_at=NOW)
    facts = {column.name: getattr(first, column.name) for column in Message.__table__.columns if column.name != "id"}
    unique = ("public_id", "dedupe_key", "message_id")
    streams = [stream_of(key).id for key in ("marketing", "course", "service")]
    rows = [facts | {"stream_id": streams[number % 3]} | dict.fromkeys(unique, f"left-{number}") for number in range(3000)]
    db.session.execute(sa.insert(Message), rows)
    make_message(make_contact(), stream="marketing")
    db.session.execute(sa.text("ANALYZE"))
    with statements() as asked:
        assert bulk.is_under_way(first.stream_id)
    assert not bulk.is_under_way(streams[1])
    if db.engine.dialect.name == "postgresql":  # SQLite takes another index of the stream where it is as small
        text = asked[0].replace("%(stream_id_1)s", str(first.stream_id))
        plan = repr(db.session.connection().exec_driver_sql("EXPLAIN " + text).all())
        assert "ix_messages_under_way" in plan, plan


def test_pausing_and_resuming_among_workers_loses_nothing(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "SLICE", 7)
    for _number in range(60):
        make_course_mail()
    stream_id, staff = stream_of("course").id, make_user().id
    db.session.commit()
    ended = threading.Event()

    def work(_which: int) -> None:
        while not ended.is_set():
            lot = pacing.claim(NOW, 3, False, pacing.Limits())
            db.session.commit()
            pausing.hold_or_let_go(lot.paused, NOW)
            db.session.commit()
            if not lot.claimed:
                pausing.let_go(NOW)
                db.session.commit()
            for message_id, epoch in lot.claimed:
                if not outbox.begin_submitting(message_id, epoch, NOW):
                    db.session.commit()
                    pausing.hold_or_let_go([message_id], NOW)
                db.session.commit()

    def decide(_which: int) -> None:
        for number in range(40):
            stream = db.session.get_one(Stream, stream_id, with_for_update={"key_share": True})
            if number % 2:
                pausing.resume([stream], NOW)
            else:
                pausing.pause(stream, staff, "for a while", NOW)
            db.session.commit()
        for _try in range(200):
            if not db.session.scalar(sa.select(sa.func.count()).select_from(Message).where(Message.state == State.PENDING)):
                break
            db.session.rollback()
            time.sleep(0.05)
        ended.set()

    in_threads(app, lambda which: decide(which) if which == 0 else work(which), 3)
    states = db.session.execute(sa.select(Message.state, sa.func.count()).group_by(Message.state)).all()
    assert dict(list(states)) == {State.SUBMITTING: 60}


def test_what_is_paused_for_another_reason_is_not_let_go_with_the_rest_unless_somebody_says_so(app: Flask) -> None:
    pausing.pause(stream_of("marketing"), 1, "Somebody of the staff paused it.", NOW)
    pausing.pause_everything("This installation came from a backup.", NOW)
    db.session.commit()
    runner = app.test_cli_runner()
    refused = runner.invoke(args=["mail", "resume", "--send-waiting"])
    assert refused.exit_code == 1
    assert "marketing: Somebody of the staff paused it." in refused.output
    assert runner.invoke(args=["mail", "resume", "course", "--send-waiting"]).exit_code == 0
    assert {stream.key for stream in pausing.paused_streams()} >= {"marketing", "service"}
    assert runner.invoke(args=["mail", "resume", "--all", "--send-waiting"]).exit_code == 0
    assert pausing.paused_streams() == []
