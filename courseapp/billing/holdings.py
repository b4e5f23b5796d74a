"""What a person has, with how it goes on; what they paid; and which customer of Stripe's they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from courseapp.billing.entitlements import entitlements_of, is_live, is_open
from courseapp.billing.models import Checkout, CheckoutState, Customer, Entitlement, Kind, Payment, Price, Refund, Subscription
from courseapp.billing.standing import ENDED, GONE_BACK, GRACE
from courseapp.extensions import db


@dataclass(frozen=True)
class Holding:
    """A tier that somebody holds or held, with its subscription and what that is renewed at, where they are known."""

    held: Entitlement
    is_open: bool
    price: Price | None
    grace_ends_at: datetime | None


@dataclass(frozen=True)
class Paid:
    """A payment, and how much of it went back."""

    payment: Payment
    gone_back: int


def is_under_way() -> sa.ColumnElement[bool]:
    """SQL, about a `Subscription`: it has not ended, whatever it opens at present."""
    return sa.and_(Subscription.ended_at.is_(None), Subscription.status.not_in(ENDED))


def has_subscription(user_id: int) -> bool:
    """Whether somebody has a subscription that has not ended: one more is never begun."""
    found = sa.select(Subscription.id).join(Subscription.customer).where(Customer.user_id == user_id, is_under_way())
    return bool(db.session.scalar(sa.select(found.exists())))


def tiers_held(user_id: int, now: datetime) -> set[int]:
    """The tiers that somebody holds now."""
    return set(db.session.scalars(sa.select(Entitlement.tier_id).where(Entitlement.user_id == user_id, is_live(now))))


def tiers_owned(user_id: int, now: datetime) -> set[int]:
    """Those of them that end by nothing known and are paid for no more: there is nothing left to buy."""
    is_for_good = (Entitlement.kind != Kind.SUBSCRIPTION, Entitlement.ends_at.is_(None))
    return set(db.session.scalars(sa.select(Entitlement.tier_id).where(Entitlement.user_id == user_id, is_live(now), *is_for_good)))


def holdings_of(user_id: int, now: datetime) -> list[Holding]:
    """All that somebody holds or held, what is open first, then the latest."""
    rows = entitlements_of(user_id)
    ids = [row.subscription.price_stripe_id for row in rows if row.subscription is not None]
    prices = {price.stripe_id: price for price in db.session.scalars(sa.select(Price).where(Price.stripe_id.in_(ids)))}
    found = []
    for row in rows:
        told = row.subscription
        late = told.past_due_since + GRACE if told is not None and told.past_due_since is not None else None
        found.append(Holding(row, is_open(row, now), prices.get(told.price_stripe_id) if told is not None else None, late))
    return sorted(found, key=lambda holding: not holding.is_open)


def waiting_of(user_id: int) -> Sequence[Checkout]:
    """What somebody has bought whose money is still on its way, the latest first."""
    query = sa.select(Checkout).where(Checkout.user_id == user_id, Checkout.state == CheckoutState.WAITING)
    return db.session.scalars(query.order_by(Checkout.id.desc())).all()


def payments_of(user_id: int) -> list[Paid]:
    """What somebody paid, the latest first."""
    back = (
        sa.select(sa.func.coalesce(sa.func.sum(Refund.amount), 0))
        .where(Refund.payment_id == Payment.id, Refund.status.in_(GONE_BACK))
        .scalar_subquery()
    )
    is_theirs = sa.or_(
        Payment.customer_id.in_(sa.select(Customer.id).where(Customer.user_id == user_id)),
        Payment.checkout_id.in_(sa.select(Checkout.id).where(Checkout.user_id == user_id)),
    )
    query = sa.select(Payment, back).options(joinedload(Payment.plan)).where(is_theirs).order_by(Payment.paid_at.desc(), Payment.id.desc())
    return [Paid(payment, gone_back) for payment, gone_back in db.session.execute(query)]


def customers_of(user_id: int) -> Sequence[Customer]:
    """A person's customers at Stripe: whoever has a subscription under way first, then the newest."""
    subscribes = sa.select(Subscription.id).where(Subscription.customer_id == Customer.id, is_under_way()).exists()
    query = sa.select(Customer).where(Customer.user_id == user_id)
    return db.session.scalars(query.order_by(sa.case((subscribes, 0), else_=1), Customer.id.desc())).all()
