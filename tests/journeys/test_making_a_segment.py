"""A marketer makes a segment in a real browser: rows follow what is chosen, the count follows what is typed; and the same by keys alone."""

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.campaigns.models import Segment
from courseapp.catalog.models import Course
from courseapp.extensions import db
from tests.campaigns.crowd import is_, learner
from tests.client import Client
from tests.factories import make_user

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Page

pytestmark = pytest.mark.one_database


@pytest.fixture
def marketer(app: Flask, page: "Page") -> User:
    """A marketer, signed in in this page's browser, and learners to choose."""
    course = db.session.scalars(sa.select(Course)).one()
    for name, days, done in (("ada", 45, True), ("bo", 45, False), ("cy", 10, True)):
        learner(name, course, days, done, first_name=name.title())
    user = make_user("marketer@example.org", roles=["marketer"])
    client = app.test_client()
    assert isinstance(client, Client)
    client.sign_in(user)
    cookie = client.get_cookie("session")
    assert cookie is not None
    page.goto("/healthz")
    page.context.add_cookies([{"name": "session", "value": cookie.value, "url": page.url}])
    return user


def counted(page: "Page", words: str) -> None:
    """Wait until the page says so."""
    page.locator("[data-count]", has_text=words).wait_for()


def test_rows_and_count_follow_what_is_chosen(marketer: User, page: "Page") -> None:
    page.goto("/staff/mail/segments")
    page.get_by_role("link", name="Make a segment").click()
    counted(page, "4 people")
    page.fill("#name", "Begun a month ago")
    page.get_by_role("button", name="Add a condition").click()
    page.locator("[name='r.0:field']").select_option("enrolled_at")
    page.locator("[name='r.0:op']").select_option("between_days")
    counted(page, "2 people")
    page.get_by_role("button", name="Add a group").click()
    page.locator("[name='r.1.0:field']").select_option("progress")
    page.locator("[name='r.1.0:standing']").select_option("begun")
    page.locator("[data-look]", has_text="a…@example.org").wait_for()
    counted(page, "1 person")
    page.locator("[name='r.0:to']").fill("soon")
    counted(page, "Nobody can be counted yet.")
    page.locator("[name='r.0:to']").fill("40")
    counted(page, "0 people")
    assert page.locator("[name='r.0:to']").evaluate("one => one === document.activeElement"), "who types is not interrupted"
    page.locator("[name='r.0:to']").fill("60")
    assert db.session.scalars(sa.select(Segment)).all() == []
    page.get_by_role("button", name="Save the segment").click()
    page.wait_for_url(lambda url: "/new" not in url)
    kept = db.session.scalars(sa.select(Segment)).one()
    enrolled = is_("enrolled_at", "between_days", **{"course": "any", "from": 30, "to": 60})
    assert kept.tree == {"all": [enrolled, {"any": [is_("progress", "is", course="any", standing="begun")]}]}
    page.get_by_role("button", name="Remove this group").click()
    counted(page, "2 people")
    page.get_by_role("button", name="Put this segment away").click()
    page.get_by_text("is put away").wait_for()


def test_enter_in_a_field_counts_and_removes_nothing(marketer: User, page: "Page") -> None:
    page.goto("/staff/mail/segments/new")
    page.get_by_role("button", name="Add a condition").click()
    page.locator("[name='r.0:field']").select_option("since")
    page.locator("[name='r.0:days']").fill("1")
    page.locator("[name='r.0:days']").press("Enter")
    counted(page, "1 person")
    assert page.locator("[name='r.0:days']").count() == 1
