"""Support: moving an account to another address, and who can stop it."""

from typing import Any

import pytest
import sqlalchemy as sa

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.mailing import loops
from courseapp.mailing.models import Message, State
from tests.accounts.mailbox import last_mail_to, mails_to
from tests.client import Client
from tests.factories import (
    make_user,
)
from tests.operations.supporting import ADA, do, events_about, find, own_page
from tests.rows import all_rows, changed_tables


def test_the_address_changes_when_both_have_agreed(client: Client, owner: User, ada: User) -> None:
    do(client, ada, "change_address", {"new_address": "new@example.org"})
    links = [last_mail_to(ADA).link, last_mail_to("new@example.org").link]
    browser: Any = client.application.test_client()
    browser.submit(links[1])
    assert ada.contact.address == ADA
    browser.submit(links[0])
    assert ada.contact.address == "new@example.org"
    assert events_about(ada) == ["staff_found", "staff_asked_address"]
    assert "Asked the old and the new address" in own_page(client.application, ada)


LOST = {"new_address": "new@example.org", "old_is_lost": "y", "reason": "The provider closed it."}


def told_link() -> str:
    """The link in the mail to the old address."""
    [mail] = [mail for mail in mails_to(ADA) if mail.template == "operations/address_told"]
    return mail.link


def leave() -> list[str]:
    """Let the worker send what is due; the templates of all that has left so far."""
    loops.drain(clock.now)
    loops.close_door()
    return list(db.session.scalars(sa.select(Message.template).where(Message.state == State.ACCEPTED).order_by(Message.id)))


def test_where_the_old_address_is_lost_it_is_told_and_the_new_one_agrees_alone(client: Client, owner: User, ada: User, pass_time) -> None:
    browser: Any = client.application.test_client()
    browser.sign_in(ada)
    assert do(client, ada, "change_address", LOST).status_code == 303
    link = last_mail_to("new@example.org").link
    pass_time(days=2, minutes=1)
    shown = browser.get(link).text
    assert "is no longer read, we were told" in shown
    assert "has agreed</dd>" not in shown
    browser.submit(link)
    assert ada.contact.address == "new@example.org"
    assert browser.visit("accounts.settings").status_code == 302
    read = own_page(client.application, ada)
    assert "The reason written down: The provider closed it." in read
    assert "an owner of this site" in read


def test_the_new_address_is_asked_two_days_after_the_old_one_was_told(client: Client, owner: User, ada: User, pass_time) -> None:
    do(client, ada, "change_address", LOST)
    assert leave() == ["operations/address_told"]
    pass_time(days=1, hours=23)
    assert leave() == ["operations/address_told"]
    pass_time(hours=2)
    assert leave() == ["accounts/address_new", "operations/address_told"]


@pytest.mark.parametrize("days", [0, 2.5])
def test_who_still_reads_the_old_address_stops_it_with_one_button_and_no_sign_in(
    client: Client, owner: User, ada: User, pass_time, days: float
) -> None:
    do(client, ada, "change_address", LOST)
    told, asked = told_link(), last_mail_to("new@example.org").link
    pass_time(days=days)
    stranger: Any = client.application.test_client()
    before = all_rows()
    assert "Stop it and keep my address" in stranger.get(told).text
    assert changed_tables(before, all_rows()) == []
    assert "Your address stays as it is" in stranger.submit(told).text
    assert stranger.get(asked).status_code == 410
    assert stranger.get(told).status_code == 410
    assert ada.contact.address == ADA
    pass_time(days=3)
    assert "accounts/address_new" not in leave()


def test_the_old_addresss_link_never_agrees_and_cannot_stop_what_has_happened(client: Client, owner: User, ada: User, pass_time) -> None:
    do(client, ada, "change_address", LOST)
    told, asked = told_link(), last_mail_to("new@example.org").link
    pass_time(days=2, hours=1)
    stranger: Any = client.application.test_client()
    token = stranger.csrf_token()
    stranger.submit(asked)
    assert "tell us at once" in stranger.get(told).text
    assert "Your address has changed" in stranger.post(told, data={"csrf_token": token}).text
    assert ada.contact.address == "new@example.org"


def test_asking_for_another_address_oneself_ends_it_too(client: Client, owner: User, ada: User, pass_time) -> None:
    do(client, ada, "change_address", {**LOST, "new_address": "thief@example.org"})
    link = last_mail_to("thief@example.org").link
    browser: Any = client.application.test_client()
    browser.sign_in(ada)
    browser.submit("accounts.settings", {"new_address": "mine@example.org"}, to="accounts.change_address")
    assert client.application.test_client().get(link).status_code == 410
    pass_time(days=2, hours=1)
    leave()
    reasons = list(db.session.scalars(sa.select(Message.reason).join(Contact).where(Contact.address == "thief@example.org")))
    assert reasons == ["pointless"]
    assert ada.contact.address == ADA


def test_who_takes_on_a_role_meanwhile_is_not_moved(client: Client, owner: User, ada: User, pass_time) -> None:
    do(client, ada, "change_address", LOST)
    link = last_mail_to("new@example.org").link
    client.submit("organisation.people", {"address": ADA, "instructor": "y"}, to="organisation.invite")
    browser: Any = client.application.test_client()
    browser.submit(last_mail_to(ADA).link)
    pass_time(days=2, hours=1)
    assert browser.get(link).status_code == 410
    assert ada.contact.address == ADA


@pytest.mark.settings(rate_limits=True)
@pytest.mark.one_database
def test_nobody_is_asked_without_end_whether_an_account_may_move_to_them(client: Client, owner: User) -> None:
    people = [make_user() for _ in range(6)]
    statuses = [do(client, person, "change_address", {"new_address": "victim@example.org"}).status_code for person in people]
    assert statuses == [303] * 5 + [429]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"new_address": "new@example.org", "old_is_lost": "y", "reason": "  "}, "why the old address is not asked"),
        ({"new_address": "nonsense"}, "does not look like an e-mail address"),
        ({"new_address": ADA}, "the address you have now"),
        ({"new_address": ""}, "Please type an e-mail address"),
        ({"new_address": "new@example.org", "old_is_lost": "y", "reason": "a\nb"}, "leave out line breaks"),
    ],
)
def test_a_change_that_cannot_be_is_refused_in_words_and_mails_nobody(
    client: Client, owner: User, ada: User, wish: dict[str, str], words: str
) -> None:
    answer = do(client, ada, "change_address", wish)
    assert answer.status_code == 200
    assert words in answer.text
    assert db.session.query(Message).count() == 0
    assert events_about(ada) == ["staff_found"]


def test_nobody_with_a_role_is_moved_without_their_old_address_or_erased_by_a_page(client: Client, owner: User) -> None:
    other = make_user("second@example.org", roles=["instructor"])
    wish = {"new_address": "new@example.org", "old_is_lost": "y", "reason": "Closed."}
    assert "staff role" in do(client, other, "change_address", wish).text
    find(client, "second@example.org")
    answer = client.submit("support.erasure", {"address": "second@example.org"}, id=other.contact.public_id)
    assert "staff role" in answer.text
    assert db.session.query(Message).count() == 0
    assert db.session.get(User, other.id) is not None
