"""Support: who may, whom they find and how, and what they see of them and never see."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.contacts.models import ConsentAction, Purpose
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing.models import Message, State
from courseapp.operations import questions
from courseapp.operations.models import QuestionKind
from tests.client import Client
from tests.conftest import NOW
from tests.factories import (
    lesson_that_needs,
    lessons_of,
    make_completion,
    make_consent,
    make_contact,
    make_course,
    make_enrolment,
    make_guest,
    make_message,
    make_outcome,
    make_user,
)
from tests.learning.addresses import same_in_all
from tests.learning.test_outcomes_look_alike import OUTCOMES, set_outcome
from tests.operations.supporting import ADA, do, events_about, find, page_of
from tests.query_counts import statements
from tests.rows import all_rows, changed_tables, tables_that_hold

GETS = ("people", "person", "erasure", "questions")
POSTS = (
    "find_person",
    "send_link",
    "change_address",
    "end_sessions",
    "end_suppression",
    "export_person",
    "erase_person",
    "answer_question",
)


# Who may


@pytest.mark.parametrize("who", ["learner", "guest", "instructor", "marketer"])
def test_support_is_nothing_to_anyone_but_the_owner(client: Client, ada: User, who: str) -> None:
    question = questions.ask(QuestionKind.OTHER, "Hello?", NOW, user=ada)
    roles = [who] if who in {"instructor", "marketer"} else []
    client.sign_in(make_guest() if who == "guest" else make_user(roles=roles))
    token = client.csrf_token("accounts.settings")
    db.session.commit()
    before = all_rows()
    for name in (*GETS, *POSTS):
        key = question.public_id if name == "answer_question" else ada.contact.public_id
        path = client.path(f"support.{name}", **({} if name in {"people", "find_person", "questions"} else {"id": key}))
        data = {"csrf_token": token, "address": ADA, "new_address": "thief@example.org"}
        answer = client.get(path) if name in GETS else client.post(path, data=data)
        assert answer.status_code == 404, name
    assert changed_tables(before, all_rows()) == []


def test_a_stranger_is_asked_to_sign_in(client: Client, ada: User) -> None:
    token = client.csrf_token()
    for name in GETS:
        path = client.path(f"support.{name}", **({} if name in {"people", "questions"} else {"id": ada.contact.public_id}))
        assert client.get(path).location == "/sign-in"
    assert client.post("/staff/people", data={"csrf_token": token, "address": ADA}).location == "/sign-in"


def test_only_the_owner_is_shown_the_way(client: Client, owner: User) -> None:
    assert 'href="/staff/people"' in client.visit("accounts.settings").text
    client.sign_in(make_user(roles=["instructor"]))
    assert 'href="/staff/people"' not in client.visit("accounts.settings").text


# Finding


def test_a_learner_is_found_by_the_whole_address_in_whatever_case(client: Client, owner: User, ada: User) -> None:
    for typed in (ADA, " Ada.Lovelace@EXAMPLE.org "):
        answer = client.submit("support.people", {"address": typed})
        assert answer.location == f"/staff/people/{ada.contact.public_id}"
    assert events_about(ada) == ["staff_found", "staff_found"]


@pytest.mark.parametrize(
    "typed", ["ada", "lovelace@example.org", "%@example.org", "ada.lovelace@example.or_", "a\0b", "", "nobody@example.org"]
)
def test_nothing_less_than_the_address_finds_anyone(client: Client, owner: User, ada: User, typed: str) -> None:
    answer = client.submit("support.people", {"address": typed})
    assert answer.status_code == 200
    assert 'class="error"' in answer.text
    assert ADA not in answer.text
    assert events_about(ada) == []


def test_there_is_no_list_of_people_and_no_search_by_address_in_an_url(client: Client, owner: User, ada: User) -> None:
    answer = client.get(f"/staff/people?address={ADA}&q=ada")
    assert answer.status_code == 200
    assert ada.contact.public_id not in answer.text
    assert ADA not in answer.text


@pytest.mark.settings(rate_limits=True)
@pytest.mark.one_database
def test_addresses_cannot_be_tried_out_in_numbers(client: Client, owner: User) -> None:
    token = client.csrf_token("support.people")
    statuses = {client.post("/staff/people", data={"csrf_token": token, "address": f"a{n}@example.org"}).status_code for n in range(60)}
    assert statuses == {200}
    assert client.post("/staff/people", data={"csrf_token": token, "address": ADA}).status_code == 429


@pytest.mark.settings(log_level="DEBUG")
@pytest.mark.one_database
def test_no_address_reaches_the_log(client: Client, owner: User, ada: User, capfd: pytest.CaptureFixture[str]) -> None:
    client.submit("support.people", {"address": ADA})
    client.application.test_client().sign_in(ada)
    do(client, ada, "send_link")
    do(client, ada, "change_address", {"new_address": "new@example.org", "old_is_lost": "y", "reason": "Closed by the provider."})
    do(client, ada, "end_sessions")
    public_id = ada.contact.public_id
    client.submit("support.erasure", {"address": ADA}, id=public_id)
    logged = "".join(capfd.readouterr())
    assert "staff_acted" in logged
    assert not [word for word in (ADA, "lovelace", "new@example.org", "Closed", public_id) if word in logged]


def test_a_page_opens_for_an_hour_after_its_person_was_found_and_to_whoever_found_them(
    client: Client, owner: User, ada: User, pass_time
) -> None:
    kept = client.path("support.person", id=ada.contact.public_id)
    assert client.get(kept).location == "/staff/people"
    find(client, ADA)
    pass_time(minutes=59)
    assert client.get(kept).status_code == 200
    second: Any = client.application.test_client()
    second.sign_in(make_user(roles=["owner"]))
    assert second.get(kept).location == "/staff/people"
    pass_time(minutes=61)
    assert client.get(kept).location == "/staff/people"
    assert "Please find them again" in client.visit("support.people").text
    token = client.csrf_token("support.people")
    for name in POSTS[1:-1]:
        answer = client.post(client.path(f"support.{name}", id=ada.contact.public_id), data={"csrf_token": token, "address": ADA})
        assert answer.location == "/staff/people", name
    assert events_about(ada) == ["staff_found"]
    assert db.session.query(Message).count() == 0


# Seeing


def test_what_is_shown(client: Client, owner: User, ada: User) -> None:
    course = make_course(title="A first course")
    make_enrolment(ada, course)
    make_consent(ada.contact, Purpose.MARKETING, ConsentAction.WITHDRAWN)
    make_message(ada.contact, stream="course", state=State.SKIPPED, reason="suppressed")
    client.application.test_client().sign_in(ada)
    page = page_of(client, ada)
    for words in (ADA, "November 2, 2026", "A first course", "not begun", "Course mail", "kept back", "withdrawn", "Test", "Last seen"):
        assert words in page, words
    assert "came back, was reported, or was stopped" in page
    assert "learner" in page


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("its sequence is paused", "its sequence is paused"),
        ("they came back", "they came back before"),
        ("overdue", "it came due between a backup and its restore"),
        ("paced, not placed yet", "it waits its turn"),
        ("enough marketing on its way", "other marketing is on its way to them"),
        ("dropped when the stream was resumed", "it was dropped when this kind of mail was let go again"),
        ("550 5.1.1 no such mailbox", "550 5.1.1 no such mailbox"),
    ],
)
def test_why_a_mail_has_not_left_is_said_in_words_and_what_a_server_said_in_its_own(
    client: Client, owner: User, ada: User, reason: str, words: str
) -> None:
    make_message(ada.contact, reason=reason)
    assert words in page_of(client, ada)


def test_only_the_last_twenty_mails_are_shown_and_never_what_they_say(client: Client, owner: User, ada: User) -> None:
    for number in range(25):
        fields = {"secret_url": f"https://x.example/secret-{number}", "first_name": "Canarina"}
        make_message(ada.contact, state=State.FAILED, reason=f"reason {number:02}", fields=fields)
    make_message(make_contact(), state=State.FAILED, reason="of another person")
    page = page_of(client, ada)
    assert [number for number in range(25) if f"reason {number:02}" in page] == list(range(5, 25))
    assert not [word for word in ("secret-", "Canarina", "A subject", "Hello.", "of another person") if word in page]


def test_progress_is_coarse_and_knows_nothing_of_lessons_that_need_the_check(client: Client, owner: User, ada: User) -> None:
    course = make_course()
    enrolment = make_enrolment(ada, course)
    make_outcome(ada)
    for need in ("gentle", "touch"):
        make_completion(ada, lesson_that_needs(course, need))
    enrolment.last_lesson_id, enrolment.last_opened_at = lesson_that_needs(course, "touch").id, NOW
    assert '<span class="row-side">not begun</span>' in page_of(client, ada)
    make_completion(ada, lesson_that_needs(course, "none"))
    assert '<span class="row-side">begun</span>' in page_of(client, ada)
    enrolment.finished_at = NOW
    assert '<span class="row-side">finished</span>' in page_of(client, ada)


@pytest.mark.parametrize("done", [0, 1])
def test_nothing_that_support_can_open_tells_outcomes_apart(client: Client, owner: User, ada: User, done: int) -> None:
    course = make_course(needs=(("none", "gentle"), ("touch", "none")))
    make_enrolment(ada, course)
    for lesson in lessons_of(course)[:done]:
        make_completion(ada, lesson)
    find(client, ADA)
    questions.report_error(lesson_that_needs(course, "touch").id, "x", "A word is missing.", NOW, ada)
    token = client.csrf_token("support.people")
    found = []
    for outcome in OUTCOMES:
        set_outcome(ada, outcome)
        person, file = (client.path(f"support.{name}", id=ada.contact.public_id) for name in ("person", "export_person"))
        seen = [client.get(person), client.get("/staff/questions"), client.post(file, data={"csrf_token": token})]
        db.session.execute(sa.delete(Event).where(Event.type == "staff_exported"))
        found.append([same_in_all(answer.text) for answer in seen])
    assert all(page == found[0] for page in found)
    assert "gently" not in str(found)


def test_what_never_is_shown_or_given_out(client: Client, owner: User, ada: User) -> None:
    course = make_course()
    make_enrolment(ada, course)
    lesson = lesson_that_needs(course, "none")
    lesson.title = "Canary lesson"
    browser: Any = client.application.test_client()
    browser.sign_in(ada)
    browser.submit("learning.lesson", to="learning.completion", id=lesson.public_id, data={"done": "1"})
    browser.submit("asking.report_lesson", {"text": "Canary report"}, id=lesson.public_id)
    make_outcome(ada, "gently")
    shown, given = page_of(client, ada), do(client, ada, "export_person").text
    for word in ("Canary", "gently", "lesson_completed", "lesson_id", "safety_check", "token", ada.contact.address_mac):
        assert word not in shown.replace("csrf_token", ""), word
        assert word not in given, word


def test_an_address_that_was_typed_and_never_confirmed_is_found_with_its_mails(client: Client, owner: User) -> None:
    contact = make_contact("typo@example.org", confirmed=False)
    make_message(contact, stream="sign-in", state=State.FAILED, reason="550 no such mailbox")
    find(client, "typo@example.org")
    page = client.visit("support.person", id=contact.public_id).text
    assert "nobody has opened a link mailed to it" in page
    assert "550 no such mailbox" in page
    assert "Sign them out" not in page
    client.submit("support.erasure", {"address": "typo@example.org"}, id=contact.public_id)
    assert tables_that_hold("typo@example.org") == []


def test_looking_at_a_page_changes_nothing_and_an_unknown_one_is_not_there(client: Client, owner: User, ada: User) -> None:
    find(client, ADA)
    before = all_rows()
    for name in ("person", "erasure"):
        assert client.visit(f"support.{name}", id=ada.contact.public_id).status_code == 200
        assert client.visit(f"support.{name}", id="nobody").status_code == 404
    assert changed_tables(before, all_rows()) == []


def test_the_person_page_asks_the_same_however_much_there_is(client: Client, owner: User, ada: User) -> None:
    def cost() -> int:
        page_of(client, ada)
        with statements() as sent:
            page_of(client, ada)
        return len(sent)

    few = cost()
    grow: Callable[[], object]
    for grow in (lambda: make_enrolment(ada, make_course()), lambda: make_message(ada.contact), lambda: make_consent(ada.contact)):
        for _ in range(3):
            grow()
    assert cost() == few
