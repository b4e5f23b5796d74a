"""Who is where in a version of a sequence, and who has left it and why: as counts alone, and pages never tell fewer than five."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from courseapp.campaigns.models import RunEnd, SequenceRun, SequenceStep, SequenceVersion
from courseapp.extensions import db
from courseapp.mailing.models import MAY_HAVE_LEFT, ON_THEIR_WAY, Message, State
from courseapp.mailing.sums import IS_STEP

Places = Counter[tuple[int, RunEnd | None]]
Mails = Counter[tuple[int, State]]


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
    places = _places(version)
    mails = _mails(version) + _mails_before_moving(version)
    count = db.session.scalar(sa.select(sa.func.count()).where(SequenceStep.version_id == version.id)) or 0
    steps = tuple(_step(position, places, mails) for position in range(count))
    ends = {end: sum(count for (_place, why), count in places.items() if why is end) for end in RunEnd}
    return Standing(steps, ends)


def _step(position: int, places: Places, mails: Mails) -> StepCounts:
    here = places[position, None]
    passed = sum(count for (place, _end), count in places.items() if place > position)
    wait, went = (sum(mails[position, state] for state in states) for states in (ON_THEIR_WAY, MAY_HAVE_LEFT))
    return StepCounts(here + wait, went, max(0, passed - wait - went))


def _places(version: SequenceVersion) -> Places:
    """How many stand before which step, or left there and why."""
    query = sa.select(SequenceRun.position, SequenceRun.end, sa.func.count()).where(SequenceRun.version_id == version.id)
    rows = db.session.execute(query.group_by(SequenceRun.position, SequenceRun.end))
    return Counter({(position, end): count for position, end, count in rows})


def _mails(version: SequenceVersion) -> Mails:
    """How many mails of each step there are in each state; copies that staff try out are none of them."""
    query = (
        sa.select(SequenceStep.position, Message.state, sa.func.count())
        .join(Message, Message.letter_id == SequenceStep.letter_id)
        .where(SequenceStep.version_id == version.id, IS_STEP)
    )
    return _by_state(query)


def _mails_before_moving(version: SequenceVersion) -> Mails:
    """Likewise what those who were moved to this version had got of it in the words of another: they began before it was published."""
    key = sa.literal("sequence:") + sa.cast(SequenceRun.id, sa.String) + ":" + sa.cast(SequenceStep.position, sa.String)
    query = (
        sa.select(SequenceStep.position, Message.state, sa.func.count())
        .select_from(SequenceRun)
        .join(SequenceStep, SequenceStep.version_id == SequenceRun.version_id)
        .join(Message, Message.dedupe_key == key)
        .where(
            SequenceRun.version_id == version.id, SequenceRun.started_at < version.published_at, Message.letter_id != SequenceStep.letter_id
        )
    )
    return _by_state(query)


def _by_state(query: sa.Select[int, State, int]) -> Mails:
    rows = db.session.execute(query.group_by(SequenceStep.position, Message.state))
    return Counter({(position, state): count for position, state, count in rows})
