"""What a new learner does, from the public page to going on another day: with and without JavaScript."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import expect

from courseapp.accounts.models import User
from courseapp.extensions import db
from courseapp.learning.models import Completion, Enrolment
from courseapp.mailing.models import Message

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Page

ADDRESS = "new.learner@example.org"


@pytest.fixture(params=[True, False], ids=["script", "no-script"])
def context_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A telephone's width, with and without JavaScript."""
    return {"viewport": {"width": 390, "height": 844}, "java_script_enabled": request.param}


def newest_mail(page: "Page", subject: str) -> str:
    """The text of the newest mail in the outbox, opened as a person opens it."""
    page.goto("/outbox")
    first = page.locator("tbody tr").first
    assert subject in first.inner_text()
    first.get_by_role("link").click()
    return page.locator("pre").inner_text()


def start_with_an_address(page: "Page") -> None:
    """From the public page into the course."""
    page.goto("/")
    page.fill("#start-address", ADDRESS)
    page.locator("form.start button").click()
    page.wait_for_url("**/learn/introduction")


def finish_the_first_lesson(page: "Page") -> None:
    """Read it, and say so."""
    page.get_by_role("link", name="Read the first lesson").click()
    expect(page).to_have_title("Lesson 1 · Your course")
    page.get_by_role("button", name="Mark as done and go on").click()
    page.wait_for_load_state()
    expect(page).to_have_title("Lesson 2 · Your course")


def sign_in_by_code(page: "Page", work: Callable[[], None]) -> None:
    """Ask for a mail, and type its code where it was asked for."""
    page.goto("/sign-in")
    page.locator("form[action='/sign-in'] input[type=email]").first.fill(ADDRESS)
    page.locator("form[action='/sign-in'] button").first.click()
    page.wait_for_url("**/sign-in/code")
    work()
    reader = page.context.new_page()
    code = re.search(r"\b\d{6}\b", newest_mail(reader, "sign in"))
    reader.close()
    assert code
    page.fill("input[autocomplete='one-time-code']", code[0])
    page.locator("form[action='/sign-in/code'] button").click()
    page.wait_for_url("**/learn/introduction")


def link_in_mail(page: "Page", subject: str) -> str:
    """The path of the sign-in link in the newest mail. (Mails name the public address, the test's server has another port.)"""
    found = re.search(r"http://127\.0\.0\.1:8000(/sign-in/link/[\w-]+)", newest_mail(page, subject))
    assert found
    return found[1]


def test_start_learn_confirm_elsewhere_come_back_by_code_and_go_on(page: "Page", other_page: "Page", work: Callable[[], None]) -> None:
    start_with_an_address(page)
    finish_the_first_lesson(page)
    work()
    other_page.goto(link_in_mail(page, "sign in"))
    assert db.session.scalars(sa.select(User)).one().is_guest  # opening the link is not yet confirming
    other_page.get_by_role("button", name="Keep my course").click()
    other_page.wait_for_url("**/learn/introduction")
    assert "1 of 12 lessons" in other_page.locator("main").inner_text()

    page.goto("/learn/introduction")
    page.wait_for_url("**/sign-in")  # whoever reads the mail has it now; the browser that asked is signed out
    other_page.get_by_role("button", name="Sign out").click()
    other_page.wait_for_url("**/")
    other_page.goto("/learn/introduction")
    other_page.wait_for_url("**/sign-in")

    sign_in_by_code(page, work)
    assert "1 of 12 lessons" in page.locator("main").inner_text()
    page.get_by_role("link", name="Go on reading").click()
    assert "Lesson 2" in page.locator("main").inner_text()
    expect(page).to_have_title("Lesson 2 · Your course")
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Completion)) == 1


def test_start_learn_confirm_here_and_find_the_welcome_mail(page: "Page", work: Callable[[], None]) -> None:
    start_with_an_address(page)
    finish_the_first_lesson(page)
    work()
    page.goto(link_in_mail(page, "sign in"))
    page.get_by_role("button", name="Keep my course").click()
    page.wait_for_url("**/learn/introduction")
    work()
    assert "your address is confirmed" in newest_mail(page, "Your course")
    page.goto("/learn")
    page.get_by_role("link", name="Go on reading").click()
    assert "Lesson 2" in page.locator("main").inner_text()


def test_start_with_no_address_at_all_and_claim_it_later(page: "Page", work: Callable[[], None]) -> None:
    page.goto("/start")
    page.locator("form[action='/start'] button").click()
    page.wait_for_url("**/learn/introduction")
    assert db.session.scalars(sa.select(Message)).all() == []
    finish_the_first_lesson(page)
    page.goto("/learn/introduction")
    page.fill("#claim-address", ADDRESS)
    page.get_by_role("button", name="Keep my course").click()
    page.wait_for_url("**/sign-in/code")
    work()
    page.goto(link_in_mail(page, "sign in"))
    page.get_by_role("button", name="Keep my course").click()
    page.wait_for_url("**/learn/introduction")
    assert "1 of 12 lessons" in page.locator("main").inner_text()


def test_undoing_a_lesson_and_doing_it_again(page: "Page") -> None:
    page.goto("/start")
    page.locator("form[action='/start'] button").click()
    finish_the_first_lesson(page)
    page.go_back()
    page.reload()
    page.get_by_role("button", name="Take the mark away").click()
    page.wait_for_load_state()
    page.get_by_role("button", name="Mark as done and go on").click()
    page.wait_for_load_state()
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Completion)) == 1


def test_where_one_is_is_noted_with_script_alone(page: "Page", context_settings: dict[str, Any]) -> None:
    page.goto("/start")
    page.locator("form[action='/start'] button").click()
    page.wait_for_url("**/learn/introduction")
    page.get_by_role("link", name="Read the first lesson").click()
    if context_settings["java_script_enabled"]:
        with page.expect_response(lambda answer: answer.url.endswith("/opening")) as noted:
            page.reload()
        assert noted.value.status == 200
    else:
        page.reload()
    opened = db.session.scalars(sa.select(Enrolment.last_lesson_id).execution_options(populate_existing=True)).one()
    assert (opened is not None) == context_settings["java_script_enabled"]
