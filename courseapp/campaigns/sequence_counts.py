"""Who is where in a version of a sequence, and who has left it and why: as counts alone, and pages never tell fewer than five."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from courseapp.campaigns.models import RunEnd, SequenceRun, SequenceStep, SequenceVersion
from courseapp.campaigns.moving import steps_of, twins_of
from courseapp.extensions import db
from courseapp.mailing.models import MAY_HAVE_LEFT, ON_THEIR_WAY, Message, State

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
    mails = _mails(version)
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
    """How many mails of each step there are in each state, of those who are in the version or have left it.

    Found by their runs, and so of the very people who are counted: mails stay when somebody is forgotten or moved. What those who
    were moved here had got of it in another version is this one's step as well (`twins_of`); copies that staff try out are none.
    """
    places = _places_of_letters(version)
    is_own = Message.dedupe_key.like(sa.literal("sequence:") + sa.cast(SequenceRun.id, sa.String) + ":%")
    query = (
        sa.select(Message.letter_id, Message.state, sa.func.count())
        .select_from(SequenceRun)
        .join(Message, sa.and_(Message.contact_id == SequenceRun.contact_id, is_own))
        .where(SequenceRun.version_id == version.id, Message.letter_id.in_(places))
    )
    found: Mails = Counter()
    for letter_id, state, count in db.session.execute(query.group_by(Message.letter_id, Message.state)):
        found[places[letter_id], state] += count
    return found


def _places_of_letters(version: SequenceVersion) -> dict[int | None, int]:
    """At which place of a version the letter of each step stands, also of steps of the other versions that are the same."""
    letters = sa.select(SequenceStep.letter_id, SequenceStep.version_id, SequenceStep.position)
    letters = letters.join(SequenceVersion, SequenceVersion.id == SequenceStep.version_id)
    rows = db.session.execute(letters.where(SequenceVersion.sequence_id == version.sequence_id)).all()
    steps = steps_of({row.version_id for row in rows})
    twins = {other: twins_of(its, steps[version.id]) for other, its in steps.items()}
    return {row.letter_id: twins[row.version_id][row.position] for row in rows if row.position in twins[row.version_id]}
