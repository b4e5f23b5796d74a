"""The form for other sites, and the yes by mail: who is asked how often, what is told to whom, what is written down."""

import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.campaigns.asking import Asked, link_for
from courseapp.campaigns.segments import contacts_in
from courseapp.campaigns.signing_up import Offer, offer_in, snippet_for, token_of
from courseapp.contacts.address import address_mac
from courseapp.contacts.consent import WORDING, holds_consent, set_consent
from courseapp.contacts.models import Consent, Contact, Purpose, SuppressionReason
from courseapp.contacts.people import contact_of_address, move_to_address
from courseapp.contacts.suppression import suppress
from courseapp.extensions import db
from courseapp.mailing import loops as mailing
from courseapp.mailing.models import Message, State
from courseapp.operations.tidying import tidy
from tests.accounts.mailbox import last_mail_to, mails_to
from tests.campaigns.crowd import is_
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_consent, make_contact, make_user
from tests.rows import all_rows

OFFER = Offer((Purpose.MARKETING,), "en", "blog")
ABROAD = {"Origin": "https://blog.example", "Sec-Fetch-Site": "cross-site"}


def post(client: Client, offer: Offer = OFFER, **fields: Any) -> Any:
    """What a browser sends from the other site: no cookie of ours, no token."""
    form = {"address": "ada@example.org", "purpose": "marketing", "website": "", **fields}
    browser: Any = client.application.test_client()
    return browser.post(browser.path("signup.ask", token=token_of(offer)), data=form, headers=ABROAD)


def known() -> Contact:
    """Ada."""
    found = contact_of_address("ada@example.org")
    assert found is not None
    return found


def link() -> str:
    """The address that the newest mail to Ada leads to."""
    return last_mail_to("ada@example.org").link


