"""Why a part of a course is closed to somebody by payment, and what opens it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from courseapp.billing.entitlements import held_for, tiers_opening
from courseapp.billing.models import Tier
from courseapp.catalog.models import Module
from courseapp.extensions import db


@dataclass(frozen=True)
class ClosedPart:
    """A closed module. `opens_at`: from when they hold what opens it; `closed_at`: when what opened it ended."""

    title: str
    tiers: Sequence[Tier]
    opens_at: datetime | None
    closed_at: datetime | None


def closed_part(user_id: int, module_id: int, now: datetime) -> ClosedPart:
    """How a module that is closed to somebody stands. Nothing says whether money went back, or why."""
    module = db.session.get_one(Module, module_id)
    held = held_for(user_id, module)
    to_come = [each.begins_at for each in held if each.begins_at > now and each.closed_at is None]
    # one that has no end has just come: the page will be open when it is loaded again
    ended = [min(ends) for each in held if each.begins_at <= now and (ends := list(filter(None, (each.closed_at, each.ends_at))))]
    return ClosedPart(module.title, tiers_opening(module.course_id, module.id), min(to_come, default=None), max(ended, default=None))
