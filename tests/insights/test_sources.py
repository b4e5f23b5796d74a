"""Where learners came from: a total a day for links that staff made, and nothing of anybody."""

from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.catalog.models import Course
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.insights.sources import SHOWN, source_figures
from courseapp.learning.arrivals import MOST, make_source
from courseapp.learning.models import Arrival, Enrolment, Source
from tests.client import Client
from tests.factories import NOW, make_course, make_user
from tests.query_counts import statements

TODAY = NOW.date()


def visitor(app: Flask) -> Client:
    """Another browser."""
    made = app.test_client()
    assert isinstance(made, Client)
    return made


def counted() -> list[tuple[str, date, int]]:
    """Everything that is counted."""
    rows = db.session.execute(sa.select(Source.word, Arrival.day, Arrival.count).join(Arrival).order_by(Source.word, Arrival.day))
    return [tuple(row) for row in rows]


@pytest.fixture
def course(app: Flask) -> Course:
    """The course that the site begins with, with one link."""
    made = make_course()
    make_source(made.id, "flyer", NOW)
    db.session.commit()
    return made


def arrive(browser: Client, way: str, page: str = "/", **data: str) -> None:
    """Come by an address, look around, start."""
    assert browser.get(way).status_code == 200
    browser.get("/help-now")
    assert browser.submit(page, data, to="learning.start").status_code == 303


@pytest.mark.parametrize("way", ["/?from=flyer", "/start?from=flyer"])
def test_a_start_by_a_link_is_counted_for_its_day(app: Flask, course: Course, pass_time, way: str) -> None:
    arrive(visitor(app), way)
    arrive(visitor(app), way, address="new@example.org")
    pass_time(days=1)
    arrive(visitor(app), way)
    assert counted() == [("flyer", TODAY, 2), ("flyer", TODAY + timedelta(days=1), 1)]


def test_a_start_without_a_link_or_by_a_word_nobody_made_is_not_counted(app: Flask, course: Course) -> None:
    for way in ("/", "/?from=", "/?from=u-4711", "/?from=%00", "/?from=Flyer", "/?from=flyer%20", "/?from=" + "x" * 3000):
        arrive(visitor(app), way)
    assert counted() == []
    assert db.session.query(Enrolment).count() == 7


def test_looking_is_not_counted_and_starting_again_neither(app: Flask, course: Course) -> None:
    browser = visitor(app)
    arrive(browser, "/?from=flyer")
    arrive(browser, "/start?from=flyer", "/start")
    arrive(browser, "/start?from=flyer", "/start", address="new@example.org")
    visitor(app).get("/?from=flyer")
    assert counted() == [("flyer", TODAY, 1)]


def test_who_has_the_course_is_not_counted_and_the_word_is_gone(app: Flask, course: Course) -> None:
    browser = visitor(app)
    browser.sign_in(make_user())
    arrive(browser, "/start?from=flyer", "/start")
    with browser.session_transaction() as session:
        assert "from" not in session
    arrive(browser, "/start", "/start")
    assert counted() == [("flyer", TODAY, 1)]


def test_a_start_that_was_refused_is_counted_when_it_succeeds(app: Flask, course: Course) -> None:
    browser = visitor(app)
    browser.get("/start?from=flyer")
    assert browser.submit("/start", {"address": "nobody"}).status_code == 200
    assert counted() == []
    browser.submit("/start", {"address": "somebody@example.org"})
    assert counted() == [("flyer", TODAY, 1)]


def test_the_landing_page_is_the_same_page_and_asks_nothing(app: Flask, course: Course) -> None:
    browser = visitor(app)
    plain = browser.get("/").text
    with statements() as sent:
        page = browser.get("/?from=flyer")
    assert sent == []
    assert page.text == plain
    assert [cookie.split("=")[0] for cookie in page.headers.getlist("Set-Cookie")] == ["session"]


@pytest.mark.parametrize(("address", "together"), [("", 3), ("new@example.org", 4)])
def test_a_link_costs_a_start_one_question(app: Flask, course: Course, address: str, together: int) -> None:
    if db.engine.dialect.name != "postgresql":
        together += 10  # one after the other there
    for who in ("first", "next", "usual"):
        browser = visitor(app)
        data = {"csrf_token": browser.csrf_token("/start?from=flyer"), "address": address and f"{who}@example.org", "marketing": "y"}
        with statements() as sent:
            assert browser.post("/start", data=data).status_code == 303
        db.session.remove()
    assert len(sent) <= together, "\n".join(sent)
    assert counted() == [("flyer", TODAY, 3)]


def test_nothing_that_is_counted_points_to_anybody(app: Flask) -> None:
    named = {key.column.table.name for table in (Source, Arrival) for key in table.__table__.foreign_keys}
    assert named == {"courses", "sources"}
    assert set(Arrival.__table__.c.keys()) == {"id", "source_id", "day", "count"}


def test_what_is_shown_of_days(course: Course) -> None:
    source = db.session.scalars(sa.select(Source.id)).one()
    make_source(course.id, "quiet", NOW)
    for ago, count in ((SHOWN + 9, 3), (SHOWN + 2, 3), (SHOWN, 3), (3, 2), (2, 4), (1, 6), (0, 50)):
        db.session.add(Arrival(source_id=source, day=TODAY - timedelta(days=ago), count=count))
    db.session.flush()
    flyer, quiet = source_figures(course.id, TODAY)
    told = {(TODAY - day).days: count for day, count in flyer.days if count}
    assert (len(flyer.days), told) == (SHOWN, {3: 5, 2: 5, 1: 5})  # 6 came before, of whom one is carried on; today is not over
    assert (flyer.total, flyer.most) == (20, 5)
    assert (quiet.word, quiet.total, quiet.most) == ("quiet", 0, 0)


@pytest.mark.parametrize("typed", ["", "Two words", "ü", "a" * 31, "<b>", "a/b", "%", "flyer\n-"])
def test_a_word_that_will_not_do_is_refused(course: Course, typed: str) -> None:
    with pytest.raises(Refusal):
        make_source(course.id, typed, NOW)


def test_a_course_has_only_so_many_links(course: Course) -> None:
    for number in range(MOST - 1):
        make_source(course.id, f"place-{number}", NOW)
    with pytest.raises(Refusal):
        make_source(course.id, "one-more", NOW)
    assert make_source(course.id, " FLYER ", NOW) == "flyer"
    assert db.session.query(Source).count() == MOST
