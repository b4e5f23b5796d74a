"""How often links of letters were followed: of days that are over, in whole fives, and nothing of what fewer than five people have got.

A click is not a person, so fives of clicks are none of people. They keep single visits from being watched, as days and fives do for
starts by a link (`sources.py`); who followed which link nothing knows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from flask_babel import format_date

from courseapp.insights.fives import carried
from courseapp.learning.enrolment import FEWEST
from courseapp.mailing.clicks import Link, clicks_by_day, links_of

SHOWN = 30  # days


@dataclass(frozen=True)
class LinkFigures:
    """A link, and how many clicks on it are told of each day that has any to tell."""

    link: Link
    by_day: Mapping[date, int]

    @property
    def total(self) -> int:
        """All told."""
        return sum(self.by_day.values())


ByLetter = dict[int, list[LinkFigures]]


def link_figures(mailed: Mapping[int, int], today: date) -> ByLetter:
    """The links of letters, by letter. Today is left out: while it runs, each click could be watched.

    Args:
        mailed: how many mails of each letter have left; of a letter that fewer than five people have got no click is told.
    """
    told = [letter_id for letter_id, left in mailed.items() if left >= FEWEST]
    counts = clicks_by_day(told, today) if told else {}
    return {
        letter_id: [LinkFigures(link, _in_fives(counts.get((letter_id, link.number), {}))) for link in links_of(letter_id)]
        for letter_id in mailed
    }


def _in_fives(by_day: Mapping[date, int]) -> dict[date, int]:
    days = sorted(by_day)
    shown = carried(by_day[day] for day in days)
    return {day: count for day, count in zip(days, shown, strict=True) if count}


def is_anything_told(figures: ByLetter) -> bool:
    """Whether there is a number to show, as where clicks were counted once and are no more."""
    return any(row.total for rows in figures.values() for row in rows)


def days_of(rows: Iterable[LinkFigures], first: date, today: date) -> list[tuple[str, int]]:
    """Clicks on all of some links on each of the first days, as a chart names it; empty where none is told.

    The sum of what is told of each link, not the sum of the clicks in fives: that would tell of what each link left over.
    """
    counts: Counter[date] = Counter()
    for row in rows:
        counts.update(row.by_day)
    days = [first + timedelta(days=number) for number in range(min(SHOWN, (today - first).days))]
    points = [(format_date(day, "medium"), counts[day]) for day in days]
    return points if any(count for _name, count in points) else []
