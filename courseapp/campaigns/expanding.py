"""Expanding: broadcasts whose time has come are put into the outbox page by page, the cursor in the same transaction."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from courseapp.campaigns.broadcasts import CANCELLED_WHY, window_of
from courseapp.campaigns.models import Broadcast, BroadcastRecipient, BroadcastState
from courseapp.contacts.models import Contact
from courseapp.contacts.windows import next_in
from courseapp.extensions import db
from courseapp.mailing import bulk
from courseapp.mailing.models import Message, Stream

PAGE = 2_000
GIVEN_BACK_WITHIN = timedelta(days=1)  # until when a worker gives back what it held of a cancelled one; a lease ends within minutes


def next_to_expand(now: datetime) -> Broadcast | None:
    """The next one that is due, locked until the commit; what another worker is at is passed over."""
    is_due = sa.and_(Broadcast.state == BroadcastState.SCHEDULED, Broadcast.send_at <= now)
    query = (
        sa.select(Broadcast)
        .join(Stream, Stream.id == Broadcast.stream_id)
        .where(sa.or_(is_due, Broadcast.state == BroadcastState.EXPANDING), Stream.paused_at.is_(None))
        .order_by(Broadcast.send_at, Broadcast.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=Broadcast)
    )
    return db.session.scalar(query.execution_options(populate_existing=True))


def expand_page(broadcast: Broadcast, now: datetime) -> int:
    """Put the next page into the outbox; a person's zone says when theirs is due."""
    page = (
        sa.select(BroadcastRecipient.contact_id)
        .where(BroadcastRecipient.broadcast_id == broadcast.id, BroadcastRecipient.contact_id > broadcast.cursor)
        .order_by(BroadcastRecipient.contact_id)
        .limit(PAGE)
        .cte("page")
        .prefix_with("MATERIALIZED", dialect="postgresql")  # else it is joined as a whole for each page
    )
    zone_of = sa.select(Contact.zone).where(Contact.id == page.c.contact_id).scalar_subquery()  # a join looked through all contacts
    chosen = sa.select(page.c.contact_id, zone_of.label("zone")).subquery()
    counted = sa.select(chosen.c.zone, sa.func.count(), sa.func.max(chosen.c.contact_id)).group_by(chosen.c.zone)
    zones = db.session.execute(counted).all()
    if not zones:
        # who was erased before their page came is in none of it, and stands in no sum
        broadcast.state, broadcast.candidates = BroadcastState.SENDING, sum(bulk.states_of_stream(broadcast.stream_id or 0).values())
        return 0
    window, begins = window_of(broadcast), max(now, broadcast.send_at or now)
    due = {zone: sa.literal(next_in(window, begins, zone), Message.due_at.type) for zone, _count, _last in zones}
    due_at = sa.case(due, value=chosen.c.zone) if len(due) > 1 else next(iter(due.values()))
    people = sa.select(chosen.c.contact_id, due_at.label("due_at"))
    stream, count = db.session.get_one(Stream, broadcast.stream_id), int(sum(count for _zone, count, _last in zones))
    assert broadcast.letter_id is not None
    bulk.enqueue_many(stream, broadcast.letter_id, f"broadcast:{broadcast.id}:", people, count, now, window)
    broadcast.cursor = max(last for _zone, _count, last in zones)
    return count


def close_ended(now: datetime) -> None:
    """Close those of which nothing is under way any more; cancel what workers gave back of cancelled ones."""
    query = sa.select(Broadcast).options(joinedload(Broadcast.stream)).where(Broadcast.state == BroadcastState.SENDING)
    for broadcast in db.session.scalars(query.with_for_update(skip_locked=True, of=Broadcast)):
        if not bulk.is_under_way(broadcast.stream_id or 0):
            broadcast.state, broadcast.finished_at = BroadcastState.FINISHED, now
    is_fresh = sa.and_(Broadcast.state == BroadcastState.CANCELLED, Broadcast.finished_at > now - GIVEN_BACK_WITHIN)
    for broadcast in db.session.scalars(sa.select(Broadcast).options(joinedload(Broadcast.stream)).where(is_fresh)):
        stream = broadcast.stream
        if stream is not None and stream.paused_why == CANCELLED_WHY:
            bulk.cancel_pending(stream.id, CANCELLED_WHY, now)
            if not bulk.is_under_way(stream.id):
                stream.paused_at = stream.paused_why = None  # there is nothing left in it
