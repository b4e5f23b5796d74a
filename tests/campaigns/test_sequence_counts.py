"""Who is where in a sequence, counted from what really happened to people; and sums from which nobody can be subtracted."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.campaigns.models import Condition, RunEnd, SequenceStep, SequenceVersion
from courseapp.campaigns.sequence_counts import StepCounts, standing_of
from courseapp.campaigns.sequence_drafts import StepDraft, draft_of, keep_draft, migrate_runs, publish
from courseapp.campaigns.sequence_lists import under_way
from courseapp.campaigns.sequence_sentences import number_in, number_of, people
from courseapp.catalog.models import Course
from courseapp.extensions import db
from courseapp.learning.models import Enrolment
from courseapp.mailing.models import Letter, Message, State
from courseapp.mailing.outbox import enqueue
from courseapp.operations.people import erase
from tests.campaigns.people import learner_of, tick, withdraw
from tests.factories import NOW, lessons_of, make_completion, make_course, make_sequence


@pytest.fixture
def course(app: Flask) -> Course:
    """A course."""
    return make_course(needs=(("none", "none"),))


def learners(course: Course, count: int) -> list[User]:
    """Some who begin the course now."""
    return [learner_of(course) for _number in range(count)]


def standing(version: SequenceVersion) -> tuple[list[StepCounts], dict[RunEnd, int]]:
    """Who is where, and who has left for which reason."""
    found = standing_of(version)
    return list(found.steps), {end: count for end, count in found.ends.items() if count}


def test_people_are_counted_where_they_are(course: Course) -> None:
    version = make_sequence(delays=(0, 2, 4), conditions=[None, Condition.FINISHED, None])
    gone, *_others = learners(course, 7)
    assert standing(version) == ([StepCounts(0, 0, 0)] * 3, {})
    tick(NOW)
    assert standing(version) == ([StepCounts(0, 7, 0), StepCounts(7, 0, 0), StepCounts(0, 0, 0)], {})
    assert under_way(version.sequence) == {version.id: [7]}
    withdraw(gone, NOW + timedelta(days=1))
    tick(NOW + timedelta(days=2))
    assert standing(version) == ([StepCounts(0, 7, 0), StepCounts(0, 0, 6), StepCounts(6, 0, 0)], {RunEnd.UNSUBSCRIBED: 1})
    tick(NOW + timedelta(days=5))
    assert standing(version) == (
        [StepCounts(0, 7, 0), StepCounts(0, 0, 6), StepCounts(0, 6, 0)],
        {RunEnd.UNSUBSCRIBED: 1, RunEnd.FINISHED: 6},
    )
    assert under_way(version.sequence) == {}


def test_what_waits_in_the_outbox_waits_and_what_staff_try_out_counts_nowhere(course: Course) -> None:
    version = make_sequence(delays=(0, 2))
    first, _second = learners(course, 2)
    tick(NOW)
    (letter, _other) = letters_of(version)
    assert first.contact is not None
    enqueue(dedupe_key="trial:1:1:1", stream="service", contact_id=first.contact.id, letter=letter, fields={}, now=NOW)
    sent = db.session.scalars(sa.select(Message).where(Message.dedupe_key.like("sequence:%"))).all()
    sent[0].state, sent[0].settled_at = State.PENDING, None
    sent[1].state = State.SKIPPED
    db.session.flush()
    assert standing(version)[0] == [StepCounts(1, 0, 1), StepCounts(2, 0, 0)]


def test_who_is_moved_to_a_newer_version_has_not_missed_what_they_got_before(course: Course) -> None:
    version = make_sequence(delays=(0, 2, 4))
    learners(course, 5)
    tick(NOW)
    said = draft_of(version.sequence)
    newer = replace(said, steps=(replace(said.steps[0], body="Other words."), *said.steps[1:]))
    keep_draft(version.sequence, newer, version.sequence.draft_version, None, NOW)
    second = publish(version.sequence, None, NOW + timedelta(hours=1))
    migrate_runs(version.sequence, None, NOW + timedelta(hours=1))
    tick(NOW + timedelta(days=2))
    assert standing(version)[0] == [StepCounts(0, 0, 0)] * 3
    assert standing(second)[0] == [StepCounts(0, 5, 0), StepCounts(0, 5, 0), StepCounts(5, 0, 0)]


def test_a_step_put_in_before_they_came_is_one_they_went_on_without(course: Course) -> None:
    version = make_sequence(delays=(0, 2, 4))
    learners(course, 5)
    tick(NOW)
    tick(NOW + timedelta(days=2))
    said = draft_of(version.sequence)
    newer = replace(said, steps=(said.steps[0], StepDraft(1, None, "New", "In short", "Hello."), *said.steps[1:]))
    keep_draft(version.sequence, newer, version.sequence.draft_version, None, NOW)
    second = publish(version.sequence, None, NOW)
    migrate_runs(version.sequence, None, NOW + timedelta(days=3))
    tick(NOW + timedelta(days=3))
    assert standing(second)[0] == [StepCounts(0, 5, 0), StepCounts(0, 0, 5), StepCounts(0, 5, 0), StepCounts(5, 0, 0)]


def test_who_is_forgotten_is_counted_nowhere_and_hides_nobody_who_went_on_without(course: Course) -> None:
    version = make_sequence(delays=(0, 2, 4), conditions=[None, Condition.BEGUN, None], goal=None)
    found = learners(course, 8)
    for user in found[:4]:
        db.session.execute(sa.update(Enrolment).where(Enrolment.user_id == user.id).values(last_opened_at=NOW))
        make_completion(user, lessons_of(course)[0])
    tick(NOW)
    tick(NOW + timedelta(days=2))
    assert standing(version)[0] == [StepCounts(0, 8, 0), StepCounts(0, 4, 4), StepCounts(8, 0, 0)]
    for user in found[:3]:
        erase(user, user.contact, NOW + timedelta(days=3))
    db.session.commit()
    assert standing(version)[0] == [StepCounts(0, 5, 0), StepCounts(0, 1, 4), StepCounts(5, 0, 0)]


def letters_of(version: SequenceVersion) -> Sequence[Letter]:
    """The letters of a version."""
    query = sa.select(Letter).join(SequenceStep, SequenceStep.letter_id == Letter.id).where(SequenceStep.version_id == version.id)
    return db.session.scalars(query.order_by(SequenceStep.position)).all()


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("parts", "number", "words"),
    [
        ((), "0", "nobody"),
        ((0,), "0", "nobody"),
        ((3,), "a few", "a few people"),
        ((4, 4), "a few", "a few people"),
        ((5,), "5", "5 people"),
        ((1200, 34), "1,234", "1,234 people"),
        ((14, 23, 3), "at least 37", "at least 37 people"),
    ],
)
def test_no_sum_tells_a_part_that_is_few(app: Flask, parts: tuple[int, ...], number: str, words: str) -> None:
    assert (number_in(parts), people(parts)) == (number, words)


@pytest.mark.one_database
def test_few_are_never_told_exactly(app: Flask) -> None:
    assert [number_of(count) for count in (0, 1, 4, 5, 1000)] == ["0", "fewer than five", "fewer than five", "5", "1,000"]
