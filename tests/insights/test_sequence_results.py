"""What came of a sequence by step: mails add up exactly once there are five, everything about people comes in fives."""

import re
from collections.abc import Sequence
from datetime import timedelta

import pytest
from flask import Flask

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.campaigns.models import RunEnd, SequenceVersion
from courseapp.campaigns.sequence_lists import steps_of
from courseapp.campaigns.sequence_sentences import ENDS
from courseapp.catalog.models import Course
from courseapp.extensions import db
from courseapp.insights.after_mails import kept, letters_of
from courseapp.insights.loops import renew_mail_figures
from courseapp.mailing.models import Letter, State
from courseapp.mailing.sums import sums_of_steps
from tests.client import Client
from tests.factories import (
    NOW,
    days_ago,
    lessons_of,
    make_completion,
    make_contact,
    make_course,
    make_enrolment,
    make_message,
    make_run,
    make_sequence,
    make_user,
)
from tests.query_counts import statements

BEGAN = days_ago(20)


@pytest.fixture
def course(app: Flask) -> Course:
    """The course of the sequence."""
    return make_course(needs=[["none"] * 4])


@pytest.fixture
def version(app: Flask) -> SequenceVersion:
    """A version with three steps: on the first day, the fourth and the eighth."""
    return make_sequence(delays=(0, 3, 7))


def make_reader(version: SequenceVersion, course: Course, mails: int = 3, end: RunEnd | None = None, state: State = State.ACCEPTED) -> User:
    """Somebody in a sequence who got so many of its mails."""
    user = make_user(contact=make_contact())
    assert user.contact is not None
    make_enrolment(user, course, started_at=BEGAN - timedelta(days=1))
    ended_at = NOW - timedelta(days=2) if end is not None else None
    run = make_run(version, user.contact, course, started_at=BEGAN, position=mails, end=end, ended_at=ended_at, next_run_at=None)
    for step in steps_of(version.id)[:mails]:
        at, key = BEGAN + timedelta(days=step.delay_days), f"sequence:{run.id}:{step.position}"
        make_message(user.contact, letter=step.letter, state=state, dedupe_key=key, settled_at=at)
    return user


def did(people: Sequence[User], course: Course, days: float, lesson: int = 0) -> None:
    """Have people do a lesson so many days after they began."""
    for user in people:
        make_completion(user, lessons_of(course)[lesson], completed_at=BEGAN + timedelta(days=days))


def told(version: SequenceVersion) -> dict[str, int]:
    """The figures after the worker's next tick, without zeros."""
    db.session.commit()
    renew_mail_figures(clock.now)
    found = kept(version_id=version.id)
    assert found is not None
    return {name: count for name, count in found.figures.items() if count}


def test_each_step_has_what_was_done_after_its_own_mail(version: SequenceVersion, course: Course) -> None:
    people = [make_reader(version, course) for _number in range(20)]
    did(people[:10], course, 2)
    did(people[10:15], course, 9)
    assert told(version) == {
        "entered": 20,
        "way:open": 20,
        "0:did:7": 10,
        "0:did:30": 15,
        "1:did:7": 5,
        "1:did:30": 5,
        "2:did:7": 5,
        "2:did:30": 5,
    }


def test_how_people_left_comes_in_fives(version: SequenceVersion, course: Course) -> None:
    for end, count in ((None, 7), (RunEnd.FINISHED, 6), (RunEnd.GOAL, 5), (RunEnd.UNSUBSCRIBED, 4), (RunEnd.ACTIVE, 3)):
        for _number in range(count):
            make_reader(version, course, end=end)
    assert told(version) == {"entered": 25, "way:open": 5, "way:finished": 5, "way:goal": 5}


@pytest.mark.parametrize("end", list(RunEnd))
@pytest.mark.parametrize("left", [1, 4])
def test_twins_of_whom_fewer_than_five_left_are_told_alike(version: SequenceVersion, course: Course, end: RunEnd, left: int) -> None:
    for _number in range(10):
        make_reader(version, course)
    twin = make_sequence(delays=(0, 3, 7))
    for number in range(10 + left):
        make_reader(twin, course, end=end if number < left else None)
    assert told(version) == told(twin) == {"entered": 10, "way:open": 10}


def test_versions_are_counted_apart(version: SequenceVersion, course: Course) -> None:
    second = make_sequence(delays=(0,))
    people = [make_reader(version, course) for _number in range(5)]
    for _number in range(6):
        make_reader(second, course, mails=1)
    did(people, course, 0.5)
    assert told(version)["0:did:1"] == 5
    assert told(second) == {"entered": 5, "way:open": 5}


def test_two_runs_of_one_person_are_one_person(version: SequenceVersion, course: Course) -> None:
    people = [make_reader(version, course) for _number in range(5)]
    second = make_course(slug="second")
    for user in people[:4]:
        assert user.contact is not None
        make_run(version, user.contact, second, started_at=BEGAN, end=RunEnd.FINISHED, ended_at=NOW, next_run_at=None)
    assert told(version)["entered"] == 5


