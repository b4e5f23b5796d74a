"""The public page: what it says, that it comes from memory, and that it tells no visitor of another."""

import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from courseapp.catalog import landing
from courseapp.catalog.models import Lesson
from courseapp.extensions import db
from tests.client import Client
from tests.factories import NOW, lesson_that_needs, lessons_of, make_course, make_guest, make_lesson, make_module, make_user
from tests.query_counts import statements

TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


def new_client(app: Flask) -> Client:
    """A further browser."""
    made = app.test_client()
    assert isinstance(made, Client)
    return made


def test_the_page_says_what_the_course_is_what_is_in_it_and_for_whom(client: Client) -> None:
    make_course()
    page = client.visit("catalog.landing").text
    assert "<title>A course in plain words</title>" in page
    for words in ("What this course is, in one sentence.", "Module 1", "Lesson number 4", "Anyone", "Nobody", "Why?", "The article."):
        assert words in page


def test_one_whole_lesson_can_be_read_there_and_no_other(client: Client) -> None:
    course = make_course()
    page = client.visit("catalog.landing").text
    shown = [lesson.key for lesson in lessons_of(course) if f"The text of {lesson.key}." in page]
    assert shown == ["lesson-1-1"]


def test_a_retired_or_unpublished_lesson_is_not_on_it(client: Client) -> None:
    course = make_course(needs=(("none", "none", "none", "none"),))
    first, second, third, _fourth = lessons_of(course)
    first.retired_at, second.published_at, third.title = NOW, None, "Shown all the same"
    page = client.visit("catalog.landing").text
    assert "Lesson number 1" not in page
    assert "Lesson number 2" not in page
    assert "Shown all the same" in page
    assert "The text of lesson-1-1." not in page  # it was the sample


def test_it_may_be_found_and_shared_and_no_other_page_may(client: Client) -> None:
    make_course()
    page = client.visit("catalog.landing").text
    assert "noindex" not in page
    assert '<meta property="og:title" content="A course in plain words">' in page
    assert '<link rel="canonical" href="http://127.0.0.1:8000/">' in page
    card = re.search(r'property="og:image" content="http://127\.0\.0\.1:8000(/static/img/share\.png\?v=\w+)"', page)
    assert card
    assert client.get(card[1]).headers["Content-Type"] == "image/png"
    assert "noindex" in client.visit("learning.start").text


def test_where_nothing_is_published_it_says_so_kindly_and_is_not_to_be_found(client: Client) -> None:
    make_course(published_at=None)
    answer = client.visit("catalog.landing")
    assert answer.status_code == 200
    assert "There is no course here yet" in answer.text
    assert "noindex" in answer.text


def test_another_course_has_its_own_page_and_an_unknown_one_none(client: Client) -> None:
    make_course()
    make_course(slug="second", title="The second", headline="Another course")
    assert "Another course" in client.visit("catalog.course", slug="second").text
    assert client.visit("catalog.course", slug="third").status_code == 404
    first = client.visit("catalog.course", slug="introduction")
    assert (first.status_code, first.location) == (301, "/")


def test_a_warm_page_asks_the_database_nothing(client: Client) -> None:
    make_course()
    client.visit("catalog.landing")
    with statements() as sent:
        answer = client.visit("catalog.landing")
    assert answer.status_code == 200
    assert sent == []


def test_an_empty_place_is_remembered_too(client: Client) -> None:
    client.visit("catalog.landing")
    with statements() as sent:
        client.visit("catalog.landing")
    assert sent == []


def test_two_visitors_never_share_a_form_token_and_each_token_works(app: Flask, client: Client) -> None:
    make_course()
    other = new_client(app)
    tokens = [TOKEN.findall(visitor.visit("catalog.landing").text) for visitor in (client, other, client)]
    assert all(tokens)
    assert len(set(tokens[0])) == 1
    assert set(tokens[0]) != set(tokens[1])
    assert client.post("/start", data={"csrf_token": tokens[2][0]}).status_code == 303
    assert other.post("/start", data={"csrf_token": tokens[0][0]}).status_code == 400  # another's token counts for nothing
    assert other.post("/start", data={"csrf_token": tokens[1][0]}).status_code == 303


