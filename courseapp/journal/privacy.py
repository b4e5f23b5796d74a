"""What the journal holds about a person."""

from typing import Any

import sqlalchemy as sa

from courseapp.extensions import db
from courseapp.journal.events import cut
from courseapp.journal.models import Event


def export(subjects: list[str]) -> list[dict[str, Any]]:
    """Every event about the given subjects (`user:12`, `contact:7`), oldest first."""
    rows = db.session.scalars(sa.select(Event).where(Event.subject.in_(subjects)).order_by(Event.id))
    return [{"type": row.type, "at": row.at.isoformat(), "data": row.data} for row in rows]


def erase(subjects: list[str]) -> None:
    """Forget whom the events were about."""
    cut(subjects)
