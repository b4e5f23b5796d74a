"""What the journal holds about a person."""

from typing import Any

import sqlalchemy as sa

from courseapp.extensions import db
from courseapp.journal.models import Event, Receipt


def export(subjects: list[str]) -> list[dict[str, Any]]:
    """Every event about the given subjects (`user:12`, `contact:7`), oldest first."""
    rows = db.session.scalars(sa.select(Event).where(Event.subject.in_(subjects)).order_by(Event.id))
    return [{"type": row.type, "at": row.at.isoformat(), "data": row.data} for row in rows]


def erase(subjects: list[str]) -> None:
    """Cut the tie between events and a person: the fact stays countable, whom it was about is gone.

    Readers who have not been told of them are told no more: without its facts an event is no news.
    """
    theirs = sa.select(Event.id).where(Event.subject.in_(subjects))
    db.session.execute(sa.delete(Receipt).where(Receipt.event_id.in_(theirs), Receipt.read_at.is_(None)))
    db.session.execute(sa.update(Event).where(Event.subject.in_(subjects)).values(subject="erased", data={}))
