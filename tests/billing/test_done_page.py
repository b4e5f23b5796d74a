"""The page after paying fulfils by itself, says what is so, and shows itself to whoever began the checkout alone."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.billing.models import Checkout, CheckoutState, Closed, Entitlement, Interval, Payment
from courseapp.extensions import db
from tests.billing.buying import begun, bought, holds, mails, only, synced_plan, work
from tests.billing.conftest import Shop
from tests.billing.test_plans_page import words_of
from tests.client import Client
from tests.factories import make_guest, make_tier, make_user
from tests.fakes.clicking import Clicker

SESSIONS = "/v1/checkout/sessions"


def signed_in(shop: Shop, user: User) -> Client:
    client = shop.client()
    client.sign_in(user)
    return client


def page_of(client: Client, checkout: Checkout) -> str:
    """The page of a checkout."""
    answer = client.visit("billing.done", public_id=checkout.public_id)
    assert answer.status_code == 200
    return answer.text


def test_it_is_open_before_any_webhook_has_come(shop: Shop, person: Clicker) -> None:
    tier, user = make_tier(name="Going further"), make_user("ada@example.org")
    shop.steering.rule(hold=True)
    checkout = begun(synced_plan(tier), user)
    shop.steering.buy(checkout.stripe_id, email="ada@example.org")
    page = page_of(signed_in(shop, user), checkout)
    assert "Thank you. It is open." in page
    assert "Going further" in page
    assert 'href="/learn"' in page
    assert holds(user, tier)
    shop.steering.heal()
    shop.steering.deliver()
    work(shop)
    assert mails() == ["bought"]
    only(Entitlement)


@pytest.mark.parametrize("interval", [Interval.ONCE, Interval.MONTH])
def test_page_and_webhook_at_once_give_one_entitlement_and_one_mail(shop: Shop, interval: Interval) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    shop.steering.rule(hold=True)
    checkout = begun(synced_plan(tier, interval), user)
    shop.steering.buy(checkout.stripe_id, email="ada@example.org")
    shop.steering.heal()
    clients = [signed_in(shop, user) for _time in range(3)]
    address = f"/checkouts/{checkout.public_id}"
    db.session.commit()
    with ThreadPoolExecutor(4) as pool:
        pages = [pool.submit(client.get, address) for client in clients]
        shop.steering.deliver()
        answers = [page.result() for page in pages]
    assert [answer.status_code for answer in answers if "It is open." not in answer.text] == []
    work(shop)
    assert mails() == ["bought"]
    only(Entitlement)
    assert only(Payment).amount == 900


def test_once_it_is_settled_stripe_is_asked_no_more(shop: Shop) -> None:
    user = make_user()
    checkout = bought(shop, synced_plan(), user)
    before = len(shop.steering.requests())
    assert "It is open." in page_of(signed_in(shop, user), checkout)
    assert len(shop.steering.requests()) == before


def test_a_guest_is_told_of_the_link_in_their_mail(shop: Shop) -> None:
    guest = make_guest()
    checkout = bought(shop, synced_plan(), guest, address="new@example.org")
    page = page_of(signed_in(shop, guest), checkout)
    assert "We have sent a link to the address you paid with." in page
    assert "new@example.org" not in page
    assert mails() == ["bought_as_guest"]


def test_free_days_are_said_to_have_begun(shop: Shop) -> None:
    user = make_user()
    checkout = bought(shop, synced_plan(trial_days=14), user, subscription_data={"trial_period_days": 14})
    checkout.trial_days = 14
    assert "14 free days have begun" in page_of(signed_in(shop, user), checkout)


# Whose it is


def test_somebody_elses_checkout_is_not_there(shop: Shop) -> None:
    user = make_user()
    checkout = bought(shop, synced_plan(), user)
    address = f"/checkouts/{checkout.public_id}"
    stranger, other = shop.client(), signed_in(shop, make_user())
    nothing = [client.get("/checkouts/abcdefghjkmnpqrs") for client in (stranger, other)]
    for client, missing in zip((stranger, other), nothing, strict=True):
        answer = client.get(address)
        assert (answer.status_code, missing.status_code) == (404, 404)
        assert "If you have paid, it is safe" in answer.text  # somebody whose bank led them back to another browser reads it
        assert words_of(answer) == words_of(missing)  # and nobody learns that there is such an order
    assert stranger.get(f"/checkouts/{checkout.stripe_id}").status_code == 404


def test_somebody_elses_checkout_is_not_fulfilled_by_looking(shop: Shop) -> None:
    shop.steering.rule(hold=True)
    checkout = begun(synced_plan(), make_user())
    shop.steering.buy(checkout.stripe_id, email="ada@example.org")
    signed_in(shop, make_user()).visit("billing.done", public_id=checkout.public_id)
    db.session.refresh(checkout)
    assert checkout.state is CheckoutState.OPEN


# Not paid, or not yet


def test_money_on_its_way_is_said_to_be_and_comes(shop: Shop) -> None:
    tier, user = make_tier(), make_user()
    checkout = bought(shop, synced_plan(tier, Interval.ONCE), user, way="later_succeeds")
    client = signed_in(shop, user)
    page = page_of(client, checkout)
    assert "Your money is on its way" in page
    assert "write to you" in page
    assert not holds(user, tier)
    shop.steering.rule(hold=True)
    shop.steering.settle_payment(checkout.stripe_id, succeeds=True)
    assert "It is open." in page_of(client, checkout)
    assert holds(user, tier)


def test_money_that_never_came_is_said_kindly(shop: Shop) -> None:
    tier, user = make_tier(), make_user()
    checkout = bought(shop, synced_plan(tier, Interval.ONCE), user, way="later_fails")
    shop.steering.settle_payment(checkout.stripe_id, succeeds=False)
    work(shop)
    page = page_of(signed_in(shop, user), checkout)
    assert "The payment did not go through" in page
    assert 'href="/plans"' in page


def test_a_checkout_that_nobody_went_through_with_says_that_nothing_was_paid(shop: Shop) -> None:
    user = make_user()
    checkout = begun(synced_plan(), user)
    client = signed_in(shop, user)
    assert "Nothing was paid" in page_of(client, checkout)
    shop.pass_time(days=2)
    client = signed_in(shop, user)
    assert "Nothing was paid" in page_of(client, checkout)


def test_a_declined_card_opens_nothing(shop: Shop) -> None:
    user = make_user()
    checkout = begun(synced_plan(), user)
    assert shop.steering.buy(checkout.stripe_id, "decline", email="ada@example.org") is not None
    assert "Nothing was paid" in page_of(signed_in(shop, user), checkout)


def test_what_was_refunded_is_not_called_open(shop: Shop) -> None:
    user = make_user()
    checkout = bought(shop, synced_plan(interval=Interval.ONCE), user)
    kept = only(Entitlement)
    kept.closed_at, kept.closed_why = kept.begins_at, Closed.REFUNDED
    page = page_of(signed_in(shop, user), checkout)
    assert "It is open." not in page
    assert 'href="/account/plan"' in page


# Stripe is away


@pytest.mark.parametrize("what", ["500", "429", "403", "drop"])
def test_with_stripe_away_the_page_never_says_that_nothing_was_paid(shop: Shop, what: str) -> None:
    tier, user = make_tier(), make_user()
    shop.steering.rule(hold=True)
    checkout = begun(synced_plan(tier), user)
    shop.steering.buy(checkout.stripe_id, email="ada@example.org")
    shop.steering.fail(what, times=None, path=SESSIONS)
    client = signed_in(shop, user)
    answer = client.visit("billing.done", public_id=checkout.public_id)
    assert answer.status_code == 503
    assert "If you have paid, it is safe" in answer.text
    assert answer.headers["Refresh"] == answer.headers["Retry-After"] == "20"
    assert "Nothing was paid" not in answer.text
    shop.steering.heal()
    assert "It is open." in page_of(client, checkout)


def test_with_the_subscription_out_of_reach_half_of_it_is_not_written(shop: Shop) -> None:
    user = make_user()
    shop.steering.rule(hold=True)
    checkout = begun(synced_plan(), user)
    shop.steering.buy(checkout.stripe_id, email="ada@example.org")
    shop.steering.fail("500", times=None, path="/v1/subscriptions")
    client = signed_in(shop, user)
    assert client.visit("billing.done", public_id=checkout.public_id).status_code == 503
    assert count(Entitlement) == 0
    shop.steering.heal()
    assert "It is open." in page_of(client, checkout)


def count(model: Any) -> int:
    db.session.commit()
    return db.session.scalar(sa.select(sa.func.count()).select_from(model)) or 0
