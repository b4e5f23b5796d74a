"""Streams, letters, and the outbox."""

import enum
from datetime import date, time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from courseapp.columns import BigId, Json, Moment, PrimaryKey, PublicId, enum_of
from courseapp.contacts.models import Contact, Purpose
from courseapp.extensions import Model


class State(enum.StrEnum):
    """Where a message stands; the arrows are in `outbox.py`."""

    PENDING = "pending"
    LEASED = "leased"
    SUBMITTING = "submitting"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNCERTAIN = "uncertain"
    ABANDONED = "abandoned"
    FAILED = "failed"


ON_THEIR_WAY = (State.PENDING, State.LEASED, State.SUBMITTING)
"""What has not left, and may."""
UNDER_WAY = sa.literal_column("messages.state IN ('pending', 'leased', 'submitting')", sa.Boolean)
"""The same, said so that the index of what is under way serves."""
MAY_HAVE_COME = (State.ACCEPTED, State.DELIVERED, State.COMPLAINED, State.UNCERTAIN)
"""What its reader has got, as far as one can know."""
LEAVING = (State.LEASED, State.SUBMITTING)
HAVE_LEFT = (State.ACCEPTED, State.DELIVERED, State.BOUNCED, State.COMPLAINED)
MAY_HAVE_LEFT = (*HAVE_LEFT, State.UNCERTAIN)
UNSENT = (State.SKIPPED, State.CANCELLED, State.EXPIRED, State.FAILED, State.ABANDONED, State.UNCERTAIN)
"""What came to an end and has not left, as far as one can know; each has a reason."""
IN_TROUBLE = "state IN ('failed', 'bounced', 'complained')"
"""SQL: what went wrong. Said in these very words, for the index of it serves no others."""


class ReturnKind(enum.StrEnum):
    """What a mail or a call that came back says of a message of ours, or asks for."""

    BOUNCED = "bounced"  # it never arrives there (5.x.x)
    SOFT = "soft"  # it did not arrive, this time (4.x.x)
    DELAYED = "delayed"
    PASSED_ON = "passed-on"  # to where nothing more is told (RFC 3464, 2.3.3: relayed, expanded)
    DELIVERED = "delivered"
    COMPLAINED = "complained"
    STOP = "stop"  # unsubscribing by mail
    AUTO_REPLY = "auto-reply"
    OTHER = "other"


class ReturnSource(enum.StrEnum):
    """How it came."""

    MAILBOX = "mailbox"
    SES = "ses"
    POSTMARK = "postmark"
    MAILGUN = "mailgun"


class ReturnOutcome(enum.StrEnum):
    """What became of it."""

    APPLIED = "applied"
    REPEATED = "repeated"  # it says what was known
    IGNORED = "ignored"  # nothing follows from its kind
    UNMATCHED = "unmatched"  # no message of ours
    FORGED = "forged"


class Stream(Model):
    """A kind of mail that can be paused as one.

    Addresses that nobody has confirmed are reached by signing in and by the question to those whom a list brings in, and by no other.
    """

    __tablename__ = "streams"

    id: Mapped[PrimaryKey]
    key: Mapped[str] = mapped_column(sa.String(40), unique=True)
    purpose: Mapped[Purpose] = mapped_column(enum_of(Purpose))
    reaches_unconfirmed: Mapped[bool] = mapped_column(default=False)
    paused_at: Mapped[Moment | None]
    paused_why: Mapped[str | None] = mapped_column(sa.String(200))
    watched_from: Mapped[Moment | None]  # what went wrong before it was last resumed does not count against it again
    letting_go_at: Mapped[Moment | None]  # since when what was put off in it is being made due, slice by slice; None once all is


class Bucket(Model):
    """A token bucket of `pacing.py`, as one number: the second since 1970 at which what was taken from it is paid for."""

    __tablename__ = "mail_buckets"

    id: Mapped[PrimaryKey]
    key: Mapped[str] = mapped_column(sa.String(80), unique=True)
    paid_at: Mapped[float] = mapped_column(sa.Double)


class Breaker(Model):
    """That a mail server was in trouble, so that no process tries it before `rests_until`; gone once it took a mail again."""

    __tablename__ = "mail_breakers"

    id: Mapped[PrimaryKey]
    key: Mapped[str] = mapped_column(sa.String(80), unique=True)
    tripped_at: Mapped[Moment]
    rests_until: Mapped[Moment]
    why: Mapped[str] = mapped_column(sa.String(200))


class Letter(Model):
    """An immutable published text: Markdown with allow-listed merge fields. A correction is a new letter.

    `targets` is what its references led to when it was published: title, words and path by reference. `translations` are what it says in
    other languages: language, subject, preheader, body and targets of each.
    """

    __tablename__ = "letters"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    language: Mapped[str] = mapped_column(sa.String(16))
    purpose: Mapped[Purpose] = mapped_column(enum_of(Purpose))
    subject: Mapped[str] = mapped_column(sa.String(200))
    preheader: Mapped[str] = mapped_column(sa.String(200))
    body: Mapped[str] = mapped_column(sa.Text)
    targets: Mapped[Json]
    translations: Mapped[list[dict[str, Any]]] = mapped_column(sa.JSON, default=list)
    created_at: Mapped[Moment]


