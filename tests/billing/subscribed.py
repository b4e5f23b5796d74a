"""Rows of subscriptions, as Stripe would have told them."""

from typing import Any

from courseapp.billing.models import Customer, Subscription
from courseapp.extensions import db
from tests.conftest import NOW


def make_subscription(customer: Customer, **kw: Any) -> Subscription:
    """A subscription that is active; its price is one that we do not know."""
    made = Subscription(
        **{
            "stripe_id": f"sub_{customer.id}",
            "customer_id": customer.id,
            "price_stripe_id": "price_unknown",
            "status": "active",
            "began_at": NOW,
            "told_at": NOW,
            **kw,
        }
    )
    db.session.add(made)
    db.session.flush()
    return made
