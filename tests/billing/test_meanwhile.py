"""People who become accounts, or are erased, while Stripe is asked about what they bought, or before late news of it comes."""

import threading
import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.billing import loops
from courseapp.billing.claiming import claim_purchases
from courseapp.billing.models import Customer, Interval, StripeEvent
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.learning.joining import join_guest
from courseapp.operations.people import erase
from tests.billing.buying import begun, bought, holds, mails, only, synced_plan, the_customer, work
from tests.billing.conftest import Shop
from tests.billing.test_delays import at_once
from tests.factories import make_guest, make_tier, make_user

ONCE, MONTH = Interval.ONCE, Interval.MONTH


def while_asked(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Have something happen, and be committed, between asking Stripe about a checkout and keeping the answer."""
    asked = loops._status_of_payment

    def meanwhile(session: dict) -> str | None:
        happens()
        db.session.commit()
        return asked(session)

    monkeypatch.setattr(loops, "_status_of_payment", meanwhile)


@pytest.mark.parametrize("interval", [ONCE, MONTH])
def test_a_guest_who_is_joined_to_an_account_meanwhile_leaves_it_to_the_account(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, interval: Interval
) -> None:
    tier, guest, user = make_tier(), make_guest(), make_user("ada@example.org")
    checkout = begun(synced_plan(tier, interval), guest)
    shop.steering.buy(checkout.stripe_id, email="ada@example.org")
    shop.settle()
    while_asked(monkeypatch, lambda: join_guest(guest, user, clock.now()))
    loops.refresh_checkout(checkout.stripe_id, clock.now())
    assert holds(user, tier)
    assert mails() == ["bought"]


def test_a_guest_whose_purchases_are_claimed_meanwhile_keeps_none_of_them(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    tier, guest, user = make_tier(), make_guest(), make_user("ada@example.org")
    checkout = bought(shop, synced_plan(tier, ONCE), guest, way="later_succeeds")
    shop.pass_time(days=4)
    while_asked(monkeypatch, lambda: claim_purchases(user.contact_id, user.id))
    loops.refresh_checkout(checkout.stripe_id, clock.now())
    assert holds(user, tier)
    assert not holds(guest, tier)


def test_a_customer_whose_guest_was_joined_in_the_very_moment_it_was_kept_is_the_accounts(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    checkout = begun(synced_plan(tier), user)
    shop.steering.buy(checkout.stripe_id, email="ada@example.org")
    shop.settle()
    stripe_id = shop.fake.books.all("customer")[0]["id"]
    db.session.add(Customer(stripe_id=stripe_id, user_id=None, created_at=clock.now()))  # its guest is gone, and the row knew no other
    work(shop)
    assert only(Customer).user_id == user.id
    assert holds(user, tier)


@pytest.mark.parametrize("interval", [ONCE, MONTH])
def test_news_that_comes_late_or_is_looked_at_again_brings_nobody_back(shop: Shop, interval: Interval) -> None:
    user = make_user("ada@example.org")
    bought(shop, synced_plan(interval=interval), user)
    erase(user, user.contact, clock.now())
    db.session.execute(sa.update(StripeEvent).values(processed_at=None, due_at=clock.now()))
    work(shop)
    assert db.session.scalars(sa.select(User)).all() == []
    assert db.session.scalars(sa.select(Contact).where(Contact.erased_at.is_(None))).all() == []
    assert only(Customer).user_id is None


def test_somebody_erased_while_their_purchase_is_kept_waits_for_it_and_neither_fails(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    user = make_user("ada@example.org")
    bought(shop, synced_plan(), user)
    checkout = begun(synced_plan(interval=ONCE), user, customer=the_customer(user).stripe_id)
    shop.steering.buy(checkout.stripe_id)
    shop.settle()
    held, hold_claim = threading.Event(), loops.hold_claim

    def slowly(customer_id: int, epoch: int) -> Customer:
        found = hold_claim(customer_id, epoch)
        held.set()
        time.sleep(0.5)
        return found

    def leave() -> None:
        held.wait(10)
        found = db.session.get_one(User, user_id)
        erase(found, found.contact, clock.now())
        db.session.commit()

    monkeypatch.setattr(loops, "hold_claim", slowly)
    stripe_id, user_id = checkout.stripe_id, user.id
    at_once(shop.app, lambda: loops.refresh_checkout(stripe_id, clock.now()), leave)
    assert db.session.scalars(sa.select(User)).all() == []
