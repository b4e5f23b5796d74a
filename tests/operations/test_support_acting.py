"""Support: what staff do for a learner, and that the learner can read all of it."""

import json
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import LoginSession, User
from courseapp.contacts.address import address_mac
from courseapp.contacts.models import SuppressionReason
from courseapp.contacts.suppression import suppression_of
from courseapp.extensions import db
from courseapp.journal.models import Event
from tests.accounts.mailbox import last_mail_to
from tests.client import Client
from tests.factories import make_suppression, make_user
from tests.operations.supporting import ADA, do, events_about, find, own_page, page_of


def test_a_link_is_sent_that_signs_the_learner_in(client: Client, owner: User, ada: User) -> None:
    assert do(client, ada, "send_link").status_code == 303
    mail = last_mail_to(ADA)
    assert (mail.template, mail.code) == ("operations/sign_in_link", "")
    browser: Any = client.application.test_client()
    browser.submit(mail.link)
    assert ADA in browser.visit("accounts.settings").text
    assert "A link is on its way" in client.visit("support.people").text
    assert "Sent you a link to sign in." in own_page(client.application, ada)


@pytest.mark.settings(rate_limits=True)
@pytest.mark.one_database
def test_nobody_is_sent_links_without_end(client: Client, owner: User, ada: User) -> None:
    statuses = [do(client, ada, "send_link").status_code for _ in range(6)]
    assert statuses == [303] * 5 + [429]
    assert do(client, make_user(), "send_link").status_code == 303


def test_all_sessions_end(client: Client, owner: User, ada: User) -> None:
    browsers: list[Any] = [client.application.test_client() for _ in range(2)]
    for browser in browsers:
        browser.sign_in(ada)
    do(client, ada, "end_sessions")
    assert [browser.visit("accounts.settings").status_code for browser in browsers] == [302, 302]
    assert client.visit("support.people").status_code == 200
    assert "Signed you out on every device." in own_page(client.application, ada)


def test_mail_goes_again_to_an_address_from_which_some_came_back(client: Client, owner: User, ada: User) -> None:
    make_suppression(ADA)
    assert "a mail came back" in page_of(client, ada)
    do(client, ada, "end_suppression")
    assert "Mail goes to this address again." in client.visit("support.people").text
    assert suppression_of(address_mac(ADA)) is None
    assert "staff_lifted_suppression" in events_about(ada)
    assert "Let mail go to your address again" in own_page(client.application, ada)
    make_suppression(ADA)  # it comes back once more
    assert suppression_of(address_mac(ADA)) is not None


def test_a_complaint_ends_letters_alone_until_an_owner_writes_down_that_they_are_wanted(client: Client, owner: User, ada: User) -> None:
    make_suppression(ADA, SuppressionReason.COMPLAINED)
    browser: Any = client.application.test_client()
    browser.submit("accounts.sign_in", {"address": ADA})
    browser.submit(last_mail_to(ADA).link)
    assert ADA in browser.visit("accounts.settings").text
    assert "no letters are sent to this address" in page_of(client, ada)
    do(client, ada, "end_suppression", {"reason": " "})
    assert "Please write down what they asked for" in client.visit("support.people").text
    assert suppression_of(address_mac(ADA)) is not None
    do(client, ada, "end_suppression", {"reason": "Asked on the phone today"})
    assert "Mail goes to this address again." in client.visit("support.people").text
    assert suppression_of(address_mac(ADA)) is None
    assert "staff_lifted_complaint" in events_about(ada)
    read = own_page(client.application, ada)
    assert "Let all mail go to your address again" in read
    assert "Asked on the phone today" in read


@pytest.mark.parametrize("reason", [None, SuppressionReason.ASKED])
def test_no_other_silence_is_ended_by_a_page(client: Client, owner: User, ada: User, reason: SuppressionReason | None) -> None:
    if reason is not None:
        make_suppression(ADA, reason)
    assert ("nothing is sent to this address" in page_of(client, ada)) is (reason is not None)
    assert "Let mail go to it again" not in page_of(client, ada)
    token = client.csrf_token("support.people")
    assert client.post(client.path("support.end_suppression", id=ada.contact.public_id), data={"csrf_token": token}).status_code == 303
    assert "No mail came back from this address" in client.visit("support.people").text
    assert (suppression_of(address_mac(ADA)) is not None) is (reason is not None)
    assert "staff_lifted_suppression" not in events_about(ada)


def test_what_staff_did_names_a_role_and_never_a_person(client: Client, owner: User, ada: User) -> None:
    client.application.test_client().sign_in(ada)
    for name in ("send_link", "end_sessions"):
        do(client, ada, name)
    read = own_page(client.application, ada)
    assert read.index("Signed you out") < read.index("Sent you a link")
    assert "owner@example.org" not in read
    assert "By an owner of this site." in read


def test_a_role_that_was_taken_is_read_by_who_held_it(client: Client, owner: User) -> None:
    ida = make_user(roles=["marketer"])
    client.submit("organisation.people", to="organisation.take_role", public_id=ida.public_id, role="marketer")
    read = own_page(client.application, ida)
    assert "Took a role on this site from you." in read
    assert "By an owner of this site." in read


def test_nobody_reads_what_staff_did_with_another(client: Client, owner: User, ada: User) -> None:
    do(client, ada, "send_link")
    assert "Nothing so far" in own_page(client.application, make_user())


def test_every_action_is_in_the_journal_with_who_did_it(client: Client, owner: User, ada: User) -> None:
    client.application.test_client().sign_in(ada)
    find(client, ADA)
    do(client, ada, "send_link")
    do(client, ada, "change_address", {"new_address": "new@example.org"})
    do(client, ada, "change_address", {"new_address": "new@example.org", "old_is_lost": "y", "reason": "Closed."})
    do(client, ada, "end_sessions")
    do(client, ada, "export_person")
    assert events_about(ada) == [
        "staff_found",
        "staff_sent_link",
        "staff_asked_address",
        "staff_replaced_address",
        "staff_ended_sessions",
        "staff_exported",
    ]
    facts = db.session.scalars(sa.select(Event.data).where(Event.type.startswith("staff_"))).all()
    assert {row["by"] for row in facts} == {owner.id}
    assert db.session.query(LoginSession).filter_by(user_id=ada.id).count() == 0


def test_what_whoever_runs_the_server_does_is_read_too(app: Flask, ada: User) -> None:
    db.session.commit()
    runner = app.test_cli_runner()
    assert "/sign-in/link/" in runner.invoke(args=["user", "signin-link", ADA]).output
    assert json.loads(runner.invoke(args=["privacy", "export", ADA]).output)["contact"]["address"] == ADA
    read = own_page(app, ada)
    for words in ("Made a link on the server that signs in as you.", "Took out on the server", "By somebody who runs the server."):
        assert words in read
