"""Moments by the clocks of the house: over their changes, and what is no moment."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from courseapp import moments
from courseapp.errors import Refusal

pytestmark = pytest.mark.one_database
BERLIN = "Europe/Berlin"
NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "time", "moment", "words"),
    [
        ("2027-01-15", "09:00", datetime(2027, 1, 15, 8, tzinfo=UTC), "January 15, 2027, 9:00 AM (Europe/Berlin, UTC+01:00)"),
        ("2027-07-15", "09:00", datetime(2027, 7, 15, 7, tzinfo=UTC), "July 15, 2027, 9:00 AM (Europe/Berlin, UTC+02:00)"),
        ("2027-03-28", "02:30", datetime(2027, 3, 28, 1, 30, tzinfo=UTC), "March 28, 2027, 3:30 AM (Europe/Berlin, UTC+02:00)"),
        ("2027-10-31", "02:30", datetime(2027, 10, 31, 0, 30, tzinfo=UTC), "October 31, 2027, 2:30 AM (Europe/Berlin, UTC+02:00)"),
    ],
)
def test_the_clocks_of_the_zone_are_followed_over_their_changes(app: Flask, day: str, time: str, moment: datetime, words: str) -> None:
    found = moments.moment_of(day, time, BERLIN, NOW)
    assert found == moment
    with app.test_request_context():
        assert " ".join(moments.words_of_moment(found, BERLIN).split()) == words
    assert moments.is_as_typed(found, time, BERLIN) == (day != "2027-03-28")
    shown_day, shown_time = moments.fields_of(found, BERLIN)
    assert moments.moment_of(shown_day, shown_time, BERLIN, NOW) == moment  # what the form shows leads to the same moment


def test_the_second_half_past_two_of_autumn_can_be_told_from_the_first(app: Flask) -> None:
    with app.test_request_context():
        assert "UTC+01:00" in moments.words_of_moment(datetime(2027, 10, 31, 1, 30, tzinfo=UTC), BERLIN)
        assert moments.words_of_moment(NOW, "UTC").endswith("(UTC)")


def test_seconds_that_a_browser_adds_are_passed_over(app: Flask) -> None:
    with app.test_request_context(), pytest.raises(Refusal):
        moments.moment_of("x", "y", "UTC", NOW)
    assert moments.moment_of("2026-11-03", "09:00:00", "UTC", NOW) == NOW + timedelta(days=1)
