"""People in groups of five, all of a group told alike; everything that is shown is counted from such groups.

Rounding each number by itself is not enough: “ten, of whom five did the one lesson and five the other, and fewer than five did
both” can pin those who did both. So it is not numbers that are rounded but people. They are put side by side with those most like them;
five together become five of whom only that is told which is true of all five; and what is left over, four at the most, is left out.
The page then is the true account of a course in which people come in fives alike. Whatever anyone adds, subtracts or intersects of
it, they cannot tell the real course from that one, in which each group they might mean is of none, of five or of more.
(Microaggregation: Domingo-Ferrer and Torra 2005, https://doi.org/10.1007/s10618-005-0007-5.)
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from courseapp.learning.enrolment import FEWEST, whole_fives

DAYS = (1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90, 180, 365)
LONGER = 9999  # stands for more days than the last


class Way(NamedTuple):
    """How far somebody is: the lessons they have done, a bit each; and within how many days they finished, 0 if they have not."""

    done: int
    within: int


@dataclass(frozen=True)
class Figures:
    """What may be shown of a course: whole fives of people, and within how many days half of those who finished had done so."""

    enrolled: int
    started: int
    finished: int
    within: int
    lessons: dict[str, int]

    def as_kept(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


def in_fives(people: Counter[Way], likeness: Callable[[Way], Any] | None = None) -> Counter[Way]:
    """The same people in groups of five alike; of each number of them no more than there are.

    Args:
        likeness: in which order those most like each other stand side by side; unless told otherwise, by how much they have done.
    """
    groups: Counter[Way] = Counter()
    rest: list[Way] = []
    for way in sorted(people, key=likeness or _likeness):
        rest += [way] * (people[way] % FEWEST)
        groups[way] += whole_fives(people[way])
    for start in range(0, whole_fives(len(rest)), FEWEST):
        groups[_common(rest[start : start + FEWEST])] += FEWEST
    return +groups


def _likeness(way: Way) -> tuple[int, bool, int, int]:
    return -way.done.bit_count(), way.within == 0, way.done, way.within


def _common(five: Sequence[Way]) -> Way:
    done = five[0].done
    for way in five:
        done &= way.done
    return Way(done, max(way.within for way in five) if all(way.within for way in five) else 0)


def added_up(groups: Counter[Way], lessons: Sequence[int]) -> Figures:
    """The figures of people in fives; `lessons` are the ids, in the order of the bits."""
    return Figures(
        enrolled=groups.total(),
        started=sum(count for way, count in groups.items() if way.done),
        finished=sum(count for way, count in groups.items() if way.within),
        within=_half_within(groups),
        lessons={str(lesson): sum(count for way, count in groups.items() if way.done >> bit & 1) for bit, lesson in enumerate(lessons)},
    )


def _half_within(groups: Counter[Way]) -> int:
    """The lower median; 0 where nobody has finished."""
    lengths = sorted((way.within, count) for way, count in groups.items() if way.within)
    total, passed = sum(count for _within, count in lengths), 0
    for within, count in lengths:
        passed += count
        if 2 * passed >= total:
            return within
    return 0


def carried(counts: Iterable[int]) -> list[int]:
    """Numbers in a row in whole fives, each with what the ones before it left over; together at most what they are together."""
    shown, total, told = [], 0, 0
    for count in counts:
        total += count
        shown.append(whole_fives(total) - told)
        told += shown[-1]
    return shown
