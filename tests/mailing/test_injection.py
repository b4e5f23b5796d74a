"""Line breaks in what people type: refused where it is typed, and never a header of a mail, whatever comes through."""

import email
import email.policy
import importlib
import pkgutil
import time
from email.message import EmailMessage
from typing import Any, cast

import pytest
from flask import Flask
from flask_wtf import FlaskForm
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict
from wtforms import Field, StringField, TextAreaField

import courseapp
from courseapp.authoring.front_matter import Front, Words
from courseapp.authoring.report import Report
from courseapp.contacts.address import clean_address
from courseapp.contacts.models import Purpose
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.mailing.letters import Unfit, publish_letter
from courseapp.mailing.message import _skeleton, outgoing
from courseapp.mailing.models import Letter
from courseapp.mailing.outbox import sendables
from courseapp.mailing.text import Text
from courseapp.site import forget_site, site_of
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_contact, make_letter, make_message, make_user

BREAKS = ["\r\nBcc: eve@evil.test", "\nBcc: eve@evil.test", "\rBcc: eve@evil.test", "\x0bBcc: eve@evil.test", "\u2028Bcc: x", "\x85Bcc: x"]
PLACES = (
    *("first_name", "sender_name", "site_name", "postal_address", "subject", "preheader", "body"),
    *("text", "answer_to", "about", "title", "words"),
)
COURSE_HEADERS = [
    *("From", "To", "Subject", "Date", "Message-ID", "Feedback-ID", "Auto-Submitted"),
    *("List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "MIME-Version", "Content-Type"),
]
QUESTION = {"secret_kind": "Mails", "secret_text": "Words.", "secret_answer_to": "ada@example.org", "list_url": "https://learn.example/"}


def mail_with(app: Flask, place: str, typed: str) -> EmailMessage:
    """A mail in which one thing that people type is `typed`, parsed; raises ValueError where it is refused."""
    site = {place: typed} if place in {"sender_name", "site_name", "postal_address"} else {}
    app.extensions["site"] = time.monotonic(), site_of(app.config["SETTINGS"], site)
    words = {"subject": 'For {{ first_name | default("you") }}', "preheader": "Before", "body": "Hello {{ first_name }}."}
    message = make_message(make_contact(first_name="x"), letter=make_letter(**{**words, **({place: typed} if place in words else {})}))
    if place in {"text", "answer_to"}:
        fields = {**QUESTION, f"secret_{place}": typed}
        message = make_message(make_contact(), stream="service", template="operations/question", fields=fields)
    if place == "about":  # the lesson's title, in what staff are told of an error in it
        fields = {"secret_about": typed, "secret_text": "Words.", "list_url": "https://learn.example/"}
        message = make_message(make_contact(), stream="service", template="operations/report", fields=fields)
    if place in {"title", "words"}:  # of a lesson on its card
        card = {"title": "A lesson", "words": "Its words", "path": "/lessons/abc", place: typed}
        letter = make_letter(body="<lesson:introduction/one>\n\n[It](lesson:introduction/one).", targets={"lesson:introduction/one": card})
        message = make_message(make_contact(), letter=letter)
    if place == "first_name":
        message.contact.first_name = typed
    content = outgoing(sendables([message.id])[message.id], NOW).content
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    return cast(EmailMessage, email.message_from_bytes(content, policy=email.policy.default))


@pytest.mark.one_database
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.sampled_from(PLACES),
    typed=st.one_of(
        st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=80),
        st.builds("{}{}".format, st.text(alphabet="aü ", max_size=5), st.sampled_from(BREAKS)),
    ),
)
@example(place="sender_name", typed="ü\r\nBcc: eve@evil.test")
def test_whatever_is_typed_anywhere_the_mail_has_its_own_headers_and_no_defect(app: Flask, place: str, typed: str) -> None:
    try:
        mail = mail_with(app, place, typed)
    except ValueError:
        assert place in {"first_name", "sender_name", "site_name", "subject"}
        assert "\r" in typed or "\n" in typed
        return
    finally:
        db.session.rollback()
        _skeleton.cache_clear()
        forget_site()
    expected = [name for name in COURSE_HEADERS if place not in {"text", "answer_to", "about"} or not name.startswith("List-")]
    assert mail.keys() == expected
    assert not [defect for part in mail.walk() for defect in part.defects]
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]


