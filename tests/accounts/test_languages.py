"""The language somebody reads in: what the browser asks for, what was chosen at the foot of a page, and what mails come in."""

import gettext
from collections.abc import Callable

import pytest
from flask import Flask

from courseapp.accounts.models import Role
from courseapp.catalog.models import Course
from courseapp.contacts.people import contact_of_address
from courseapp.extensions import db
from tests.accounts.mailbox import last_mail_to
from tests.client import Client, forms_of
from tests.factories import lessons_of, make_contact, make_course, make_enrolment, make_user

Browsers = Callable[[str], Client]
PASSWORD = "a quiet house by the sea"


@pytest.fixture
def browser(app: Flask) -> Browsers:
    """A browser that asks for a language."""

    def opened(language: str) -> Client:
        client = app.test_client()
        client.environ_base["HTTP_ACCEPT_LANGUAGE"] = language
        return client

    return opened


@pytest.fixture
def course(app: Flask) -> Course:
    """The front course, in English."""
    return make_course()


def spoken(client: Client, page: str = "catalog.landing", **values: object) -> str:
    """In which language a page is, by its own word."""
    shown = client.visit(page, **values)
    assert shown.headers["Content-Language"] == shown.text.partition('<html lang="')[2].partition('"')[0]
    return shown.headers["Content-Language"]


def choose(client: Client, tag: str, page: str = "accounts.sign_in") -> str:
    """Choose a language at the foot of a page; where that leads."""
    answer = client.submit(page, {"language": tag}, to="speaking.choose")
    assert answer.status_code == 303
    return answer.location


def sign_in(client: Client, address: str) -> None:
    """Sign in on the page, by a password."""
    typed = {"pw-address": address, "pw-password": PASSWORD}
    assert client.submit("accounts.sign_in", typed, to="accounts.sign_in_with_password").status_code == 303


# What the browser asks for


@pytest.mark.settings(languages="en, de")
def test_a_page_is_in_the_language_that_the_browser_asks_for(browser: Browsers, course: Course) -> None:
    german, english = browser("de-AT,de;q=0.9,en;q=0.5").visit("catalog.landing"), browser("en-GB").visit("catalog.landing")
    assert '<html lang="de">' in german.text
    assert "Kurs beginnen" in german.text
    assert "Start the course" not in german.text
    assert '<html lang="en">' in english.text
    assert "Start the course" in english.text
    for answer in (german, english):
        assert {"Accept-Language", "Cookie"} <= {name.strip() for name in answer.headers["Vary"].split(",")}


@pytest.mark.settings(languages="en, de")
def test_a_kept_page_is_never_shown_in_the_language_of_whoever_came_first(browser: Browsers, course: Course) -> None:
    """Landing, a lesson, a legal page: each is kept for all who may see the same."""
    make_enrolment(reader := make_user(), course)
    make_enrolment(leser := make_user(), course)
    german, english = browser("de"), browser("en")
    german.sign_in(leser)
    english.sign_in(reader)
    lesson = lessons_of(course)[0].public_id
    for _again in range(2):
        for page, values, word, wort in (
            ("catalog.landing", {}, "What is inside", "Was darin ist"),
            ("learning.lesson", {"id": lesson}, "Mark as done", "Als erledigt markieren"),
        ):
            shown, gezeigt = english.visit(page, **values).text, german.visit(page, **values).text
            assert word in shown
            assert wort not in shown
            assert wort in gezeigt
            assert word not in gezeigt
            assert '<html lang="de">' in gezeigt
            assert '<html lang="en">' in shown


@pytest.mark.settings(languages="en, de")
def test_what_a_course_says_is_marked_as_its_own_language_where_the_page_speaks_another(browser: Browsers, course: Course) -> None:
    make_enrolment(user := make_user(), course)
    german, english = browser("de"), browser("en")
    german.sign_in(user)
    english.sign_in(user)
    lesson = lessons_of(course)[0].public_id
    assert '<div class="prose" lang="en">' in german.visit("learning.lesson", id=lesson).text
    assert '<h1 lang="en">' in german.visit("learning.course", slug=course.slug).text
    assert '<h1 lang="en">' in browser("de").visit("catalog.landing").text
    for page in (english.visit("learning.lesson", id=lesson), english.visit("catalog.landing")):
        assert page.text.count('lang="en"') == 1  # of the page itself


# What is chosen


@pytest.mark.settings(languages="en, de")
def test_a_language_is_chosen_at_the_foot_of_a_page_which_is_then_shown_in_it(browser: Browsers, course: Course) -> None:
    client = browser("en")
    assert choose(client, "de", "learning.help_now") == "/help-now"
    assert spoken(client, "learning.help_now") == "de"
    assert spoken(client) == "de"
    choose(client, "en")
    assert spoken(client) == "en"


