"""Each request has a number: in its lines, on its error page, and in the worker that it woke; and no line says whom it was about."""

import json
import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog
from flask import Flask
from stripe._util import log_info

from courseapp import clock, logs
from courseapp.campaigns.tasks import read_news
from courseapp.extensions import bell, db, wake
from courseapp.logs import LibraryLine, access_line, known_as, request_id
from courseapp.waking import Bell
from tests.client import Client
from tests.code.source import ROOT
from tests.factories import lessons_of, make_course, make_enrolment, make_user
from tests.recording_smtp import RecordingSmtp

OWN = re.compile(r"[0-9a-f]{12}")
THEIRS = "7f9c2ba4-e88f-427d-8d0c-1c2b3a4d5e6f"


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict]:
    """What was logged since this was last asked."""
    return [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]


def broken(make_app, **settings) -> Client:
    """A browser at an application whose sign-in page fails, with a name and an address in the error and its variables."""
    made = make_app(**settings)
    made.config.update(PROPAGATE_EXCEPTIONS=False, TESTING=False)

    def fail() -> str:
        address = "canary.ada@example.org"
        try:
            raise KeyError(address)
        except KeyError as error:
            raise ValueError(f"no lesson called Canary for {address}") from error

    made.view_functions["accounts.sign_in"] = fail
    return made.test_client()


