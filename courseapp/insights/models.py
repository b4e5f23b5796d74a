"""The figures of a course, as they were last counted."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from courseapp.columns import BigId, Moment
from courseapp.extensions import Model


class CourseFigures(Model):
    """What a course adds up to. Only what may be shown is kept: whole fives (`fives.py`)."""

    __tablename__ = "course_figures"

    course_id: Mapped[int] = mapped_column(BigId, sa.ForeignKey("courses.id", ondelete="CASCADE"), primary_key=True, autoincrement=False)
    figures: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    counted_at: Mapped[Moment]
