"""A sequence under time travel: each step on its day, once; what begins it, and what ends it early."""

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.campaigns.advancing import runs_due
from courseapp.campaigns.loops import advance_runs, read_news
from courseapp.campaigns.models import RunEnd, SequenceRun, SequenceVersion
from courseapp.campaigns.publishing import publish_sequence
from courseapp.campaigns.sequence_drafts import StepDraft, draft_of, keep_draft, publish
from courseapp.catalog.models import Course
from courseapp.contacts.models import Purpose
from courseapp.contacts.people import confirm, forget_address
from courseapp.extensions import db
from courseapp.journal.models import Receipt
from courseapp.learning.enrolment import enrol
from courseapp.learning.models import Enrolment
from courseapp.learning.progress import complete_lesson
from courseapp.learning.reading import lesson_of_learner
from courseapp.mailing.loops import drain
from courseapp.mailing.models import Message
from tests.campaigns.people import at, learner_of, run_of, steps, tick, withdraw
from tests.factories import NOW, lessons_of, make_consent, make_course, make_guest, make_run, make_sequence
from tests.query_counts import statements

FIRST_WEEK = Path(__file__).parent.parent.parent / "content" / "sequences" / "first-week"


def after(**length: float) -> datetime:
    """A moment after the beginning."""
    return NOW + timedelta(**length)


@pytest.fixture
def course(app: Flask) -> Course:
    """A course of two lessons."""
    return make_course(needs=(("none", "none"),))


@pytest.fixture
def version(course: Course) -> SequenceVersion:
    """A sequence of three steps: at once, on day 2, on day 5."""
    return make_sequence(delays=(0, 2, 5))


def test_each_step_goes_on_its_day_and_once_however_often_one_looks(course: Course, version: SequenceVersion) -> None:
    learner_of(course)
    seen = []
    for hours in range(0, 24 * 8, 3):
        tick(after(hours=hours))
        seen.append((hours, len(steps())))
    assert [next(hours for hours, count in seen if count == number) for number in (1, 2, 3)] == [0, 48, 120]
    assert steps() == [("Step 0", "accepted"), ("Step 1", "accepted"), ("Step 2", "accepted")]
    assert (run_of().end, run_of().next_run_at) == (RunEnd.FINISHED, None)


def test_the_first_week_of_the_introduction_goes_on_days_0_2_and_5(course: Course) -> None:
    publish_sequence(FIRST_WEEK, NOW)
    learner_of(course)
    counts = []
    for day in range(8):
        tick(after(days=day, minutes=1))
        counts.append(len(steps()))
    assert counts == [1, 1, 2, 2, 2, 3, 3, 3]
    assert all(state == "accepted" and subject.startswith("Your course:") for subject, state in steps())


def test_a_letter_says_one_lesson_as_one(app: Flask) -> None:
    make_sequence(delays=(0,))
    learner_of(make_course(needs=(("none",),)))
    read_news(at(NOW))
    assert [message.fields["progress_words"] for message in db.session.scalars(sa.select(Message))] == ["0 of 1 lesson"]


def together(app: Flask, moment: datetime, how_many: int = 2) -> list[int]:
    """As many schedulers at the same moment; how many runs each advanced."""
    barrier, advanced = threading.Barrier(how_many), []

    def one() -> None:
        with app.app_context():
            barrier.wait(10)
            advanced.append(advance_runs(at(moment)))

    threads = [threading.Thread(target=one) for _ in range(how_many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return advanced


def test_with_two_schedulers_each_step_goes_once_and_each_person_gets_it(app: Flask, course: Course, version: SequenceVersion) -> None:
    for _person in range(12):
        learner_of(course)
    tick(NOW)
    for day in (2, 5):  # reading the news has sent the first step
        assert sum(together(app, after(days=day))) == 12  # neither does the other's work again
        db.session.rollback()
        drain(at(after(days=day)))
    counted = db.session.execute(sa.select(Message.dedupe_key, sa.func.count()).group_by(Message.dedupe_key)).all()
    assert len(counted) == 36
    assert {count for _key, count in counted} == {1}
    assert set(db.session.scalars(sa.select(SequenceRun.end))) == {RunEnd.FINISHED}


def test_what_is_overdue_in_a_paused_sequence_is_not_read_and_steps_are_read_once_a_batch(course: Course, version: SequenceVersion) -> None:
    paused = make_sequence(delays=(0,))
    paused.sequence.paused_at = NOW
    for _person in range(5):
        contact = learner_of(course).contact
        assert contact is not None
        make_run(paused, contact, course, next_run_at=after(days=-1))
    db.session.commit()
    with statements() as asked:
        assert runs_due(NOW, 100) == []
    assert len(asked) == 1
    db.session.rollback()
    read_news(at(NOW))
    with statements() as asked:
        assert advance_runs(at(after(days=2))) == 5
    assert sum("FROM sequence_steps" in statement and "messages" not in statement for statement in asked) == 1


def test_the_longest_waiting_are_advanced_first_whatever_sequence_they_are_of(course: Course) -> None:
    for hours, sequence in ((1, make_sequence(delays=(0,))), (3, make_sequence(delays=(0,))), (2, make_sequence(delays=(0,)))):
        for _person in range(2):
            contact = learner_of(course).contact
            assert contact is not None
            make_run(sequence, contact, course, next_run_at=after(hours=-hours))
    db.session.commit()
    waited = [NOW - run.next_run_at for run in runs_due(NOW, 3) if run.next_run_at is not None]
    assert waited == [timedelta(hours=3), timedelta(hours=3), timedelta(hours=2)]


def test_two_readers_read_each_receipt_once(app: Flask, course: Course, version: SequenceVersion) -> None:
    for _person in range(30):
        learner_of(course)
    unread = db.session.scalar(sa.select(sa.func.count()).select_from(Receipt).where(Receipt.read_at.is_(None)))
    db.session.rollback()
    barrier, read = threading.Barrier(2), []

    def one() -> None:
        with app.app_context():
            barrier.wait(10)
            read.append(read_news(at(NOW)))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(read) == unread == 30
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Receipt).where(Receipt.read_at.is_(None))) == 0
    assert db.session.scalar(sa.select(sa.func.count()).select_from(SequenceRun)) == 30
    assert len(steps()) == 30


