"""Beginning a course that is somebody's, beside the one this site begins with."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.billing.models import Kind
from courseapp.catalog.models import Course
from courseapp.extensions import db
from courseapp.learning.models import Enrolment
from tests.client import Client
from tests.factories import NOW, lessons_of, make_course, make_enrolment, make_entitlement, make_guest, make_tier, make_user

DAY = timedelta(days=1)


@pytest.fixture
def paid(app: Flask) -> Course:
    """A paid course beside the front one."""
    make_course(title="The free one")
    return make_course(title="The other way", summary="How it goes on.", paid_at=NOW)


def taken() -> list[int]:
    """Which courses are taken."""
    return list(db.session.scalars(sa.select(Enrolment.course_id)))


@pytest.mark.parametrize("is_guest", [True, False])
def test_what_is_theirs_waits_below_what_they_take_and_begins_by_a_button(client: Client, paid: Course, is_guest: bool) -> None:
    user = client.sign_in(make_guest() if is_guest else make_user())
    make_enrolment(user, db.session.scalars(sa.select(Course).order_by(Course.id)).first())
    make_entitlement(user, make_tier(opens=paid), Kind.PURCHASE)
    page = client.visit("learning.my_courses")
    assert page.status_code == 200
    assert "The free one" in page.text
    assert "Yours, and not begun yet" in page.text
    begun = client.submit("learning.my_courses", {}, to="learning.take", slug=paid.slug)
    assert (begun.status_code, begun.location) == (303, f"/learn/{paid.slug}")
    assert paid.id in taken()
    assert "Yours, and not begun yet" not in client.visit("learning.my_courses").text
    assert client.visit("learning.lesson", id=lessons_of(paid)[0].public_id).status_code == 200


def test_its_own_address_says_what_it_is_and_begins_it(client: Client, paid: Course) -> None:
    make_entitlement(client.sign_in(make_user()), make_tier(opens=paid))
    page = client.visit("learning.course", slug=paid.slug).text
    assert "<h1>The other way</h1>" in page
    assert "How it goes on." in page
    assert "<title>Begin · " in page  # no title gives away what it is about
    assert client.submit("learning.course", {}, to="learning.take", slug=paid.slug).status_code == 303
    assert taken() == [paid.id]


def test_beginning_twice_begins_once_and_works_when_it_has_lapsed_since(client: Client, paid: Course) -> None:
    held = make_entitlement(client.sign_in(make_user()), make_tier(opens=paid))
    token = {"csrf_token": client.csrf_token("accounts.settings")}
    for _time in range(2):
        assert client.post(f"/learn/{paid.slug}/start", data=token).status_code == 303
    held.ends_at = NOW
    assert client.post(f"/learn/{paid.slug}/start", data=token).status_code == 303
    assert taken() == [paid.id]
    page = client.visit("learning.course", slug=paid.slug).text
    assert "This course is closed to you at the moment. What you did in it is kept." in page
    assert "copy.pdf" not in page


@pytest.mark.parametrize("how", ["nothing", "another tier", "lapsed", "to come", "withdrawn", "free"])
def test_what_is_not_theirs_is_not_there(client: Client, paid: Course, how: str) -> None:
    user, course = client.sign_in(make_user()), paid
    tier = make_tier(opens=paid)
    if how == "another tier":
        make_entitlement(user, make_tier(opens=make_course()))
    elif how == "free":
        course = make_course()
    elif how != "nothing":
        times = {"lapsed": {"ends_at": NOW}, "to come": {"begins_at": NOW + DAY}, "withdrawn": {}}
        make_entitlement(user, tier, **times[how])
        paid.published_at = None if how == "withdrawn" else paid.published_at
    token = {"csrf_token": client.csrf_token("accounts.settings")}
    assert client.visit("learning.course", slug=course.slug).status_code == 404
    assert client.post(f"/learn/{course.slug}/start", data=token).status_code == 404
    assert taken() == []


def test_one_course_and_nothing_waiting_leads_straight_to_it(client: Client, paid: Course) -> None:
    user = client.sign_in(make_user())
    make_entitlement(user, make_tier(opens=paid))
    assert client.visit("learning.my_courses").status_code == 200
    make_enrolment(user, paid)
    assert client.visit("learning.my_courses").location == f"/learn/{paid.slug}"


def test_who_has_no_session_is_asked_to_sign_in(client: Client, paid: Course) -> None:
    token = {"csrf_token": client.csrf_token("accounts.sign_in")}
    assert client.post(f"/learn/{paid.slug}/start", data=token).status_code in (302, 303, 403)
    assert taken() == []
