"""A real worker over a real Redis sends the same mails; and without Redis a page answers all the same."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from courseapp import clock
from courseapp.extensions import bell, db, wake
from courseapp.mailing import loops, pausing
from courseapp.mailing.models import Message, Stream
from tests.factories import make_course
from tests.mailing.conftest import make_course_mail
from tests.recording_smtp import RecordingSmtp

ROOT = Path(__file__).parents[2]


@pytest.fixture
def start_worker(app: Flask) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """start_worker(app): `celery -A worker worker` with the settings of that application; ended with the test."""
    started = []

    def start(other: Flask) -> subprocess.Popen[bytes]:
        settings = other.config["SETTINGS"]
        names = ("database_url", "redis_url", "smtp_url", "secret_key", "data_dir", "clock_file", "base_url")
        told = {name.upper(): str(getattr(settings, name)) for name in names if getattr(settings, name)}
        words = ["worker", "--pool", "solo", "--queues", "service,work", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
        command = [sys.executable, "-m", "celery", "--app", "worker", *words]
        started.append(subprocess.Popen(command, cwd=ROOT, env={**os.environ, **told}))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
    for process in started:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(is_so: Callable[[], bool], seconds: float) -> bool:
    """Whether it becomes so in time."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if is_so():
            return True
        time.sleep(0.05)
    return False


def ask_for_mails(app: Flask) -> None:
    """Start the course and ask for a link, each in a browser of its own."""
    for number in range(3):
        app.test_client().submit("learning.start", {"address": f"person{number}@example.org", "course_mail": "y"})
    app.test_client().submit("accounts.sign_in", {"address": "person3@example.org"})


def parts_of(smtp: RecordingSmtp) -> set[tuple[str, str, int]]:
    """What is the same of a mail whoever sent it: to whom, what about, how long (tokens are random, but of one length)."""
    return {
        (mail.recipients[0], str(mail.message["Subject"]), len(mail.message.get_body(("plain",)).get_content())) for mail in smtp.received
    }


def test_a_worker_over_redis_sends_the_same_mails_as_the_drain_in_this_process(
    app: Flask, with_smtp, smtp: RecordingSmtp, redis_url: str, start_worker, drain
) -> None:
    make_course()
    db.session.commit()
    working = with_smtp(redis_url=redis_url)
    start_worker(working)
    ask_for_mails(working)
    assert wait_for(lambda: len(smtp.received) == 4, 40)
    assert wait_for(lambda: states(working) == {"accepted"}, 10)
    by_worker = parts_of(smtp)
    smtp.received.clear()
    db.session.query(Message).delete()
    ask_for_mails(working)
    drain()
    assert wait_for(lambda: len(smtp.received) == 4, 20)
    assert parts_of(smtp) == by_worker


def states(app: Flask) -> set[str]:
    """The states in which messages stand now."""
    db.session.rollback()
    found = {row.state.value for row in db.session.query(Message)}
    db.session.rollback()
    return found


@pytest.mark.one_database
@pytest.mark.parametrize("address", ["redis://127.0.0.1:1/0", "redis://192.0.2.1:6379/0"])
def test_with_the_broker_gone_a_page_answers_quickly_and_the_mail_goes_with_the_next_tick(
    app: Flask, with_smtp, smtp: RecordingSmtp, address: str
) -> None:
    make_course()
    db.session.commit()
    alone = with_smtp(redis_url=address)
    browser = alone.test_client()
    token = browser.csrf_token()
    begin = time.monotonic()
    answer = browser.post(browser.path("accounts.sign_in"), data={"csrf_token": token, "address": "ada@example.org"})
    spent = time.monotonic() - begin
    assert answer.status_code == 303
    assert spent < 2.0, f"the page took {spent:.1f} s"
    begin = time.monotonic()
    browser.post(browser.path("accounts.sign_in"), data={"csrf_token": token, "address": "ada@example.org"})
    assert time.monotonic() - begin < 0.5, "a broker that failed is not asked again at once"
    loops.drain(clock.now)
    assert smtp.recipients() == ["ada@example.org"] * 2


