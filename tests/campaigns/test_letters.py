"""The page of a published letter: how it looks to whom, what is wrong with it today, and a copy to staff alone."""

import email
import email.policy
import re
from email.message import EmailMessage
from typing import cast

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.campaigns.references import targets_of
from courseapp.catalog.models import Lesson, Need
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing.letters import publish_letter
from courseapp.mailing.looks import READERS
from courseapp.mailing.loops import drain
from courseapp.mailing.models import Letter, Message
from courseapp.mailing.smtp import file_of_mail
from courseapp.mailing.text import Target, Text
from tests.client import Client
from tests.factories import NOW, lessons_of, make_contact, make_course, make_letter, make_user

BODY = 'Hello {{ first_name | default("there") }},\n\n[Continue]({{ continue_url }})\n'


@pytest.fixture
def letter(app: Flask, client: Client) -> Letter:
    """A letter of the course, looked at by a marketer."""
    made = publish_letter(Text("en", 'For {{ first_name | default("you") }}', "Before", BODY, Purpose.COURSE), NOW)
    client.sign_in(make_user("marketer@example.org", roles=["marketer"]))
    return made


def test_the_page_shows_the_letter_as_each_reader_gets_it(client: Client, letter: Letter) -> None:
    for reader in READERS:
        page = client.visit("letters.letter", id=letter.public_id, reader=reader.key).text
        assert f"<h1>For {reader.first_name or 'you'}</h1>" in page
        assert f"Hello {reader.first_name or 'there'}," in page
        assert re.search(rf'aria-current="true">{reader.words}</a>', page)
        frames = re.findall(r'<iframe class="letter[^"]*"\s+src="([^"]*)"\s+sandbox\s+title', page)
        assert len(frames) == 3
        for path in frames:
            assert f"Hello {reader.first_name or 'there'}," in client.get(path.replace("&amp;", "&")).text


def test_a_frame_holds_the_letter_to_one_look_under_a_policy_of_its_own(client: Client, letter: Letter) -> None:
    for look, rule in (("light", "@media not all"), ("dark", "@media all")):
        answer = client.visit("letters.letter_html", id=letter.public_id, look=look)
        assert rule in answer.text
        assert "prefers-color-scheme" not in answer.text
        assert f'<meta name="color-scheme" content="{look}">' in answer.text
        policy = answer.headers["Content-Security-Policy"]
        assert policy == "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert answer.headers["Cache-Control"] == "no-store"
    assert client.visit("letters.letter_html", id=letter.public_id, look="odd").status_code == 404
    assert "unsafe-inline" not in client.visit("letters.letter", id=letter.public_id).headers["Content-Security-Policy"]


def test_links_of_a_look_change_nobodys_mails(client: Client, letter: Letter) -> None:
    found = set(re.findall(r'href="([^"]*unsubscribe[^"]*)"', client.visit("letters.letter_html", id=letter.public_id).text))
    assert len(found) == 1
    assert client.get("/" + found.pop().split("/", 3)[3]).status_code == 404


def test_what_has_gone_wrong_since_is_said_on_the_page(client: Client, letter: Letter) -> None:
    page = client.visit("letters.letter", id=letter.public_id).text
    assert "Checked now" in page
    assert "Nothing is wrong with it" in page
    old = make_letter(subject="Old", preheader="", body="Hello {{ first_name }}.\n\n[Go](/learn)")
    db.session.commit()
    page = client.visit("letters.letter", id=old.public_id).text
    for words in ("The preheader is empty.", "a gap would stand there", "leads nowhere from a letter", "Line 3"):
        assert words in page


def test_a_lesson_that_was_taken_out_since_is_said_on_the_page(client: Client, letter: Letter) -> None:
    course = make_course()
    lesson = lessons_of(course)[0]
    body = f"<lesson:{course.slug}/{lesson.key}>"
    made = publish_letter(Text("en", "A", "B", body, Purpose.COURSE, targets_of(body)), NOW)
    lesson.retired_at = NOW
    db.session.commit()
    page = client.visit("letters.letter", id=made.public_id).text
    assert "is nothing that a letter can lead to" in page
    assert lesson.title in page  # it says what it said


