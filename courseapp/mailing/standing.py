"""How the outbox stands: for whoever watches it."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from courseapp.extensions import db
from courseapp.mailing.models import Message, State


def states_of_outbox() -> dict[str, int]:
    """How many messages stand in each state."""
    rows = db.session.execute(sa.select(Message.state, sa.func.count()).group_by(Message.state))
    return {state.value: count for state, count in rows}


def oldest_due(now: datetime) -> datetime | None:
    """Since when the longest-waiting due message has waited; the watchdog's number."""
    return db.session.scalar(sa.select(sa.func.min(Message.due_at)).where(Message.state == State.PENDING, Message.due_at <= now))


def recent_messages(before_id: int | None, limit: int) -> Sequence[Message]:
    """The newest messages older than `before_id`, for the embedded outbox page."""
    query = sa.select(Message).options(joinedload(Message.contact), joinedload(Message.stream), joinedload(Message.letter))
    if before_id is not None:
        query = query.where(Message.id < before_id)
    return db.session.scalars(query.order_by(Message.id.desc()).limit(limit)).all()
