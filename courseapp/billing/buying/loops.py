"""Leading somebody on to Stripe, with a commit before each call, and the news of people who confirmed an address."""

import time
from collections.abc import Callable
from datetime import datetime

from flask import url_for

from courseapp.billing import checkouts, claiming, stripe_gateway
from courseapp.billing.customers import keep_customer
from courseapp.billing.holdings import customers_of
from courseapp.billing.models import Checkout
from courseapp.billing.stripe_gateway import StripeError, StripeRefusedError
from courseapp.extensions import db
from courseapp.journal.events import unread

BATCH = 100


def lead_on(checkout_id: int, language: str, now: datetime) -> str:
    """Where an open checkout goes on: at Stripe's page; or at ours, of a checkout that was gone through with meanwhile.

    No transaction is open while Stripe is asked. Raises StripeError.
    """
    checkout = db.session.get_one(Checkout, checkout_id)
    rivals = [(rival.id, rival.public_id, str(rival.stripe_id)) for rival in checkouts.rivals_of(checkout, now)]
    public_id, known = checkout.public_id, checkout.stripe_id
    db.session.commit()
    for rival_id, rival_public_id, stripe_id in rivals:
        if not _end(stripe_id):
            return url_for("billing.done", public_id=rival_public_id)
        checkouts.give_up(rival_id, now)
        db.session.commit()
    if known is None:
        return _open_session(checkout_id, language, now)
    session = stripe_gateway.checkout_session(known)
    return str(session["url"]) if session is not None and session["status"] == "open" else url_for("billing.done", public_id=public_id)


def _end(stripe_id: str) -> bool:
    """End an open session; False where somebody has gone through with it."""
    try:
        stripe_gateway.expire_checkout(stripe_id)
    except StripeRefusedError:
        session = stripe_gateway.checkout_session(stripe_id)
        return session is None or session["status"] != "complete"
    return True


def _open_session(checkout_id: int, language: str, now: datetime) -> str:
    """A session for a checkout, and before it the customer of an account that has none, or whose own Stripe knows no more."""
    try:
        try:
            return _session_of(checkout_id, _customer_for(checkout_id, now), language)
        except StripeRefusedError as error:
            if (error.code, error.param) != ("resource_missing", "customer"):
                raise
            db.session.rollback()
            return _session_of(checkout_id, _new_customer(checkout_id, now), language, "another customer")
    except StripeError:
        db.session.rollback()
        checkouts.give_up(checkout_id, now)
        db.session.commit()
        raise


def _session_of(checkout_id: int, customer: str | None, language: str, again: str = "") -> str:
    """Where a new session of a checkout is. `again`: why it is another wish to Stripe than the first, which repeats its refusal."""
    checkout = db.session.get_one(Checkout, checkout_id)
    params, key = checkouts.session_params(checkout, customer, language), f"checkout:{checkout.public_id}"
    db.session.commit()
    session = stripe_gateway.create("checkout.sessions", params, f"{key}:{again}" if again else key)
    checkouts.note_session(checkout_id, session["id"])
    db.session.commit()
    return str(session["url"])


def _customer_for(checkout_id: int, now: datetime) -> str | None:
    """The customer of whoever buys, made for an account that has none."""
    checkout = db.session.get_one(Checkout, checkout_id)
    known = customers_of(checkout.user_id) if checkout.user_id is not None else ()
    return known[0].stripe_id if known else _new_customer(checkout_id, now)


def _new_customer(checkout_id: int, now: datetime) -> str | None:
    """A customer for an account. None for guests: Checkout makes one of the address they pay with."""
    checkout = db.session.get_one(Checkout, checkout_id)
    user = checkout.user
    assert user is not None  # the person of this request
    address = user.contact.address if user.contact is not None else None
    if address is None:
        return None
    user_id, params = user.id, {"email": address, "metadata": {"user": user.public_id}}
    key = f"customer:{user.public_id}:{checkout.public_id}"  # of the wish too: a failure is repeated for a day under the same key
    db.session.commit()
    made = stripe_gateway.create("customers", params, key)
    keep_customer(made["id"], user_id, now)
    db.session.commit()
    return str(made["id"])


def read_news(clock: Callable[[], datetime], seconds: float = 20.0) -> int:
    """Give people who confirmed an address what guests bought with it, a commit each; returns how many news there were."""
    ends, count = time.monotonic() + seconds, 0
    while time.monotonic() < ends and (batch := unread("billing", BATCH)):
        for receipt, event in batch:
            if event.facts:  # else whoever it was about has been erased
                claiming.claim_purchases(event.facts["contact_id"], event.facts["user_id"])
            receipt.read_at = clock()
        db.session.commit()
        count += len(batch)
    db.session.rollback()
    return count