def test_only_what_everybody_may_open_can_be_referred_to(app: Flask) -> None:
    course = make_course(needs=(("none", "gentle", "touch"),))
    draft = make_course(published_at=None)
    open_to_all, *closed = lessons_of(course)
    assert [lesson.needs_check for lesson in closed] == [Need.GENTLE, Need.TOUCH]
    names = [f"lesson:{course.slug}/{lesson.key}" for lesson in lessons_of(course)]
    names += [f"lesson:{draft.slug}/{lessons_of(draft)[0].key}", f"course:{course.slug}", f"course:{draft.slug}"]
    names += ["lesson:nowhere/x", "lesson:x", "page:help-now", "page:privacy", "page:nowhere", "tier:gold"]
    found = dict(targets_of("\n\n".join(f"[x]({name})" for name in names)))
    assert found.keys() == {names[0], f"course:{course.slug}", "page:help-now"}
    assert found[names[0]] == Target(open_to_all.title, open_to_all.shows, f"/lessons/{open_to_all.public_id}")
    assert db.session.scalar(sa.select(Lesson.id).where(Lesson.public_id == open_to_all.public_id))


def test_letters_are_listed_newest_first_and_paged(client: Client, letter: Letter) -> None:
    for number in range(31):
        make_letter(subject=f"Letter {number:02}")
    db.session.commit()
    first = client.visit("letters.published")
    assert re.findall(r"Letter \d\d", first.text) == [f"Letter {number:02}" for number in range(30, 0, -1)]
    older = re.search(r'href="([^"]*before=\d+)"', first.text)
    assert older is not None
    assert "Letter 00" in client.get(older[1]).text


def test_a_letter_is_tried_out_as_it_is_on_staff_alone(app: Flask, client: Client, letter: Letter) -> None:
    colleague = make_user(contact=make_contact("colleague@example.org", first_name="Grace"), roles=["instructor"])
    for _time in range(2):  # pressed twice
        answer = client.submit("letters.letter", {"to": colleague.public_id}, to="letters.try_out", id=letter.public_id)
        assert answer.status_code == 303
    assert drain(clock.now) == {"accepted": 1}
    db.session.commit()
    (message,) = db.session.scalars(sa.select(Message)).all()
    content = file_of_mail(app.config["SETTINGS"], message.public_id).read_bytes()
    found = cast(EmailMessage, email.message_from_bytes(content, policy=email.policy.default))
    assert (found["Subject"], found["To"]) == ("[Test] For Grace", "colleague@example.org")
    assert found["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    plain = found.get_body(("plain",))
    assert plain is not None
    assert "Stop these mails" in plain.get_content()
    events = db.session.scalars(sa.select(Event).where(Event.type == "letter_tried")).all()
    assert {event.data["contact_id"] for event in events} == {colleague.contact_id}


def test_nobody_else_gets_a_trial(client: Client, letter: Letter) -> None:
    people = [
        make_user("learner@example.org"),
        make_user("closed@example.org", roles=["marketer"], disabled_at=NOW),
        make_user(contact=make_contact("unconfirmed@example.org", confirmed=False), roles=["marketer"]),
    ]
    page = client.visit("letters.letter", id=letter.public_id).text
    assert re.findall(r"<option[^>]*>([^<]*)</option>", page) == ["marketer@example.org"]
    for person in (*(user.public_id for user in people), "nobody", ""):
        answer = client.submit("letters.letter", {"to": person}, to="letters.try_out", id=letter.public_id)
        assert answer.status_code == 422
        assert "only on people with a role here" in answer.text
    assert db.session.scalars(sa.select(Message)).all() == []
