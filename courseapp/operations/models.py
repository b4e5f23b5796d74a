"""Heartbeats."""

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from courseapp.columns import Moment
from courseapp.extensions import Model


class Heartbeat(Model):
    """When a background part of the installation was last alive."""

    __tablename__ = "heartbeats"

    name: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    at: Mapped[Moment]
