"""Where learners came from: for each link that staff made, a total for each day that is over, in whole fives."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta

import sqlalchemy as sa
from flask_babel import format_date

from courseapp.extensions import db
from courseapp.insights.fives import carried
from courseapp.learning.models import Arrival, Source

SHOWN = 30  # days


@dataclass(frozen=True)
class SourceFigures:
    """A source: how many people started by its links, all told, and on each of the last days."""

    word: str
    total: int
    days: list[tuple[date, int]]

    @property
    def most(self) -> int:
        """The largest day."""
        return max(count for _day, count in self.days)

    @property
    def points(self) -> list[tuple[str, int]]:
        """The days as a chart names them."""
        return [(format_date(day, "medium"), count) for day, count in self.days]


def source_figures(course_id: int, today: date) -> list[SourceFigures]:
    """The sources of a course by word. Today is left out: while it runs, each start could be watched."""
    first = today - timedelta(days=SHOWN)
    earlier = first - timedelta(days=1)
    day = sa.case((Arrival.day < first, sa.literal(earlier, sa.Date)), else_=Arrival.day).label("on")
    own = sa.and_(Arrival.source_id == Source.id, Arrival.day < today)
    rows = db.session.execute(
        sa.select(Source.word, day, sa.func.sum(Arrival.count))
        .outerjoin(Arrival, own)
        .where(Source.course_id == course_id)
        .group_by(Source.word, day)
        .order_by(Source.word)
    )
    counts: dict[str, dict[date, int]] = defaultdict(dict)
    for word, on, count in rows:
        counts[word][on] = int(count or 0)
    days = [earlier + timedelta(days=number) for number in range(SHOWN + 1)]
    found = []
    for word, by_day in counts.items():
        shown = carried(by_day.get(on, 0) for on in days)
        found.append(SourceFigures(word, sum(shown), list(zip(days[1:], shown[1:], strict=True))))
    return found
