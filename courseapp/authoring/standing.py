"""How courses stand, for staff: content, review, who learns. Nothing here depends on a safety check's outcome."""

from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from courseapp.authoring.models import Import
from courseapp.catalog.models import Asset, Course, Lesson, Revision
from courseapp.extensions import db
from courseapp.learning.enrolment import whole_fives
from courseapp.learning.models import Enrolment


@dataclass(frozen=True)
class CourseStanding:
    """One course in the list."""

    title: str
    slug: str
    state: str
    lessons: int
    unreviewed: int
    learners: int  # in whole fives
    edition: str


@dataclass(frozen=True)
class LessonStanding:
    """One lesson of a course: its review and its revision."""

    number: int
    key: str
    title: str
    minutes: int
    needs_check: str
    reviewed_by: str | None
    reviewed_on: date | None
    review_due: date | None
    overdue: bool
    revision: int
    changed_at: datetime


def course_named(slug: str) -> Course | None:
    """The course of an address, published or not."""
    return db.session.scalar(sa.select(Course).where(Course.slug == slug))


def staff_file(public_id: str) -> Asset | None:
    """A file of any course, for staff."""
    return db.session.scalar(sa.select(Asset).where(Asset.public_id == public_id))


def course_standings() -> list[CourseStanding]:
    """Every course, by title, in one query."""
    current = sa.and_(Lesson.course_id == Course.id, Lesson.retired_at.is_(None))
    lessons = sa.select(sa.func.count()).select_from(Lesson).where(current).correlate(Course).scalar_subquery()
    revision = sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number)
    unreviewed = (
        sa.select(sa.func.count())
        .select_from(Lesson)
        .join(Revision, revision)
        .where(current, Revision.reviewed_by.is_(None))
        .correlate(Course)
        .scalar_subquery()
    )
    learners = sa.select(sa.func.count()).select_from(Enrolment).where(Enrolment.course_id == Course.id).correlate(Course).scalar_subquery()
    rows = db.session.execute(sa.select(Course, lessons, unreviewed, learners).order_by(Course.title))
    return [
        CourseStanding(
            course.title, course.slug, "published" if course.is_published else "draft", count, open_, whole_fives(people), course.edition
        )
        for course, count, open_, people in rows
    ]


def lesson_standings(course: Course, today: date) -> list[LessonStanding]:
    """A course's lessons in order."""
    rows = db.session.execute(
        sa.select(Lesson, Revision)
        .join(Revision, sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number))
        .where(Lesson.course_id == course.id, Lesson.retired_at.is_(None))
        .order_by(Lesson.position)
    ).all()
    return [
        LessonStanding(
            number,
            lesson.key,
            lesson.title,
            lesson.minutes,
            lesson.needs_check.value,
            revision.reviewed_by,
            revision.reviewed_on,
            revision.review_due,
            revision.review_due is not None and revision.review_due < today,
            revision.number,
            revision.created_at,
        )
        for number, (lesson, revision) in enumerate(rows, start=1)
    ]


def recent_imports(course: Course, limit: int = 20) -> list[Import]:
    """The last imports of a course, newest first."""
    return list(db.session.scalars(sa.select(Import).where(Import.course_id == course.id).order_by(Import.id.desc()).limit(limit)))


def learners_of(course: Course) -> int:
    """How many people take the course, as staff may know it."""
    return whole_fives(db.session.scalar(sa.select(sa.func.count()).select_from(Enrolment).where(Enrolment.course_id == course.id)) or 0)