@pytest.mark.one_database
def test_a_wake_up_is_published_after_the_commit_and_never_for_what_was_rolled_back(app: Flask) -> None:
    queue = app.config["SETTINGS"].data_dir / "broker" / "queue"

    def waiting() -> int:
        bell.settle()
        return len(list(queue.glob("*.msg")))

    make_course_mail()
    wake("outbox")
    assert waiting() == 0
    db.session.rollback()
    db.session.commit()
    assert waiting() == 0
    for _ in range(3):
        wake("outbox")
    db.session.commit()
    assert waiting() == 1


@pytest.mark.one_database
def test_the_command_drains_without_celery_and_says_when_mail_stayed_behind(app: Flask, with_smtp, smtp: RecordingSmtp) -> None:
    working = with_smtp()
    make_course_mail("ada@example.org")
    db.session.commit()
    settings = working.config["SETTINGS"]
    told = {name.upper(): str(getattr(settings, name)) for name in ("database_url", "secret_key", "data_dir", "clock_file")}

    def run(address: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flask", "--app", "courseapp", "mail", *words]
        environment = {**os.environ, **told, "SMTP_URL": address, **more}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)

    away = run("smtp://127.0.0.1:1", "work", "--drain")
    assert (away.returncode, smtp.received) == (1, [])
    db.session.query(Message).update({"due_at": clock.now()})
    db.session.commit()
    sent = run(smtp.url, "work", "--drain")
    assert (sent.returncode, smtp.recipients()) == (0, ["ada@example.org"]), sent.stderr
    status = working.test_cli_runner().invoke(args=["mail", "status", "--json"])
    assert '"accepted": 1' in status.output
    for number in range(7):
        make_course_mail(f"person{number}@example.org")
    db.session.commit()
    paced = run(smtp.url, "work", "--drain", MAIL_RATE="4/second")
    assert (paced.returncode, len(smtp.received)) == (0, 8), "what a limit holds back is waited for"


@pytest.mark.one_database
def test_a_pause_takes_effect_within_one_mail_of_each_worker_and_the_rest_leaves_once_when_it_runs_again(
    app: Flask, with_smtp, smtp: RecordingSmtp
) -> None:
    """Two real workers and a server that takes its time over each mail."""
    working, workers = with_smtp(), 2
    smtp.thinks, count = 0.02, 2 * loops.BATCH
    messages = [make_course_mail(f"person{number}@example.org") for number in range(count)]
    stream = messages[0].stream
    db.session.commit()
    settings = working.config["SETTINGS"]
    told = {name.upper(): str(getattr(settings, name)) for name in ("database_url", "secret_key", "data_dir", "clock_file", "smtp_url")}
    command = [sys.executable, "-m", "flask", "--app", "courseapp", "mail", "work"]
    started = [subprocess.Popen(command, cwd=ROOT, env={**os.environ, **told}, stdout=subprocess.DEVNULL) for _ in range(workers)]
    try:
        assert wait_for(lambda: smtp.connections >= workers and len(smtp.received) >= 20, 30)
        pausing.pause(stream, 1, "The text is wrong.", clock.now())
        db.session.commit()
        at_the_pause = len(smtp.received)
        time.sleep(1.0)
        assert at_the_pause <= len(smtp.received) <= at_the_pause + workers
        assert states(working) == {"accepted", "pending"}
        pausing.resume([db.session.get_one(Stream, stream.id)], clock.now())
        db.session.commit()
        assert wait_for(lambda: states(working) == {"accepted"}, 30)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(15)
    assert sorted(smtp.recipients()) == sorted(f"person{number}@example.org" for number in range(count))


@pytest.mark.one_database
def test_the_status_says_in_words_that_there_are_no_tables_yet(app: Flask, make_app: Callable[..., Flask], tmp_path: Path) -> None:
    empty = make_app(database_url=f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    with empty.app_context():
        said = empty.test_cli_runner().invoke(args=["mail", "status"])
    assert said.exit_code == 1
    assert said.output.startswith("Error: The database does not answer, or has no tables yet. Try: flask --app courseapp db upgrade")