def test_a_site_with_one_language_offers_no_other_and_says_nothing_of_it(client: Client, course: Course) -> None:
    shown = client.visit("catalog.landing")
    assert 'class="languages"' not in shown.text
    assert "Content-Language" not in shown.headers
    assert "Accept-Language" not in shown.headers["Vary"]


@pytest.mark.settings(languages="en, de")
@pytest.mark.parametrize(
    "back",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "/nowhere", "ask", "", "/sign-out", "//ask"],
)
def test_choosing_leads_to_a_page_of_ours_alone(browser: Browsers, back: str) -> None:
    client = browser("en")
    data = {"csrf_token": client.csrf_token(), "language": "de", "back": back}
    assert client.post("/language", data=data).location == "/"


@pytest.mark.settings(languages="en, de")
def test_a_language_that_is_not_offered_is_refused(browser: Browsers) -> None:
    client = browser("en")
    assert client.post("/language", data={"csrf_token": client.csrf_token(), "language": "fr"}).status_code == 400
    assert spoken(client, "accounts.sign_in") == "en"


@pytest.mark.settings(languages="en, de")
def test_an_answer_to_a_form_offers_no_language_for_what_was_typed_would_be_lost(browser: Browsers) -> None:
    client = browser("de")
    answer = client.submit("accounts.sign_in", {"address": "no address"}, to="accounts.ask_for_link")
    assert "Das sieht nicht nach einer E-Mail-Adresse aus." in answer.text
    assert [form.action for form in forms_of(answer.text, "/sign-in") if form.action == "/language"] == []


# Mails, and other devices


@pytest.mark.settings(languages="en, de")
def test_mails_come_in_the_language_of_the_page_they_were_asked_on(browser: Browsers, course: Course) -> None:
    client = browser("en")
    choose(client, "de")
    client.submit("accounts.sign_in", {"address": "ada@example.org"}, to="accounts.ask_for_link")
    assert contact_of_address("ada@example.org").language == "de"
    link = client.visit(last_mail_to("ada@example.org").link)
    assert "Auf diesem Gerät anmelden" in link.text


@pytest.mark.settings(languages="en, de")
def test_whoever_is_signed_in_chooses_for_their_mails_too(browser: Browsers, course: Course) -> None:
    client, user = browser("en"), make_user()
    client.sign_in(user)
    choose(client, "de", "accounts.settings")
    db.session.refresh(user.contact)
    assert user.contact.language == "de"


@pytest.mark.settings(languages="en, de")
def test_what_was_chosen_before_signing_in_holds_after_it(browser: Browsers) -> None:
    user = make_user("ada@example.org", password=PASSWORD)
    client = browser("en")
    choose(client, "de")
    client.submit(
        "accounts.sign_in",
        {"pw-address": "ada@example.org", "pw-password": PASSWORD},
        to="accounts.sign_in_with_password",
    )
    assert spoken(client, "accounts.settings") == "de"
    db.session.refresh(user.contact)
    assert user.contact.language == "de"


@pytest.mark.settings(languages="en, de")
def test_whose_mails_are_in_another_language_than_the_sites_reads_it_on_every_device(browser: Browsers) -> None:
    make_user(contact=make_contact("ada@example.org", language="de"), password=PASSWORD)
    make_user("bob@example.org", password=PASSWORD)
    for address, asked, found in (("ada@example.org", "en", "de"), ("bob@example.org", "de", "de"), ("bob@example.org", "en", "en")):
        client = browser(asked)
        sign_in(client, address)
        assert spoken(client, "accounts.settings") == found


# Staff


@pytest.mark.settings(languages="de")
def test_pages_for_staff_are_in_english_whole(browser: Browsers, course: Course) -> None:
    client = browser("de")
    client.sign_in(make_user(roles=[Role.OWNER]))
    for page in ("organisation.settings", "authoring.courses", "support.people", "broadcasts.listed"):
        shown = client.visit(page).text
        assert '<html lang="en">' in shown
        assert "Sign out" in shown
        assert "Abmelden" not in shown
        assert 'class="languages"' not in shown
    assert '<html lang="de">' in client.visit("accounts.settings").text


# What it costs


@pytest.mark.one_database
def test_where_english_alone_is_offered_no_catalogue_is_read(client: Client, course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    monkeypatch.setattr(gettext.GNUTranslations, "_parse", lambda _self, file: read.append(file.name))
    client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "de"
    client.submit("learning.start", {"address": "ada@example.org"})
    assert "Start the course" in client.visit("catalog.landing").text
    assert read == []
