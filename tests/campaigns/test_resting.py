"""Sequences and broadcasts for people who have paused their mail."""

from datetime import timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.campaigns import broadcasts
from courseapp.campaigns.broadcasts import account_of
from courseapp.campaigns.catching_up import catch_up
from courseapp.campaigns.loops import advance_runs, read_news, work_broadcasts
from courseapp.catalog.models import Course
from courseapp.contacts.models import Purpose
from courseapp.contacts.resting import begin_pause, end_pause
from courseapp.extensions import db
from courseapp.mailing.loops import drain
from courseapp.mailing.models import Message, State
from courseapp.mailing.resting import go_on
from tests.campaigns.people import at, learner_of, run_of, steps, tick
from tests.factories import NOW, make_broadcast, make_consent, make_contact, make_course, make_sequence


@pytest.fixture
def course(app: Flask) -> Course:
    """A course of two lessons, with a sequence of mails at once and on days 2, 5 and 9."""
    made = make_course(needs=(("none", "none"),))
    make_sequence(delays=(0, 2, 5, 9))
    return made


def hours_at_which_mail_left(days: int) -> list[int]:
    """Look every four hours for so many days; after how many hours each mail left."""
    found: list[int] = []
    for hours in range(0, 24 * days, 4):
        tick(NOW + timedelta(hours=hours))
        left = sum(state == "accepted" for _subject, state in steps())
        found += [hours] * (left - len(found))
    return found


def test_steps_wait_for_the_end_of_a_pause_and_come_apart(course: Course) -> None:
    user = learner_of(course)
    tick(NOW)
    begin_pause(user.contact, NOW + timedelta(days=1))
    found = hours_at_which_mail_left(36)
    assert found[0] == 0
    assert found[1] == 31 * 24
    assert len(found) == 4
    assert all(later - earlier >= 20 for earlier, later in pairwise(found))


def test_a_mail_that_was_made_before_the_pause_comes_before_the_next_step_and_apart_from_it(course: Course) -> None:
    user = learner_of(course)
    read_news(at(NOW))  # the first mail is in the outbox, and has not left
    begin_pause(user.contact, NOW)
    db.session.commit()
    found = hours_at_which_mail_left(36)
    assert found[0] == 30 * 24
    assert all(later - earlier >= 20 for earlier, later in pairwise(found))
    assert [subject for subject, _state in steps()] == ["Step 0", "Step 1", "Step 2", "Step 3"]


def test_two_sequences_do_not_come_at_the_same_time_when_a_pause_ends(course: Course) -> None:
    make_sequence(delays=(2,), purpose=Purpose.MARKETING, goal=None)
    user = learner_of(course)
    make_consent(user.contact, Purpose.MARKETING)
    tick(NOW)
    begin_pause(user.contact, NOW + timedelta(days=1))
    found = hours_at_which_mail_left(40)
    assert len(found) == 5
    assert all(later - earlier >= 20 for earlier, later in pairwise(found))


def test_whoever_ends_a_pause_earlier_gets_the_next_step_within_a_day(course: Course) -> None:
    user = learner_of(course)
    tick(NOW)
    begin_pause(user.contact, NOW + timedelta(days=1))
    db.session.commit()
    for day in range(1, 8):
        tick(NOW + timedelta(days=day))
    assert len(steps()) == 1
    end_pause(user.contact, NOW + timedelta(days=8))
    go_on(user.contact, NOW + timedelta(days=8))
    db.session.commit()
    tick(NOW + timedelta(days=9))
    assert len(steps()) == 2
    assert run_of().ended_at is None


def test_catching_up_after_a_restore_ends_for_people_who_rest(course: Course) -> None:
    user = learner_of(course)
    tick(NOW)
    begin_pause(user.contact, NOW + timedelta(days=1))
    db.session.commit()
    assert catch_up(NOW + timedelta(days=20)) == 1
    assert len(steps()) == 1


def test_somebody_who_never_paused_gets_steps_as_before_though_mails_came_near(course: Course) -> None:
    learner_of(course)
    assert hours_at_which_mail_left(10) == [0, 48, 120, 216]
    advance_runs(at(NOW + timedelta(days=11)))


def test_a_broadcast_adds_up_and_says_that_somebody_rests(app: Flask) -> None:
    people = [make_contact() for _number in range(3)]
    for contact in people:
        make_consent(contact, Purpose.MARKETING)
    begin_pause(people[0], NOW)
    found = make_broadcast()
    db.session.commit()
    broadcasts.schedule(found, NOW, None, NOW)
    db.session.commit()
    work_broadcasts(at(NOW))
    drain(at(NOW))
    work_broadcasts(at(NOW))
    db.session.refresh(found)
    account = account_of(found)
    assert account.candidates == 3
    assert account.states == {(State.SKIPPED, "resting"): 1, (State.ACCEPTED, None): 2}
    assert found.finished_at is not None
    assert db.session.scalars(sa.select(Message.contact_id).where(Message.reason == "resting")).all() == [people[0].id]
