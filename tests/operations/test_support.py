"""Support: who may, what they see and never see, what they do, and that the learner can read all of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.accounts.models import LoginSession, User
from courseapp.contacts.models import ConsentAction, Contact, Purpose
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.learning.models import Enrolment
from courseapp.mailing import loops
from courseapp.mailing.models import Message, State
from courseapp.operations import questions
from courseapp.operations.models import Question, QuestionKind
from tests.accounts.mailbox import last_mail_to, mails_to
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
from tests.query_counts import statements
from tests.rows import all_rows, changed_tables, tables_that_hold

ADA = "ada.lovelace@example.org"
GETS = ("people", "person", "erasure", "questions")
POSTS = ("find_person", "send_link", "change_address", "end_sessions", "export_person", "erase_person", "answer_question")


@pytest.fixture
def owner(client: Client) -> User:
    """The owner, signed in."""
    return client.sign_in(make_user("owner@example.org", roles=["owner"]))


@pytest.fixture
def ada(app: Flask) -> User:
    """A learner."""
    return make_user(ADA, name="Adelheid")


def page_of(client: Client, user: User) -> str:
    """The staff page of a person, as it stands."""
    answer = client.visit("support.person", id=user.contact.public_id)
    assert answer.status_code == 200
    return answer.text


def do(client: Client, user: User, to: str, data: dict[str, Any] | None = None) -> Any:
    """Press a button on the staff page of a person."""
    return client.submit("support.person", data, to=f"support.{to}", id=user.contact.public_id)


def events_about(user: User) -> list[str]:
    """What the journal has of staff's doing with somebody."""
    query = sa.select(Event.type).where(Event.subject == f"user:{user.id}", Event.type.startswith("staff_"))
    return list(db.session.scalars(query.order_by(Event.id)))


def own_page(app: Flask, user: User) -> str:
    """What the learner reads of staff's doing."""
    browser: Any = app.test_client()
    browser.sign_in(user)
    assert 'href="/account/staff"' in browser.visit("accounts.settings").text
    return str(browser.visit("operations.staff_actions").text)


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


# Seeing


def test_what_is_shown(client: Client, owner: User, ada: User) -> None:
    course = make_course(title="A first course")
    make_enrolment(ada, course)
    make_consent(ada.contact, Purpose.MARKETING, ConsentAction.WITHDRAWN)
    make_message(ada.contact, stream="course", state=State.SKIPPED, reason="suppressed")
    client.application.test_client().sign_in(ada)
    page = page_of(client, ada)
    for words in (ADA, "November 2, 2026", "A first course", "not begun", "With the course", "not sent", "withdrawn", "Test", "Last seen"):
        assert words in page, words
    assert "came back, was reported, or was stopped" in page
    assert "learner" in page


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
    assert "<td>not begun</td>" in page_of(client, ada)
    make_completion(ada, lesson_that_needs(course, "none"))
    assert "<td>begun</td>" in page_of(client, ada)
    enrolment.finished_at = NOW
    assert "<td>finished</td>" in page_of(client, ada)


@pytest.mark.parametrize("done", [0, 1])
def test_nothing_that_support_can_open_tells_outcomes_apart(client: Client, owner: User, ada: User, done: int) -> None:
    course = make_course(needs=(("none", "gentle"), ("touch", "none")))
    make_enrolment(ada, course)
    for lesson in lessons_of(course)[:done]:
        make_completion(ada, lesson)
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
    page = client.submit("support.people", {"address": "typo@example.org"}, follow=True).text
    assert "nobody has opened a link mailed to it" in page
    assert "550 no such mailbox" in page
    assert "Sign them out" not in page
    client.submit("support.erasure", {"address": "typo@example.org"}, id=contact.public_id)
    assert tables_that_hold("typo@example.org") == []


def test_looking_at_a_page_changes_nothing_and_an_unknown_one_is_not_there(client: Client, owner: User, ada: User) -> None:
    client.visit("support.people")
    before = all_rows()
    for name in ("person", "erasure"):
        assert client.visit(f"support.{name}", id=ada.contact.public_id).status_code == 200
        assert client.visit(f"support.{name}", id="nobody").status_code == 404
    assert changed_tables(before, all_rows()) == []


# Doing, and the learner's reading of it


def test_a_link_is_sent_that_signs_the_learner_in(client: Client, owner: User, ada: User) -> None:
    assert do(client, ada, "send_link").status_code == 303
    mail = last_mail_to(ADA)
    assert (mail.template, mail.code) == ("operations/sign_in_link", "")
    browser: Any = client.application.test_client()
    browser.submit(mail.link)
    assert ADA in browser.visit("accounts.settings").text
    assert "A link is on its way" in client.visit("support.people").text
    assert "Sent you a link to sign in." in own_page(client.application, ada)