def test_news_read_twice_begins_nothing_twice(course: Course, version: SequenceVersion) -> None:
    learner_of(course)
    tick(NOW)
    db.session.execute(sa.update(Receipt).values(read_at=None))
    db.session.commit()
    tick(after(minutes=1))
    assert len(steps()) == 1


# What ends it


def test_unsubscribing_between_two_steps_stops_it(course: Course, version: SequenceVersion) -> None:
    user = learner_of(course)
    tick(NOW)
    withdraw(user, after(days=1))
    tick(after(days=1))
    assert run_of().end is RunEnd.UNSUBSCRIBED
    tick(after(days=9))
    assert steps() == [("Step 0", "accepted")]


def test_unsubscribing_while_the_mail_waits_stops_that_mail_too(course: Course, version: SequenceVersion) -> None:
    user = learner_of(course)
    read_news(at(NOW))
    db.session.commit()
    assert steps() == [("Step 0", "pending")]
    withdraw(user, NOW)
    tick(NOW)
    message = db.session.scalars(sa.select(Message)).one()
    assert (message.state.value, message.reason) == ("skipped", "unsubscribed")


def test_unsubscribing_counts_though_nobody_has_read_the_news_yet(course: Course, version: SequenceVersion) -> None:
    user = learner_of(course)
    tick(NOW)
    withdraw(user, after(days=1))
    advance_runs(at(after(days=2)))
    assert run_of().end is RunEnd.UNSUBSCRIBED
    assert len(steps()) == 1


def finish(course: Course, moment: datetime) -> None:
    """Do every lesson."""
    takes = (Enrolment.user_id == User.id, Enrolment.course_id == course.id)
    learner = db.session.scalars(sa.select(User).join(Enrolment, sa.and_(*takes))).one()
    for lesson in lessons_of(course):
        complete_lesson(lesson_of_learner(learner.id, lesson.public_id, moment) or pytest.fail("no such lesson"), moment)
    db.session.commit()


def test_finishing_the_course_stops_it(course: Course, version: SequenceVersion) -> None:
    learner_of(course)
    tick(NOW)
    finish(course, after(days=1))
    tick(after(days=1))
    assert run_of().end is RunEnd.GOAL
    tick(after(days=9))
    assert steps() == [("Step 0", "accepted")]


def test_a_mail_that_waits_is_pointless_once_the_course_is_finished(course: Course, version: SequenceVersion) -> None:
    learner_of(course)
    read_news(at(NOW))
    db.session.commit()
    finish(course, NOW)
    tick(NOW)
    message = db.session.scalars(sa.select(Message)).one()
    assert (message.state.value, message.reason) == ("skipped", "pointless")


def test_whoever_finished_another_course_before_or_finishes_it_meanwhile_gets_the_letters_of_this_one(
    course: Course, version: SequenceVersion
) -> None:
    user = learner_of(course)
    other, third = make_course(needs=(("none",),)), make_course(needs=(("none",),))
    for more in (other, third):
        enrol(user, more.id, NOW)
    db.session.execute(sa.delete(Receipt))
    db.session.commit()
    finish(other, NOW)
    db.session.execute(sa.delete(Receipt))
    make_run(version, user.contact, course)
    db.session.commit()
    advance_runs(at(NOW))
    finish(third, after(minutes=1))
    drain(at(after(minutes=2)))
    assert steps() == [("Step 0", "accepted")]
    advance_runs(at(after(days=2)))
    finish(course, after(days=2))
    drain(at(after(days=2)))
    assert steps() == [("Step 0", "accepted"), ("Step 1", "skipped")]


