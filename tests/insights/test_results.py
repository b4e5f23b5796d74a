"""What came of a broadcast: mails add up exactly; what people did is told in fives, and never changes by the doing of fewer."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.campaigns.models import Broadcast
from courseapp.catalog.models import Course, Need
from courseapp.extensions import db
from courseapp.insights.after_mails import kept
from courseapp.insights.loops import renew_mail_figures
from courseapp.insights.models import MailFigures
from courseapp.mailing.models import Message, State
from courseapp.mailing.sums import by_days, of_stream, sums_of
from courseapp.operations.people import erase
from tests.client import Client
from tests.factories import (
    NOW,
    days_ago,
    lesson_that_needs,
    lessons_of,
    make_broadcast,
    make_completion,
    make_contact,
    make_course,
    make_enrolment,
    make_message,
    make_outcome,
    make_user,
)
from tests.query_counts import statements

SENT = days_ago(20)
Doing = Callable[[User, Course], object]


@pytest.fixture
def course(app: Flask) -> Course:
    """The course that everybody who got the mail takes."""
    return make_course(needs=[["none", "none"], ["gentle"]])


def make_sent(count: int, course: Course, state: State = State.ACCEPTED, **kw: object) -> tuple[Broadcast, list[User]]:
    """A broadcast whose mails to so many learners left twenty days ago."""
    broadcast = make_broadcast(is_sent=True, snapshot_at=SENT, candidates=count)
    broadcast.snapshot_at, broadcast.candidates = SENT, count
    return broadcast, [reader(broadcast, course, state, **kw) for _number in range(count)]


def reader(broadcast: Broadcast, course: Course, state: State = State.ACCEPTED, at: datetime = SENT, **kw: object) -> User:
    """A learner, and the mail of a broadcast to them."""
    user = make_user(contact=make_contact())
    make_enrolment(user, course, started_at=SENT - timedelta(days=30))
    message = make_message(user.contact, state=state, settled_at=at, **kw)
    message.stream_id = broadcast.stream_id or 0
    db.session.flush()
    return user


def after(days: float, *, lesson: int = 0) -> Doing:
    """Doing a lesson so many days after the mail left."""
    return lambda user, course: make_completion(user, lessons_of(course)[lesson], completed_at=SENT + timedelta(days=days))


def do(people: Sequence[User], course: Course, *doings: Doing) -> None:
    """Have people do things."""
    for user in people:
        for doing in doings:
            doing(user, course)


def finishing(days: float) -> Doing:
    """Finishing the course so many days after the mail left."""

    def finish(user: User, course: Course) -> None:
        enrolment = make_enrolment(user, make_course(slug=f"other-{user.id}", needs=[["none"]]), started_at=SENT - timedelta(days=1))
        enrolment.finished_at = SENT + timedelta(days=days)

    return finish


def told(broadcast: Broadcast) -> dict[str, int]:
    """The figures after the worker's next tick."""
    db.session.commit()
    renew_mail_figures(clock.now)
    found = kept(broadcast_id=broadcast.id)
    assert found is not None
    return found.figures


def figures(broadcast: Broadcast, what: str) -> list[int]:
    """How many did it within one, seven and thirty days."""
    return [told(broadcast).get(f"0:{what}:{days}", 0) for days in (1, 7, 30)]


def test_within_how_many_days_people_did_something(course: Course) -> None:
    broadcast, people = make_sent(40, course)
    do(people[:5], course, after(0.5))
    do(people[5:10], course, after(6.9), after(8, lesson=1))
    do(people[10:20], course, after(7.1))
    do(people[20:25], course, after(30.5))
    do(people[25:30], course, after(-0.5))
    assert figures(broadcast, "did") == [5, 10, 20]
    assert figures(broadcast, "goal") == [0, 0, 0]


def test_who_finished_did_something_too(course: Course) -> None:
    broadcast, people = make_sent(12, course)
    do(people[:6], course, finishing(3))
    assert figures(broadcast, "goal") == [0, 5, 5]
    assert figures(broadcast, "did") == [0, 5, 5]


