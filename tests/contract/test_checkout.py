"""Checkout Sessions: what is asked for, what comes back, and what is refused."""

import pytest

from courseapp.billing import stripe_gateway
from courseapp.billing.stripe_gateway import StripeRefusedError
from tests.contract.conftest import HOME, Side


def test_a_session_sells_a_thing_once(stripe_side: Side) -> None:
    price = stripe_side.price(stripe_side.product())
    number = stripe_side.name()
    session = stripe_side.session(price, client_reference_id=number, metadata={"checkout": number}, locale="auto")
    found = stripe_gateway.checkout_session(session["id"])
    assert found is not None
    assert (found["status"], found["payment_status"], found["mode"]) == ("open", "unpaid", "payment")
    assert (found["client_reference_id"], found["metadata"]) == (number, {"checkout": number})
    assert (found["amount_total"], found["currency"], found["livemode"]) == (4900, "eur", False)
    assert (found["payment_intent"], found["subscription"], found["customer"]) == (None, None, None)
    assert [line["price"]["id"] for line in found["line_items"]["data"]] == [price["id"]]
    assert found["url"].startswith("http")
    assert 23 * 3600 < found["expires_at"] - found["created"] <= 24 * 3600


def test_a_session_sells_a_subscription_to_a_customer(stripe_side: Side) -> None:
    price = stripe_side.price(stripe_side.product(), 1000, "month")
    customer, number = stripe_side.customer(), stripe_side.name()
    ours = {"metadata": {"checkout": number}}
    session = stripe_side.session(price, customer=customer["id"], client_reference_id=number, subscription_data=ours, **ours)
    found = stripe_gateway.checkout_session(session["id"])
    assert found is not None
    assert (found["mode"], found["customer"], found["subscription"], found["amount_total"]) == ("subscription", customer["id"], None, 1000)
    assert session["id"] in {one["id"] for one in stripe_gateway.checkout_sessions(customer=customer["id"])}


def test_a_session_with_a_trial_costs_nothing_today(stripe_side: Side) -> None:
    price = stripe_side.price(stripe_side.product(), 1000, "month")
    session = stripe_side.session(price, subscription_data={"trial_period_days": 14}, payment_method_collection="always")
    assert (session["amount_total"], session["payment_status"]) == (0, "unpaid")


def test_promotion_codes_tax_and_a_customer_can_be_asked_for(stripe_side: Side) -> None:
    price = stripe_side.price(stripe_side.product())
    session = stripe_side.session(price, allow_promotion_codes=True, customer_creation="always", invoice_creation={"enabled": True})
    assert (session["allow_promotion_codes"], session["customer_creation"]) == (True, "always")
    assert session["invoice_creation"]["enabled"] is True
    assert session["automatic_tax"]["enabled"] is False


def test_which_ways_of_paying_there_are_is_not_ours_to_say(stripe_side: Side) -> None:
    with pytest.raises(StripeRefusedError) as refused:
        stripe_side.session(stripe_side.price(stripe_side.product()), payment_method_types=["card"])
    assert refused.value.param == "payment_method_types"


@pytest.mark.parametrize("mode", ["payment", "subscription"])
def test_the_mode_must_fit_the_price(stripe_side: Side, mode: str) -> None:
    price = stripe_side.price(stripe_side.product(), 1000, "month" if mode == "payment" else None)
    with pytest.raises(StripeRefusedError):
        stripe_side.session(price, mode=mode)


def test_one_wish_sent_twice_is_one_session(stripe_side: Side) -> None:
    price, key = stripe_side.price(stripe_side.product()), stripe_side.name()
    first = stripe_side.session(price, key, client_reference_id=key)
    assert stripe_side.session(price, key, client_reference_id=key)["id"] == first["id"]
    assert stripe_side.session(price, None, client_reference_id=key)["id"] != first["id"]


def test_another_wish_with_the_same_key_is_refused(stripe_side: Side) -> None:
    price, key = stripe_side.price(stripe_side.product()), stripe_side.name()
    stripe_side.session(price, key)
    with pytest.raises(StripeRefusedError):
        stripe_side.session(price, key, allow_promotion_codes=True)


def test_what_was_refused_leaves_its_key_free(stripe_side: Side) -> None:
    """Else a checkout that failed by a mistake of ours could never be tried again: its row's number is the key."""
    price, key = stripe_side.price(stripe_side.product()), stripe_side.name()
    with pytest.raises(StripeRefusedError):
        stripe_side.session(price, key, misspelt="yes")
    assert stripe_side.session(price, key)["status"] == "open"


def test_an_open_session_can_be_ended_once(stripe_side: Side) -> None:
    session = stripe_side.session(stripe_side.price(stripe_side.product()))
    ended = stripe_gateway.expire_checkout(session["id"])
    assert (ended["status"], ended["url"]) == ("expired", None)
    with pytest.raises(StripeRefusedError):
        stripe_gateway.expire_checkout(session["id"])
    found = stripe_gateway.checkout_session(session["id"])
    assert found is not None
    assert (found["status"], found["payment_status"]) == ("expired", "unpaid")


def test_the_way_back_keeps_the_place_of_the_session(stripe_side: Side) -> None:
    assert stripe_side.session(stripe_side.price(stripe_side.product()))["success_url"] == HOME
