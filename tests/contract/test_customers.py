"""Customers, and the portal where they look after what they have bought."""

from typing import Any

import pytest

from courseapp.billing import stripe_gateway
from courseapp.billing.stripe_gateway import StripeRefusedError, Thing
from tests.contract.conftest import Side

BACK = "https://shop.example/me"


def portal(side: Side, products: list[Thing], **more: Any) -> Thing:
    """A set-up of the portal as a shop with two monthly tiers has it."""
    later = {"conditions": [{"type": "decreasing_item_amount"}, {"type": "shortening_interval"}]}
    features = {
        "invoice_history": {"enabled": True},
        "payment_method_update": {"enabled": True},
        "customer_update": {"enabled": True, "allowed_updates": ["tax_id", "address"]},
        "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
        "subscription_update": {
            "enabled": True,
            "default_allowed_updates": ["price"],
            "proration_behavior": "always_invoice",
            "products": products,
            "schedule_at_period_end": later,
        },
    }
    return side.make("billing_portal.configurations", {"features": features, "metadata": {"of": side.prefix}, **more})


def test_a_customer_is_known_by_our_number_and_not_by_an_address(stripe_side: Side) -> None:
    customer = stripe_side.customer()
    found = stripe_gateway.customer(customer["id"])
    assert found is not None
    assert (found["metadata"], found["email"], found["livemode"]) == ({"user": stripe_side.prefix}, None, False)
    changed = stripe_gateway.update("customers", customer["id"], {"email": "ada@example.org"})
    assert (changed["email"], changed["metadata"]) == ("ada@example.org", {"user": stripe_side.prefix})


def test_a_deleted_customer_says_so(stripe_side: Side) -> None:
    customer = stripe_side.customer()
    stripe_side.client.customers.delete(customer["id"])
    found = stripe_gateway.customer(customer["id"])
    assert found is not None
    assert found["deleted"] is True


def test_the_portal_is_set_up_and_read_again(stripe_side: Side) -> None:
    product = stripe_side.product()
    prices = [stripe_side.price(product, amount, interval) for amount, interval in ((1000, "month"), (10000, "year"))]
    made = portal(stripe_side, [{"product": product["id"], "prices": [price["id"] for price in prices]}])
    found = next(one for one in stripe_gateway.portal_configurations() if one["id"] == made["id"])
    update = found["features"]["subscription_update"]
    assert (update["enabled"], update["proration_behavior"]) == (True, "always_invoice")
    assert {one["type"] for one in update["schedule_at_period_end"]["conditions"]} == {"decreasing_item_amount", "shortening_interval"}
    assert found["features"]["subscription_cancel"]["mode"] == "at_period_end"
    assert found["metadata"] == {"of": stripe_side.prefix}
    changed = {"features": {"subscription_update": {"products": [{"product": product["id"], "prices": [prices[0]["id"]]}]}}}
    assert stripe_gateway.update("billing_portal.configurations", made["id"], changed)["id"] == made["id"]


def test_a_session_of_the_portal_is_an_address_for_one_person(stripe_side: Side) -> None:
    product = stripe_side.product()
    price = stripe_side.price(product, 1000, "month")
    made = portal(stripe_side, [{"product": product["id"], "prices": [price["id"]]}])
    customer = stripe_side.customer()
    params = {"customer": customer["id"], "configuration": made["id"], "return_url": BACK}
    session = stripe_side.make("billing_portal.sessions", params)
    assert session["url"].startswith("http")
    assert (session["customer"], session["configuration"], session["return_url"]) == (customer["id"], made["id"], BACK)
    assert stripe_side.make("billing_portal.sessions", params)["url"] != session["url"]


def test_there_is_no_portal_for_nobody(stripe_side: Side) -> None:
    with pytest.raises(StripeRefusedError) as refused:
        stripe_side.make("billing_portal.sessions", {"customer": "cus_0000000000000nobody", "return_url": BACK})
    assert (refused.value.code, refused.value.param) == ("resource_missing", "customer")
