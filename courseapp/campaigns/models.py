"""Sequences, versions, steps, runs; segments."""

import enum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from courseapp.catalog.models import Course
from courseapp.columns import BigId, Json, Moment, PrimaryKey, PublicId, enum_of
from courseapp.contacts.models import Contact, Purpose
from courseapp.extensions import Model
from courseapp.mailing.models import Letter


class LatePolicy(enum.StrEnum):
    """What becomes of a step that could not go when it was due: send it, skip it, or shift all that follow."""

    SEND = "send"
    SKIP = "skip"
    SHIFT = "shift"


class RunEnd(enum.StrEnum):
    """Why a run ended."""

    FINISHED = "finished"
    GOAL = "goal"
    UNSUBSCRIBED = "unsubscribed"
    ERASED = "erased"


class Sequence(Model):
    """A drip sequence: started by one journal event, ended early by another (its goal)."""

    __tablename__ = "sequences"

    id: Mapped[PrimaryKey]
    key: Mapped[str] = mapped_column(sa.String(60), unique=True)
    title: Mapped[str] = mapped_column(sa.String(200))
    purpose: Mapped[Purpose] = mapped_column(enum_of(Purpose))
    trigger: Mapped[str] = mapped_column(sa.String(40))
    goal: Mapped[str | None] = mapped_column(sa.String(40))
    created_at: Mapped[Moment]
    paused_at: Mapped[Moment | None]


class SequenceVersion(Model):
    """One published state of a sequence; runs are pinned to the version they began with."""

    __tablename__ = "sequence_versions"
    __table_args__ = (sa.UniqueConstraint("sequence_id", "number"),)

    id: Mapped[PrimaryKey]
    sequence_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("sequences.id", ondelete="CASCADE"))
    number: Mapped[int]
    content_hash: Mapped[str] = mapped_column(sa.String(64))
    minimum_gap_hours: Mapped[int]
    late: Mapped[LatePolicy] = mapped_column(enum_of(LatePolicy))
    published_at: Mapped[Moment]

    sequence: Mapped[Sequence] = relationship()


class SequenceStep(Model):
    """One mail of a version, due so many days after the run began."""

    __tablename__ = "sequence_steps"
    __table_args__ = (sa.UniqueConstraint("version_id", "position"),)

    id: Mapped[PrimaryKey]
    version_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("sequence_versions.id", ondelete="CASCADE"))
    position: Mapped[int]
    delay_days: Mapped[int]
    letter_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("letters.id"), index=True)

    letter: Mapped[Letter] = relationship()


class SequenceRun(Model):
    """One person's way through one version. `next_run_at` is when the step at `position` is due; None once ended."""

    __tablename__ = "sequence_runs"
    __table_args__ = (
        sa.UniqueConstraint("sequence_id", "contact_id", "course_id"),
        sa.Index(
            "ix_sequence_runs_due",
            "next_run_at",
            postgresql_where=sa.text("next_run_at IS NOT NULL"),
            sqlite_where=sa.text("next_run_at IS NOT NULL"),
        ),
    )

    id: Mapped[PrimaryKey]
    sequence_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("sequences.id", ondelete="CASCADE"))
    version_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("sequence_versions.id", ondelete="CASCADE"), index=True)
    contact_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("contacts.id", ondelete="CASCADE"), index=True)
    course_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[Moment]
    last_step_at: Mapped[Moment | None]
    next_run_at: Mapped[Moment | None]
    ended_at: Mapped[Moment | None]
    end: Mapped[RunEnd | None] = mapped_column(enum_of(RunEnd))

    version: Mapped[SequenceVersion] = relationship()
    contact: Mapped[Contact] = relationship()
    course: Mapped[Course] = relationship()


class Segment(Model):
    """People chosen by what is true of them, always as of now. What a `tree` is stands in `segments.py`."""

    __tablename__ = "segments"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    name: Mapped[str] = mapped_column(sa.String(120))
    tree: Mapped[Json]
    created_at: Mapped[Moment]
    changed_at: Mapped[Moment]
    by_user_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="SET NULL"))
    archived_at: Mapped[Moment | None]
