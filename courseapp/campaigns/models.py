"""Sequences, versions, steps, runs; segments; broadcasts, what they try out, and who they are for."""

import enum
from datetime import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from courseapp.catalog.models import Course
from courseapp.columns import BigId, Json, Moment, Numbers, PrimaryKey, PublicId, enum_of
from courseapp.contacts.models import Contact, Purpose
from courseapp.extensions import Model
from courseapp.mailing.models import Letter, Stream


class Trigger(enum.StrEnum):
    """What begins a run."""

    ENROLLED = "enrolled"
    LESSON_COMPLETED = "lesson_completed"  # one that needs no safety check
    COURSE_COMPLETED = "course_completed"
    QUIET = "quiet"  # so many days without activity, in a course begun and not finished
    MODULE_OPENED = "module_opened"  # a module of one's course gets its first lesson
    TIER_BOUGHT = "tier_bought"
    PAYMENT_FAILED = "payment_failed"  # of a subscription


class Goal(enum.StrEnum):
    """What ends a run early, because it is what the letters were for: a type of journal event."""

    COURSE_COMPLETED = "course_completed"
    TIER_BOUGHT = "tier_bought"


class Condition(enum.StrEnum):
    """How far somebody must be with the course for a step to be sent; else it is skipped, and the run goes on."""

    NOT_BEGUN = "not_begun"
    BEGUN = "begun"  # and not finished
    NOT_FINISHED = "not_finished"
    FINISHED = "finished"


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
    ACTIVE = "active"  # they came back
    STOPPED = "stopped"  # staff stopped it


class Sequence(Model):
    """A drip sequence. What people get is its versions; `draft` is what staff are writing, NULL while that is the current version.

    `draft_version` is raised with each change, so that nobody undoes what they have not seen.
    """

    __tablename__ = "sequences"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    key: Mapped[str] = mapped_column(sa.String(60), unique=True)
    title: Mapped[str] = mapped_column(sa.String(200))
    purpose: Mapped[Purpose] = mapped_column(enum_of(Purpose))
    draft: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON(none_as_null=True))
    draft_version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[Moment]
    changed_at: Mapped[Moment]
    by_user_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="SET NULL"), index=True)
    paused_at: Mapped[Moment | None]
    archived_at: Mapped[Moment | None]


class SequenceVersion(Model):
    """One published state of a sequence, immutable; runs are pinned to the version they began with.

    `trigger_days` belongs to QUIET alone, `lesson_id` to LESSON_COMPLETED; without `course_id` it is about any course, without `tier_id`
    (of TIER_BOUGHT, PAYMENT_FAILED) about any tier; `goal_tier_id` is the one that ends it when it is bought.
    """

    __tablename__ = "sequence_versions"
    __table_args__ = (sa.UniqueConstraint("sequence_id", "number"),)

    id: Mapped[PrimaryKey]
    sequence_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("sequences.id", ondelete="CASCADE"))
    number: Mapped[int]
    content_hash: Mapped[str] = mapped_column(sa.String(64))
    language: Mapped[str] = mapped_column(sa.String(16))
    trigger: Mapped[Trigger] = mapped_column(enum_of(Trigger))
    trigger_days: Mapped[int | None]
    course_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"), index=True)
    lesson_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("lessons.id", ondelete="SET NULL"), index=True)
    tier_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("tiers.id", ondelete="CASCADE"), index=True)
    goal: Mapped[Goal | None] = mapped_column(enum_of(Goal))
    goal_tier_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("tiers.id", ondelete="CASCADE"), index=True)
    window_start: Mapped[time]
    window_end: Mapped[time]
    weekdays: Mapped[str] = mapped_column(sa.String(7))  # digits, 1 is Monday
    minimum_gap_hours: Mapped[int]
    late: Mapped[LatePolicy] = mapped_column(enum_of(LatePolicy))
    published_at: Mapped[Moment]
    by_user_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="SET NULL"), index=True)

    sequence: Mapped[Sequence] = relationship()
    steps: Mapped[list["SequenceStep"]] = relationship(order_by="SequenceStep.position", viewonly=True)


class SequenceStep(Model):
    """One mail of a version, due so many days after the run began, for those of whom its condition is true."""

    __tablename__ = "sequence_steps"
    __table_args__ = (sa.UniqueConstraint("version_id", "position"),)

    id: Mapped[PrimaryKey]
    version_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("sequence_versions.id", ondelete="CASCADE"))
    position: Mapped[int]
    delay_days: Mapped[int]
    condition: Mapped[Condition | None] = mapped_column(enum_of(Condition))
    letter_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("letters.id"), index=True)

    letter: Mapped[Letter] = relationship()


IS_DUE, IS_OPEN = sa.text("next_run_at IS NOT NULL"), sa.text("ended_at IS NULL")


