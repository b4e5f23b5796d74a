"""Invented learners in large numbers, written in batches, for trying pages and measuring growth."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.catalog.models import Course, Lesson, Need
from courseapp.columns import random_public_id
from courseapp.extensions import db
from courseapp.learning.models import Completion, Enrolment

BATCH = 5_000


def make_learners(count: int, now: datetime, seed: int = 1) -> Iterator[int]:
    """Insert `count` guests enrolled in the first published course, each some lessons far; yields per batch, caller commits."""
    course_id = db.session.scalars(sa.select(Course.id).where(Course.published_at.is_not(None)).order_by(Course.id)).first()
    if course_id is None:
        raise LookupError("there is no published course to enrol learners in")
    lessons = db.session.scalars(
        sa.select(Lesson.id).where(Lesson.course_id == course_id, Lesson.needs_check == Need.NONE).order_by(Lesson.position)
    ).all()
    dice = random.Random(seed)  # noqa: S311  # invented data, the same each time
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        ids = db.session.scalars(
            sa.insert(User).returning(User.id), [{"public_id": random_public_id(), "created_at": now} for _ in range(size)]
        ).all()
        began = [now - timedelta(days=dice.randint(0, 300)) for _ in ids]
        enrolments = [{"user_id": user_id, "course_id": course_id, "started_at": at} for user_id, at in zip(ids, began, strict=True)]
        db.session.execute(sa.insert(Enrolment), enrolments)
        done = [
            {"user_id": user_id, "lesson_id": lesson, "completed_at": at}
            for user_id, at in zip(ids, began, strict=True)
            for lesson in lessons[: dice.randint(0, len(lessons))]
        ]
        if done:
            db.session.execute(sa.insert(Completion), done)
        yield size
