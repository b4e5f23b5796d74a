"""The keyboard alone does everything, and one always sees where one is."""

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from courseapp.extensions import db
from courseapp.learning.models import SafetyOutcome

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Page

pytestmark = pytest.mark.one_database

FOCUS_SHOWS = """() => {
  const seen = (element) => {
    const style = getComputedStyle(element);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
  };
  const now = document.activeElement;
  return seen(now) || (now.nextElementSibling && seen(now.nextElementSibling)) || (now.parentElement && seen(now.parentElement));
}"""


def tab_to(page: "Page", selector: str) -> None:
    """Press Tab until the element is reached, and see that the focus shows at each stop."""
    for _press in range(60):
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS_SHOWS), page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"Tab never reaches {selector} on {page.url}")


def choose(page: "Page", value: str) -> None:
    """Choose an answer of the group that has the focus."""
    page.keyboard.press("Space")
    for _press in range(5):
        if page.evaluate("document.activeElement.value") == value:
            break
        page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.checked && document.activeElement.value") == value


def press_enter(page: "Page") -> None:
    """Press Enter, and wait for the page it leads to."""
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_from_the_public_page_through_the_safety_check(page: "Page") -> None:
    page.goto("/")
    tab_to(page, "form.start button")
    press_enter(page)
    page.goto("/safety-check")
    tab_to(page, "form[action='/safety-check'] button")
    press_enter(page)
    for number in range(1, 8):
        assert f"Question {number} of 7" in page.locator("main").inner_text()
        tab_to(page, "input[type=radio]")
        choose(page, "yes" if number == 7 else "no")
        if number == 3:  # one may think again
            tab_to(page, "button[name=back]")
            press_enter(page)
            assert "Question 2 of 7" in page.locator("main").inner_text()
            tab_to(page, "input[type=radio]")
            choose(page, "no")
            page.keyboard.press("Enter")
            page.get_by_text("Question 3 of 7").wait_for()
            tab_to(page, "input[type=radio]")
            choose(page, "no")
        tab_to(page, "button:not([name=back])")
        press_enter(page)
    assert "Go gently" in page.locator("h1").inner_text()
    assert [row.value for row in db.session.scalars(sa.select(SafetyOutcome.outcome))] == ["gently"]
    tab_to(page, "main a[href='/learn/introduction']")
    press_enter(page)
    assert page.url.endswith("/learn/introduction")


def test_the_first_stop_of_every_page_leads_past_its_head(page: "Page") -> None:
    for path in ("/", "/start", "/sign-in", "/help-now"):
        page.goto(path)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('href')") == "#main"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


def test_a_lesson_is_read_marked_and_left_by_keys(page: "Page") -> None:
    page.goto("/")
    tab_to(page, "form.start button")
    press_enter(page)
    tab_to(page, "main .continue a")
    press_enter(page)
    tab_to(page, "form[action$='/completion'] button")
    press_enter(page)
    assert "Lesson 2" in page.title()
    with page.expect_navigation():
        page.keyboard.press("ArrowLeft")
    assert "Lesson 1 " in page.title()
    with page.expect_navigation():
        page.keyboard.press("ArrowRight")
    assert "Lesson 2" in page.title()
