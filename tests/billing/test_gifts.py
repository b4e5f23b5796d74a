"""Tiers given by staff: to whom, why and until when; the mail that says neither; changing and taking back; who sees whose address."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.billing import gifts
from courseapp.billing.entitlements import change_end, holds_tier, withdraw
from courseapp.billing.models import Closed, Entitlement, Kind, Tier
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing.models import Message
from courseapp.site import change_site, forget_site
from tests.client import Client
from tests.code.markup import faults_in
from tests.conftest import NOW, set_clock
from tests.factories import days_ago, make_contact, make_entitlement, make_tier, make_user
from tests.query_counts import statements

ADA = "ada.lovelace@example.org"
HINT = "a…@example.org"
pytestmark = pytest.mark.settings(
    stripe_secret_key="sk_test_nobody_answers", stripe_url="http://127.0.0.1:9", stripe_webhook_secrets="whsec_of_our_own_endpoint"
)
"""A site that sells; nobody answers at Stripe's address, and no page of this asks."""


@pytest.fixture
def owner(app: Flask) -> User:
    """Who gives."""
    return make_user("owner@example.org", roles=["owner"])


@pytest.fixture
def client(app: Flask, owner: User) -> Client:
    """The owner's browser."""
    return browser(app, owner)


@pytest.fixture
def ada(app: Flask) -> User:
    """Who gets something."""
    return make_user(ADA)


@pytest.fixture
def tier(app: Flask) -> Tier:
    """What there is to give."""
    made: Tier = make_tier(name="Pelvic floor", neutral_name="More")
    return made


def browser(app: Flask, user: User) -> Client:
    """A browser in which somebody is signed in."""
    client = app.test_client()
    assert isinstance(client, Client)
    client.sign_in(user, NOW)
    return client


def give(client: Client, **typed: Any) -> Any:
    """Fill in the form and press its button."""
    return client.submit("gifts.listed", {"address": ADA, "reason": "A scholarship", **typed})


def given() -> Entitlement:
    """The one gift that there is."""
    return db.session.scalars(sa.select(Entitlement).where(Entitlement.kind == Kind.GIFT).execution_options(populate_existing=True)).one()


def happened(type: str) -> list[Event]:
    """Events of a type."""
    return list(db.session.scalars(sa.select(Event).where(Event.type == type)))


@pytest.mark.parametrize("role", ["instructor", "marketer", None])
def test_only_owners_open_it(app: Flask, role: str | None, tier: Tier, ada: User) -> None:
    gift = make_entitlement(ada, tier, reason="A scholarship")
    client = browser(app, make_user(roles=[role] if role else []))
    token = client.csrf_token()
    for endpoint in ("gifts.listed", "gifts.gift"):
        assert client.visit(endpoint, id=gift.public_id).status_code == 404
    for endpoint in ("gifts.make", "gifts.prolong", "gifts.take_back"):
        assert client.post(client.path(endpoint, id=gift.public_id), data={"csrf_token": token, "reason": "x"}).status_code == 404
    assert given().closed_at is None


@pytest.mark.settings
@pytest.mark.one_database
def test_where_nothing_is_sold_nothing_is_given(client: Client) -> None:
    assert client.visit("gifts.listed").status_code == 404


def test_somebody_is_given_a_tier_and_holds_it_until_the_end_of_that_day(client: Client, owner: User, ada: User, tier: Tier) -> None:
    change_site({"default_zone": "America/New_York"}, NOW)
    db.session.commit()
    forget_site()
    assert give(client, address=ADA.upper(), until="2026-12-31").status_code == 303
    gift = given()
    assert (gift.user_id, gift.tier_id, gift.reason, gift.given_by_user_id) == (ada.id, tier.id, "A scholarship", owner.id)
    assert gift.ends_at == datetime(2027, 1, 1, 4, 59, 59, tzinfo=UTC)
    assert holds_tier(ada.id, tier.id, datetime(2027, 1, 1, 4, 59, tzinfo=UTC))
    assert not holds_tier(ada.id, tier.id, datetime(2027, 1, 1, 5, tzinfo=UTC))
    page = client.visit("gifts.listed").text
    assert "open until December 31, 2026" in page
    assert faults_in(page) == []


