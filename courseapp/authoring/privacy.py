"""What authoring holds about a person: texts they have typed and not saved, files they have not sent whole, and which revisions they made.

Unsaved drafts and unsent files are theirs and go with them. What they saved is the course's and stays, without saying whose it was.
"""

from typing import Any

import sqlalchemy as sa

from courseapp.authoring import parts
from courseapp.authoring.models import Import, KeptDraft, Publication, Upload, UploadPart
from courseapp.catalog.models import Lesson, Revision
from courseapp.extensions import db


def export(user_id: int) -> dict[str, Any]:
    """Drafts with their text; revisions, imports and uploads by what and when. Empty for whoever made none of these."""
    drafts = db.session.execute(
        sa.select(Lesson.title, KeptDraft.typed, KeptDraft.at).join(Lesson).where(KeptDraft.user_id == user_id).order_by(KeptDraft.id)
    )
    revisions = db.session.execute(
        sa.select(Lesson.title, Revision.number, Revision.created_at)
        .join(Lesson, Lesson.id == Revision.lesson_id)
        .where(Revision.by_user_id == user_id)
        .order_by(Revision.id)
    )
    imports = db.session.scalars(sa.select(Import).where(Import.by_user_id == user_id).order_by(Import.id))
    uploads = db.session.scalars(sa.select(Upload).where(Upload.by_user_id == user_id).order_by(Upload.id))
    plans = db.session.scalars(sa.select(Publication).where(Publication.by_user_id == user_id).order_by(Publication.id))
    begun = db.session.scalars(sa.select(UploadPart).where(UploadPart.user_id == user_id).order_by(UploadPart.id))
    held = {
        "drafts": [{"lesson": title, "typed": typed, "at": at.isoformat()} for title, typed, at in drafts],
        "revisions": [{"lesson": title, "number": number, "at": at.isoformat()} for title, number, at in revisions],
        "imports": [{"source": row.source, "at": row.at.isoformat()} for row in imports],
        "planned": [{"for": row.at.isoformat(), "at": row.planned_at.isoformat()} for row in plans],
        "parts": [{"file": row.name, "size": row.size, "at": row.created_at.isoformat()} for row in begun],
        "uploads": [{"files": row.files, "at": row.created_at.isoformat(), "state": row.state.value} for row in uploads],
    }
    return {name: rows for name, rows in held.items() if rows}


def erase(user_id: int) -> None:
    """Forget their drafts, what they have begun to send, and whose the saved work is."""
    parts.forget(user_id)
    db.session.execute(sa.delete(KeptDraft).where(KeptDraft.user_id == user_id))
    for column in (Revision.by_user_id, Import.by_user_id, Upload.by_user_id, Upload.decided_by_id, Publication.by_user_id):
        db.session.execute(sa.update(column.class_).where(column == user_id).values({column.key: None}))