class LinkClicks(Model):
    """How often the pages of this site were reached by a link of a letter on a day (UTC): a number, with nobody behind it.

    `link` is its number among all links of the letter, from 1, in the order of the text (`blocks.py`).
    """

    __tablename__ = "link_clicks"

    letter_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("letters.id", ondelete="CASCADE"), primary_key=True)
    link: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(primary_key=True)
    count: Mapped[int]


class Message(Model):
    """One mail to one contact: a row of the outbox. Every write after the claim carries `lease_epoch` (fencing)."""

    __tablename__ = "messages"
    __table_args__ = (
        sa.Index(
            "ix_messages_due",
            "priority",
            "due_at",
            "id",
            postgresql_where=sa.text("state = 'pending'"),
            sqlite_where=sa.text("state = 'pending'"),
        ),
        sa.Index(
            "ix_messages_lease",
            "leased_until",
            postgresql_where=sa.text("state IN ('leased', 'submitting')"),
            sqlite_where=sa.text("state IN ('leased', 'submitting')"),
        ),
        sa.Index(  # for what asks a stream what is left of it, and puts it off; what has left costs it nothing
            "ix_messages_under_way",
            "stream_id",
            "due_at",
            postgresql_where=sa.text("state IN ('pending', 'leased', 'submitting')"),
            sqlite_where=sa.text("state IN ('pending', 'leased', 'submitting')"),
        ),
        sa.Index("ix_messages_contact_settled", "contact_id", "settled_at"),
        sa.Index(  # for what watches over streams; what goes well costs it nothing
            "ix_messages_trouble",
            "stream_id",
            "settled_at",
            postgresql_where=sa.text(IN_TROUBLE),
            sqlite_where=sa.text(IN_TROUBLE),
        ),
        sa.Index(
            "ix_messages_uncertain",
            "id",
            postgresql_where=sa.text("state = 'uncertain'"),
            sqlite_where=sa.text("state = 'uncertain'"),
        ),
        sa.CheckConstraint("(template IS NULL) <> (letter_id IS NULL)", name="one_text"),
    )

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    dedupe_key: Mapped[str] = mapped_column(sa.String(120), unique=True)
    stream_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("streams.id"), index=True)
    contact_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("contacts.id"))
    template: Mapped[str | None] = mapped_column(sa.String(80))
    letter_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("letters.id"), index=True)
    fields: Mapped[Json]
    message_id: Mapped[str] = mapped_column(sa.String(200))

    state: Mapped[State] = mapped_column(enum_of(State), default=State.PENDING)
    reason: Mapped[str | None] = mapped_column(sa.String(200))
    priority: Mapped[int] = mapped_column(sa.SmallInteger)
    due_at: Mapped[Moment]
    expires_at: Mapped[Moment | None]
    void_if_type: Mapped[str | None] = mapped_column(sa.String(40))
    void_if_subject: Mapped[str | None] = mapped_column(sa.String(40))
    window_start: Mapped[time | None]  # at which hours of their own day it may come, and on which weekdays; None where at any
    window_end: Mapped[time | None]
    weekdays: Mapped[str | None] = mapped_column(sa.String(7))

    lease_epoch: Mapped[int] = mapped_column(default=0)
    leased_until: Mapped[Moment | None]
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[Moment]
    settled_at: Mapped[Moment | None]

    contact: Mapped[Contact] = relationship()
    stream: Mapped[Stream] = relationship()
    letter: Mapped[Letter | None] = relationship()


class Return(Model):
    """One thing that came back, once for each `key`. Of what it said is kept what decides, and no text: that names people."""

    __tablename__ = "returns"
    __table_args__ = (
        sa.Index(
            "ix_returns_due",
            "due_at",
            postgresql_where=sa.text("settled_at IS NULL"),
            sqlite_where=sa.text("settled_at IS NULL"),
        ),
    )

    id: Mapped[PrimaryKey]
    key: Mapped[str] = mapped_column(sa.String(64), unique=True)
    source: Mapped[ReturnSource] = mapped_column(enum_of(ReturnSource))
    kind: Mapped[ReturnKind] = mapped_column(enum_of(ReturnKind))
    status: Mapped[str] = mapped_column(sa.String(12))
    public_id: Mapped[str | None] = mapped_column(sa.String(16), index=True)
    header_id: Mapped[str | None] = mapped_column(sa.String(200))
    address_mac: Mapped[str | None] = mapped_column(sa.String(64))
    tries: Mapped[int] = mapped_column(sa.SmallInteger, default=0)
    received_at: Mapped[Moment]
    due_at: Mapped[Moment]
    settled_at: Mapped[Moment | None]
    outcome: Mapped[ReturnOutcome | None] = mapped_column(enum_of(ReturnOutcome))


class DomainFigures(Model):
    """How mail arrived by domain in the last so many days, as it was last counted (`deliverability.py`)."""

    __tablename__ = "domain_figures"

    days: Mapped[int] = mapped_column(sa.SmallInteger, primary_key=True, autoincrement=False)
    figures: Mapped[Json]
    counted_at: Mapped[Moment]
