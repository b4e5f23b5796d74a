"""Paid tiers as the owner makes them: what each is called and what it opens. Plans and prices are in `plans.py`.

A course that a tier opens as a whole stays closed to others from then on (`courses.paid_at`), whatever becomes of the tier: only
`open_to_everybody` opens it. A single module is closed while a tier opens it. Each change raises the version of the courses
concerned, for pages are kept by it, and is in the journal.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from flask_babel import gettext as _

from courseapp.billing.models import Interval, Plan, Price, Tier, TierGrant
from courseapp.catalog.models import Course, Module
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal import events

LONGEST_KEY = 40


@dataclass(frozen=True)
class PlanOnOffer:
    """A plan with what it costs now, by currency."""

    plan: Plan
    prices: dict[str, Price]


@dataclass(frozen=True)
class TierOnOffer:
    """A tier with its plans, and with the courses and modules that it opens, in their order."""

    tier: Tier
    plans: list[PlanOnOffer]
    courses: list[Course]
    modules: list[Module]


@dataclass(frozen=True)
class TierFacts:
    """What the owner says of a tier; `courses` and `modules` are ids."""

    name: str
    neutral_name: str
    summary: str
    features: tuple[str, ...]
    courses: frozenset[int]
    modules: frozenset[int] = frozenset()
    position: int = 0
    is_sensitive: bool = False


@dataclass(frozen=True)
class Consequences:
    """What another choice of what a tier opens means for everybody without it: titles."""

    closes: list[str]
    opens: list[str]

    def __bool__(self) -> bool:
        return bool(self.closes or self.opens)


class _Place(NamedTuple):
    course_id: int
    module_id: int | None


# Reading


def tiers_with_plans(tiers: Iterable[Tier] | None = None) -> list[TierOnOffer]:
    """These tiers, or all of them, archived ones too, in their order; four queries however many there are."""
    found = list(db.session.scalars(sa.select(Tier).order_by(Tier.position, Tier.id))) if tiers is None else list(tiers)
    ids = [tier.id for tier in found]
    plans = db.session.scalars(sa.select(Plan).where(Plan.tier_id.in_(ids)).order_by(Plan.position, Plan.id)).all()
    prices = db.session.scalars(sa.select(Price).where(Price.plan_id.in_([plan.id for plan in plans]), Price.retired_at.is_(None))).all()
    grants = db.session.execute(
        sa.select(TierGrant.tier_id, Course, Module)
        .join(Course, Course.id == TierGrant.course_id)
        .outerjoin(Module, Module.id == TierGrant.module_id)
        .where(TierGrant.tier_id.in_(ids))
        .order_by(Course.id, Module.position)
    ).all()
    return [
        TierOnOffer(
            tier,
            [
                PlanOnOffer(plan, {row.currency: row for row in prices if row.plan_id == plan.id})
                for plan in plans
                if plan.tier_id == tier.id
            ],
            [course for tier_id, course, module in grants if tier_id == tier.id and module is None],
            [module for tier_id, _course, module in grants if tier_id == tier.id and module is not None],
        )
        for tier in found
    ]


def can_be_bought(plan: Plan, price: Price) -> bool:
    """Whether a price is at Stripe, or costs nothing."""
    return price.stripe_id is not None or (price.amount == 0 and plan.interval is Interval.ONCE)


def tier_of(public_id: str) -> Tier | None:
    """The tier of an address."""
    return db.session.scalar(sa.select(Tier).where(Tier.public_id == public_id))


def course_named(slug: str) -> Course | None:
    """The course of an address, published or not."""
    return db.session.scalar(sa.select(Course).where(Course.slug == slug))


def closed_courses() -> Sequence[Course]:
    """Courses that are not for everybody, though no tier opens them as a whole any more."""
    granted = sa.select(TierGrant.id).where(TierGrant.course_id == Course.id, TierGrant.module_id.is_(None)).exists()
    return db.session.scalars(sa.select(Course).where(Course.paid_at.is_not(None), ~granted).order_by(Course.id)).all()


def courses_to_open() -> list[tuple[Course, list[Module]]]:
    """Every course with its modules, retired ones left out: what a tier may open."""
    courses = db.session.scalars(sa.select(Course).order_by(Course.id)).all()
    modules = db.session.scalars(sa.select(Module).where(Module.retired_at.is_(None)).order_by(Module.course_id, Module.position)).all()
    return [(course, [module for module in modules if module.course_id == course.id]) for course in courses]


def stamp_of(tier: Tier) -> str:
    """What tells two states of a tier, its plans and prices apart."""
    return tier.changed_at.isoformat()


# Changing


def touch(tier: Tier, seen: str | None, now: datetime) -> None:
    """Hold a tier to change it or its plans. Raises Refusal where somebody else has changed them since `seen`, a stamp (None: any)."""
    db.session.refresh(tier, with_for_update=True)
    if seen is not None and seen != stamp_of(tier):
        raise Refusal(_("Somebody else has changed this tier meanwhile. Nothing was saved; open it again to see what stands there."))
    tier.changed_at = now
    db.session.flush()


def make_tier(facts: TierFacts, now: datetime, by: int | None, key: str | None = None) -> Tier:
    """A new tier; its key, made of the name unless it is given, stays."""
    tier = Tier(key=key or _new_key(facts.name), created_at=now, changed_at=now, sensitive_at=None)
    _fill(tier, facts, now)
    db.session.add(tier)
    db.session.flush()
    events.record("tier_made", f"tier:{tier.id}", now, by=by)
    _grant(tier, facts.courses, facts.modules, now, by)
    return tier


def change_tier(tier: Tier, facts: TierFacts, now: datetime, by: int | None, seen: str | None = None) -> bool:
    """Say something else of a tier; whether anything was different. Raises Refusal where others were first (see `touch`)."""
    touch(tier, seen, now)
    before = _said(tier)
    _fill(tier, facts, now)
    has_changed = _grant(tier, facts.courses, facts.modules, now, by) or _said(tier) != before
    if has_changed:
        events.record("tier_changed", f"tier:{tier.id}", now, by=by)
    return has_changed


def put_away(tier: Tier, wanted: bool, now: datetime, by: int | None) -> bool:
    """Sell a tier no longer, or again; whether that is new. Who holds it keeps it, and what it opens stays closed to others."""
    touch(tier, None, now)
    if wanted == (tier.archived_at is not None):
        return False
    tier.archived_at = now if wanted else None
    events.record("tier_archived" if wanted else "tier_brought_back", f"tier:{tier.id}", now, by=by)
    return True


def open_to_everybody(course: Course, now: datetime, by: int | None) -> bool:
    """Let everybody take a course again; False where everybody may. Raises Refusal while a tier opens it as a whole."""
    db.session.refresh(course, with_for_update=True)
    names = db.session.scalars(
        sa.select(Tier.name)
        .join(TierGrant, TierGrant.tier_id == Tier.id)
        .where(TierGrant.course_id == course.id, TierGrant.module_id.is_(None))
    ).all()
    if names:
        words = _("“%(course)s” is sold: take it out of these tiers first: %(tiers)s.", course=course.title, tiers=", ".join(names))
        raise Refusal(words)
    if course.paid_at is None:
        return False
    course.paid_at = None
    _raise_versions({course.id})
    events.record("course_opened", f"course:{course.id}", now, by=by)
    return True


def consequences_of(tier: Tier | None, courses: Collection[int], modules: Collection[int]) -> Consequences:
    """What is closed to everybody, and what is open, once a tier (None: a new one) opens these courses and modules."""
    own = TierGrant.tier_id == (tier.id if tier is not None else None)
    grants = db.session.execute(sa.select(TierGrant.course_id, TierGrant.module_id, own)).all()
    whole = {row[0] for row in grants if row[1] is None}
    single = {row[1] for row in grants if row[1] is not None}
    whole_after = {row[0] for row in grants if row[1] is None and not row[2]} | set(courses)
    single_after = {row[1] for row in grants if row[1] is not None and not row[2]} | set(modules)
    closes, opens = list[str](), list[str]()
    for course, parts in courses_to_open():
        is_closed = course.paid_at is not None
        before = {part.id for part in parts if is_closed or course.id in whole or part.id in single}
        after = {part.id for part in parts if is_closed or course.id in whole_after or part.id in single_after}
        closes += _named(course, parts, after - before)
        opens += _named(course, parts, before - after)
    return Consequences(closes, opens)


def _named(course: Course, parts: list[Module], changed: set[int]) -> list[str]:
    """The whole course, or single modules with their course."""
    if parts and len(changed) == len(parts):
        return [course.title]
    return [f"{course.title}: {part.title}" for part in parts if part.id in changed]


def _fill(tier: Tier, facts: TierFacts, now: datetime) -> None:
    tier.name, tier.neutral_name, tier.summary = facts.name, facts.neutral_name, facts.summary
    tier.features, tier.position = list(facts.features), facts.position
    if facts.is_sensitive != (tier.sensitive_at is not None):
        tier.sensitive_at = now if facts.is_sensitive else None


def _said(tier: Tier) -> tuple[object, ...]:
    return (tier.name, tier.neutral_name, tier.summary, tier.features, tier.position, tier.sensitive_at)


def _grant(tier: Tier, courses: Collection[int], modules: Collection[int], now: datetime, by: int | None) -> bool:
    """Let a tier open just these; a module of a course that is opened as a whole needs no grant of its own."""
    parts = db.session.execute(sa.select(Module.course_id, Module.id).where(Module.id.in_(modules))).all()
    wanted = {_Place(course_id, None) for course_id in courses} | {_Place(*row) for row in parts if row[0] not in courses}
    kept = sa.select(TierGrant).outerjoin(Module).where(TierGrant.tier_id == tier.id, Module.retired_at.is_(None))
    held = {
        _Place(row.course_id, row.module_id): row for row in db.session.scalars(kept)
    }  # a retired module, which no form shows, may return
    for gone in held.keys() - wanted:
        db.session.delete(held[gone])
    new = wanted - held.keys()
    db.session.add_all(
        TierGrant(tier_id=tier.id, course_id=course_id, module_id=module_id) for course_id, module_id in sorted(new, key=str)
    )
    _close({course_id for course_id, module_id in new if module_id is None}, now, by)
    _raise_versions({course_id for course_id, _module in wanted ^ held.keys()})
    return bool(wanted ^ held.keys())


def _close(course_ids: set[int], now: datetime, by: int | None) -> None:
    """These are not for everybody from now on."""
    for course in db.session.scalars(sa.select(Course).where(Course.id.in_(course_ids), Course.paid_at.is_(None)).with_for_update()):
        course.paid_at = now
        events.record("course_closed", f"course:{course.id}", now, by=by)


def _raise_versions(course_ids: set[int]) -> None:
    db.session.flush()
    db.session.execute(sa.update(Course).where(Course.id.in_(course_ids)).values(version=Course.version + 1))


def _new_key(name: str) -> str:
    """A key of a tier's name, with a number where another tier has it: letters, figures, hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[: LONGEST_KEY - 4].strip("-") or "tier"
    taken = set(db.session.scalars(sa.select(Tier.key).where(Tier.key.startswith(base, autoescape=True))))
    return next(key for number in range(1, len(taken) + 2) if (key := base if number == 1 else f"{base}-{number}") not in taken)
