"""Editing in real browsers: the preview follows, drafts outlive networks and tabs, lessons are moved by hand and by key."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.authoring.models import KeptDraft
from courseapp.catalog.models import Lesson, Revision
from courseapp.extensions import db
from tests.client import Client
from tests.factories import make_user

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Page

pytestmark = pytest.mark.one_database

STATUS = "[data-status]"


@pytest.fixture
def key() -> str:
    """A lesson that needs no check."""
    return str(db.session.scalars(sa.select(Lesson.key).where(Lesson.needs_check == "none").order_by(Lesson.position)).first())


@pytest.fixture
def editor(key: str) -> str:
    """The address of that lesson's editor."""
    return f"/staff/courses/introduction/lessons/{key}/edit"


@pytest.fixture
def enter(app: Flask) -> Callable[["Page", User], User]:
    """enter(page, user): sign somebody in, in this page's browser."""

    def as_user(page: "Page", user: User) -> User:
        client = app.test_client()
        assert isinstance(client, Client)
        client.sign_in(user)
        cookie = client.get_cookie("session")
        assert cookie is not None
        page.goto("/healthz")
        page.context.add_cookies([{"name": "session", "value": cookie.value, "url": page.url}])
        return user

    return as_user


@pytest.fixture
def person(page: "Page", enter: Callable[["Page", User], User]) -> User:
    """An instructor, signed in in the first browser."""
    return enter(page, make_user(roles=("instructor",)))


def instructor() -> User:
    """Another instructor."""
    return make_user(roles=("instructor",))


def kept(page: "Page") -> None:
    """Wait until the server has what was typed."""
    page.locator(STATUS, has_text="Draft kept at").wait_for()


def put(page: "Page", text: str) -> None:
    """Type over the whole text."""
    page.fill("#body", text)


def source(key: str) -> str:
    """The lesson's text as learners' page is made of it."""
    db.session.rollback()
    row = db.session.scalars(sa.select(Lesson).where(Lesson.key == key).execution_options(populate_existing=True)).one()
    query = sa.select(Revision.source).where(Revision.lesson_id == row.id, Revision.number == row.revision_number)
    return str(db.session.scalars(query).one()).strip()


def texts() -> list[str]:
    """The drafts that are kept."""
    db.session.rollback()
    return sorted(row["body"] for row in db.session.scalars(sa.select(KeptDraft.typed)))


def lose_network(page: "Page") -> None:
    """Nothing this page sends arrives, now or after it is gone; a browser's own switch would let its last words through afterwards."""
    page.evaluate("() => { window.fetch = () => Promise.reject(new TypeError('no network')) }")


def on_device(page: "Page") -> int:
    """How many texts this device keeps."""
    return int(page.evaluate("Object.keys(localStorage).length"))


@pytest.mark.usefixtures("person")
def test_the_preview_and_the_report_follow_and_the_draft_is_there_again(page: "Page", editor: str, key: str) -> None:
    before = source(key)
    page.goto(editor)
    put(page, "Some **bold** words.\n\n::: nothing\n:::\n")
    page.locator("[data-preview] strong", has_text="bold").wait_for()
    assert "Line 3" in page.locator("[data-problems]").inner_text()
    page.locator("[data-problems] a", has_text="Line 3").click()
    assert page.evaluate("document.activeElement.value.slice(document.activeElement.selectionStart)").startswith("::: nothing")
    kept(page)
    assert on_device(page) == 0
    page.reload()
    assert "Some **bold** words." in page.input_value("#body")
    assert "This is your draft" in page.locator("main").inner_text()
    assert source(key) == before


@pytest.mark.usefixtures("person")
def test_ctrl_s_saves_and_one_goes_on_where_one_was(page: "Page", editor: str, key: str) -> None:
    page.goto(editor)
    put(page, "First line.\n\nSecond line.")
    page.focus("#body")
    page.evaluate("document.querySelector('#body').setSelectionRange(4, 9)")
    with page.expect_navigation():
        page.keyboard.press("Control+s")
    page.locator(".status-line", has_text="Saved").wait_for()
    assert source(key) == "First line.\n\nSecond line."
    assert page.evaluate("[document.activeElement.id, document.activeElement.selectionStart]") == ["body", 4]
    assert texts() == []
    assert on_device(page) == 0


