"""Who holds which tier, and what that opens. Access is a question to our own tables and never to Stripe.

A module is closed where its course is not for everybody (`courses.paid_at`) or a tier grants it, and whoever asks holds no tier
that does. An archived tier still closes, and still opens to those who hold it. Whoever changes what is granted raises the
version of the course, for pages are kept by it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from courseapp.billing.models import Closed, Entitlement, Kind, Subscription, Tier, TierGrant
from courseapp.billing.standing import OPEN, Access
from courseapp.catalog.models import Course, Module
from courseapp.extensions import db
from courseapp.held import table_of
from courseapp.journal import events

# Modules with their courses, of statements that may hold both themselves. Of tables: aliases of classes cost a quarter of a megabyte each.
_modules, _courses = table_of(Module).alias("sold_modules"), table_of(Course).alias("sold_courses")
_with_courses = _modules.join(_courses, _courses.c.id == _modules.c.course_id)


def is_live(now: Any) -> sa.ColumnElement[bool]:
    """SQL, about an `Entitlement` of the statement around it: it opens what its tier grants. `now` may be a parameter."""
    is_over = sa.and_(Entitlement.ends_at.is_not(None), Entitlement.ends_at <= now)
    return sa.and_(Entitlement.closed_at.is_(None), Entitlement.begins_at <= now, ~is_over)


def is_open(held: Entitlement, now: datetime) -> bool:
    """The same, about one that is there."""
    return held.closed_at is None and held.begins_at <= now and (held.ends_at is None or held.ends_at > now)


def closed_modules(course_id: Any, user_id: Any, now: Any) -> sa.ScalarSelect[str]:
    """SQL: the ids of a course's modules that are closed to somebody, in one string; NULL where everything is open.

    All three may be columns of the statement around it or parameters. A lesson is closed where its module is.
    """
    closed = sa.select(sa.func.aggregate_strings(sa.cast(_modules.c.id, sa.String), " ")).select_from(_with_courses)
    where = (_modules.c.course_id == course_id, _is_sold(), ~_is_held(user_id, now))
    return closed.where(*where).correlate_except(_modules, _courses).scalar_subquery()


def is_closed(module_id: Any, user_id: Any, now: Any) -> sa.ColumnElement[bool]:
    """SQL: a module is closed to somebody. The arguments as in `closed_modules`."""
    closed = sa.select(_modules.c.id).select_from(_with_courses)
    where = (_modules.c.id == module_id, _is_sold(), ~_is_held(user_id, now))
    return closed.where(*where).correlate_except(_modules, _courses).exists()


def modules_in(closed: str | None) -> frozenset[int]:
    """The ids in such a string."""
    return frozenset(map(int, (closed or "").split()))


def closed_to_all(course_id: int) -> frozenset[int]:
    """The ids of a course's modules that are closed to whoever holds nothing."""
    query = sa.select(_modules.c.id).select_from(_with_courses)
    return frozenset(db.session.scalars(query.where(_modules.c.course_id == course_id, _is_sold())))


def _covers(course_id: Any = _modules.c.course_id, module_id: Any = _modules.c.id) -> sa.ColumnElement[bool]:
    """SQL: a grant opens a module."""
    return sa.and_(TierGrant.course_id == course_id, sa.or_(TierGrant.module_id.is_(None), TierGrant.module_id == module_id))


def _is_held(user_id: Any, now: Any) -> sa.ColumnElement[bool]:
    """SQL: somebody holds a tier that opens a module."""
    held = sa.select(Entitlement.id).join(TierGrant, TierGrant.tier_id == Entitlement.tier_id)
    own = (_covers(), Entitlement.user_id == user_id, is_live(now))
    return held.where(*own).correlate_except(Entitlement, TierGrant).exists()


def _is_sold() -> sa.ColumnElement[bool]:
    """SQL: a module is not for everybody."""
    is_granted = sa.select(TierGrant.id).where(_covers()).correlate_except(TierGrant).exists()
    return sa.or_(_courses.c.paid_at.is_not(None), is_granted)


def tiers_opening(course_id: int, module_id: int | None = None) -> Sequence[Tier]:
    """The tiers on offer that open a course, or one module of it, in their order."""
    grants = sa.select(TierGrant.tier_id).where(
        TierGrant.course_id == course_id, sa.or_(TierGrant.module_id.is_(None), TierGrant.module_id == module_id)
    )
    return db.session.scalars(sa.select(Tier).where(Tier.id.in_(grants), Tier.archived_at.is_(None)).order_by(Tier.position, Tier.id)).all()


def courses_opened_to(user_id: int, now: datetime) -> Sequence[Course]:
    """The published courses that what somebody holds opens, whole or in part."""
    held = sa.select(TierGrant.course_id).join(Entitlement, Entitlement.tier_id == TierGrant.tier_id)
    ids = held.where(Entitlement.user_id == user_id, is_live(now))
    return db.session.scalars(sa.select(Course).where(Course.id.in_(ids), Course.published_at.is_not(None)).order_by(Course.id)).all()


def entitlements_of(user_id: int) -> Sequence[Entitlement]:
    """All that a person holds or held, the latest first."""
    query = sa.select(Entitlement).where(Entitlement.user_id == user_id).order_by(Entitlement.begins_at.desc(), Entitlement.id.desc())
    return db.session.scalars(query).all()


