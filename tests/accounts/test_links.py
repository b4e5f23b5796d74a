"""The mailed link: a GET shows a page, a POST signs in, once, for fifteen minutes, in any browser."""

import threading
from collections import Counter

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import LoginSession, SignInRequest, User
from courseapp.accounts.sign_in import new_request
from courseapp.extensions import db
from courseapp.mailing.links import full_url
from tests.accounts.mailbox import last_mail_to, mails_to
from tests.client import Client, forms_of
from tests.conftest import NOW
from tests.factories import lessons_of, make_completion, make_contact, make_course, make_user
from tests.rows import all_rows, changed_tables


def ask(client: Client, address: str = "ada@example.org") -> str:
    """Ask for a link; its path."""
    client.submit("accounts.sign_in", {"address": address})
    return last_mail_to(address).link


def test_opening_the_link_changes_nothing_however_often_it_is_done(client: Client) -> None:
    link = ask(client)
    before = all_rows()
    for scanner in (client, client.application.test_client()):
        for method in (scanner.get, scanner.head, scanner.get):
            assert method(link).status_code == 200
    assert changed_tables(before, all_rows()) == []
    assert client.submit(link).status_code == 303


@pytest.mark.parametrize(
    ("role", "home"), [("instructor", "authoring.courses"), ("owner", "authoring.courses"), ("marketer", "learning.my_courses")]
)
def test_staff_are_led_to_the_courses_they_look_after(client: Client, role: str, home: str) -> None:
    make_user("staff@example.org", roles=[role])
    assert client.submit(ask(client, "staff@example.org")).location == client.path(home)


def test_the_button_signs_in_once_and_the_second_time_says_the_link_is_spent(client: Client) -> None:
    link = ask(client)
    assert client.submit(link).location == client.path("learning.my_courses")
    assert client.visit("accounts.settings").status_code == 200
    other = client.application.test_client()
    assert other.post(link, data={"csrf_token": other.csrf_token()}).status_code == 410
    assert other.get(link).status_code == 410
    assert other.visit("accounts.settings").status_code == 302


def test_the_spent_page_offers_a_new_mail(client: Client) -> None:
    page = client.visit("accounts.sign_in_link", token="never-made")
    assert page.status_code == 410
    assert client.path("accounts.sign_in") in {form.action for form in forms_of(page.text, "/")}


@pytest.mark.parametrize(("minutes", "status"), [(14, 303), (15.5, 410), (60, 410)])
def test_the_link_works_for_fifteen_minutes(client: Client, pass_time, minutes: float, status: int) -> None:
    link = ask(client)
    token = client.csrf_token()
    pass_time(minutes=minutes)
    assert client.post(link, data={"csrf_token": token}).status_code == status
    assert (client.visit("accounts.settings").status_code == 200) is (status == 303)


def test_a_mangled_token_opens_nothing(client: Client) -> None:
    link = ask(client)
    token = client.csrf_token()
    for wrong in (link[:-1], link + "x", link.swapcase()):
        assert client.post(wrong, data={"csrf_token": token}).status_code in {404, 410}
    assert client.submit(link).status_code == 303


def test_only_hashes_of_the_link_and_the_code_are_kept_beside_the_request(client: Client) -> None:
    ask(client)
    mail, row = last_mail_to("ada@example.org"), db.session.scalars(sa.select(SignInRequest)).one()
    kept = repr([getattr(row, column.key) for column in SignInRequest.__table__.columns])
    assert mail.link.rpartition("/")[2] not in kept
    assert mail.code not in (row.code_mac, row.token_hash)
    assert len(mail.link.rpartition("/")[2]) >= 43


def test_a_first_sign_in_confirms_the_address_and_sends_one_welcome(client: Client) -> None:
    client.submit(ask(client))
    client.submit(ask(client.application.test_client()))
    assert [mail.template for mail in mails_to("ada@example.org")] == ["accounts/sign_in", "accounts/welcome", "accounts/sign_in"]


