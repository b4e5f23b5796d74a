"""Watching over streams: too many errors, bounces or complaints pause one, with its reason, and nothing else does."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing import loops, pausing
from courseapp.mailing.bulk import new_stream
from courseapp.mailing.models import Message, State, Stream
from courseapp.mailing.streams import stream_of
from courseapp.mailing.watching import RULES, watch
from tests.conftest import NOW
from tests.factories import make_contact, make_message
from tests.query_counts import statements

SHAPES = [(rule.state, rule.least, rule.share, rule.window) for rule in RULES]


@pytest.fixture
def ended(app: Flask) -> Callable[..., None]:
    """ended(state, count, ago=…): so many mails of a stream ended so."""
    contact = make_contact()

    def make(state: State, count: int, stream: str = "marketing", ago: timedelta = timedelta(minutes=5)) -> None:
        first = make_message(contact, stream=stream, state=state, settled_at=NOW - ago)
        facts = {column.name: getattr(first, column.name) for column in Message.__table__.columns if column.name != "id"}
        unique = ("public_id", "dedupe_key", "message_id")
        rows = [facts | dict.fromkeys(unique, f"{state.value[:4]}{stream[:3]}{first.id}-{number}") for number in range(count - 1)]
        if rows:
            db.session.execute(sa.insert(Message), rows)
        db.session.flush()

    return make


def paused() -> list[str]:
    """What watching pauses now."""
    found = watch(NOW)
    db.session.commit()
    return found


@pytest.mark.parametrize(("state", "least", "share", "window"), SHAPES)
def test_more_than_the_share_pauses_and_exactly_the_share_does_not(
    ended, state: State, least: int, share: float, window: timedelta
) -> None:
    whole = round(least / share)
    ended(state, least)
    ended(State.ACCEPTED, whole - least)
    assert paused() == []
    ended(state, 1)
    assert paused() == ["marketing"]
    why = stream_of("marketing").paused_why or ""
    assert f"{least + 1} of {whole + 1}" in why
    assert why.startswith("It paused itself")


@pytest.mark.parametrize(("state", "least", "share", "window"), SHAPES)
def test_fewer_than_the_least_number_pause_nothing_however_large_their_share(ended, state: State, least: int, share, window) -> None:
    ended(state, least - 1)
    assert paused() == []


@pytest.mark.parametrize(("state", "least", "share", "window"), SHAPES)
def test_what_went_wrong_before_the_window_does_not_count(ended, state: State, least: int, share: float, window: timedelta) -> None:
    ended(state, 2 * least, ago=window + timedelta(minutes=1))
    assert paused() == []
    ended(state, 2 * least, ago=window - timedelta(minutes=1))
    assert paused() == ["marketing"]


def test_service_mail_never_pauses_itself_and_one_stream_does_not_pause_another(ended) -> None:
    for stream in ("sign-in", "service"):
        ended(State.BOUNCED, 60, stream=stream)
    ended(State.ACCEPTED, 60, stream="course")
    assert paused() == []
    ended(State.BOUNCED, 60)
    assert paused() == ["marketing"]


def test_it_pauses_once_is_written_down_once_and_keeps_what_a_person_said(ended) -> None:
    ended(State.BOUNCED, 30)
    assert [paused(), paused()] == [["marketing"], []]
    rows = db.session.scalars(sa.select(Event).where(Event.type == "stream_paused_itself")).all()
    assert [(row.subject, row.data) for row in rows] == [("stream:marketing", {"count": 30, "whole": 30, "why": "bounced"})]
    course = stream_of("course")
    course.paused_at, course.paused_why = NOW, "The list is being checked."
    ended(State.BOUNCED, 30, stream="course")
    paused()
    assert db.session.scalar(sa.select(Stream.paused_why).where(Stream.key == "course")) == "The list is being checked."


def test_after_somebody_let_it_run_again_only_what_is_new_counts(ended) -> None:
    ended(State.BOUNCED, 30)
    paused()
    pausing.resume([stream_of("marketing")], NOW - timedelta(minutes=1), by=None)
    db.session.commit()
    assert paused() == []
    ended(State.BOUNCED, 30, ago=timedelta(seconds=30))
    assert paused() == ["marketing"]


def test_a_stream_that_paused_itself_sends_nothing_more(ended, drain) -> None:
    ended(State.BOUNCED, 30)
    message = make_message(stream="marketing")
    db.session.commit()
    assert loops.watch(NOW) == ["marketing"]
    drain()
    assert db.session.get_one(Message, message.id).state is State.PENDING


def test_streams_in_which_nothing_went_wrong_lately_are_not_counted(ended) -> None:
    for number in range(20):
        stream = new_stream(f"broadcast-{number}", Purpose.MARKETING)
        ended(State.ACCEPTED, 2, stream=stream.key)
        ended(State.FAILED, 30, stream=stream.key, ago=timedelta(days=2))
    db.session.commit()
    with statements() as asked:
        assert watch(NOW) == []
    assert len(asked) == 1
    ended(State.FAILED, 30, stream="broadcast-7")
    db.session.commit()
    with statements() as asked:
        assert watch(NOW) == ["broadcast-7"]
    assert len([statement for statement in asked if "count(" in statement]) <= len(RULES) + 1