def test_enrolling_is_doing_something(course: Course) -> None:
    broadcast, people = make_sent(5, course)
    second = make_course(slug="second")
    do(people, course, lambda user, _course: make_enrolment(user, second, started_at=SENT + timedelta(days=2)))
    assert figures(broadcast, "did") == [0, 5, 5]


@pytest.mark.parametrize("state", [State.BOUNCED, State.SKIPPED, State.FAILED, State.UNCERTAIN])
def test_who_did_not_get_it_is_not_followed(course: Course, state: State) -> None:
    broadcast, people = make_sent(6, course, state)
    do(people, course, after(1))
    assert told(broadcast) == {}


def test_other_mails_are_not_followed(course: Course) -> None:
    broadcast, _people = make_sent(6, course)
    other, people = make_sent(6, course)
    do(people, course, after(1))
    assert figures(other, "did") == [5, 5, 5]
    assert told(broadcast) == {}


def test_a_lesson_that_needs_the_check_counts_nowhere(course: Course) -> None:
    broadcast, people = make_sent(9, course)
    checked = lesson_that_needs(course, "gentle")
    for user in people:
        make_outcome(user)
        make_completion(user, checked, completed_at=SENT + timedelta(days=1))
    assert told(broadcast) == {}
    checked.needs_check = Need.NONE
    assert told_anew(broadcast)["0:did:1"] == 5


def test_a_sensitive_course_counts_nowhere(course: Course) -> None:
    broadcast, people = make_sent(9, course)
    do(people, course, after(1))
    do(people, course, lambda user, _course: finishing(1)(user, course))
    db.session.execute(sa.update(Course).values(sensitive_at=NOW))
    assert told(broadcast) == {}


def told_anew(broadcast: Broadcast) -> dict[str, int]:
    """The figures, counted as if nobody had looked yet."""
    db.session.execute(sa.delete(MailFigures))
    return told(broadcast)


@pytest.mark.parametrize("there", [5, 9, 12])
@pytest.mark.parametrize("doers", [0, 1, 4])
def test_twins_of_whom_fewer_than_five_did_something_are_told_alike(course: Course, there: int, doers: int) -> None:
    broadcast, people = make_sent(there, course)
    do(people[:doers], course, after(1), finishing(5))
    assert figures(broadcast, "did") == figures(broadcast, "goal") == [0, 0, 0]


@pytest.mark.parametrize("more", [0, 1, 4])
def test_one_more_below_the_next_five_changes_nothing(course: Course, more: int) -> None:
    broadcast, people = make_sent(30, course)
    do(people[: 10 + more], course, after(1))
    do(people[: 5 + more], course, finishing(2))
    assert figures(broadcast, "did") == [10, 10, 10]
    assert figures(broadcast, "goal") == [0, 5, 5]


def test_what_fewer_than_five_do_later_is_not_told(course: Course, pass_time) -> None:
    broadcast, people = make_sent(30, course)
    do(people[:7], course, after(1))
    assert figures(broadcast, "did") == [5, 5, 5]
    pass_time(days=2)
    for user in people[7:11]:
        make_completion(user, lessons_of(course)[0], completed_at=clock.now() - timedelta(hours=1))
    assert figures(broadcast, "did") == [5, 5, 5]
    pass_time(days=1, minutes=1)
    make_completion(people[11], lessons_of(course)[0], completed_at=clock.now() - timedelta(hours=1))
    assert figures(broadcast, "did") == [5, 5, 10]


def test_it_is_looked_at_once_a_day_and_no_more_when_the_time_is_over(course: Course, pass_time) -> None:
    broadcast, people = make_sent(10, course)
    broadcast.finished_at = SENT
    do(people, course, after(1))
    db.session.commit()
    assert [renew_mail_figures(clock.now) for _tick in range(2)] == [1, 0]
    pass_time(days=41)
    with statements() as sent:
        assert renew_mail_figures(clock.now) == 0
    assert not any("completions" in statement for statement in sent)


def test_who_is_erased_stays_in_the_sums_of_mails_and_leaves_those_of_people(course: Course) -> None:
    broadcast, people = make_sent(6, course)
    do(people, course, after(1))
    erase(people[0], people[0].contact, NOW)
    erase(people[1], people[1].contact, NOW)
    assert sums_of(of_stream(broadcast.stream_id or 0)).left == 6
    assert told(broadcast) == {}


