"""A pause from mail: what it holds back, what it lets through, and that nothing comes in a burst when it ends."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.contacts.consent import holds_consent
from courseapp.contacts.models import Contact, Purpose
from courseapp.contacts.resting import PAUSE, begin_pause, end_pause, is_resting
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing import loops
from courseapp.mailing.bulk import new_stream
from courseapp.mailing.links import mail_token
from courseapp.mailing.models import Message, State
from courseapp.mailing.pacing import Limits, claim
from courseapp.mailing.resting import GAP, go_on
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_consent, make_contact, make_letter, make_message
from tests.mailing.conftest import make_course_mail, make_sign_in_mail
from tests.query_counts import statements


@pytest.fixture
def contact(app: Flask) -> Contact:
    """Somebody who agreed to everything, and has paused it."""
    made = make_contact("ada@example.org")
    for purpose in (Purpose.COURSE, Purpose.MARKETING):
        make_consent(made, purpose)
    begin_pause(made, NOW)
    return made


def sent_at(**after: float) -> int:
    """How many mails leave at a moment after the beginning."""
    db.session.commit()
    return loops.drain(lambda: NOW + timedelta(**after))["accepted"]


def course_mails(contact: Contact, count: int) -> list[Message]:
    """So many course mails to one person, due now."""
    return [make_course_mail(contact=contact) for _number in range(count)]


def test_course_mail_waits_for_the_end_of_the_pause_and_comes_one_by_one(contact: Contact) -> None:
    mails = course_mails(contact, 3)
    assert sent_at(minutes=1) == 0
    assert [(mail.state, mail.reason, mail.attempts) for mail in mails] == [(State.PENDING, "resting", 0)] * 3
    assert sent_at(days=29, hours=23) == 0
    leaving = [sent_at(days=30, hours=hours) for hours in range(0, 48, 4)]
    assert leaving == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]  # GAP is 20 hours
    assert {mail.state for mail in mails} == {State.ACCEPTED}


def test_a_pause_that_was_ended_earlier_lets_mail_go_on_from_then(contact: Contact) -> None:
    course_mails(contact, 2)
    assert sent_at(minutes=1) == 0
    at = NOW + timedelta(days=3)
    assert end_pause(contact, at)
    go_on(contact, at)
    assert [sent_at(days=3, minutes=1), sent_at(days=3, hours=19), sent_at(days=3, hours=20, minutes=1)] == [1, 0, 1]
    assert not end_pause(contact, at)


def test_mail_of_a_stream_of_its_own_is_skipped_and_says_why_but_what_is_due_after_the_pause_goes(contact: Contact) -> None:
    stream = new_stream("broadcast-1", Purpose.MARKETING)
    letter = make_letter(purpose=Purpose.MARKETING)
    soon, later = (make_message(contact, stream=stream.key, letter=letter, due_at=NOW + after) for after in (timedelta(0), PAUSE))
    assert sent_at(minutes=1) == 0
    assert (soon.state, soon.reason, soon.settled_at is not None) == (State.SKIPPED, "resting", True)
    assert later.state is State.PENDING
    assert sent_at(days=30, minutes=1) == 1


def test_service_mail_comes_and_other_people_get_theirs(contact: Contact) -> None:
    make_sign_in_mail("bob@example.org")
    own = make_message(contact, stream="service", letter=make_letter(purpose=Purpose.SERVICE))
    course_mails(contact, 1)
    make_course_mail("eve@example.org")
    assert sent_at(minutes=1) == 3
    assert own.state is State.ACCEPTED


def test_whoever_rests_keeps_nobody_waiting(contact: Contact) -> None:
    for _number in range(5):
        make_course_mail(contact=contact)
    other = make_course_mail("eve@example.org", due_at=NOW)
    db.session.commit()
    lot = claim(NOW, 5, False, Limits())
    assert (lot.claimed, lot.wait) == ([], 0.0)  # all five were put off, and one asks again at once
    db.session.commit()
    assert [message_id for message_id, _epoch in claim(NOW, 5, False, Limits()).claimed] == [other.id]


def test_a_mail_that_would_come_too_late_expires_and_is_not_sent(contact: Contact) -> None:
    mail = make_course_mail(contact=contact, expires_at=NOW + timedelta(days=2))
    assert (sent_at(minutes=1), sent_at(days=31)) == (0, 0)
    assert mail.state is State.EXPIRED


def test_where_nobody_rests_the_claim_asks_nothing_more(app: Flask) -> None:
    make_course_mail("eve@example.org")
    db.session.commit()
    with statements() as asked:
        assert len(claim(NOW, 5, False, Limits()).claimed) == 1
    assert len(asked) == 2


# The page


def page_of(contact: Contact) -> dict[str, str]:
    return {"token": mail_token(contact.public_id, "course", contact.address_mac)}


def test_the_page_pauses_and_ends_the_pause_and_leaves_what_is_ticked(client: Client, app: Flask) -> None:
    contact = make_contact("bob@example.org")
    make_consent(contact, Purpose.COURSE)
    assert "Pause for 30 days" in client.visit("mailing.preferences", **page_of(contact)).text
    assert not is_resting(contact, NOW)
    page = client.submit("mailing.preferences", {"pause": "1", "course_mail": None}, **page_of(contact)).text
    assert "paused until December 2, 2026" in page
    assert is_resting(contact, NOW + timedelta(days=29))
    assert not is_resting(contact, NOW + timedelta(days=31))
    assert holds_consent(contact, Purpose.COURSE)
    assert "Pause for 30 days" not in page
    page = client.submit("mailing.preferences", {"go_on": "1"}, **page_of(contact)).text
    assert "Your mails go on" in page
    assert "Pause for 30 days" in page
    told = db.session.scalars(sa.select(Event.type).where(Event.subject == f"contact:{contact.id}").order_by(Event.id)).all()
    assert told == ["mail_paused", "mail_pause_ended"]


def test_a_pause_that_has_begun_is_not_made_longer(client: Client, app: Flask, pass_time: Callable[..., object]) -> None:
    contact = make_contact("bob@example.org")
    client.submit("mailing.preferences", {"pause": "1"}, **page_of(contact))
    first = contact.mail_paused_until
    pass_time(days=7)
    client.submit("mailing.preferences", {"go_on": None, "pause": "1"}, **page_of(contact))
    assert contact.mail_paused_until == first


def test_stopping_everything_stops_it_during_a_pause_too(client: Client, contact: Contact) -> None:
    mail = course_mails(contact, 1)[0]
    assert sent_at(minutes=1) == 0
    page = client.submit("mailing.preferences", {"stop_all": "1"}, **page_of(contact)).text
    assert "All of them have stopped" in page
    assert sent_at(days=30, minutes=1) == 0
    assert (mail.state, mail.reason) == (State.SKIPPED, "unsubscribed")


def test_the_gap_after_a_pause_is_most_of_a_day() -> None:
    assert timedelta(hours=16) <= GAP <= timedelta(hours=24)