def held_for(user_id: int, module: Module) -> Sequence[Entitlement]:
    """What somebody holds, held or is to hold that opens a module; what opened it last comes first."""
    opening = sa.select(TierGrant.tier_id).where(_covers(module.course_id, module.id))
    query = sa.select(Entitlement).where(Entitlement.user_id == user_id, Entitlement.tier_id.in_(opening))
    return db.session.scalars(query.order_by(Entitlement.begins_at.desc(), Entitlement.id.desc())).all()


def holds_tier(user_id: int, tier_id: int, now: datetime) -> bool:
    """Whether somebody holds a tier now, for whatever reason."""
    found = sa.select(Entitlement.id).where(Entitlement.user_id == user_id, Entitlement.tier_id == tier_id, is_live(now))
    return bool(db.session.scalar(sa.select(found.exists())))


def is_paid_up(user_id: int, tier_id: int, now: datetime) -> bool:
    """Whether somebody holds a tier now and owes nothing for it."""
    found = sa.select(Entitlement.id).outerjoin(Subscription, Subscription.id == Entitlement.subscription_id)
    owes_nothing = sa.or_(Entitlement.subscription_id.is_(None), Subscription.status.in_(OPEN))
    holds = (Entitlement.user_id == user_id, Entitlement.tier_id == tier_id, is_live(now), owes_nothing)
    return bool(db.session.scalar(sa.select(found.where(*holds).exists())))


# Giving and taking


def hold(
    user_id: int,
    tier_id: int,
    kind: Kind,
    access: Access,
    now: datetime,
    *,
    checkout_id: int | None = None,
    subscription_id: int | None = None,
    begins_at: datetime | None = None,
) -> bool:
    """Let somebody hold a tier as a payment says, in the row of that payment; whether anything changed. The caller holds its lock.

    Nothing is ever made for what opens nothing; a row that is there follows.
    """
    query = sa.select(Entitlement).where(
        Entitlement.checkout_id == checkout_id if checkout_id is not None else Entitlement.subscription_id == subscription_id
    )
    found = db.session.scalar(query)
    if found is None:
        if access.closed is not None:
            return False
        facts: dict[str, Any] = {"user_id": user_id, "tier_id": tier_id, "kind": kind, "ends_at": access.until}
        made = Entitlement(**facts, begins_at=begins_at or now, checkout_id=checkout_id, subscription_id=subscription_id)
        db.session.add(made)
        _note("access_granted", made, now)
        return True
    before = (found.tier_id, found.closed_why, found.ends_at)
    was_open = found.closed_at is None
    found.tier_id, found.ends_at, found.closed_why = tier_id, access.until, access.closed
    if access.closed is None:
        found.closed_at = None
    elif was_open:
        found.closed_at = now
    if was_open != (found.closed_at is None) or before[0] != tier_id:
        _note("access_granted" if found.closed_at is None else "access_revoked", found, now)
    return before != (tier_id, access.closed, access.until)


def give(user_id: int, tier_id: int, now: datetime, *, ends_at: datetime | None, reason: str, by_user_id: int) -> Entitlement:
    """A gift or scholarship by staff, with why and until when."""
    facts: dict[str, Any] = {"user_id": user_id, "tier_id": tier_id, "kind": Kind.GIFT, "reason": reason, "given_by_user_id": by_user_id}
    gift = Entitlement(**facts, begins_at=now, ends_at=ends_at)
    db.session.add(gift)
    db.session.flush()
    until = ends_at.isoformat() if ends_at is not None else None
    events.record("access_given", f"user:{user_id}", now, tier_id=tier_id, until=until, by=by_user_id)
    return gift


def change_end(gift: Entitlement, ends_at: datetime | None, now: datetime, by_user_id: int) -> bool:
    """Have a gift end at another moment (None: at none that is known); False where it is over or was taken back."""
    if not _change_open(gift, now, ends_at=ends_at):
        return False
    until = ends_at.isoformat() if ends_at is not None else None
    events.record("access_end_changed", f"user:{gift.user_id}", now, tier_id=gift.tier_id, until=until, by=by_user_id)
    return True


def withdraw(gift: Entitlement, now: datetime, by_user_id: int, reason: str = "") -> bool:
    """Take a gift back, for a reason that its holder reads; False where it is over or was taken back already."""
    if not _change_open(gift, now, closed_at=now, closed_why=Closed.WITHDRAWN):
        return False
    events.record("access_withdrawn", f"user:{gift.user_id}", now, tier_id=gift.tier_id, reason=reason, by=by_user_id)
    return True


def _change_open(gift: Entitlement, now: datetime, **changes: Any) -> bool:
    """Change a gift in one statement that finds it only while it is open: of two who press at once, the later one is told."""
    own = (Entitlement.id == gift.id, Entitlement.kind == Kind.GIFT, is_live(now))
    return bool(db.session.execute(sa.update(Entitlement).where(*own).values(**changes)).rowcount)  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult


def _note(type: str, entitlement: Entitlement, now: datetime) -> None:
    why = entitlement.closed_why.value if entitlement.closed_why is not None else None
    events.record(type, f"user:{entitlement.user_id}", now, tier_id=entitlement.tier_id, kind=entitlement.kind.value, why=why)
