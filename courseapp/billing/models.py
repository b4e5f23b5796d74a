"""Tiers with their plans and prices; customers, checkouts, subscriptions, payments; entitlements; events and reports.

What Stripe knows is mirrored by its ids and never trusted from a webhook's payload. Money is whole minor units with a currency
(ISO 4217, lower case as Stripe writes it). No card, address or payload of Stripe's is kept.
"""

import enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from courseapp.accounts.models import User
from courseapp.catalog.models import Course, Module
from courseapp.columns import BigId, Moment, PrimaryKey, PublicId, enum_of
from courseapp.contacts.models import Contact
from courseapp.extensions import Model


class Interval(enum.StrEnum):
    """How often a plan is paid."""

    ONCE = "once"
    MONTH = "month"
    YEAR = "year"


class Kind(enum.StrEnum):
    """Why somebody holds a tier: everybody may, it was bought, it is subscribed to, or staff gave it."""

    FREE = "free"
    PURCHASE = "purchase"
    SUBSCRIPTION = "subscription"
    GIFT = "gift"


class CheckoutState(enum.StrEnum):
    """How far a checkout is: open; complete but the money is on its way; fulfilled; the money never came; nobody went through with it."""

    OPEN = "open"
    WAITING = "waiting"
    FULFILLED = "fulfilled"
    FAILED = "failed"
    EXPIRED = "expired"


class Closed(enum.StrEnum):
    """Why an entitlement opens nothing now."""

    LAPSED = "lapsed"  # the subscription ended, or was not paid
    REFUNDED = "refunded"
    DISPUTED = "disputed"  # suspended until the bank decides
    LOST = "lost"  # a dispute
    WITHDRAWN = "withdrawn"  # by staff


class Tier(Model):
    """What people may buy. `neutral_name` stands wherever others may read it: at Stripe, on its receipts, in mails."""

    __tablename__ = "tiers"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    key: Mapped[str] = mapped_column(sa.String(40), unique=True)
    name: Mapped[str] = mapped_column(sa.String(80))
    neutral_name: Mapped[str] = mapped_column(sa.String(80))
    summary: Mapped[str] = mapped_column(sa.Text)
    features: Mapped[list[str]] = mapped_column(sa.JSON)  # what else comes with it, in the owner's words
    position: Mapped[int] = mapped_column(default=0)
    product_id: Mapped[str | None] = mapped_column(sa.String(255), unique=True)  # Stripe's
    created_at: Mapped[Moment]
    changed_at: Mapped[Moment]
    sensitive_at: Mapped[Moment | None]  # the owner wants nobody chosen by it
    archived_at: Mapped[Moment | None]  # sold no longer; who holds it keeps it, and what it grants stays closed to others


class TierGrant(Model):
    """That a tier opens a course, or one module of it. To everybody without such a tier that is closed."""

    __tablename__ = "tier_grants"
    __table_args__ = (
        sa.UniqueConstraint("tier_id", "module_id"),
        sa.Index(
            "uq_tier_grants_whole",
            "tier_id",
            "course_id",
            unique=True,
            postgresql_where=sa.text("module_id IS NULL"),
            sqlite_where=sa.text("module_id IS NULL"),
        ),
    )

    id: Mapped[PrimaryKey]
    tier_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("tiers.id", ondelete="CASCADE"))
    course_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"), index=True)
    module_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("modules.id", ondelete="CASCADE"), index=True)

    tier: Mapped[Tier] = relationship()
    course: Mapped[Course] = relationship()
    module: Mapped[Module | None] = relationship()


class Plan(Model):
    """One way of paying for a tier. `key` is ours, and the beginning of its prices' lookup keys at Stripe."""

    __tablename__ = "plans"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    tier_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("tiers.id", ondelete="CASCADE"), index=True)
    key: Mapped[str] = mapped_column(sa.String(60), unique=True)
    interval: Mapped[Interval] = mapped_column(enum_of(Interval))
    trial_days: Mapped[int] = mapped_column(default=0)
    position: Mapped[int] = mapped_column(default=0)
    archived_at: Mapped[Moment | None]

    tier: Mapped[Tier] = relationship()

    @property
    def is_recurring(self) -> bool:
        """Whether it is a subscription."""
        return self.interval is not Interval.ONCE


