"""What of a sequence waits in the outbox: held back while it is paused, let go in the hours of its window, cancelled for good."""

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
from courseapp.mailing.outbox import OVERDUE
from courseapp.mailing.streams import PRIORITY
from courseapp.mailing.sums import CAME_BACK, IS_STEP, SEQUENCE_ENDED, SEQUENCE_PAUSED

NOT_BEFORE_RESUMED = datetime(9999, 1, 1, tzinfo=UTC)
LET_GO = datetime(9998, 1, 1, tzinfo=UTC)  # resumed, and not given a time yet: due times have an index, and so nobody looks for these
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
    let_go = (Message.state == State.PENDING, Message.priority.in_(PRIORITIES), Message.due_at == LET_GO)
    query = sa.select(Message).where(*let_go).order_by(Message.due_at, Message.id).limit(limit)
    found = db.session.scalars(query.with_for_update(skip_locked=True), execution_options={"populate_existing": True}).all()
    if not found:
        return 0
    whose = sa.select(Contact).where(Contact.id.in_({message.contact_id for message in found})).order_by(Contact.id)
    contacts = {contact.id: contact for contact in db.session.scalars(whose.with_for_update(key_share=True, skip_locked=True))}
    theirs = [message for message in found if message.contact_id in contacts]
    for message in theirs:
        version = db.session.scalars(
            sa.select(SequenceVersion)
            .join(SequenceStep, SequenceStep.version_id == SequenceVersion.id)
            .where(SequenceStep.letter_id == message.letter_id)
        ).one()
        message.due_at = in_window(version, _free_at(message, version, now), contacts[message.contact_id].zone)
        db.session.flush()
    return len(theirs)


def _free_at(message: Message, version: SequenceVersion, now: datetime) -> datetime:
    """A gap behind now, and behind each mail of a sequence that this person got or that waits for them."""
    query = (
        sa.select(sa.func.coalesce(Message.settled_at, Message.due_at), SequenceVersion.minimum_gap_hours)
        .join(SequenceStep, SequenceStep.letter_id == Message.letter_id)
        .join(SequenceVersion, SequenceVersion.id == SequenceStep.version_id)
        .where(
            Message.contact_id == message.contact_id,
            IS_STEP,
            sa.or_(
                sa.and_(Message.settled_at > now - timedelta(hours=MOST_GAP_HOURS), Message.state.in_(MAY_HAVE_COME)),
                sa.and_(Message.settled_at.is_(None), Message.due_at < LET_GO, Message.state.in_(ON_THEIR_WAY)),
            ),
        )
    )
    behind = [at + timedelta(hours=max(gap, version.minimum_gap_hours)) for at, gap in db.session.execute(query)]
    return max([now + timedelta(hours=version.minimum_gap_hours), *behind])


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
