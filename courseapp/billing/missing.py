"""Events that no webhook brought. Stripe lists those that some endpoint has not got; what we do not have is kept like any other."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from courseapp.billing.intake import keep_event, told
from courseapp.billing.models import StripeEvent
from courseapp.billing.stripe_gateway import Thing
from courseapp.extensions import db

LOOK_BACK = timedelta(days=3)
"""For so long Stripe tries to deliver an event (docs.stripe.com/webhooks)."""


def keep_missed(things: Sequence[Thing], now: datetime) -> int:
    """Keep those of these events that we do not have, and wake the worker for them; how many."""
    listed = [told(thing) for thing in things]
    query = sa.select(StripeEvent.stripe_id).where(StripeEvent.stripe_id.in_([event.id for event in listed]))
    known = set(db.session.scalars(query))
    missed = [event for event in listed if event.id not in known]
    for event in missed:
        keep_event(event, now, is_listed=True)
    return len(missed)
