"""Imports: what was brought in. Uploads: what is on its way there; parts: files on their way into an upload. Prepared files: what was
made of them. Publications: what learners are to see from a moment on. Drafts: what is being written.
"""

import enum
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from courseapp.accounts.models import User
from courseapp.catalog.models import Course, Lesson, Need
from courseapp.columns import BigId, Moment, PrimaryKey, PublicId, enum_of
from courseapp.extensions import Model


class Import(Model):
    """One committed import of a course folder."""

    __tablename__ = "imports"

    id: Mapped[PrimaryKey]
    course_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"), index=True)
    by_user_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="SET NULL"))
    source: Mapped[str] = mapped_column(sa.String(200))
    changes: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    warnings: Mapped[int]
    at: Mapped[Moment]
    # how the course stood before, for undoing; None for imports from before this was kept
    before: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON, deferred=True)
    undone_at: Mapped[Moment | None]


class PreparedFile(Model):
    """A file made of an uploaded one, known again by the content it was made of and the recipe; one row for each piece of it.

    `taken_at` is when it became part of a course, from when on it stays; `used_at` when it was last made or looked up.
    """

    __tablename__ = "prepared_files"
    __table_args__ = (sa.UniqueConstraint("source_digest", "recipe", "part"),)

    id: Mapped[PrimaryKey]
    source_digest: Mapped[str] = mapped_column(sa.String(64))
    recipe: Mapped[str] = mapped_column(sa.String(40))
    part: Mapped[str] = mapped_column(sa.String(40))
    digest: Mapped[str] = mapped_column(sa.String(64), index=True)
    media_type: Mapped[str] = mapped_column(sa.String(80))
    size: Mapped[int] = mapped_column(BigId)
    width: Mapped[int | None]
    height: Mapped[int | None]
    used_at: Mapped[Moment]
    taken_at: Mapped[Moment | None]


UPLOADS = "uploads"  # of the storage, where each upload has a folder of its own


class UploadState(enum.StrEnum):
    """Where an upload stands.

    waiting → refused | ready           looked through by the worker
    ready → accepted → committed        brought in by the worker
    accepted → ready | waiting          could not be brought in; the course had changed, so it is looked through again
    ready → waiting                     looked through again
    waiting, ready, accepted → cancelled; waiting → failed
    """

    WAITING = "waiting"
    REFUSED = "refused"
    READY = "ready"
    ACCEPTED = "accepted"
    COMMITTED = "committed"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Problem(enum.StrEnum):
    """Why something was not brought in or published when it was to be."""

    CHANGED = "changed"  # the course had changed since it was looked through
    REFUSED = "refused"  # the report says why
    BROKE = "broke"  # the server could not
    MISSED = "missed"  # the server was away for so long that somebody should decide anew