# One-line fields that may hold a line break, for none of them ever stands in a mail; an address is cleaned in `contacts/address.py`.
ADDRESSES = {"address", "new_address"}
NOT_IN_MAILS = {"password", "current", "new", "code", "version", "base", "columns"}


def lines_typed() -> list[tuple[type[FlaskForm], str]]:
    """Every field of every form in which people type one line."""
    for module in pkgutil.walk_packages(courseapp.__path__, "courseapp."):
        if module.name.endswith("forms"):
            importlib.import_module(module.name)
    forms = [form for form in FlaskForm.__subclasses__() if form.__module__.startswith("courseapp.")]
    made = ((form, form(formdata=None, meta={"csrf": False})) for form in forms)
    return [(form, field.name) for form, empty in made for field in empty if _is_one_line(field)]


def _is_one_line(field: Field) -> bool:
    return isinstance(field, StringField) and not isinstance(field, TextAreaField)


@pytest.mark.one_database
def test_every_line_that_people_type_refuses_a_line_break(app: Flask) -> None:
    with app.test_request_context(method="POST"):
        fields = lines_typed()
        assert len(fields) > 20
        assert {name for _form, name in fields} >= {"title", "subject", "preheader", "name", "sender_name", "site_name", "reason"}
        for form, name in fields:
            for line_break in BREAKS:
                typed = f"ada@example.org{line_break}"
                found = form(formdata=MultiDict({name: typed}), meta={"csrf": False})
                own = getattr(form, f"validate_{name}", None)
                is_fine = found[name].validate(found, [own] if own else [])
                is_taken = is_fine and not str(found[name].data).isprintable()
                assert not is_taken or name in ADDRESSES | NOT_IN_MAILS, (form, name, line_break)


@pytest.mark.one_database
@pytest.mark.parametrize("line_break", BREAKS)
def test_an_address_with_a_line_break_is_none(app: Flask, line_break: str) -> None:
    for typed in (
        f"ada@example.org{line_break}",
        f"ada{line_break}@example.org",
        f'"a{line_break}"@example.org',
        f"a@example{line_break}.org",
    ):
        with pytest.raises(Refusal):
            clean_address(typed)


@pytest.mark.parametrize("line_break", BREAKS)
def test_the_title_of_a_course_or_a_lesson_is_one_line(line_break: str) -> None:
    front = Front("course.md", {"title": f"Breathing{line_break}"}, {}, "", 1)
    assert Words(front, Report()).text("title", 200).isprintable()


@pytest.mark.parametrize("line_break", BREAKS)
def test_a_letter_with_a_line_break_in_its_head_is_not_published(app: Flask, line_break: str) -> None:
    for place in ("subject", "preheader"):
        words: dict[str, Any] = {"subject": "A", "preheader": "B", place: f"Hello{line_break}"}
        with pytest.raises(Unfit, match="line break"):
            publish_letter(Text("en", words["subject"], words["preheader"], "Hello.", Purpose.COURSE), NOW)
    assert db.session.query(Letter).count() == 0


@pytest.mark.parametrize("line_break", BREAKS)
def test_a_name_with_a_line_break_is_refused_where_it_is_typed(client: Client, line_break: str) -> None:
    owner = client.sign_in(make_user("owner@example.org", roles=["owner"]))
    client.submit("accounts.settings", {"name": f"Ada{line_break}"}, to="accounts.change_own_name")
    assert owner.contact is not None
    assert owner.contact.first_name is None
    for name in ("names-sender_name", "names-site_name"):
        answer = client.submit("organisation.settings", {name: f"Course{line_break}"}, to="organisation.change_settings", section="names")
        assert "leave out line breaks" in answer.text
