"""Enrolments, completions, safety outcomes, positions in films."""

import enum
from datetime import date

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from courseapp.accounts.models import User
from courseapp.catalog.models import Course
from courseapp.columns import BigId, Moment, PrimaryKey, enum_of
from courseapp.extensions import Model


class Outcome(enum.StrEnum):
    """What the safety check came to. For the learner's eyes alone."""

    NOW = "now"
    PROFESSIONAL = "professional"
    GENTLY = "gently"
    AHEAD = "ahead"


class Enrolment(Model):
    """That a person takes a course. `finished_at` is sticky: lessons that come later do not undo it."""

    __tablename__ = "enrolments"
    __table_args__ = (sa.UniqueConstraint("user_id", "course_id"), sa.Index("ix_enrolments_course_started", "course_id", "started_at"))

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="CASCADE"))
    course_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"))
    started_at: Mapped[Moment]
    finished_at: Mapped[Moment | None]
    last_lesson_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("lessons.id", ondelete="SET NULL"), index=True)
    last_opened_at: Mapped[Moment | None]

    user: Mapped[User] = relationship()
    course: Mapped[Course] = relationship()


class Completion(Model):
    """That a person has done a lesson. Of technique lessons this is for the learner alone and counts nowhere."""

    __tablename__ = "completions"
    __table_args__ = (
        sa.UniqueConstraint("user_id", "lesson_id"),
        sa.Index("ix_completions_lesson_completed", "lesson_id", "completed_at"),  # who has done a lesson lately
    )

    id: Mapped[PrimaryKey]
    user_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="CASCADE"))
    lesson_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("lessons.id", ondelete="CASCADE"))
    completed_at: Mapped[Moment]


class SafetyOutcome(Model):
    """A person's latest outcome: what, of which wording, when. The answers were thrown away."""

    __tablename__ = "safety_outcomes"

    user_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)
    outcome: Mapped[Outcome] = mapped_column(enum_of(Outcome))
    wording: Mapped[str] = mapped_column(sa.String(20))
    decided_at: Mapped[Moment]


class MediaPosition(Model):
    """Where a person stopped in a film or sound, in whole seconds. For that person alone, whatever lesson it stands in."""

    __tablename__ = "media_positions"

    user_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)
    asset_id: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("assets.id", ondelete="CASCADE"), primary_key=True, autoincrement=False, index=True
    )
    seconds: Mapped[int]
    at: Mapped[Moment]


class Source(Model):
    """A word that staff put into links to a course (`?from=word`), so that starts by such a link are counted."""

    __tablename__ = "sources"
    __table_args__ = (sa.UniqueConstraint("course_id", "word"),)

    id: Mapped[PrimaryKey]
    course_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"))
    word: Mapped[str] = mapped_column(sa.String(30))
    created_at: Mapped[Moment]


class Arrival(Model):
    """How many people started by a source's links on a day (UTC): a total, with nobody behind it."""

    __tablename__ = "arrivals"
    __table_args__ = (sa.UniqueConstraint("source_id", "day"),)

    id: Mapped[PrimaryKey]
    source_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("sources.id", ondelete="CASCADE"))
    day: Mapped[date]
    count: Mapped[int]