OLD = """delete SubmitEvent.prototype.submitter; delete HTMLFormElement.prototype.requestSubmit; delete Navigator.prototype.locks"""


@pytest.mark.usefixtures("person")
def test_a_browser_of_2021_saves_by_key_and_throws_away_by_button(page: "Page", editor: str, key: str) -> None:
    page.add_init_script(OLD)
    page.goto(editor)
    assert not page.evaluate("'submitter' in SubmitEvent.prototype || 'locks' in navigator")
    put(page, "Saved by key.")
    with page.expect_navigation():
        page.keyboard.press("Control+s")
    assert source(key) == "Saved by key."
    put(page, "Thrown away.")
    kept(page)
    with page.expect_navigation():
        page.get_by_role("button", name="Throw my draft away").click()
    assert source(key) == "Saved by key."
    assert texts() == []


@pytest.mark.usefixtures("person")
def test_the_tab_key_leaves_the_text(page: "Page", editor: str) -> None:
    page.goto(editor)
    page.focus("#body")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "sources"


@pytest.mark.usefixtures("person")
def test_the_network_drops_while_typing_and_nothing_is_lost(page: "Page", editor: str, key: str) -> None:
    page.goto(editor)
    page.context.set_offline(True)
    put(page, "Typed without a network.")
    page.locator(STATUS, has_text="Kept on this device; the server cannot be reached").wait_for()
    page.keyboard.press("Control+s")  # saving does not lead to the browser's own error page
    page.wait_for_timeout(300)
    assert page.input_value("#body") == "Typed without a network."
    page.context.set_offline(False)
    kept(page)
    assert texts() == ["Typed without a network."]
    assert on_device(page) == 0
    with page.expect_navigation():
        page.click("#save")
    assert source(key) == "Typed without a network."


@pytest.mark.usefixtures("person")
def test_a_browser_that_dies_without_a_network_finds_its_text_again(page: "Page", editor: str) -> None:
    page.goto(editor)
    lose_network(page)
    put(page, "Typed in a train.")
    page.locator(STATUS, has_text="Kept on this device").wait_for()
    page.close()
    again = page.context.new_page()
    again.goto(editor)
    again.locator(STATUS, has_text="kept on this device alone is put back").wait_for()
    assert again.input_value("#body") == "Typed in a train."
    assert texts() == ["Typed in a train."]
    assert on_device(again) == 0


@pytest.mark.usefixtures("person")
def test_a_page_left_in_the_middle_of_a_word_asks_nothing_and_has_it_again(page: "Page", editor: str) -> None:
    page.goto(editor)
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    put(page, "In the middle of a wo")
    page.goto("/staff/reviews")
    assert asked == []
    page.goto(editor)
    page.wait_for_function("document.querySelector('#body').value === 'In the middle of a wo'")
    page.wait_for_function("Object.keys(localStorage).length === 0")
    assert texts() == ["In the middle of a wo"]


@pytest.mark.usefixtures("person")
def test_text_from_this_device_does_not_push_out_a_draft_from_another(
    page: "Page", other_page: "Page", editor: str, enter: Callable[["Page", User], User], person: User
) -> None:
    page.goto(editor)
    lose_network(page)
    put(page, "Typed in a train.")
    page.locator(STATUS, has_text="Kept on this device").wait_for()
    page.close()
    enter(other_page, person)
    other_page.goto(editor)
    put(other_page, "Typed at home.")
    kept(other_page)
    again = page.context.new_page()
    again.goto(editor)
    again.locator(STATUS, has_text="is put back").wait_for()
    assert again.input_value("#body") == "Typed in a train."
    assert texts() == ["Typed at home.", "Typed in a train."]


@pytest.mark.usefixtures("person")
def test_one_is_asked_before_leaving_only_where_the_text_is_kept_nowhere(page: "Page", editor: str) -> None:
    page.goto(editor)
    page.evaluate("() => { Storage.prototype.setItem = () => { throw new Error('full') } }")
    page.context.set_offline(True)
    page.focus("#body")
    page.keyboard.type("x")
    page.locator(STATUS, has_text="Copy your text before you leave").wait_for()
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    assert asked == ["beforeunload"]


