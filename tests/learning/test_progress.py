"""Progress is counted from completions: never over 100 %, never by technique lessons, drafts or what was taken out."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from courseapp.accounts.models import User
from courseapp.catalog.models import Course, Lesson, Need, Rule
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.learning.models import Completion, Enrolment, Outcome
from courseapp.learning.progress import NEAR_END, KnownLesson, Progress, complete_known, complete_lesson, next_lesson, outline_for
from courseapp.learning.reading import known_lesson, lesson_of_learner
from tests.client import Client
from tests.factories import (
    NOW,
    days_ago,
    lesson_that_needs,
    lessons_of,
    make_completion,
    make_course,
    make_enrolment,
    make_lesson,
    make_outcome,
    make_user,
    modules_of,
)


def progress_of(user: User, course: Course, finished: bool = False) -> Progress:
    """How far somebody is."""
    return outline_for(user.id, course.id, NOW if finished else None, None, NOW).progress


def events() -> list[str]:
    """What the journal says happened."""
    return list(db.session.scalars(sa.select(Event.type).order_by(Event.id)))


@pytest.fixture
def course(app: Flask) -> Course:
    """Two lessons that count, one gentle, one of touch, then one more that counts."""
    return make_course(needs=(("none", "none"), ("gentle", "touch", "none")))


@pytest.fixture
def learner(course: Course, client: Client) -> User:
    """Somebody who takes it, signed in, told to go ahead."""
    user = make_user()
    make_enrolment(user, course)
    make_outcome(user)
    return client.sign_in(user)


def finish(client: Client, lesson: Lesson, done: str = "1") -> int:
    """Press the lesson's button."""
    return client.submit("learning.lesson", {"done": done}, to="learning.completion", id=lesson.public_id).status_code


def test_only_what_is_released_and_needs_no_check_counts(course: Course, learner: User) -> None:
    module = modules_of(course)[0]
    draft, retired = make_lesson(module, published_at=None), make_lesson(module, retired_at=NOW)
    for lesson in [*lessons_of(course)[1:4], draft, retired]:
        make_completion(learner, lesson)
    found = progress_of(learner, course)
    assert (found.done, found.total, found.percent, found.minutes_left) == (1, 3, 33, 10)


def test_nothing_makes_it_more_than_all(course: Course, learner: User) -> None:
    for lesson in lessons_of(course):
        make_completion(learner, lesson)
    assert progress_of(learner, course).percent == 100
    lessons_of(course)[0].retired_at = NOW
    found = progress_of(learner, course)
    assert (found.done, found.total, found.percent) == (2, 2, 100)


def test_a_course_without_lessons_that_count_is_at_nought(app: Flask) -> None:
    found = progress_of(make_user(), make_course(needs=(("gentle",),)))
    assert (found.done, found.total, found.percent) == (0, 0, 0)


def test_what_somebody_else_did_does_not_count(course: Course, learner: User) -> None:
    make_completion(make_user(), lessons_of(course)[0])
    assert progress_of(learner, course).done == 0


