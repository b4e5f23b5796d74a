"""What of a sequence waits in the outbox: held back while it is paused, let go in the hours of its window, cancelled for good."""

from collections.abc import Sequence as Rows
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.campaigns.models import Sequence, SequenceStep, SequenceVersion, Trigger
from courseapp.campaigns.runs import in_window
from courseapp.campaigns.sequence_shapes import MOST_GAP_HOURS
from courseapp.contacts.models import Contact, Purpose
from courseapp.extensions import db
from courseapp.mailing.models import MAY_HAVE_COME, ON_THEIR_WAY, Message, State
from courseapp.mailing.outbox import OVERDUE, PAUSED
from courseapp.mailing.streams import PRIORITY
from courseapp.mailing.sums import CAME_BACK, IS_STEP, SEQUENCE_ENDED, SEQUENCE_PAUSED

NOT_BEFORE_RESUMED = datetime(9999, 1, 1, tzinfo=UTC)
LET_GO = datetime(9998, 1, 1, tzinfo=UTC)  # resumed, and not given a time yet: due times have an index, and so nobody looks for these
ANEW = {"populate_existing": True}
PRIORITIES = (PRIORITY[Purpose.COURSE], PRIORITY[Purpose.MARKETING])


def hold_waiting(sequence: Sequence) -> None:
    """Hold back what of a sequence has not begun to leave. What a worker has leased is taken from it: it finishes the mail it is at.

    Should that one be refused for now, it comes back to wait with the others. What a restore found overdue stays so.
    """
    _change(
        sa.and_(_is_of(sequence), Message.state.in_(ON_THEIR_WAY)),
        state=_unless_leaving(State.PENDING.value, Message.state),
        reason=sa.case((Message.reason == OVERDUE, OVERDUE), else_=SEQUENCE_PAUSED),
        due_at=NOT_BEFORE_RESUMED,
        lease_epoch=_unless_leaving(Message.lease_epoch + 1, Message.lease_epoch),
        leased_until=_unless_leaving(None, Message.leased_until),
        attempts=sa.case((Message.state == State.LEASED, Message.attempts - 1), else_=Message.attempts),
    )


def let_waiting_go(sequence: Sequence) -> None:
    """Let what was held back leave; the next tick gives each its time (`give_times`)."""
    held = sa.and_(_is_of(sequence), Message.state.in_((State.PENDING, State.SUBMITTING)), Message.due_at == NOT_BEFORE_RESUMED)
    _change(held, reason=sa.case((Message.reason == OVERDUE, OVERDUE), else_=None), due_at=LET_GO)


def give_times(now: datetime, limit: int) -> int:
    """Give so many of the mails that were let go their time, in each person's window and behind all that they got or that waits for them.

    Like advancing it holds the contacts, and leaves people whom another one holds to the next tick. Returns how many were given one.
    """
    ids = db.session.scalars(_let_go, {"b_limit": limit}).all()
    if not ids:  # as it mostly is
        return 0
    found = db.session.scalars(sa.select(Message).where(Message.id.in_(ids)).order_by(Message.id), execution_options=ANEW).all()
    whose = sa.select(Contact).where(Contact.id.in_({message.contact_id for message in found})).order_by(Contact.id)
    contacts = {contact.id: contact for contact in db.session.scalars(whose.with_for_update(key_share=True, skip_locked=True))}
    steps = sa.select(SequenceStep.letter_id, SequenceVersion).join(SequenceVersion, SequenceVersion.id == SequenceStep.version_id)
    letters = {message.letter_id for message in found}
    versions = {row.letter_id: row.SequenceVersion for row in db.session.execute(steps.where(SequenceStep.letter_id.in_(letters)))}
    theirs = [message for message in found if message.contact_id in contacts]
    for message in theirs:
        version = versions[message.letter_id]
        message.due_at = in_window(version, _free_at(message, version, now), contacts[message.contact_id].zone)
        db.session.flush()  # what is next for the same person stands behind it
    return len(theirs)