def test_the_mails_of_each_step_add_up_and_copies_for_staff_are_none(version: SequenceVersion, course: Course) -> None:
    for state in (State.ACCEPTED, State.DELIVERED, State.BOUNCED, State.SKIPPED, State.PENDING, State.EXPIRED, State.UNCERTAIN):
        make_reader(version, course, mails=2, state=state)
    first = letters_of(version.id)[0]
    make_message(letter=db.session.get_one(Letter, first), dedupe_key="trial:1:1:1", stream="service")
    sums = sums_of_steps(letters_of(version.id))
    assert [row.made for row in sums.values()] == [7, 7, 0]
    assert (sums[first].left, sums[first].under_way) == (3, 1)
    assert sums[first].made == sums[first].left + sums[first].under_way + sum(count for _what, _why, count in sums[first].unsent)


def page_of(client: Client, shown: SequenceVersion, **asked: int) -> str:
    """The page as a marketer sees it."""
    db.session.commit()
    client.sign_in(make_user(roles=["marketer"]))
    return client.visit("results.sequence", id=shown.sequence.public_id, **asked).text


def cells_of(page: str, table: str) -> list[list[str]]:
    """The rows of a table, their heads among them."""
    inside = page.partition(f'id="{table}-caption"')[2].partition("</tbody>")[0].partition("<tbody>")[2]
    return [
        [re.sub(r"<[^>]*>|\s+", " ", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in re.findall(r"<tr>(.*?)</tr>", inside, re.DOTALL)
    ]


def test_the_page_tells_each_step(client: Client, version: SequenceVersion, course: Course) -> None:
    people = [make_reader(version, course, mails=2 if number < 9 else 1) for number in range(12)]
    make_reader(version, course, mails=1, state=State.SKIPPED)
    make_reader(version, course, mails=1, state=State.BOUNCED)
    make_reader(version, course, mails=3)
    did(people[:8], course, 1.5)
    told(version)
    few = "fewer than five"
    page = page_of(client, version)
    rows = cells_of(page, "step-table")
    assert rows[0][1:] == ["15", "0", "1", "14", "13", "5", few]
    assert rows[1][1:] == ["10", "0", "0", "10", "10", few, few]
    assert rows[2][1:] == [few] * 7
    assert cells_of(page, "way-table")[0] == ["still on their way", "15"]
    assert [row[0] for row in cells_of(page, "way-table")[1:]] == [str(words) for words in ENDS.values()]
    assert set(ENDS) == set(RunEnd)
    chart = page.partition('aria-labelledby="step-chart-title')[2].partition("</svg>")[0]
    assert re.findall(r"<text[^>]*>([^<]*)</text>", chart)[1::2] == ["15", "14", "5", "10", few, few, few]


def test_the_page_has_every_version(client: Client, version: SequenceVersion, course: Course) -> None:
    assert "Of version" not in page_of(client, version)
    second = make_sequence(delays=(0,))
    second.sequence_id, second.number = version.sequence_id, 2
    page = page_of(client, version)
    assert "Of version" in page
    assert "version 2, published" in page
    assert "version 1, published" in page_of(client, version, version=1)
    assert len(cells_of(page_of(client, version, version=1, days=30), "step-table")) == 3


def test_a_sequence_without_a_version_says_so(client: Client, version: SequenceVersion) -> None:
    sequence = version.sequence
    db.session.delete(version)
    db.session.commit()
    client.sign_in(make_user(roles=["owner"]))
    assert "It is not published" in client.visit("results.sequence", id=sequence.public_id).text


def test_of_very_many_the_worker_counts(client: Client, version: SequenceVersion, course: Course, monkeypatch) -> None:
    monkeypatch.setattr("courseapp.insights.after_mails.COUNTED_LIVE", 8)
    for _number in range(6):
        make_reader(version, course, mails=2)
    told(version)
    make_reader(version, course, mails=2)
    page = page_of(client, version)
    assert cells_of(page, "step-table")[0][1] == "6"
    assert "so many of them" in page


def test_only_marketers_and_owners_open_it(client: Client, version: SequenceVersion) -> None:
    for roles, status in ((["marketer"], 200), (["instructor"], 404), ([], 404)):
        client.sign_in(make_user(roles=roles))
        assert client.visit("results.sequence", id=version.sequence.public_id).status_code == status
        assert client.visit("results.sequence", id="nothing").status_code == 404


def test_the_page_asks_little_and_changes_nothing(client: Client, version: SequenceVersion, course: Course) -> None:
    make_reader(version, course)
    page_of(client, version)
    public_id = version.sequence.public_id
    with statements() as sent:
        client.visit("results.sequence", id=public_id)
    assert len(sent) <= 6, sent
    assert all(statement.startswith("SELECT") for statement in sent)


def test_the_page_stays_as_it_is_whatever_fewer_than_five_do(client: Client, version: SequenceVersion, course: Course, pass_time) -> None:
    people = [make_reader(version, course) for _number in range(13)]
    did(people[:6], course, 0.5)
    told(version)
    before = page_of(client, version).partition("<main")[2]
    now = pass_time(days=2)
    for number, user in enumerate(people[6:10]):
        make_completion(user, lessons_of(course)[number % 2], completed_at=now - timedelta(hours=1))
    told(version)
    assert page_of(client, version).partition("<main")[2] == before
    make_completion(people[10], lessons_of(course)[0], completed_at=now - timedelta(hours=1))
    pass_time(days=1, minutes=1)
    told(version)
    assert page_of(client, version, days=30).partition("<main")[2] != before