@pytest.mark.settings(rate_limits=True)
@pytest.mark.one_database
def test_nobody_is_sent_links_without_end(client: Client, owner: User, ada: User) -> None:
    statuses = [do(client, ada, "send_link").status_code for _ in range(6)]
    assert statuses == [303] * 5 + [429]
    assert do(client, make_user(), "send_link").status_code == 303


def test_the_address_changes_when_both_have_agreed(client: Client, owner: User, ada: User) -> None:
    do(client, ada, "change_address", {"new_address": "new@example.org"})
    links = [last_mail_to(ADA).link, last_mail_to("new@example.org").link]
    browser: Any = client.application.test_client()
    browser.submit(links[1])
    assert ada.contact.address == ADA
    browser.submit(links[0])
    assert ada.contact.address == "new@example.org"
    assert events_about(ada) == ["staff_asked_address"]
    assert "Asked the old and the new address" in own_page(client.application, ada)


def test_where_the_old_address_is_lost_the_new_one_alone_agrees_and_the_old_one_is_told(client: Client, owner: User, ada: User) -> None:
    browser: Any = client.application.test_client()
    browser.sign_in(ada)
    wish = {"new_address": "new@example.org", "old_is_lost": "y", "reason": "The provider closed it."}
    assert do(client, ada, "change_address", wish).status_code == 303
    assert [mail.template for mail in mails_to(ADA)] == ["operations/address_told"]
    assert ada.contact.address == ADA
    link = last_mail_to("new@example.org").link
    shown = browser.get(link).text
    assert "is no longer read, we were told" in shown
    assert "has agreed</dd>" not in shown
    browser.submit(link)
    assert ada.contact.address == "new@example.org"
    assert browser.visit("accounts.settings").status_code == 302
    read = own_page(client.application, ada)
    assert "The reason written down: The provider closed it." in read
    assert "an owner of this site" in read


def test_the_old_address_is_told_before_the_new_one_is_asked(client: Client, owner: User, ada: User) -> None:
    do(client, ada, "change_address", {"new_address": "new@example.org", "old_is_lost": "y", "reason": "Closed."})
    assert list(db.session.scalars(sa.select(Message.template).order_by(Message.id))) == ["operations/address_told", "accounts/address_new"]
    loops.drain(clock.now)
    loops.close_door()
    assert set(db.session.scalars(sa.select(Message.state))) == {State.ACCEPTED}


def test_who_still_reads_the_old_address_can_stop_the_change(client: Client, owner: User, ada: User) -> None:
    do(client, ada, "change_address", {"new_address": "thief@example.org", "old_is_lost": "y", "reason": "Closed."})
    link = last_mail_to("thief@example.org").link
    browser: Any = client.application.test_client()
    browser.sign_in(ada)
    browser.submit("accounts.settings", {"new_address": "mine@example.org"}, to="accounts.change_address")
    assert client.application.test_client().get(link).status_code == 410
    assert ada.contact.address == ADA


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"new_address": "new@example.org", "old_is_lost": "y", "reason": "  "}, "why the old address is not asked"),
        ({"new_address": "nonsense"}, "does not look like an e-mail address"),
        ({"new_address": ADA}, "the address you have now"),
        ({"new_address": ""}, "Please type an e-mail address"),
        ({"new_address": "new@example.org", "old_is_lost": "y", "reason": "a\nb"}, "leave out line breaks"),
    ],
)
def test_a_change_that_cannot_be_is_refused_in_words_and_mails_nobody(
    client: Client, owner: User, ada: User, wish: dict[str, str], words: str
) -> None:
    answer = do(client, ada, "change_address", wish)
    assert answer.status_code == 200
    assert words in answer.text
    assert db.session.query(Message).count() == 0
    assert events_about(ada) == []


def test_nobody_with_a_role_is_moved_without_their_old_address_or_erased_by_a_page(client: Client, owner: User) -> None:
    other = make_user("second@example.org", roles=["instructor"])
    wish = {"new_address": "new@example.org", "old_is_lost": "y", "reason": "Closed."}
    assert "staff role" in do(client, other, "change_address", wish).text
    answer = client.submit("support.erasure", {"address": "second@example.org"}, id=other.contact.public_id)
    assert "staff role" in answer.text
    assert db.session.query(Message).count() == 0
    assert db.session.get(User, other.id) is not None


def test_all_sessions_end(client: Client, owner: User, ada: User) -> None:
    browsers: list[Any] = [client.application.test_client() for _ in range(2)]
    for browser in browsers:
        browser.sign_in(ada)
    do(client, ada, "end_sessions")
    assert [browser.visit("accounts.settings").status_code for browser in browsers] == [302, 302]
    assert client.visit("support.people").status_code == 200
    assert "Signed you out on every device." in own_page(client.application, ada)


