"""Asking Stripe how things stand and keeping the answer: claim, commit, ask with no transaction open, keep where the claim still stands.

An event only says about what to ask. It is marked as worked in the transaction of what came of it. Each of these commits.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog

from courseapp.billing import letters, payments, subscriptions
from courseapp.billing import stripe_gateway as gateway
from courseapp.billing.attention import need_attention
from courseapp.billing.customers import OvertakenError, claim, customer_of, hold_claim, keep_customer, owner_of, user_of_public_id
from courseapp.billing.fulfilment import checkout_of, fulfil_checkout
from courseapp.billing.models import Checkout, Payment, StripeEvent, Subscription
from courseapp.billing.stripe_events import APPLIED, FAILED, NOT_OURS, NOTHING
from courseapp.billing.stripe_gateway import Thing, id_of
from courseapp.extensions import db

log = structlog.get_logger()
Clock = Callable[[], datetime]

AT_ONCE = 20  # events leased together
LEASE = timedelta(minutes=2)  # longer than asking about one takes at worst
FIRST_PAUSE, LONGEST_PAUSE = 60, 3600  # seconds between attempts, doubled each time
MOST_ATTEMPTS = 15  # about nine hours
LONGEST_RUN = 45.0  # seconds of one tick


# Asking about one thing


def refresh_checkout(stripe_id: str, now: datetime, event_id: int | None = None) -> str:
    """Fulfil a checkout if Stripe says that it is paid; what came of it. Raises StripeError, OvertakenError."""
    db.session.commit()
    session = gateway.checkout_session(stripe_id)
    checkout = checkout_of(session) if session is not None else None
    if session is None or checkout is None:
        return _done(event_id, NOT_OURS, now)
    checkout_id, customer_id, subscription, owner_id = checkout.id, None, None, checkout.user_id
    if session["status"] == "complete":
        owner_id = owner_of(checkout, session, now)
        if session["customer"]:
            customer = keep_customer(id_of(session["customer"]) or "", owner_id, now)
            customer_id, epoch = customer.id, claim(customer.id)
            owner_id = customer.user_id or owner_id
    db.session.commit()
    intent_status = _status_of_payment(session)
    if session["subscription"]:
        subscription = gateway.subscription(id_of(session["subscription"]) or "")
    if customer_id is not None:
        customer = hold_claim(customer_id, epoch)
    fulfil_checkout(checkout_id, session, now, owner_id=owner_id, customer_id=customer_id, intent_status=intent_status)
    if customer_id is not None and customer.user_id is None:  # made for a guest who has become an account since
        customer.user_id = checkout.user_id
    if subscription is not None and customer_id is not None:
        subscriptions.keep_subscription(subscription, customer, now)
    return _done(event_id, APPLIED, now)


def refresh_subscription(stripe_id: str, now: datetime, event_id: int | None = None, *, tells_trial: bool = False) -> str:
    """Keep a subscription as it stands at Stripe, and let its owner hold what it opens. Raises StripeError, OvertakenError."""
    db.session.commit()
    kept = subscriptions.subscription_of(stripe_id)
    customer_id = kept.customer_id if kept is not None else None
    if customer_id is None:
        db.session.commit()
        told = gateway.subscription(stripe_id)
        if told is None:
            return _done(event_id, NOT_OURS, now)
        customer_id = _customer_id_of(told, now)
        if customer_id is None:
            need_attention("no_owner", now, subscription=stripe_id)
            return _done(event_id, NOT_OURS, now)
    epoch = claim(customer_id)
    db.session.commit()
    told = gateway.subscription(stripe_id)
    if told is None:
        return _done(event_id, NOT_OURS, now)
    customer = hold_claim(customer_id, epoch)
    kept = subscriptions.keep_subscription(told, customer, now)
    if tells_trial:
        subscriptions.tell_trial_ends(kept, now)
    return _done(event_id, APPLIED, now)


def refresh_invoice(stripe_id: str, now: datetime, event_id: int | None = None) -> str:
    """Keep the payment of an invoice, and write to whoever's did not go through. Raises StripeError, OvertakenError."""
    db.session.commit()
    told = gateway.invoice(stripe_id)
    subscription_id = _subscription_of(told) if told is not None else None
    if told is None or subscription_id is None:
        is_noted = told is not None and payments.note_number(told)
        return _done(event_id, APPLIED if is_noted else NOTHING, now)
    if refresh_subscription(subscription_id, now) == NOT_OURS:
        return _done(event_id, NOT_OURS, now)
    customer_id = _subscription(subscription_id).customer_id
    epoch = claim(customer_id)
    db.session.commit()
    told = gateway.invoice(stripe_id) or told
    intent = payments.intent_of_invoice(told)
    status = _intent_status(intent) if told["status"] == payments.OPEN and intent else None
    customer = hold_claim(customer_id, epoch)
    subscription = _subscription(subscription_id)
    payments.keep_invoice(told, subscription, now)
    subscriptions.settle_access(subscription, now)
    if told["status"] == payments.OPEN and told["attempted"]:
        letters.late(customer.user_id, told, subscription, needs_bank=status == "requires_action", now=now)
    return _done(event_id, APPLIED, now)


