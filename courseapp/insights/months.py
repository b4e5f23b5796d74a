"""Months as the organisation counts them: by the clocks of the site's zone, in words and in SQL."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from flask_babel import format_date

USUAL = 12  # months
Asked = sa.Select[*tuple[Any, ...]]
"""A statement for rows of several columns."""


class Month(NamedTuple):
    """A month of a year; January is 1. As text `2026-11`."""

    year: int
    number: int

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"

    @property
    def following(self) -> "Month":
        """The one after it."""
        return self.before(-1)

    def before(self, count: int) -> "Month":
        """The month so many months before it."""
        year, number = divmod(12 * self.year + self.number - 1 - count, 12)
        return Month(year, number + 1)

    def begins_at(self, zone: ZoneInfo) -> datetime:
        """Its first moment by the clocks of a zone, in UTC."""
        return datetime(self.year, self.number, 1, tzinfo=zone).astimezone(UTC)

    @property
    def words(self) -> str:
        """Its name, as “November 2026”."""
        return self._as("LLLL yyyy")

    @property
    def short_words(self) -> str:
        """Its name where there is little room, as “Nov 2026”."""
        return self._as("LLL yyyy")

    def _as(self, pattern: str) -> str:
        return str(format_date(date(self.year, self.number, 1), pattern))


def month_of(moment: datetime, zone: ZoneInfo) -> Month:
    """The month that the clocks of a zone show at a moment."""
    local = moment.astimezone(zone)
    return Month(local.year, local.month)


def months_between(first: Month, last: Month) -> list[Month]:
    """All of them in order, both ends included; none where the last comes before the first."""
    count = 12 * (last.year - first.year) + last.number - first.number + 1
    return [last.before(back) for back in reversed(range(count))]


def within(column: Any, months: Sequence[Month], zone: ZoneInfo) -> tuple[sa.Label[int], sa.ColumnElement[bool]]:
    """SQL about months that follow each other: which of them a moment lies in (from 0), and that it lies in one of them at all.

    Args:
        column: a moment of a row, or an expression of that type.
    """
    ends = [month.following.begins_at(zone) for month in months]
    number = sa.case(*((column < end, sa.literal_column(str(place), sa.Integer)) for place, end in enumerate(ends)))
    return number.label("in_month"), sa.and_(column >= months[0].begins_at(zone), column < ends[-1])
