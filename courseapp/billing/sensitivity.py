"""Tiers that the owner marks as sensitive: that somebody holds one is no reason to choose them for a mail."""

from collections.abc import Sequence

import sqlalchemy as sa

from courseapp.billing.models import Tier, TierGrant
from courseapp.extensions import db


def all_tiers() -> Sequence[Tier]:
    """Every tier, marked or not, on offer or not, in their order."""
    return db.session.scalars(sa.select(Tier).order_by(Tier.position, Tier.id)).all()


def tier_of_key(key: str | None) -> Tier | None:
    """The tier of a key, or None."""
    return db.session.scalar(sa.select(Tier).where(Tier.key == key)) if key else None


def is_sensitive(tier_id: int) -> bool:
    """Whether one is marked."""
    return bool(db.session.scalar(sa.select(sa.exists().where(Tier.id == tier_id, Tier.sensitive_at.is_not(None)))))


def courses_behind(tiers: Sequence[Tier]) -> set[int]:
    """The ids of courses of which any of these tiers opens something: whoever takes one may do so by that tier."""
    if not tiers:
        return set()
    return set(db.session.scalars(sa.select(TierGrant.course_id).where(TierGrant.tier_id.in_([tier.id for tier in tiers]))))
