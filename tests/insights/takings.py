"""Payments, refunds and subscriptions as Stripe tells of them, and reading the file of them back."""

import csv
import io
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from courseapp.billing.models import Checkout, Payment, Plan, Price, Refund, Subscription
from courseapp.extensions import db
from tests.factories import NOW, make_customer

_numbers = count(1)


def on(year: int, month: int, day: int = 15, hour: int = 12) -> datetime:
    """A moment in UTC."""
    return datetime(year, month, day, hour, tzinfo=UTC)


def make_subscription(plan: Plan | None = None, **kw: Any) -> Subscription:
    """A subscription that runs; `plan` None for a price that nobody here knows."""
    usual = {"stripe_id": f"sub_{next(_numbers)}", "price_stripe_id": "price_1", "status": "active", "began_at": NOW, "told_at": NOW}
    if "customer_id" not in kw:
        kw["customer_id"] = make_customer().id
    return _kept(Subscription(**{**usual, "plan_id": plan.id if plan is not None else None, **kw}))


def make_payment(plan: Plan | None = None, amount: int = 900, **kw: Any) -> Payment:
    """Money that came, in euros unless told otherwise."""
    usual = {"stripe_id": f"pi_{next(_numbers)}", "currency": "eur", "amount": amount, "paid_at": NOW}
    return _kept(Payment(**{**usual, "plan_id": plan.id if plan is not None else None, **kw}))


def make_refund(payment: Payment, amount: int | None = None, **kw: Any) -> Refund:
    """Money that went back, all of it unless told otherwise."""
    usual = {"stripe_id": f"re_{next(_numbers)}", "payment_id": payment.id, "status": "succeeded", "made_at": NOW}
    return _kept(Refund(**{**usual, "amount": payment.amount if amount is None else amount, **kw}))


def make_checkout(plan: Plan, **kw: Any) -> Checkout:
    """That somebody set out to buy a plan at its first price."""
    price = db.session.query(Price).filter_by(plan_id=plan.id).first()
    assert price is not None
    return _kept(Checkout(**{"plan_id": plan.id, "price_id": price.id, "created_at": NOW, **kw}))


def rows_of(content: str) -> list[dict[str, str]]:
    """The lines of a file of payments."""
    return list(csv.DictReader(io.StringIO(content.removeprefix("\ufeff"))))


def sums_of(rows: list[dict[str, str]]) -> dict[str, Decimal]:
    """What the amounts of each currency add up to."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[row["currency"]] += Decimal(row["amount"])
    return dict(sums)


def _kept(row: Any) -> Any:
    db.session.add(row)
    db.session.flush()
    return row