def test_mails_add_up_by_state_and_reason(course: Course) -> None:
    broadcast, _people = make_sent(3, course)
    for state, reason, count in (
        (State.DELIVERED, None, 2),
        (State.BOUNCED, "bounced 5.1.1", 1),
        (State.COMPLAINED, "complained", 1),
        (State.SKIPPED, "unsubscribed", 4),
        (State.FAILED, "550 5.7.1 <ada@example.org> not wanted here", 1),
        (State.FAILED, "550 5.7.1 <eve@example.org> not wanted here", 1),
        (State.CANCELLED, "cancelled", 1),
        (State.PENDING, "paused", 1),
        (State.EXPIRED, "expired", 1),
        (State.UNCERTAIN, "the line broke", 1),
        (State.ABANDONED, None, 1),
    ):
        for _number in range(count):
            reader(broadcast, course, state, reason=reason)
    sums = sums_of(of_stream(broadcast.stream_id or 0))
    assert (sums.made, sums.left, sums.under_way) == (18, 7, 1)
    assert sums.made == sums.left + sums.under_way + sum(count for _what, _why, count in sums.unsent)
    words = {str(why): count for _what, why, count in sums.unsent}
    assert words["The other side refuses our mail: what it says, or where it comes from."] == 2
    assert words["unsubscribed meanwhile"] == 4
    assert "ada@" not in repr(words)


def test_hours_have_no_gap_and_days_are_their_sums(course: Course) -> None:
    broadcast, _people = make_sent(2, course)
    reader(broadcast, course, at=SENT + timedelta(minutes=59))
    reader(broadcast, course, State.BOUNCED, at=SENT + timedelta(hours=2, minutes=30))
    reader(broadcast, course, State.SKIPPED, at=SENT + timedelta(hours=9))
    reader(broadcast, course, at=SENT + timedelta(days=2))
    hours = sums_of(of_stream(broadcast.stream_id or 0)).hours
    assert hours[:4] == [(SENT, 3), (SENT + timedelta(hours=1), 0), (SENT + timedelta(hours=2), 1), (SENT + timedelta(hours=3), 0)]
    assert len(hours) == 49
    assert [count for _day, count in by_days(hours)] == [4, 0, 1]


def page_of(client: Client, broadcast: Broadcast, **asked: object) -> str:
    """The page as a marketer sees it."""
    db.session.commit()
    client.sign_in(make_user(roles=["marketer"]))
    return client.visit("results.broadcast", id=broadcast.public_id, **asked).text


def test_the_page_tells_the_way_and_the_chart_says_the_same(client: Client, course: Course) -> None:
    broadcast, people = make_sent(20, course)
    broadcast.candidates = 23
    reader(broadcast, course, State.BOUNCED, reason="bounced 5.1.1")
    reader(broadcast, course, State.SKIPPED, reason="unsubscribed")
    do(people[:12], course, after(5))
    told(broadcast)
    page = page_of(client, broadcast)
    table = page.partition('id="stages-caption"')[2].partition("</table>")[0]
    cells = re.findall(r'<th scope="row">([^<]*)</th>\s*<td class="amount">([^<]*)</td>\s*<td class="amount">([^<]*)</td>', table)
    assert cells == [
        ("It is for", "23", "–"),
        ("Put into the outbox", "22", "95 % of 23"),
        ("Have left", "21", "95 % of 22"),
        ("Did not come back", "20", "95 % of 21"),
        ("Did something in a course", "10", "47 % of 21"),
        ("Finished a course", "fewer than five", "–"),
    ]
    chart = page.partition('aria-labelledby="stages-chart-title')[2].partition("</svg>")[0]
    assert re.findall(r"<text[^>]*>([^<]*)</text>", chart) == [word for row in cells for word in row[:2]]
    line = re.sub(r"<[^>]*>", "", page.partition("person it is for")[0][-80:] + page.partition("people it is for")[2].partition("</p>")[0])
    assert [int(number) for number in re.findall(r"\d+", line.partition("=")[2])] == [21, 1, 1]
    assert "unsubscribed meanwhile" in page


