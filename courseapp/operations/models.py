"""Heartbeats, and questions to the people who run the site."""

import enum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from courseapp.accounts.models import User
from courseapp.catalog.models import Lesson
from courseapp.columns import BigId, Moment, PrimaryKey, PublicId, enum_of
from courseapp.extensions import Model


class Heartbeat(Model):
    """When a background part of the installation was last alive."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    at: Mapped[Moment]


class QuestionKind(enum.StrEnum):
    """What a question is about, in words that say nothing of anyone's health."""

    SIGN_IN = "sign-in"
    MAIL = "mail"
    SITE = "site"
    DATA = "data"
    OTHER = "other"
    LESSON = "lesson"


class Question(Model):
    """What somebody asked, or an error they found in a lesson. The text may speak of health: it goes with its person.

    Who reported an error in a lesson is kept for their export and erasure alone: that they could open it may tell what
    their safety check came to. `address` is where a guest wants the answer.
    """

    __tablename__ = "questions"

    id: Mapped[PrimaryKey]
    public_id: Mapped[PublicId]
    kind: Mapped[QuestionKind] = mapped_column(enum_of(QuestionKind))
    text: Mapped[str] = mapped_column(sa.Text)
    user_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), index=True)
    lesson_id: Mapped[int | None] = mapped_column(BigId, sa.ForeignKey("lessons.id", ondelete="SET NULL"), index=True)
    address: Mapped[str | None] = mapped_column(sa.String(254))
    address_mac: Mapped[str | None] = mapped_column(sa.String(64), index=True)
    asked_at: Mapped[Moment]
    answered_at: Mapped[Moment | None]

    user: Mapped[User | None] = relationship()
    lesson: Mapped[Lesson | None] = relationship()