@given(
    needs=st.lists(st.sampled_from(["none", "gentle", "touch"]), max_size=5),
    done=st.sets(st.integers(0, 4)),
    gone=st.sets(st.integers(0, 4)),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_sum_is_right_for_any_course(app: Flask, needs: list[str], done: set[int], gone: set[int]) -> None:
    course, user = make_course(needs=(needs or ["none"],)), make_user()
    for place, lesson in enumerate(lessons_of(course)):
        if place in done:
            make_completion(user, lesson)
        if place in gone:
            lesson.retired_at = NOW
    db.session.flush()
    counted = [place for place, need in enumerate(needs or ["none"]) if need == "none" and place not in gone]
    found = progress_of(user, course)
    assert (found.done, found.total) == (len(done & set(counted)), len(counted))
    assert 0 <= found.percent <= 100
    assert (found.percent == 100) == (found.total > 0 and found.done == found.total)
    db.session.rollback()


# Marking as done


def test_marking_twice_changes_nothing_more(course: Course, learner: User, client: Client) -> None:
    lesson = lessons_of(course)[0]
    data = {"csrf_token": client.csrf_token("learning.lesson", id=lesson.public_id), "done": "1"}
    for _time in range(2):
        assert client.post(client.path("learning.completion", id=lesson.public_id), data=data).status_code == 303
    assert db.session.scalars(sa.select(Completion.lesson_id)).all() == [lesson.id]
    assert events() == ["lesson_completed"]


def test_done_leads_to_the_next_lesson_and_undo_back_to_this_one(course: Course, learner: User, client: Client) -> None:
    first, second = lessons_of(course)[:2]
    done = client.submit("learning.lesson", {"done": "1"}, to="learning.completion", id=first.public_id)
    assert done.location == f"/lessons/{second.public_id}"
    undone = client.submit("learning.lesson", {"done": "0"}, to="learning.completion", id=first.public_id)
    assert undone.location == f"/lessons/{first.public_id}"
    assert db.session.scalars(sa.select(Completion)).all() == []
    assert progress_of(learner, course).done == 0


def test_undoing_what_was_never_done_is_fine(course: Course, learner: User, client: Client) -> None:
    lesson = lessons_of(course)[0]
    data = {"csrf_token": client.csrf_token("learning.lesson", id=lesson.public_id), "done": "0"}
    assert client.post(client.path("learning.completion", id=lesson.public_id), data=data).status_code == 303


def test_the_last_lesson_that_counts_finishes_the_course_once(course: Course, learner: User, client: Client) -> None:
    counted = [lesson for lesson in lessons_of(course) if lesson.needs_check is Need.NONE]
    for lesson in counted[:-1]:
        finish(client, lesson)
    assert "course_completed" not in events()
    answer = client.submit("learning.lesson", {"done": "1"}, to="learning.completion", id=counted[-1].public_id)
    assert answer.location == "/learn/introduction"
    page = client.get(answer.location).text
    assert "You have been through the whole course" in page
    assert events().count("course_completed") == 1
    for done in ("0", "1"):
        finish(client, counted[0], done)
    assert events().count("course_completed") == 1


def test_technique_lessons_neither_finish_nor_appear_in_the_journal(course: Course, learner: User, client: Client) -> None:
    for need in ("gentle", "touch"):
        assert finish(client, lesson_that_needs(course, need)) == 303
    assert events() == []
    assert progress_of(learner, course).done == 0
    page = client.visit("learning.progress", slug="introduction").text
    assert "For you alone" in page
    assert "0 of 3 lessons" in page


def test_having_finished_stays_whatever_is_undone(course: Course, learner: User, client: Client) -> None:
    for lesson in lessons_of(course):
        finish(client, lesson)
    enrolment = db.session.scalars(sa.select(Enrolment)).one()
    finished = enrolment.finished_at
    assert finished is not None
    finish(client, lessons_of(course)[0], "0")
    assert db.session.scalars(sa.select(Enrolment.finished_at)).one() == finished


def test_what_comes_after_finishing_shows_as_new_and_nothing_else_does(course: Course, learner: User, client: Client) -> None:
    for lesson in lessons_of(course):
        make_completion(learner, lesson)
    make_lesson(modules_of(course)[0], title="Always there", published_at=days_ago(9))
    make_lesson(modules_of(course)[0], title="Brand new", published_at=NOW + timedelta(hours=1))
    make_lesson(modules_of(course)[0], title="New technique", published_at=NOW + timedelta(hours=1), needs_check=Need.TOUCH)
    db.session.scalars(sa.select(Enrolment)).one().finished_at = NOW
    outline = outline_for(learner.id, course.id, NOW, None, NOW)
    assert [row.title for row in outline.rows if row.is_new] == ["Brand new"]
    assert outline.progress.new_since == 1
    page = client.visit("learning.course", slug="introduction").text
    assert "1 lesson is new since you were last here." in page


def test_two_last_lessons_done_at_once_still_finish_the_course(app: Flask, learner: User) -> None:
    course = make_course(slug="short", needs=(("none", "none"),))
    make_enrolment(learner, course)
    first, second = [lesson.public_id for lesson in lessons_of(course)]
    user_id = learner.id
    db.session.commit()
    is_inside, may_go = threading.Event(), threading.Event()
    finished: dict[str, bool] = {}

    def do(public_id: str, before_commit: Callable[[], object]) -> None:
        with app.app_context():
            user = db.session.get_one(User, user_id)
            db.session.rollback()
            own = lesson_of_learner(user.id, public_id, NOW) or pytest.fail("no such lesson")
            finished[public_id] = complete_lesson(own, NOW)
            before_commit()
            db.session.commit()

    one = threading.Thread(target=do, args=(first, lambda: (is_inside.set(), may_go.wait(0.7))))
    other = threading.Thread(target=do, args=(second, may_go.set))  # gets there early only where nothing holds it back
    one.start()
    assert is_inside.wait(10)
    other.start()
    for thread in (one, other):
        thread.join(20)
    assert finished == {first: False, second: True}


@pytest.fixture
def long(learner: User) -> Course:
    """Five lessons that count and one of touch, which the learner takes too."""
    course = make_course(slug="long", needs=(("none",) * 5, ("touch",)))
    make_enrolment(learner, course)
    return course


def done_as_known(learner: User, known: KnownLesson) -> bool:
    """Whether the one statement of a lesson that is known takes it for done."""
    done = complete_known(known, learner.id, NOW)
    db.session.commit()
    return done.id is not None


def known(course: Course, learner: User, index: int = 0) -> KnownLesson:
    public_id = lessons_of(course)[index].public_id
    assert lesson_of_learner(learner.id, public_id, NOW)
    return known_lesson(public_id) or pytest.fail("it is not known")


def test_a_known_lesson_is_done_in_one_statement_once(long: Course, learner: User) -> None:
    lesson = known(long, learner)
    assert done_as_known(learner, lesson)
    assert not done_as_known(learner, lesson)
    assert db.session.scalars(sa.select(Completion.lesson_id)).all() == [lesson.lesson_id]
    assert db.session.scalars(sa.select(Event.type)).all().count("lesson_completed") == 1


@pytest.mark.parametrize("change", ["version", "withdrawn", "a stranger", "the end is near"])
def test_a_known_lesson_is_done_only_where_all_is_as_it_was(long: Course, learner: User, change: str) -> None:
    lesson = known(long, learner)
    if change == "version":
        long.version += 1
    elif change == "withdrawn":
        long.published_at = None
    elif change == "a stranger":
        learner = make_user()
    else:
        for other in [each for each in lessons_of(long) if each.needs_check is Need.NONE][NEAR_END + 1 :]:
            make_completion(learner, other)
    db.session.commit()
    before = db.session.scalars(sa.select(Completion.id)).all()
    assert not done_as_known(learner, lesson)
    assert db.session.scalars(sa.select(Completion.id)).all() == before


def test_what_others_have_done_brings_nobody_nearer_to_the_end(long: Course, learner: User) -> None:
    other = make_user()
    make_enrolment(other, long)
    for lesson in lessons_of(long):
        make_completion(other, lesson)
    assert done_as_known(learner, known(long, learner))


def test_a_lesson_that_needs_the_check_is_never_known(long: Course, learner: User) -> None:
    needy = next(each for each in lessons_of(long) if each.needs_check is not Need.NONE)
    assert lesson_of_learner(learner.id, needy.public_id, NOW)
    assert known_lesson(needy.public_id) is None


# Where one left off


def test_one_goes_on_at_the_lesson_opened_last_while_it_is_not_done(course: Course, learner: User, client: Client) -> None:
    first, second = lessons_of(course)[:2]
    token = client.csrf_token("learning.lesson", id=second.public_id)
    answer = client.post(client.path("learning.opening", id=second.public_id), headers={"X-CSRFToken": token})
    assert answer.json == {"done": False}
    assert f'href="/lessons/{second.public_id}"' in client.visit("learning.course", slug="introduction").text
    outline = outline_for(learner.id, course.id, None, Outcome.AHEAD, NOW)
    assert next_lesson(outline, second.id).title == second.title  # type: ignore[union-attr]  # there is one
    make_completion(learner, second)
    outline = outline_for(learner.id, course.id, None, Outcome.AHEAD, NOW)
    assert next_lesson(outline, second.id).title == first.title  # type: ignore[union-attr]  # there is one


def test_one_is_never_led_to_a_lesson_that_is_closed(course: Course, learner: User) -> None:
    gentle = lesson_that_needs(course, "gentle")
    open_outline, closed = (outline_for(learner.id, course.id, None, outcome, NOW) for outcome in (Outcome.AHEAD, None))
    assert next_lesson(open_outline, gentle.id).title == gentle.title  # type: ignore[union-attr]  # there is one
    assert next_lesson(closed, gentle.id).number == 1  # type: ignore[union-attr]  # there is one


def test_when_all_is_done_there_is_nothing_next(course: Course, learner: User) -> None:
    for lesson in lessons_of(course):
        if lesson.needs_check is Need.NONE:
            make_completion(learner, lesson)
    assert next_lesson(outline_for(learner.id, course.id, None, None, NOW), None) is None


def test_a_lesson_whose_rule_is_opening_is_done_once_opened(course: Course, learner: User, client: Client) -> None:
    lesson = lessons_of(course)[0]
    lesson.rule = Rule.OPEN
    page = client.visit("learning.lesson", id=lesson.public_id)
    assert "This lesson is done once you have opened it." in page.text
    assert db.session.scalars(sa.select(Completion)).all() == []  # a GET changes nothing
    token = client.csrf_token("learning.lesson", id=lesson.public_id)
    for _time in range(2):
        answer = client.post(client.path("learning.opening", id=lesson.public_id), headers={"X-CSRFToken": token})
        assert answer.json == {"done": True}
    assert db.session.scalars(sa.select(Completion.lesson_id)).all() == [lesson.id]
    assert events() == ["lesson_completed"]
