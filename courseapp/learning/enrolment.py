"""Taking a course."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.catalog.models import Course
from courseapp.extensions import db, insert_once
from courseapp.journal import events
from courseapp.learning.models import Enrolment


def enrol(user: User, course_id: int, now: datetime) -> bool:
    """Start a course; True when this began it. Starting it again changes nothing, also when both happen at once."""
    made = insert_once(Enrolment, ("user_id", "course_id"), user_id=user.id, course_id=course_id, started_at=now)
    if made is None:
        return False
    events.record("enrolled", f"user:{user.id}", now, user_id=user.id, course_id=course_id)
    return True


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
