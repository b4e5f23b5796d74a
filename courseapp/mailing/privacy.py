"""What mailing holds about a person."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask import current_app

from courseapp.extensions import db
from courseapp.mailing.models import Message, State, Stream
from courseapp.mailing.outbox import fields_to_keep
from courseapp.mailing.smtp import file_of_mail


def export(contact_id: int) -> list[dict[str, Any]]:
    """Every mail to a contact: kind, when, how it ended and why, and what filled it in, without what lets somebody in."""
    rows = db.session.execute(
        sa.select(Stream.key, Message.created_at, Message.state, Message.reason, Message.fields)
        .join(Stream, Stream.id == Message.stream_id)
        .where(Message.contact_id == contact_id)
        .order_by(Message.id)
    )
    return [
        {"kind": key, "at": at.isoformat(), "state": state.value, "reason": reason, "filled_in": fields_to_keep(fields)}
        for key, at, state, reason, fields in rows
    ]


def erase(contact_id: int, now: datetime) -> None:
    """Wipe what fills the mails in, and files they were written to; what has not left is skipped. The rows stay, for the sums."""
    _wipe(Message.contact_id == contact_id, now)


def erase_named(dedupe_keys: Sequence[str], now: datetime) -> None:
    """Wipe mails that speak of somebody but went to others, as `erase` does."""
    _wipe(Message.dedupe_key.in_(dedupe_keys), now)


def _wipe(theirs: sa.ColumnElement[bool], now: datetime) -> None:
    for name in db.session.scalars(sa.select(Message.public_id).where(theirs)):
        file_of_mail(current_app.config["SETTINGS"], name).unlink(missing_ok=True)
    waiting = Message.state.in_((State.PENDING, State.LEASED))
    db.session.execute(
        sa.update(Message)
        .where(theirs)
        .values(
            fields={},
            settled_at=sa.case((waiting, now), else_=Message.settled_at),
            reason=sa.case((waiting, "erased"), else_=None),
            state=sa.case((waiting, State.SKIPPED.value), else_=Message.state),
        )
        .execution_options(synchronize_session=False)
    )
