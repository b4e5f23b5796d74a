"""Courses, modules, lessons, revisions, assets, printed copies."""

import enum
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from courseapp.columns import BigId, Moment, PrimaryKey, PublicId, enum_of
from courseapp.extensions import Model


class Need(enum.StrEnum):
    """Which outcome of the safety check a lesson depends on: none, or one that allows gentle movement or touch."""

    NONE = "none"
    GENTLE = "gentle"
    TOUCH = "touch"


class Rule(enum.StrEnum):
    """When a lesson counts as done: when the learner says so, or when it is opened."""

    MARK = "mark"
    OPEN = "open"


class Origin(enum.StrEnum):
    """How a revision came about: brought in, written in the page, put back from an earlier one, or a review noted on the same text."""

    IMPORT = "import"
    EDIT = "edit"
    RESTORE = "restore"
    REVIEW = "review"


class Course(Model):
    """A course. `edition` is for people; `content_hash` says whether an import changes anything.

    What only the public page shows is read when it is asked for.
    """

    __tablename__ = "courses"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    slug: Mapped[str] = mapped_column(sa.String(60), unique=True)
    title: Mapped[str] = mapped_column(sa.String(200))
    language: Mapped[str] = mapped_column(sa.String(16))
    edition: Mapped[str] = mapped_column(sa.String(20))
    summary: Mapped[str] = mapped_column(sa.Text)
    headline: Mapped[str] = mapped_column(sa.String(120))
    article_source: Mapped[str] = mapped_column(sa.Text, deferred=True, deferred_group="landing")
    article_html: Mapped[str] = mapped_column(sa.Text, deferred=True, deferred_group="landing")
    front: Mapped[dict[str, Any]] = mapped_column(sa.JSON, deferred=True, deferred_group="landing")
    content_hash: Mapped[str] = mapped_column(sa.String(64))
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[Moment]
    changed_at: Mapped[Moment]
    published_at: Mapped[Moment | None]
    reordered_at: Mapped[Moment | None]  # since the last import, in the page
    sensitive_at: Mapped[Moment | None]  # the owner wants nobody chosen by it: see sensitivity.py
    paid_at: Mapped[Moment | None]  # not for everybody: open only to whom billing says it is

    @property
    def is_published(self) -> bool:
        """Whether learners may find it."""
        return self.published_at is not None


class Module(Model):
    """A part of a course; `key` stays through re-imports."""

    __tablename__ = "modules"
    __table_args__ = (sa.UniqueConstraint("course_id", "key"),)

    id: Mapped[PrimaryKey]
    course_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(sa.String(60))
    position: Mapped[int]
    title: Mapped[str] = mapped_column(sa.String(200))
    summary: Mapped[str] = mapped_column(sa.Text)
    retired_at: Mapped[Moment | None]


class Lesson(Model):
    """A lesson; `key` is its stable id through re-imports, so that progress survives. What it says is its revision."""

    __tablename__ = "lessons"
    __table_args__ = (sa.UniqueConstraint("course_id", "key"), sa.Index("ix_lessons_outline", "course_id", "position"))

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    course_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"))
    module_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("modules.id", ondelete="CASCADE"), index=True)
    key: Mapped[str] = mapped_column(sa.String(60))
    position: Mapped[int]
    title: Mapped[str] = mapped_column(sa.String(200))
    minutes: Mapped[int]
    shows: Mapped[str] = mapped_column(sa.Text)
    needs_check: Mapped[Need] = mapped_column(enum_of(Need))
    rule: Mapped[Rule] = mapped_column(enum_of(Rule))
    revision_number: Mapped[int] = mapped_column(default=0)  # no foreign key: lessons and revisions would point at each other
    published_at: Mapped[Moment | None]
    retired_at: Mapped[Moment | None]

    module: Mapped[Module] = relationship()
    revision: Mapped["Revision | None"] = relationship(
        primaryjoin="and_(foreign(Revision.lesson_id) == Lesson.id, Revision.number == Lesson.revision_number)",
        viewonly=True,
        uselist=False,
    )


