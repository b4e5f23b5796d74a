"""Runs that end from several sides at once: the news, the clock and staff. Nobody blocks anybody for good, and each ends once and whole."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.campaigns.loops import advance_runs, notice, read_news
from courseapp.campaigns.models import RunEnd, Sequence, SequenceRun
from courseapp.campaigns.sequence_drafts import StepDraft, archive, draft_of, keep_draft, migrate_runs, pause, publish, resume
from courseapp.contacts.people import forget_address
from courseapp.extensions import db
from courseapp.learning.progress import complete_lesson
from courseapp.learning.reading import lesson_of_learner
from courseapp.mailing.models import ON_THEIR_WAY, Message, State
from tests.campaigns.people import at, learner_of, tick, withdraw
from tests.campaigns.test_moving import DAY
from tests.factories import NOW, lessons_of, make_course, make_sequence
from tests.mailing.test_claiming import in_threads

PEOPLE, ROUNDS = 20, 4
LATER = NOW + 3 * DAY


def newer(sequence: Sequence) -> None:
    """Publish a version with a letter more, and have a draft of yet another; the caller commits."""
    draft = draft_of(sequence)
    steps = (*draft.steps, StepDraft(9, None, "Last", "Before", f"Version {sequence.draft_version}."))
    keep_draft(sequence, type(draft)(**{**vars(draft), "steps": steps}), sequence.draft_version, None, LATER)
    publish(sequence, None, LATER)


@pytest.mark.parametrize("which", range(ROUNDS))
def test_the_news_the_clock_and_staff_at_one_moment_leave_each_run_ended_once_and_whole(app: Flask, which: int) -> None:
    course = make_course(needs=(("none",),))
    (lesson,) = lessons_of(course)
    sequence_id = make_sequence(delays=(0, 2, 5)).sequence_id
    learners = [learner_of(course) for _number in range(PEOPLE)]
    tick(NOW)
    for number, user in enumerate(learners):
        assert user.contact is not None
        if number % 4 == 0:
            withdraw(user, LATER)
        elif number % 4 == 1:
            complete_lesson(lesson_of_learner(user.id, lesson.public_id, LATER) or pytest.fail("no such lesson"), LATER)
        elif number % 4 == 2:
            forget_address(user.contact, LATER)
        db.session.commit()

    def staff() -> None:
        sequence = db.session.get_one(Sequence, sequence_id)
        for change in (pause, resume, lambda row, *_: newer(row), migrate_runs, archive):
            change(sequence, None, LATER)
            db.session.commit()

    sides: list[Callable[[], object]] = [
        lambda: read_news(at(LATER)),
        lambda: advance_runs(at(LATER)),
        staff,
        lambda: [advance_runs(at(LATER)), read_news(at(LATER))],
        lambda: notice(at(LATER)),
    ]
    turned = sides[which:] + sides[:which]
    in_threads(app, lambda number: turned[number]() or True, len(turned))

    tick(LATER + DAY)
    db.session.expire_all()
    runs = db.session.scalars(sa.select(SequenceRun)).all()
    assert len(runs) == PEOPLE
    assert all(run.ended_at is not None and run.end is not None and run.next_run_at is None for run in runs)
    assert {run.end for run in runs} <= {RunEnd.UNSUBSCRIBED, RunEnd.GOAL, RunEnd.ERASED, RunEnd.STOPPED}
    keys = db.session.scalars(sa.select(Message.dedupe_key)).all()
    assert len(set(keys)) == len(keys)
    assert not db.session.scalar(sa.select(sa.func.count()).where(Message.state.in_(ON_THEIR_WAY)))
    told = {run.contact_id for run in runs if run.end is not RunEnd.STOPPED}
    late = sa.select(Message.contact_id).where(Message.state == State.ACCEPTED, Message.settled_at > LATER)
    assert not told & set(db.session.scalars(late))
