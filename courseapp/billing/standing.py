"""From what Stripe says to what is open: pure, so that no order of events can matter.

Statuses: Stripe, "How subscriptions work". Refunds and disputes: "Refund and cancel payments", "How disputes work".
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from courseapp.billing.models import Closed

GRACE = timedelta(days=14)  # how long a late payment keeps everything open
OPEN = frozenset({"active", "trialing"})
LATE = "past_due"
UNPAID = "unpaid"
SHUT = frozenset({UNPAID, "canceled", "incomplete", "incomplete_expired", "paused"})
ENDED = frozenset({"canceled", "incomplete_expired"})
SUSPENDING = frozenset({"needs_response", "under_review"})
"""A dispute that is under way. An inquiry (`warning_…`) takes no money, and so nothing else either."""
LOST = frozenset({"lost", "appeal_needs_response", "appeal_under_review"})
"""One that the bank has decided against us; an appeal is won when Stripe says `won`."""
GONE_BACK = frozenset({"succeeded", "pending"})
"""Refunds whose money has left; one that failed or was cancelled has come back."""


@dataclass(frozen=True)
class Access:
    """What somebody's payments open: everything until a moment (None: no end is known), or nothing and why."""

    closed: Closed | None = None
    until: datetime | None = None


def access_by_subscription(
    status: str, *, past_due_since: datetime | None, cancels_at: datetime | None, money: Closed | None
) -> Access | None:
    """What a subscription opens; None for a status nobody here knows: then what was stays.

    Args:
        money: what has become of the money of its present period: refunded, disputed, lost, or None while it is ours.
    """
    if status not in OPEN | SHUT | {LATE}:
        return None
    if status in SHUT:
        return Access(Closed.LAPSED)
    if money is not None:
        return Access(money)
    late = past_due_since + GRACE if status == LATE and past_due_since is not None else None
    return Access(until=min(filter(None, (late, cancels_at)), default=None))


def state_of_money(amount: int, gone_back: int, disputed: str | None) -> Closed | None:
    """What has become of a payment: refunded in full, disputed, lost; None while any of it is ours and nobody disputes it.

    Args:
        amount: what was paid, in minor units.
        gone_back: what refunds have taken of it.
        disputed: Stripe's word for how the latest dispute stands.
    """
    if disputed in LOST:
        return Closed.LOST
    if disputed in SUSPENDING:
        return Closed.DISPUTED
    return Closed.REFUNDED if amount and gone_back >= amount else None