class Price(Model):
    """What a plan costs in one currency. An amount never changes: another one is a new row, and the old one goes on mapping to its plan."""

    __tablename__ = "prices"
    __table_args__ = (
        sa.CheckConstraint("amount >= 0", name="amount"),
        sa.Index(
            "uq_prices_offered",
            "plan_id",
            "currency",
            unique=True,
            postgresql_where=sa.text("retired_at IS NULL"),
            sqlite_where=sa.text("retired_at IS NULL"),
        ),
    )

    id: Mapped[PrimaryKey]
    plan_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("plans.id", ondelete="CASCADE"), index=True)
    currency: Mapped[str] = mapped_column(sa.String(3))
    amount: Mapped[int] = mapped_column(BigId)
    stripe_id: Mapped[str | None] = mapped_column(sa.String(255), unique=True)  # None until it is synced
    created_at: Mapped[Moment]
    retired_at: Mapped[Moment | None]

    plan: Mapped[Plan] = relationship()


class Customer(Model):
    """A person's customer at Stripe. `epoch` is raised by whoever asks Stripe about them; only the latest may write what it heard."""

    __tablename__ = "customers"

    id: Mapped[PrimaryKey]
    user_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="SET NULL"), index=True)
    stripe_id: Mapped[str] = mapped_column(sa.String(255), unique=True)
    epoch: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[Moment]

    user: Mapped[User | None] = relationship()


class Checkout(Model):
    """What somebody set out to buy. `public_id` is Stripe's `client_reference_id` and the idempotency key; this row says what was bought.

    `contact_id` is the address that was paid with, which may not be confirmed: whoever confirms it owns what a guest bought.
    """

    __tablename__ = "checkouts"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    user_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="SET NULL"), index=True)
    plan_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("plans.id"), index=True)
    price_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("prices.id"), index=True)
    trial_days: Mapped[int] = mapped_column(default=0)
    stripe_id: Mapped[str | None] = mapped_column(sa.String(255), unique=True)
    contact_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("contacts.id", ondelete="SET NULL"), index=True)
    state: Mapped[CheckoutState] = mapped_column(enum_of(CheckoutState), default=CheckoutState.OPEN)
    created_at: Mapped[Moment]
    settled_at: Mapped[Moment | None]

    user: Mapped[User | None] = relationship()
    plan: Mapped[Plan] = relationship()
    price: Mapped[Price] = relationship()
    contact: Mapped[Contact | None] = relationship()


class Subscription(Model):
    """A subscription as Stripe last told it. `status` is Stripe's word; what it opens says `standing.py`."""

    __tablename__ = "subscriptions"

    id: Mapped[PrimaryKey]
    stripe_id: Mapped[str] = mapped_column(sa.String(255), unique=True)
    customer_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("customers.id"), index=True)
    plan_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("plans.id"), index=True)  # the last one that we knew
    price_stripe_id: Mapped[str] = mapped_column(sa.String(255))
    status: Mapped[str] = mapped_column(sa.String(40))
    began_at: Mapped[Moment]
    trial_ends_at: Mapped[Moment | None]
    period_ends_at: Mapped[Moment | None]
    cancels_at: Mapped[Moment | None]  # a cancellation that is to come, whichever way it was asked for
    past_due_since: Mapped[Moment | None]
    ended_at: Mapped[Moment | None]
    told_at: Mapped[Moment]

    customer: Mapped[Customer] = relationship()
    plan: Mapped[Plan | None] = relationship()


