"""What was last counted: the figures of a course, and of what people did after a mail."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from courseapp.columns import BigId, Json, Moment, PrimaryKey
from courseapp.extensions import Model


class CourseFigures(Model):
    """What a course adds up to. Only what may be shown is kept: whole fives (`fives.py`)."""

    __tablename__ = "course_figures"

    course_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)
    figures: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    counted_at: Mapped[Moment]


class MailFigures(Model):
    """What people did after the mails of a broadcast, or of a version of a sequence. Only what may be shown is kept: whole fives.

    `looked_at` is when somebody last looked whether there is anything new to tell; `counted_at`, when there was.
    """

    __tablename__ = "mail_figures"
    __table_args__ = (sa.CheckConstraint("(broadcast_id IS NULL) <> (version_id IS NULL)", name="one_subject"),)

    id: Mapped[PrimaryKey]
    broadcast_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("broadcasts.id", ondelete="CASCADE"), unique=True)
    version_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("sequence_versions.id", ondelete="CASCADE"), unique=True)
    figures: Mapped[Json]
    counted_at: Mapped[Moment | None]
    looked_at: Mapped[Moment]
    sums: Mapped[Json]  # of the mails themselves, where there are so many that no page may count them; else empty
    summed_at: Mapped[Moment | None]
