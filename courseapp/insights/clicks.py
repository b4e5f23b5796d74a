"""How often links of letters were followed: of days that are over, in whole fives, and nothing of what fewer than five people have got.

A click is not a person, so fives of clicks are none of people. They keep single visits from being watched, as days and fives do for
starts by a link (`sources.py`); who followed which link nothing knows.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa
from flask_babel import format_date

from courseapp.extensions import db
from courseapp.insights.after_mails import HAS_ARRIVED
from courseapp.insights.fives import carried
from courseapp.learning.enrolment import FEWEST
from courseapp.mailing.clicks import Link, clicks_by_day, links_of
from courseapp.mailing.models import Message

SHOWN = 30  # days
AMONG = 200  # the first mails of a letter, of which a few may be to one person


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


def link_figures(letter_ids: Collection[int], today: date) -> ByLetter:
    """The links of letters, by letter. Today is left out: while it runs, each click could be watched. Of a letter that fewer than five
    people have got none is told; those of days before the fifth got it are told with that day's."""
    counts, found = clicks_by_day(letter_ids, today), ByLetter()
    for letter_id in letter_ids:
        own = {number: by_day for (letter, number), by_day in counts.items() if letter == letter_id}
        told_from = _fifth_arrived(letter_id) if own else None
        found[letter_id] = [LinkFigures(link, _in_fives(own.get(link.number, {}), told_from)) for link in links_of(letter_id)]
    return found


def _fifth_arrived(letter_id: int) -> date | None:
    """The day (UTC) on which a letter had reached five people, as far as we know; None where it has not."""
    own = sa.and_(Message.letter_id == letter_id, HAS_ARRIVED, Message.dedupe_key.not_like("trial:%"))
    first = sa.select(Message.contact_id, Message.settled_at).where(own).order_by(Message.settled_at).limit(AMONG).subquery()
    moments = sa.select(sa.func.min(first.c.settled_at).label("at")).group_by(first.c.contact_id).order_by("at")
    fifth: datetime | None = db.session.scalar(moments.offset(FEWEST - 1).limit(1))
    return fifth.astimezone(UTC).date() if fifth is not None else None


def _in_fives(counted: Mapping[date, int], told_from: date | None) -> dict[date, int]:
    by_day: Counter[date] = Counter()
    if told_from is not None:
        for day, count in counted.items():
            by_day[max(day, told_from)] += count
    days = sorted(by_day)
    shown = carried(by_day[day] for day in days)
    return {day: count for day, count in zip(days, shown, strict=True) if count}


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
