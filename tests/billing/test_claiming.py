"""What a guest paid for goes to whoever reads the mail of the address, and is not tidied away before."""

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.accounts.models import SignInRequest, User
from courseapp.accounts.people import user_of_contact
from courseapp.accounts.sign_in import new_request
from courseapp.billing.buying.loops import read_news
from courseapp.billing.claiming import claim_purchases
from courseapp.billing.models import Checkout, CheckoutState, Entitlement, Interval, Kind
from courseapp.contacts.models import Contact
from courseapp.contacts.people import contact_of_address
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.mailing.models import Message
from courseapp.operations.tidying import forget_guests, forget_unconfirmed, tidy
from tests.billing.buying import bought, holds, price_of, synced_plan, work
from tests.billing.conftest import Shop
from tests.client import Client
from tests.conftest import NOW, set_clock
from tests.factories import make_contact, make_course, make_entitlement, make_guest, make_plan, make_tier, make_user

YEAR = timedelta(days=365)


def link_of_receipt() -> str:
    """The address in the mail that a guest got."""
    db.session.commit()
    found = db.session.scalars(sa.select(Message).where(Message.template == "billing/bought_as_guest")).one()
    link: str = found.fields["secret_url"]
    return "/" + link.split("/", 3)[3]


def accept(client: Client) -> None:
    """Open the link of the receipt and press its button; then the news is read."""
    assert client.submit(link_of_receipt()).status_code == 303
    db.session.commit()
    read_news(clock.now)


def account_of(address: str) -> User:
    db.session.commit()
    contact = contact_of_address(address)
    assert contact is not None
    found = user_of_contact(contact)
    assert found is not None
    return found


def test_a_new_address_takes_the_guest_over_on_another_device(shop: Shop) -> None:
    tier, guest = make_tier(), make_guest()
    bought(shop, synced_plan(tier, Interval.ONCE), guest, address="new@example.org")
    accept(shop.client())
    assert account_of("new@example.org") == guest
    assert holds(account_of("new@example.org"), tier)


def test_the_link_of_the_receipt_holds_a_day(shop: Shop) -> None:
    bought(shop, synced_plan(), make_guest(), address="new@example.org")
    link = link_of_receipt()
    set_clock(shop.app, NOW + timedelta(hours=23))
    assert shop.client().get(link).status_code == 200
    set_clock(shop.app, NOW + timedelta(hours=25))
    assert shop.client().get(link).status_code == 410


def test_an_account_gets_what_its_person_bought_as_a_guest(shop: Shop) -> None:
    tier, guest, user = make_tier(), make_guest(), make_user("ada@example.org")
    plan = synced_plan(tier, Interval.ONCE)
    bought(shop, plan, guest, address="Ada@Example.org")
    accept(shop.client())
    assert holds(user, tier)
    assert not holds(guest, tier)
    client = shop.client()
    client.sign_in(user)
    page = client.visit("billing.own").text
    assert "€9.00" in page
    assert "Card and invoices" in page


def test_every_sign_in_finds_what_was_bought_meanwhile(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier), make_guest(), address="ada@example.org")
    events.record("account_claimed", f"user:{user.id}", NOW, contact_id=user.contact_id, user_id=user.id)
    db.session.commit()
    assert read_news(clock.now) == 1
    assert read_news(clock.now) == 0
    assert holds(user, tier)


def test_what_two_guests_bought_with_one_address_comes_together(shop: Shop) -> None:
    tiers, user = [make_tier(), make_tier()], make_user("ada@example.org")
    for tier in tiers:
        bought(shop, synced_plan(tier), make_guest())
    assert claim_purchases(user.contact_id, user.id) == 2
    shop.pass_time(days=31)
    work(shop)
    assert all(holds(user, tier) for tier in tiers)