def test_the_page_tells_of_other_days_by_a_link(client: Client, course: Course) -> None:
    broadcast, people = make_sent(20, course)
    do(people[:12], course, after(5))
    told(broadcast)
    for asked, stat in ((1, "fewer than five"), (7, "10"), (30, "10"), (8, "10")):
        assert re.findall(r'stat-number">([^<]*)<', page_of(client, broadcast, days=asked))[1] == stat, asked


@pytest.mark.parametrize("is_sent", [False, True])
def test_a_page_with_nothing_to_tell_says_so(client: Client, is_sent: bool) -> None:
    page = page_of(client, make_broadcast(is_sent=is_sent))
    assert ("It has not begun" in page) is not is_sent
    assert ("There was nothing to tell so far." in page) is is_sent


@pytest.mark.parametrize(("roles", "status"), [(["marketer"], 200), (["owner"], 200), (["instructor"], 404), ([], 404)])
def test_only_marketers_and_owners_open_it(client: Client, roles: list[str], status: int) -> None:
    broadcast = make_broadcast(is_sent=True)
    client.sign_in(make_user(roles=roles))
    assert client.visit("results.broadcast", id=broadcast.public_id).status_code == status
    assert client.visit("results.broadcast", id="nothing").status_code == 404


def test_the_page_asks_little_and_changes_nothing(client: Client, course: Course) -> None:
    broadcast, _people = make_sent(6, course)
    page_of(client, broadcast)
    public_id = broadcast.public_id
    with statements() as sent:
        client.visit("results.broadcast", id=public_id)
    assert len(sent) <= 6, sent
    assert all(statement.startswith("SELECT") for statement in sent)


def test_a_person_is_counted_once_however_many_lessons_they_do(course: Course) -> None:
    broadcast, people = make_sent(10, course)
    do(people[:5], course, after(1), after(2, lesson=1))
    assert figures(broadcast, "did") == [5, 5, 5]
    assert db.session.scalar(sa.select(sa.func.count(Message.id))) == 10


def test_a_large_one_is_told_as_the_worker_counted_it(client: Client, course: Course, pass_time, monkeypatch) -> None:
    monkeypatch.setattr("courseapp.insights.after_mails.COUNTED_LIVE", 5)
    broadcast, _people = make_sent(6, course)
    reader(broadcast, course, State.FAILED, reason="550 5.1.1 nobody here")
    assert "exact and as of this moment" in page_of(client, broadcast)
    told(broadcast)
    first = page_of(client, broadcast)
    broadcast.candidates = 8
    reader(broadcast, course)
    assert page_of(client, broadcast).count("have left") == first.count("have left")
    assert re.findall(r'stat-number">([^<]*)<', page_of(client, broadcast))[0] == "6"
    assert "The address does not exist" in first
    with statements() as sent:
        page_of(client, broadcast)
    assert not any("FROM messages" in statement for statement in sent)
    pass_time(minutes=10)
    told(broadcast)
    assert re.findall(r'stat-number">([^<]*)<', page_of(client, broadcast))[0] == "7"
    broadcast.finished_at = NOW
    reader(broadcast, course)
    for days, left in ((3, "8"), (0.5, "8"), (2, "10")):
        pass_time(days=days)
        told(broadcast)
        assert re.findall(r'stat-number">([^<]*)<', page_of(client, broadcast))[0] == left, days
        reader(broadcast, course)


def main_of(page: str) -> str:
    """What a page says, without what is another each time."""
    return re.sub(r'name="csrf_token" value="[^"]*"', "", page.partition("<main")[2].partition("</main>")[0])


@pytest.mark.parametrize("days", [1, 7, 30])
def test_the_page_stays_as_it_is_whatever_fewer_than_five_do(client: Client, course: Course, pass_time, days: int) -> None:
    broadcast, people = make_sent(23, course)
    do(people[:6], course, after(0.5))
    told(broadcast)
    before = main_of(page_of(client, broadcast, days=days))
    pass_time(days=2)
    for number, user in enumerate(people[6:10]):
        make_completion(user, lessons_of(course)[number % 2], completed_at=clock.now() - timedelta(minutes=number))
    told(broadcast)
    assert main_of(page_of(client, broadcast, days=days)) == before
