"""What billing holds about a person."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from courseapp.billing.models import Checkout, CheckoutState, Customer, Entitlement, Payment, Plan, Refund, Subscription, Tier
from courseapp.billing.standing import ENDED
from courseapp.extensions import db


def export(user_id: int | None, contact_id: int | None) -> dict[str, Any]:
    """What somebody holds or held, bought, subscribed to and paid, with the ids by which Stripe knows it; nothing where there is none.

    Of gifts that they gave as staff it says which tier and when, and neither to whom nor why: that is told of those who got them.
    """
    customers = sa.select(Customer.id).where(Customer.user_id == user_id)
    given = sa.select(Tier.name, Entitlement.begins_at).join(Tier, Tier.id == Entitlement.tier_id)
    given = given.where(Entitlement.given_by_user_id == user_id).order_by(Entitlement.id)
    held = {
        "access": _access(user_id),
        "customers": list(db.session.scalars(sa.select(Customer.stripe_id).where(Customer.id.in_(customers)).order_by(Customer.id))),
        "checkouts": _checkouts(user_id, contact_id),
        "subscriptions": _subscriptions(customers),
        "payments": _payments(user_id, customers),
        "gifts_given": [{"tier": name, "at": at.isoformat()} for name, at in db.session.execute(given)] if user_id is not None else [],
    }
    return {name: rows for name, rows in held.items() if rows}


def _access(user_id: int | None) -> list[dict[str, Any]]:
    query = sa.select(Tier.name, Entitlement).join(Tier, Tier.id == Entitlement.tier_id).where(Entitlement.user_id == user_id)
    return [
        {
            "tier": name,
            "kind": row.kind.value,
            "since": row.begins_at.isoformat(),
            "until": _iso(row.ends_at),
            "closed_at": _iso(row.closed_at),
            "closed_why": row.closed_why.value if row.closed_why else None,
            "reason": row.reason,
        }
        for name, row in db.session.execute(query.order_by(Entitlement.id))
    ]


def _checkouts(user_id: int | None, contact_id: int | None) -> list[dict[str, Any]]:
    theirs = [Checkout.user_id == user_id] if user_id is not None else []
    theirs += [Checkout.contact_id == contact_id] if contact_id is not None else []
    query = sa.select(Tier.name, Checkout).join(Plan, Plan.id == Checkout.plan_id).join(Tier, Tier.id == Plan.tier_id)
    return [
        {
            "tier": name,
            "at": row.created_at.isoformat(),
            "state": row.state.value,
            "settled_at": _iso(row.settled_at),
            "reference": row.public_id,
            "stripe": row.stripe_id,
        }
        for name, row in db.session.execute(query.where(sa.or_(sa.false(), *theirs)).order_by(Checkout.id))
    ]


def _subscriptions(customers: sa.Select[Any]) -> list[dict[str, Any]]:
    query = sa.select(Tier.name, Subscription).outerjoin(Plan, Plan.id == Subscription.plan_id).outerjoin(Tier, Tier.id == Plan.tier_id)
    return [
        {
            "tier": name,
            "stripe": row.stripe_id,
            "status": row.status,
            "since": row.began_at.isoformat(),
            "trial_until": _iso(row.trial_ends_at),
            "paid_until": _iso(row.period_ends_at),
            "ends_at": _iso(row.cancels_at),
            "late_since": _iso(row.past_due_since),
            "ended_at": _iso(row.ended_at),
        }
        for name, row in db.session.execute(query.where(Subscription.customer_id.in_(customers)).order_by(Subscription.id))
    ]


def _payments(user_id: int | None, customers: sa.Select[Any]) -> list[dict[str, Any]]:
    checkouts = sa.select(Checkout.id).where(Checkout.user_id == user_id)
    is_theirs = sa.or_(Payment.customer_id.in_(customers), Payment.checkout_id.in_(checkouts))
    rows = db.session.scalars(sa.select(Payment).where(is_theirs).order_by(Payment.id)).all()
    refunds: dict[int, list[dict[str, Any]]] = {}
    for row in db.session.scalars(sa.select(Refund).where(Refund.payment_id.in_([row.id for row in rows])).order_by(Refund.id)):
        told = {"amount": row.amount, "status": row.status, "at": row.made_at.isoformat(), "stripe": row.stripe_id}
        refunds.setdefault(row.payment_id, []).append(told)
    return [
        {
            "amount": row.amount,  # in the currency's smallest unit
            "tax": row.tax,
            "currency": row.currency,
            "at": row.paid_at.isoformat(),
            "disputed": row.disputed,
            "stripe": row.stripe_id,
            **({"invoice": row.invoice_number, "invoice_stripe": row.invoice_id} if row.invoice_id else {}),
            **({"refunds": refunds[row.id]} if row.id in refunds else {}),
        }
        for row in rows
    ]


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def erase(user_id: int | None, contact_id: int | None, now: datetime) -> None:
    """Forget who holds, bought and gave what, and why. Payments stay as bookkeeping: of nobody, but for Stripe's numbers.

    What went on at Stripe has ended before (`leaving.py`), so it is written down as ended, should Stripe's news of it come late.
    """
    if contact_id is not None:
        db.session.execute(_update(Checkout).where(Checkout.contact_id == contact_id).values(contact_id=None))
    if user_id is None:
        return
    customers = sa.select(Customer.id).where(Customer.user_id == user_id)
    db.session.execute(customers.order_by(Customer.id).with_for_update())  # first, as everybody who writes about them does
    is_on = (Subscription.customer_id.in_(customers), Subscription.status.not_in(ENDED))
    db.session.execute(_update(Subscription).where(*is_on).values(status="canceled", ended_at=now))
    db.session.execute(sa.delete(Entitlement).where(Entitlement.user_id == user_id).execution_options(synchronize_session=False))
    db.session.execute(_update(Entitlement).where(Entitlement.given_by_user_id == user_id).values(given_by_user_id=None))
    is_open = (Checkout.user_id == user_id, Checkout.state == CheckoutState.OPEN)
    db.session.execute(_update(Checkout).where(*is_open).values(state=CheckoutState.EXPIRED, settled_at=now))
    db.session.execute(_update(Checkout).where(Checkout.user_id == user_id).values(user_id=None, contact_id=None))
    db.session.execute(_update(Customer).where(Customer.user_id == user_id).values(user_id=None))


def _update(model: Any) -> sa.Update:
    return sa.update(model).execution_options(synchronize_session=False)
