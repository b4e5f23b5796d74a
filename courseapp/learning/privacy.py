"""What learning holds about a person."""

from typing import Any

import sqlalchemy as sa

from courseapp.catalog.models import Asset, Course, Lesson
from courseapp.extensions import db
from courseapp.learning.models import Completion, Enrolment, MediaPosition, SafetyOutcome


def export(user_id: int) -> dict[str, Any]:
    """Courses and where one left off, completions, where films were stopped, and the last outcome of the safety check."""
    enrolments = db.session.execute(
        sa.select(Course.title, Enrolment.started_at, Enrolment.finished_at, Lesson.title.label("left_off_in"), Enrolment.last_opened_at)
        .join(Course, Course.id == Enrolment.course_id)
        .outerjoin(Lesson, Lesson.id == Enrolment.last_lesson_id)
        .where(Enrolment.user_id == user_id)
    )
    completions = db.session.execute(
        sa.select(Lesson.title, Completion.completed_at)
        .join(Lesson, Lesson.id == Completion.lesson_id)
        .where(Completion.user_id == user_id)
        .order_by(Completion.completed_at)
    )
    positions = db.session.execute(
        sa.select(Course.title, Asset.path, MediaPosition.seconds, MediaPosition.at)
        .join(Asset, Asset.id == MediaPosition.asset_id)
        .join(Course, Course.id == Asset.course_id)
        .where(MediaPosition.user_id == user_id)
        .order_by(MediaPosition.at)
    )
    kept = db.session.get(SafetyOutcome, user_id)
    return {
        "courses": [
            {
                "title": row.title,
                "started_at": row.started_at.isoformat(),
                "finished_at": row.finished_at.isoformat() if row.finished_at else None,
                "left_off_in": row.left_off_in,
                "left_off_at": row.last_opened_at.isoformat() if row.last_opened_at else None,
            }
            for row in enrolments
        ],
        "lessons_done": [{"title": title, "at": at.isoformat()} for title, at in completions],
        "media_positions": [
            {"course": title, "file": path, "seconds": seconds, "at": at.isoformat()} for title, path, seconds, at in positions
        ],
        "safety_check": {"outcome": kept.outcome.value, "wording": kept.wording, "at": kept.decided_at.isoformat()} if kept else None,
    }


def erase(user_id: int) -> None:
    """Forget enrolments, completions, positions and the outcome."""
    for model in (SafetyOutcome, MediaPosition, Completion, Enrolment):
        db.session.execute(sa.delete(model).where(model.user_id == user_id))
