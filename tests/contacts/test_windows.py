"""Hours of a person's own day: over every zone, over midnight, over the changes of clocks, in leap years."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courseapp.contacts.windows import Window, next_in

ZONES = sorted(available_timezones() - {"localtime"})
SINCE = datetime(2024, 1, 1, tzinfo=UTC)
moments = st.integers(0, 8 * 366 * 86_400).map(lambda seconds: SINCE + timedelta(seconds=seconds))
times = st.times().map(lambda found: found.replace(second=0, microsecond=0))
NINE = Window(time(9), time(11))


@given(moments, st.sampled_from(ZONES), times, times)
def test_what_is_found_lies_in_the_window_and_nothing_before_it_does(moment: datetime, zone: str, start: time, end: time) -> None:
    window, place = Window(start, end), ZoneInfo(zone)
    found = next_in(window, moment, zone)
    assert found >= moment
    assert window.holds(found.astimezone(place).time())
    for minute in range(0, min(3000, int((found - moment).total_seconds() // 60)), 7):
        assert not window.holds((moment + timedelta(minutes=minute)).astimezone(place).time())
    assert found - moment < timedelta(days=2, hours=2)
    assert next_in(window, found, zone) == found


@pytest.mark.parametrize(
    ("moment", "zone", "window", "found"),
    [
        ("2026-11-02T08:30", "Europe/Berlin", NINE, "2026-11-02T08:30"),  # it is half past nine there
        ("2026-11-02T10:00", "Europe/Berlin", NINE, "2026-11-03T08:00"),  # the end is no more part of it
        ("2026-11-02T10:00", "America/New_York", NINE, "2026-11-02T14:00"),
        ("2026-11-02T10:00", "Asia/Kathmandu", NINE, "2026-11-03T03:15"),
        ("2027-03-28T00:00", "Europe/Berlin", Window(time(2, 30), time(4)), "2027-03-28T01:00"),  # half past two is left out
        ("2027-03-28T00:30", "Europe/Berlin", Window(time(2), time(3)), "2027-03-29T00:00"),  # all of it is left out
        ("2027-10-30T23:00", "Europe/Berlin", Window(time(2, 30), time(4)), "2027-10-31T00:30"),  # the first of two
        ("2026-11-02T23:30", "UTC", Window(time(22), time(6)), "2026-11-02T23:30"),
        ("2026-11-02T07:00", "UTC", Window(time(22), time(6)), "2026-11-02T22:00"),
        ("2028-02-28T12:00", "UTC", NINE, "2028-02-29T09:00"),
        ("2026-11-02T12:00", "UTC", Window(time(0), time(0)), "2026-11-02T12:00"),
        ("2026-11-02T12:00", "No/Where", NINE, "2026-11-03T09:00"),
        ("2011-12-29T22:00", "Pacific/Apia", NINE, "2011-12-30T19:00"),  # the thirtieth was left out there
    ],
)
def test_windows(moment: str, zone: str, window: Window, found: str) -> None:
    assert next_in(window, datetime.fromisoformat(moment).replace(tzinfo=UTC), zone) == datetime.fromisoformat(found).replace(tzinfo=UTC)
