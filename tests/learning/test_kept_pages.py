"""Lesson pages are kept in memory for all who are in the same state: what anyone sees must be as if it had been made for them."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask, g, render_template_string
from flask_wtf.csrf import generate_csrf

from courseapp import web
from courseapp.accounts.models import User
from courseapp.catalog.models import Course
from courseapp.learning.models import Outcome
from tests.client import Client
from tests.factories import (
    NOW,
    lessons_of,
    make_completion,
    make_course,
    make_enrolment,
    make_guest,
    make_outcome,
    make_user,
)
from tests.query_counts import statements

TOKEN = re.compile(r'(?<=value=")[\w.-]{60,}(?=")|(?<=content=")[\w.-]{60,}(?=")')


def people(course: Course) -> list[User]:
    """Learners who differ in one thing each: outcome, its age, what they have done and when, finishing, guest, roles."""
    found = [make_guest(), make_user(), make_user(roles=("owner",)), make_user(roles=("marketer",)), make_user(roles=("instructor",))]
    for outcome in Outcome:
        found.append(make_user())
        make_outcome(found[-1], outcome)
    found.append(make_user())
    make_outcome(found[-1], Outcome.AHEAD, decided_at=NOW - timedelta(days=200))
    lessons = lessons_of(course)
    for done, days in (((0,), 1), ((0,), 2), ((1,), 1), ((0, 1), 1), ((2,), 1), ((0, 1, 2), 1)):
        found.append(make_user())
        for index in done:
            make_completion(found[-1], lessons[index], completed_at=NOW - timedelta(days=days))
    for person in found:
        make_enrolment(person, course)
    for days in (0, 3):  # before and after the last change of the course
        found.append(make_user())
        make_enrolment(found[-1], course, finished_at=NOW - timedelta(days=days))
    return found


@pytest.fixture
def course(app: Flask) -> Course:
    """Four lessons, two of them behind the check; it was changed the day before yesterday."""
    return make_course(needs=(("none", "none"), ("gentle", "touch")), changed_at=NOW - timedelta(days=2))


@pytest.fixture
def browsers(app: Flask, course: Course) -> list[Client]:
    """One signed-in browser for each of the people."""
    found = []
    for person in people(course):
        client = app.test_client()
        assert isinstance(client, Client)
        client.sign_in(person)
        found.append(client)
    return found


def test_everyone_sees_the_page_that_would_be_made_for_them_alone(app: Flask, course: Course, browsers: list[Client]) -> None:
    addresses = [f"/lessons/{lesson.public_id}" for lesson in lessons_of(course)]

    def seen(forget: bool) -> list[str]:
        pages = []
        for browser in browsers:
            for address in addresses:
                if forget:
                    app.extensions["pages"].clear()
                pages.append(TOKEN.sub("…", browser.get(address).text))
        return pages

    alone = seen(forget=True)
    seen(forget=False)
    assert seen(forget=False) == alone
    assert len(set(alone)) > 25  # they do differ


def test_the_token_in_a_kept_page_is_the_readers_own(course: Course, browsers: list[Client]) -> None:
    lesson = lessons_of(course)[0].public_id
    tokens = set()
    for browser in (browsers[1], browsers[0], browsers[1]):
        page = browser.visit("learning.lesson", id=lesson).text
        found = set(TOKEN.findall(page))
        assert len(found) == 1, found
        tokens |= found
        (token,) = found
        assert browser.post(f"/lessons/{lesson}/completion", data={"csrf_token": token, "done": "1"}).status_code == 303
        assert browser.post(f"/lessons/{lesson}/completion", data={"csrf_token": token, "done": "0"}).status_code == 303
    assert len(tokens) >= 2


def test_a_page_with_its_readers_token_in_it_is_never_kept(app: Flask) -> None:
    with app.test_request_context(), pytest.raises(RuntimeError, match="own form token"):
        web.kept_page(("careless",), generate_csrf)
    with app.test_request_context(), pytest.raises(RuntimeError, match="own form token"):
        web.kept_page(("careless",), lambda: render_template_string("{{ csrf_token() }}"))
    assert app.extensions["pages"] == {}


def test_a_kept_page_costs_two_statements(course: Course, browsers: list[Client]) -> None:
    lesson = lessons_of(course)[0].public_id
    browsers[1].visit("learning.lesson", id=lesson)
    with statements() as sent:
        browsers[1].visit("learning.lesson", id=lesson)
    assert len(sent) == 2, sent


def test_a_changed_course_shows_at_once(course: Course, browsers: list[Client]) -> None:
    lesson = lessons_of(course)[0]
    assert "Quite another title" not in browsers[1].visit("learning.lesson", id=lesson.public_id).text
    lesson.title, course.version = "Quite another title", course.version + 1
    assert "Quite another title" in browsers[1].visit("learning.lesson", id=lesson.public_id).text


def test_memory_is_bounded(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "PAGES_KEPT", 5)
    asked: list[int] = []

    def page(number: int) -> Callable[[], str]:
        return lambda: str(asked.append(number) or number)

    with app.test_request_context():
        for number in range(12):
            web.kept_page(("page", number), page(number))
        web.kept_page(("page", 11), page(11))
        assert asked == list(range(12))  # the last was kept
        web.kept_page(("page", 0), page(0))
        assert asked[-1] == 0  # the first was not
        assert "form_token" not in g
    assert len(app.extensions["pages"]) == 5
