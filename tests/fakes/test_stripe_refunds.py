"""Refunds and disputes of the fake Stripe, by the API, by staff and by banks."""

from typing import Any

import pytest
import stripe

from tests.fakes.conftest import Shop
from tests.fakes.receiving import Receiver
from tests.fakes.stripe_server import Steering


@pytest.fixture
def charge(client: Any, shop: Shop, steering: Steering, receiver: Receiver) -> Any:
    session = shop.session(shop.course)
    steering.buy(session.id, email="ada@example.org")
    intent = client.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge"]}).payment_intent
    steering.settle()
    receiver.calls.clear()
    return intent.latest_charge


def test_all_of_a_charge_is_refunded(client: Any, charge: stripe.Charge, steering: Steering, receiver: Receiver) -> None:
    refund = client.refunds.create({"payment_intent": charge.payment_intent, "reason": "requested_by_customer"})
    assert (refund.status, refund.amount, refund.charge) == ("succeeded", 4900, charge.id)
    after = client.charges.retrieve(charge.id, {"expand": ["refunds"]})
    assert (after.refunded, after.amount_refunded, after.refunds.data[0].id) == (True, 4900, refund.id)
    assert not hasattr(client.charges.retrieve(charge.id), "refunds")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.refunds.create({"charge": charge.id})
    assert refused.value.code == "charge_already_refunded"
    steering.settle()
    assert receiver.types == ["refund.created", "charge.refunded"]


def test_a_part_is_refunded_and_then_the_rest(client: Any, charge: stripe.Charge, steering: Steering) -> None:
    client.refunds.create({"charge": charge.id, "amount": 900})
    assert (client.charges.retrieve(charge.id).refunded, client.charges.retrieve(charge.id).amount_refunded) == (False, 900)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        client.refunds.create({"charge": charge.id, "amount": 4900})
    steering.refund(charge=charge.id)
    assert client.charges.retrieve(charge.id).refunded
    assert [one.amount for one in client.refunds.list({"charge": charge.id}).data] == [4000, 900]


def test_a_refund_comes_back_from_the_bank(client: Any, charge: stripe.Charge, steering: Steering, receiver: Receiver) -> None:
    steering.set(refunds="pending")
    refund = client.refunds.create({"charge": charge.id})
    assert refund.status == "pending"
    steering.finish_refund(refund.id, succeeds=False)
    after = client.refunds.retrieve(refund.id)
    assert (after.status, after.failure_reason) == ("failed", "lost_or_stolen_card")
    assert not client.charges.retrieve(charge.id).refunded
    steering.settle()
    assert receiver.types == ["refund.created", "charge.refunded", "refund.updated", "refund.failed", "charge.updated"]


@pytest.mark.parametrize(("won", "status"), [(True, "won"), (False, "lost")])
def test_a_dispute_is_opened_and_decided(
    client: Any, charge: stripe.Charge, steering: Steering, receiver: Receiver, won: bool, status: str
) -> None:
    dispute = steering.dispute(charge.id, "product_not_received")
    assert client.disputes.retrieve(dispute["id"]).status == "needs_response"
    assert client.charges.retrieve(charge.id).disputed
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.refunds.create({"charge": charge.id})
    assert refused.value.code == "charge_disputed"
    steering.close_dispute(dispute["id"], won=won)
    assert client.disputes.list({"payment_intent": charge.payment_intent}).data[0].status == status
    steering.settle()
    closed = ["charge.dispute.updated", "charge.dispute.closed", *(["charge.dispute.funds_reinstated"] if won else [])]
    assert receiver.types == ["charge.dispute.created", "charge.dispute.funds_withdrawn", *closed]
    assert receiver.only("charge.dispute.closed")["data"]["object"]["status"] == status


def test_what_was_never_paid_cannot_be_refunded(client: Any, shop: Shop, steering: Steering) -> None:
    session = shop.session(shop.course)
    steering.buy(session.id, "later_fails", email="ada@example.org")
    intent = client.checkout.sessions.retrieve(session.id).payment_intent
    with pytest.raises(stripe.InvalidRequestError, match="successful charge"):
        client.refunds.create({"payment_intent": intent})
    with pytest.raises(stripe.InvalidRequestError, match="One of the following"):
        client.refunds.create({})


def test_a_refund_of_a_subscriptions_charge_leads_to_its_invoice(client: Any, shop: Shop, steering: Steering) -> None:
    steering.buy(shop.session(shop.monthly).id, email="ada@example.org")
    invoice = client.invoices.list({"expand": ["data.payments"]}).data[0]
    refund = client.refunds.create({"payment_intent": invoice.payments.data[0].payment.payment_intent})
    found = client.invoice_payments.list({"payment": {"type": "payment_intent", "payment_intent": refund.payment_intent}})
    assert found.data[0].invoice == invoice.id
    assert client.invoices.retrieve(invoice.id).status == "paid"
