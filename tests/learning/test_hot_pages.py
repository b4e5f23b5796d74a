"""What the busiest pages cost: statements and bytes, on the real course. A rise here is a decision, not an accident."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.authoring.importing import import_course
from courseapp.catalog.models import Course, Lesson
from courseapp.extensions import db
from courseapp.learning.models import Enrolment
from tests.client import Client
from tests.factories import NOW, make_completion, make_enrolment, make_entitlement, make_outcome, make_tier, make_user, modules_of
from tests.query_counts import statements

CONTENT = Path(__file__).parent.parent.parent / "content" / "introduction"
LARGEST = 40 * 1024  # bytes of a lesson page, before compression (quality.md)


def is_postgresql() -> bool:
    """Whether rows are written together."""
    return bool(db.engine.dialect.name == "postgresql")


@pytest.fixture
def lessons(app: Flask, client: Client) -> list[str]:
    """The real course, half done by whoever is signed in; the addresses of its lessons."""
    import_course(CONTENT, NOW, publish=True, without_review=True)
    db.session.commit()
    user = client.sign_in(make_user())
    make_enrolment(user, db.session.query(Course).one())
    make_outcome(user)
    found = db.session.scalars(sa.select(Lesson).order_by(Lesson.position)).all()
    for lesson in found[::2]:
        make_completion(user, lesson)
    return [lesson.public_id for lesson in found]


def test_a_lesson_page_asks_at_most_three_times(client: Client, lessons: list[str]) -> None:
    client.visit("learning.lesson", id=lessons[0])
    for lesson in lessons:
        with statements() as sent:
            assert client.visit("learning.lesson", id=lesson).status_code == 200
        assert len(sent) <= 3, sent


def test_a_course_in_which_something_is_sold_asks_as_many(app: Flask, client: Client, lessons: list[str]) -> None:
    course = db.session.query(Course).one()
    first, *_others, last = modules_of(course)
    user = db.session.scalars(sa.select(Enrolment.user_id)).one()
    make_entitlement(db.session.get_one(User, user), make_tier(opens=last))
    for each in (first, last):
        make_tier(opens=each)
    open_ones = [lesson.public_id for lesson in db.session.scalars(sa.select(Lesson).where(Lesson.module_id != first.id))]
    client.visit("learning.lesson", id=open_ones[0])
    for lesson in open_ones:
        for most in (3, 2):  # made, and then kept
            with statements() as sent:
                assert client.visit("learning.lesson", id=lesson).status_code == 200
            assert len(sent) <= most, sent
    for endpoint in ("learning.course", "learning.progress"):
        with statements() as sent:
            assert client.visit(endpoint, slug="introduction").status_code == 200
        assert len(sent) <= 4, sent


def test_no_lesson_page_is_larger_than_it_may_be(client: Client, lessons: list[str]) -> None:
    sizes = {lesson: len(client.visit("learning.lesson", id=lesson).data) for lesson in lessons}
    assert max(sizes.values()) <= LARGEST, sizes


@pytest.mark.parametrize(("endpoint", "most"), [("learning.course", 4), ("learning.progress", 4)])
def test_my_course_and_progress_ask_the_same_however_many_lessons_there_are(
    client: Client, lessons: list[str], endpoint: str, most: int
) -> None:
    client.visit(endpoint, slug="introduction")
    with statements() as sent:
        assert client.visit(endpoint, slug="introduction").status_code == 200
    assert len(sent) <= most, sent


def test_the_landing_page_asks_nothing_when_warm(app: Flask, lessons: list[str]) -> None:
    visitor = app.test_client()
    assert isinstance(visitor, Client)
    visitor.visit("catalog.landing")
    with statements() as sent:
        assert visitor.visit("catalog.landing").status_code == 200
    assert sent == []


def test_recording_progress_is_a_handful_of_statements(client: Client, lessons: list[str]) -> None:
    data = {"csrf_token": client.csrf_token("learning.lesson", id=lessons[1]), "done": "1", "next": lessons[2]}
    with statements() as sent:
        assert client.post(f"/lessons/{lessons[1]}/completion", data=data).status_code == 303
    # session and user; lesson and enrolment; completion, event and whether any is left, together where the database can
    assert len(sent) <= (3 if is_postgresql() else 4), sent
    with statements() as sent:
        assert client.post(f"/lessons/{lessons[1]}/completion", data=data).status_code == 303
    assert len(sent) <= 3, sent


def test_noting_an_opening_is_three_statements(client: Client, lessons: list[str]) -> None:
    token = client.csrf_token("learning.lesson", id=lessons[3])
    with statements() as sent:
        assert client.post(f"/lessons/{lessons[3]}/opening", headers={"X-CSRFToken": token}).status_code == 200
    assert len(sent) <= 3, sent
    assert db.session.scalars(sa.select(Enrolment.last_lesson_id)).one() is not None


@pytest.mark.parametrize(("address", "together", "in_turn"), [("", 2, 5), ("new@example.org", 3, 10)])
def test_starting_is_one_short_transaction(app: Flask, lessons: list[str], address: str, together: int, in_turn: int) -> None:
    for who in ("first", "next", "usual"):  # the first mail of an installation makes its stream, the next learns of it
        visitor = app.test_client()
        assert isinstance(visitor, Client)
        token = visitor.csrf_token("learning.start")
        data = {"csrf_token": token, "address": address and f"{who}@example.org", "course_mail": "y", "marketing": "y"}
        with statements() as sent:
            assert visitor.post("/start", data=data).status_code == 303
        db.session.remove()
    assert len(sent) <= (together if is_postgresql() else in_turn), "\n".join(sent)
