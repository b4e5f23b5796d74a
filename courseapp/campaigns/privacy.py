"""What campaigns holds about a person."""

from typing import Any

import sqlalchemy as sa

from courseapp.campaigns.models import Sequence, SequenceRun
from courseapp.extensions import db


def export(contact_id: int) -> list[dict[str, Any]]:
    """The sequences a contact is or was in."""
    rows = db.session.execute(
        sa.select(Sequence.title, SequenceRun.started_at, SequenceRun.ended_at)
        .join(Sequence, Sequence.id == SequenceRun.sequence_id)
        .where(SequenceRun.contact_id == contact_id)
    )
    return [{"sequence": title, "since": since.isoformat(), "ended": ended.isoformat() if ended else None} for title, since, ended in rows]


def erase(contact_id: int) -> None:
    """Forget the runs."""
    db.session.execute(sa.delete(SequenceRun).where(SequenceRun.contact_id == contact_id))