class Tags(HTMLParser):
    """The tags of a page and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.found.append((tag, dict(attrs)))


def test_signing_up_asks_by_mail_and_the_button_there_gives_the_consent(client: Client) -> None:
    answer = post(client)
    assert answer.status_code == 303
    assert "Set-Cookie" not in answer.headers
    assert "Look at your mail" in client.get(answer.location).text
    assert not holds_consent(known(), Purpose.MARKETING)
    assert not known().is_confirmed
    token = link()
    before = all_rows()
    assert str(WORDING[Purpose.MARKETING][1]) in client.get(token).text
    assert all_rows() == before
    assert "it is noted" in client.submit(token).text
    assert holds_consent(known(), Purpose.MARKETING)
    assert known().is_confirmed
    log = db.session.scalars(sa.select(Consent).order_by(Consent.id)).all()
    assert [(row.action.value, row.source, row.wording, row.network) for row in log] == [
        ("asked", "form:blog", "marketing-1", "127.0.0.0"),
        ("given", "form:blog", "marketing-1", "127.0.0.0"),
    ]


def test_pressing_the_button_again_changes_nothing_and_after_withdrawing_counts_anew(client: Client) -> None:
    post(client)
    token = link()
    client.submit(token)
    client.submit(token)
    assert db.session.query(Consent).count() == 2
    set_consent(known(), Purpose.MARKETING, False, NOW, "unsubscribe")
    client.submit(token)
    assert holds_consent(known(), Purpose.MARKETING)


def test_the_yes_needs_a_token_of_our_page(client: Client) -> None:
    post(client)
    assert client.post(link()).status_code == 400
    assert not known().is_confirmed


def test_known_and_unknown_addresses_are_answered_alike(client: Client) -> None:
    make_consent(make_contact("member@example.org"), Purpose.MARKETING)
    suppress(address_mac("stopped@example.org"), SuppressionReason.COMPLAINED, NOW)
    answers = [post(client, address=f"{name}@example.org") for name in ("ada", "member", "stopped")]
    assert len({(answer.status_code, answer.location, answer.text, tuple(sorted(answer.headers.keys()))) for answer in answers}) == 1
    pages = {client.get(answer.location).text for answer in answers}
    assert len(pages) == 1
    assert len(mails_to("member@example.org")) == len(mails_to("ada@example.org")) == 1


@pytest.mark.parametrize(("reason", "state"), [(SuppressionReason.BOUNCED, State.SKIPPED), (SuppressionReason.COMPLAINED, State.EXPIRED)])
def test_a_suppressed_address_gets_nothing(client: Client, reason: SuppressionReason, state: State) -> None:
    suppress(address_mac("ada@example.org"), reason, NOW)
    post(client)
    mailing.drain(clock.now)
    assert db.session.scalars(sa.select(Message.state)).all() == [state]


def test_an_address_that_nobody_confirmed_gets_one_mail_ever(client: Client, pass_time: Any) -> None:
    for _day in range(13):
        post(client)
        pass_time(days=_day)
    assert len(mails_to("ada@example.org")) == 1
    pass_time(days=3)
    tidy(clock.now() + timedelta(days=15))
    db.session.commit()
    assert contact_of_address("ada@example.org") is None


def test_a_confirmed_address_is_asked_once_a_day(client: Client, pass_time: Any) -> None:
    make_contact("ada@example.org")
    for _time in range(3):
        post(client)
    assert len(mails_to("ada@example.org")) == 1
    pass_time(days=1)
    post(client)
    assert len(mails_to("ada@example.org")) == 2


def test_the_mail_waits_for_nobody_and_names_no_topic(client: Client, app: Flask) -> None:
    post(client)
    mail = db.session.scalars(sa.select(Message)).one()
    assert (mail.priority, mail.stream.key, mail.template) == (0, "sign-in", "campaigns/agree")
    assert mail.expires_at == mail.created_at + timedelta(days=14)
    assert mailing.drain(clock.now)["accepted"] == 1
    mailing.close_door()
    db.session.refresh(mail)
    assert mail.fields == {}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"address": ""}, "Please type your e-mail address"),
        ({"address": "nobody"}, "does not look like an e-mail address"),
        ({"address": "a@example.org\r\nBcc: b@example.org"}, "does not look like an e-mail address"),
        ({"purpose": ""}, "Please tick what you want to get"),
        ({"purpose": "course"}, "Please tick what you want to get"),  # this form does not offer it
    ],
)
def test_what_is_wrong_is_said_on_a_page_of_ours_that_can_be_sent_again(client: Client, fields: dict[str, str], words: str) -> None:
    answer = post(client, **fields)
    assert answer.status_code == 422
    assert words in answer.text
    assert db.session.query(Contact).count() == 0
    assert (
        client.submit(
            "signup.form", {"address": "ada@example.org", "purpose": "marketing"}, to="signup.ask", token=token_of(OFFER)
        ).status_code
        == 303
    )


def test_a_program_that_fills_in_everything_is_answered_alike_and_causes_nothing(client: Client) -> None:
    answer = post(client, website="https://spam.example")
    assert (answer.status_code, answer.location) == (303, post(client, address="bob@example.org").location)
    assert contact_of_address("ada@example.org") is None


@pytest.mark.parametrize("token", ["x", "WyJtIiwiZW4iLCJibG9nIl0.x", "%00"])
def test_a_form_that_is_not_ours_does_nothing(client: Client, token: str) -> None:
    assert client.get(f"/sign-up/{token}").status_code == 404
    assert client.post(f"/sign-up/{token}", data={"address": "ada@example.org", "purpose": "marketing"}).status_code == 404


def test_a_link_that_is_old_or_changed_or_of_somebody_forgotten_opens_nothing(client: Client, pass_time: Any) -> None:
    post(client)
    token = link()
    assert client.get(token[:-3]).status_code == 410
    nobodys = link_for(Asked("nobody", "", (Purpose.MARKETING,), "form:blog", NOW))
    assert client.get(nobodys.removeprefix("http://127.0.0.1:8000")).status_code == 410
    page = client.get(token).text
    assert "nothing changes, and an address that nobody confirms is forgotten after 14 days" in page
    pass_time(days=14, minutes=1)
    assert client.get(token).status_code == 410


def test_a_link_that_has_ended_leads_back_to_the_form_it_came_by(client: Client, pass_time: Any) -> None:
    post(client)
    token, csrf = link(), client.csrf_token(link())
    nobodys = link_for(Asked("nobody", "", (Purpose.MARKETING,), "import:abc", NOW)).removeprefix("http://127.0.0.1:8000")
    pass_time(days=14, minutes=1)
    for answer in (client.get(token), client.post(token, data={"csrf_token": csrf})):
        assert answer.status_code == 410
        assert "please sign up again" in answer.text
        found = re.search(r'href="(/sign-up/[^"]+)"', answer.text)
        assert found is not None
        assert offer_in(found[1].rpartition("/")[2]) == OFFER
        assert client.get(found[1]).status_code == 200
    assert not known().is_confirmed
    assert "/sign-up/" not in client.get(nobodys).text


def test_whoever_reads_a_mailbox_that_was_left_agrees_to_nothing(client: Client) -> None:
    post(client)
    token, contact = link(), known()
    move_to_address(contact, make_contact("new@example.net", confirmed=False), NOW)
    answer = client.get(token)
    assert (answer.status_code, "…@" in answer.text) == (410, False)
    assert client.post(token, data={"csrf_token": client.csrf_token()}).status_code == 410
    assert not holds_consent(contact, Purpose.MARKETING)


def test_one_link_does_not_agree_for_another_or_to_more(client: Client) -> None:
    bob = make_contact("bob@example.org", confirmed=False)
    post(client)
    client.submit(link())
    assert not bob.is_confirmed
    assert not holds_consent(known(), Purpose.COURSE)


@pytest.mark.settings(rate_limits=True)
@pytest.mark.one_database
def test_nobody_causes_mails_without_end(client: Client) -> None:
    assert [post(client).status_code for _ in range(6)] == [303] * 5 + [429]
    assert 429 in {post(client, address=f"n{number}@example.org").status_code for number in range(70)}


# The form for other sites


@pytest.mark.parametrize("purposes", [(Purpose.MARKETING,), (Purpose.COURSE, Purpose.MARKETING)])
def test_the_snippet_is_plain_html_that_does_what_it_says(app: Flask, client: Client, purposes: tuple[Purpose, ...]) -> None:
    text = snippet_for(Offer(purposes, "en", "clinic-site"))
    tags = Tags(text).found
    assert {tag for tag, _attributes in tags} <= {"form", "p", "label", "input", "button", "br", "a"}
    assert not re.search(r"style=|\bon[a-z]+=|<script|src=", text)
    boxes = [attributes for tag, attributes in tags if attributes.get("type") == "checkbox"]
    assert [box["value"] for box in boxes] == [purpose.value for purpose in purposes]
    assert not any("checked" in box for box in boxes)
    assert all(str(WORDING[purpose][1]) in text for purpose in purposes)
    action = next(attributes["action"] for tag, attributes in tags if tag == "form")
    assert action is not None
    names = {attributes.get("name"): "" for tag, attributes in tags if tag == "input"}
    sent = {**names, "address": "ada@example.org", "purpose": [purpose.value for purpose in purposes]}
    answer = client.application.test_client().post(action.removeprefix("http://127.0.0.1:8000"), data=sent, headers=ABROAD)
    assert answer.status_code == 303
    assert db.session.query(Consent).where(Consent.source == "form:clinic-site").count() == len(purposes)


def test_a_marketer_makes_a_form(client: Client, app: Flask) -> None:
    client.sign_in(make_user(roles=["marketer"]))
    assert "<textarea" not in client.visit("contacts.snippet").text
    page = client.get(client.path("contacts.snippet", purpose="marketing", language="en", source="blog")).text
    token = re.search(r"/sign-up/([^&\" ]+)", page)
    assert token is not None
    assert offer_in(token[1]) == OFFER
    for more, words in (
        ({"purpose": "marketing", "source": "Two words"}, "small letters, digits and hyphens"),
        ({"source": "blog"}, "Please tick at least one"),
        ({"purpose": "service", "source": "blog"}, "service"),
    ):
        refused = client.get(client.path("contacts.snippet", language="en", **more)).text
        assert words in refused
        assert "<textarea" not in refused


def test_people_can_be_chosen_by_having_come_from_a_form(client: Client) -> None:
    make_consent(make_contact("other@example.org"), Purpose.MARKETING, source="start")
    post(client)
    client.submit(link())
    chosen = db.session.scalars(contacts_in({"all": [is_("source", source="form")]}, NOW)).all()
    assert chosen == [known().id]
