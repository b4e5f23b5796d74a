"""Starting the course: at once, as a guest or as who one is, and once only however often one asks."""

import threading
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import SignInRequest, User
from courseapp.contacts.models import Consent, Contact
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.learning.enrolment import enrol, enrolments_of
from courseapp.learning.models import Enrolment
from courseapp.mailing.models import Message
from tests.client import Client
from tests.factories import NOW, days_ago, lessons_of, make_completion, make_course, make_enrolment, make_guest, make_user


def count(model: type[Any]) -> int:
    """How many rows there are."""
    return db.session.scalar(sa.select(sa.func.count()).select_from(model)) or 0


def test_whoever_starts_without_an_address_is_a_guest_with_a_course(client: Client) -> None:
    make_course()
    answer = client.submit("learning.start")
    assert (answer.status_code, answer.location) == (303, "/learn/introduction")
    user = db.session.scalars(sa.select(User)).one()
    assert user.is_guest
    assert db.session.scalars(sa.select(Enrolment)).one().user_id == user.id
    assert (count(Contact), count(Message), count(Consent)) == (0, 0, 0)
    assert "Begin here" in client.visit("learning.course", slug="introduction").text


def test_an_address_gets_one_mail_and_is_nobodys_until_it_is_confirmed(client: Client) -> None:
    make_course()
    client.submit("learning.start", {"address": "new@example.org"})
    user = db.session.scalars(sa.select(User)).one()
    assert user.is_guest
    assert db.session.scalars(sa.select(Contact)).one().confirmed_at is None
    assert db.session.scalars(sa.select(Message.template)).all() == ["accounts/sign_in"]
    assert db.session.scalars(sa.select(SignInRequest)).one().guest_id == user.id
    assert "A mail is on its way" in client.visit("learning.course", slug="introduction").text


def test_a_known_address_and_an_unknown_one_are_answered_alike(app: Flask, client: Client) -> None:
    make_course()
    make_user("known@example.org")
    other = app.test_client()
    assert isinstance(other, Client)
    pages = []
    for browser, address in ((client, "known@example.org"), (other, "kebab@example.org")):
        answer = browser.submit("learning.start", {"address": address})
        assert (answer.status_code, answer.location) == (303, "/learn/introduction")
        pages.append(browser.visit("learning.course", slug="introduction").text)
    hidden = [page.replace(client_token(page), "") for page in pages]
    assert hidden[0] == hidden[1]


def client_token(page: str) -> str:
    """The form token in a page."""
    return page.partition('name="csrf_token" value="')[2].partition('"')[0]


def test_what_is_no_address_starts_nothing(client: Client) -> None:
    make_course()
    answer = client.submit("learning.start", {"address": "nobody"})
    assert answer.status_code == 200
    assert 'aria-invalid="true"' in answer.text
    assert (count(User), count(Enrolment)) == (0, 0)


def test_only_what_was_ticked_is_asked_for(client: Client) -> None:
    make_course()
    page = client.visit("learning.start").text
    assert " checked" not in page
    client.submit("learning.start", {"address": "new@example.org", "course_mail": "y"})
    assert [(row.purpose.value, row.action.value) for row in db.session.scalars(sa.select(Consent))] == [("course", "asked")]


def test_starting_twice_changes_nothing(client: Client) -> None:
    course = make_course()
    user = client.sign_in(make_user())
    for _time in range(2):
        assert client.submit("learning.start").location == "/learn/introduction"
    assert count(Enrolment) == 1
    assert [event.type for event in db.session.scalars(sa.select(Event))] == ["enrolled"]
    assert [row.id for _enrolment, row in enrolments_of(user)] == [course.id]


def test_starting_twice_at_once_changes_nothing(app: Flask) -> None:
    course, user = make_course(), make_user()
    db.session.commit()
    barrier, failures = threading.Barrier(2), []

    def start() -> None:
        with app.app_context():
            try:
                own, same = db.session.get_one(User, user_id), db.session.get_one(type(course), course_id)
                db.session.rollback()
                barrier.wait(10)
                enrol(own, same.id, NOW)
                db.session.commit()
            except Exception as error:
                failures.append(error)

    user_id, course_id = user.id, course.id
    db.session.rollback()
    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failures == []
    assert count(Enrolment) == 1
    assert count(Event) == 1


def test_a_guest_who_starts_again_stays_the_same_guest(client: Client) -> None:
    make_course()
    client.submit("learning.start")
    client.submit("learning.start", {"address": "new@example.org"})
    assert (count(User), count(Enrolment)) == (1, 1)


def test_nothing_can_be_started_where_nothing_is_published(client: Client) -> None:
    make_course(published_at=None)
    assert client.visit("learning.start").status_code == 404
    assert client.post("/start", data={"csrf_token": client.csrf_token()}).status_code == 404
    assert count(User) == 0


def test_a_form_from_elsewhere_starts_nothing(client: Client) -> None:
    make_course()
    assert client.post("/start").status_code == 400
    assert count(User) == 0


def test_who_takes_one_course_is_led_straight_to_it(client: Client) -> None:
    course, user = make_course(), client.sign_in(make_user())
    assert "No course yet" in client.visit("learning.my_courses").text
    make_enrolment(user, course)
    assert client.visit("learning.my_courses").location == "/learn/introduction"


def test_who_takes_several_sees_how_far_each_is(client: Client) -> None:
    first, second, user = make_course(title="The first"), make_course(slug="second", title="The second"), client.sign_in(make_user())
    make_enrolment(user, first, started_at=days_ago(3))
    make_enrolment(user, second)
    make_completion(user, lessons_of(second)[0])
    page = client.visit("learning.my_courses").text
    assert page.index("The second") < page.index("The first")  # the latest first
    assert "1 of 2 lessons" in page


@pytest.mark.parametrize("endpoint", ["learning.course", "learning.progress", "learning.copy"])
def test_a_course_one_does_not_take_is_not_there(client: Client, endpoint: str) -> None:
    make_course()
    client.sign_in(make_user())
    assert client.visit(endpoint, slug="introduction").status_code == 404


def test_a_course_taken_back_by_its_owner_is_not_there(client: Client) -> None:
    course, user = make_course(), client.sign_in(make_guest())
    make_enrolment(user, course)
    course.published_at = None
    lesson = lessons_of(course)[0].public_id
    assert "No course yet" in client.visit("learning.my_courses").text
    assert client.visit("learning.course", slug="introduction").status_code == 404
    assert client.visit("learning.lesson", id=lesson).status_code == 404


def test_help_is_there_without_signing_in_and_before_any_course(client: Client) -> None:
    page = client.visit("learning.help_now")
    assert page.status_code == 200
    assert "emergency number" in page.text
    assert "New numbness between the legs" in page.text


@pytest.mark.settings(emergency_words="Call 112 (fire and rescue too).", crisis_words="Call 116 123, day and night.")
def test_help_says_the_numbers_that_the_owner_set(client: Client) -> None:
    page = client.visit("learning.help_now").text
    assert "Call 112 (fire and rescue too)." in page
    assert "Call 116 123, day and night." in page
