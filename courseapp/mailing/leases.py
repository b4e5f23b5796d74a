"""Leases that end without a try: given back by whoever has them, or lost with the worker that had them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing.models import Message, State
from courseapp.mailing.outbox import MOST_ATTEMPTS
from courseapp.mailing.streams import PRIORITY


def give_back(message_id: int, epoch: int, due_at: datetime, reason: str) -> None:
    """Give a lease back without having tried; it comes again at `due_at`."""
    give_back_all([(message_id, epoch)], due_at, reason)


def give_back_all(leases: Sequence[tuple[int, int]], due_at: datetime, reason: str) -> None:
    """Give leases back as one."""
    held = (sa.tuple_(Message.id, Message.lease_epoch).in_(leases), Message.state == State.LEASED)
    changes = {"state": State.PENDING, "due_at": due_at, "reason": reason, "attempts": Message.attempts - 1, "leased_until": None}
    db.session.execute(sa.update(Message).where(*held).values(changes).execution_options(synchronize_session=False))


def release(claimed: Sequence[tuple[int, int]]) -> None:
    """Give unsent leases back, as a worker does that is told to stop."""
    for message_id, epoch in claimed:
        held = (Message.id == message_id, Message.lease_epoch == epoch, Message.state == State.LEASED)
        db.session.execute(
            sa.update(Message)
            .where(*held)
            .values(state=State.PENDING, attempts=Message.attempts - 1, leased_until=None)
            .execution_options(synchronize_session=False)
        )


def reap(now: datetime) -> tuple[int, int]:
    """Put right what a killed worker left: (leases returned, messages in doubt). The caller commits.

    A lease that ran out returns to `pending`, unless its attempts are spent: then it is `failed`, for it may be what kills
    workers. What was `submitting` is in doubt: service mail is sent again (at least once), all other waits for a person.
    """
    late = Message.leased_until < now
    spent = db.session.execute(
        sa.update(Message)
        .where(Message.state == State.LEASED, late, Message.attempts >= MOST_ATTEMPTS)
        .values(state=State.FAILED, reason="exhausted: no worker lived to send it", settled_at=now, lease_epoch=Message.lease_epoch + 1)
        .execution_options(synchronize_session=False)
    )
    returned = db.session.execute(
        sa.update(Message)
        .where(Message.state == State.LEASED, late)
        .values(state=State.PENDING, leased_until=None, lease_epoch=Message.lease_epoch + 1)
        .execution_options(synchronize_session=False)
    )
    doubtful = db.session.execute(
        sa.update(Message)
        .where(Message.state == State.SUBMITTING, late)
        .values(
            state=State.UNCERTAIN,
            reason="the worker ended while sending",
            settled_at=now,
            leased_until=None,
            lease_epoch=Message.lease_epoch + 1,
        )
        .execution_options(synchronize_session=False)
    )
    db.session.execute(
        sa.update(Message)
        .where(Message.state == State.UNCERTAIN, Message.priority == PRIORITY[Purpose.SERVICE], Message.attempts < MOST_ATTEMPTS)
        .values(state=State.PENDING, settled_at=None)
        .execution_options(synchronize_session=False)
    )
    return _count(returned) + _count(spent), _count(doubtful)


def _count(result: Any) -> int:
    return int(result.rowcount)
