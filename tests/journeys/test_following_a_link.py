"""A link of a real mail, followed by a browser: counted once and out of the address, with script; without it all the rest works as well."""

import email
import email.policy
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from flask import Flask
from playwright.sync_api import expect

from courseapp.campaigns.references import targets_of
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing.letters import publish_letter
from courseapp.mailing.models import Letter, LinkClicks
from courseapp.mailing.text import Text
from courseapp.site import change_site, forget_site
from tests.factories import NOW, make_consent, make_contact, make_message

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Page

pytestmark = pytest.mark.one_database
BODY = """Hello.

[Look at the course](http://127.0.0.1:8000/)

<lesson:introduction/your-pelvic-floor>

Or [get help](http://127.0.0.1:8000/help-now#main) or [help](page:help-now).
"""
LANDING, LESSON, HELP = 1, 2, 4


@pytest.fixture(params=[True, False], ids=["script", "no-script"])
def context_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """With and without JavaScript."""
    return {"viewport": {"width": 390, "height": 844}, "java_script_enabled": request.param}


@pytest.fixture
def letter(app: Flask) -> Letter:
    """A letter with links to this site, where clicks are counted."""
    change_site({"counts_clicks": "on"}, NOW)
    made = publish_letter(Text("en", "A subject", "A preheader", BODY, Purpose.COURSE, targets_of(BODY)), NOW)
    db.session.commit()
    forget_site()
    return made


@pytest.fixture
def links(app: Flask, letter: Letter, work: Callable[[], None]) -> dict[int, str]:
    """The marked addresses in the mail that left, as paths, by number. (Mails name the public address; the server has another port.)"""
    contact = make_contact()
    make_consent(contact, Purpose.COURSE)
    make_message(contact, stream="course", letter=letter)
    work()
    (file,) = (app.config["SETTINGS"].data_dir / "mail").glob("*.eml")
    html = email.message_from_bytes(file.read_bytes(), policy=email.policy.default).get_body(("html",))  # type: ignore[attr-defined]  # of EmailMessage
    found = re.findall(r'href="http://127\.0\.0\.1:8000([^"]*#from=[^".]*\.(\d+))"', html.get_content())
    return {int(number): address for address, number in found}


def counted(letter: Letter) -> dict[int, int]:
    """How often each link was followed."""
    db.session.commit()
    rows = db.session.execute(sa.select(LinkClicks.link, LinkClicks.count).where(LinkClicks.letter_id == letter.id))
    return dict(rows.all())


@pytest.fixture
def told(page: "Page") -> list[str]:
    """The clicks that were sent, as the script sent them: it does so before a page counts as loaded."""
    found: list[str] = []
    page.on("request", lambda request: found.append(request.post_data or "") if request.url.endswith("/clicks") else None)
    return found


def follow(page: "Page", address: str, has_script: bool) -> None:
    """Follow a link as somebody who reads a mail does; the page is there, and what it had to tell is told."""
    if not has_script:
        page.goto(address)
        return
    with page.expect_response(lambda answer: answer.url.endswith("/clicks")) as heard:
        page.goto(address)
    assert heard.value.status == 204
    assert "cookie" not in heard.value.request.all_headers()
    expect(page).to_have_url(re.compile(r"^[^#]*$"))


def test_to_the_landing_page(
    page: "Page", letter: Letter, links: dict[int, str], told: list[str], context_settings: dict[str, Any]
) -> None:
    has_script = context_settings["java_script_enabled"]
    follow(page, links[LANDING], has_script)
    assert "A whole lesson to read now" in page.locator("body").inner_text()
    once = {LANDING: 1} if has_script else {}
    assert counted(letter) == once
    address = page.url
    page.reload()
    page.get_by_role("link", name="Help now").first.click()
    page.wait_for_url("**/help-now")
    page.go_back()
    page.goto(address)
    page.locator("h1").first.wait_for()
    assert counted(letter) == once
    assert told == [f"letter={letter.public_id}&link={LANDING}"] * has_script


def test_to_a_lesson_behind_signing_in(
    page: "Page", letter: Letter, links: dict[int, str], told: list[str], context_settings: dict[str, Any]
) -> None:
    has_script = context_settings["java_script_enabled"]
    follow(page, links[LESSON], has_script)  # whoever is not signed in is led to the page that asks who they are
    assert "/sign-in" in page.url
    assert counted(letter) == ({LESSON: 1} if has_script else {})
    page.goto("/start")
    page.locator("form[action='/start'] button").click()
    page.wait_for_url("**/learn/introduction")
    follow(page, links[LESSON], has_script)
    assert "/lessons/" in page.url
    expect(page).to_have_title(re.compile("Lesson 1"))
    page.reload()
    assert counted(letter) == ({LESSON: 2} if has_script else {})
    assert told == [f"letter={letter.public_id}&link={LESSON}"] * 2 * has_script


def test_to_the_page_that_is_open_already(
    page: "Page", letter: Letter, links: dict[int, str], told: list[str], context_settings: dict[str, Any]
) -> None:
    has_script = context_settings["java_script_enabled"]
    page.goto("/help-now")
    for _time in range(2):
        follow(page, links[HELP], has_script)
    assert counted(letter) == ({HELP: 2} if has_script else {})
    assert len(told) == 2 * has_script
    assert list(links) == [LANDING, LESSON, HELP]


@pytest.mark.parametrize("context_settings", [True], indirect=True, ids=["script"])
@pytest.mark.parametrize("wish", ["globalPrivacyControl: true", 'doNotTrack: "1"'])
def test_who_asks_not_to_be_followed(page: "Page", letter: Letter, links: dict[int, str], told: list[str], wish: str) -> None:
    name, _colon, value = wish.partition(": ")
    page.add_init_script(f"Object.defineProperty(Navigator.prototype, '{name}', {{ get: () => {value} }});")
    page.goto(links[LANDING])
    expect(page).to_have_url(re.compile(r"^[^#]*$"))
    assert told == []
    assert db.session.scalars(sa.select(LinkClicks)).all() == []


@pytest.mark.parametrize("context_settings", [True], indirect=True, ids=["script"])
def test_what_only_looks_like_a_mark(page: "Page", letter: Letter, told: list[str]) -> None:
    for fragment in ("from=", "from=x.1", f"from={letter.public_id}", f"from={letter.public_id}.x", "from=%00.1", "from=<b>.1"):
        page.goto("/ask")
        page.goto(f"/help-now#{fragment}")
        expect(page).to_have_url(re.compile(r"/help-now$"))
    page.goto("/help-now#main")
    assert page.url.endswith("#main")
    assert told == []
    assert counted(letter) == {}