_let_go = (
    sa.select(Message.id)
    .where(Message.state == State.PENDING, Message.priority.in_(PRIORITIES), Message.due_at == LET_GO)
    .order_by(Message.id)
    .limit(sa.bindparam("b_limit", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)


def _free_at(message: Message, version: SequenceVersion, now: datetime) -> datetime:
    """A gap behind now, and behind each mail of a sequence that this person got or that waits for them."""
    free = now + timedelta(hours=version.minimum_gap_hours)
    for at, _settled_at, _priority, gap_hours in steps_near(message.contact_id, now):
        free = max(free, at + timedelta(hours=max(gap_hours, version.minimum_gap_hours)))
    return free


def steps_near(contact_id: int, moment: datetime) -> Rows[Any]:
    """What this person got of sequences lately, or has waiting: when it comes or came (`at`), when it left, how urgent, with which gap."""
    due_at = sa.case((Message.reason == PAUSED, moment), else_=Message.due_at)  # put off for as long as its stream is paused
    at = sa.func.coalesce(Message.settled_at, due_at).label("at")
    query = (
        sa.select(at, Message.settled_at, Message.priority, SequenceVersion.minimum_gap_hours)
        .join(SequenceStep, SequenceStep.letter_id == Message.letter_id)
        .join(SequenceVersion, SequenceVersion.id == SequenceStep.version_id)
        .where(
            Message.contact_id == contact_id,
            IS_STEP,
            sa.or_(
                sa.and_(Message.settled_at > moment - timedelta(hours=MOST_GAP_HOURS), Message.state.in_(MAY_HAVE_COME)),
                sa.and_(Message.settled_at.is_(None), Message.due_at < LET_GO, Message.state.in_(ON_THEIR_WAY)),
            ),
        )
    )
    return db.session.execute(query).all()


def cancel_waiting(sequence: Sequence, now: datetime) -> None:
    """Let nothing of a sequence leave any more; what a worker is at leaves, but is not tried again."""
    _change(
        sa.and_(_is_of(sequence), Message.state.in_(ON_THEIR_WAY)),
        state=_unless_leaving(State.CANCELLED.value, Message.state),
        reason=_unless_leaving(SEQUENCE_ENDED, Message.reason),
        settled_at=_unless_leaving(now, Message.settled_at),
        lease_epoch=_unless_leaving(Message.lease_epoch + 1, Message.lease_epoch),
        leased_until=_unless_leaving(None, Message.leased_until),
        due_at=sa.case((Message.state == State.SUBMITTING, now), else_=Message.due_at),
        expires_at=sa.case((Message.state == State.SUBMITTING, now), else_=Message.expires_at),
    )


def _unless_leaving(value: Any, as_it_was: Any) -> sa.Case[Any]:
    """In one statement with what is leaving, so that nothing slips through that changes from one to the other meanwhile."""
    return sa.case((Message.state == State.SUBMITTING, as_it_was), else_=value)


def skip_for_those_back(now: datetime) -> int:
    """Skip what waits for people who were away when it was put into the outbox and have come back since; how many mails."""
    quiet = sa.select(SequenceVersion.id).where(SequenceVersion.trigger == Trigger.QUIET)
    letters = sa.select(SequenceStep.letter_id).where(SequenceStep.version_id.in_(quiet))
    is_back = sa.select(User.id).where(User.contact_id == Message.contact_id, User.seen_at > Message.created_at).exists()
    waiting = sa.and_(Message.state == State.PENDING, Message.letter_id.in_(letters), IS_STEP, is_back)
    return _change(waiting, state=State.SKIPPED, reason=CAME_BACK, settled_at=now)


def _is_of(sequence: Sequence) -> sa.ColumnElement[bool]:
    """Whether a message is a step of it; a trial of the same letter is none."""
    versions = sa.select(SequenceVersion.id).where(SequenceVersion.sequence_id == sequence.id)
    letters = sa.select(SequenceStep.letter_id).where(SequenceStep.version_id.in_(versions))
    return sa.and_(Message.letter_id.in_(letters), IS_STEP)


def _change(which: sa.ColumnElement[bool], **values: object) -> int:
    changed = db.session.execute(sa.update(Message).where(which).values(**values).execution_options(synchronize_session=False))
    return int(changed.rowcount)  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult
