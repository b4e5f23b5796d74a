"""After an outage nothing bursts: a least gap per person, and for what is late send, skip or shift."""

from datetime import datetime, time, timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from courseapp.campaigns.advancing import LATE_AFTER
from courseapp.campaigns.catching_up import catch_up
from courseapp.campaigns.models import LatePolicy, RunEnd, Sequence
from courseapp.extensions import db
from courseapp.mailing.models import Message
from courseapp.mailing.outbox import OVERDUE
from tests.campaigns.people import learner_of, run_of, tick
from tests.factories import NOW, make_course, make_sequence


def sent_at(ticks: list[datetime], late: LatePolicy, delays: tuple[int, ...] = (0, 2, 5), gap: int = 20) -> list[tuple[str, timedelta]]:
    """Begin a sequence now, tick at these moments; the steps and when each went."""
    make_sequence(delays=delays, late=late, gap_hours=gap)
    learner_of(make_course(needs=(("none",),)))
    for moment in ticks:
        tick(moment)
    rows = db.session.scalars(sa.select(Message).order_by(Message.id)).all()
    return [(row.letter.subject if row.letter else "", row.created_at - NOW) for row in rows]


def often(first: timedelta, last: timedelta) -> list[datetime]:
    """Every four hours from one day to another."""
    return [NOW + first + timedelta(hours=hour) for hour in range(0, int((last - first).total_seconds() // 3600) + 1, 4)]


DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def test_late_steps_are_sent_one_after_another_with_the_gap_between_them(app: Flask) -> None:
    assert sent_at([NOW, *often(10 * DAY, 13 * DAY)], LatePolicy.SEND) == [
        ("Step 0", timedelta(0)),
        ("Step 1", 10 * DAY),
        ("Step 2", 10 * DAY + 20 * HOUR),
    ]


def test_late_steps_are_skipped_and_those_still_to_come_keep_their_day(app: Flask) -> None:
    assert sent_at([NOW, *often(3 * DAY, 6 * DAY)], LatePolicy.SKIP) == [("Step 0", timedelta(0)), ("Step 2", 5 * DAY)]
    assert run_of().end is RunEnd.FINISHED


def test_all_steps_that_an_outage_held_up_are_skipped_not_only_the_first(app: Flask) -> None:
    assert sent_at(often(10 * DAY, 13 * DAY), LatePolicy.SKIP, delays=(0, 2, 5, 12)) == [
        ("Step 0", 10 * DAY),  # the run itself began late, when the news was read
        ("Step 1", 12 * DAY),
    ]
    assert run_of().end is None


def test_an_outage_over_several_steps_skips_them_all(app: Flask) -> None:
    assert sent_at([NOW, *often(10 * DAY, 14 * DAY)], LatePolicy.SKIP, delays=(0, 2, 5, 12)) == [
        ("Step 0", timedelta(0)),
        ("Step 3", 12 * DAY),
    ]


def test_shifting_moves_everything_that_follows(app: Flask) -> None:
    assert sent_at([NOW, *often(10 * DAY, 15 * DAY)], LatePolicy.SHIFT) == [
        ("Step 0", timedelta(0)),
        ("Step 1", 10 * DAY),
        ("Step 2", 13 * DAY),
    ]


@pytest.mark.parametrize("late", list(LatePolicy))
def test_a_few_hours_are_not_late(app: Flask, late: LatePolicy) -> None:
    found = sent_at([NOW, NOW + 2 * DAY + LATE_AFTER, *often(3 * DAY, 6 * DAY)], late)
    assert found == [("Step 0", timedelta(0)), ("Step 1", 2 * DAY + LATE_AFTER), ("Step 2", 5 * DAY)]


def test_steps_planned_closer_than_the_gap_are_kept_apart(app: Flask) -> None:
    found = sent_at(often(timedelta(0), 4 * DAY), LatePolicy.SEND, delays=(0, 0, 1), gap=20)
    assert found == [("Step 0", timedelta(0)), ("Step 1", 20 * HOUR), ("Step 2", 40 * HOUR)]


@pytest.mark.parametrize("late", [LatePolicy.SEND, LatePolicy.SHIFT])
def test_what_a_restore_at_night_finds_overdue_waits_in_the_outbox_and_comes_in_its_hours(app: Flask, late: LatePolicy) -> None:
    make_sequence(delays=(0, 2, 3, 9), late=late, window_start=time(9), window_end=time(20))
    learner_of(make_course(needs=(("none",),)))
    tick(NOW)
    assert catch_up(NOW.replace(hour=3) + 4 * DAY) == 1
    db.session.commit()
    rows = db.session.scalars(sa.select(Message).where(Message.reason == OVERDUE).order_by(Message.id)).all()
    expected = [4 * DAY, 5 * DAY] if late is LatePolicy.SEND else [4 * DAY]  # the third comes as much later as the second
    assert [row.due_at - NOW.replace(hour=9) for row in rows] == expected


def test_a_paused_sequence_waits_and_goes_on(app: Flask) -> None:
    sent_at([NOW], LatePolicy.SEND)
    sequence = db.session.scalars(sa.select(Sequence)).one()
    sequence.paused_at = NOW + DAY
    db.session.commit()
    tick(NOW + 2 * DAY)
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Message)) == 1
    sequence.paused_at = None
    db.session.commit()
    tick(NOW + 3 * DAY)
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Message)) == 2


@pytest.mark.one_database
@given(
    late=st.sampled_from(LatePolicy),
    delays=st.lists(st.integers(0, 6), min_size=1, max_size=4).map(sorted).map(tuple),
    gap=st.integers(1, 48),
    hours=st.lists(st.integers(0, 24 * 20), min_size=3, max_size=12).map(sorted),
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whenever_the_worker_runs_nobody_gets_a_step_twice_too_early_or_too_soon_after_another(
    app: Flask, late: LatePolicy, delays: tuple[int, ...], gap: int, hours: list[int]
) -> None:
    for table in reversed(db.metadata.sorted_tables):
        db.session.execute(sa.delete(table))
    db.session.commit()
    found = sent_at([NOW, *(NOW + hour * HOUR for hour in hours)], late, delays, gap)
    numbers = [int(subject.split()[1]) for subject, _when in found]
    assert numbers == sorted(set(numbers))
    assert all(when >= delays[number] * DAY for number, (_subject, when) in zip(numbers, found, strict=True))
    moments = [when for _subject, when in found]
    assert all(after - before >= gap * HOUR for before, after in pairwise(moments))
    if late is not LatePolicy.SKIP:
        assert numbers == list(range(len(numbers)))
