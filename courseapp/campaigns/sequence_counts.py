"""Who is where in a version of a sequence, and who has left it and why: as counts alone, and pages never tell fewer than five."""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from courseapp.campaigns.models import RunEnd, SequenceRun, SequenceStep, SequenceVersion
from courseapp.extensions import db
from courseapp.mailing.models import Message, State

WAIT = (State.PENDING, State.LEASED, State.SUBMITTING)
WENT = (State.ACCEPTED, State.DELIVERED, State.BOUNCED, State.COMPLAINED, State.UNCERTAIN)


@dataclass(frozen=True)
class StepCounts:
    """How many of a version wait for a step, in the run or in the outbox, were sent it, and went on without it."""

    waiting: int
    sent: int
    skipped: int


@dataclass(frozen=True)
class Standing:
    """The steps of a version in their order, and how many have left it, by why."""

    steps: tuple[StepCounts, ...]
    ends: Mapping[RunEnd, int]


def standing_of(version: SequenceVersion) -> Standing:
    """Who is where in a version."""
    letters = db.session.scalars(
        sa.select(SequenceStep.letter_id).where(SequenceStep.version_id == version.id).order_by(SequenceStep.position)
    ).all()
    of_version = SequenceRun.version_id == version.id
    runs = sa.select(SequenceRun.position, SequenceRun.end, sa.func.count()).where(of_version)
    places = db.session.execute(runs.group_by(SequenceRun.position, SequenceRun.end)).all()
    mails = (
        sa.select(Message.letter_id, Message.state, sa.func.count())
        .where(Message.letter_id.in_(letters), Message.dedupe_key.like("sequence:%"))
        .group_by(Message.letter_id, Message.state)
    )
    states = {(letter_id, state): count for letter_id, state, count in db.session.execute(mails)}
    steps = []
    for position, letter_id in enumerate(letters):
        passed = sum(count for place, _end, count in places if place > position)
        wait, went = (sum(states.get((letter_id, state), 0) for state in chosen) for chosen in (WAIT, WENT))
        here = sum(count for place, end, count in places if place == position and end is None)
        steps.append(StepCounts(here + wait, went, max(0, passed - wait - went)))
    ends = {end: sum(count for _place, why, count in places if why is end) for end in RunEnd}
    return Standing(tuple(steps), ends)
