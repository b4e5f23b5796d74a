"""Subscriptions, invoices, payments and refunds, as billing reads them. What is paid here is paid without a page."""

from datetime import UTC, datetime, timedelta

import pytest

from courseapp.billing import stripe_gateway
from courseapp.billing.stripe_gateway import StripeRefusedError, Thing
from tests.contract.conftest import Side

LATELY = timedelta(minutes=5)


def monthly(side: Side) -> Thing:
    return side.price(side.product(), 1000, "month")


def subscription_of(id: str) -> Thing:
    found = stripe_gateway.subscription(id)
    assert found is not None
    return found


def test_the_end_of_a_period_stands_on_the_item(stripe_side: Side) -> None:
    price = monthly(stripe_side)
    found = subscription_of(stripe_side.subscribed(price))
    (item,) = found["items"]["data"]
    assert item["price"]["id"] == price["id"]
    assert item["quantity"] == 1
    assert timedelta(days=27) < timedelta(seconds=item["current_period_end"] - item["current_period_start"]) < timedelta(days=32)
    assert "current_period_end" not in found
    assert (found["status"], found["cancel_at"], found["cancel_at_period_end"], found["trial_end"]) == ("active", None, False, None)
    assert found["metadata"] == {"checkout": stripe_side.prefix}
    assert {"canceled_at", "ended_at", "created", "livemode", "pause_collection"} <= found.keys()


def test_a_trial_says_when_it_ends(stripe_side: Side) -> None:
    found = subscription_of(stripe_side.subscribed(monthly(stripe_side), trial_period_days=14))
    assert found["status"] == "trialing"
    assert abs(found["trial_end"] - found["created"] - 14 * 86_400) < 300
    assert found["items"]["data"][0]["current_period_end"] == found["trial_end"]


def test_subscriptions_are_listed_with_those_that_have_ended(stripe_side: Side) -> None:
    number = stripe_side.subscribed(monthly(stripe_side))
    customer = subscription_of(number)["customer"]
    stripe_gateway.cancel_subscription(number)
    assert [(one["id"], one["status"]) for one in stripe_gateway.subscriptions(customer=customer)] == [(number, "canceled")]
    assert number in {one["id"] for one in stripe_gateway.subscriptions(since=datetime.now(UTC) - LATELY)}
    with pytest.raises(StripeRefusedError):
        stripe_gateway.cancel_subscription(number)


def test_a_scheduled_end_and_its_taking_back(stripe_side: Side) -> None:
    number = stripe_side.subscribed(monthly(stripe_side))
    changed = stripe_gateway.update("subscriptions", number, {"cancel_at_period_end": True})
    assert changed["status"] == "active"
    assert changed["cancel_at"] == changed["items"]["data"][0]["current_period_end"]
    assert stripe_gateway.update("subscriptions", number, {"cancel_at_period_end": False})["cancel_at"] is None


def test_an_invoice_names_its_subscription_and_its_payment(stripe_side: Side) -> None:
    price = monthly(stripe_side)
    subscription = subscription_of(stripe_side.subscribed(price))
    invoice = stripe_gateway.invoice(subscription["latest_invoice"])
    assert invoice is not None
    assert invoice["parent"]["subscription_details"]["subscription"] == subscription["id"]
    assert (invoice["status"], invoice["amount_paid"], invoice["currency"]) == ("paid", 1000, "eur")
    assert (invoice["customer"], invoice["billing_reason"]) == (subscription["customer"], "subscription_create")
    assert {"hosted_invoice_url", "created", "status_transitions", "next_payment_attempt", "attempt_count"} <= invoice.keys()
    assert not {"subscription", "payment_intent", "charge"} & invoice.keys()
    (payment,) = invoice["payments"]["data"]
    assert payment["status"] == "paid"
    assert payment["payment"]["type"] == "payment_intent"
    assert stripe_gateway.invoice_of_payment(payment["payment"]["payment_intent"]) == invoice["id"]
    (line,) = invoice["lines"]["data"]
    assert line["pricing"]["price_details"]["price"] == price["id"]
    assert [one["id"] for one in stripe_gateway.invoices(subscription=subscription["id"])] == [invoice["id"]]
    assert [one["id"] for one in stripe_gateway.invoices(customer=subscription["customer"])] == [invoice["id"]]


def test_a_payment_leads_to_its_charge(stripe_side: Side) -> None:
    payment = stripe_gateway.payment_intent(stripe_side.paid())
    assert payment is not None
    assert (payment["status"], payment["amount_received"], payment["currency"]) == ("succeeded", 4900, "eur")
    charge = stripe_gateway.charge(payment["latest_charge"])
    assert charge is not None
    assert (charge["payment_intent"], charge["amount"], charge["amount_refunded"]) == (payment["id"], 4900, 0)
    assert (charge["paid"], charge["refunded"], charge["disputed"]) == (True, False, False)
    assert "invoice" not in charge


def test_a_payment_of_no_invoice_has_none(stripe_side: Side) -> None:
    assert stripe_gateway.invoice_of_payment(stripe_side.paid()) is None


def test_a_part_is_refunded_and_then_the_rest(stripe_side: Side) -> None:
    payment = stripe_side.paid()
    part = stripe_side.make("refunds", {"payment_intent": payment, "amount": 900})
    assert (part["amount"], part["currency"], part["payment_intent"]) == (900, "eur", payment)
    assert part["status"] in {"succeeded", "pending"}
    charge = stripe_gateway.charge(part["charge"])
    assert charge is not None
    assert (charge["amount_refunded"], charge["refunded"]) == (900, False)
    rest = stripe_side.make("refunds", {"payment_intent": payment})
    assert rest["amount"] == 4000
    found = stripe_gateway.charge(part["charge"])
    assert found is not None
    assert (found["amount_refunded"], found["refunded"]) == (4900, True)
    assert {one["id"] for one in stripe_gateway.refunds(payment_intent=payment)} == {part["id"], rest["id"]}
    assert {one["id"] for one in stripe_gateway.refunds(charge=part["charge"])} == {part["id"], rest["id"]}
    kept = stripe_gateway.refund(rest["id"])
    assert kept is not None
    assert kept["charge"] == part["charge"]
    with pytest.raises(StripeRefusedError) as refused:
        stripe_side.make("refunds", {"payment_intent": payment})
    assert refused.value.code == "charge_already_refunded"


def test_an_undisputed_payment_has_no_disputes(stripe_side: Side) -> None:
    assert list(stripe_gateway.disputes(payment_intent=stripe_side.paid())) == []
