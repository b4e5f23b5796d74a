"""Mails of which nobody knows whether they left (RFC 1047), and what a person decides about them."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from courseapp.extensions import db, wake
from courseapp.journal import events
from courseapp.mailing.models import Message, State

IN_DOUBT = sa.literal_column("messages.state = 'uncertain'", sa.Boolean)  # so that the index of these serves


def doubts_before(message_id: int | None, limit: int) -> Sequence[Message]:
    """Mails in doubt that are older than one, newest first."""
    query = sa.select(Message).options(joinedload(Message.stream), joinedload(Message.letter)).where(IN_DOUBT)
    if message_id is not None:
        query = query.where(Message.id < message_id)
    return db.session.scalars(query.order_by(Message.id.desc()).limit(limit)).all()


def count_doubts() -> int:
    """How many mails are in doubt."""
    return db.session.scalar(sa.select(sa.func.count()).select_from(Message).where(IN_DOUBT)) or 0


def doubt_named(public_id: str) -> Message | None:
    """A mail in doubt by the id that stands in addresses."""
    options = (joinedload(Message.stream), joinedload(Message.letter))
    return db.session.scalar(sa.select(Message).options(*options).where(Message.public_id == public_id, IN_DOUBT))


def send_again(message: Message, by: int, now: datetime) -> bool:
    """Let a mail in doubt leave once more, whatever comes of it; False where it is in doubt no more. The caller commits."""
    changes = {"state": State.PENDING, "due_at": now, "settled_at": None, "reason": None, "attempts": 0}
    wake("outbox")
    return _decide(message, changes, "uncertain_sent_again", by, now)


def leave(message: Message, by: int, now: datetime) -> bool:
    """Let a mail in doubt be as it is, for good; False where it is in doubt no more. The caller commits."""
    return _decide(message, {"state": State.ABANDONED, "settled_at": now}, "uncertain_left", by, now)


def _decide(message: Message, changes: dict[str, object], event: str, by: int, now: datetime) -> bool:
    statement = sa.update(Message).where(Message.id == message.id, Message.state == State.UNCERTAIN)
    statement = statement.values(lease_epoch=Message.lease_epoch + 1, **changes).execution_options(synchronize_session=False)
    if not db.session.execute(statement).rowcount:  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult
        return False
    events.record(event, f"message:{message.id}", now, by=by)
    return True