def test_an_answered_request_is_one_line_with_its_endpoint_and_nothing_of_whom(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    client.sign_in(make_user("canary.ada@example.org"))
    answer = client.visit("accounts.settings")
    [line] = lines(capfd)
    assert set(line) == {"event", "method", "endpoint", "status", "ms", "request_id", "level", "timestamp"}
    assert (line["event"], line["method"], line["endpoint"], line["status"]) == ("request", "GET", "accounts.settings", answer.status_code)
    assert OWN.fullmatch(line["request_id"])
    assert 0 < line["ms"] < 60_000


def test_what_is_done_in_the_course_leaves_no_line_unless_we_failed(make_app, app: Flask, capfd: pytest.CaptureFixture[str]) -> None:
    course = make_course()
    user = make_user()
    make_enrolment(user, course)
    made = make_app()
    made.config.update(PROPAGATE_EXCEPTIONS=False, TESTING=False)
    client = made.test_client()
    client.sign_in(user)
    path = client.path("learning.lesson", id=lessons_of(course)[0].public_id)
    assert client.get(path).status_code == 200
    assert client.get("/safety-check").status_code == 200
    assert lines(capfd) == []
    made.view_functions["learning.lesson"] = lambda **_: 1 // 0
    assert client.get(path).status_code == 500
    assert [(line["event"], line.get("status")) for line in lines(capfd)] == [("request_failed", None), ("request", 500)]


def test_what_is_nowhere_or_of_an_odd_kind_is_noted_without_its_path(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    client.get("/canary/ada@example.org?token=canary")
    client.open("/sign-in", method='XYZ"ZY')
    found = lines(capfd)
    assert [(line["method"], line["endpoint"], line["status"]) for line in found] == [("GET", None, 404), ("OTHER", None, 405)]
    assert "canary" not in json.dumps(found)


@pytest.mark.one_database
@pytest.mark.parametrize("quiet", [{"access_log": False}, {"log_level": "WARNING"}])
def test_the_line_of_each_request_can_be_switched_off(make_app, app: Flask, capfd: pytest.CaptureFixture[str], quiet: dict) -> None:
    try:
        make_app(**quiet).test_client().get("/sign-in")
        assert lines(capfd) == []
    finally:
        logs.init_logs(app.config["SETTINGS"])


def test_the_number_of_a_request_is_in_all_its_lines_and_on_its_error_page(make_app, app: Flask, capfd: pytest.CaptureFixture[str]) -> None:
    answer = broken(make_app).get("/sign-in")
    failed, answered = lines(capfd)
    assert (failed["event"], answered["event"], answered["status"]) == ("request_failed", "request", 500)
    assert failed["request_id"] == answered["request_id"]
    assert OWN.fullmatch(failed["request_id"])
    assert failed["request_id"] in answer.text
    assert "tell us this number" in answer.text


def test_pages_that_refuse_give_the_number_too(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    for path, data in (("/nowhere", None), ("/sign-in", {"csrf_token": "wrong"})):
        answer = client.post(path, data=data) if data else client.get(path)
        [line] = lines(capfd)
        assert answer.status_code == line["status"] >= 400
        assert line["request_id"] in answer.text


def test_two_requests_have_two_numbers(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    client.get("/sign-in")
    client.get("/sign-in")
    assert len({line["request_id"] for line in lines(capfd)}) == 2


@pytest.mark.one_database
def test_a_failure_is_told_by_kinds_and_places_without_messages_and_variables(
    make_app, app: Flask, capfd: pytest.CaptureFixture[str]
) -> None:
    broken(make_app).get("/sign-in")
    failed = lines(capfd)[0]
    assert [part["kind"] for part in failed["failure"]] == ["ValueError", "KeyError"]
    assert any("test_logs.py" in place and place.endswith(" fail") for place in failed["failure"][0]["at"])
    assert "canary" not in json.dumps(failed).lower()


@pytest.mark.one_database
@pytest.mark.settings(trusted_proxies=1)
@pytest.mark.parametrize("given", ["", "short", "x" * 65, "with a space", 'quote"quote"', "ada@example.org", "../../etc/x", "ümläütümläüt"])
def test_an_ill_formed_number_is_replaced(client: Client, capfd: pytest.CaptureFixture[str], given: str) -> None:
    client.get("/sign-in", headers={"X-Request-ID": given.encode("utf-8").decode("latin-1")})
    [line] = lines(capfd)
    assert OWN.fullmatch(line["request_id"])


@pytest.mark.one_database
@pytest.mark.settings(trusted_proxies=1)
@pytest.mark.parametrize("given", [THEIRS, THEIRS.replace("-", "")])
def test_the_number_of_our_own_proxy_is_taken_over(client: Client, capfd: pytest.CaptureFixture[str], given: str) -> None:
    client.get("/sign-in", headers={"X-Request-ID": given})
    assert [line["request_id"] for line in lines(capfd)] == [given]


@pytest.mark.one_database
def test_without_a_proxy_of_ours_nobody_chooses_their_number(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    client.get("/sign-in", headers={"X-Request-ID": THEIRS})
    [line] = lines(capfd)
    assert OWN.fullmatch(line["request_id"])


def test_a_wake_up_carries_the_numbers_of_all_that_rang_for_it_and_no_more_than_eight() -> None:
    published: dict[str, str] = {}
    made = Bell(published.__setitem__)
    made._busy.acquire()  # so that its own thread waits until all have rung
    made.ring(["outbox", "news"], "first")
    made.ring(["outbox"], "second")
    made.ring(["outbox"], "first,third")
    made.ring(["news"])
    for number in range(20):
        made.ring(["copies"], f"number-{number}")
    made._busy.release()
    made.settle()
    assert (published["outbox"], published["news"]) == ("first,second,third", "first")
    assert published["copies"].split(",") == [f"number-{number}" for number in range(8)]


@pytest.mark.one_database
def test_a_task_is_known_by_the_request_that_woke_it_and_a_tick_by_none(
    app: Flask, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr("courseapp.campaigns.tasks.loops.read_news", lambda *_: seen.append(request_id()))
    read_news.apply(headers={"request_id": THEIRS})
    read_news.apply()
    assert seen == [THEIRS, ""]
    assert request_id() == ""


@pytest.mark.one_database
def test_a_task_that_fails_is_one_line_of_ours_with_the_number(
    app: Flask, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("canary.ada@example.org")

    monkeypatch.setattr("courseapp.campaigns.tasks.loops.read_news", fail)
    read_news.apply(headers={"request_id": THEIRS})
    said = capfd.readouterr().err
    [line] = [json.loads(line) for line in said.splitlines()]
    assert (line["event"], line["task"], line["request_id"]) == ("task_failed", "campaigns.read_news", THEIRS)
    assert line["failure"][0]["kind"] == "ValueError"
    assert "canary" not in said


@pytest.mark.one_database
def test_a_real_worker_writes_the_number_of_the_request_that_woke_it(
    make_app, app: Flask, smtp: RecordingSmtp, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    smtp.script("connect", "421 4.3.2 not now", times=None)
    data = tmp_path / "data"
    made = make_app(smtp_url=smtp.url, data_dir=data)
    said = tmp_path / "worker.log"
    told = {"DATABASE_URL": made.config["SETTINGS"].database_url, "SMTP_URL": smtp.url, "DATA_DIR": str(data), "SECRET_KEY": "x" * 40}
    told["CLOCK_FILE"] = str(app.config["SETTINGS"].clock_file)
    words = ["worker", "--pool", "solo", "--queues", "service,work", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
    with said.open("wb") as file:
        command = [sys.executable, "-m", "celery", "--app", "worker", *words]
        worker = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **told}, stdout=file, stderr=file)
    try:
        made.test_client().submit("accounts.sign_in", {"address": "canary.ada@example.org"})
        number = next(line["request_id"] for line in reversed(lines(capfd)) if line["method"] == "POST")
        ends = time.monotonic() + 40
        while "mail_server_in_trouble" not in said.read_text() and time.monotonic() < ends:
            time.sleep(0.1)
    finally:
        worker.terminate()
        worker.wait(20)
    found = [json.loads(line) for line in said.read_text().splitlines() if line.startswith('{"why')]
    assert [(line["event"], line["request_id"]) for line in found][:1] == [("mail_server_in_trouble", number)], said.read_text()
    assert "canary" not in said.read_text()


@pytest.mark.one_database
def test_a_lost_wake_up_says_whose_it_was(app: Flask, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise ConnectionError("canary")

    monkeypatch.setattr(bell, "_publish", away)
    with known_as(THEIRS):
        wake("outbox")
        db.session.commit()
    bell.settle()
    found = [line for line in lines(capfd) if line["event"] == "wake_lost"]
    assert [(line["topic"], line["request_id"], line["kind"]) for line in found] == [("outbox", THEIRS, "ConnectionError")]


@pytest.mark.parametrize(
    ("words", "facts", "said"),
    [
        ("Cannot connect to %s: %s", ("redis://:pw@db", ConnectionError("canary")), "Cannot connect to …: ConnectionError"),
        ("Worker exiting (pid: %s)", (7,), "Worker exiting (pid: 7)"),
        ("Task %(name)s failed: %(exc)s", ({"name": "x", "exc": "canary"},), "Task … failed: …"),
        ("lost ada@example.org at /lessons/canary?token=canary", (), "lost … at …"),
        ("%s and %s", ("one",), "%s and %s"),
    ],
)
def test_what_a_library_says_is_a_line_of_ours_without_its_facts(words: str, facts: tuple, said: str) -> None:
    record = logging.LogRecord("kombu.x", logging.WARNING, __file__, 1, words, facts, None)
    with known_as(THEIRS):
        line = json.loads(LibraryLine().format(record))
    assert (line["event"], line["logger"], line["level"], line["request_id"]) == (said, "kombu.x", "warning", THEIRS)


@pytest.mark.usefixtures("app")
@pytest.mark.one_database
def test_what_stripes_package_says_of_each_call_is_no_line_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """It fills its sentences in itself: with ids of people, and Stripe's words about them."""
    with caplog.at_level(logging.INFO):
        log_info("Stripe v1 API error received", error_message="No such customer: 'cus_canary'")
    assert caplog.records == []


def test_a_librarys_failure_has_no_message() -> None:
    try:
        raise ValueError("canary")
    except ValueError:
        record = logging.LogRecord("sqlalchemy.pool", logging.ERROR, __file__, 1, "Exception during reset", (), sys.exc_info())
    line = LibraryLine().format(record)
    assert json.loads(line)["failure"][0]["kind"] == "ValueError"
    assert "canary" not in line


def test_the_line_written_by_hand_looks_like_those_of_the_library(app: Flask, capfd: pytest.CaptureFixture[str]) -> None:
    with known_as(THEIRS):
        structlog.get_logger().info("request", method="GET", endpoint=None, status=200, ms=1.5)
        sys.stderr.write(access_line("GET", None, 200, 0.0015))
    library, hand = lines(capfd)
    assert {name: value for name, value in hand.items() if name != "timestamp"} == {k: v for k, v in library.items() if k != "timestamp"}
    assert [len(line["timestamp"]) for line in (library, hand)] == [len(f"{clock.now():%Y-%m-%dT%H:%M:%S.%f}Z")] * 2


@pytest.mark.one_database
def test_what_nobody_caught_ends_a_command_or_a_thread_in_a_line_of_ours(tmp_path: Path) -> None:
    """A thread, a warning and at last the main program fail, each with a canary in its words."""
    script = """
import threading, warnings
from courseapp import create_app

def fail(words):
    raise ValueError(words)

app = create_app()
thread = threading.Thread(target=fail, args=("canary one",))
thread.start()
thread.join()
warnings.warn("canary two")
with app.app_context():
    from courseapp.extensions import db
    import sqlalchemy as sa
    try:
        db.session.execute(sa.text("SELECT no_column WHERE :word = 'x'"), {"word": "canary three"})
    except Exception as error:
        raise RuntimeError(f"canary four {error}") from error
"""
    settings = {
        "MODE": "production",
        "SECRET_KEY": "x" * 43,
        "SENDER_ADDRESS": "a@example.org",
        "POSTAL_ADDRESS": "1 Road",
        "SMTP_URL": "smtp://localhost",
        "BASE_URL": "https://learn.example.org",
        "ALLOW_SQLITE": "yes",
        "DATA_DIR": str(tmp_path),
    }
    ended = subprocess.run([sys.executable, "-c", script], env=settings, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "canary" not in ended.stdout + ended.stderr
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["event"] for line in lines if line.get("event") == "not_caught"] == ["not_caught"] * 2
    assert [failure["kind"] for failure in lines[-1]["failure"]] == ["RuntimeError", "OperationalError", "OperationalError"]


@pytest.mark.one_database
def test_an_error_of_the_database_does_not_say_what_it_was_asked(app: Flask) -> None:
    with pytest.raises(sa.exc.OperationalError) as caught:
        db.session.execute(sa.text("SELECT no_column WHERE :word = 'x'"), {"word": "canary"})
    assert "canary" not in str(caught.value)
