"""Clinicians' reviews of lessons: noted for the text that was read, and listed where one is missing, overdue or soon due."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from courseapp.authoring.editing import Look, Subject, save
from courseapp.catalog.models import Course, Lesson, Need, Origin, Revision
from courseapp.extensions import db

SOON = timedelta(days=30)


class Standing(enum.StrEnum):
    """How a lesson's review stands, the gravest first."""

    NEVER = "never"
    OVERDUE = "overdue"
    SOON = "soon"


@dataclass(frozen=True)
class Review:
    """Who read a lesson, in what capacity, when, and when it is to be read again."""

    by: str
    role: str
    on: date
    due: date | None


@dataclass(frozen=True)
class Wanted:
    """A lesson that somebody should review."""

    course_title: str
    slug: str
    key: str
    title: str
    teaches_touch: bool
    reviewed_by: str | None
    reviewed_on: date | None
    review_due: date | None
    standing: Standing


def reviews_wanted(today: date) -> Sequence[Wanted]:
    """The lessons of all courses that were never reviewed, are overdue, or are due within 30 days; the gravest first."""
    rows = db.session.execute(
        sa.select(Course, Lesson, Revision)
        .join(Lesson, Lesson.course_id == Course.id)
        .join(Revision, sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number))
        .where(Lesson.retired_at.is_(None), sa.or_(Revision.reviewed_by.is_(None), Revision.review_due <= today + SOON))
        .order_by(Course.title, Course.id, Lesson.position)
    )
    found = [
        Wanted(
            course.title,
            course.slug,
            lesson.key,
            lesson.title,
            lesson.needs_check is Need.TOUCH,
            revision.reviewed_by,
            revision.reviewed_on,
            revision.review_due,
            standing_of(revision, today),
        )
        for course, lesson, revision in rows
    ]
    return sorted(found, key=lambda row: (list(Standing).index(row.standing), not row.teaches_touch, row.review_due or date.min))


def standing_of(revision: Revision, today: date) -> Standing:
    """How the review of a revision that is wanted stands."""
    if revision.reviewed_by is None:
        return Standing.NEVER
    return Standing.OVERDUE if revision.review_due is not None and revision.review_due < today else Standing.SOON


def note_review(subject: Subject, look: Look, review: Review, now: datetime, by_user_id: int) -> Revision:
    """Note that the present text was reviewed: a further revision of the same text, so that the history tells it. The caller commits."""
    draft = replace(look.draft, reviewed_by=review.by, reviewer_role=review.role, reviewed_on=review.on, review_due=review.due)
    return save(subject, replace(look, draft=draft), now, by_user_id, Origin.REVIEW)
