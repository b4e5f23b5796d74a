"""What mailing holds about a person."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from courseapp.extensions import db
from courseapp.mailing.models import Message, State, Stream


def export(contact_id: int) -> list[dict[str, Any]]:
    """Every mail to a contact: kind, when, how it ended."""
    rows = db.session.execute(
        sa.select(Stream.key, Message.created_at, Message.state)
        .join(Stream, Stream.id == Message.stream_id)
        .where(Message.contact_id == contact_id)
        .order_by(Message.id)
    )
    return [{"kind": key, "at": at.isoformat(), "state": state.value} for key, at, state in rows]


def erase(contact_id: int, now: datetime) -> None:
    """Wipe what fills the mails in; what has not left is skipped. The rows stay, for the sums."""
    waiting = Message.state.in_((State.PENDING, State.LEASED))
    db.session.execute(
        sa.update(Message)
        .where(Message.contact_id == contact_id)
        .values(
            fields={},
            settled_at=sa.case((waiting, now), else_=Message.settled_at),
            reason=sa.case((waiting, "erased"), else_=Message.reason),
            state=sa.case((waiting, State.SKIPPED.value), else_=Message.state),
        )
        .execution_options(synchronize_session=False)
    )
