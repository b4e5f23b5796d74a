"""No address, name, password, token or answer in any log line, broker message or task; and no forged line."""

import json

import pytest
from celery import signals
from flask import Flask

from courseapp import clock
from courseapp.campaigns.loops import read_news
from courseapp.extensions import bell, celery, db
from courseapp.mailing import loops
from tests.accounts.mailbox import last_mail_to
from tests.client import Client
from tests.factories import make_course, make_user
from tests.mailing.conftest import make_course_mail
from tests.recording_smtp import RecordingSmtp

CANARY = "canary"


def go_through_every_form(client: Client) -> list[str]:
    """Fill every form with canaries; the tokens and codes that were made on the way."""
    make_course()
    client.submit("learning.start", {"address": "canary.ada@example.org", "course_mail": "y", "marketing": "y"})
    mail = last_mail_to("canary.ada@example.org")
    client.submit("accounts.check_mail", {"code": "999999"})
    client.submit(mail.link)
    client.submit("accounts.settings", {"name": "Canary Canarina"}, to="accounts.change_own_name")
    client.submit("accounts.settings", {"new": "canary canary secret owls 7"}, to="accounts.change_password")
    wish = {"new_address": "canary.two@example.org", "password": "canary canary secret owls 7"}
    client.submit("accounts.settings", wish, to="accounts.change_address")
    second = last_mail_to("canary.two@example.org")
    client.get("/lessons/canary-lesson")
    client.get("/unsubscribe/canary-token")
    client.get("/sign-in/link/canary-token")
    other = client.application.test_client()
    other.submit(
        "accounts.sign_in",
        {"pw-address": "canary.ada@example.org\nforged line", "pw-password": "canary"},
        to="accounts.sign_in_with_password",
    )
    other.submit("accounts.sign_in", {"address": "canary broken@@"})
    token = other.csrf_token()
    other.post("/account/name", data={"csrf_token": token, "name": "canary"})
    other.post("/account/name", data={"csrf_token": "canary"})
    secrets = [mail.link.rpartition("/")[2], second.link.rpartition("/")[2], mail.code, client.get_cookie("session").value]
    with client.session_transaction() as session:
        secrets.append(session["_user_id"])
    return secrets


def test_nothing_personal_is_in_the_logs_or_in_the_broker(
    client: Client, app: Flask, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[str] = []

    def note(sender: object = None, body: object = None, headers: object = None, **_more: object) -> None:
        sent.append(f"{sender} {body!r} {headers!r}")

    signals.before_task_publish.connect(note)
    try:
        with caplog.at_level("DEBUG"):
            secrets = go_through_every_form(client)
            read_news(clock.now)
            db.session.commit()
            loops.drain(clock.now)
            loops.close_door()
            bell.settle()
    finally:
        signals.before_task_publish.disconnect(note)
    captured = capfd.readouterr()
    logs = captured.out + captured.err + caplog.text
    queue = app.config["SETTINGS"].data_dir / "broker"
    broker = "".join(path.read_text(errors="replace") for path in queue.rglob("*") if path.is_file())
    assert "mailing.send_service" in broker
    assert len(sent) >= 2
    for place, text in (("logs", logs), ("broker", broker), ("tasks", "".join(sent))):
        assert CANARY not in text.lower(), place
        for secret in secrets:
            assert secret not in text, place


def test_a_tasks_arguments_are_empty_and_only_json_is_taken(client: Client) -> None:
    bodies: list[object] = []

    def note(body: object = None, **_more: object) -> None:
        bodies.append(body)

    signals.before_task_publish.connect(note)
    try:
        go_through_every_form(client)
        bell.settle()
    finally:
        signals.before_task_publish.disconnect(note)
    assert {json.dumps(body[:2]) for body in bodies} == {"[[], {}]"}
    assert celery.conf.accept_content == ["json"]
    assert celery.conf.task_serializer == "json"


def test_trouble_with_the_mail_server_is_logged_without_naming_anyone(
    app: Flask, make_app, smtp: RecordingSmtp, capfd: pytest.CaptureFixture[str]
) -> None:
    with make_app(smtp_url=smtp.url).app_context():
        make_course_mail("canary.ada@example.org")
        db.session.commit()
        smtp.script("rcpt", "421 4.7.0 <canary.ada@example.org> try later")
        loops.drain(clock.now)
        loops.close_door()
        db.session.rollback()
    logs = capfd.readouterr().err
    assert "mail_server_in_trouble" in logs
    assert CANARY not in logs


def test_signing_in_and_failing_to_are_logged_on_one_line_each_without_the_address(
    client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    make_user("canary.ada@example.org", password="three quiet owls by the river")
    for password in ("wrong\nforged", "three quiet owls by the river"):
        data = {"pw-address": "canary.ada@example.org", "pw-password": password}
        client.submit("accounts.sign_in", data, to="accounts.sign_in_with_password")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines if line["event"].startswith("sign_in")] == ["sign_in_refused", "sign_in_done"]
    assert CANARY not in json.dumps(lines)