def refresh_payment(intent_id: str, now: datetime, event_id: int | None = None) -> str:
    """Keep what went back of a payment and how a dispute of it stands. Raises StripeError, OvertakenError."""
    db.session.commit()
    payment = payments.payment_of(intent_id)
    if payment is None:
        _find_payment(intent_id, now)
        payment = payments.payment_of(intent_id)
    if payment is None:
        return _done(event_id, NOT_OURS, now)
    payment_id, customer_id = payment.id, payment.customer_id
    epoch = claim(customer_id) if customer_id is not None else 0
    db.session.commit()
    refunds, disputes = list(gateway.refunds(payment_intent=intent_id)), list(gateway.disputes(payment_intent=intent_id))
    if customer_id is not None:
        hold_claim(customer_id, epoch)
    payments.keep_refunds(db.session.get_one(Payment, payment_id), refunds, disputes, now)
    return _done(event_id, APPLIED, now)


def _find_payment(intent_id: str, now: datetime) -> None:
    """Keep a payment that nobody has told us of: by its invoice, or by the checkout we gave along."""
    db.session.commit()
    invoice_id = gateway.invoice_of_payment(intent_id)
    if invoice_id is not None:
        refresh_invoice(invoice_id, now)
    if payments.payment_of(intent_id) is None:
        db.session.commit()
        intent = gateway.payment_intent(intent_id)
        checkout = _checkout_named((intent or {}).get("metadata", {}).get("checkout"))
        if checkout is not None and checkout.stripe_id is not None:
            refresh_checkout(checkout.stripe_id, now)


def _customer_id_of(told: Thing, now: datetime) -> int | None:
    """Our row of the customer of a subscription that is new to us: known, or by the checkout or the user that we gave along."""
    stripe_id = id_of(told["customer"]) or ""
    if (known := customer_of(stripe_id)) is not None:
        return known.id
    checkout = _checkout_named(told["metadata"].get("checkout"))
    user_id = checkout.user_id if checkout is not None else None
    if user_id is None:
        db.session.commit()
        user_id = user_of_public_id(((gateway.customer(stripe_id) or {}).get("metadata") or {}).get("user"))
    return keep_customer(stripe_id, user_id, now).id if user_id is not None else None


def _checkout_named(public_id: str | None) -> Checkout | None:
    return db.session.scalar(sa.select(Checkout).where(Checkout.public_id == public_id)) if public_id else None


def _subscription(stripe_id: str) -> Subscription:
    found = subscriptions.subscription_of(stripe_id)
    assert found is not None
    return found


def _subscription_of(invoice: Thing) -> str | None:
    """Which subscription an invoice is of; it stands below `parent` alone."""
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    return id_of(details.get("subscription"))


def _status_of_payment(session: Thing) -> str | None:
    """How the payment of a completed checkout stands whose money is on its way."""
    if session["status"] != "complete" or session["payment_status"] != "unpaid":
        return None
    if isinstance(session["payment_intent"], dict):
        return str(session["payment_intent"]["status"])
    invoice = gateway.invoice(id_of(session["invoice"]) or "") if session["invoice"] else None
    return _intent_status(payments.intent_of_invoice(invoice)) if invoice is not None else None


def _intent_status(intent_id: str | None) -> str | None:
    intent = gateway.payment_intent(intent_id) if intent_id else None
    return str(intent["status"]) if intent is not None else None


