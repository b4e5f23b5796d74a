"""What begins and ends by the calendar: people who go quiet and come back, courses that are finished, modules that open."""

from collections.abc import Callable
from datetime import datetime, time, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.accounts.sessions import touch
from courseapp.campaigns import noticing
from courseapp.campaigns.loops import advance_runs, notice
from courseapp.campaigns.models import Condition, LatePolicy, RunEnd, SequenceRun, SequenceVersion, Trigger
from courseapp.catalog.models import Course, Lesson, Module, Need
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.learning.enrolment import enrol
from courseapp.learning.models import Completion, Enrolment
from courseapp.mailing.models import Message
from tests.campaigns.people import at, learner_of, steps, tick, withdraw
from tests.client import Client
from tests.factories import (
    NOW,
    lessons_of,
    make_completion,
    make_consent,
    make_course,
    make_enrolment,
    make_entitlement,
    make_guest,
    make_outcome,
    make_sequence,
    make_tier,
)

DAY = timedelta(days=1)


def look(moment: datetime) -> None:
    """Notice, then do what the timetable does."""
    notice(at(moment))
    tick(moment)


def visit(user: User, moment: datetime) -> None:
    """Be here."""
    user.seen_at = moment
    db.session.commit()


def ends() -> list[RunEnd | None]:
    """How each run ended, the first begun first."""
    return list(db.session.scalars(sa.select(SequenceRun.end).order_by(SequenceRun.id)))


@pytest.fixture
def course(app: Flask) -> Course:
    """A course of two modules with two lessons each."""
    return make_course(needs=(("none", "none"), ("none", "none")))


@pytest.fixture
def nudge(course: Course) -> SequenceVersion:
    """Ten days quiet; a letter then, and another seven days later."""
    return make_sequence(trigger=Trigger.QUIET, trigger_days=10, delays=(0, 7))


# Lessons done


def test_whoever_does_the_lesson_gets_the_letter_once_and_whoever_does_another_does_not(course: Course) -> None:
    first, second = lessons_of(course)[:2]
    make_sequence(trigger=Trigger.LESSON_COMPLETED, course_id=course.id, lesson_id=first.id, delays=(0,))
    doer, other = learner_of(course), learner_of(course)
    make_completion(doer, first, completed_at=NOW)
    make_completion(other, second, completed_at=NOW)
    for minutes in (1, 16, 31):
        look(NOW + timedelta(minutes=minutes))
    assert [subject for subject, _state in steps()] == ["Step 0"]
    run = db.session.scalars(sa.select(SequenceRun)).one()
    assert (run.contact_id, run.course_id, run.occasion) == (doer.contact_id, course.id, f"lesson:{first.id}")
    db.session.execute(sa.delete(Completion))  # undone, and done again
    make_completion(doer, first, completed_at=NOW + DAY)
    look(NOW + DAY + timedelta(minutes=1))
    assert len(steps()) == 1


def test_what_was_done_before_the_sequence_was_there_begins_nothing_after_two_days(course: Course) -> None:
    lesson = lessons_of(course)[0]
    make_completion(learner_of(course), lesson, completed_at=NOW)
    make_sequence(trigger=Trigger.LESSON_COMPLETED, course_id=course.id, lesson_id=lesson.id, delays=(0,))
    look(NOW + 3 * DAY)
    assert steps() == []


def test_a_lesson_that_needs_the_check_since_then_begins_nothing(course: Course) -> None:
    lesson = lessons_of(course)[0]
    make_sequence(trigger=Trigger.LESSON_COMPLETED, course_id=course.id, lesson_id=lesson.id, delays=(0,))
    make_completion(learner_of(course), lesson, completed_at=NOW)
    lesson.needs_check = Need.GENTLE
    look(NOW + timedelta(minutes=1))
    assert steps() == []


