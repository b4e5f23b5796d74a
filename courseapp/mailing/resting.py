"""Mail to people who have paused it: asked around the claim, of what is read of each mail there anyway.

Mail of a kind that everybody has (a step of a sequence) waits until the pause ends, one after the other with a gap between them. A
stream of its own (a broadcast) is about its own day: what of it is due within the pause is skipped with that reason, and its sums add
up the same evening; what is due later goes.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.mailing import outbox
from courseapp.mailing.leases import give_back
from courseapp.mailing.models import Message, State
from courseapp.mailing.streams import STANDARD, is_urgent

RESTING = "resting"  # the reason of what waits for the end of a pause, or was skipped for it
GAP = timedelta(hours=20)  # between mails that have waited


def let_rest(claimed: outbox.Claimed, found: dict[int, outbox.Sendable], now: datetime) -> outbox.Claimed:
    """The leases that are not to people who rest; those go back until then, or are skipped. The caller commits."""
    resting = [lease for lease in claimed if _rests(found[lease[0]], now)]
    if not resting:
        return claimed
    for message_id, epoch in resting:
        message = found[message_id]
        if message.stream in STANDARD:
            assert message.paused_until is not None
            give_back(message_id, epoch, message.paused_until + GAP * _count_resting(message.contact_id), RESTING)
        else:
            outbox.note_skipped(message_id, epoch, now, RESTING)
    return [lease for lease in claimed if lease not in resting]


def _rests(message: outbox.Sendable, now: datetime) -> bool:
    return not is_urgent(message.stream, message.purpose) and message.paused_until is not None and message.paused_until > now


def _count_resting(contact_id: int) -> int:
    """How many mails of somebody wait for the end of their pause already."""
    waits = (Message.contact_id == contact_id, Message.state == State.PENDING, Message.reason == RESTING)
    return int(db.session.scalar(sa.select(sa.func.count()).where(*waits)) or 0)


def go_on(contact: Contact, now: datetime) -> None:
    """Somebody has ended their pause: what waited for it comes from now on, one after the other. The caller commits."""
    for number, message in enumerate(_waiting(contact)):
        message.due_at = now + GAP * number


def _waiting(contact: Contact) -> Sequence[Message]:
    waits = (Message.contact_id == contact.id, Message.state == State.PENDING, Message.reason == RESTING)
    return db.session.scalars(sa.select(Message).where(*waits).order_by(Message.due_at, Message.id).with_for_update()).all()
