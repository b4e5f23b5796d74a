"""Stopping mail: one click without a session, a GET that only asks, and a page to choose on."""

import hashlib

import pytest
import sqlalchemy as sa
from flask import Flask
from itsdangerous import URLSafeSerializer

from courseapp.contacts.consent import consent_history, holds_consent, set_consent
from courseapp.contacts.models import Consent, ConsentAction, Contact, Purpose
from courseapp.contacts.people import forget_address, move_to_address
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing.links import mail_token
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_consent, make_contact
from tests.rows import all_rows, changed_tables

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def contact(app: Flask) -> Contact:
    """Somebody who asked for both kinds of mail."""
    made = make_contact("ada@example.org")
    for purpose in (Purpose.COURSE, Purpose.MARKETING):
        make_consent(made, purpose)
    return made


def held(contact: Contact) -> set[str]:
    """The purposes this contact agrees to."""
    return {purpose.value for purpose in (Purpose.COURSE, Purpose.MARKETING) if holds_consent(contact, purpose)}


def token_as_before(client: Client, contact: Contact) -> str:
    """As mails had them until December 2026."""
    signer = URLSafeSerializer(client.application.config["SECRET_KEY"], "mail-preferences", signer_kwargs={"digest_method": hashlib.sha256})
    return str(signer.dumps([contact.public_id, "course"]))


def test_one_click_without_session_or_token_withdraws_and_says_200_as_often_as_it_comes(client: Client, contact: Contact) -> None:
    path = client.path("mailing.stop", token=mail_token(contact.public_id, "course", contact.address_mac))
    for _ in range(3):
        answer = client.application.test_client().post(path, data=ONE_CLICK, headers={"Origin": "https://mail.example"})
        assert answer.status_code == 200
    assert held(contact) == {"marketing"}
    withdrawals = db.session.scalars(sa.select(Consent).where(Consent.action == ConsentAction.WITHDRAWN)).all()
    assert [(row.source, row.purpose, row.network) for row in withdrawals] == [("unsubscribe", Purpose.COURSE, "127.0.0.0")]
    assert [event.type for event in db.session.scalars(sa.select(Event))] == ["consent_withdrawn"]


def test_one_click_sets_no_cookie_and_does_not_redirect(client: Client, contact: Contact) -> None:
    answer = client.post(client.path("mailing.stop", token=mail_token(contact.public_id, "marketing", contact.address_mac)), data=ONE_CLICK)
    assert answer.location is None
    assert "Set-Cookie" not in answer.headers
    assert held(contact) == {"course"}


def test_a_token_for_one_list_cannot_be_made_into_one_for_another(client: Client, contact: Contact) -> None:
    course, marketing = (mail_token(contact.public_id, purpose, contact.address_mac) for purpose in ("course", "marketing"))
    mixed = {course[:at] + marketing[at:] for at in range(1, len(course))}
    for token in (mixed | {course.swapcase()}) - {course, marketing}:
        assert client.post(client.path("mailing.stop", token=token), data=ONE_CLICK).status_code == 404, token
    for body in ({"purpose": "marketing"}, {"marketing": "y", "stop_all": "1"}):  # nor does the form say which
        client.post(client.path("mailing.stop", token=course), data={**ONE_CLICK, **body})
        assert held(contact) == {"marketing"}


def test_opening_the_link_asks_and_changes_nothing(client: Client, contact: Contact) -> None:
    before = all_rows()
    token = mail_token(contact.public_id, "course", contact.address_mac)
    assert client.get(client.path("mailing.stop", token=token)).status_code in {200, 405}  # what scanners of links do
    for endpoint in ("mailing.unsubscribe", "mailing.preferences"):
        assert client.visit(endpoint, token=token).status_code == 200
        assert client.head(client.path(endpoint, token=token)).status_code == 200
    assert changed_tables(before, all_rows()) == []


def test_the_button_of_the_page_withdraws(client: Client, contact: Contact) -> None:
    assert client.submit("mailing.unsubscribe", token=mail_token(contact.public_id, "course", contact.address_mac)).status_code == 200
    assert held(contact) == {"marketing"}


def test_the_general_token_of_the_account_page_stops_all(client: Client, contact: Contact) -> None:
    client.post(client.path("mailing.stop", token=mail_token(contact.public_id, "all", contact.address_mac)), data=ONE_CLICK)
    assert held(contact) == set()


