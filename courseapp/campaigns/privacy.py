"""What campaigns holds about a person."""

from typing import Any

import sqlalchemy as sa

from courseapp.campaigns.models import Sequence, SequenceRun
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
