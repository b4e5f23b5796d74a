"""No restore sends a letter a second time, whatever an operator does first: what came due since the backup waits to be decided about."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.campaigns import loops as campaigns
from courseapp.campaigns.models import LatePolicy, SequenceRun
from courseapp.extensions import db
from courseapp.mailing import loops
from courseapp.mailing.models import Message, State
from tests.conftest import NOW, set_clock
from tests.factories import make_consent, make_course, make_enrolment, make_event, make_run, make_sequence, make_user
from tests.operations.test_backups import Elsewhere, back_up, elsewhere

__all__ = ["elsewhere"]


def learner(**policy: Any) -> SequenceRun:
    """Somebody who has had the first of four letters when the backup is taken; the others are for days 2, 4 and 30."""
    course, user = make_course(), make_user()
    assert user.contact is not None
    make_consent(user.contact)
    make_enrolment(user, course)
    version = make_sequence(delays=(0, 2, 4, 30), **policy)
    return make_run(version, user.contact, course, position=1, last_step_at=NOW, next_run_at=NOW + timedelta(days=2))


@pytest.fixture
def restored(elsewhere: Elsewhere, tmp_path: Path) -> Callable[[datetime], Flask]:
    """restored(now): back up, and bring it back by the command at another time."""

    def bring(now: datetime) -> Flask:
        file = back_up(tmp_path / "all.backup")
        app = elsewhere(clock_file=tmp_path / "clock")
        set_clock(app, now)
        assert app.test_cli_runner().invoke(args=["backup", "restore", str(file)]).exit_code == 0
        return app

    return bring


def work(app: Flask) -> list[str]:
    """All that the worker does of itself; the subjects of what has left, in order."""
    campaigns.read_news(clock.now)
    campaigns.advance_runs(clock.now)
    loops.drain(clock.now)
    loops.close_door()
    db.session.rollback()
    sent = sa.select(Message).where(Message.state == State.ACCEPTED).order_by(Message.settled_at, Message.id)
    return [str(message.letter.subject) for message in db.session.scalars(sent)]


def resume(app: Flask, option: str) -> None:
    """What the operator says."""
    answer = app.test_cli_runner().invoke(args=["mail", "resume", option])
    assert answer.exit_code == 0, answer.output


def test_what_the_old_installation_sent_since_the_backup_is_never_sent_again(app: Flask, restored: Callable[[datetime], Flask]) -> None:
    learner()
    new = restored(NOW + timedelta(days=9))
    resume(new, "--drop-waiting")  # before the worker has ever run, which is the worst moment
    for days in range(9, 29):
        set_clock(new, NOW + timedelta(days=days))
        assert work(new) == []
    set_clock(new, NOW + timedelta(days=31))
    assert work(new) == ["Step 3"]


def test_what_the_old_installation_did_not_send_leaves_once_and_not_all_at_a_time(
    app: Flask, restored: Callable[[datetime], Flask]
) -> None:
    learner()
    new = restored(NOW + timedelta(days=9))
    resume(new, "--send-waiting")
    assert work(new) == ["Step 1"]
    set_clock(new, NOW + timedelta(days=9, hours=19))
    assert work(new) == ["Step 1"]
    set_clock(new, NOW + timedelta(days=9, hours=21))
    assert work(new) == ["Step 1", "Step 2"]


def test_while_it_is_paused_nothing_leaves_and_all_of_it_waits_for_one_word(app: Flask, restored: Callable[[datetime], Flask]) -> None:
    learner()
    new = restored(NOW + timedelta(days=9))
    for hours in (0, 21, 42):
        set_clock(new, NOW + timedelta(days=9, hours=hours))
        assert work(new) == []
    refused = new.test_cli_runner().invoke(args=["mail", "resume"])
    assert "2 mails wait in" in refused.output
    resume(new, "--drop-waiting")
    assert work(new) == []


@pytest.mark.parametrize("late", [LatePolicy.SKIP, LatePolicy.SHIFT])
def test_what_a_sequence_does_with_late_letters_it_does_here_too(
    app: Flask, restored: Callable[[datetime], Flask], late: LatePolicy
) -> None:
    learner(late=late)
    new = restored(NOW + timedelta(days=9))
    waiting = db.session.scalars(sa.select(Message.dedupe_key)).all()
    assert len(waiting) == (0 if late is LatePolicy.SKIP else 1)
    resume(new, "--drop-waiting")
    assert work(new) == []


def test_news_that_nobody_had_read_yet_begins_nothing_after_the_decision(app: Flask, restored: Callable[[datetime], Flask]) -> None:
    course, user = make_course(), make_user()
    assert user.contact is not None
    make_consent(user.contact)
    make_enrolment(user, course)
    make_sequence(delays=(0, 40))
    make_event("enrolled", f"user:{user.id}", readers=["campaigns"], data={"user_id": user.id, "course_id": course.id})
    new = restored(NOW + timedelta(minutes=5))
    resume(new, "--drop-waiting")
    assert work(new) == []
    assert db.session.scalars(sa.select(SequenceRun.position)).all() == [1]
