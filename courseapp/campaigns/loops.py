"""Reading the news, noticing, advancing runs, expanding broadcasts, a commit for each piece."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import sqlalchemy as sa
import structlog
from flask import current_app

from courseapp.campaigns import advancing, expanding, holding, noticing, runs
from courseapp.campaigns.broadcasts import give_back
from courseapp.campaigns.models import Broadcast, BroadcastState
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal.events import unread
from courseapp.logs import known_as, request_id

BATCH = 100
AT_ONCE = 2  # pages of a broadcast; a small server has no more cores
PATIENCE = 5  # seconds for a lock
log = structlog.get_logger()


def read_news(clock: Callable[[], datetime], seconds: float = 20.0) -> int:
    """Follow unread events, a commit each batch; returns how many. What they make due is advanced at once."""
    ends, count = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        now = clock()
        batch = unread("campaigns", BATCH)
        for receipt, event in batch:
            runs.follow(event, now)
            receipt.read_at = now
        db.session.commit()
        count += len(batch)
        if len(batch) < BATCH:
            break
    if count:
        advance_runs(clock, seconds)
    return count


def advance_runs(clock: Callable[[], datetime], seconds: float = 20.0) -> int:
    """Give what was let go its time and send what is due of all runs, a commit each batch; returns how many were advanced."""
    ends, count = time.monotonic() + seconds, 0
    while holding.give_times(clock(), BATCH) and time.monotonic() < ends:
        db.session.commit()
    while time.monotonic() < ends:
        now = clock()
        batch = advancing.runs_due(now, BATCH)
        for run in batch:
            advancing.advance(run, now)
        db.session.commit()
        count += len(batch)
        if len(batch) < BATCH:
            break
    return count


def notice(clock: Callable[[], datetime], seconds: float = 40.0) -> int:
    """Begin and end runs by who has gone quiet, came back, and by modules that opened, a commit each page; how many runs that were."""
    ends, count = time.monotonic() + seconds, 0
    for found in noticing.notice(clock()):
        db.session.commit()
        count += found
        if time.monotonic() >= ends:
            break
    db.session.rollback()
    return count


def work_broadcasts(clock: Callable[[], datetime], seconds: float = 20.0) -> int:
    """Begin, expand, finish and clear up what can be, a commit for each page; how many mails were put into the outbox."""
    ends, count = time.monotonic() + seconds, 0
    while time.monotonic() < ends and (broadcast := expanding.next_to_expand(clock())) is not None:
        if broadcast.state is BroadcastState.SCHEDULED:
            _begin(broadcast, clock())
        else:
            count += _expand(broadcast, clock())
        db.session.commit()
    db.session.rollback()
    expanding.close_ended(clock())
    db.session.commit()
    while expanding.cancel_more(clock()) and time.monotonic() < ends:
        db.session.commit()
    db.session.commit()
    return count


def _expand(broadcast: Broadcast, now: datetime) -> int:
    """Put the next pages into the outbox; how many mails. Nobody else begins, pauses or cancels meanwhile: the caller holds the broadcast.

    On PostgreSQL it is two pages at a time, each committed by a connection of its own: nearly all of a page is the database at work,
    which uses one core for a connection. SQLite lets one write, and that is the caller.
    """
    numbers = expanding.next_pages(broadcast, 1 if db.engine.dialect.name == "sqlite" else AT_ONCE)
    if len(numbers) < 2:
        return sum(expanding.expand_page(broadcast, number, now) for number in numbers)
    app, broadcast_id, known = current_app._get_current_object(), broadcast.id, request_id()  # type: ignore[attr-defined]  # a proxy

    def page_of_its_own(number: int) -> int:
        with app.app_context(), known_as(known):  # and so with a session of its own
            # the caller waits for this, and PostgreSQL does not know it: what somebody else has locked would never be let go
            db.session.execute(sa.text(f"SET LOCAL lock_timeout = '{PATIENCE}s'"))
            count = expanding.expand_page(db.session.get_one(Broadcast, broadcast_id), number, now)
            db.session.commit()
            return count

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(page_of_its_own, numbers))


def _begin(broadcast: Broadcast, now: datetime) -> None:
    """Fix whom it is for; where its segment cannot be used any more it is a draft again, and keeps none of the others."""
    try:
        expanding.freeze(broadcast, now)
    except Refusal as refusal:
        log.warning("broadcast_given_back", broadcast=broadcast.id)
        give_back(broadcast, refusal.words, now)