class Payment(Model):
    """Money that came, for a checkout or an invoice of a subscription. `stripe_id`: its payment intent, else the invoice or the session."""

    __tablename__ = "payments"
    __table_args__ = (sa.Index("ix_payments_paid_at", "paid_at", "id"),)

    id: Mapped[PrimaryKey]
    stripe_id: Mapped[str] = mapped_column(sa.String(255), unique=True)
    invoice_id: Mapped[str | None] = mapped_column(sa.String(255), unique=True)
    invoice_number: Mapped[str | None] = mapped_column(sa.String(255))
    customer_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("customers.id"), index=True)
    checkout_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("checkouts.id"), index=True)
    subscription_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("subscriptions.id"), index=True)
    plan_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("plans.id"), index=True)
    currency: Mapped[str] = mapped_column(sa.String(3))
    amount: Mapped[int] = mapped_column(BigId)
    tax: Mapped[int] = mapped_column(BigId, default=0)
    paid_at: Mapped[Moment]
    disputed: Mapped[str | None] = mapped_column(sa.String(40))  # Stripe's word for how the latest dispute stands

    customer: Mapped[Customer | None] = relationship()
    checkout: Mapped[Checkout | None] = relationship()
    subscription: Mapped[Subscription | None] = relationship()
    plan: Mapped[Plan | None] = relationship()


class Refund(Model):
    """Money that went back, or is to, or could not: `status` is Stripe's word."""

    __tablename__ = "refunds"

    id: Mapped[PrimaryKey]
    stripe_id: Mapped[str] = mapped_column(sa.String(255), unique=True)
    payment_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("payments.id", ondelete="CASCADE"), index=True)
    amount: Mapped[int] = mapped_column(BigId)
    status: Mapped[str] = mapped_column(sa.String(40))
    made_at: Mapped[Moment]

    payment: Mapped[Payment] = relationship()


class Entitlement(Model):
    """That a person holds a tier: from `begins_at`, until `ends_at` where that is known, and while `closed_at` is not set."""

    __tablename__ = "entitlements"
    __table_args__ = (sa.Index("ix_entitlements_user_tier", "user_id", "tier_id"),)

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    user_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="CASCADE"))
    tier_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("tiers.id"), index=True)
    kind: Mapped[Kind] = mapped_column(enum_of(Kind))
    begins_at: Mapped[Moment]
    ends_at: Mapped[Moment | None]
    closed_at: Mapped[Moment | None]
    closed_why: Mapped[Closed | None] = mapped_column(enum_of(Closed))
    checkout_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("checkouts.id"), unique=True)
    subscription_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("subscriptions.id"), unique=True)
    reason: Mapped[str | None] = mapped_column(sa.String(200))  # of a gift, in the words of whoever gave it
    given_by_user_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="SET NULL"))

    user: Mapped[User] = relationship(foreign_keys=[user_id])
    tier: Mapped[Tier] = relationship()
    subscription: Mapped[Subscription | None] = relationship()
    checkout: Mapped[Checkout | None] = relationship()


class StripeEvent(Model):
    """An event that Stripe told us of, once. What it was about is fetched anew, so no payload is kept."""

    __tablename__ = "stripe_events"
    __table_args__ = (
        sa.Index(
            "ix_stripe_events_open",
            "due_at",
            postgresql_where=sa.text("processed_at IS NULL"),
            sqlite_where=sa.text("processed_at IS NULL"),
        ),
    )

    id: Mapped[PrimaryKey]
    stripe_id: Mapped[str] = mapped_column(sa.String(255), unique=True)
    type: Mapped[str] = mapped_column(sa.String(80))
    object_id: Mapped[str | None] = mapped_column(sa.String(255))
    made_at: Mapped[Moment]  # at Stripe
    received_at: Mapped[Moment]
    is_listed: Mapped[bool] = mapped_column(default=False)  # found by asking, for no webhook brought it
    due_at: Mapped[Moment]
    attempts: Mapped[int] = mapped_column(default=0)
    processed_at: Mapped[Moment | None]
    result: Mapped[str | None] = mapped_column(sa.String(40))  # what came of it: applied, nothing to do, not ours
    problem: Mapped[str | None] = mapped_column(sa.String(300))


class Reconciliation(Model):
    """One comparison of ours with Stripe's, both ways: what differed, and what of it was mended."""

    __tablename__ = "reconciliations"

    id: Mapped[PrimaryKey]
    began_at: Mapped[Moment]
    ended_at: Mapped[Moment | None]
    is_fixing: Mapped[bool]
    looked_at: Mapped[int] = mapped_column(default=0)
    findings: Mapped[list[dict[str, Any]]] = mapped_column(sa.JSON)