@pytest.mark.usefixtures("person")
def test_two_browsers_edit_one_lesson_and_nobody_loses_text(
    page: "Page", other_page: "Page", editor: str, key: str, enter: Callable[["Page", User], User]
) -> None:
    enter(other_page, instructor())
    for one in (page, other_page):
        one.goto(editor)
    put(other_page, "What they wrote.")
    with other_page.expect_navigation():
        other_page.click("#save")
    put(page, "What I wrote.")
    page.locator(STATUS, has_text="Somebody saved this lesson meanwhile").wait_for()
    with page.expect_navigation():
        page.click("#save")
    page.locator("#conflict").wait_for()
    assert source(key) == "What they wrote."
    shown = page.locator("#conflict").inner_text()
    assert "they" in shown
    assert page.locator("#conflict textarea").input_value() == "What they wrote."
    assert page.input_value("#body") == "What I wrote."
    put(page, "What they wrote. What I wrote.")
    with page.expect_navigation():
        page.click("#save")
    assert source(key) == "What they wrote. What I wrote."


@pytest.mark.usefixtures("person")
def test_two_tabs_of_one_person_each_keep_their_text(page: "Page", editor: str) -> None:
    page.goto(editor)
    second = page.context.new_page()
    second.goto(editor)
    put(page, "In the first tab.")
    put(second, "In the second tab.")
    kept(page)
    kept(second)
    assert texts() == ["In the first tab.", "In the second tab."]
    assert page.input_value("#body") == "In the first tab."


@pytest.mark.usefixtures("person")
def test_signed_out_while_typing_and_in_again_in_another_tab(
    page: "Page", editor: str, enter: Callable[["Page", User], User], person: User
) -> None:
    page.goto(editor)
    page.context.clear_cookies()
    put(page, "Typed while signed out.")
    page.locator(STATUS, has_text="You may have been signed out").wait_for()
    enter(page.context.new_page(), person)
    kept(page)
    assert texts() == ["Typed while signed out."]


def order_of(page: "Page") -> list[Any]:
    """What the list of lessons says, in order."""
    return list(page.locator("[data-order] .order-lesson .order-title").all_inner_texts())


@pytest.mark.usefixtures("person")
def test_lessons_are_moved_by_key_and_by_hand_and_the_order_is_saved(page: "Page") -> None:
    page.goto("/staff/courses/introduction/order")
    before = order_of(page)
    page.get_by_role("button", name=f"Move down: {before[0]}").focus()
    page.keyboard.press("Enter")
    assert order_of(page)[:2] == [before[1], before[0]]
    assert "is now lesson 2 of 15" in page.locator(STATUS).inner_text()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == f"Move down: {before[0]}"
    handle = page.locator(".order-lesson [data-handle]").nth(2)
    target = page.locator(".order-lesson").nth(0)
    box, goal = handle.bounding_box(), target.bounding_box()
    assert box is not None
    assert goal is not None
    page.mouse.move(box["x"] + 8, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(goal["x"] + 12, goal["y"] + 30, steps=8)
    page.mouse.move(goal["x"] + 12, goal["y"] + 4, steps=4)
    page.mouse.up()
    assert order_of(page)[:3] == [before[2], before[1], before[0]]
    assert "is now lesson 1 of 15" in page.locator(STATUS).inner_text()
    page.get_by_role("button", name="Save the order").last.click()
    page.locator(".status-line", has_text="The order is saved").wait_for()
    assert order_of(page)[:3] == [before[2], before[1], before[0]]


class TestWithoutJavaScript:
    """The same by forms alone."""

    @pytest.fixture
    def context_settings(self) -> dict[str, Any]:
        """A browser without scripts."""
        return {"viewport": {"width": 320, "height": 800}, "java_script_enabled": False}

    @pytest.mark.usefixtures("person")
    def test_preview_save_and_order(self, page: "Page", editor: str, key: str) -> None:
        page.goto(editor)
        page.fill("#body", "Without *scripts*.")
        page.get_by_role("button", name="Look at it").click()
        assert page.locator("[data-preview] em").inner_text() == "scripts"
        page.get_by_role("button", name="Save for learners").click()
        assert source(key) == "Without *scripts*."
        page.goto("/staff/courses/introduction/order")
        before = order_of(page)
        page.get_by_role("button", name=f"Move down: {before[0]}").click()
        assert order_of(page)[:2] == [before[1], before[0]]
        assert "not saved yet" in page.locator(STATUS).inner_text()
        page.get_by_role("button", name="Save the order").last.click()
        assert order_of(page)[:2] == [before[1], before[0]]