def test_the_file_holds_what_staff_may_see_and_says_what_it_leaves_out(client: Client, owner: User, ada: User) -> None:
    course = make_course()
    make_enrolment(ada, course)
    questions.ask(QuestionKind.MAIL, "Where is my mail?", NOW, user=ada)
    answer = do(client, ada, "export_person")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="data.json"'
    data = json.loads(answer.text)
    assert set(data) == {"account", "contact", "mails", "sequences", "courses", "questions", "events", "left_out"}
    assert data["contact"]["address"] == ADA
    assert data["courses"][0]["standing"] == "not begun"
    assert data["questions"][0]["text"] == "Where is my mail?"
    assert "Downloaded what staff may see" in own_page(client.application, ada)


def live(client: Client, ada: User) -> None:
    """Everything that leaves a trace: a course, questions, reports, mails, a wish to move, staff's doing."""
    course = make_course()
    make_enrolment(ada, course)
    browser: Any = client.application.test_client()
    browser.sign_in(ada)
    browser.submit("asking.ask", {"kind": "mail", "text": "Canary question"})
    browser.submit("asking.report_lesson", {"text": "Canary report"}, id=lesson_that_needs(course, "none").public_id)
    client.application.test_client().submit("asking.ask", {"kind": "data", "text": "Canary outside", "address": ADA.upper()})
    loops.drain(clock.now)
    loops.close_door()
    browser.submit("asking.ask", {"kind": "other", "text": "Canary waiting"})
    client.submit("support.people", {"address": ADA})
    wish = {"new_address": "canary.two@example.org", "old_is_lost": "y", "reason": "Canary reason"}
    do(client, ada, "change_address", wish)


@pytest.mark.settings(support_address="help@example.org")
def test_erasing_is_complete(client: Client, app: Flask, owner: User, ada: User) -> None:
    other = make_user()
    questions.ask(QuestionKind.OTHER, "Somebody else's", NOW, user=other)
    live(client, ada)
    assert {"questions", "messages", "events", "contacts"} <= {*tables_that_hold("canary"), *tables_that_hold(ADA)}
    answer = client.submit("support.erasure", {"address": " Ada.LOVELACE@example.org"}, id=ada.contact.public_id)
    assert answer.location == "/staff/people"
    for word in ("canary", ADA, "Adelheid"):
        assert tables_that_hold(word) == [], word
    kept = [path for path in app.config["SETTINGS"].data_dir.rglob("*") if path.is_file()]
    assert [path for path in kept if b"Canary" in path.read_bytes() or b"lovelace" in path.read_bytes().lower()] == []
    assert db.session.query(Enrolment).count() == 0
    assert [row.text for row in db.session.query(Question)] == ["Somebody else's"]
    [event] = db.session.scalars(sa.select(Event).where(Event.type == "staff_erased"))
    assert (event.subject, event.data["by"]) == ("erased", owner.id)
    loops.drain(clock.now)
    loops.close_door()
    assert not [path for path in app.config["SETTINGS"].data_dir.rglob("*.eml") if b"Canary" in path.read_bytes()]


@pytest.mark.parametrize("typed", ["", "ada", "other@example.org", "ja"])
def test_nothing_is_erased_without_the_address_typed_again(client: Client, owner: User, ada: User, typed: str) -> None:
    answer = client.submit("support.erasure", {"address": typed}, id=ada.contact.public_id)
    assert answer.status_code == 200
    assert 'class="error"' in answer.text
    assert db.session.scalars(sa.select(Contact.address).where(Contact.id == ada.contact_id)).one() == ADA


def test_what_staff_did_names_a_role_and_never_a_person(client: Client, owner: User, ada: User) -> None:
    client.application.test_client().sign_in(ada)
    for name in ("send_link", "end_sessions"):
        do(client, ada, name)
    read = own_page(client.application, ada)
    assert read.index("Signed you out") < read.index("Sent you a link")
    assert "owner@example.org" not in read
    assert "By an owner of this site." in read


def test_nobody_reads_what_staff_did_with_another(client: Client, owner: User, ada: User) -> None:
    do(client, ada, "send_link")
    assert "Nothing so far" in own_page(client.application, make_user())


def test_every_action_is_in_the_journal_with_who_did_it(client: Client, owner: User, ada: User) -> None:
    client.application.test_client().sign_in(ada)
    client.submit("support.people", {"address": ADA})
    do(client, ada, "send_link")
    do(client, ada, "change_address", {"new_address": "new@example.org"})
    do(client, ada, "change_address", {"new_address": "new@example.org", "old_is_lost": "y", "reason": "Closed."})
    do(client, ada, "end_sessions")
    do(client, ada, "export_person")
    assert events_about(ada) == [
        "staff_found",
        "staff_sent_link",
        "staff_asked_address",
        "staff_replaced_address",
        "staff_ended_sessions",
        "staff_exported",
    ]
    facts = db.session.scalars(sa.select(Event.data).where(Event.type.startswith("staff_"))).all()
    assert {row["by"] for row in facts} == {owner.id}
    assert db.session.query(LoginSession).filter_by(user_id=ada.id).count() == 0


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
