"""Rows of people who pay, as we know them."""

from itertools import count
from typing import Any

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.billing.models import Checkout, Customer, Plan, Price, Subscription
from courseapp.extensions import db
from tests.conftest import NOW

_numbers = count(1)


def subscription_of(customer: Customer, plan: Plan, **kw: Any) -> Subscription:
    """An active subscription."""
    usual = {"stripe_id": f"sub_known_{next(_numbers)}", "price_stripe_id": "price_1", "status": "active", "began_at": NOW, "told_at": NOW}
    row = Subscription(**{"customer_id": customer.id, "plan_id": plan.id, **usual, **kw})
    db.session.add(row)
    db.session.flush()
    return row


def checkout_of(plan: Plan, user: User | None = None, **kw: Any) -> Checkout:
    """That somebody set out to buy a plan, at its first price."""
    price_id = db.session.scalars(sa.select(Price.id).where(Price.plan_id == plan.id).order_by(Price.id).limit(1)).one()
    usual = {"plan_id": plan.id, "price_id": price_id, "user_id": user.id if user is not None else None, "created_at": NOW}
    row = Checkout(**{**usual, **kw})
    db.session.add(row)
    db.session.flush()
    return row
