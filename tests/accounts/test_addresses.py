"""Moving to another address: both addresses say yes, and the old one opens nothing any more."""

import sqlalchemy as sa

from courseapp.accounts.models import AddressChange, User
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from tests.accounts.mailbox import last_mail_to, mails_to
from tests.accounts.test_links import at_once
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_contact, make_user
from tests.rows import all_rows, changed_tables

GOOD = "three quiet owls by the river"


def wish(client: Client, new: str = "new@example.org", **more: str) -> tuple[str, str]:
    """Ask to move; the links mailed to the old and to the new address."""
    client.submit("accounts.settings", {"new_address": new, **more}, to="accounts.change_address")
    return last_mail_to("old@example.org").link, last_mail_to(new).link


def test_the_address_changes_only_once_both_have_agreed_in_either_order(client: Client) -> None:
    for number in (0, 1):
        user = make_user("old@example.org")
        client.sign_in(user)
        links = wish(client)
        first, second = links[number], links[1 - number]
        client.submit(first)
        assert user.contact.address == "old@example.org"
        client.submit(second)
        assert user.contact.address == "new@example.org"
        db.session.delete(user)
        for contact in db.session.scalars(sa.select(Contact)):
            contact.address = contact.address_key = None


def test_opening_either_link_changes_nothing(client: Client) -> None:
    client.sign_in(make_user("old@example.org"))
    links = wish(client)
    before = all_rows()
    for link in links:
        assert client.application.test_client().get(link).status_code == 200
    assert changed_tables(before, all_rows()) == []


def test_agreeing_twice_with_one_link_is_not_agreeing_with_both(client: Client) -> None:
    user = client.sign_in(make_user("old@example.org"))
    old, _new = wish(client)
    token = client.csrf_token()
    for _ in range(3):
        assert client.post(old, data={"csrf_token": token}).status_code == 200
    assert user.contact.address == "old@example.org"


def test_after_the_change_every_session_ends_and_the_new_address_signs_in(client: Client) -> None:
    user = client.sign_in(make_user("old@example.org"))
    for link in wish(client):
        client.application.test_client().submit(link)
    assert client.visit("accounts.settings").status_code == 302
    client.submit("accounts.sign_in", {"address": "new@example.org"})
    client.submit(last_mail_to("new@example.org").link)
    assert "new@example.org" in client.visit("accounts.settings").text
    assert db.session.scalars(sa.select(User)).one().id == user.id


def test_sign_in_links_asked_for_before_the_change_open_nothing_after_it(client: Client) -> None:
    user = make_user("old@example.org")
    client.sign_in(user)
    thief = client.application.test_client()
    for address in ("old@example.org", "new@example.org"):
        thief.submit("accounts.sign_in", {"address": address})
    before = [last_mail_to(address).link for address in ("old@example.org", "new@example.org")]
    for link in wish(client):
        client.submit(link)
    assert [thief.get(link).status_code for link in before] == [410, 410]
    assert db.session.query(User).count() == 1


def test_the_old_address_is_a_strangers_afterwards(client: Client) -> None:
    make_user("old@example.org")
    client.sign_in(db.session.scalars(sa.select(User)).one())
    for link in wish(client):
        client.submit(link)
    stranger = client.application.test_client()
    stranger.submit("accounts.sign_in", {"address": "old@example.org"})
    stranger.submit(last_mail_to("old@example.org").link)
    assert db.session.query(User).count() == 2


def test_an_address_with_an_account_is_refused_to_its_own_reader_alone(client: Client) -> None:
    taken = make_user("taken@example.org")
    user = client.sign_in(make_user("old@example.org"))
    free, fresh = wish(client, "free@example.org")
    unknown = [client.get(free).text, client.submit(free).text]
    old, new = wish(client, "taken@example.org")
    reader = client.application.test_client()
    for _ in range(2):
        assert "another account" in (refused := reader.submit(new)).text
        assert refused.status_code == 400
    known = [client.get(old).text, client.submit(old).text]
    assert [len(page) for page in known] == [len(page.replace("f…@", "t…@")) for page in unknown]
    assert "another account" not in "".join(known)
    assert (user.contact.address, taken.contact.address) == ("old@example.org", "taken@example.org")
    assert fresh


def test_a_wish_is_forgotten_after_a_day_and_replaced_by_the_next(client: Client, pass_time) -> None:
    user = client.sign_in(make_user("old@example.org"))
    first = wish(client, "one@example.org")
    second = wish(client, "two@example.org")
    assert [client.get(link).status_code for link in (*first, *second)] == [410, 410, 200, 200]
    pass_time(hours=24.5)
    assert [client.get(link).status_code for link in second] == [410, 410]
    assert user.contact.address == "old@example.org"


def test_the_present_password_is_asked_for_where_there_is_one(client: Client) -> None:
    client.sign_in(make_user("old@example.org", password=GOOD))
    for wrong in ({}, {"password": "wrong wrong wrong"}):
        client.submit("accounts.settings", {"new_address": "new@example.org", **wrong}, to="accounts.change_address")
    assert mails_to("new@example.org") == []
    assert db.session.query(AddressChange).count() == 0
    wish(client, password=GOOD)
    assert len(mails_to("new@example.org")) == 1


def test_what_is_no_address_or_ones_own_is_refused_in_words(client: Client) -> None:
    client.sign_in(make_user("old@example.org"))
    for typed in ("OLD@example.org", "nonsense", "a@b\r\nBcc: c@d.test"):
        page = client.submit("accounts.settings", {"new_address": typed}, to="accounts.change_address")
        assert 'aria-invalid="true"' in page.text
    assert db.session.query(AddressChange).count() == 0


def test_a_contact_that_had_the_new_address_without_an_account_is_forgotten(client: Client) -> None:
    make_contact("new@example.org", confirmed=False)
    user = client.sign_in(make_user("old@example.org"))
    for link in wish(client):
        client.submit(link)
    assert user.contact.address == "new@example.org"
    assert [row.erased_at is not None for row in db.session.scalars(sa.select(Contact).where(Contact.address.is_(None)))] == [True]


def test_both_sides_agreeing_at_the_same_moment_finish_the_change(client: Client) -> None:
    user = client.sign_in(make_user("old@example.org"))
    links = wish(client)
    browsers = [client.application.test_client() for _ in links]
    tokens = [browser.csrf_token() for browser in browsers]
    assert at_once(lambda side: browsers[side].post(links[side], data={"csrf_token": tokens[side]}).status_code, 2) == {200: 2}
    assert user.contact.address == "new@example.org"
    assert user.contact.confirmed_at >= NOW
