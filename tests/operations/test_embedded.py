"""`flask up`: one command, everything on this machine; and no way of ending it leaves a process or loses a row."""

import http.cookiejar
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from courseapp.catalog.models import Course, Lesson
from courseapp.extensions import db
from courseapp.operations.embedded import prepare
from tests.client import forms_of
from tests.factories import NOW
from tests.houses import ROOT, House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An empty installation on a free port."""
    (tmp_path / "data").mkdir()
    made = House(tmp_path / "data")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.end(signal.SIGTERM)


def visit(house: House) -> urllib.request.OpenerDirector:
    """A browser that has started the course with an address."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    page = browser.open(f"{house.url}/start", timeout=10).read().decode()
    form = next(form for form in forms_of(page, "/start") if form.action == "/start")
    words = {**form.fields, "address": "ada@example.org", "course_mail": "y"}
    answer = browser.open(f"{house.url}/start", urllib.parse.urlencode(words).encode(), timeout=10)
    assert answer.url.endswith("/learn/introduction")
    return browser


def wait_for(is_so: Callable[[], bool], seconds: float) -> bool:
    """Whether it becomes so in time."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if is_so():
            return True
        time.sleep(0.02)
    return False


def seconds_to_mail(house: House) -> float:
    """How long it takes from starting the course to the mail in the file box."""
    before, begin = len(house.mails()), time.time()
    visit(house)
    assert wait_for(lambda: len(house.mails()) > before, 20)
    return max(house.mails().values()) - begin


def alive(people: list[psutil.Process], seconds: float = 15) -> list[psutil.Process]:
    """Which of them still run after a while."""
    return psutil.wait_procs(people, timeout=seconds)[1]


def test_one_command_serves_and_mails_and_survives_being_killed_and_interrupted(house: House) -> None:
    """One long test, for each start takes seconds: the day of an installation, in order."""
    printed = house.start()
    assert f"Ready on {house.url}" in printed
    assert {role for role in ("owner", "instructor", "marketer") if re.search(rf"{role}\s+{house.url}/sign-in/link/", printed)} == {
        "owner",
        "instructor",
        "marketer",
    }
    browser = visit(house)
    assert wait_for(lambda: len(house.mails()) == 1, 30)
    took = min(seconds_to_mail(house) for _ in range(3))  # the best of three: this machine may have much else to do
    assert took < 2.0, f"the mail took {took:.1f} s"

    people = house.people()
    assert len(people) >= 3
    house.end(signal.SIGKILL)
    assert alive(people) == []
    messages = house.rows("SELECT id, dedupe_key FROM messages")
    progress = house.rows("SELECT * FROM enrolments")
    files = house.mails()

    begin = time.monotonic()
    house.start()
    print(f"second start: {time.monotonic() - begin:.1f} s")
    assert browser.open(f"{house.url}/learn/introduction", timeout=10).status == 200
    assert house.rows("SELECT id, dedupe_key FROM messages") == messages
    assert house.rows("SELECT * FROM enrolments") == progress
    assert house.rows("SELECT DISTINCT state FROM messages") == [("accepted",)]
    assert house.mails() == files
    assert house.rows("SELECT count(*) FROM courses") == [(1,)]

    people = house.people()
    house.end(signal.SIGINT)
    assert house.process.returncode == 0
    assert alive(people, 2) == []
    assert not (house.folder / "run" / "children.json").exists()


@pytest.mark.one_database
@pytest.mark.usefixtures("app")
def test_a_second_start_puts_nothing_back_that_was_changed_by_page() -> None:
    prepare(NOW)
    course = db.session.query(Course).one()
    lesson = db.session.query(Lesson).order_by(Lesson.position).first()
    assert course.published_at is not None
    assert lesson is not None
    course.published_at, lesson.title = None, "As corrected"
    db.session.commit()
    prepare(NOW)
    db.session.expire_all()
    assert (course.published_at, lesson.title) == (None, "As corrected")


def test_a_taken_port_is_said_so_in_words(house: House) -> None:
    with socket.socket() as line:
        line.bind(("127.0.0.1", house.port))
        line.listen()
        told = {"DATA_DIR": str(house.folder), "PORT": str(house.port)}
        command = [sys.executable, "-m", "flask", "--app", "courseapp", "up"]
        ended = subprocess.run(command, cwd=ROOT, env={**os.environ, **told}, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert f"Port {house.port} is in use" in ended.stderr
