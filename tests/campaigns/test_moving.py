"""Moved to a newer version: behind what they have had, whatever steps came, went or changed their words; none twice and none lost."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from courseapp.campaigns.models import LatePolicy, Sequence
from courseapp.campaigns.moving import Step, place_in, twins_of
from courseapp.campaigns.sequence_drafts import StepDraft, draft_of, keep_draft, migrate_runs, publish
from courseapp.extensions import db
from courseapp.mailing.models import Message
from tests.campaigns.people import learner_of, run_of, steps, tick
from tests.factories import NOW, make_course, make_sequence

DAY = timedelta(days=1)


def written(*said: tuple[str, int]) -> tuple[StepDraft, ...]:
    """Letters, each a word and its day."""
    return tuple(StepDraft(day, None, word, "In short", f"Hello {word}.") for word, day in said)


def move(sequence: Sequence, letters: tuple[StepDraft, ...], day: int) -> None:
    """Publish these and move everybody to them."""
    keep_draft(sequence, replace(draft_of(sequence), steps=letters), sequence.draft_version, None, NOW)
    publish(sequence, None, NOW + day * DAY)
    migrate_runs(sequence, None, NOW + day * DAY)
    db.session.commit()


def sent_by(days: range) -> list[str]:
    """What the one person there is has got once these days are over."""
    for hours in range(24 * days.start, 24 * days.stop, 6):
        tick(NOW + timedelta(hours=hours))
    return [subject for subject, _state in steps()]


OLD = (("A", 0), ("B", 2), ("C", 5))


@pytest.mark.parametrize(
    ("new", "got"),
    [
        ((("A", 0), ("X", 1), ("B", 2), ("C", 5)), "ABC"),
        ((("B", 2), ("C", 5)), "ABC"),
        ((("C", 2),), "ABC"),
        ((("A", 0), ("B", 2), ("X", 3), ("C", 5)), "ABXC"),
        ((("A", 0), ("Y", 2), ("C", 5)), "ABC"),
        ((("X", 1), ("Y", 4), ("Z", 6)), "ABYZ"),
        ((("C", 0), ("X", 9)), "ABCX"),
        ((("A", 0), ("C", 1), ("B", 2)), "AB"),
        ((("A", 0),), "AB"),
    ],
)
def test_who_has_had_two_of_three_goes_on_behind_them(app: Flask, new: tuple[tuple[str, int], ...], got: str) -> None:
    course, version = make_course(), make_sequence(delays=(0,), goal=None)
    move(version.sequence, written(*OLD), 0)
    learner_of(course)
    assert sent_by(range(3)) == ["A", "B"]
    move(version.sequence, written(*new), 3)
    assert "".join(sent_by(range(3, 15))) == got
    assert run_of().ended_at is not None


def test_what_was_had_comes_not_again_by_way_of_a_version_without_it(app: Flask) -> None:
    course, version = make_course(), make_sequence(delays=(0,), goal=None)
    move(version.sequence, written(*OLD), 0)
    learner_of(course)
    assert sent_by(range(1)) == ["A"]
    move(version.sequence, written(("X", 1), ("C", 5)), 1)
    assert sent_by(range(1, 3)) == ["A", "X"]
    move(version.sequence, written(("X", 1), ("A", 3), ("C", 5), ("C", 7)), 3)
    assert sent_by(range(3, 15)) == ["A", "X", "C", "C"]


versions = st.lists(st.tuples(st.sampled_from("ABCD"), st.integers(0, 6)), max_size=6).map(
    lambda said: [Step(day, (word, "")) for (word, _), day in zip(said, sorted(day for _, day in said), strict=True)]
)


@pytest.mark.one_database
@given(old=versions, new=versions, had=st.integers(0, 6))
@settings(max_examples=300, deadline=None)
def test_a_place_is_behind_all_that_was_had_and_in_front_of_all_that_is_to_come(old: list[Step], new: list[Step], had: int) -> None:
    had = min(had, len(old))
    twins, place = twins_of(old, new), place_in(new, old, had)
    assert len(set(twins.values())) == len(twins)
    assert all(old[one].text == new[its].text or old[one].delay_days == new[its].delay_days for one, its in twins.items())
    behind = max((twins[one] for one in range(had) if one in twins), default=-1)
    assert behind < place <= len(new)  # none twice
    assert all(twins[one] >= place for one in range(had, len(old)) if one in twins and twins[one] > behind)  # none lost
    if had:
        assert all(its <= behind or new[its].delay_days <= old[had - 1].delay_days for its in range(place))
    assert had or place == 0


@pytest.mark.one_database
@given(old=versions, between=versions, new=versions, days=st.tuples(st.integers(0, 3), st.integers(4, 6)))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nobody_gets_words_twice_however_often_they_are_moved(
    app: Flask, old: list[Step], between: list[Step], new: list[Step], days: tuple[int, int]
) -> None:
    for table in reversed(db.metadata.sorted_tables):
        db.session.execute(sa.delete(table))
    db.session.commit()
    course, version = make_course(), make_sequence(delays=(0,), goal=None, late=LatePolicy.SEND, gap_hours=1)
    told = [written(("First", 0), *((step.text[0], step.delay_days) for step in said), ("Last", 9)) for said in (old, between, new)]
    move(version.sequence, told[0], 0)
    learner_of(course)
    day = 0
    for letters, moved in zip(told[1:], days, strict=True):
        sent_by(range(day, moved))
        if letters != draft_of(version.sequence).steps:
            move(version.sequence, letters, moved)
        day = moved
    got = sent_by(range(day, 12))
    most = {word: max(sum(step.subject == word for step in letters) for letters in told) for word in {"First", "Last", *"ABCD"}}
    assert all(got.count(word) <= most[word] for word in got)
    assert (got[0], got[-1]) == ("First", "Last")
    assert len(got) == db.session.scalar(sa.select(sa.func.count()).select_from(Message))
