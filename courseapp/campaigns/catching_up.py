"""Catching up after a restore: what has come due since the backup is put into the outbox at once.

There it waits with everything else until somebody says whether the old installation has sent it. Were it left to the next tick of the
timetable, it would come into the outbox after that was said, and be sent a second time.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from courseapp.campaigns import advancing, noticing, runs
from courseapp.campaigns.broadcasts import give_back
from courseapp.campaigns.expanding import expand_page, freeze, next_pages
from courseapp.campaigns.experiments import experiment_of
from courseapp.campaigns.models import Broadcast, BroadcastState, SequenceRun
from courseapp.contacts.resting import is_resting
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal.events import unread
from courseapp.mailing import bulk
from courseapp.mailing.outbox import OVERDUE

AT_ONCE = 500


def catch_up(now: datetime) -> int:
    """Follow all news, notice what is to be noticed, enqueue every step whose day has come and every broadcast that has begun, in the
    caller's transaction; for how many people."""
    while batch := unread("campaigns", AT_ONCE):
        for receipt, event in batch:
            runs.follow(event, now)
            receipt.read_at = now
        db.session.flush()
    for _page in noticing.notice(now):
        db.session.flush()
    count = 0
    while due := advancing.runs_due(now, AT_ONCE):
        for run in due:
            if advancing.has_come(run, now):
                _advance_all(run, now)
                count += 1
            else:
                advancing.advance(run, now)  # moved to another version before the step's day: it is put off to that day
        db.session.flush()
    return count + sum(_expand(broadcast, now) for broadcast in _begun(now))


def _begun(now: datetime) -> Sequence[Broadcast]:
    """Broadcasts whose people may have their mail, or the rest of it, from the old installation."""
    is_due = sa.and_(Broadcast.state == BroadcastState.SCHEDULED, Broadcast.send_at <= now)
    has_begun = Broadcast.state.in_((BroadcastState.EXPANDING, BroadcastState.TRYING))
    return db.session.scalars(sa.select(Broadcast).where(sa.or_(is_due, has_begun)).order_by(Broadcast.id)).all()


def _expand(broadcast: Broadcast, now: datetime) -> int:
    """Put what there is of it into the outbox; how many mails. Who waits for the better of two letters waits for somebody to choose it."""
    if broadcast.state is BroadcastState.SCHEDULED:
        try:
            freeze(broadcast, now)
        except Refusal as refusal:
            give_back(broadcast, refusal.words, now)
    experiment, count = experiment_of(broadcast), 0
    if experiment is not None and experiment.has_second and experiment.better is None and broadcast.state is not BroadcastState.DRAFT:
        experiment.is_by_hand = True
    while broadcast.state is BroadcastState.EXPANDING:
        db.session.flush()
        count += sum(expand_page(broadcast, number, now) for number in next_pages(broadcast, AT_ONCE))
    bulk.note_reason(broadcast.stream_id or 0, OVERDUE, now)
    return count


def _advance_all(run: SequenceRun, now: datetime) -> None:
    """Enqueue what is overdue of a run. Between its mails stays the least gap, should they be sent after all."""
    while run.next_run_at is not None and advancing.has_come(run, now):
        advancing.advance(run, now, is_overdue=True)
        if is_resting(run.contact, now):  # it was put off
            break
