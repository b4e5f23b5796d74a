"""What billing gives out about a person, and what stays of them."""

import json

import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.billing import privacy
from courseapp.billing.models import Checkout, CheckoutState, Customer, Entitlement, Kind, Payment, Refund
from courseapp.extensions import db
from tests.billing.paying import checkout_of, subscription_of
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_contact, make_customer, make_entitlement, make_guest, make_plan, make_tier, make_user


def buyer() -> User:
    """Somebody who bought once, subscribed, was given something, and had money back."""
    user, plan = make_user("ada@example.org"), make_plan(make_tier(name="Deeper"))
    customer = make_customer(user, stripe_id="cus_ada")
    bought = checkout_of(plan, user, contact_id=user.contact_id, stripe_id="cs_ada", state=CheckoutState.FULFILLED)
    subscription = subscription_of(customer, plan, stripe_id="sub_ada")
    for number, facts in enumerate(
        ({"checkout_id": bought.id}, {"customer_id": customer.id, "invoice_id": "in_1", "invoice_number": "A-7"})
    ):
        payment = Payment(stripe_id=f"pi_{number}", currency="eur", amount=900, paid_at=NOW, plan_id=plan.id, **facts)
        db.session.add(payment)
        db.session.flush()
        db.session.add(Refund(stripe_id=f"re_{number}", payment_id=payment.id, amount=100, status="succeeded", made_at=NOW))
    make_entitlement(user, plan.tier, Kind.PURCHASE, checkout_id=bought.id)
    make_entitlement(user, plan.tier, Kind.SUBSCRIPTION, subscription_id=subscription.id)
    make_entitlement(user, plan.tier, reason="for a friend of the house")
    db.session.commit()
    return user


def test_ones_own_file_tells_what_was_bought_and_paid_and_by_which_numbers_stripe_knows_it(client: Client, app: Flask) -> None:
    client.sign_in(buyer())
    held = json.loads(client.visit("operations.export_data").text)["billing"]
    assert set(held) == {"access", "customers", "checkouts", "subscriptions", "payments"}
    assert [(row["tier"], row["kind"], row["reason"]) for row in held["access"]] == [
        ("Deeper", "purchase", None),
        ("Deeper", "subscription", None),
        ("Deeper", "gift", "for a friend of the house"),
    ]
    assert held["customers"] == ["cus_ada"]
    assert [row["stripe"] for row in held["checkouts"] + held["subscriptions"]] == ["cs_ada", "sub_ada"]
    assert [(row["amount"], row.get("invoice"), len(row["refunds"])) for row in held["payments"]] == [(900, None, 1), (900, "A-7", 1)]


def test_who_never_paid_has_nothing_of_it_in_their_file_and_gets_nothing_of_others(client: Client, app: Flask) -> None:
    buyer()
    client.sign_in(make_user("bob@example.org"))
    assert "billing" not in json.loads(client.visit("operations.export_data").text)


def test_staff_get_told_which_gifts_they_gave_and_neither_to_whom_nor_why(app: Flask) -> None:
    staff, tier = make_user(), make_tier(name="Deeper")
    make_entitlement(make_user(), tier, reason="cannot pay just now", given_by_user_id=staff.id)
    assert privacy.export(staff.id, None) == {"gifts_given": [{"tier": "Deeper", "at": NOW.isoformat()}]}


def test_an_address_that_a_guest_paid_with_is_told_of_it(app: Flask) -> None:
    contact = make_contact("paid@example.org", confirmed=False)
    checkout_of(make_plan(), make_guest(), contact_id=contact.id)
    assert list(privacy.export(None, contact.id)) == ["checkouts"]
    privacy.erase(None, contact.id, NOW)
    assert privacy.export(None, contact.id) == {}


def test_payments_stay_as_bookkeeping_and_are_nobodys(app: Flask) -> None:
    user = buyer()
    other = make_entitlement(make_user(), make_tier(), reason="another's", given_by_user_id=user.id)
    privacy.erase(user.id, user.contact_id, NOW)
    db.session.commit()
    assert privacy.export(user.id, user.contact_id) == {}
    assert [db.session.query(model).count() for model in (Payment, Refund)] == [2, 2]
    assert db.session.scalars(sa.select(Customer.user_id)).all() == [None]
    assert [(row.user_id, row.contact_id, row.state) for row in db.session.query(Checkout)] == [(None, None, CheckoutState.FULFILLED)]
    assert [(row.id, row.reason, row.given_by_user_id) for row in db.session.query(Entitlement)] == [(other.id, "another's", None)]


def test_erasing_one_person_touches_nothing_of_another(app: Flask) -> None:
    user, other = buyer(), make_user()
    before = privacy.export(user.id, user.contact_id)
    privacy.erase(other.id, other.contact_id, NOW)
    assert privacy.export(user.id, user.contact_id) == before
