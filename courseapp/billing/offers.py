"""What is offered, as people read it: tiers with what they open, and plans with their price in one currency.

A price is offered once Stripe knows it; what costs nothing and is taken once needs no Stripe.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import contains_eager

from courseapp.billing.amounts import amount_words
from courseapp.billing.models import Interval, Plan, Price, Tier, TierGrant
from courseapp.catalog.models import Course, Lesson, Module
from courseapp.catalog.outline import is_released
from courseapp.extensions import db


@dataclass(frozen=True)
class Opened:
    """A course that a tier opens, or some modules of it; only what learners can read now is counted."""

    title: str
    modules: tuple[str, ...]
    lessons: int
    minutes: int
    is_whole: bool


@dataclass(frozen=True)
class TierOffer:
    """A tier with what it opens, and a price for each of its plans."""

    tier: Tier
    opens: tuple[Opened, ...]
    prices: tuple[Price, ...]


def price_words(price: Price) -> str:
    """What a plan costs: €9.00 a month, €29.00 once, free."""
    amount = amount_words(price.amount, price.currency)
    match price.plan.interval:
        case Interval.MONTH:
            return str(_("%(amount)s a month", amount=amount))
        case Interval.YEAR:
            return str(_("%(amount)s a year", amount=amount))
    return str(_("%(amount)s once", amount=amount) if price.amount else _("Free"))


def prices_offered(plan_public_id: str | None = None) -> Sequence[Price]:
    """The prices at which something is sold now, by tier and plan: of all plans, or of one."""
    costs_nothing = sa.and_(Price.amount == 0, Plan.interval == Interval.ONCE)
    query = (
        sa.select(Price)
        .join(Price.plan)
        .join(Plan.tier)
        .options(contains_eager(Price.plan).contains_eager(Plan.tier))
        .where(Tier.archived_at.is_(None), Plan.archived_at.is_(None), Price.retired_at.is_(None))
        .where(sa.or_(Price.stripe_id.is_not(None), costs_nothing))
        .order_by(Tier.position, Tier.id, Plan.position, Plan.id, Price.id)
    )
    return db.session.scalars(query if plan_public_id is None else query.where(Plan.public_id == plan_public_id)).all()


def price_in(prices: Sequence[Price], wanted: str, currencies: Sequence[str]) -> Price:
    """The price of a plan in the currency that was asked for; else in the first of the site's that it has."""
    order = [wanted, *currencies]
    return min(prices, key=lambda price: order.index(price.currency) if price.currency in order else len(order))


def tiers_on_offer(prices: Sequence[Price], wanted: str, currencies: Sequence[str]) -> list[TierOffer]:
    """The tiers of these prices, each plan with the one that is chosen."""
    chosen = [price_in(list(several), wanted, currencies) for _plan, several in groupby(prices, key=lambda price: price.plan_id)]
    by_tier = [(tier, tuple(own)) for tier, own in groupby(chosen, key=lambda price: price.plan.tier)]
    return [TierOffer(tier, opened_by(tier.id), own) for tier, own in by_tier]


def opened_by(tier_id: int) -> tuple[Opened, ...]:
    """What a tier opens, course by course."""
    covers = sa.and_(TierGrant.course_id == Module.course_id, sa.or_(TierGrant.module_id.is_(None), TierGrant.module_id == Module.id))
    rows = db.session.execute(
        sa.select(Course.title, Module.title, TierGrant.module_id.is_(None), sa.func.count(Lesson.id), sa.func.sum(Lesson.minutes))
        .select_from(TierGrant)
        .join(Module, covers)
        .join(Course, Course.id == Module.course_id)
        .join(Lesson, Lesson.module_id == Module.id)
        .where(TierGrant.tier_id == tier_id, Course.published_at.is_not(None), is_released())
        .group_by(Course.id, Course.title, Module.id, Module.title, TierGrant.module_id.is_(None), Module.position)
        .order_by(Course.id, Module.position, TierGrant.module_id.is_(None).desc())
    ).all()
    found = []
    for title, several in groupby(rows, key=lambda row: row[0]):
        modules = {row[1]: row for row in reversed(list(several))}  # by both grants: once, as part of the whole
        own = list(reversed(modules.values()))
        found.append(Opened(title, tuple(row[1] for row in own), sum(row[3] for row in own), sum(row[4] for row in own), bool(own[0][2])))
    return tuple(found)
