"""A subscription as Stripe tells it, kept; and what it opens. In the caller's transaction, with the customer's claim held."""

from datetime import datetime

import sqlalchemy as sa

from courseapp.billing import letters
from courseapp.billing.attention import need_attention
from courseapp.billing.entitlements import hold
from courseapp.billing.models import Closed, Customer, Kind, Payment, Plan, Price, Refund, Subscription
from courseapp.billing.standing import ENDED, GONE_BACK, LATE, Access, access_by_subscription, state_of_money
from courseapp.billing.stripe_gateway import Thing, known_moment, moment
from courseapp.extensions import db
from courseapp.journal import events


def keep_subscription(told: Thing, customer: Customer, now: datetime) -> Subscription:
    """Keep what Stripe says of a subscription, and let its owner hold what it opens."""
    item = told["items"]["data"][0]
    kept = db.session.scalar(sa.select(Subscription).where(Subscription.stripe_id == told["id"]))
    plan = plan_of_price(item["price"]["id"])
    if plan is None:
        need_attention("unknown_price", now, price=item["price"]["id"], subscription=told["id"])
    if kept is None:
        kept = Subscription(stripe_id=told["id"], customer_id=customer.id, began_at=known_moment(told["start_date"]))
        db.session.add(kept)
    is_new, was_late, before = kept.id is None, kept.status == LATE, kept.plan_id
    kept.status, kept.price_stripe_id, kept.told_at = told["status"], item["price"]["id"], now
    kept.plan_id = plan.id if plan is not None else kept.plan_id
    kept.trial_ends_at, kept.ended_at = moment(told["trial_end"]), moment(told["ended_at"])
    kept.period_ends_at = known_moment(item["current_period_end"])
    # the portal sets `cancel_at` alone; the API's flag means the end of the period
    kept.cancels_at = moment(told["cancel_at"]) or (kept.period_ends_at if told["cancel_at_period_end"] else None)
    kept.past_due_since = _late_since(told, item, kept) if told["status"] == LATE else None
    db.session.flush()
    if is_new and customer.user_id is not None and is_second(kept, customer.user_id):
        need_attention("second_subscription", now, subscription=kept.stripe_id)
    if told["status"] == LATE and not was_late:
        _note("payment_failed", kept, customer, now)
    settle_access(kept, now, changed_from=before)
    return kept


def plan_of_price(stripe_id: str) -> Plan | None:
    """The plan a price of Stripe's belongs to, an old price too; None for one nobody here knows."""
    return db.session.scalar(sa.select(Plan).join(Price, Price.plan_id == Plan.id).where(Price.stripe_id == stripe_id))


def subscription_of(stripe_id: str) -> Subscription | None:
    """The row of a subscription, or None."""
    return db.session.scalar(sa.select(Subscription).where(Subscription.stripe_id == stripe_id))


def settle_access(kept: Subscription, now: datetime, changed_from: int | None = None) -> None:
    """Let the owner of a subscription hold what it opens now.

    Args:
        changed_from: the plan before, where it may have changed: another tier is one that was bought.
    """
    access = access_by_subscription(kept.status, past_due_since=kept.past_due_since, cancels_at=kept.cancels_at, money=money_of(kept))
    if access is None:
        need_attention("unknown_status", now, subscription=kept.stripe_id, status=kept.status)
        return
    customer = db.session.get_one(Customer, kept.customer_id)
    tier_id = db.session.scalar(sa.select(Plan.tier_id).where(Plan.id == kept.plan_id)) if kept.plan_id is not None else None
    if customer.user_id is None:
        if kept.status not in ENDED:
            need_attention("no_owner", now, subscription=kept.stripe_id)
        return
    if tier_id is None:
        return
    hold(customer.user_id, tier_id, Kind.SUBSCRIPTION, access, now, subscription_id=kept.id, begins_at=min(kept.began_at, now))
    if changed_from is not None and changed_from != kept.plan_id and access == Access():
        old = db.session.scalar(sa.select(Plan.tier_id).where(Plan.id == changed_from))
        if old != tier_id:
            _note("tier_bought", kept, customer, now, kind=Kind.SUBSCRIPTION.value)


def money_of(kept: Subscription) -> Closed | None:
    """What has become of the money of a subscription's latest payment; None while it is ours, or where none was needed yet."""
    query = sa.select(Payment).where(Payment.subscription_id == kept.id, Payment.amount > 0)
    latest = db.session.scalar(query.order_by(Payment.paid_at.desc(), Payment.id.desc()).limit(1))
    return money_of_payment(latest) if latest is not None else None


def money_of_payment(payment: Payment) -> Closed | None:
    """What has become of a payment."""
    gone = sa.select(sa.func.coalesce(sa.func.sum(Refund.amount), 0))
    gone_back = db.session.scalars(gone.where(Refund.payment_id == payment.id, Refund.status.in_(GONE_BACK))).one()
    return state_of_money(payment.amount, int(gone_back), payment.disputed)


def tell_trial_ends(kept: Subscription, now: datetime) -> None:
    """Write to somebody whose free days end soon, unless they have cancelled."""
    if kept.status == "trialing" and kept.cancels_at is None and kept.trial_ends_at is not None:
        customer = db.session.get_one(Customer, kept.customer_id)
        letters.trial_ends(customer.user_id, kept, now)


def is_second(kept: Subscription, user_id: int) -> bool:
    """Whether somebody pays for another one besides this. It is never offered, but two windows of Stripe's may be open at once."""
    others = sa.select(Subscription.id).join(Customer, Customer.id == Subscription.customer_id)
    others = others.where(Customer.user_id == user_id, Subscription.id != kept.id, Subscription.status.not_in(ENDED))
    return kept.status not in ENDED and bool(db.session.scalar(sa.select(others.exists())))


def _late_since(told: Thing, item: Thing, kept: Subscription) -> datetime:
    """Since when a payment is late: the making of the invoice that is open, as Stripe says it, and not when we heard of it."""
    invoice = told["latest_invoice"]
    if isinstance(invoice, dict) and invoice["status"] == "open":
        return known_moment(invoice["created"])
    return kept.past_due_since or known_moment(item["current_period_start"])


def _note(type: str, kept: Subscription, customer: Customer, now: datetime, **more: str) -> None:
    if customer.user_id is None:
        return
    tier_id = db.session.scalar(sa.select(Plan.tier_id).where(Plan.id == kept.plan_id)) if kept.plan_id is not None else None
    contact_id = letters.contact_id_of(customer.user_id)
    facts = {"user_id": customer.user_id, "contact_id": contact_id, "tier_id": tier_id, "plan_id": kept.plan_id, **more}
    events.record(type, f"user:{customer.user_id}", now, None, **facts)
