"""“Are these yours?”: what a guest did joins an account only when its person says so."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import LoginSession, User
from courseapp.catalog.models import Course, Lesson
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.learning.joining import join_guest, titles_done
from courseapp.learning.models import Completion, Enrolment, Outcome, SafetyOutcome
from courseapp.mailing.models import Message
from tests.client import Client
from tests.factories import (
    NOW,
    days_ago,
    lesson_that_needs,
    lessons_of,
    make_completion,
    make_course,
    make_enrolment,
    make_guest,
    make_outcome,
    make_user,
)


@pytest.fixture
def course(app: Flask) -> Course:
    """Three lessons that count, and one of touch."""
    return make_course(needs=(("none", "none"), ("none", "touch")))


@pytest.fixture
def account(course: Course) -> User:
    """Somebody known, who has done the first lesson."""
    user = make_user("known@example.org")
    make_enrolment(user, course, started_at=days_ago(5))
    make_completion(user, lessons_of(course)[0], completed_at=days_ago(4))
    return user


@pytest.fixture
def guest(course: Course) -> User:
    """The same person as a guest elsewhere, who has done the second and one of touch."""
    user = make_guest()
    make_enrolment(user, course, last_lesson_id=lessons_of(course)[1].id, last_opened_at=NOW)
    for lesson in (lessons_of(course)[1], lesson_that_needs(course, "touch")):
        make_completion(user, lesson)
    return user


def done_by(user: User) -> set[str]:
    """The lessons somebody has done."""
    return set(
        db.session.scalars(sa.select(Lesson.key).join(Completion, Completion.lesson_id == Lesson.id).where(Completion.user_id == user.id))
    )


def confirm_by_mail(client: Client, address: str) -> str:
    """A guest gives an address and presses the link in its mail; returns where that leads."""
    client.submit("learning.course", {"address": address}, to="accounts.claim", slug="introduction")
    fields = db.session.scalars(sa.select(Message.fields).order_by(Message.id.desc())).first()
    assert fields is not None
    answer = client.submit(fields["secret_url"].removeprefix("http://127.0.0.1:8000"))
    assert answer.location is not None
    return answer.location


def test_whoever_has_progress_in_both_is_asked_and_told_what_is_where(client: Client, account: User, guest: User) -> None:
    client.sign_in(guest)
    assert confirm_by_mail(client, "known@example.org") == "/join"
    page = client.visit("learning.join").text
    assert "Lesson number 1" in page
    assert "Lesson number 2" in page
    assert "Lesson number 4" not in page  # of touch: not to be read by whoever reads the mail


def test_joined_the_account_has_both_and_the_guest_is_gone(client: Client, account: User, guest: User) -> None:
    client.sign_in(guest)
    confirm_by_mail(client, "known@example.org")
    guest_id = guest.id
    answer = client.submit("learning.join", {"choice": "join"}, follow=True)
    assert "Your progress is together now." in answer.text
    assert done_by(account) == {"lesson-1-1", "lesson-1-2", "lesson-2-2"}
    assert db.session.get(User, guest_id, populate_existing=True) is None
    assert db.session.scalar(sa.select(sa.func.count()).select_from(LoginSession).where(LoginSession.user_id == guest_id)) == 0
    enrolment = db.session.scalars(sa.select(Enrolment)).one()
    assert (enrolment.started_at, enrolment.last_opened_at) == (days_ago(5), NOW)
    assert client.visit("learning.join").location == "/learn"


def test_kept_apart_the_account_stays_as_it_is(client: Client, account: User, guest: User) -> None:
    client.sign_in(guest)
    confirm_by_mail(client, "known@example.org")
    client.submit("learning.join", {"choice": "separate"})
    assert done_by(account) == {"lesson-1-1"}
    assert client.visit("learning.join").location == "/learn"  # and is not asked again


def test_nobody_is_asked_about_somebody_elses_course(client: Client, account: User, guest: User) -> None:
    client.sign_in(account)
    assert client.visit("learning.join").location == "/learn"
    answer = client.post("/join", data={"csrf_token": client.csrf_token("accounts.settings"), "choice": "join"})
    assert answer.location == "/learn"
    assert done_by(guest) == {"lesson-1-2", "lesson-2-2"}


def test_a_new_address_takes_the_guest_over_without_a_question(client: Client, guest: User) -> None:
    client.sign_in(guest)
    assert confirm_by_mail(client, "new@example.org") == "/learn"
    db.session.refresh(guest)
    assert not guest.is_guest
    assert done_by(guest) == {"lesson-1-2", "lesson-2-2"}


@pytest.mark.parametrize(
    ("own", "theirs", "counts"),
    [
        (None, (Outcome.AHEAD, 0), Outcome.AHEAD),
        ((Outcome.AHEAD, 0), None, Outcome.AHEAD),
        ((Outcome.AHEAD, 3), (Outcome.NOW, 1), Outcome.NOW),
        ((Outcome.PROFESSIONAL, 1), (Outcome.AHEAD, 3), Outcome.PROFESSIONAL),
        ((Outcome.PROFESSIONAL, 3), (Outcome.AHEAD, 1), Outcome.AHEAD),
        (None, None, None),
    ],
)
def test_of_two_outcomes_the_later_counts(
    account: User, guest: User, own: tuple[Outcome, int] | None, theirs: tuple[Outcome, int] | None, counts: Outcome | None
) -> None:
    for user, kept in ((account, own), (guest, theirs)):
        if kept is not None:
            make_outcome(user, kept[0], decided_at=days_ago(kept[1]), wording=f"of-{kept[1]}")
    join_guest(guest, account, NOW)
    db.session.commit()
    found = db.session.scalars(sa.select(SafetyOutcome)).all()
    assert [(row.user_id, row.outcome) for row in found] == ([(account.id, counts)] if counts else [])
    days = {kept[1] for kept in (own, theirs) if kept is not None and kept[0] is counts}
    assert [row.wording for row in found] == [f"of-{day}" for day in days]


def test_of_two_completions_the_accounts_own_stays(account: User, guest: User, course: Course) -> None:
    make_completion(guest, lessons_of(course)[0], completed_at=NOW)
    join_guest(guest, account, NOW)
    when = sa.select(Completion.completed_at).where(Completion.user_id == account.id, Completion.lesson_id == lessons_of(course)[0].id)
    assert db.session.scalars(when).one() == days_ago(4)


def events_of(user: User) -> list[str]:
    """What the journal says of somebody."""
    return list(db.session.scalars(sa.select(Event.type).where(Event.subject == f"user:{user.id}").order_by(Event.id)))


def test_a_course_that_only_the_guest_took_is_news_about_the_account(course: Course, guest: User) -> None:
    account = make_user()
    join_guest(guest, account, NOW)
    assert db.session.scalars(sa.select(Enrolment.user_id)).all() == [account.id]
    assert events_of(account) == ["enrolled"]  # so that what begins with a course begins here too


def test_what_is_whole_only_together_is_finished_now(account: User, guest: User, course: Course) -> None:
    make_completion(guest, lessons_of(course)[2])
    join_guest(guest, account, NOW)
    enrolment = db.session.scalars(sa.select(Enrolment)).one()
    assert enrolment.finished_at == NOW
    assert events_of(account) == ["course_completed"]


@pytest.mark.parametrize(("own", "theirs"), [(None, 3), (5, 3), (3, 5), (3, None)])
def test_having_finished_in_either_place_counts_from_the_earlier_day(
    account: User, guest: User, own: int | None, theirs: int | None
) -> None:
    for user, days in ((account, own), (guest, theirs)):
        enrolment = db.session.scalars(sa.select(Enrolment).where(Enrolment.user_id == user.id)).one()
        enrolment.finished_at = days_ago(days) if days else None
    db.session.flush()
    join_guest(guest, account, NOW)
    assert db.session.scalars(sa.select(Enrolment.finished_at)).one() == days_ago(max(filter(None, (own, theirs))))
    assert events_of(account) == ([] if own else ["course_completed"])


def test_a_part_is_not_finished_by_joining(account: User, guest: User) -> None:
    join_guest(guest, account, NOW + timedelta(days=1))
    assert db.session.scalars(sa.select(Enrolment.finished_at)).one() is None
    assert titles_done(account) == ["Lesson number 1", "Lesson number 2"]
