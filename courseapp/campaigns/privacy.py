"""What campaigns holds about a person."""

from typing import Any

import sqlalchemy as sa

from courseapp.campaigns.models import (
    Broadcast,
    BroadcastPage,
    ContactExport,
    ContactImport,
    Segment,
    Sequence,
    SequenceRun,
    SequenceVersion,
)
from courseapp.catalog.models import Course
from courseapp.extensions import db, holds_number
from courseapp.mailing.models import Letter, Message


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
            "occasion": run.occasion,
            "since": run.started_at.isoformat(),
            "mails_sent": run.position,
            "ended": run.ended_at.isoformat() if run.ended_at else None,
            "end": run.end.value if run.end else None,
        }
        for title, course, run in rows
    ]


def export_broadcasts(contact_id: int) -> list[dict[str, Any]]:
    """The broadcasts that were for a contact, oldest first; what became of each stands among the mails."""
    waiting = sa.select(BroadcastPage.broadcast_id).where(holds_number(BroadcastPage.contact_ids, contact_id))
    mails = sa.and_(Message.stream_id == Broadcast.stream_id, Message.contact_id == contact_id)
    subject = sa.func.coalesce(Letter.subject, Broadcast.subject)  # of two letters that are tried out, theirs
    query = sa.select(subject, Broadcast.snapshot_at).outerjoin(Message, mails).outerjoin(Letter, Letter.id == Message.letter_id)
    rows = db.session.execute(query.where(sa.or_(Message.id.is_not(None), Broadcast.id.in_(waiting))).order_by(Broadcast.id))
    return [{"subject": subject, "at": at.isoformat() if at else None} for subject, at in rows]


def erase(contact_id: int) -> None:
    """Forget the runs. A broadcast that is being put into the outbox passes over who is erased."""
    db.session.execute(sa.delete(SequenceRun).where(SequenceRun.contact_id == contact_id))


def export_made(user_id: int) -> dict[str, Any]:
    """What somebody made here as staff: which segments, broadcasts and sequences they changed last or published, and when; or nothing."""
    segments = db.session.scalars(sa.select(Segment).where(Segment.by_user_id == user_id).order_by(Segment.id))
    broadcasts = db.session.scalars(sa.select(Broadcast).where(Broadcast.by_user_id == user_id).order_by(Broadcast.id))
    sequences = db.session.scalars(sa.select(Sequence).where(Sequence.by_user_id == user_id).order_by(Sequence.id))
    versions = db.session.execute(
        sa.select(Sequence.title, SequenceVersion.number, SequenceVersion.published_at)
        .join(Sequence, Sequence.id == SequenceVersion.sequence_id)
        .where(SequenceVersion.by_user_id == user_id)
        .order_by(SequenceVersion.id)
    )
    came = db.session.scalars(sa.select(ContactImport).where(ContactImport.by_user_id == user_id).order_by(ContactImport.id))
    went = db.session.scalars(sa.select(ContactExport).where(ContactExport.by_user_id == user_id).order_by(ContactExport.id))
    held = {
        "contacts_brought_in": [{"file": row.name, "source": row.source, "at": row.created_at.isoformat()} for row in came],
        "contacts_taken_out": [{"of": row.segment_name, "people": row.total, "at": row.created_at.isoformat()} for row in went],
        "segments": [{"name": row.name, "at": row.changed_at.isoformat()} for row in segments],
        "broadcasts": [{"title": row.title, "at": row.changed_at.isoformat()} for row in broadcasts],
        "sequences": [{"title": row.title, "at": row.changed_at.isoformat()} for row in sequences],
        "sequence_versions": [{"title": title, "number": number, "at": at.isoformat()} for title, number, at in versions],
    }
    return {name: rows for name, rows in held.items() if rows}


def erase_made(user_id: int) -> None:
    """Forget who made it; it is the house's and stays."""
    for model in (Segment, Broadcast, Sequence, SequenceVersion, ContactImport, ContactExport):
        db.session.execute(sa.update(model).where(model.by_user_id == user_id).values(by_user_id=None))