class Revision(Model):
    """One immutable state of a lesson's text, rendered and sanitised when it was imported.

    `html` is for those told to go ahead; `adapted_html` for those told to go gently, None where they are the same.
    """

    __tablename__ = "revisions"
    __table_args__ = (sa.UniqueConstraint("lesson_id", "number"),)

    id: Mapped[PrimaryKey]
    lesson_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("lessons.id", ondelete="CASCADE"))
    number: Mapped[int]
    source: Mapped[str] = mapped_column(sa.Text)
    folder: Mapped[str] = mapped_column(sa.String(200))  # where the source's relative paths begin
    html: Mapped[str] = mapped_column(sa.Text)
    adapted_html: Mapped[str | None] = mapped_column(sa.Text)
    stop_html: Mapped[str] = mapped_column(sa.Text)
    content_hash: Mapped[str] = mapped_column(sa.String(64))
    sources: Mapped[list[str]] = mapped_column(sa.JSON)
    reviewed_by: Mapped[str | None] = mapped_column(sa.String(200))
    reviewer_role: Mapped[str | None] = mapped_column(sa.String(200))
    reviewed_on: Mapped[date | None]
    review_due: Mapped[date | None]
    origin: Mapped[Origin] = mapped_column(enum_of(Origin), default=Origin.IMPORT, server_default=Origin.IMPORT.value)
    by_user_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="SET NULL"))
    # the lesson's title, minutes and so on as this revision left them; None for revisions from before this was kept
    facts: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    created_at: Mapped[Moment]


class Asset(Model):
    """A file beside the lessons, kept by its content; its address stays when its content changes.

    What is served may differ from what was sent: `digest` is of the one, `source_digest` of the other. Smaller forms of a picture
    and the still of a film are rows of their own, with the path of their file in `part_of` and the same `need`.
    `need` is the least that any lesson showing it needs: a file opens where one of its lessons does, and nowhere where none shows it.
    """

    __tablename__ = "assets"
    __table_args__ = (sa.UniqueConstraint("course_id", "path"),)

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    course_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"))
    path: Mapped[str] = mapped_column(sa.String(300))
    part_of: Mapped[str | None] = mapped_column(sa.String(300))
    source_digest: Mapped[str] = mapped_column(sa.String(64))
    digest: Mapped[str] = mapped_column(sa.String(64))
    media_type: Mapped[str] = mapped_column(sa.String(80))
    size: Mapped[int] = mapped_column(BigId)
    width: Mapped[int | None]
    height: Mapped[int | None]
    need: Mapped[Need] = mapped_column(enum_of(Need), default=Need.NONE)
    is_public: Mapped[bool] = mapped_column(default=False)
    is_shown: Mapped[bool] = mapped_column(default=False)

    @property
    def storage_key(self) -> str:
        """Where `storage` keeps it."""
        return f"assets/{self.digest[:2]}/{self.digest}"


class CopyKind(enum.StrEnum):
    """Which printed copy: lessons that need no check, or with the technique lessons as one outcome shows them."""

    OPEN = "open"
    GENTLE = "gentle"
    FULL = "full"


class Copy(Model):
    """A printed copy of one version of a course, built by the worker; `built_at` once its file is kept."""

    __tablename__ = "copies"
    __table_args__ = (sa.UniqueConstraint("course_id", "version", "kind"),)

    id: Mapped[PrimaryKey]
    course_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"))
    version: Mapped[int]
    kind: Mapped[CopyKind] = mapped_column(enum_of(CopyKind))
    digest: Mapped[str | None] = mapped_column(sa.String(64))
    size: Mapped[int | None]
    asked_at: Mapped[Moment]
    built_at: Mapped[Moment | None]
    problem: Mapped[str | None] = mapped_column(sa.String(300))

    @property
    def storage_key(self) -> str:
        """Where `storage` keeps it."""
        return f"copies/{self.digest}.pdf"
