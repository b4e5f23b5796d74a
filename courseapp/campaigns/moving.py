"""Where somebody goes on who is moved from one version of a sequence to another: behind the steps they have had, whatever came between."""

from collections import Counter, defaultdict
from collections.abc import Collection
from collections.abc import Sequence as Rows
from dataclasses import dataclass

import sqlalchemy as sa

from courseapp.campaigns.models import SequenceStep
from courseapp.extensions import db
from courseapp.mailing.models import Letter


@dataclass(frozen=True)
class Step:
    """What makes a step the same in another version: its text, or else its day."""

    delay_days: int
    text: tuple[str, str]


def steps_of(version_ids: Collection[int]) -> dict[int, list[Step]]:
    """The steps of versions in their order."""
    query = sa.select(SequenceStep.version_id, SequenceStep.delay_days, Letter.subject, Letter.body)
    query = query.join(Letter, Letter.id == SequenceStep.letter_id).where(SequenceStep.version_id.in_(version_ids))
    found = defaultdict[int, list[Step]](list)
    for version_id, delay_days, subject, body in db.session.execute(query.order_by(SequenceStep.version_id, SequenceStep.position)):
        found[version_id].append(Step(delay_days, (subject, body)))
    return found


def place_in(new: Rows[Step], old: Rows[Step], position: int) -> int:
    """At which place of `new` somebody goes on who stood at `position` of `old`; its length where nothing is left for them.

    Behind all of it that they have had; where the last of these is there no more, at the first of a later day, and in front of what
    was still to come of the old one in any case.
    """
    twins = twins_of(old, new)
    behind = max((twins[place] + 1 for place in range(position) if place in twins), default=0)
    if position == 0 or position - 1 in twins:
        return behind
    later = (place for place in range(behind, len(new)) if new[place].delay_days > old[position - 1].delay_days)
    to_come = (twins[place] for place in range(position, len(old)) if twins.get(place, -1) >= behind)
    return min(next(later, len(new)), *to_come, len(new))


def twins_of(old: Rows[Step], new: Rows[Step]) -> dict[int, int]:
    """Which step of one version is which of another, by their places, each at most once: by its text; or, reworded, by its day."""
    places = {name: place for place, name in enumerate(_named(new))}
    twins = {place: places[name] for place, name in enumerate(_named(old)) if name in places}
    for place, step in enumerate(old):
        if place not in twins:
            for other, reworded in enumerate(new):
                keeps_order = all((place < one) == (other < its) and other != its for one, its in twins.items())
                if reworded.delay_days == step.delay_days and keeps_order:
                    twins[place] = other
                    break
    return twins


def _named(steps: Rows[Step]) -> list[tuple[tuple[str, str], int]]:
    """The text of each step, and how many before it have the same."""
    seen = Counter[tuple[str, str]]()
    names = []
    for step in steps:
        names.append((step.text, seen[step.text]))
        seen[step.text] += 1
    return names
