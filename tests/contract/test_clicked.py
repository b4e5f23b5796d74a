"""What only comes about where somebody clicks Stripe's pages, or a bank decides: at the fake alone, and named so."""

import pytest

from courseapp.billing import stripe_gateway
from courseapp.billing.stripe_gateway import Thing
from tests.contract.conftest import Side
from tests.fakes.clicking import Clicker


def session_of(number: str) -> Thing:
    found = stripe_gateway.checkout_session(number)
    assert found is not None
    return found


def test_a_paid_session_says_what_and_by_whom(clicked_side: Side) -> None:
    number = clicked_side.name()
    session = clicked_side.session(clicked_side.price(clicked_side.product()), client_reference_id=number)
    clicked_side.steering.buy(session["id"], email="ada@example.org", name="Ada")
    found = session_of(session["id"])
    assert (found["status"], found["payment_status"], found["client_reference_id"]) == ("complete", "paid", number)
    assert found["customer_details"]["email"] == "ada@example.org"
    assert (found["payment_intent"]["status"], found["payment_intent"]["amount_received"]) == ("succeeded", 4900)
    assert found["payment_intent"]["latest_charge"].startswith("ch_")
    assert found["url"] is None


def test_a_session_of_a_subscription_leads_to_it(clicked_side: Side) -> None:
    session = clicked_side.session(clicked_side.price(clicked_side.product(), 1000, "month"), customer=clicked_side.customer()["id"])
    clicked_side.steering.buy(session["id"], email="ada@example.org")
    found = session_of(session["id"])
    subscription = stripe_gateway.subscription(found["subscription"])
    assert subscription is not None
    assert (subscription["status"], subscription["customer"], found["payment_status"]) == ("active", found["customer"], "paid")


def test_a_trials_session_needs_no_payment(clicked_side: Side) -> None:
    price = clicked_side.price(clicked_side.product(), 1000, "month")
    session = clicked_side.session(price, subscription_data={"trial_period_days": 14})
    clicked_side.steering.buy(session["id"], email="ada@example.org")
    assert session_of(session["id"])["payment_status"] == "no_payment_required"


@pytest.mark.parametrize(("succeeds", "status"), [(True, "paid"), (False, "unpaid")])
def test_a_payment_on_its_way_is_unpaid_until_it_comes(clicked_side: Side, succeeds: bool, status: str) -> None:
    session = clicked_side.session(clicked_side.price(clicked_side.product()))
    clicked_side.steering.buy(session["id"], "later_succeeds" if succeeds else "later_fails", email="ada@example.org")
    assert (session_of(session["id"])["status"], session_of(session["id"])["payment_status"]) == ("complete", "unpaid")
    clicked_side.steering.settle_payment(session["id"], succeeds=succeeds)
    assert session_of(session["id"])["payment_status"] == status


def test_a_complete_session_cannot_be_ended(clicked_side: Side) -> None:
    session = clicked_side.session(clicked_side.price(clicked_side.product()))
    clicked_side.steering.buy(session["id"], email="ada@example.org")
    with pytest.raises(stripe_gateway.StripeRefusedError):
        stripe_gateway.expire_checkout(session["id"])


def test_the_portals_cancellation_is_a_moment_and_no_flag(clicked_side: Side) -> None:
    number = clicked_side.subscribed(clicked_side.price(clicked_side.product(), 1000, "month"))
    features = {"subscription_cancel": {"enabled": True, "mode": "at_period_end"}}
    clicked_side.make("billing_portal.configurations", {"features": features})
    subscription = stripe_gateway.subscription(number)
    assert subscription is not None
    link = clicked_side.make("billing_portal.sessions", {"customer": subscription["customer"], "return_url": "https://shop.example/me"})
    assert clicked_side.fake is not None
    person = Clicker(clicked_side.fake.url)
    person.visit(link["url"]).press("Cancel subscription")
    person.close()
    found = stripe_gateway.subscription(number)
    assert found is not None
    assert (found["status"], found["cancel_at_period_end"]) == ("active", False)
    assert found["cancel_at"] == found["items"]["data"][0]["current_period_end"]


def test_a_renewal_that_fails_is_past_due_and_its_invoice_can_be_paid_at_its_page(clicked_side: Side) -> None:
    number = clicked_side.subscribed(clicked_side.price(clicked_side.product(), 1000, "month"))
    subscription = stripe_gateway.subscription(number)
    assert subscription is not None
    clicked_side.steering.card(subscription["customer"], "declines")
    clicked_side.steering.pass_time(days=32)
    late = stripe_gateway.subscription(number)
    assert late is not None
    assert late["status"] == "past_due"
    invoice = stripe_gateway.invoice(late["latest_invoice"])
    assert invoice is not None
    assert (invoice["status"], invoice["amount_paid"], invoice["billing_reason"]) == ("open", 0, "subscription_cycle")
    assert invoice["hosted_invoice_url"].startswith("http")


def test_a_dispute_names_its_payment_until_it_is_decided(clicked_side: Side) -> None:
    payment = stripe_gateway.payment_intent(clicked_side.paid())
    assert payment is not None
    dispute = clicked_side.steering.dispute(payment["latest_charge"])
    (found,) = stripe_gateway.disputes(payment_intent=payment["id"])
    assert (found["id"], found["status"], found["charge"]) == (dispute["id"], "needs_response", payment["latest_charge"])
    clicked_side.steering.close_dispute(dispute["id"], won=False)
    decided = stripe_gateway.dispute(dispute["id"])
    assert decided is not None
    assert decided["status"] == "lost"
