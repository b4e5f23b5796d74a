"""Typing an address: a guest starts at once, one mail goes out, and nothing tells who is a member."""

import re

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from courseapp.accounts.models import LoginSession, User
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.learning.models import Enrolment
from courseapp.mailing.models import Message
from tests.accounts.mailbox import mails_to
from tests.client import Client
from tests.factories import make_course, make_enrolment, make_user
from tests.rows import all_rows


def count(model: type) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(model)) or 0


def test_starting_with_an_address_makes_a_guest_and_one_sign_in_mail(client: Client) -> None:
    make_course()
    answer = client.submit("learning.start", {"address": "ada@example.org"})
    assert (answer.status_code, answer.location) == (303, client.path("learning.course", slug="introduction"))
    assert client.visit("learning.course", slug="introduction").status_code == 200
    user = db.session.scalars(sa.select(User)).one()
    assert user.is_guest
    assert [mail.template for mail in mails_to("ada@example.org")] == ["accounts/sign_in"]
    assert not db.session.scalars(sa.select(Contact)).one().is_confirmed
    assert (count(Enrolment), count(Message)) == (1, 1)


def test_starting_without_an_address_needs_none_and_keeps_none(client: Client) -> None:
    make_course()
    assert client.submit("learning.start").status_code == 303
    assert client.visit("learning.course", slug="introduction").status_code == 200
    assert (count(User), count(Contact), count(Message)) == (1, 0, 0)


@pytest.mark.parametrize(
    "typed", ["ada", "ada@", "@example.org", "a b@example.org", "a@b\r\nBcc: x@y.test", "a@" + "b" * 250 + ".org", "a\0@b.org"]
)
def test_what_is_no_address_is_said_so_and_leaves_nothing_behind(client: Client, typed: str) -> None:
    make_course()
    before = all_rows()
    answer = client.submit("learning.start", {"address": typed})
    assert answer.status_code == 200
    assert 'aria-invalid="true"' in answer.text
    assert all_rows() == before


def test_starting_for_a_known_address_signs_nobody_in_to_its_account(client: Client) -> None:
    course = make_course()
    known = make_user("known@example.org")
    make_enrolment(known, course)
    client.submit("learning.start", {"address": "known@example.org"})
    row = db.session.scalars(sa.select(LoginSession)).one()
    assert row.user_id != known.id
    assert "known@example.org" not in client.visit("accounts.settings").text


def test_asking_for_a_link_signs_nobody_in(client: Client) -> None:
    make_user("known@example.org")
    client.submit("accounts.sign_in", {"address": "known@example.org"})
    assert client.visit("accounts.settings").location == client.path("accounts.sign_in")
    assert count(LoginSession) == 0


def seen(answer: TestResponse) -> tuple[int, str | None, list[str], int, str]:
    """All that a stranger can compare: status, target, cookies, length, and the words but for tokens."""
    body = re.sub(r'name="csrf_token" value="[^"]*"', "", answer.text)
    cookies = sorted(cookie.partition("=")[0] for cookie in answer.headers.getlist("Set-Cookie"))
    return answer.status_code, answer.location, cookies, len(body), body


@pytest.mark.parametrize("page", ["accounts.sign_in", "learning.start"])
def test_every_page_is_the_same_for_a_known_and_an_unknown_address(client: Client, page: str) -> None:
    make_course()
    make_user("known@example.org", password="a long enough phrase")
    other = client.application.test_client()
    follow = "accounts.check_mail" if page == "accounts.sign_in" else "accounts.settings"
    answers = []
    for browser, address in ((client, "known@example.org"), (other, "nobody@xample.org")):
        answers.append([seen(browser.submit(page, {"address": address})), seen(browser.visit(follow))])
    known, unknown = ([(*row[:4], row[4].replace("k…@example.org", "n…@xample.org")) for row in rows] for rows in answers)
    assert [row[:3] for row in known] == [row[:3] for row in unknown]
    assert len("known@example.org") == len("nobody@xample.org")
    assert known[1][4] == unknown[1][4]


def test_known_and_unknown_addresses_cause_the_same_rows_to_be_written(client: Client) -> None:
    make_user("known@example.org")
    client.submit("accounts.sign_in", {"address": "known@example.org"})
    client.application.test_client().submit("accounts.sign_in", {"address": "nobody@example.org"})
    assert len(mails_to("known@example.org")) == len(mails_to("nobody@example.org")) == 1
    shapes = {tuple(sorted(row.fields)) for row in db.session.scalars(sa.select(Message))}
    assert len(shapes) == 1


def test_a_wrong_password_reads_the_same_for_a_known_and_an_unknown_address(client: Client) -> None:
    make_user("known@example.org", password="a long enough phrase")
    make_user("plain@example.org")
    rows = [
        seen(client.submit("accounts.sign_in", {"pw-address": address, "pw-password": "wrong wrong"}, to="accounts.sign_in_with_password"))
        for address in ("known@example.org", "plain@example.org", "nobod@example.org")
    ]
    bodies = [row[4].replace(name, "") for row, name in zip(rows, ("known", "plain", "nobod"), strict=True)]
    assert rows[0][:4] == rows[1][:4] == rows[2][:4]
    assert bodies[0] == bodies[1] == bodies[2]


def test_an_address_in_other_letters_is_the_same_address(client: Client) -> None:
    client.submit("accounts.sign_in", {"address": "Ada@Example.org"})
    client.submit("accounts.sign_in", {"address": "aDA@example.ORG "})
    assert count(Contact) == 1
    assert len(mails_to("ada@example.org")) == 2


def test_whoever_is_signed_in_and_starts_again_keeps_their_session_and_gets_no_mail(client: Client) -> None:
    make_course()
    client.sign_in(make_user("ada@example.org"))
    client.submit("learning.start", {"address": "other@example.org"})
    assert (count(User), count(Message), count(LoginSession)) == (1, 0, 1)
