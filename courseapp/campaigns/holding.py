"""What of a sequence waits in the outbox: held back while it is paused, let go in the hours of its window, cancelled for good."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from courseapp.campaigns.models import Sequence, SequenceStep, SequenceVersion
from courseapp.contacts.models import Contact
from courseapp.contacts.windows import Window, next_in
from courseapp.extensions import db, wake
from courseapp.mailing.models import Message, State
from courseapp.mailing.sums import IS_STEP

SEQUENCE_PAUSED = "its sequence is paused"
SEQUENCE_ENDED = "its sequence was put away"
CAME_BACK = "they came back"
NOT_BEFORE_RESUMED = datetime(9999, 1, 1, tzinfo=UTC)


def hold_waiting(sequence: Sequence) -> None:
    """Hold back what of a sequence has not begun to leave. What a worker has leased is taken from it: it finishes the mail it is at."""
    held = sa.and_(_is_of(sequence), Message.state.in_((State.PENDING, State.LEASED)))
    _change(
        held,
        state=State.PENDING,
        reason=SEQUENCE_PAUSED,
        due_at=NOT_BEFORE_RESUMED,
        lease_epoch=Message.lease_epoch + 1,
        leased_until=None,
        attempts=sa.case((Message.state == State.LEASED, Message.attempts - 1), else_=Message.attempts),
    )


def let_waiting_go(sequence: Sequence, now: datetime) -> None:
    """Let what was held back leave, in each person's window, and no sooner than the least gap behind what they may have got meanwhile."""
    query = (
        sa.select(SequenceVersion, Contact.zone)
        .join(SequenceStep, SequenceStep.version_id == SequenceVersion.id)
        .join(Message, Message.letter_id == SequenceStep.letter_id)
        .join(Contact, Contact.id == Message.contact_id)
        .where(SequenceVersion.sequence_id == sequence.id, *_is_held())
        .distinct()
    )
    for version, zone in db.session.execute(query).all():
        letters = sa.select(SequenceStep.letter_id).where(SequenceStep.version_id == version.id)
        there = sa.select(Contact.id).where(Contact.id == Message.contact_id, Contact.zone == zone).exists()
        window = Window(version.window_start, version.window_end)
        due_at = next_in(window, now + timedelta(hours=version.minimum_gap_hours), zone, version.weekdays)
        _change(sa.and_(Message.letter_id.in_(letters), there, *_is_held()), reason=None, due_at=due_at)
    wake("outbox")


def cancel_waiting(sequence: Sequence, now: datetime) -> None:
    """Let nothing of a sequence leave any more; what a worker is at leaves."""
    waiting = sa.and_(_is_of(sequence), Message.state.in_((State.PENDING, State.LEASED)))
    _change(waiting, state=State.CANCELLED, reason=SEQUENCE_ENDED, settled_at=now, lease_epoch=Message.lease_epoch + 1, leased_until=None)


def skip_waiting(dedupe_keys: list[str], now: datetime) -> None:
    """Skip what waits for people who came back."""
    waiting = sa.and_(Message.dedupe_key.in_(dedupe_keys), Message.state == State.PENDING)
    _change(waiting, state=State.SKIPPED, reason=CAME_BACK, settled_at=now)


def _is_of(sequence: Sequence) -> sa.ColumnElement[bool]:
    """Whether a message is a step of it; a trial of the same letter is none."""
    versions = sa.select(SequenceVersion.id).where(SequenceVersion.sequence_id == sequence.id)
    letters = sa.select(SequenceStep.letter_id).where(SequenceStep.version_id.in_(versions))
    return sa.and_(Message.letter_id.in_(letters), IS_STEP)


def _is_held() -> tuple[sa.ColumnElement[bool], ...]:
    return (Message.state == State.PENDING, Message.reason == SEQUENCE_PAUSED)


def _change(which: sa.ColumnElement[bool], **values: object) -> None:
    db.session.execute(sa.update(Message).where(which).values(**values).execution_options(synchronize_session=False))
