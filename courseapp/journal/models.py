"""Events and receipts."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from courseapp.columns import BigId, Json, Moment, PrimaryKey
from courseapp.extensions import Model

OF_LEARNERS = (
    *("lesson_completed", "course_completed", "enrolled", "account_claimed", "address_changed", "address_change_ended"),
    *("consent_given", "consent_withdrawn", "mail_bounced", "mail_complained", "mail_paused", "mail_pause_ended", "person_erased"),
    *("tier_bought", "access_granted", "access_revoked", "payment_failed"),
)
"""What people do, or happens to them: by the million, and none of staff's doing. A type more here is a migration of an index."""
_OTHERS = f"type NOT IN ({', '.join(repr(name) for name in OF_LEARNERS)})"
NOT_OF_LEARNERS = sa.text(f"events.{_OTHERS}")
"""SQL: an event is none of these, word for word as the index of the others says it (a column's words would get a “= 1” on SQLite)."""


class Event(Model):
    """One thing that happened, about one subject (`user:12`, `contact:7`, `course:1`). Append-only."""

    __tablename__ = "events"
    __table_args__ = (
        sa.Index("ix_events_subject_type", "subject", "type"),
        sa.Index("ix_events_others", "id", postgresql_where=sa.text(_OTHERS), sqlite_where=sa.text(_OTHERS)),
    )

    id: Mapped[PrimaryKey]
    type: Mapped[str] = mapped_column(sa.String(40))
    subject: Mapped[str] = mapped_column(sa.String(40))
    data: Mapped[Json]
    at: Mapped[Moment]

    @property
    def facts(self) -> dict[str, Any]:
        """What was recorded with it; empty for an erased one."""
        return self.data or {}


class Receipt(Model):
    """That a reader is to be told of an event; `read_at` once it was."""

    __tablename__ = "receipts"
    __table_args__ = (
        sa.UniqueConstraint("event_id", "reader"),
        sa.Index(
            "ix_receipts_unread", "reader", "id", postgresql_where=sa.text("read_at IS NULL"), sqlite_where=sa.text("read_at IS NULL")
        ),
    )

    id: Mapped[PrimaryKey]
    event_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("events.id", ondelete="CASCADE"))
    reader: Mapped[str] = mapped_column(sa.String(40))
    read_at: Mapped[Moment | None]
