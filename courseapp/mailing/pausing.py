"""Holding mail back as a whole, and letting it go again. A paused stream keeps its mail; nothing is lost by pausing."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from courseapp.extensions import db
from courseapp.journal import events
from courseapp.mailing.bulk import CANCELLED, SLICE, change_slice
from courseapp.mailing.hours import OUTSIDE
from courseapp.mailing.models import LEAVING, UNDER_WAY, Message, State, Stream
from courseapp.mailing.outbox import MOST_ATTEMPTS, OVERDUE, PAUSED
from courseapp.mailing.pacing import NOT_PLACED, PACED
from courseapp.mailing.streams import STANDARD, make_stream

DROPPED = "dropped when the stream was resumed"
LOOK_AGAIN = timedelta(days=1)  # resuming brings back what was put off; this is for nothing to wait for ever


def pause_everything(why: str, now: datetime) -> None:
    """Pause every stream, also those that would be made on first use. What was paused already keeps its own reason."""
    for key in STANDARD:
        make_stream(key)
    db.session.execute(
        sa.update(Stream)
        .where(Stream.paused_at.is_(None))
        .values(paused_at=now, paused_why=why)
        .execution_options(synchronize_session=False)
    )


def doubt_what_was_leaving(why: str, now: datetime) -> int:
    """Mark what somebody held or was sending as uncertain for good; how many.

    The attempts count as spent: what `reap` finds uncertain of service mail with attempts left, it would send once more.
    """
    spent = {"attempts": MOST_ATTEMPTS, "leased_until": None, "lease_epoch": Message.lease_epoch + 1}
    doubted = db.session.execute(
        sa.update(Message)
        .where(Message.state.in_(LEAVING))
        .values(state=State.UNCERTAIN, reason=why, settled_at=now, **spent)
        .execution_options(synchronize_session=False)
    )
    db.session.execute(
        sa.update(Message)
        .where(Message.state == State.UNCERTAIN, Message.attempts < MOST_ATTEMPTS)
        .values(attempts=MOST_ATTEMPTS)
        .execution_options(synchronize_session=False)
    )
    return int(doubted.rowcount)  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult


def paused_streams(keys: Sequence[str] = ()) -> Sequence[Stream]:
    """The paused ones among the streams of these keys, or among all. What was cancelled is not let go again."""
    is_kept = sa.or_(Stream.paused_why.is_(None), Stream.paused_why != CANCELLED)
    query = sa.select(Stream).where(Stream.paused_at.is_not(None), is_kept).order_by(Stream.id)
    return db.session.scalars(query.where(Stream.key.in_(keys)) if keys else query).all()


def waiting_in(streams: Sequence[Stream], now: datetime) -> int:
    """How many mails would leave if these streams ran again: at once, or one after the other where several to one person are overdue."""
    return db.session.scalar(sa.select(sa.func.count()).select_from(Message).where(_waits_in(streams, now))) or 0


def pause(stream: Stream, by: int, why: str, now: datetime) -> None:
    """Hold a stream back; who does it is written down. Where it is paused already it keeps its reason. The caller commits."""
    if stream.paused_at is None:
        stream.paused_at, stream.paused_why = now, why[:200]
        events.record("stream_paused", f"stream:{stream.key}", now, by=by)


def drop_waiting(streams: Sequence[Stream], now: datetime) -> int:
    """Skip what waits in these streams, for good; how many. What is due later stays."""
    dropped = db.session.execute(
        sa.update(Message)
        .where(_waits_in(streams, now))
        .values(state=State.SKIPPED, reason=DROPPED, settled_at=now)
        .execution_options(synchronize_session=False)
    )
    return int(dropped.rowcount)  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult


def resume(streams: Sequence[Stream], now: datetime, by: int | None = None, dropped: int = 0) -> None:
    """Let these streams run; what waits in them is due now, and what went wrong before counts no more. The caller commits.

    What was cancelled stays as it is. Of very much only a slice is made due at once, for somebody waits for the page; workers go on with
    it (`let_go`).

    Args:
        by: which user does it; None by the command line.
        dropped: how many mails were dropped before, for whoever reads later what was done.
    """
    kept = [stream for stream in streams if stream.paused_why != CANCELLED]
    for stream in kept:
        stream.paused_at, stream.paused_why, stream.watched_from, stream.letting_go_at = None, None, now, now
        events.record("stream_resumed", f"stream:{stream.key}", now, by=by, dropped=dropped)
    db.session.flush()
    for stream in kept:
        _let_go_slice(stream, now)


def let_go(now: datetime) -> int:
    """Make a slice due of what was put off of each stream that runs again; how many mails. Streams another worker is at are passed over."""
    query = sa.select(Stream).where(Stream.letting_go_at.is_not(None), Stream.paused_at.is_(None)).order_by(Stream.id)
    # Held so that nobody pauses it or puts its mail off meanwhile; who puts mail into it, and so refers to it, waits for nothing.
    held = query.with_for_update(key_share=True, skip_locked=True)
    streams = db.session.scalars(held.execution_options(populate_existing=True)).all()
    return sum(_let_go_slice(stream, now) for stream in streams)


def _let_go_slice(stream: Stream, now: datetime) -> int:
    own = (Message.stream_id == stream.id, Message.state == State.PENDING, UNDER_WAY)
    put_off = (*own, Message.reason == PAUSED, Message.due_at > now)
    count = change_slice(put_off, {"due_at": now}, SLICE)
    if not count and not db.session.scalar(sa.select(sa.exists().where(*put_off))):  # what somebody holds was passed over
        stream.letting_go_at = None
    return count


def holds_overdue(stream: Stream) -> bool:
    """Whether mails wait in a stream that the installation a backup came from may have sent: what becomes of them somebody must say."""
    own = (Message.stream_id == stream.id, Message.state == State.PENDING, UNDER_WAY, Message.reason == OVERDUE)
    return bool(db.session.scalar(sa.select(sa.exists().where(*own))))


def hold_or_let_go(message_ids: Sequence[int], now: datetime) -> None:
    """Put off all that is due of the paused streams of mails that the caller put off and committed as paused; the caller commits.

    Else each mail of a large broadcast would be met by itself, all of them again and again. It is done in slices, one for each time
    that a worker meets such mail, so that nobody waits for long. What of these mails belongs to a stream that runs again is made due:
    whoever resumed it cannot have seen mails that were put off while their own transaction was on its way to its commit. The lock
    waits for that commit; who resumes later finds all of them.
    """
    whose = sa.select(Message.stream_id).where(Message.id.in_(message_ids))
    streams = db.session.execute(sa.select(Stream.id, Stream.paused_at).where(Stream.id.in_(whose)).with_for_update(read=True)).all()
    running = [row.id for row in streams if row.paused_at is None]
    put_off = (Message.id.in_(message_ids), Message.state == State.PENDING, Message.reason == PAUSED)
    due_at = sa.case((Message.stream_id.in_(running), now), else_=now + LOOK_AGAIN)
    db.session.execute(sa.update(Message).where(*put_off).values(due_at=due_at).execution_options(synchronize_session=False))
    for row in streams:
        if row.id not in running:
            _put_off_slice(row.id, now)


def _put_off_slice(stream_id: int, now: datetime) -> None:
    """What another worker holds is passed over, and put off by that one."""
    due = (Message.stream_id == stream_id, Message.state == State.PENDING, UNDER_WAY, Message.due_at <= now)
    change_slice(due, {"due_at": now + LOOK_AGAIN, "reason": PAUSED}, SLICE)


def _waits_in(streams: Sequence[Stream], now: datetime) -> sa.ColumnElement[bool]:
    is_held = Message.reason.in_((PAUSED, OVERDUE, PACED, NOT_PLACED, OUTSIDE))  # what was due, and was put off
    is_waiting = sa.and_(Message.state == State.PENDING, sa.or_(Message.due_at <= now, is_held))
    return sa.and_(Message.stream_id.in_([stream.id for stream in streams]), is_waiting)
