"""Expanding: whom a broadcast is for is fixed when its time has come, in pages; page by page it is put into the outbox."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from courseapp.campaigns.broadcasts import audience, window_of
from courseapp.campaigns.experiments import experiment_of, letter_of, note_tried, pages_of, trials_leaving
from courseapp.campaigns.models import Arm, Broadcast, BroadcastPage, BroadcastState, Experiment
from courseapp.contacts.models import Contact
from courseapp.contacts.windows import next_in
from courseapp.extensions import db, numbers_in
from courseapp.mailing import bulk
from courseapp.mailing.bulk import CANCELLED
from courseapp.mailing.models import Message, Stream
from courseapp.mailing.sums import HELD_OUT

PAGE = 2_000
READ_AT_ONCE = 10_000  # numbers of people


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


def freeze(broadcast: Broadcast, now: datetime) -> None:
    """Fix whom it is for: their numbers, page by page."""
    if (experiment := experiment_of(broadcast)) is not None:
        _freeze_arms(broadcast, experiment, now)
    else:
        _freeze_all(broadcast, now)
    count = sa.select(sa.func.coalesce(sa.func.sum(BroadcastPage.people), 0)).where(BroadcastPage.broadcast_id == broadcast.id)
    broadcast.candidates, broadcast.snapshot_at = int(db.session.scalars(count).one()), now
    broadcast.state = BroadcastState.EXPANDING


def _freeze_all(broadcast: Broadcast, now: datetime) -> None:
    """In one statement."""
    gathered = sa.func.array_agg if db.engine.dialect.name == "postgresql" else sa.func.json_group_array
    ids = audience(broadcast, now).subquery()
    numbered = sa.select(ids.c.id, ((sa.func.row_number().over(order_by=ids.c.id) - 1) // PAGE).label("number")).subquery()
    own = sa.literal(broadcast.id), sa.literal(Arm.FIRST, BroadcastPage.arm.type)
    pages = sa.select(*own, numbered.c.number, gathered(numbered.c.id), sa.func.count()).group_by(numbered.c.number)
    db.session.execute(sa.insert(BroadcastPage).from_select(["broadcast_id", "arm", "number", "contact_ids", "people"], pages))


def _freeze_arms(broadcast: Broadcast, experiment: Experiment, now: datetime) -> None:
    """By the arm of each, page by page: their hash is one that SQLite has not."""
    ids = db.session.scalars(audience(broadcast, now).order_by(Contact.id).execution_options(yield_per=READ_AT_ONCE))
    for number, (arm, page) in enumerate(pages_of(broadcast, experiment, ids, PAGE)):
        row = {"broadcast_id": broadcast.id, "number": number, "arm": arm, "contact_ids": page, "people": len(page)}
        db.session.execute(sa.insert(BroadcastPage).values(row))
    own = BroadcastPage.broadcast_id == broadcast.id
    arms = set(db.session.scalars(sa.select(BroadcastPage.arm).where(own).distinct()))
    if experiment.has_second and not {Arm.FIRST, Arm.SECOND} <= arms:  # so few that one letter has nobody: there is nothing to try
        db.session.execute(sa.update(BroadcastPage).where(own, BroadcastPage.arm != Arm.HELD).values(arm=Arm.FIRST))


def next_pages(broadcast: Broadcast, limit: int) -> list[int]:
    """The numbers of the next pages. Where there is none left it is being sent from now on, or tried out where there is a rest."""
    experiment = experiment_of(broadcast)
    waits = experiment is not None and experiment.better is None
    query = sa.select(BroadcastPage.number).where(BroadcastPage.broadcast_id == broadcast.id).order_by(BroadcastPage.number)
    numbers = list(db.session.scalars((query.where(BroadcastPage.arm != Arm.REST) if waits else query).limit(limit)))
    if not numbers and waits and db.session.scalar(query.limit(1)) is not None:
        broadcast.state = BroadcastState.TRYING
    elif not numbers:
        # who was erased before their page came is in none of it, and stands in no sum
        broadcast.state, broadcast.candidates = BroadcastState.SENDING, sum(bulk.states_of_stream(broadcast.stream_id or 0).values())
    return numbers


def expand_page(broadcast: Broadcast, number: int, now: datetime) -> int:
    """Put a page into the outbox; how many mails, none where it is gone. A person's zone says when theirs is due."""
    page = sa.and_(BroadcastPage.broadcast_id == broadcast.id, BroadcastPage.number == number)
    # held, so that who cancels waits for its mails even where the broadcast is held no more: its connection may have been lost
    arm = db.session.scalar(sa.select(BroadcastPage.arm).where(page).with_for_update())
    if arm is None:
        return 0
    ids = numbers_in(BroadcastPage.contact_ids, page)
    chosen = sa.select(Contact.id, Contact.zone).join(ids, ids.c.number == Contact.id).where(Contact.erased_at.is_(None)).subquery()
    counted = sa.select(chosen.c.zone, sa.func.count()).group_by(chosen.c.zone)
    zones: dict[str, int] = dict(db.session.execute(counted).all())
    if zones:
        window, begins = window_of(broadcast), max(now, broadcast.send_at or now)
        moments = {zone: next_in(window, begins, zone) for zone in zones}
        due = {zone: sa.literal(moment, Message.due_at.type) for zone, moment in moments.items()}
        last = sa.literal(max(moments.values()), Message.due_at.type)  # for whoever moves to another zone at this very moment
        due_at = sa.case(due, value=chosen.c.zone, else_=last) if len(due) > 1 else last
        people = sa.select(chosen.c.id.label("contact_id"), due_at.label("due_at"))
        stream = db.session.get_one(Stream, broadcast.stream_id)
        key, count, why = f"broadcast:{broadcast.id}:", sum(zones.values()), HELD_OUT if arm is Arm.HELD else None
        bulk.enqueue_many(stream, letter_of(broadcast, arm), key, people, count, now, window, skipped=why)
    db.session.execute(sa.delete(BroadcastPage).where(page))
    return sum(zones.values())


def close_ended(now: datetime) -> None:
    """Close those of which nothing is under way any more, and trials likewise."""
    for broadcast, experiment in db.session.execute(trials_leaving().with_for_update(skip_locked=True, of=Broadcast)):
        note_tried(broadcast, experiment, now)
    query = sa.select(Broadcast).options(joinedload(Broadcast.stream)).where(Broadcast.state == BroadcastState.SENDING)
    for broadcast in db.session.scalars(query.with_for_update(skip_locked=True, of=Broadcast)):
        if not bulk.is_under_way(broadcast.stream_id or 0):
            broadcast.state, broadcast.finished_at = BroadcastState.FINISHED, now


def cancel_more(now: datetime) -> int:
    """Cancel the next mails of those that were cancelled, and what workers gave back of them; how many that were."""
    count = 0
    left = sa.select(Stream).join(Broadcast, Broadcast.stream_id == Stream.id)
    for stream in db.session.scalars(left.where(Broadcast.state == BroadcastState.CANCELLED, Stream.paused_why == CANCELLED)):
        count += bulk.cancel_pending(stream.id, CANCELLED, now)
        if not bulk.is_under_way(stream.id):
            stream.paused_at = stream.paused_why = None  # there is nothing left in it
    return count
