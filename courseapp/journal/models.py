"""Events and receipts."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from courseapp.columns import BigId, Json, Moment, PrimaryKey
from courseapp.extensions import Model


class Event(Model):
    """One thing that happened, about one subject (`user:12`, `contact:7`, `course:1`). Append-only."""

    __tablename__ = "events"
    __table_args__ = (sa.Index("ix_events_subject_type", "subject", "type"),)

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