def test_the_mark_in_whose_place_tokens_are_put_is_never_shown(client: Client) -> None:
    make_course()
    for _time in range(2):
        assert "form-token-goes-here" not in client.visit("catalog.landing").text


def test_what_one_visitor_is_told_is_told_to_nobody_else(app: Flask, client: Client) -> None:
    make_course()
    with client.session_transaction() as session:
        session["_flashes"] = [("message", "For you alone.")]
    assert "For you alone." in client.visit("catalog.landing").text
    assert "For you alone." not in new_client(app).visit("catalog.landing").text
    assert "For you alone." not in client.visit("catalog.landing").text


@pytest.mark.parametrize("make_person", [make_guest, make_user])
def test_what_a_signed_in_person_sees_is_not_kept_for_others(app: Flask, client: Client, make_person: Any) -> None:
    make_course()
    client.sign_in(make_person())
    assert "My course" in client.visit("catalog.landing").text
    page = new_client(app).visit("catalog.landing").text
    assert "My course" not in page
    assert "Sign in" in page


def test_a_change_shows_once_the_memory_has_grown_old(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    course = make_course()
    moment = 1000.0
    monkeypatch.setattr(landing.time, "monotonic", lambda: moment)
    client.visit("catalog.landing")
    course.headline, course.version = "New words", course.version + 1
    moment += landing.FRESH_FOR - 0.1
    assert "New words" not in client.visit("catalog.landing").text
    moment += 0.2
    assert "New words" in client.visit("catalog.landing").text
    course.published_at = None
    moment += landing.FRESH_FOR + 0.1
    assert "There is no course here yet" in client.visit("catalog.landing").text


def test_the_memory_of_many_addresses_stays_small(client: Client) -> None:
    for number in range(130):
        client.get(f"/courses/nothing-{number}")
    assert len(client.application.extensions["landings"]) <= landing.LANDINGS_KEPT


@pytest.mark.settings(old_path="/pelvic-massage/")
def test_who_comes_by_the_old_address_is_led_to_the_new(client: Client) -> None:
    make_course()
    for path in ("/pelvic-massage", "/pelvic-massage/"):
        answer = client.get(path)
        assert (answer.status_code, answer.location) == (301, "/")
    assert client.get("/pelvic-massage/more").status_code == 404


def test_without_an_old_address_there_is_no_redirect(client: Client) -> None:
    make_course()
    assert client.visit("catalog.landing").status_code == 200


def test_search_engines_may_read_the_public_pages_alone(client: Client) -> None:
    answer = client.visit("catalog.robots")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "Allow: /$\n" in answer.text
    assert answer.text.endswith("Disallow: /\n")


def test_the_open_copy_is_offered_under_a_neutral_name_once_it_is_built(client: Client) -> None:
    from courseapp import clock
    from courseapp.catalog.copies import want_copies
    from courseapp.learning.loops import build_copies

    course = make_course()
    want_copies(course, NOW)
    waiting = client.visit("catalog.open_copy", slug="introduction")
    assert "Your copy is being made" in waiting.text
    db.session.commit()
    assert build_copies(clock.now) == 3
    answer = client.visit("catalog.open_copy", slug="introduction")
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"] == "attachment; filename=your-course-v1.pdf"
    assert answer.data.startswith(b"%PDF-")
    assert client.visit("catalog.open_copy", slug="nothing").status_code == 404


def test_totals_count_modules_lessons_and_minutes_of_what_is_released(app: Flask) -> None:
    from courseapp.catalog.outline import outline_of, totals_of

    course = make_course(needs=(("none", "touch"), ("none",)))
    make_lesson(make_module(course), minutes=90, published_at=None)
    found = totals_of(outline_of(course))
    assert (found.modules, found.lessons, found.minutes) == (2, 3, 15)


def test_lessons_are_numbered_through_the_course_without_gaps(app: Flask) -> None:
    from courseapp.catalog.outline import outline_of

    course = make_course(needs=(("none", "none"), ("gentle",), ("none",)))
    lessons_of(course)[1].retired_at = NOW + timedelta(0)
    lesson: Lesson = lesson_that_needs(course, "gentle")
    numbers = {row.key: (module.number, row.number) for module in outline_of(course) for row in module.lessons}
    assert numbers == {"lesson-1-1": (1, 1), lesson.key: (2, 2), "lesson-3-1": (3, 3)}