class SequenceRun(Model):
    """One person's way through one version. `next_run_at` is when the step at `position` is due; None once ended.

    `occasion` is empty where it happens once ever in a course; else it says of what it is one: the day of the last activity before
    a quiet spell, the module that opened, the tier that was bought, the tier and the day of a payment that failed.
    """

    __tablename__ = "sequence_runs"
    __table_args__ = (
        sa.UniqueConstraint("sequence_id", "contact_id", "course_id", "occasion"),
        sa.Index("ix_sequence_runs_due", "sequence_id", "next_run_at", "id", postgresql_where=IS_DUE, sqlite_where=IS_DUE),
        sa.Index("ix_sequence_runs_open", "version_id", "position", postgresql_where=IS_OPEN, sqlite_where=IS_OPEN),
        {"sqlite_autoincrement": True},  # its number is in the key of each of its mails, which stay when a run is forgotten
    )

    id: Mapped[PrimaryKey]
    sequence_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("sequences.id", ondelete="CASCADE"))
    version_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("sequence_versions.id", ondelete="CASCADE"), index=True)
    contact_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("contacts.id", ondelete="CASCADE"), index=True)
    course_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"))
    occasion: Mapped[str] = mapped_column(sa.String(40), default="")
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


class BroadcastState(enum.StrEnum):
    """Where a broadcast stands; whether it is paused says its stream.

    DRAFT → SCHEDULED → EXPANDING → SENDING → FINISHED
    EXPANDING → TRYING → EXPANDING where two letters are tried out and the rest waits for the better one
    SCHEDULED → DRAFT | CANCELLED, EXPANDING | TRYING | SENDING → CANCELLED
    FINISHED → SENDING where those who failed get another try
    """

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    EXPANDING = "expanding"  # who it is for is frozen, and their mails are being put into the outbox
    TRYING = "trying"
    SENDING = "sending"
    FINISHED = "finished"
    CANCELLED = "cancelled"


ARE_OPEN = "state IN ('scheduled', 'expanding', 'trying', 'sending')"


class Broadcast(Model):
    """One mail to many. Its stream is its own, so that it can be paused as one; what becomes of its mails is counted there.

    `candidates` are all it is for, frozen at `snapshot_at`; whose mail is not in the outbox yet stands in its pages.
    """

    __tablename__ = "broadcasts"
    __table_args__ = (sa.Index("ix_broadcasts_open", "state", postgresql_where=sa.text(ARE_OPEN), sqlite_where=sa.text(ARE_OPEN)),)

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    title: Mapped[str] = mapped_column(sa.String(120))
    purpose: Mapped[Purpose] = mapped_column(enum_of(Purpose))
    segment_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("segments.id", ondelete="SET NULL"), index=True)
    tree: Mapped[Json]
    language: Mapped[str] = mapped_column(sa.String(16))
    subject: Mapped[str] = mapped_column(sa.String(200), default="")
    preheader: Mapped[str] = mapped_column(sa.String(200), default="")
    body: Mapped[str] = mapped_column(sa.Text, default="")
    translations: Mapped[list[dict[str, str]]] = mapped_column(sa.JSON, default=list)
    window_start: Mapped[time]
    window_end: Mapped[time]
    send_at: Mapped[Moment | None]
    state: Mapped[BroadcastState] = mapped_column(enum_of(BroadcastState), default=BroadcastState.DRAFT)
    version: Mapped[int] = mapped_column(default=1)
    stream_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("streams.id"), unique=True)
    letter_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("letters.id"), index=True)
    snapshot_at: Mapped[Moment | None]
    candidates: Mapped[int] = mapped_column(default=0)
    by_user_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[Moment]
    changed_at: Mapped[Moment]
    finished_at: Mapped[Moment | None]

    stream: Mapped[Stream | None] = relationship()


class Arm(enum.StrEnum):
    """Which part of those a broadcast is for somebody falls into, by lot; where nothing is tried out all are in FIRST."""

    FIRST = "first"
    SECOND = "second"
    HELD = "held"  # get none, so that one sees what people do without
    REST = "rest"  # get the better one, once it is known


class Measure(enum.StrEnum):
    """By what the better of two letters is told: people who did something in a course, who finished one, or clicks where they count."""

    DID = "did"
    FINISHED = "finished"
    CLICKS = "clicks"


class Experiment(Model):
    """What a broadcast tries out: two letters, a part of its people held out, or both. Of the second is empty what is as in the first."""

    __tablename__ = "experiments"

    broadcast_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("broadcasts.id", ondelete="CASCADE"), primary_key=True)
    has_second: Mapped[bool]
    subject: Mapped[str] = mapped_column(sa.String(200), default="")
    preheader: Mapped[str] = mapped_column(sa.String(200), default="")
    body: Mapped[str] = mapped_column(sa.Text, default="")
    translations: Mapped[list[dict[str, str]]] = mapped_column(sa.JSON, default=list)
    tried_percent: Mapped[int] = mapped_column(sa.SmallInteger)  # of those who are not held out; 100: half of them get either letter
    held_percent: Mapped[int] = mapped_column(sa.SmallInteger)
    measure: Mapped[Measure] = mapped_column(enum_of(Measure))
    within_days: Mapped[int] = mapped_column(sa.SmallInteger)
    letter_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("letters.id"), index=True)
    rest_letter_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("letters.id"), index=True)
    since: Mapped[Moment | None]  # when the trial's first mail has left; known, like the next, when its last has
    judge_at: Mapped[Moment | None]
    is_by_hand: Mapped[bool] = mapped_column(default=False)  # came from a backup: the old installation may have sent the rest
    better: Mapped[Arm | None] = mapped_column(enum_of(Arm))
    counts: Mapped[Json]  # by arm: how many people, how many of whom, or clicks; empty where somebody chose


