"""Taking a course."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.billing.entitlements import courses_opened_to
from courseapp.catalog.models import Course, Lesson, Need
from courseapp.extensions import db, insert_later
from courseapp.journal import events
from courseapp.learning.arrivals import count_arrival, source_id_of
from courseapp.learning.models import Completion, Enrolment

FEWEST = 5  # people of whom others may learn a number


class Standing(enum.StrEnum):
    """How far a person is with a course, as coarsely as others may know it."""

    NOT_BEGUN = "not begun"
    BEGUN = "begun"
    FINISHED = "finished"


@dataclass(frozen=True)
class CoarseEnrolment:
    """That somebody takes a course, as others may know it."""

    title: str
    started_at: datetime
    standing: Standing


def enrol(user: User, course_id: int, now: datetime, source: str = "") -> None:
    """Start a course, by a link with the word `source`. Starting it again changes nothing, also when both happen at once."""
    source_id = source_id_of(course_id, source) if source else None  # asked first: what is written goes together after it
    made = insert_later(Enrolment, once=("user_id", "course_id"), user_id=user.id, course_id=course_id, started_at=now)
    events.record("enrolled", f"user:{user.id}", now, given=made, user_id=user.id, course_id=course_id)
    if source_id is not None:
        count_arrival(source_id, made, now)


def whole_fives(people: int) -> int:
    """A number of people as others may know it. Beside it no other number of the same people may stand: see `insights/fives.py`."""
    return people - people % FEWEST


def enrolment_of(user: User, slug: str) -> tuple[Enrolment, Course] | None:
    """A person's enrolment in a published course, or None."""
    row = db.session.execute(
        sa.select(Enrolment, Course)
        .join(Course, Course.id == Enrolment.course_id)
        .where(Enrolment.user_id == user.id, Course.slug == slug, Course.published_at.is_not(None))
    ).one_or_none()
    return (row[0], row[1]) if row is not None else None


def enrolments_of(user: User) -> Sequence[tuple[Enrolment, Course]]:
    """What a person takes, the latest first."""
    rows = db.session.execute(
        sa.select(Enrolment, Course)
        .join(Course, Course.id == Enrolment.course_id)
        .where(Enrolment.user_id == user.id, Course.published_at.is_not(None))
        .order_by(Enrolment.started_at.desc())
    )
    return [(enrolment, course) for enrolment, course in rows]


def waiting_for(user: User, now: datetime) -> list[Course]:
    """The published courses that something of theirs opens and that they have not begun."""
    taken = set(db.session.scalars(sa.select(Enrolment.course_id).where(Enrolment.user_id == user.id)))
    return [course for course in courses_opened_to(user.id, now) if course.id not in taken]


def coarse_enrolments_of(user: User) -> list[CoarseEnrolment]:
    """What a person takes and how far they are, for staff, the latest first. Lessons that need the safety check leave no trace in it."""
    standing = sa.case((is_standing(Standing.FINISHED), Standing.FINISHED), (has_begun(), Standing.BEGUN), else_=Standing.NOT_BEGUN)
    rows = db.session.execute(
        sa.select(Course.title, Enrolment.started_at, standing)
        .join(Course, Course.id == Enrolment.course_id)
        .where(Enrolment.user_id == user.id)
        .order_by(Enrolment.started_at.desc(), Enrolment.id.desc())
    )
    return [CoarseEnrolment(title, started_at, Standing(standing)) for title, started_at, standing in rows]


def is_standing(standing: Standing) -> sa.ColumnElement[bool]:
    """SQL, about an `Enrolment` of the statement around it: this is how far the person is, as coarsely as others may know it."""
    if standing is Standing.FINISHED:
        return Enrolment.finished_at.is_not(None)
    return sa.and_(Enrolment.finished_at.is_(None), has_begun() if standing is Standing.BEGUN else ~has_begun())


def has_begun() -> sa.Exists:
    """SQL, about an `Enrolment` of the statement around it: a lesson is done, whichever; those that need the safety check do not count."""
    done = (
        sa.select(Completion.id)
        .join(Lesson, Lesson.id == Completion.lesson_id)
        .where(Completion.user_id == Enrolment.user_id, Lesson.course_id == Enrolment.course_id, Lesson.needs_check == Need.NONE)
    )
    return done.correlate(Enrolment).exists()
