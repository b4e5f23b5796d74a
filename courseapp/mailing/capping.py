"""How much marketing one person gets, of sequences and broadcasts together: so many mails within seven days, or fewer where they asked
for that (`contacts/pace.py`). What is over waits; nothing is dropped.

Asked around the claim, in its transaction, and only where a lease holds marketing: two questions for the whole of it. Who is counted is
held (FOR NO KEY UPDATE) until the commit, so two workers never count one person at once, and what one has leased the other sees. Nobody
waits for anybody: mail to a person whom another worker holds is given back for a minute.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from courseapp.contacts.models import Contact, Purpose
from courseapp.extensions import db
from courseapp.mailing import outbox
from courseapp.mailing.leases import give_back
from courseapp.mailing.models import LEAVING, MAY_HAVE_COME, Message, State, Stream
from courseapp.site import present_site

WITHIN = timedelta(days=7)
CAPPED = "enough marketing for this week"  # the reason of a mail that waits until the first of those in the week is a week old
ON_ITS_WAY = "enough marketing on its way"  # of one that comes back to see whether what is leaving has left
AT_THEIR_PACE = "enough marketing, as they asked"  # likewise, of one who wants fewer than others
HELD_FOR = timedelta(minutes=1)


class Cap(NamedTuple):
    """So many mails within a time, and the reason of what is over."""

    most: int
    within: timedelta
    reason: str


def within_cap(claimed: outbox.Claimed, found: Mapping[int, outbox.Sendable], now: datetime) -> outbox.Claimed:
    """The leases that may go, in their order; those over the cap go back."""
    marketing = [lease for lease in claimed if found[lease[0]].purpose is Purpose.MARKETING]
    if not marketing:
        return claimed
    caps = {found[message_id].contact_id: _cap_of(found[message_id]) for message_id, _epoch in marketing}
    held = _held(caps)
    since = now - max(cap.within for cap in caps.values())
    came, leaving = _lately(held, {message_id for message_id, _epoch in marketing}, since)
    back: set[int] = set()
    for message_id, epoch in marketing:
        contact_id = found[message_id].contact_id
        cap = caps[contact_id]
        counted = [moment for moment in sorted(came[contact_id]) if moment > now - cap.within]
        if contact_id in held and len(counted) + leaving[contact_id] < cap.most:
            leaving[contact_id] += 1
            continue
        back.add(message_id)
        if contact_id not in held:
            give_back(message_id, epoch, now + HELD_FOR, ON_ITS_WAY)
        elif len(counted) < cap.most:
            give_back(message_id, epoch, now + outbox.LEASE, ON_ITS_WAY)
        else:
            give_back(message_id, epoch, counted[-cap.most] + cap.within, cap.reason)
    return [lease for lease in claimed if lease[0] not in back]


def look_again(contact: Contact, now: datetime) -> None:
    """Somebody wants marketing at another pace: what waits for the old one is asked again. The caller commits."""
    waits = (Message.contact_id == contact.id, Message.state == State.PENDING, Message.reason.in_((CAPPED, AT_THEIR_PACE)))
    db.session.execute(sa.update(Message).where(*waits).values(due_at=now))


def _cap_of(message: outbox.Sendable) -> Cap:
    """What somebody asked for, or else what the site has for everybody."""
    if message.marketing_days is not None:
        return Cap(1, timedelta(days=message.marketing_days), AT_THEIR_PACE)
    return Cap(present_site().marketing_per_week, WITHIN, CAPPED)


def _held(people: Collection[int]) -> set[int]:
    """Those of these contacts whom nobody else holds; nobody else does before the caller's commit."""
    query = sa.select(Contact.id).where(Contact.id.in_(people)).order_by(Contact.id)
    return set(db.session.scalars(query.with_for_update(key_share=True, skip_locked=True)))


def _lately(people: Collection[int], but: Collection[int], since: datetime) -> tuple[dict[int, list[datetime]], dict[int, int]]:
    """By contact: when marketing came since a moment, and how much is leaving now; what the caller has just leased apart."""
    came: dict[int, list[datetime]] = defaultdict(list)
    leaving: dict[int, int] = defaultdict(int)
    query = (
        sa.select(Message.contact_id, Message.settled_at)
        .join(Stream, Stream.id == Message.stream_id)
        .where(
            Message.contact_id.in_(people),
            Message.id.not_in(but),
            Stream.purpose == Purpose.MARKETING,
            sa.or_(
                sa.and_(Message.settled_at > since, Message.state.in_(MAY_HAVE_COME)),
                sa.and_(Message.settled_at.is_(None), Message.state.in_(LEAVING)),
            ),
        )
    )
    for contact_id, settled_at in db.session.execute(query):
        if settled_at is None:
            leaving[contact_id] += 1
        else:
            came[contact_id].append(settled_at)
    return came, leaving
