"""Letting learners see a course, and taking it out of their sight again."""

from datetime import datetime

import sqlalchemy as sa
from flask import current_app
from flask_babel import ngettext

from courseapp.catalog.copies import want_copies
from courseapp.catalog.models import Course, Lesson, Need, Revision
from courseapp.extensions import db
from courseapp.journal import events


def publish_course(course: Course, now: datetime, by_user_id: int | None, without_review: bool = False) -> str | None:
    """Let learners see a course and all its lessons; the caller commits. What keeps it from that, in words, or None."""
    if words := lack_of_review(unreviewed_touch(course.id), without_review):
        return words
    waiting = (Lesson.course_id == course.id, Lesson.published_at.is_(None), Lesson.retired_at.is_(None))
    db.session.execute(sa.update(Lesson).where(*waiting).values(published_at=now))
    course.published_at = course.published_at or now
    _note(course, now, "course_published", by_user_id)
    want_copies(course, now)
    return None


def lack_of_review(count: int, without_review: bool) -> str | None:
    """Why a course with so many unreviewed lessons that teach touch is not published, in words; None where it may be."""
    if not count or without_review or current_app.config["EMBEDDED"]:
        return None
    return str(
        ngettext(
            "%(num)d lesson teaches touch and no clinician has reviewed it. Have it reviewed first, or say that it may go without.",
            "%(num)d lessons teach touch and no clinician has reviewed them. Have them reviewed first, or say they may go without.",
            count,
        )
    )


def withdraw_course(course: Course, now: datetime, by_user_id: int | None) -> None:
    """Take a course out of everyone's sight; progress is kept. The caller commits."""
    course.published_at = None
    _note(course, now, "course_withdrawn", by_user_id)


def unreviewed_touch(course_id: int) -> int:
    """How many lessons that teach touch no clinician has reviewed."""
    current = sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number)
    query = sa.select(sa.func.count()).select_from(Lesson).join(Revision, current)
    return db.session.scalar(query.where(*_touch(course_id), Revision.reviewed_by.is_(None))) or 0


def _touch(course_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (Lesson.course_id == course_id, Lesson.retired_at.is_(None), Lesson.needs_check == Need.TOUCH)


def _note(course: Course, now: datetime, what: str, by_user_id: int | None) -> None:
    course.version, course.changed_at = course.version + 1, now
    db.session.flush()
    events.record(what, f"course:{course.id}", now, version=course.version, by_user_id=by_user_id)
