"""Windows: at which hours of a person's own day, and on which days of their week, a mail may come."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask_babel import format_time
from flask_babel import gettext as _

EVERY_DAY = "1234567"
DAYS_TRIED = 16  # a change of clocks may leave out a window of one night, which may be the only one of its week; nothing leaves out two


@dataclass(frozen=True)
class Window:
    """From one hour to another by the clock on the wall; over midnight where it ends before it begins, all day where both are one."""

    start: time
    end: time

    def holds(self, moment: time) -> bool:
        """Whether a wall clock shows a time of the window; its end is none of it."""
        if self.start < self.end:
            return self.start <= moment < self.end
        return self.start == self.end or moment >= self.start or moment < self.end


def as_columns(window: Window | None, weekdays: str = EVERY_DAY) -> dict[str, Any]:
    """The columns of a row that keeps a window and its days; all empty where it may be any hour of any day."""
    is_any = window is None or (window.start == window.end and set(EVERY_DAY) <= set(weekdays))
    if window is None or is_any:
        return {"window_start": None, "window_end": None, "weekdays": None}
    return {"window_start": window.start, "window_end": window.end, "weekdays": weekdays}


def next_in(window: Window, moment: datetime, zone: str, weekdays: str = EVERY_DAY) -> datetime:
    """The first moment from this one on at which the clocks of a zone show a time of the window, on one of these days; in UTC.

    A window that begins in an hour that is left out when clocks go forward begins right behind it; one that comes twice when they go
    back begins with the first. A window that is left out as a whole is not that day's. One over midnight belongs to the day on which
    it begins.

    Args:
        weekdays: digits of ISO 8601, 1 is Monday; at least one.
    """
    place = zone_of(zone)
    local = moment.astimezone(place)
    if _is_in(window, local, weekdays):
        return moment.astimezone(UTC)
    start = window.start if window.start != window.end else time(0)
    for days in range(DAYS_TRIED):
        day = local.date() + timedelta(days=days)
        begins = _first_after(datetime.combine(day, start, tzinfo=place))
        if begins > moment and _is_in(window, begins.astimezone(place), weekdays):
            return begins
    raise AssertionError("no clock leaves out a window for weeks")


def _is_in(window: Window, local: datetime, weekdays: str) -> bool:
    is_after_midnight = window.start > window.end and local.time() < window.end
    day = local.date() - timedelta(days=is_after_midnight)
    return window.holds(local.time()) and str(day.isoweekday()) in weekdays


def _first_after(wished: datetime) -> datetime:
    """The first moment at which a zone's clock shows this time or, where it is left out, the first one behind it; in UTC."""
    moment = min(wished.replace(fold=fold).astimezone(UTC) for fold in (0, 1))  # in a gap the earlier reading lies before it
    while moment.astimezone(wished.tzinfo).replace(tzinfo=None) < wished.replace(tzinfo=None):
        moment += timedelta(minutes=1)  # clocks are changed at whole minutes
    return moment


@lru_cache(1000)
def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name; UTC for one that is not known here any more."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def words_of_window(window: Window) -> str:
    """The hours of a window in words; empty where it may be any."""
    if window.start == window.end:
        return ""
    start, end = (format_time(datetime.combine(date.min, hour, UTC), "short", rebase=False) for hour in (window.start, window.end))
    return str(_("between %(start)s and %(end)s their time", start=start, end=end))