def test_finishing_counts_though_nobody_has_read_the_news_yet(course: Course, version: SequenceVersion) -> None:
    learner_of(course)
    tick(NOW)
    finish(course, after(days=1))
    advance_runs(at(after(days=2)))
    assert run_of().end is RunEnd.GOAL
    assert len(steps()) == 1


def test_a_goal_reached_before_the_start_begins_nothing(course: Course, version: SequenceVersion) -> None:
    learner_of(course)
    finish(course, NOW)
    tick(after(minutes=1))
    assert steps() == []
    assert set(db.session.scalars(sa.select(SequenceRun.end))) <= {RunEnd.GOAL}


def test_an_address_that_is_forgotten_gets_nothing_more(course: Course, version: SequenceVersion) -> None:
    user = learner_of(course)
    tick(NOW)
    assert user.contact is not None
    forget_address(user.contact, after(days=1))
    db.session.commit()
    tick(after(days=2))
    assert run_of().end is RunEnd.ERASED
    assert len(steps()) == 1


# Who gets it


def test_an_unconfirmed_address_never_gets_it(course: Course, version: SequenceVersion) -> None:
    learner_of(course, confirmed=False)
    for day in range(8):
        tick(after(days=day))
    assert steps() == []


def test_an_address_that_is_confirmed_later_gets_it_from_then_on(course: Course, version: SequenceVersion) -> None:
    from courseapp.journal import events

    user = learner_of(course, confirmed=False)
    tick(NOW)
    assert user.contact is not None
    confirm(user.contact, after(days=3))
    events.record("account_claimed", f"user:{user.id}", after(days=3), contact_id=user.contact_id, user_id=user.id)
    db.session.commit()
    tick(after(days=3))
    assert len(steps()) == 1
    assert run_of().next_run_at == after(days=5)


def test_without_consent_nobody_gets_it_and_a_later_consent_starts_it(course: Course, version: SequenceVersion) -> None:
    user = learner_of(course, consents=False)
    tick(NOW)
    assert steps() == []
    from courseapp.contacts.consent import set_consent

    assert user.contact is not None
    set_consent(user.contact, Purpose.MARKETING, True, after(days=1), "preferences")  # another purpose is no yes to this one
    db.session.commit()
    tick(after(days=1))
    assert steps() == []
    set_consent(user.contact, Purpose.COURSE, True, after(days=2), "preferences")
    db.session.commit()
    tick(after(days=2))
    assert len(steps()) == 1


def test_a_course_begun_long_ago_begins_nothing_when_another_is_begun(course: Course, version: SequenceVersion) -> None:
    user = learner_of(course, now=after(days=-8))
    db.session.execute(sa.delete(Receipt))  # the sequence was published later
    other = make_course(needs=(("none",),))
    enrol(user, other.id, NOW)
    db.session.commit()
    tick(NOW)
    assert run_of().course_id == other.id


def test_news_that_nobody_read_for_weeks_begin_what_they_name(course: Course, version: SequenceVersion) -> None:
    learner_of(course, now=after(days=-20))
    tick(NOW)
    assert len(steps()) == 1


def test_a_guest_without_an_address_gets_nothing(course: Course, version: SequenceVersion) -> None:
    enrol(make_guest(), course.id, NOW)
    db.session.commit()
    tick(NOW)
    assert steps() == []


def test_a_second_start_after_unsubscribing_begins_nothing_again(course: Course, version: SequenceVersion) -> None:
    user = learner_of(course)
    tick(NOW)
    withdraw(user, after(days=1))
    tick(after(days=1))
    assert user.contact is not None
    make_consent(user.contact, Purpose.COURSE)
    enrol(user, course.id, after(days=2))
    db.session.commit()
    tick(after(days=9))
    assert len(steps()) == 1


# Versions


def test_a_run_keeps_to_the_version_it_began_with(course: Course, version: SequenceVersion) -> None:
    learner_of(course)
    tick(NOW)
    newer = replace(draft_of(version.sequence), steps=(StepDraft(1, None, "New step", "In short", "Hello."),))
    keep_draft(version.sequence, newer, 1, None, after(days=1))
    publish(version.sequence, None, after(days=1))
    learner_of(course, now=after(days=1))
    for day in range(1, 9):
        tick(after(days=day))
    assert sorted(subject for subject, _state in steps()) == ["New step", "Step 0", "Step 1", "Step 2"]
    assert run_of(version).end is RunEnd.FINISHED
