"""A marketer's day in a browser: a segment, a letter to those in it, looked at, tried out, scheduled, watched, paused, sent, its sums."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from flask import Flask
from playwright.sync_api import expect

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.campaigns.loops import work_broadcasts
from courseapp.contacts.models import Contact, Purpose
from courseapp.extensions import db
from courseapp.mailing.loops import close_door, drain
from courseapp.mailing.models import Message, State
from tests.factories import make_consent, make_contact, make_user
from tests.journeys.test_every_page import enter, faults_of

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Page

__all__ = ["enter"]
pytestmark = pytest.mark.one_database
NAMED, NAMELESS = 7, 4


@pytest.fixture
def people(app: Flask) -> None:
    """Some who agreed to hear of further courses, with and without a name; one who did not."""
    for number in range(NAMED + NAMELESS):
        contact = make_contact(f"person{number}@example.org", first_name="Ada" if number < NAMED else None)
        make_consent(contact, Purpose.MARKETING)
    make_contact("silent@example.org", first_name="Ada")
    db.session.commit()


@pytest.fixture
def marketer(people: None, page: "Page", enter: Callable[..., User]) -> User:
    """The browser is a marketer's."""
    user = enter(make_user("marketer@example.org", roles=("marketer",)))
    db.session.commit()
    return user


def work() -> None:
    """What the worker does when it is woken."""
    db.session.commit()
    work_broadcasts(clock.now)
    drain(clock.now)
    close_door()
    work_broadcasts(clock.now)
    db.session.rollback()


def left() -> list[str]:
    """Whose mail of a broadcast has left."""
    query = sa.select(Contact.address).join(Message, Message.contact_id == Contact.id)
    return sorted(map(str, db.session.scalars(query.where(Message.state == State.ACCEPTED, Message.dedupe_key.like("broadcast:%")))))


def test_from_a_segment_to_the_sums(marketer: User, page: "Page", pass_time: Callable[..., object]) -> None:
    faults = segment_of_named(page)
    page.goto("/staff/mail/broadcasts")
    page.get_by_role("link", name="Write the first one").click()
    faults += faults_of(page, "a new broadcast")
    page.get_by_label("Name among staff").fill("What comes next")
    page.get_by_label("For whom").select_option(label="Those who told a name")
    page.get_by_label("Subject", exact=True).fill("Two courses")
    page.get_by_label("Preheader", exact=True).fill("And what they cost")
    page.get_by_label("Letter", exact=True).fill('Hello {{ first_name | default("there") }}, there are two new courses.')
    page.get_by_label("Not before").fill("00:00")
    page.get_by_label("Not after").fill("00:00")
    page.get_by_role("button", name="Keep the draft").click()
    page.get_by_role("button", name="Keep it and look at it").click()
    expect(page.locator("main")).to_contain_text(f"it goes to {NAMED} people")
    expect(page.frame_locator("iframe").first.locator("body")).to_contain_text("Hello Ada")
    faults += faults_of(page, "the look")
    page.get_by_role("button", name="Send it to this address").click()
    expect(page.get_by_role("status")).to_contain_text("on its way to marketer@example.org")
    page.get_by_label("Date").fill("2026-11-02")
    page.get_by_label("Time").fill("18:00")
    page.get_by_role("button", name="Schedule it").click()
    expect(page.locator("main")).to_contain_text("It begins on November 2, 2026")
    faults += faults_of(page, "scheduled")
    work()
    assert left() == []
    pass_time(hours=9, minutes=1)
    page.get_by_role("button", name="Pause").click()
    work()
    assert left() == []
    page.get_by_role("button", name="Go on").click()
    db.session.commit()
    work_broadcasts(clock.now)
    db.session.commit()
    page.reload()
    expect(page.locator("main")).to_contain_text("are on their way")
    faults += faults_of(page, "being sent")
    work()
    page.reload()
    expect(page.locator("main")).to_contain_text(f"of {NAMED}")
    expect(page.locator(".page-head .tag")).to_have_text("sent")
    faults += faults_of(page, "sent")
    assert left() == [f"person{number}@example.org" for number in range(NAMED)]
    page.get_by_role("link", name="Broadcasts").last.click()
    expect(page.locator("tbody tr")).to_contain_text(f"{NAMED} people")
    faults += faults_of(page, "broadcasts")
    assert faults == []


def test_cancelling_asks_first_and_keeps_what_has_not_left(marketer: User, page: "Page", pass_time: Callable[..., object]) -> None:
    page.goto("/staff/mail/broadcasts/new")
    page.get_by_label("Name among staff").fill("A mistake")
    page.get_by_label("Subject", exact=True).fill("Oh")
    page.get_by_label("Preheader", exact=True).fill("No")
    page.get_by_label("Letter", exact=True).fill("Wrong words.")
    page.get_by_role("button", name="Keep the draft").click()
    page.get_by_role("button", name="Keep it and look at it").click()
    page.get_by_role("button", name=f"Send it to {NAMED + NAMELESS} people now").click()
    page.get_by_role("button", name="Cancel what has not left").click()
    expect(page.locator("h1")).to_have_text("Cancel what has not left?")
    faults = faults_of(page, "cancelling")
    page.get_by_role("link", name="No, go back").click()
    page.get_by_role("button", name="Cancel what has not left").click()
    page.get_by_role("button", name="Yes, cancel it").click()
    expect(page.locator(".page-head .tag")).to_have_text("cancelled")
    pass_time(days=2)
    work()
    assert (left(), faults) == ([], [])


def segment_of_named(page: "Page") -> list[str]:
    """Make a segment by the page; what is wrong with that page."""
    page.goto("/staff/mail/segments/new")
    page.get_by_label("Name").fill("Those who told a name")
    page.get_by_role("button", name="Add a condition").first.click()
    page.get_by_label("What").select_option("name")
    expect(page.get_by_label("How")).to_have_value("known")
    faults = faults_of(page, "a segment")
    page.get_by_role("button", name="Save the segment").click()
    expect(page.get_by_role("status").first).to_contain_text("The segment is saved.")
    return faults
