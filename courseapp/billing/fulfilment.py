"""Giving somebody what they paid for: the one place, whoever asks, and however often."""

from datetime import datetime

import sqlalchemy as sa

from courseapp.billing import letters
from courseapp.billing.customers import paying_contact
from courseapp.billing.models import Checkout, CheckoutState, Kind
from courseapp.billing.payments import keep_purchase, settle_purchase
from courseapp.billing.stripe_gateway import Thing
from courseapp.extensions import db
from courseapp.journal import events

PAID = frozenset({"paid", "no_payment_required"})
NEVER = frozenset({"requires_payment_method", "canceled"})
"""Payment intents whose delayed money did not come."""


def checkout_of(session: Thing) -> Checkout | None:
    """Our row of a Checkout Session: by its id, or by the id we gave along where storing Stripe's was cut short. None: not ours."""
    found = db.session.scalar(sa.select(Checkout).where(Checkout.stripe_id == session["id"]))
    if found is None and session["client_reference_id"]:
        ours = sa.select(Checkout).where(Checkout.public_id == session["client_reference_id"], Checkout.stripe_id.is_(None))
        found = db.session.scalar(ours)
        if found is not None:
            found.stripe_id = session["id"]
    return found


def fulfil_checkout(
    checkout_id: int,
    session: Thing,
    now: datetime,
    *,
    owner_id: int | None,
    customer_id: int | None = None,
    intent_status: str | None = None,
) -> CheckoutState:
    """Give what a checkout bought, once, if Stripe says that it is paid; how the checkout stands then. In the caller's transaction.

    What was bought says our own row. Called for events and by the page that people come back to; at the same moment too.

    Args:
        session: the Checkout Session as Stripe has just told it.
        owner_id: the user who is to own it, where whoever began it is gone. A guest may have become an account while Stripe was asked.
        customer_id: our row of Stripe's customer, where there is one.
        intent_status: how the payment stands that was asked for, where money is on its way.
    """
    locked = sa.select(Checkout).where(Checkout.id == checkout_id).with_for_update().execution_options(populate_existing=True)
    checkout = db.session.scalars(locked).one()
    if checkout.state is CheckoutState.FULFILLED:
        return checkout.state
    state = _state_of(session, intent_status)
    if state is CheckoutState.FULFILLED:
        _fulfil(checkout, session, owner_id, customer_id, now)
    elif state is not checkout.state:
        checkout.state = state
        checkout.settled_at = now if state in {CheckoutState.EXPIRED, CheckoutState.FAILED} else None
        if state is CheckoutState.WAITING:
            _note_address(checkout, session, now)
            letters.on_its_way(checkout, now)
        elif state is CheckoutState.FAILED:
            letters.not_arrived(checkout, now)
    return checkout.state


def _fulfil(checkout: Checkout, session: Thing, owner_id: int | None, customer_id: int | None, now: datetime) -> None:
    checkout.user_id = owner_id = checkout.user_id or owner_id
    _note_address(checkout, session, now)
    checkout.state, checkout.settled_at = CheckoutState.FULFILLED, now
    kind = Kind.SUBSCRIPTION if checkout.plan.is_recurring else Kind.PURCHASE
    payment = None
    if kind is Kind.PURCHASE:
        payment = keep_purchase(session, checkout, customer_id, now)
        settle_purchase(checkout, now, owner_id)
    events.record(
        "tier_bought",
        f"user:{owner_id}",
        now,
        user_id=owner_id,
        contact_id=letters.contact_id_of(owner_id),
        tier_id=checkout.plan.tier_id,
        plan_id=checkout.plan_id,
        kind=kind.value,
    )
    amount = session["amount_total"] if payment is None else payment.amount
    letters.bought(checkout, amount or 0, session["currency"], now)


def _note_address(checkout: Checkout, session: Thing, now: datetime) -> None:
    contact = paying_contact(session, now)
    if contact is not None:
        checkout.contact_id = contact.id
        db.session.flush()


def _state_of(session: Thing, intent_status: str | None) -> CheckoutState:
    if session["status"] == "expired":
        return CheckoutState.EXPIRED
    if session["status"] != "complete":
        return CheckoutState.OPEN
    if session["payment_status"] in PAID:
        return CheckoutState.FULFILLED
    return CheckoutState.FAILED if intent_status in NEVER else CheckoutState.WAITING
