"""Courses that the owner marks as sensitive: that somebody takes one is no reason to choose them for a mail."""

from datetime import datetime

import sqlalchemy as sa

from courseapp.catalog.models import Course
from courseapp.extensions import db


def courses_to_choose_by() -> list[Course]:
    """The courses by which people may be chosen, published or not, in the order they were made."""
    return list(db.session.scalars(sa.select(Course).where(Course.sensitive_at.is_(None)).order_by(Course.id)))


def all_courses() -> list[Course]:
    """Every course, marked or not, in the order they were made."""
    return list(db.session.scalars(sa.select(Course).order_by(Course.id)))


def sensitive_courses() -> set[int]:
    """The ids of those that are marked."""
    return set(db.session.scalars(sa.select(Course.id).where(Course.sensitive_at.is_not(None))))


def mark_sensitive(course: Course, wanted: bool, now: datetime) -> bool:
    """Set the mark or take it away; True when something changed."""
    if wanted == (course.sensitive_at is not None):
        return False
    course.sensitive_at = now if wanted else None
    return True
