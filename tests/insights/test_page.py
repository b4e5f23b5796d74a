"""The page: who may open it, what it says, and that it is valid and says nothing of checked lessons."""

import re
from collections.abc import Sequence

import pytest
from flask import Flask

from courseapp import clock
from courseapp.catalog.models import Course
from courseapp.extensions import db
from courseapp.insights.loops import renew_figures
from courseapp.learning.models import Arrival, Enrolment, Source
from tests.client import Client
from tests.factories import days_ago, lessons_of, make_completion, make_course, make_enrolment, make_guest, make_user
from tests.query_counts import statements


def crowd(course: Course, *reached: int) -> None:
    """A person for each number: so many lessons they have done, each in order."""
    lessons = lessons_of(course)
    for count in reached:
        user = make_guest()
        make_enrolment(user, course, started_at=days_ago(9), finished_at=days_ago(2) if count == len(lessons) else None)
        for lesson in lessons[:count]:
            make_completion(user, lesson, completed_at=days_ago(5))
    renew_figures(clock.now)


@pytest.mark.parametrize(
    ("roles", "status"),
    [(["instructor"], 200), (["owner"], 200), (["marketer"], 404), ([], 404)],
    ids=["instructor", "owner", "marketer", "learner"],
)
def test_only_instructors_and_owners_open_it(client: Client, roles: Sequence[str], status: int) -> None:
    make_course()
    client.sign_in(make_user(roles=roles))
    assert client.visit("insights.course", slug="introduction").status_code == status
    assert client.visit("insights.course", slug="no-such-course").status_code == 404


def test_what_it_says(client: Client) -> None:
    course = make_course(needs=[["none", "none", "none"], ["touch"]])
    crowd(course, *[0] * 6, *[1] * 6, *[4] * 13)
    client.sign_in(make_user(roles=["instructor"]))
    page = client.visit("insights.course", slug="introduction").text
    stats = re.findall(r'stat-number">([^<]*)<', page)
    assert stats == ["25", "15", "10", "7 days"]
    cells = re.findall(r'<th scope="row">(Lesson number \d)</th>\s*<td class="amount">([^<]*)</td>\s*<td class="amount">([^<]*)</td>', page)
    assert cells == [("Lesson number 1", "15", "–"), ("Lesson number 2", "10", "−5"), ("Lesson number 3", "10", "–")]
    assert "Lesson number 4" not in page


def test_before_five_have_come(client: Client) -> None:
    course = make_course()
    crowd(course, 2, 2, 2, 2)
    client.sign_in(make_user(roles=["instructor"]))
    page = client.visit("insights.course", slug="introduction").text
    assert "Too early to say" in page
    assert "<svg" not in page.partition("<main")[2].partition('id="sources"')[0]


def test_small_numbers_are_words(client: Client) -> None:
    course = make_course(needs=[["none", "none"]])
    crowd(course, 0, 0, 0, 1, 1, 1, 2)
    client.sign_in(make_user(roles=["instructor"]))
    page = client.visit("insights.course", slug="introduction").text
    assert re.findall(r'stat-number">([^<]*)<', page) == ["5", "fewer than five", "fewer than five", "–"]


def test_what_other_pages_of_staff_say_of_how_many_take_a_course(client: Client) -> None:
    course = make_course()
    client.sign_in(make_user(roles=["instructor"]))
    for there, listed, asked in ((4, "fewer than five", False), (5, "5", True), (9, "5", True), (10, "10", True)):
        crowd(course, *[0] * (there - db.session.query(Enrolment).count()))
        cell = re.findall(r'<td class="amount"><a href="[^"]*insights">([^<]*)<', client.visit("authoring.courses").text)
        assert cell == [listed], there
        page = client.visit("authoring.ask_to_withdraw", slug="introduction").text
        assert (f"At least {listed} people" in page) is asked


def test_a_link_is_made_on_the_page(client: Client, now) -> None:
    make_course()
    client.sign_in(make_user(roles=["instructor"]))
    answer = client.submit("insights.course", {"word": "Flyer"}, to="insights.add_source", slug="introduction")
    assert answer.status_code == 303
    page = client.visit("insights.course", slug="introduction").text
    assert "/?from=flyer</code>" in page
    again = client.submit("insights.course", {"word": "two <words>"}, to="insights.add_source", slug="introduction")
    assert again.status_code == 422
    assert 'value="two &lt;words&gt;"' in again.text
    assert 'aria-invalid="true"' in again.text
    assert db.session.query(Source).count() == 1


def test_another_course_has_no_links(client: Client) -> None:
    make_course()
    make_course(slug="second")
    client.sign_in(make_user(roles=["owner"]))
    assert 'id="sources"' not in client.visit("insights.course", slug="second").text
    token = client.csrf_token("insights.course", slug="introduction")
    data = {"csrf_token": token, "word": "flyer"}
    assert client.post(client.path("insights.add_source", slug="second"), data=data).status_code == 404


def test_days_stand_in_a_table_beside_their_chart(client: Client) -> None:
    course = make_course()
    source = Source(course_id=course.id, word="flyer", created_at=days_ago(9))
    db.session.add(source)
    db.session.flush()
    db.session.add_all(Arrival(source_id=source.id, day=days_ago(ago).date(), count=count) for ago, count in ((0, 90), (1, 7), (2, 4)))
    client.sign_in(make_user(roles=["owner"]))
    page = client.visit("insights.course", slug="introduction").text
    table = page.partition('id="days-1-caption"')[2].partition("</table>")[0]
    assert re.findall(r'<th scope="row">([^<]*)</th>\s*<td class="amount">(\d+)</td>', table) == [("November 1, 2026", "10")]
    chart = page.partition('aria-labelledby="source-chart-1-title')[2].partition("</svg>")[0]
    assert re.findall(r'height="([\d.]+)%"', chart).count("0.0") == 29


def test_the_page_asks_little_and_changes_nothing(app: Flask, client: Client) -> None:
    course = make_course()
    crowd(course, *[1] * 10)
    client.sign_in(make_user(roles=["owner"]))
    client.visit("insights.course", slug="introduction")
    with statements() as sent:
        client.visit("insights.course", slug="introduction")
    assert len(sent) <= 5, sent
    assert all(statement.startswith("SELECT") for statement in sent)