def test_without_a_day_it_has_no_end(client: Client, ada: User, tier: Tier) -> None:
    assert give(client).status_code == 303
    assert given().ends_at is None
    assert "open, without an end" in client.visit("gifts.listed").text


def test_the_mail_says_neither_what_nor_why(client: Client, ada: User, tier: Tier) -> None:
    give(client, until="2026-11-04")
    (mail,) = db.session.scalars(sa.select(Message))
    assert (mail.template, mail.stream.key, mail.contact_id) == ("billing/gift", "service", ada.contact_id)
    assert sorted(mail.fields) == ["page_url", "plan_url"]
    assert mail.expires_at == given().ends_at


def test_the_reason_is_not_in_the_journal_and_the_person_reads_that_something_was_given(
    app: Flask, client: Client, owner: User, ada: User, tier: Tier
) -> None:
    give(client)
    (event,) = happened("access_given")
    assert event.subject == f"user:{ada.id}"
    assert event.data == {"tier_id": tier.id, "until": None, "by": owner.id}
    page = browser(app, ada).visit("operations.staff_actions").text
    assert "Gave you something that is otherwise paid for." in page
    assert "scholarship" not in page
    assert "Pelvic" not in page


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"address": "nobody@example.org"}, "Nobody has an account with exactly this address. Send them this link to start first: http"),
        ({"address": "typed@example.org"}, "Nobody has an account with exactly this address."),
        ({"address": "closed@example.org"}, "is closed"),
        ({"address": ""}, "Please type an e-mail address."),
        ({"address": "a\0b@example.org"}, "Nobody has an account with exactly this address."),
        ({"tier": "nothing"}, "Please choose one of the tiers in the list."),
        ({"tier": None}, "Please choose one of the tiers in the list."),
        ({"reason": "  "}, "Please write down why it is given."),
        ({"reason": "x" * 201}, "Please keep it under 200 characters."),
        ({"reason": "\0"}, "Please write down why it is given."),
        ({"until": "2026-11-01"}, "This day is over."),
        ({"until": "31.12.2026"}, "Please write a date as 2027-01-31"),
        ({"until": "0000-00-00"}, "Please write a date as 2027-01-31"),
        ({"until": "9999-12-31"}, "more than ten years away"),
    ],
)
def test_what_cannot_be_given_is_refused_in_words_and_nothing_is_lost(
    client: Client, ada: User, tier: Tier, typed: dict[str, Any], words: str
) -> None:
    make_contact("typed@example.org", confirmed=False)
    make_user("closed@example.org", disabled_at=NOW)
    answer = give(client, **typed)
    assert answer.status_code == 422
    assert words in answer.text
    assert answer.text.count(words) == 2, "at the field, and in the summary above"
    assert faults_in(answer.text) == []
    if typed.get("reason", "A scholarship") == "A scholarship":
        assert 'value="A scholarship"' in answer.text
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Entitlement)) == 0
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Message)) == 0


def test_today_is_a_day_to_give_until_and_what_is_sold_no_longer_is_not_to_be_had(client: Client, ada: User, tier: Tier) -> None:
    away = make_tier(name="Old", archived_at=NOW)
    assert "Old" not in client.visit("gifts.listed").text
    assert give(client, tier=away.public_id).status_code == 422
    assert give(client, until="2026-11-02").status_code == 303


def test_the_same_gift_twice_is_refused_while_the_first_is_open(client: Client, ada: User, tier: Tier) -> None:
    give(client)
    answer = give(client)
    assert answer.status_code == 422
    assert "They have this tier as a gift already." in answer.text
    assert len(happened("access_given")) == 1
    withdraw(given(), clock.now(), given().user_id)
    assert give(client).status_code == 303


