"""Support: what is given out, and erasing somebody."""

import json
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.accounts.addresses import ask_to_move
from courseapp.accounts.models import User
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.learning.models import Enrolment
from courseapp.mailing import loops
from courseapp.operations import questions
from courseapp.operations.models import Question, QuestionKind
from tests.client import Client
from tests.conftest import NOW
from tests.factories import (
    lesson_that_needs,
    make_consent,
    make_course,
    make_enrolment,
    make_message,
    make_user,
)
from tests.operations.supporting import ADA, do, find, own_page
from tests.rows import tables_that_hold


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


def test_the_persons_own_file_holds_more_than_staffs(client: Client, app: Flask, owner: User, ada: User) -> None:
    course = make_course()
    lesson = lesson_that_needs(course, "touch")
    make_enrolment(ada, course, last_lesson_id=lesson.id, last_opened_at=NOW)
    make_consent(ada.contact, network="192.0.2.0")
    make_message(ada.contact, fields={"first_name": "Adelheid", "secret_url": "https://x.example/secret"})
    ask_to_move(ada, "new@example.org", NOW)
    browser: Any = app.test_client()
    browser.sign_in(ada)
    own, staffs = browser.visit("operations.export_data").text, do(client, ada, "export_person").text
    for words in (lesson.title, "192.0.2.0", '"first_name": "Adelheid"', "new@example.org"):
        assert words in own, words
    for words in (lesson.title, "192.0.2.0", "filled_in", "new@example.org"):
        assert words not in staffs, words
    assert "secret" not in own


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
    find(client, ADA)
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
    find(client, ADA)
    answer = client.submit("support.erasure", {"address": typed}, id=ada.contact.public_id)
    assert answer.status_code == 200
    assert 'class="error"' in answer.text
    assert db.session.scalars(sa.select(Contact.address).where(Contact.id == ada.contact_id)).one() == ADA