def test_the_link_of_an_old_mail_still_stops(client: Client, contact: Contact) -> None:
    token = token_as_before(client, contact)
    assert client.post(client.path("mailing.stop", token=token), data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert not holds_consent(contact, Purpose.COURSE)
    assert "checkbox" not in client.visit("mailing.preferences", token=token).text


def test_a_mail_to_somebody_erased_says_that_none_goes_there_any_more(client: Client, contact: Contact) -> None:
    tokens = mail_token(contact.public_id, "course", contact.address_mac), token_as_before(client, contact)
    forget_address(contact, NOW)
    before = all_rows()
    for token in tokens:
        for endpoint in ("mailing.unsubscribe", "mailing.preferences"):
            answer = client.visit(endpoint, token=token)
            assert (answer.status_code, "No mail goes to this address any more" in answer.text) == (200, True)
        assert client.post(client.path("mailing.stop", token=token), data=ONE_CLICK).status_code == 200
    assert changed_tables(before, all_rows()) == []


@pytest.mark.parametrize("endpoint", ["mailing.unsubscribe", "mailing.preferences"])
def test_a_token_that_is_not_ours_is_404(client: Client, contact: Contact, endpoint: str) -> None:
    token = mail_token(contact.public_id, "course", contact.address_mac)
    for given in ("x", token[:-2] + "xx"):
        path = client.path(endpoint, token=given)
        assert client.get(path).status_code == 404
    assert client.post(client.path("mailing.stop", token="x")).status_code == 404


def test_the_preference_page_shows_what_is_held_and_saves_what_is_ticked(client: Client, contact: Contact) -> None:
    token = mail_token(contact.public_id, "course", contact.address_mac)
    assert client.visit("mailing.preferences", token=token).text.count(" checked") == 2
    client.submit("mailing.preferences", {"course_mail": None}, token=token)
    assert held(contact) == {"marketing"}
    client.submit("mailing.preferences", {"course_mail": "y", "marketing": None}, token=token)
    assert held(contact) == {"course"}
    history = [(row.purpose.value, row.action.value) for row in consent_history(contact)]
    client.submit("mailing.preferences", token=token)
    assert [(row.purpose.value, row.action.value) for row in consent_history(contact)] == history


def test_stop_all_of_them_stops_whatever_is_ticked(client: Client, contact: Contact) -> None:
    page = client.submit("mailing.preferences", {"stop_all": "1"}, token=mail_token(contact.public_id, "course", contact.address_mac))
    assert held(contact) == set()
    assert " checked" not in page.text


def test_how_often_is_kept_shown_and_left_alone_by_what_does_not_say_it(client: Client, contact: Contact) -> None:
    token = mail_token(contact.public_id, "course", contact.address_mac)
    page = client.submit("mailing.preferences", {"marketing": "y", "pace": "30"}, token=token)
    assert contact.marketing_days == 30
    assert '<option selected value="30">' in page.text
    client.submit("mailing.preferences", {"pause": "1"}, token=token)
    client.submit("mailing.preferences", {"go_on": "1"}, token=token)
    assert contact.marketing_days == 30
    assert "Not a valid choice" in client.submit("mailing.preferences", {"pace": "1"}, token=token).text
    client.submit("mailing.preferences", {"marketing": "y", "pace": ""}, token=token)
    assert contact.marketing_days is None


def test_the_preference_page_needs_the_forms_token_and_shows_the_address_as_a_hint_only(client: Client, contact: Contact) -> None:
    path = client.path("mailing.preferences", token=mail_token(contact.public_id, "course", contact.address_mac))
    assert client.post(path, data={"stop_all": "1"}).status_code == 400
    assert held(contact) == {"course", "marketing"}
    page = client.get(path).text
    assert "a…@example.org" in page
    assert "ada@example.org" not in page


@pytest.mark.parametrize("where", ["in the mailbox that was left", "in a mail that does not say where it went"])
def test_a_mail_to_another_address_than_theirs_of_today_stops_and_tells_nothing_and_agrees_to_nothing(
    client: Client, contact: Contact, where: str
) -> None:
    token = mail_token(contact.public_id, "course", contact.address_mac if "left" in where else None)
    set_consent(contact, Purpose.MARKETING, False, NOW, "preferences")
    if "left" in where:
        move_to_address(contact, make_contact("new@example.net", confirmed=False), NOW)
    page = client.visit("mailing.preferences", token=token).text
    assert "…@" not in page
    assert "checkbox" not in page
    assert client.path("mailing.preferences", token=token) not in client.visit("mailing.unsubscribe", token=token).text
    before = [row.id for row in consent_history(contact)]
    for pressed in ({"marketing": "y", "course_mail": "y"}, {"pause": "1"}, {"go_on": "1"}):
        fields = {"csrf_token": client.csrf_token(), **pressed}
        assert client.post(client.path("mailing.preferences", token=token), data=fields).status_code == 200
    assert [row.id for row in consent_history(contact)] == before
    assert contact.mail_paused_until is None
    assert "They have stopped" in client.submit("mailing.preferences", {"stop_all": "1"}, token=token).text
    assert held(contact) == set()


def test_one_click_stops_from_a_mailbox_that_was_left(client: Client, contact: Contact) -> None:
    token = mail_token(contact.public_id, "course", contact.address_mac)
    move_to_address(contact, make_contact("new@example.net", confirmed=False), NOW)
    answer = client.post(client.path("mailing.stop", token=token), data=ONE_CLICK)
    assert answer.status_code == 200
    assert client.path("mailing.preferences", token=token) not in answer.text
    assert held(contact) == {"marketing"}


@pytest.mark.settings(rate_limits=True)
@pytest.mark.one_database
def test_unsubscribing_is_never_too_often(client: Client, contact: Contact) -> None:
    path = client.path("mailing.stop", token=mail_token(contact.public_id, "course", contact.address_mac))
    assert {client.post(path, data=ONE_CLICK).status_code for _ in range(70)} == {200}