class BroadcastPage(Model):
    """Some of those a broadcast is for, frozen when it began; gone with the transaction that puts their mails into the outbox.

    A row for each person would cost two look-ups of what it points at, and stay, saying what the outbox says already.
    """

    __tablename__ = "broadcast_pages"

    broadcast_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("broadcasts.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    arm: Mapped[Arm] = mapped_column(enum_of(Arm), default=Arm.FIRST)
    contact_ids: Mapped[list[int]] = mapped_column(Numbers)
    people: Mapped[int]


class ImportState(enum.StrEnum):
    """Where a file of contacts stands.

    SENT → CHECKING → READY → RUNNING → FINISHED     columns named, looked through, brought in
    READY → CHECKING                                 other columns
    SENT, CHECKING, READY, RUNNING → CANCELLED       what was brought in by then stays
    CHECKING, RUNNING → FAILED
    """

    SENT = "sent"
    CHECKING = "checking"
    READY = "ready"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


class ContactImport(Model):
    """A file of contacts on its way in. `cursor` is how many of its rows are done, written with what was done of them.

    `columns` says which field is in which of its columns, `heads`. `source` is where the people agreed, in the words of whoever brings
    them in; `stated_at` when that was stated. `is_confirmed` where they have confirmed their address there, so that nobody asks again.
    """

    __tablename__ = "contact_imports"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    by_user_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="SET NULL"), index=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    state: Mapped[ImportState] = mapped_column(enum_of(ImportState), index=True)
    encoding: Mapped[str] = mapped_column(sa.String(20))
    delimiter: Mapped[str] = mapped_column(sa.String(1))
    has_names: Mapped[bool]
    heads: Mapped[list[str]] = mapped_column(sa.JSON)
    lines: Mapped[int]
    columns: Mapped[dict[str, int]] = mapped_column(sa.JSON, default=dict)
    language: Mapped[str] = mapped_column(sa.String(16), default="en")
    source: Mapped[str] = mapped_column(sa.String(200), default="")
    stated_at: Mapped[Moment | None]
    is_confirmed: Mapped[bool] = mapped_column(default=False)
    cursor: Mapped[int] = mapped_column(default=0)
    counts: Mapped[dict[str, int]] = mapped_column(sa.JSON, default=dict)
    problem: Mapped[str | None] = mapped_column(sa.String(20))
    leased_until: Mapped[Moment | None]
    attempts: Mapped[int] = mapped_column(default=0)
    stream_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("streams.id"), unique=True)
    created_at: Mapped[Moment]
    finished_at: Mapped[Moment | None]

    @property
    def is_working(self) -> bool:
        """Whether the worker is at it, or will be."""
        return self.state in {ImportState.CHECKING, ImportState.RUNNING}


class ImportFinding(Model):
    """What was found wrong with one line of a file of contacts; nothing of what the line says."""

    __tablename__ = "import_findings"
    __table_args__ = (sa.Index("ix_import_findings_import", "import_id", "id"),)

    id: Mapped[PrimaryKey]
    import_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("contact_imports.id", ondelete="CASCADE"))
    line: Mapped[int]
    field: Mapped[str] = mapped_column(sa.String(20))
    code: Mapped[str] = mapped_column(sa.String(20))


class ExportState(enum.StrEnum):
    """Where a file of contacts that somebody asked for stands: being written, there for a day, gone."""

    WRITING = "writing"
    READY = "ready"
    EXPIRED = "expired"
    FAILED = "failed"


class ContactExport(Model):
    """A file of contacts that somebody asked for, in pieces; `cursor` is the last contact in it, `names` are those of its pieces."""

    __tablename__ = "contact_exports"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    by_user_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="SET NULL"), index=True)
    segment_name: Mapped[str | None] = mapped_column(sa.String(120))  # None for everybody
    tree: Mapped[Json]
    state: Mapped[ExportState] = mapped_column(enum_of(ExportState), index=True)
    cursor: Mapped[int] = mapped_column(BigId, default=0)
    names: Mapped[list[str]] = mapped_column(sa.JSON)
    count: Mapped[int] = mapped_column(default=0)
    total: Mapped[int]
    size: Mapped[int] = mapped_column(BigId, default=0)
    created_at: Mapped[Moment]
    finished_at: Mapped[Moment | None]
    expires_at: Mapped[Moment | None]