@pytest.mark.parametrize("page", ["learning.my_courses", "billing.own"])
def test_whoever_signs_in_sees_it_before_the_news_was_read(shop: Shop, page: str) -> None:
    tier, user = make_tier(opens=make_course(slug="further", title="Going further")), make_user("ada@example.org")
    bought(shop, synced_plan(tier, Interval.ONCE), make_guest(), address="ada@example.org")
    client = shop.client()
    client.sign_in(user)
    assert tier.name in client.visit(page).text if page == "billing.own" else "Going further" in client.visit(page).text
    assert holds(user, tier)
    assert read_news(clock.now) >= 0  # and finds nothing left to do
    assert holds(user, tier)


def test_another_address_gets_nothing(shop: Shop) -> None:
    tier, guest, other = make_tier(), make_guest(), make_user("other@example.org")
    bought(shop, synced_plan(tier), guest, address="new@example.org")
    events.record("account_claimed", f"user:{other.id}", NOW, contact_id=other.contact_id, user_id=other.id)
    db.session.commit()
    read_news(clock.now)
    assert not holds(other, tier)
    assert holds(guest, tier)


def test_what_belongs_to_an_account_already_stays_there(app: Flask) -> None:
    contact, owner, other = make_contact(), make_user(), make_user()
    plan = make_plan()
    paid = Checkout(user_id=owner.id, plan_id=plan.id, price_id=price_of(plan).id, contact_id=contact.id, created_at=NOW)
    db.session.add(paid)
    assert claim_purchases(contact.id, other.id) == 0
    assert paid.user_id == owner.id


def test_news_of_somebody_erased_is_read_and_does_nothing(app: Flask) -> None:
    user = make_user()
    events.record("account_claimed", f"user:{user.id}", NOW, contact_id=user.contact_id, user_id=user.id)
    db.session.commit()
    db.session.execute(sa.text("UPDATE events SET data = '{}'"))
    db.session.commit()
    assert read_news(clock.now) == 1


@pytest.mark.parametrize(("given", "minutes"), [({}, 15), ({"lifetime": timedelta(hours=24)}, 24 * 60)])
def test_a_link_holds_as_long_as_it_was_made_for(app: Flask, given: dict[str, timedelta], minutes: int) -> None:
    new_request(make_contact().id, "browser", NOW, **given)
    assert db.session.scalars(sa.select(SignInRequest)).one().expires_at == NOW + timedelta(minutes=minutes)


# What is not tidied away


def test_a_guest_who_paid_is_still_there_after_a_year(shop: Shop) -> None:
    guest = make_guest(created_at=NOW)
    bought(shop, synced_plan(interval=Interval.ONCE), guest, address="new@example.org")
    tidy(NOW + YEAR)
    assert db.session.get(User, guest.id) is not None
    paid_with = db.session.scalars(sa.select(Checkout.contact_id)).one()
    assert db.session.get_one(Contact, paid_with).erased_at is None


def test_a_guest_whose_money_is_on_its_way_is_not_forgotten(app: Flask) -> None:
    guest, plan = make_guest(), make_plan()
    facts = {"user_id": guest.id, "plan_id": plan.id, "price_id": price_of(plan).id, "created_at": NOW}
    db.session.add(Checkout(state=CheckoutState.WAITING, **facts))
    assert forget_guests(NOW + YEAR) == 0


def test_guests_who_paid_nothing_and_addresses_that_nobody_paid_with_are_forgotten_as_before(app: Flask) -> None:
    guest = make_guest()
    make_entitlement(guest, make_tier(), Kind.FREE)
    contact = make_contact(confirmed=False)
    assert forget_guests(NOW + YEAR) == 1
    assert forget_unconfirmed(NOW + YEAR) == 1
    assert contact.erased_at is not None
    assert db.session.scalar(sa.select(sa.func.count(Entitlement.id))) == 0


def test_the_receipt_of_a_guest_names_no_course(shop: Shop) -> None:
    bought(shop, synced_plan(make_tier(name="Pelvic things", neutral_name="Your course")), make_guest(), address="new@example.org")
    message = db.session.scalars(sa.select(Message).where(Message.template == "billing/bought_as_guest")).one()
    assert not re.search("pelvic", str(message.fields), re.IGNORECASE)
