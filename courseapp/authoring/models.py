"""Imports: what was brought in, by whom, and what it changed."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from courseapp.columns import BigId, Moment, PrimaryKey
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
