"""What was changed in the page since the last import: an upload would replace it, and an undo would put it back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from courseapp.authoring.report import Report
from courseapp.catalog.models import Course, Lesson, Origin, Revision
from courseapp.extensions import db

DONE = {Origin.EDIT: "edited", Origin.RESTORE: "put back to an earlier text", Origin.REVIEW: "reviewed"}


@dataclass(frozen=True)
class Edit:
    """A lesson whose present text did not come with an import."""

    key: str
    title: str
    origin: Origin
    at: datetime


def edits_of(course: Course, since: datetime | None = None) -> Sequence[Edit]:
    """The lessons whose present text was made in the page, in order; `since` leaves out what is older."""
    query = (
        sa.select(Lesson.key, Lesson.title, Revision.origin, Revision.created_at)
        .join(Revision, sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number))
        .where(Lesson.course_id == course.id, Lesson.retired_at.is_(None), Revision.origin != Origin.IMPORT)
        .order_by(Lesson.position)
    )
    if since is not None:
        query = query.where(Revision.created_at > since)
    return [Edit(*row) for row in db.session.execute(query)]


def warn_of_edits(course: Course | None, changed: Sequence[str], removed: Sequence[str], files: Mapping[str, str], report: Report) -> None:
    """Name what an import would replace that was written in the page.

    Args:
        changed: ids of the lessons whose text or facts it has otherwise.
        removed: ids of the lessons it no longer has.
        files: id → the file in which the import has that lesson.
    """
    if course is None:
        return
    for edit in edits_of(course):
        done = f"“{edit.title}” was {DONE[edit.origin]} in the page on {edit.at:%Y-%m-%d}"
        if edit.key in changed:
            mend = "Take over first what was written there, from the lesson's history, if it is to stay."
            report.warn("edited_here", files.get(edit.key, ""), 0, f"{done}; the upload would replace that.", mend)
        elif edit.key in removed:
            report.warn("edited_here", "course.md", 0, f"{done}; the upload takes the lesson out.", "Add it, if it is to stay.")


def warn_of_order(course: Course | None, is_course_changed: bool, report: Report) -> None:
    """Name an order made in the page that an import would replace."""
    if course is not None and course.reordered_at is not None and is_course_changed:
        words = f"The order of lessons was changed in the page on {course.reordered_at:%Y-%m-%d}; the upload would replace it."
        report.warn("reordered_here", "course.md", 0, words, "Number files and folders in the order that is to stay.")