def test_an_unconfirmed_address_gets_sign_in_mail_and_nothing_else(client: Client) -> None:
    make_course()
    client.submit("learning.start", {"address": "ada@example.org", "course_mail": "y", "marketing": "y"})
    client.submit("accounts.settings", {"address": "ada@example.org"}, to="accounts.claim")
    assert {mail.template for mail in mails_to("ada@example.org")} == {"accounts/sign_in"}


def test_signing_in_gives_a_new_session_and_the_old_cookie_is_dead(client: Client) -> None:
    make_course()
    client.submit("learning.start", {"address": "ada@example.org"})
    before = client.get_cookie("session").value
    client.submit(last_mail_to("ada@example.org").link)
    assert client.get_cookie("session").value != before
    thief = client.application.test_client()
    thief.set_cookie("session", before)
    assert thief.visit("accounts.settings").status_code == 302
    assert db.session.query(LoginSession).count() == 1


def test_a_person_who_is_disabled_does_not_get_in(client: Client) -> None:
    user = make_user("ada@example.org")
    link = ask(client)
    user.disabled_at = NOW
    client.submit(link)
    assert client.visit("accounts.settings").status_code == 302


def test_a_link_asked_for_before_the_account_was_disabled_ends_its_open_sessions(client: Client) -> None:
    user = client.sign_in(make_user("ada@example.org"))
    assert client.visit("accounts.settings").status_code == 200
    user.disabled_at = NOW
    assert client.visit("accounts.settings").status_code == 302


def test_a_link_for_one_address_signs_in_to_that_address_alone(client: Client) -> None:
    client.sign_in(make_user("bob@example.org"))
    make_user("ada@example.org")
    link = ask(client.application.test_client())
    client.submit(link)
    page = client.visit("accounts.settings").text
    assert "ada@example.org" in page
    assert "bob@example.org" not in page


def test_of_many_who_press_one_link_at_once_exactly_one_gets_in(app: Flask, client: Client) -> None:
    link = ask(client)
    browsers = [app.test_client() for _ in range(6)]
    tokens = [browser.csrf_token() for browser in browsers]
    assert at_once(lambda number: browsers[number].post(link, data={"csrf_token": tokens[number]}).status_code, 6) == {303: 1, 410: 5}
    assert (db.session.query(User).count(), db.session.query(LoginSession).count()) == (1, 1)
    assert [mail.template for mail in mails_to("ada@example.org")] == ["accounts/sign_in", "accounts/welcome"]


def test_two_links_of_one_new_address_pressed_at_once_make_one_account(app: Flask, client: Client) -> None:
    contact = make_contact("ada@example.org", confirmed=False)
    links = [new_request(contact.id, "none", NOW)[0] for _ in range(4)]
    browsers = [app.test_client() for _ in links]
    tokens = [browser.csrf_token() for browser in browsers]
    paths = [full_url("accounts.accept_link", token=link).removeprefix(app.config["PUBLIC_URL"]) for link in links]
    assert at_once(lambda number: browsers[number].post(paths[number], data={"csrf_token": tokens[number]}).status_code, 4) == {303: 4}
    assert db.session.query(User).count() == 1
    assert [mail.template for mail in mails_to("ada@example.org")] == ["accounts/welcome"]


def at_once(act, number: int) -> Counter[int]:
    """Do `act(0)`, `act(1)`, … in threads that begin together; how often each answer came."""
    db.session.commit()
    barrier, answers = threading.Barrier(number), Counter[int]()

    def run(which: int) -> None:
        barrier.wait()
        answers[act(which)] += 1

    threads = [threading.Thread(target=run, args=(which,)) for which in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return answers


def test_a_course_that_was_started_stays_with_its_lessons_when_the_address_is_confirmed(client: Client) -> None:
    course = make_course()
    client.submit("learning.start", {"address": "ada@example.org"})
    guest = db.session.scalars(sa.select(User)).one()
    make_completion(guest, lessons_of(course)[0])
    client.submit(last_mail_to("ada@example.org").link)
    assert client.visit("learning.my_courses").location == client.path("learning.course", slug="introduction")
    assert db.session.scalars(sa.select(User)).one().id == guest.id
