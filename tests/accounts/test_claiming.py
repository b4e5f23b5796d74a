"""A guest and an address: taken over where the address is new, asked about where it has an account."""

from datetime import timedelta

import sqlalchemy as sa

from courseapp.accounts.models import LoginSession, User
from courseapp.extensions import db
from courseapp.learning.models import Completion, Enrolment
from tests.accounts.mailbox import last_mail_to
from tests.client import Client
from tests.conftest import NOW
from tests.factories import lessons_of, make_completion, make_course, make_enrolment, make_user


def begin(client: Client, address: str = "ada@example.org") -> User:
    """Start as a guest with an address; the guest."""
    client.submit("learning.start", {"address": address})
    return db.session.scalars(sa.select(User).where(User.contact_id.is_(None))).one()


def test_the_link_opened_in_another_browser_takes_the_guest_over_and_ends_the_guests_sessions(client: Client) -> None:
    make_course()
    guest = begin(client)
    phone = client.application.test_client()
    phone.submit(last_mail_to("ada@example.org").link)
    assert "ada@example.org" in phone.visit("accounts.settings").text
    assert phone.visit("learning.course", slug="introduction").status_code == 200
    assert client.visit("accounts.settings").status_code == 302
    assert [row.user_id for row in db.session.scalars(sa.select(LoginSession))] == [guest.id]


def test_a_guest_who_started_without_an_address_can_give_one_later(client: Client) -> None:
    make_course()
    client.submit("learning.start")
    client.submit("accounts.settings", {"address": "ada@example.org"}, to="accounts.claim")
    client.submit(last_mail_to("ada@example.org").link)
    assert db.session.scalars(sa.select(User)).one().contact.address == "ada@example.org"


def test_a_guests_name_is_what_mails_greet_by_once_the_address_is_confirmed(client: Client) -> None:
    make_course()
    begin(client)
    client.submit("accounts.settings", {"name": "Ada"}, to="accounts.change_own_name")
    client.submit(last_mail_to("ada@example.org").link)
    assert db.session.scalars(sa.select(User)).one().contact.first_name == "Ada"


def two_places(client: Client) -> tuple[User, User, list[int]]:
    """An account with lesson 1 done today; a guest of the same address with lessons 1 and 2 done ten days ago. Link pressed."""
    course = make_course()
    account = make_user("ada@example.org")
    make_enrolment(account, course)
    guest = begin(client)
    first, second = lessons_of(course)[:2]
    make_completion(account, first)
    for lesson in (first, second):
        make_completion(guest, lesson, completed_at=NOW - timedelta(days=10))
    db.session.scalars(sa.select(Enrolment).where(Enrolment.user_id == guest.id)).one().started_at = NOW - timedelta(days=10)
    lessons = [first.id, second.id]
    assert client.submit(last_mail_to("ada@example.org").link).location == client.path("learning.join")
    return account, guest, lessons


def test_an_account_and_a_guest_with_progress_are_asked_about_and_nothing_is_joined_before(client: Client) -> None:
    account, guest, _lessons = two_places(client)
    page = client.visit("learning.join").text
    assert "2 lessons done" in page
    assert "1 lesson done" in page
    assert db.session.query(Completion).filter_by(user_id=account.id).count() == 1
    assert db.session.get(User, guest.id) is not None


def test_joining_keeps_the_earlier_date_of_a_lesson_done_in_both(client: Client) -> None:
    account, _guest, lessons = two_places(client)
    client.submit("learning.join", {"choice": "join"})
    done = {row.lesson_id: row.completed_at for row in db.session.query(Completion).filter_by(user_id=account.id)}
    assert done == dict.fromkeys(lessons, NOW - timedelta(days=10))


def test_joining_gives_the_account_all_lessons_and_the_earlier_start_and_ends_the_guest(client: Client) -> None:
    account, guest, lessons = two_places(client)
    guest_id = guest.id
    client.submit("learning.join", {"choice": "join"})
    assert {row.lesson_id for row in db.session.query(Completion).filter_by(user_id=account.id)} == set(lessons)
    assert db.session.query(Enrolment).one().started_at == NOW - timedelta(days=10)
    assert db.session.query(User).filter_by(id=guest_id).count() == 0


def test_keeping_apart_leaves_the_account_as_it_was_and_asks_no_second_time(client: Client) -> None:
    account, _guest, lessons = two_places(client)
    client.submit("learning.join", {"choice": "separate"})
    assert [row.lesson_id for row in db.session.query(Completion).filter_by(user_id=account.id)] == lessons[:1]
    token = client.csrf_token("accounts.settings")
    client.post(client.path("learning.settle_join"), data={"csrf_token": token, "choice": "join"})
    assert [row.lesson_id for row in db.session.query(Completion).filter_by(user_id=account.id)] == lessons[:1]


def test_nobody_joins_a_guest_of_another_browser(client: Client) -> None:
    two_places(client)
    stranger = client.application.test_client()
    stranger.sign_in(make_user("eve@example.org"))
    token = stranger.csrf_token("accounts.settings")
    stranger.post(stranger.path("learning.settle_join"), data={"csrf_token": token, "choice": "join"})
    assert db.session.query(Completion).count() == 3


def test_the_guest_of_a_link_is_asked_about_also_in_another_browser(client: Client) -> None:
    course = make_course()
    make_enrolment(make_user("ada@example.org"), course)
    begin(client)
    phone = client.application.test_client()
    assert phone.submit(last_mail_to("ada@example.org").link).location == phone.path("learning.join")
    assert phone.visit("learning.join").status_code == 200


def test_a_guest_who_was_taken_over_by_one_address_is_not_taken_by_another(client: Client) -> None:
    make_course()
    guest = begin(client, "ada@example.org")
    client.submit("accounts.settings", {"address": "bob@example.org"}, to="accounts.claim")
    bob = last_mail_to("bob@example.org").link
    client.submit(last_mail_to("ada@example.org").link)
    phone = client.application.test_client()
    phone.submit(bob)
    assert "bob@example.org" in phone.visit("accounts.settings").text
    assert db.session.get(User, guest.id).contact.address == "ada@example.org"
    assert phone.visit("learning.course", slug="introduction").status_code == 404