def test_many_who_did_a_lesson_at_once_are_walked_page_by_page(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noticing, "PAGE", 2)
    lesson = lessons_of(course)[0]
    make_sequence(trigger=Trigger.LESSON_COMPLETED, course_id=course.id, lesson_id=lesson.id, delays=(0,))
    for number in range(7):
        make_completion(learner_of(course), lesson, completed_at=NOW + timedelta(minutes=number // 4))
    look(NOW + timedelta(hours=1))
    assert len(steps()) == 7


# Quiet


def test_somebody_quiet_for_ten_days_gets_the_letters_and_nobody_sooner(course: Course, nudge: SequenceVersion) -> None:
    learner_of(course)
    look(NOW + 10 * DAY - timedelta(minutes=1))
    assert steps() == []
    look(NOW + 10 * DAY)
    assert [subject for subject, _state in steps()] == ["Step 0"]
    look(NOW + 17 * DAY)
    assert [subject for subject, _state in steps()] == ["Step 0", "Step 1"]
    assert ends() == [RunEnd.FINISHED]


def test_a_quiet_spell_is_answered_once_however_often_one_looks_and_however_long_it_lasts(course: Course, nudge: SequenceVersion) -> None:
    learner_of(course)
    for day in range(10, 40):
        look(NOW + day * DAY)
    assert len(steps()) == 2


def test_whoever_comes_back_gets_nothing_more_of_it_and_after_another_spell_again(course: Course, nudge: SequenceVersion) -> None:
    user = learner_of(course)
    look(NOW + 10 * DAY)
    visit(user, NOW + 12 * DAY)
    look(NOW + 17 * DAY)
    assert ends() == [RunEnd.ACTIVE]
    assert len(steps()) == 1
    look(NOW + 22 * DAY)
    assert len(steps()) == 2
    assert db.session.scalars(sa.select(SequenceRun.occasion).order_by(SequenceRun.id)).all() == ["2026-11-02", "2026-11-14"]


def test_coming_back_counts_though_nobody_has_looked_yet(course: Course, nudge: SequenceVersion) -> None:
    user = learner_of(course)
    look(NOW + 10 * DAY)
    visit(user, NOW + 17 * DAY - timedelta(minutes=5))
    advance_runs(at(NOW + 17 * DAY))
    assert ends() == [RunEnd.ACTIVE]
    assert len(steps()) == 1


def test_a_letter_that_waits_is_skipped_once_they_are_back(course: Course, nudge: SequenceVersion) -> None:
    user = learner_of(course)
    notice(at(NOW + 10 * DAY))
    advance_runs(at(NOW + 10 * DAY))
    visit(user, NOW + 10 * DAY + timedelta(minutes=1))
    look(NOW + 10 * DAY + timedelta(minutes=2))
    message = db.session.scalars(sa.select(Message)).one()
    assert (message.state.value, message.reason) == ("skipped", "they came back")


def test_the_last_letter_is_skipped_too_though_its_run_is_over(course: Course) -> None:
    make_sequence(trigger=Trigger.QUIET, trigger_days=10, delays=(0,))
    user, away = learner_of(course), learner_of(course)
    notice(at(NOW + 10 * DAY))
    advance_runs(at(NOW + 10 * DAY))
    assert ends() == [RunEnd.FINISHED] * 2
    visit(user, NOW + 10 * DAY + timedelta(minutes=1))
    look(NOW + 10 * DAY + timedelta(minutes=2))
    found = {row.contact_id: (row.state.value, row.reason) for row in db.session.scalars(sa.select(Message))}
    assert found == {user.contact_id: ("skipped", "they came back"), away.contact_id: ("accepted", None)}


def test_whoever_is_back_before_a_shifted_beginning_gets_nothing(course: Course) -> None:
    window = {"window_start": time(9), "window_end": time(10), "late": LatePolicy.SHIFT}
    make_sequence(trigger=Trigger.QUIET, trigger_days=10, delays=(0,), **window)
    user = learner_of(course)
    notice(at(NOW + 10 * DAY))
    advance_runs(at(NOW + 10 * DAY + timedelta(hours=8)))  # the worker stood still
    visit(user, NOW + 10 * DAY + timedelta(hours=12))
    for hours in range(13, 30):
        look(NOW + 10 * DAY + timedelta(hours=hours))
    assert (ends(), steps()) == ([RunEnd.ACTIVE], [])


def test_an_account_that_is_closed_meanwhile_gets_no_further_letter(course: Course, nudge: SequenceVersion) -> None:
    user = learner_of(course)
    look(NOW + 10 * DAY)
    user.disabled_at = NOW + 11 * DAY
    db.session.commit()
    look(NOW + 17 * DAY)
    assert (ends(), len(steps())) == ([RunEnd.STOPPED], 1)


def test_any_page_ends_a_quiet_spell(client: Client, nudge: SequenceVersion, pass_time: Callable[..., datetime]) -> None:
    course = db.session.scalars(sa.select(Course)).one()
    user = learner_of(course)
    client.sign_in(user)
    look(pass_time(days=10, hours=1))
    assert len(steps()) == 1
    assert client.visit("accounts.settings").status_code == 200
    notice(at(pass_time(minutes=1)))
    assert ends() == [RunEnd.ACTIVE]


def test_a_visit_outlives_its_session(course: Course, nudge: SequenceVersion) -> None:
    user = learner_of(course)
    touch(0, NOW + 3 * DAY)  # of a session that was ended: nobody was here by it
    db.session.commit()
    assert user.seen_at == NOW
    visit(user, NOW + 5 * DAY)
    look(NOW + 11 * DAY)
    assert steps() == []


def test_several_courses_are_one_spell_about_the_one_begun_last(course: Course, nudge: SequenceVersion) -> None:
    user = learner_of(course)
    second = make_course(slug="second")
    enrol(user, second.id, NOW + timedelta(hours=1))
    db.session.commit()
    for day in (10, 11, 12):
        look(NOW + day * DAY)
    assert db.session.scalars(sa.select(SequenceRun.course_id)).all() == [second.id]


def test_a_sequence_about_one_course_is_for_its_learners_alone(course: Course) -> None:
    second = make_course(slug="second")
    make_sequence(trigger=Trigger.QUIET, trigger_days=10, course_id=second.id, delays=(0,))
    learner_of(course)
    user = learner_of(second)
    look(NOW + 10 * DAY)
    assert db.session.scalars(sa.select(SequenceRun.contact_id)).all() == [user.contact_id]


def test_marketing_for_the_quiet_does_not_tell_who_takes_a_marked_course_as_well(course: Course) -> None:
    make_sequence(trigger=Trigger.QUIET, trigger_days=10, delays=(0,), purpose=Purpose.MARKETING, goal=None)
    marked = make_course(slug="marked", sensitive_at=NOW)
    plain, told = learner_of(course), learner_of(course)
    enrol(told, marked.id, NOW + timedelta(hours=1))
    for user in (plain, told, learner_of(marked)):
        make_consent(user.contact, Purpose.MARKETING)
    db.session.commit()
    look(NOW + 10 * DAY)
    found = db.session.execute(sa.select(SequenceRun.contact_id, SequenceRun.course_id).order_by(SequenceRun.id)).all()
    assert [tuple(row) for row in found] == [(plain.contact_id, course.id), (told.contact_id, course.id)]


@pytest.mark.parametrize("who", ["finished", "unconfirmed", "not consenting", "guest", "disabled", "unsubscribed"])
def test_who_gets_nothing_for_being_quiet(course: Course, nudge: SequenceVersion, who: str) -> None:
    if who == "guest":
        guest = make_guest()
        enrol(guest, course.id, NOW)
        db.session.commit()
    else:
        user = learner_of(course, confirmed=who != "unconfirmed", consents=who != "not consenting")
        if who == "finished":
            db.session.execute(sa.update(Enrolment).values(finished_at=NOW))
        if who == "disabled":
            user.disabled_at = NOW
        db.session.commit()
        if who == "unsubscribed":
            withdraw(user, NOW + DAY)
    look(NOW + 10 * DAY)
    assert db.session.scalar(sa.select(sa.func.count()).select_from(SequenceRun)) == 0


def test_who_went_quiet_long_before_gets_none_when_a_sequence_is_new(course: Course) -> None:
    learner_of(course)
    lately = learner_of(course)
    visit(lately, NOW + 20 * DAY)
    make_sequence(trigger=Trigger.QUIET, trigger_days=10, delays=(0,))
    look(NOW + 31 * DAY)
    assert db.session.scalars(sa.select(SequenceRun.contact_id)).all() == [lately.contact_id]


def test_many_are_found_in_pages_and_each_once(course: Course, nudge: SequenceVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noticing, "PAGE", 3)
    for number in range(10):
        visit(learner_of(course), NOW + timedelta(minutes=number // 4))
    assert notice(at(NOW + 10 * DAY + timedelta(hours=1))) == 10
    assert notice(at(NOW + 10 * DAY + timedelta(hours=1))) == 0
    assert db.session.scalar(sa.select(sa.func.count()).select_from(SequenceRun)) == 10
    db.session.execute(sa.update(User).values(seen_at=NOW + 11 * DAY))
    assert notice(at(NOW + 12 * DAY)) == 10
    assert set(ends()) == {RunEnd.ACTIVE}


@pytest.mark.parametrize("outcome", [None, "now", "professional", "gently", "ahead"])
def test_whatever_the_safety_check_came_to_the_same_visits_are_the_same_activity(
    app: Flask, pass_time: Callable[..., datetime], outcome: str | None
) -> None:
    course = make_course(needs=(("none", "touch"),))
    make_sequence(trigger=Trigger.QUIET, trigger_days=10, delays=(0,))
    user, client = learner_of(course), app.test_client()
    assert isinstance(client, Client)
    client.sign_in(user)
    if outcome is not None:
        make_outcome(user, outcome)
    db.session.commit()
    lesson = next(lesson for lesson in lessons_of(course) if lesson.needs_check.value == "touch")
    seen = pass_time(days=6)
    assert client.get(f"/lessons/{lesson.public_id}").status_code == 200
    client.post(f"/lessons/{lesson.public_id}/opening", data={"csrf_token": client.csrf_token("learning.start")})
    assert notice(at(pass_time(days=5))) == 0
    assert user.seen_at is not None
    assert abs(user.seen_at - seen) < timedelta(minutes=1)
    assert notice(at(pass_time(days=5, hours=1))) == 1


# Finished


def test_finishing_the_course_begins_what_comes_after_it_once(course: Course) -> None:
    make_sequence(trigger=Trigger.COURSE_COMPLETED, goal=None, delays=(0, 3))
    user = learner_of(course)
    tick(NOW)
    assert steps() == []
    enrolment = db.session.scalars(sa.select(Enrolment)).one()
    from courseapp.learning.progress import finish

    finish(enrolment, NOW + DAY)
    db.session.commit()
    tick(NOW + DAY)
    assert len(steps()) == 1
    finish(enrolment, NOW + 2 * DAY)
    db.session.commit()
    for day in range(2, 9):
        tick(NOW + day * DAY)
    assert len(steps()) == 2
    assert user.contact_id is not None


def test_who_agrees_to_offers_soon_after_finishing_gets_them_and_who_does_much_later_does_not(course: Course) -> None:
    from courseapp.contacts.consent import set_consent

    make_sequence(trigger=Trigger.COURSE_COMPLETED, goal=None, delays=(0,), purpose=Purpose.MARKETING)
    soon, late = learner_of(course), learner_of(course)
    db.session.execute(sa.update(Enrolment).values(finished_at=NOW))
    assert soon.contact is not None
    assert late.contact is not None
    set_consent(soon.contact, Purpose.MARKETING, True, NOW + 6 * DAY, "preferences")
    db.session.commit()
    tick(NOW + 6 * DAY)
    set_consent(late.contact, Purpose.MARKETING, True, NOW + 8 * DAY, "preferences")
    db.session.commit()
    tick(NOW + 8 * DAY)
    assert db.session.scalars(sa.select(SequenceRun.contact_id)).all() == [soon.contact_id]


# A module that opens


def open_module(course: Course, number: int, moment: datetime, needs: str = "none") -> Module:
    """A module more, with a lesson that is released at a moment."""
    module = Module(course_id=course.id, key=f"more-{number}", position=10 + number, title=f"More {number}", summary="More")
    db.session.add(module)
    db.session.flush()
    old = lessons_of(course)[0]
    columns = {name: getattr(old, name) for name in ("title", "minutes", "shows", "rule")}
    lesson = Lesson(course_id=course.id, module_id=module.id, key=f"more-{number}", position=100 + number, needs_check=needs, **columns)
    lesson.published_at = moment
    db.session.add(lesson)
    db.session.commit()
    return module


@pytest.fixture
def opened(course: Course) -> SequenceVersion:
    """One letter when a module opens."""
    return make_sequence(trigger=Trigger.MODULE_OPENED, delays=(0,))


def test_learners_are_told_of_a_module_that_opens_once(course: Course, opened: SequenceVersion) -> None:
    learner_of(course)
    look(NOW + DAY)
    assert steps() == []
    open_module(course, 1, NOW + 2 * DAY)
    for hours in (48, 49, 60, 100, 300):
        look(NOW + timedelta(hours=hours))
    assert len(steps()) == 1
    open_module(course, 2, NOW + 20 * DAY)
    look(NOW + 20 * DAY)
    assert len(steps()) == 2


def test_modules_that_open_together_are_one_letter(course: Course, opened: SequenceVersion) -> None:
    learner_of(course)
    for number in range(3):
        open_module(course, number, NOW + 2 * DAY)
    for hours in (48, 70, 90):
        look(NOW + timedelta(hours=hours))
    assert len(steps()) == 1


@pytest.mark.parametrize("who", ["began afterwards", "finished", "not consenting", "of another course"])
def test_who_is_not_told(course: Course, opened: SequenceVersion, who: str) -> None:
    other = make_course(slug="other")
    learner_of(other if who == "of another course" else course, consents=who != "not consenting", now=NOW)
    begin = NOW + 3 * DAY if who == "began afterwards" else NOW
    db.session.execute(sa.update(Enrolment).values(started_at=begin, finished_at=NOW if who == "finished" else None))
    open_module(course, 1, NOW + 2 * DAY)
    look(NOW + 3 * DAY)
    assert steps() == []


@pytest.mark.parametrize("is_held", [True, False])
def test_course_mail_tells_of_a_module_only_whom_it_is_open_to(course: Course, opened: SequenceVersion, is_held: bool) -> None:
    learner = learner_of(course)
    tier = make_tier(opens=open_module(course, 1, NOW + 2 * DAY))
    if is_held:
        make_entitlement(learner, tier)
    look(NOW + 2 * DAY)
    assert len(steps()) == is_held


def test_a_module_whose_lessons_all_need_the_safety_check_is_not_told_of(course: Course, opened: SequenceVersion) -> None:
    learner_of(course)
    open_module(course, 1, NOW + 2 * DAY, needs="touch")
    look(NOW + 3 * DAY)
    assert steps() == []


def test_a_lesson_more_in_an_old_module_opens_nothing(course: Course, opened: SequenceVersion) -> None:
    learner_of(course)
    first = lessons_of(course)[0]
    db.session.execute(sa.update(Lesson).where(Lesson.module_id != first.module_id).values(published_at=NOW - 30 * DAY))
    db.session.execute(sa.update(Lesson).where(Lesson.module_id == first.module_id).values(published_at=NOW - 30 * DAY))
    first.published_at = NOW + 2 * DAY
    db.session.commit()
    look(NOW + 3 * DAY)
    assert steps() == []


def test_whom_was_told_is_not_looked_for_again(course: Course, opened: SequenceVersion) -> None:
    learner_of(course)
    module = open_module(course, 1, NOW + 2 * DAY)
    look(NOW + 2 * DAY)
    learner_of(course, now=NOW)  # whoever is found only now was no learner then
    look(NOW + 3 * DAY)
    assert db.session.scalar(sa.select(sa.func.count()).select_from(SequenceRun)) == 1
    told = sa.select(Event.type).where(Event.subject == f"sequence:{opened.sequence_id}/{module.id}")
    assert db.session.scalars(told).all() == [noticing.TOLD]


def test_a_look_that_was_cut_short_goes_on_where_it_ended(course: Course, opened: SequenceVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noticing, "PAGE", 2)
    for _person in range(5):
        learner_of(course)
    open_module(course, 1, NOW + 2 * DAY)
    begun = []
    for _look in range(9):
        notice(at(NOW + 2 * DAY), seconds=0)  # a page each
        begun.append(db.session.scalar(sa.select(sa.func.count()).select_from(SequenceRun)))
    assert sorted(set(begun)) == [0, 2, 4, 5], "modules of the course itself are walked first, for nobody"
    assert db.session.scalar(sa.select(sa.func.count()).where(Event.type == noticing.TOLD)) == 3


# Conditions


@pytest.mark.parametrize(
    ("condition", "comes"),
    [
        (Condition.NOT_BEGUN, {"not begun"}),
        (Condition.BEGUN, {"begun"}),
        (Condition.NOT_FINISHED, {"not begun", "begun"}),
        (Condition.FINISHED, {"finished"}),
    ],
)
@pytest.mark.parametrize("standing", ["not begun", "begun", "finished"])
def test_a_step_goes_to_those_of_whom_its_condition_is_true_and_the_run_goes_on(
    course: Course, condition: Condition, comes: set[str], standing: str
) -> None:
    make_sequence(delays=(0, 2, 4), conditions=(None, condition, None), goal=None)
    user = learner_of(course)
    tick(NOW)
    if standing == "begun":
        make_completion(user, lessons_of(course)[0])
    db.session.execute(sa.update(Enrolment).values(finished_at=NOW if standing == "finished" else None))
    db.session.commit()
    for day in (2, 4):
        tick(NOW + day * DAY)
    expected = ["Step 0", "Step 1", "Step 2"] if standing in comes else ["Step 0", "Step 2"]
    assert [subject for subject, _state in steps()] == expected


def test_a_lesson_that_needs_the_check_makes_nobody_begin(app: Flask) -> None:
    course = make_course(needs=(("none", "touch"),))
    make_sequence(delays=(0, 2), conditions=(None, Condition.BEGUN), goal=None)
    user = learner_of(course)
    tick(NOW)
    make_completion(user, next(lesson for lesson in lessons_of(course) if lesson.needs_check.value == "touch"))
    db.session.commit()
    tick(NOW + 2 * DAY)
    assert [subject for subject, _state in steps()] == ["Step 0"]


def test_nothing_to_notice_changes_nothing(app: Flask) -> None:
    make_enrolment(make_guest(), make_course())
    make_consent(learner_of(db.session.scalars(sa.select(Course)).one()).contact)  # type: ignore[arg-type]  # it has one
    assert notice(at(NOW + DAY)) == 0