def _done(event_id: int | None, result: str, now: datetime) -> str:
    """End the transaction, and with it the event that asked for it."""
    if event_id is not None:
        ended = sa.update(StripeEvent).where(StripeEvent.id == event_id).values(processed_at=now, result=result, problem=None)
        db.session.execute(ended)
    db.session.commit()
    return result


# Working events


def work_events(clock: Clock) -> dict[str, int]:
    """Work what is due, oldest first, until nothing is or the tick's time is over; how many came to what."""
    counts: dict[str, int] = {}
    ends = time.monotonic() + LONGEST_RUN
    while time.monotonic() < ends and (claimed := _claim_events(clock())):
        for event_id in claimed:
            result = _work(event_id, clock())
            counts[result] = counts.get(result, 0) + 1
            if time.monotonic() >= ends:
                break
    return counts


def _claim_events(now: datetime) -> list[int]:
    """Lease events that are due to this worker: they come due again, should it be killed."""
    due = sa.select(StripeEvent.id).where(StripeEvent.processed_at.is_(None), StripeEvent.due_at <= now)
    due = due.order_by(StripeEvent.due_at, StripeEvent.id).limit(AT_ONCE)
    lot = due.with_for_update(skip_locked=True).cte("lot")
    leased = sa.update(StripeEvent).where(StripeEvent.id == lot.c.id).values(due_at=now + LEASE, attempts=StripeEvent.attempts + 1)
    ids = db.session.scalars(leased.returning(StripeEvent.id).execution_options(synchronize_session=False)).all()
    db.session.commit()
    return sorted(ids)


def _work(event_id: int, now: datetime) -> str:
    event = db.session.get_one(StripeEvent, event_id)
    if event.processed_at is not None:
        db.session.commit()
        return NOTHING
    try:
        return act_on(event, now)
    except OvertakenError:
        return _again(event_id, now, 1 + event_id % 3, "")
    except gateway.StripeError as error:
        return _again(event_id, now, None, error.words, is_key=isinstance(error, gateway.StripeKeyError))
    except Exception as error:  # one odd event must not keep all others waiting
        log.exception("stripe_event_failed", number=event_id, kind=type(error).__name__)
        return _again(event_id, now, None, f"{type(error).__name__}: see the log")


def act_on(event: StripeEvent, now: datetime) -> str:
    """Ask about what an event is about, and keep the answer. Raises StripeError, OvertakenError."""
    kind, about, event_id = event.type, event.object_id or "", event.id
    if kind.startswith("checkout.session."):
        return refresh_checkout(about, now, event_id)
    if kind.startswith("customer.subscription."):
        return refresh_subscription(about, now, event_id, tells_trial=kind.endswith("trial_will_end"))
    if kind.startswith("invoice."):
        return refresh_invoice(about, now, event_id)
    db.session.commit()
    told = _disputed_or_refunded(kind, about)
    intent_id = id_of(told["payment_intent"]) if told is not None else None
    return refresh_payment(intent_id, now, event_id) if intent_id is not None else _done(event_id, NOT_OURS, now)


def _disputed_or_refunded(kind: str, about: str) -> Thing | None:
    if kind.startswith("charge.dispute."):
        return gateway.dispute(about)
    return gateway.charge(about) if kind.startswith("charge.") else gateway.refund(about)


def _again(event_id: int, now: datetime, seconds: float | None, problem: str, *, is_key: bool = False) -> str:
    """Let an event come due again; after many attempts no more by itself, and somebody is told.

    Args:
        seconds: until when, for what was no attempt at all: somebody else was asking about the same person.
    """
    db.session.rollback()
    event = db.session.get_one(StripeEvent, event_id)
    event.problem = problem[:300] or None
    if is_key:
        need_attention("key_refused", now)
    if seconds is None and event.attempts >= MOST_ATTEMPTS:
        event.processed_at, event.result = now, FAILED
        need_attention("event_failed", now, event=event.stripe_id)
    elif seconds is None:
        event.due_at = now + timedelta(seconds=min(FIRST_PAUSE * 2 ** (event.attempts - 1), LONGEST_PAUSE))
    else:
        event.attempts, event.due_at = event.attempts - 1, now + timedelta(seconds=seconds)
    db.session.commit()
    return "again"
