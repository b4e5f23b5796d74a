"""What mailing holds about a person."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from courseapp.extensions import db
from courseapp.mailing.forgetting import wipe
from courseapp.mailing.models import Message, Return, Stream
from courseapp.mailing.outbox import fields_to_keep


def export(contact_id: int) -> list[dict[str, Any]]:
    """Every mail to a contact: kind, when, how it ended and why, what filled it in but for what lets somebody in, and what came back."""
    came_back = _came_back(contact_id)
    rows = db.session.execute(
        sa.select(Stream.key, Message)
        .join(Stream, Stream.id == Message.stream_id)
        .where(Message.contact_id == contact_id)
        .order_by(Message.id)
    )
    return [
        {
            "kind": kind,
            "at": row.created_at.isoformat(),
            "state": row.state.value,
            "ended_at": row.settled_at.isoformat() if row.settled_at else None,
            "reason": row.reason,
            "filled_in": fields_to_keep(row.fields),
            "came_back": came_back.get(row.public_id, []),
        }
        for kind, row in rows
    ]


def _came_back(contact_id: int) -> dict[str, list[dict[str, str]]]:
    """What came back of a contact's mails, by message."""
    theirs = sa.select(Message.public_id).where(Message.contact_id == contact_id)
    found: dict[str, list[dict[str, str]]] = {}
    for row in db.session.scalars(sa.select(Return).where(Return.public_id.in_(theirs)).order_by(Return.id)):
        told = {"what": row.kind.value, "status": row.status, "at": row.received_at.isoformat(), "by": row.source.value}
        found.setdefault(str(row.public_id), []).append(told)
    return found


def erase(contact_id: int, now: datetime) -> None:
    """Wipe what fills the mails to a contact in, and skip what has not left."""
    wipe(Message.contact_id == contact_id, now)


def erase_named(dedupe_keys: Sequence[str], now: datetime) -> None:
    """Wipe mails that speak of somebody but went to others, as `erase` does."""
    wipe(Message.dedupe_key.in_(dedupe_keys), now)
