"""What was paid and what went back: by month and by plan, each currency by itself, exact to the last minor unit. And what is disputed.

A refund counts in the month in which it was made, whenever its payment came. Money that a lost dispute took is told apart and not
taken off: Stripe does not call it a refund.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from courseapp.billing.models import Interval, Payment, Plan, Refund, Tier
from courseapp.billing.standing import GONE_BACK
from courseapp.insights.months import Asked, Month, within


@dataclass
class Sums:
    """Money of one currency in minor units: what was paid, in how many payments, and what went back, in how many refunds."""

    paid: int = 0
    payments: int = 0
    refunded: int = 0
    refunds: int = 0

    @property
    def net(self) -> int:
        """What stays; below nothing where more went back than came."""
        return self.paid - self.refunded

    def add(self, other: "Sums") -> None:
        """Count the other in."""
        self.paid += other.paid
        self.payments += other.payments
        self.refunded += other.refunded
        self.refunds += other.refunds


@dataclass(frozen=True)
class Sold:
    """A plan as a report names it: its tier, how often it is paid, its key."""

    tier: str
    interval: Interval
    key: str


@dataclass
class Revenue:
    """What a currency adds up to, by month and by plan (None: a plan nobody here knows), and what is disputed by Stripe's word."""

    currency: str
    months: dict[Month, Sums]
    plans: dict[Sold | None, Sums]
    cells: dict[tuple[Month, Sold | None], Sums]
    disputes: dict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))

    @property
    def total(self) -> Sums:
        """All of it."""
        whole = Sums()
        for sums in self.months.values():
            whole.add(sums)
        return whole


def revenue_in(seen: sa.Connection, months: Sequence[Month], zone: ZoneInfo) -> list[Revenue]:
    """What each currency adds up to in months that follow each other; the currency of most payments first. None where nothing was paid."""
    plans = plans_sold(seen)
    found: dict[str, Revenue] = {}
    for at, currency, plan_id, disputed, paid, payments in seen.execute(_paid(months, zone)):
        sums = Sums(paid=int(paid), payments=payments)
        revenue = _add(found, currency, months, months[at], plans.get(plan_id), sums)
        if disputed is not None:
            revenue.disputes[disputed].add(sums)
    for at, currency, plan_id, refunded, refunds in seen.execute(_refunded(months, zone)):
        _add(found, currency, months, months[at], plans.get(plan_id), Sums(refunded=int(refunded), refunds=refunds))
    return sorted(found.values(), key=lambda revenue: (-revenue.total.payments, revenue.currency))


def plans_sold(seen: sa.Connection) -> dict[int | None, Sold]:
    """Every plan by its id, in the order in which they are offered."""
    query = sa.select(Plan.id, Tier.name, Plan.interval, Plan.key).join(Tier, Tier.id == Plan.tier_id)
    rows = seen.execute(query.order_by(Tier.position, Tier.id, Plan.position, Plan.id))
    return {number: Sold(name, interval, key) for number, name, interval, key in rows}


def _add(found: dict[str, Revenue], currency: str, months: Sequence[Month], month: Month, plan: Sold | None, sums: Sums) -> Revenue:
    if currency not in found:
        found[currency] = Revenue(currency, {each: Sums() for each in months}, defaultdict(Sums), defaultdict(Sums))
    revenue = found[currency]
    for kept in (revenue.months[month], revenue.plans[plan], revenue.cells[month, plan]):
        kept.add(sums)
    return revenue


def _paid(months: Sequence[Month], zone: ZoneInfo) -> Asked:
    month, is_within = within(Payment.paid_at, months, zone)
    keys = (month, Payment.currency, Payment.plan_id, Payment.disputed)
    query: Asked = sa.select(*keys, sa.func.sum(Payment.amount), sa.func.count()).where(is_within, Payment.amount > 0)
    return query.group_by(*keys).order_by(*keys)


def _refunded(months: Sequence[Month], zone: ZoneInfo) -> Asked:
    month, is_within = within(Refund.made_at, months, zone)
    keys = (month, Payment.currency, Payment.plan_id)
    query: Asked = sa.select(*keys, sa.func.sum(Refund.amount), sa.func.count()).join(Payment, Payment.id == Refund.payment_id)
    return query.where(is_within, Refund.status.in_(GONE_BACK)).group_by(*keys).order_by(*keys)
