"""Segments that are kept under a name: found, saved, put away. Each change is in the journal, with who made it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _

from courseapp.campaigns.models import Segment
from courseapp.campaigns.segments import problems_of
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal import events


def segment_of(public_id: str) -> Segment | None:
    """The segment of an id, archived or not."""
    return db.session.scalar(sa.select(Segment).where(Segment.public_id == public_id))


def segments_saved(before: int | None, limit: int, *, archived: bool = False) -> Sequence[Segment]:
    """Segments, the newest first; `before`: only those made before the one with this number."""
    query = sa.select(Segment).where(Segment.archived_at.is_not(None) if archived else Segment.archived_at.is_(None))
    if before is not None:
        query = query.where(Segment.id < before)
    return db.session.scalars(query.order_by(Segment.id.desc()).limit(limit)).all()


def save_segment(found: Segment | None, name: str, tree: dict[str, Any], by_user_id: int, now: datetime, seen: str = "") -> Segment:
    """Keep a tree under a name, a new one where `found` is None. The tree must be without problems.

    Args:
        seen: `stamp_of` the segment as whoever changes it saw it. Raises Refusal where somebody else changed it since.
    """
    assert not problems_of(tree)
    if found is None:
        found = Segment(name=name, tree=tree, created_at=now, changed_at=now, by_user_id=by_user_id)
        db.session.add(found)
    else:
        db.session.refresh(found, with_for_update=True)
        if seen != stamp_of(found):
            raise Refusal(_("Somebody else has changed this segment meanwhile. Nothing was saved; open it again to see what stands there."))
        found.name, found.tree, found.changed_at, found.by_user_id = name, tree, now, by_user_id
    db.session.flush()
    events.record("segment_saved", f"segment:{found.id}", now, by=by_user_id)
    return found


def put_away(found: Segment, wanted: bool, by_user_id: int, now: datetime) -> bool:
    """Archive a segment, or bring it back; True when something changed. What was sent by it stays as it was."""
    if wanted == (found.archived_at is not None):
        return False
    found.archived_at = now if wanted else None
    events.record("segment_archived" if wanted else "segment_brought_back", f"segment:{found.id}", now, by=by_user_id)
    return True


def stamp_of(found: Segment) -> str:
    """What tells two states of a segment apart."""
    return found.changed_at.isoformat()
