"""The ways of paying for a tier, and what each costs. An amount never changes: another one is another row, and who subscribed at
the old one stays on it.
"""

from datetime import datetime

import sqlalchemy as sa
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from courseapp.billing.models import Interval, Plan, Price, Tier
from courseapp.billing.tiers import touch
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal import events

LONGEST_TRIAL = 730
"""Days that Stripe takes for a trial (Stripe, "Using trial periods on subscriptions")."""

INTERVAL_WORDS = {Interval.ONCE: _l("paid once"), Interval.MONTH: _l("paid monthly"), Interval.YEAR: _l("paid yearly")}


def plan_of(tier: Tier, public_id: str) -> Plan | None:
    """A tier's plan of an address."""
    return db.session.scalar(sa.select(Plan).where(Plan.public_id == public_id, Plan.tier_id == tier.id))


def lookup_key_of(plan: Plan, currency: str) -> str:
    """What a price is found by at Stripe."""
    return f"{plan.key}-{currency}"


def make_plan(tier: Tier, interval: Interval, now: datetime, by: int | None, *, trial_days: int = 0, key: str | None = None) -> Plan:
    """One more way of paying for a tier, without a price so far."""
    touch(tier, None, now)
    _check_trial(interval, trial_days)
    count = db.session.scalar(sa.select(sa.func.count()).select_from(Plan).where(Plan.tier_id == tier.id)) or 0
    plan = Plan(tier_id=tier.id, key=key or _new_key(tier, interval), interval=interval, trial_days=trial_days, position=count)
    db.session.add(plan)
    db.session.flush()
    events.record("plan_made", f"plan:{plan.id}", now, by=by)
    return plan


def change_trial(plan: Plan, trial_days: int, now: datetime, by: int | None) -> bool:
    """Another length of the free time with which new subscriptions begin; whether it is new."""
    touch(plan.tier, None, now)
    _check_trial(plan.interval, trial_days)
    if plan.trial_days == trial_days:
        return False
    plan.trial_days = trial_days
    events.record("plan_changed", f"plan:{plan.id}", now, by=by)
    return True


def put_plan_away(plan: Plan, wanted: bool, now: datetime, by: int | None) -> bool:
    """Sell a plan no longer, or again; whether that is new. Who pays by it goes on."""
    touch(plan.tier, None, now)
    if wanted == (plan.archived_at is not None):
        return False
    plan.archived_at = now if wanted else None
    events.record("plan_archived" if wanted else "plan_changed", f"plan:{plan.id}", now, by=by)
    return True


def prices_of(plan: Plan) -> dict[str, Price]:
    """What a plan costs new buyers, by currency."""
    return {row.currency: row for row in db.session.scalars(sa.select(Price).where(Price.plan_id == plan.id, Price.retired_at.is_(None)))}


def set_price(plan: Plan, currency: str, amount: int | None, now: datetime, by: int | None) -> bool:
    """What a plan costs new buyers in a currency, in minor units (None: it is not sold in it); whether that is new.

    Raises Refusal (400) for a subscription that costs nothing.
    """
    if amount == 0 and plan.is_recurring:
        raise Refusal(_("What costs nothing cannot be paid again and again. Write an amount, or make a plan that is paid once."), 400)
    touch(plan.tier, None, now)
    found = prices_of(plan).get(currency)
    if (found.amount if found is not None else None) == amount:
        return False
    if found is not None:
        found.retired_at = now
        db.session.flush()
    if amount is not None:
        db.session.add(Price(plan_id=plan.id, currency=currency, amount=amount, created_at=now))
        db.session.flush()
    events.record("price_changed", f"plan:{plan.id}", now, currency=currency, amount=amount, by=by)
    return True


def _check_trial(interval: Interval, days: int) -> None:
    if days and interval is Interval.ONCE:
        raise Refusal(_("Only what is paid again and again can begin with days that cost nothing."), 400)
    if not 0 <= days <= LONGEST_TRIAL:
        raise Refusal(_("Write a number of days from 0 to %(most)s.", most=LONGEST_TRIAL), 400)


def _new_key(tier: Tier, interval: Interval) -> str:
    base = f"{tier.key}-{interval.value}"
    taken = set(db.session.scalars(sa.select(Plan.key).where(Plan.key.startswith(base, autoescape=True))))
    return next(key for number in range(1, len(taken) + 2) if (key := base if number == 1 else f"{base}-{number}") not in taken)
