"""What campaigns holds about a person."""

from typing import Any

import sqlalchemy as sa

from courseapp.campaigns.models import Segment, Sequence, SequenceRun
from courseapp.catalog.models import Course
from courseapp.extensions import db


def export(contact_id: int) -> list[dict[str, Any]]:
    """The sequences a contact is or was in, by which course, and how far."""
    rows = db.session.execute(
        sa.select(Sequence.title, Course.title, SequenceRun)
        .join(Sequence, Sequence.id == SequenceRun.sequence_id)
        .join(Course, Course.id == SequenceRun.course_id)
        .where(SequenceRun.contact_id == contact_id)
    )
    return [
        {
            "sequence": title,
            "course": course,
            "since": run.started_at.isoformat(),
            "mails_sent": run.position,
            "ended": run.ended_at.isoformat() if run.ended_at else None,
            "end": run.end.value if run.end else None,
        }
        for title, course, run in rows
    ]


def erase(contact_id: int) -> None:
    """Forget the runs."""
    db.session.execute(sa.delete(SequenceRun).where(SequenceRun.contact_id == contact_id))


def export_made(user_id: int) -> dict[str, Any]:
    """What somebody made here as staff: which segments they changed last, and when. Empty for whoever made none."""
    segments = db.session.scalars(sa.select(Segment).where(Segment.by_user_id == user_id).order_by(Segment.id))
    held = {"segments": [{"name": row.name, "at": row.changed_at.isoformat()} for row in segments]}
    return {name: rows for name, rows in held.items() if rows}


def erase_made(user_id: int) -> None:
    """Forget who made it; it is the house's and stays."""
    db.session.execute(sa.update(Segment).where(Segment.by_user_id == user_id).values(by_user_id=None))