class Upload(Model):
    """Files an instructor has sent, until they are a course or are gone. The files are kept under `folder`.

    `course_slug` and `course_version` say what its difference was held against; the version is None where there was no such
    course. `problem` is why it could not be brought in the last time it was to be.
    """

    __tablename__ = "uploads"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    by_user_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="SET NULL"), index=True)
    files: Mapped[list[str]] = mapped_column(sa.JSON)  # names as they were sent, in the order of their storage keys
    size: Mapped[int] = mapped_column(BigId)
    state: Mapped[UploadState] = mapped_column(enum_of(UploadState), index=True)
    publish: Mapped[bool] = mapped_column(default=False)
    without_review: Mapped[bool] = mapped_column(default=False)
    stage: Mapped[str | None] = mapped_column(sa.String(20))
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    leased_until: Mapped[Moment | None]
    attempts: Mapped[int] = mapped_column(default=0)
    report: Mapped[list[dict[str, Any]]] = mapped_column(sa.JSON, default=list)
    difference: Mapped[dict[str, Any]] = mapped_column(sa.JSON, default=dict)
    course_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="SET NULL"), index=True)
    # where it goes: nowhere, for a whole course; or into a course, as one of its modules (by key) or a new one
    into_course_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"), index=True)
    into_module: Mapped[str | None] = mapped_column(sa.String(60))
    module_title: Mapped[str | None] = mapped_column(sa.String(200))  # of a new one
    needs_check: Mapped[Need | None] = mapped_column(enum_of(Need))  # of lessons that do not say it themselves
    course_slug: Mapped[str | None] = mapped_column(sa.String(60))
    course_version: Mapped[int | None]
    decided_by_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="SET NULL"), index=True)
    problem: Mapped[str | None] = mapped_column(sa.String(20))
    created_at: Mapped[Moment]
    finished_at: Mapped[Moment | None]

    by: Mapped[User | None] = relationship(foreign_keys=[by_user_id])
    course: Mapped[Course | None] = relationship(foreign_keys=[course_id])
    into_course: Mapped[Course | None] = relationship(foreign_keys=[into_course_id])

    @property
    def is_working(self) -> bool:
        """Whether the worker has something to do with it."""
        return self.state in {UploadState.WAITING, UploadState.ACCEPTED}

    @property
    def into(self) -> str | None:
        """Where it goes, as the form says it; None for a whole course."""
        return f"{self.into_course.slug}/{self.into_module or ''}" if self.into_course is not None else None

    @property
    def named_files(self) -> str:
        """Its files on one line, as the record of imports calls it."""
        return ", ".join(self.files)[:200]

    def is_late(self, now: datetime) -> bool:
        """Whether it has waited so long that the worker may not be running."""
        return self.is_working and self.leased_until is None and now - self.created_at > timedelta(minutes=2)

    @property
    def folder(self) -> str:
        """Where `storage` keeps all that belongs to it."""
        return f"{UPLOADS}/{self.public_id}"

    def storage_key(self, index: int) -> str:
        """Where `storage` keeps its file of that index."""
        return f"{self.folder}/{index}"


class UploadPart(Model):
    """A file that arrives piece by piece, from whoever began it, until it is one of an upload's.

    How much of it has come is not written here: see `parts.py`. `upload_id` once it was taken into an upload; the row then stays
    until it expires, so that the same form a second time finds what was made of it.
    """

    __tablename__ = "upload_parts"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    user_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    told: Mapped[str] = mapped_column(sa.String(2000))  # what it was begun with (Upload-Metadata), as it was written
    size: Mapped[int] = mapped_column(BigId)  # bytes it will have
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment] = mapped_column(index=True)
    upload_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("uploads.id", ondelete="CASCADE"), index=True)


class KeptDraft(Model):
    """What somebody has typed into a lesson's editor and not saved, one row for each opening of the page.

    `seq` counts up with each time that page sends, so that a late answer never puts an older text over a newer one.
    `base_number` and `base_stamp` say which state of the lesson the writing began from.
    """

    __tablename__ = "lesson_drafts"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    lesson_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("lessons.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), index=True)
    seq: Mapped[int] = mapped_column(BigId)
    typed: Mapped[dict[str, str]] = mapped_column(sa.JSON)
    base_number: Mapped[int]
    base_stamp: Mapped[str] = mapped_column(sa.String(16))
    at: Mapped[Moment]

    lesson: Mapped[Lesson] = relationship()


_is_open = sa.text("ended_at IS NULL")


class Publication(Model):
    """That an upload, or a course that is a draft, is for learners to see from a moment on: the row the worker finds due.

    `ended_at` once it was seen to: done, called off, or not possible (`problem`). Of each thing at most one is open.
    """

    __tablename__ = "publications"
    __table_args__ = (
        sa.CheckConstraint("(upload_id IS NULL) <> (course_id IS NULL)", name="one_thing"),
        sa.Index("ix_publications_due", "at", postgresql_where=_is_open, sqlite_where=_is_open),
        sa.Index("ix_publications_upload_open", "upload_id", unique=True, postgresql_where=_is_open, sqlite_where=_is_open),
        sa.Index("ix_publications_course_open", "course_id", unique=True, postgresql_where=_is_open, sqlite_where=_is_open),
    )

    id: Mapped[PrimaryKey]
    upload_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("uploads.id", ondelete="CASCADE"), index=True)
    course_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"), index=True)
    at: Mapped[Moment]
    without_review: Mapped[bool] = mapped_column(default=False)
    by_user_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="SET NULL"), index=True)
    planned_at: Mapped[Moment]
    ended_at: Mapped[Moment | None]
    problem: Mapped[str | None] = mapped_column(sa.String(20))