@pytest.mark.one_database
def test_who_bought_it_can_be_given_it_too(client: Client, ada: User, tier: Tier) -> None:
    make_entitlement(ada, tier, Kind.PURCHASE)
    assert give(client).status_code == 303


def test_until_when_is_changed_and_no_mail_tells(client: Client, ada: User, tier: Tier) -> None:
    give(client, until="2026-11-30")
    gift_id = given().public_id
    page = client.visit("gifts.gift", id=gift_id).text
    assert 'value="2026-11-30"' in page
    assert faults_in(page) == []
    assert client.submit("gifts.gift", {"until": "2027-03-31"}, to="gifts.prolong", id=gift_id).status_code == 303
    assert given().ends_at == datetime(2027, 3, 31, 23, 59, 59, tzinfo=UTC)
    assert client.submit("gifts.gift", {"until": ""}, to="gifts.prolong", id=gift_id).status_code == 303
    assert given().ends_at is None
    assert [event.data["until"] for event in happened("access_end_changed")] == ["2027-03-31T23:59:59+00:00", None]
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Message)) == 1
    answer = client.submit("gifts.gift", {"until": "2026-10-01"}, to="gifts.prolong", id=gift_id)
    assert (answer.status_code, "This day is over." in answer.text) == (422, True)
    answer = client.submit("gifts.gift", {"until": "soon"}, to="gifts.prolong", id=gift_id)
    assert (answer.status_code, "Please write a date as 2027-01-31" in answer.text) == (422, True)
    assert given().ends_at is None


def test_it_is_taken_back_for_a_reason_that_its_holder_reads(app: Flask, client: Client, ada: User, tier: Tier) -> None:
    give(client)
    gift_id = given().public_id
    refused = client.submit("gifts.gift", {"reason": " "}, to="gifts.take_back", id=gift_id)
    assert (refused.status_code, "Please write down why it is taken back." in refused.text) == (422, True)
    assert client.submit("gifts.gift", {"reason": "Given by mistake"}, to="gifts.take_back", id=gift_id).status_code == 303
    assert given().closed_why is Closed.WITHDRAWN
    assert not holds_tier(ada.id, tier.id, clock.now())
    page = client.visit("gifts.gift", id=gift_id).text
    assert "taken back on November 2, 2026" in page
    assert "<form" not in page.partition("<main")[2]
    own = browser(app, ada).visit("operations.staff_actions").text
    assert "Took back something that was given to you." in own
    assert "Given by mistake" in own
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Message)) == 1


def test_whoever_presses_second_is_told_and_nothing_happens_twice(client: Client, owner: User, ada: User, tier: Tier) -> None:
    give(client)
    gift_id, token = given().public_id, client.csrf_token("gifts.listed")
    for said in ("It is taken back.", "Nothing was changed."):
        answer = client.post(client.path("gifts.take_back", id=gift_id), data={"csrf_token": token, "reason": said}, follow_redirects=True)
        assert (answer.status_code, said in answer.text) == (200, True)
    answer = client.post(client.path("gifts.prolong", id=gift_id), data={"csrf_token": token, "until": ""}, follow_redirects=True)
    assert "Nothing was changed." in answer.text
    assert len(happened("access_withdrawn")) == 1
    assert happened("access_end_changed") == []


@pytest.mark.one_database
def test_what_is_no_gift_can_be_neither_changed_nor_taken_back_here(client: Client, owner: User, ada: User, tier: Tier) -> None:
    bought = make_entitlement(ada, tier, Kind.PURCHASE)
    over = make_entitlement(ada, tier, begins_at=days_ago(9), ends_at=days_ago(1))
    assert client.visit("gifts.gift", id=bought.public_id).status_code == 404
    assert client.visit("gifts.gift", id="nothing").status_code == 404
    for row in (bought, over):
        assert not withdraw(row, NOW, owner.id)
        assert not change_end(row, None, NOW, owner.id)
    assert "over since November 1, 2026" in client.visit("gifts.gift", id=over.public_id).text


