"""How many subscribe: now, by plan; and by month who began, who ended, whose trial became a subscription that is paid, what was bought
once and what was given. Exact, for owners alone; nobody is named.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from courseapp.billing.entitlements import is_live
from courseapp.billing.models import Checkout, CheckoutState, Entitlement, Interval, Kind, Payment, Plan, Subscription
from courseapp.billing.standing import GRACE, LATE
from courseapp.insights.months import Asked, Month, within
from courseapp.insights.revenue import Sold, plans_sold

NEVER_BEGAN = ("incomplete", "incomplete_expired")
"""Of subscriptions whose first payment never came; nobody has ended those."""


@dataclass
class Standing:
    """The subscriptions of a plan as they stand now. `leaving`: how many of all of them have an end that is known."""

    active: int = 0
    trying: int = 0
    late: int = 0
    leaving: int = 0


@dataclass
class Moves:
    """What happened in a month. `converted`: how many of the trials that ended in it have been paid for since."""

    begun: int = 0
    ended: int = 0
    trials: int = 0
    converted: int = 0
    bought: int = 0
    given: int = 0

    @property
    def percent(self) -> int | None:
        """How many per cent of the trials became paid, rounded down; None where none ended."""
        return 100 * self.converted // self.trials if self.trials else None


def standing_now(seen: sa.Connection, now: datetime) -> dict[Sold | None, Standing]:
    """The subscriptions of each plan that has any: active, on trial, or late and still within its grace."""
    is_late = sa.and_(Subscription.status == LATE, Subscription.past_due_since > now - GRACE)
    statuses = {"active": "active", "trialing": "trying", LATE: "late"}
    keys = (Subscription.plan_id, Subscription.status)
    query = sa.select(*keys, sa.func.count(), sa.func.count(Subscription.cancels_at))
    query = query.where(sa.or_(Subscription.status.in_(("active", "trialing")), is_late)).group_by(*keys)
    found: dict[Sold | None, Standing] = defaultdict(Standing)
    plans = plans_sold(seen)
    rows = {(plan_id, status): (count, leaving) for plan_id, status, count, leaving in seen.execute(query)}
    for plan_id, status in sorted(rows, key=lambda key: (list(plans).index(key[0]) if key[0] in plans else len(plans), key[1])):
        count, leaving = rows[plan_id, status]
        standing = found[plans.get(plan_id)]
        setattr(standing, statuses[status], getattr(standing, statuses[status]) + count)
        standing.leaving += leaving
    return dict(found)


def moves_in(seen: sa.Connection, months: Sequence[Month], zone: ZoneInfo, now: datetime) -> dict[Month, Moves]:
    """What happened in each of some months that follow each other."""
    found = {month: Moves() for month in months}
    has_begun = Subscription.status.not_in(NEVER_BEGAN)
    is_bought = (Checkout.state == CheckoutState.FULFILLED, Plan.interval == Interval.ONCE)
    asked: dict[str, Asked] = {
        "begun": _counted(Subscription.began_at, months, zone).where(has_begun),
        "ended": _counted(Subscription.ended_at, months, zone).where(has_begun),
        "bought": _counted(Checkout.settled_at, months, zone).join(Plan, Plan.id == Checkout.plan_id).where(*is_bought),
        "given": _counted(Entitlement.begins_at, months, zone).where(Entitlement.kind == Kind.GIFT),
    }
    for name, query in asked.items():
        for at, count in seen.execute(query):
            setattr(found[months[at]], name, count)
    for at, trials, converted in seen.execute(_trials(months, zone, now)):
        found[months[at]].trials, found[months[at]].converted = trials, int(converted)
    return found


def gifts_now(seen: sa.Connection, now: datetime) -> int:
    """How many gifts open something now."""
    return int(seen.scalar(sa.select(sa.func.count()).select_from(Entitlement).where(Entitlement.kind == Kind.GIFT, is_live(now))) or 0)


def first_moment(seen: sa.Connection) -> datetime | None:
    """When the first payment came, subscription began or gift was given; None where there is nothing of that kind."""
    asked = (
        sa.select(sa.func.min(Payment.paid_at)),
        sa.select(sa.func.min(Subscription.began_at)),
        sa.select(sa.func.min(Entitlement.begins_at)).where(Entitlement.kind == Kind.GIFT),
    )
    return min(filter(None, (seen.scalar(query) for query in asked)), default=None)


def _counted(column: Any, months: Sequence[Month], zone: ZoneInfo) -> Asked:
    month, is_within = within(column, months, zone)
    query: Asked = sa.select(month, sa.func.count())
    return query.where(is_within).group_by(month)


def _trials(months: Sequence[Month], zone: ZoneInfo, now: datetime) -> Asked:
    """By the month in which a trial was over: at its end, or before it where the subscription ended first."""
    ended, over = Subscription.ended_at, Subscription.trial_ends_at
    month, is_within = within(sa.case((ended < over, ended), else_=over), months, zone)
    is_paid = sa.select(Payment.id).where(Payment.subscription_id == Subscription.id, Payment.amount > 0).exists()
    is_over = sa.or_(over <= now, ended <= now)
    query: Asked = sa.select(month, sa.func.count(), sa.func.sum(sa.case((is_paid, 1), else_=0)))
    return query.where(is_within, over.is_not(None), is_over, Subscription.status.not_in(NEVER_BEGAN)).group_by(month)
