"""The breaker of the mail server: who trips it, who rests, and when it closes."""

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.extensions import db
from courseapp.mailing import breaker, loops, outbox
from courseapp.mailing.models import Breaker, Message, State
from tests.conftest import NOW
from tests.mailing.conftest import make_course_mail
from tests.recording_smtp import RecordingSmtp, Stage


@pytest.mark.parametrize(
    ("stage", "answer"), [("connect", "421 4.3.2 not now"), ("mail", "454 4.7.0 try later"), ("mail", "530 5.7.0 Authentication required")]
)
def test_trouble_of_the_server_is_written_down_and_spends_nobodys_attempts(
    with_smtp, smtp: RecordingSmtp, drain, stage: str, answer: str
) -> None:
    app = with_smtp()
    for number in range(3):
        make_course_mail(f"person{number}@example.org")
    smtp.script(stage, answer)
    drain()
    row = db.session.scalars(sa.select(Breaker)).one()
    assert row.key == f"127.0.0.1:{smtp.port}"
    assert answer[:3] in row.why
    assert {(message.state.value, message.attempts) for message in db.session.scalars(sa.select(Message))} == {("pending", 0)}
    said = app.test_cli_runner().invoke(args=["mail", "status"]).output
    assert "The mail server has been in trouble since 2026-" in said
    assert json.loads(app.test_cli_runner().invoke(args=["mail", "status", "--json"]).output)["server_in_trouble"]["why"] == row.why


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("stage", ["rcpt", "data", "dot"])
def test_a_mail_that_makes_the_server_hang_up_each_time_spends_its_own_attempts_and_fails_in_the_end(
    with_smtp, smtp: RecordingSmtp, drain, wait, stage: Stage, at_once: bool
) -> None:
    with_smtp()
    smtp.takes_commands_at_once = at_once
    message = make_course_mail()
    smtp.script(stage, "421 4.7.0 go away", times=None)
    for _try in range(2 * outbox.MOST_ATTEMPTS):
        drain()
        loops.close_door()
        wait(hours=5)
    db.session.refresh(message)
    assert (message.state, message.attempts) == (State.FAILED, outbox.MOST_ATTEMPTS)
    assert message.reason is not None
    assert message.reason.startswith("exhausted: 421")


def test_a_server_that_is_away_for_days_spends_nobodys_attempts(with_smtp, smtp: RecordingSmtp, drain, wait) -> None:
    with_smtp()
    message = make_course_mail()
    for stage, answer in (("connect", "421 4.3.2 not now"), ("mail", "421 4.3.2 closing"), ("rcpt", "530 5.7.0 Authentication required")):
        smtp.script(stage, answer, times=8)
        for _try in range(8):
            drain()
            loops.close_door()
            wait(hours=5)
    db.session.refresh(message)
    assert (message.state, message.attempts) == (State.PENDING, 0)
    assert drain() == {"accepted": 1}


def test_it_closes_with_the_next_mail_the_server_takes(with_smtp, smtp: RecordingSmtp, drain, wait) -> None:
    with_smtp()
    for number in range(3):
        make_course_mail(f"person{number}@example.org")
    smtp.script("mail", "421 4.3.2 closing")
    drain()
    loops.close_door()
    wait(seconds=31)
    assert drain()["accepted"] >= 2
    assert db.session.query(Breaker).count() == 0


def test_it_stays_open_where_the_next_try_fails_and_remembers_since_when(with_smtp, smtp: RecordingSmtp, drain, wait) -> None:
    app = with_smtp()
    for number in range(5):
        make_course_mail(f"person{number}@example.org")
    smtp.script("mail", "421 4.3.2 closing", times=2)
    drain()
    server = breaker.server_of(app.config["SETTINGS"])
    first = breaker.outage_of(server)
    loops.close_door()
    wait(seconds=40)
    drain()
    second = breaker.outage_of(server)
    assert first is not None
    assert second is not None
    assert first.since == second.since
    assert second.rests_until > first.rests_until


def test_another_server_is_not_held_by_it(with_smtp, smtp: RecordingSmtp, drain) -> None:
    with_smtp()
    breaker.trip("mail.example.org:587", "421", NOW)
    make_course_mail()
    assert drain() == {"accepted": 1}


def test_a_clock_that_was_set_back_holds_nobody_for_an_hour(app: Flask) -> None:
    breaker.trip("files", "no room", NOW + timedelta(hours=1))
    outage = breaker.outage_of("files")
    assert outage is not None
    assert outage.rest_left(NOW) == timedelta()
    assert outage.rest_left(NOW + timedelta(hours=1, seconds=10)) == timedelta(seconds=20)
