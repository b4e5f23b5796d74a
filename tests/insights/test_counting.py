"""What is counted from rows, when, and what never is."""

from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.catalog.models import Course, Need
from courseapp.extensions import db
from courseapp.insights.figures import BITS, figures_of, lesson_figures, recount, shown_lessons, ways_of
from courseapp.insights.fives import LONGER, Way
from courseapp.insights.loops import renew_figures
from courseapp.learning.models import Completion, Enrolment
from tests.factories import days_ago, lessons_of, make_completion, make_course, make_enrolment, make_guest, make_outcome
from tests.query_counts import statements


def learners(course: Course, count: int, done: int = 0, took: float | None = None) -> list[Enrolment]:
    """People who have done the first `done` lessons, and finished after so many days, or not."""
    made = []
    for _number in range(count):
        finished = None if took is None else days_ago(50) + timedelta(days=took)
        made.append(make_enrolment(make_guest(), course, started_at=days_ago(50), finished_at=finished))
        for lesson in lessons_of(course)[:done]:
            make_completion(made[-1].user, lesson, completed_at=days_ago(40))
    return made


def renewed() -> int:
    """Count what is due; how many courses were."""
    return renew_figures(clock.now)


def told(course: Course) -> dict[str, int]:
    """The kept numbers, but for lessons."""
    kept = figures_of(course.id)
    return {} if kept is None else {name: value for name, value in kept.figures.items() if name != "lessons"}


def test_people_are_counted_by_what_they_have_done(app: Flask) -> None:
    course = make_course(needs=[["none"] * 3, ["touch", "none"]])
    learners(course, 7)
    learners(course, 6, done=2)
    learners(course, 5, done=5, took=6.5)
    learners(course, 1, done=5, took=400)
    learners(make_course(), 9, done=3)
    lessons = [lesson for lesson, _title in shown_lessons(course.id)]
    assert len(lessons) == 4
    assert ways_of(course.id, lessons) == Counter({Way(0, 0): 7, Way(0b11, 0): 6, Way(0b1111, 7): 5, Way(0b1111, LONGER): 1})
    assert renewed() == 2
    assert told(course) == {"enrolled": 15, "started": 10, "finished": 5, "within": 7}
    kept = figures_of(course.id)
    assert kept is not None
    assert [(row.number, row.done, row.change) for row in lesson_figures(kept)] == [(1, 10, None), (2, 10, 0), (3, 5, -5), (4, 5, 0)]


@pytest.mark.parametrize("days", [1, 2, 14, 365])
def test_a_length_in_days_is_the_same_on_both_databases(app: Flask, days: int) -> None:
    course = make_course()
    for more, within in ((-0.01, days), (0.01, None)):
        learners(course, 1, took=days + more)
        found = {way.within for way in ways_of(course.id, [])}
        if within is not None:
            assert found == {days}
    assert len(found) == 2


def test_more_lessons_than_a_whole_number_of_the_database_has_bits(app: Flask) -> None:
    course = make_course(needs=[["none"] * (2 * BITS + 1)])
    learners(course, 5, done=2 * BITS + 1)
    learners(course, 5, done=BITS + 1)
    lessons = [lesson for lesson, _title in shown_lessons(course.id)]
    assert ways_of(course.id, lessons) == {Way(2 ** (2 * BITS + 1) - 1, 0): 5, Way(2 ** (BITS + 1) - 1, 0): 5}


def test_fewer_than_five_are_not_counted_at_all(app: Flask) -> None:
    course = make_course()
    learners(course, 4, done=1)
    assert renewed() == 0
    assert figures_of(course.id) is None
    learners(course, 1)
    assert renewed() == 1
    assert told(course) == {"enrolled": 5, "started": 0, "finished": 0, "within": 0}


def test_nothing_is_counted_anew_before_five_people_have_moved(app: Flask, pass_time) -> None:
    course = make_course()
    people = learners(course, 10)
    assert renewed() == 1
    first = lessons_of(course)[0]
    later = pass_time(days=2)
    for person in people[:4]:
        make_completion(person.user, first, completed_at=later)
        make_completion(person.user, lessons_of(course)[1], completed_at=later)
    assert renewed() == 0
    make_completion(people[4].user, first, completed_at=later)
    assert renewed() == 1
    assert told(course)["started"] == 5


def test_steps_in_checked_lessons_move_nothing(app: Flask, pass_time) -> None:
    course = make_course()
    people = learners(course, 10)
    renewed()
    before, later = told(course), pass_time(days=2)
    for person in people:
        make_outcome(person.user)
        for lesson in lessons_of(course):
            if lesson.needs_check is not Need.NONE:
                make_completion(person.user, lesson, completed_at=later)
    assert renewed() == 0
    assert told(course) == before


def test_the_count_is_made_once_a_day(app: Flask, pass_time) -> None:
    course = make_course()
    learners(course, 5)
    assert renewed() == 1
    later = pass_time(hours=23)
    for enrolment in learners(course, 5):
        enrolment.started_at = later
    db.session.commit()
    assert renewed() == 0
    pass_time(hours=25)
    assert renewed() == 1
    assert told(course)["enrolled"] == 10


def test_a_lesson_that_comes_to_need_the_check_is_gone_at_once(app: Flask) -> None:
    course = make_course()
    learners(course, 5, done=2)
    renewed()
    lessons_of(course)[0].needs_check = Need.GENTLE
    db.session.commit()
    kept = figures_of(course.id)
    assert kept is not None
    assert [row.title for row in lesson_figures(kept)] == ["Lesson number 2"]


def test_whoever_writes_does_not_wait_for_the_count(app: Flask) -> None:
    course = make_course()
    learners(course, 5)
    db.session.commit()
    course_id = course.id
    db.session.rollback()
    with db.engine.begin() as writer:
        writer.execute(sa.update(Course).values(summary="Being written."))
        assert (recount(course_id) or {})["enrolled"] == 5


def test_counting_is_a_handful_of_statements_however_many_people_there_are(app: Flask) -> None:
    course = make_course()
    learners(course, 30, done=2)
    db.session.commit()
    with statements() as sent:
        assert renewed() == 1
    assert len(sent) <= 6, sent
    assert db.session.query(Completion).count() == 60