@pytest.mark.one_database
def test_of_two_at_once_only_one_gives(app: Flask, owner: User, ada: User, tier: Tier) -> None:
    gifts.make_gift(ada, tier, NOW, ends_at=None, reason="One", by_user_id=owner.id)
    with pytest.raises(Refusal, match="already"):
        gifts.make_gift(ada, tier, NOW, ends_at=None, reason="Two", by_user_id=owner.id)


# Whom one sees


def test_an_address_stands_whole_only_for_whoever_typed_it_within_the_hour(app: Flask, client: Client, ada: User, tier: Tier) -> None:
    other = browser(app, make_user("other@example.org", roles=["owner"]))
    give(client)
    assert ADA in client.visit("gifts.listed").text
    page = other.visit("gifts.listed").text
    assert (ADA in page, HINT in page, "owner@example.org" in page) == (False, True, True)
    set_clock(app, NOW + timedelta(hours=2))
    page = client.visit("gifts.gift", id=given().public_id).text
    assert (ADA in page, HINT in page) == (False, True)
    assert other.submit("support.people", {"address": ADA}).status_code == 303
    assert ADA in other.visit("gifts.gift", id=given().public_id).text
    assert ADA not in client.visit("gifts.listed").text


def test_the_list_goes_on_by_key_newest_first_and_asks_as_often_for_many_as_for_one(client: Client, owner: User, tier: Tier) -> None:
    for number in range(31):
        make_entitlement(make_user(), tier, reason=f"Number {number:02}", given_by_user_id=owner.id)
    client.visit("gifts.listed")
    with statements() as many:
        page = client.visit("gifts.listed").text
    numbers = [page.index(f"Number {number:02}") for number in range(30, 0, -1)]
    assert numbers == sorted(numbers)
    assert "Number 00" not in page
    older = client.get(page.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0]).text
    assert "Number 00" in older
    assert "Give one" not in older
    db.session.execute(sa.delete(Entitlement).where(Entitlement.reason != "Number 30"))
    with statements() as few:
        client.visit("gifts.listed")
    assert len(many) == len(few)


def test_before_anything_can_be_given(client: Client) -> None:
    page = client.visit("gifts.listed").text
    assert "make a tier first" in page
    assert "Nothing was given yet" in page
    assert faults_in(page) == []


# On a person's page


def test_support_shows_what_somebody_holds_by_its_neutral_name(client: Client, ada: User, tier: Tier) -> None:
    make_entitlement(ada, tier, reason="A scholarship", ends_at=datetime(2027, 1, 31, 12, tzinfo=UTC))
    make_entitlement(ada, make_tier(neutral_name="Much more"), Kind.SUBSCRIPTION)
    make_entitlement(ada, make_tier(neutral_name="Once held"), Kind.PURCHASE, closed_at=NOW, closed_why=Closed.REFUNDED)
    client.submit("support.people", {"address": ADA})
    page = client.visit("support.person", id=ada.contact.public_id).text
    part = page.partition('id="tiers"')[2].partition("</section>")[0]
    words = " ".join(part.replace(">", "> ").split())
    for said in ("More", "given", "until January 31, 2027", "Much more", "subscribed to", "no end is known"):
        assert said in words
    for unsaid in ("Pelvic", "scholarship", "Once held", "<a "):
        assert unsaid not in words
    assert faults_in(page) == []


@pytest.mark.settings
@pytest.mark.one_database
def test_where_nothing_is_sold_support_says_nothing_of_it(client: Client, ada: User, tier: Tier) -> None:
    make_entitlement(ada, tier)
    client.submit("support.people", {"address": ADA})
    assert 'id="tiers"' not in client.visit("support.person", id=ada.contact.public_id).text
