"""How mail stands, for marketers and owners: numbers and no addresses, pausing, running again, and mails in doubt."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing import breaker, bulk, loops, pausing
from courseapp.mailing.models import Message, State, Stream
from courseapp.mailing.streams import stream_of
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_broadcast, make_contact, make_letter, make_message, make_user
from tests.mailing.conftest import clean_door, make_course_mail, with_smtp

__all__ = ["clean_door", "with_smtp"]


@pytest.fixture
def marketer(client: Client) -> Any:
    """A marketer, signed in."""
    return client.sign_in(make_user("marketer@example.org", roles=["marketer"]))


def events(type: str) -> list[tuple[str, Any]]:
    """What was written down of a type: about what, and by whom."""
    return [(row.subject, row.data.get("by")) for row in db.session.scalars(sa.select(Event).where(Event.type == type))]


def page(client: Client, where: str = "postroom.outbox", **values: Any) -> str:
    """A page's text, on one line."""
    db.session.commit()
    return " ".join(client.visit(where, **values).text.split())


def test_when_all_is_well_the_page_says_so_first(client: Client, marketer) -> None:
    make_course_mail(state=State.ACCEPTED)
    assert "All is well" in page(client)


def test_it_tells_what_waits_what_is_paused_and_what_went_wrong_in_words(client: Client, marketer) -> None:
    for number in range(3):
        make_course_mail(due_at=NOW - timedelta(minutes=10 + number))
    make_course_mail(due_at=NOW + timedelta(days=1))
    for number in range(6):
        contact = make_contact(f"canary{number}@busy.example")
        make_message(contact, state=State.BOUNCED, reason="550 5.1.1 no such user", settled_at=NOW)
    make_message(make_contact("canary@lonely.example"), state=State.FAILED, reason="554 5.7.1 refused", settled_at=NOW)
    make_message(state=State.FAILED, reason="550 5.1.1 old", settled_at=NOW - timedelta(days=8))
    stream = stream_of("marketing")
    stream.paused_at, stream.paused_why = NOW, "It paused itself: canary why."
    text = page(client)
    assert "All is well" not in text
    assert "4 mails wait, the oldest since" in text
    assert "A mail that is due has waited for about 10 minutes" in text or "about 15 minutes" in text
    assert "canary why" in text
    assert "does not exist, or takes no mail any more" in text
    assert "busy.example" in text
    for word in ("lonely.example", "canary0", "old"):
        assert f"{word}@" not in text
        assert word == "old" or word not in text


def test_trouble_of_the_mail_server_stands_there(client: Client, marketer) -> None:
    breaker.trip("files", "421 4.3.2 canary", NOW)
    text = page(client)
    assert "The mail server is in trouble" in text
    assert "421 4.3.2 canary" in text


def test_a_stream_is_paused_after_a_page_that_says_what_that_does(client: Client, marketer) -> None:
    make_course_mail()
    assert "1 mail is due and will wait." in page(client, "postroom.pausing_stream", key="course")
    assert stream_of("course").paused_at is None
    client.submit("postroom.pausing_stream", {}, key="course")
    db.session.expire_all()
    assert stream_of("course").paused_why == "Somebody of the staff paused it."
    assert events("stream_paused") == [("stream:course", marketer.id)]
    client.post(client.path("postroom.pause", key="course"), data={"csrf_token": client.csrf_token("accounts.settings")})
    assert len(events("stream_paused")) == 1


@pytest.mark.parametrize(("choice", "state", "dropped"), [("send", State.PENDING, 0), ("drop", State.SKIPPED, 2)])
def test_running_again_says_the_number_first_and_does_as_is_said(client: Client, marketer, choice: str, state: State, dropped: int) -> None:
    messages = [make_course_mail(), make_course_mail()]
    later = make_course_mail(due_at=NOW + timedelta(days=3))
    pausing.pause(messages[0].stream, marketer.id, "Because.", NOW)
    text = page(client, "postroom.resuming_stream", key="course")
    assert "2 mails have waited." in text
    assert "Run again, never send 2 mails" in text
    client.submit("postroom.resuming_stream", {"waiting": choice}, key="course")
    db.session.expire_all()
    assert {row.state for row in messages} == {state}
    assert later.state is State.PENDING
    assert messages[0].stream.paused_at is None
    event = db.session.scalars(sa.select(Event).where(Event.type == "stream_resumed")).one()
    assert (event.subject, event.data) == ("stream:course", {"by": marketer.id, "dropped": dropped})


def test_without_a_word_on_what_waited_nothing_runs(client: Client, marketer) -> None:
    message = make_course_mail()
    pausing.pause(message.stream, marketer.id, "Because.", NOW)
    answer = client.submit("postroom.resuming_stream", {}, key="course")
    assert answer.status_code == 400
    db.session.expire_all()
    assert message.stream.paused_at == NOW


def test_mails_in_doubt_are_listed_by_key_without_whom_they_are_for(client: Client, marketer) -> None:
    contact = make_contact("canary.ada@example.org", first_name="Canarina")
    letter = make_letter(subject="Your third week")
    for _ in range(32):
        make_message(contact, letter=letter, state=State.UNCERTAIN, settled_at=NOW)
    first = page(client, "postroom.in_doubt")
    assert "32 mails are in doubt" in page(client)
    assert first.count("Decide:") == 30
    older = first.split('rel="next"')[0].rpartition('href="')[2].partition('"')[0]
    assert client.get(older).text.count("Decide:") == 2
    for text in (first, page(client, "postroom.doubt", id=db.session.query(Message).first().public_id)):
        assert "Your third week" in text
        assert "anary" not in text


@pytest.mark.parametrize(
    ("choice", "state", "event"), [("again", State.PENDING, "uncertain_sent_again"), ("leave", State.ABANDONED, "uncertain_left")]
)
def test_a_mail_in_doubt_is_sent_again_or_left_once_and_by_whom_is_written_down(
    client: Client, marketer, choice: str, state: State, event: str
) -> None:
    message = make_course_mail(state=State.UNCERTAIN, settled_at=NOW, attempts=8, lease_epoch=3)
    db.session.commit()
    client.submit("postroom.doubt", {"choice": choice}, id=message.public_id)
    db.session.expire_all()
    assert (message.state, message.lease_epoch) == (state, 4)
    assert events(event) == [(f"message:{message.id}", marketer.id)]
    answer = client.post(
        client.path("postroom.settle_doubt", id=message.public_id), data={"csrf_token": client.csrf_token("accounts.settings")}
    )
    assert answer.status_code == 404, "it is in doubt no more"


def test_a_mail_sent_again_leaves_with_the_message_id_it_had(client: Client, marketer, app: Flask, with_smtp, smtp) -> None:
    message = make_course_mail("ada@example.org", state=State.UNCERTAIN, settled_at=NOW, attempts=8)
    db.session.commit()
    client.submit("postroom.doubt", {"choice": "again"}, id=message.public_id)
    with_smtp()
    assert loops.drain(clock.now) == {"accepted": 1}
    assert smtp.received[0].message["Message-ID"] == message.message_id


def test_what_was_cancelled_cannot_be_let_go_again(client: Client) -> None:
    broadcast = make_broadcast(is_sent=True)
    broadcast.stream.paused_at, broadcast.stream.paused_why = NOW, bulk.CANCELLED
    message = make_message(stream="marketing")
    message.stream_id = broadcast.stream_id
    client.sign_in(make_user(roles=("owner",)))
    key = broadcast.stream.key
    assert f"/staff/mail/streams/{key}/resume" not in client.visit("postroom.outbox").text
    token = client.csrf_token("postroom.outbox")
    answer = client.post(client.path("postroom.resume", key=key), data={"csrf_token": token, "waiting": "send"})
    assert answer.status_code == 404
    pausing.resume([broadcast.stream], NOW)
    assert broadcast.stream.paused_at == NOW


def test_a_marketer_cannot_hold_sign_in_links_back_and_an_owner_cannot_either(client: Client) -> None:
    stream_of("sign-in")
    db.session.commit()
    for role in ("marketer", "owner"):
        client.sign_in(make_user(roles=[role]))
        token = client.csrf_token("accounts.settings")
        assert client.post(client.path("postroom.pause", key="sign-in"), data={"csrf_token": token}).status_code == 404
    assert db.session.scalar(sa.select(Stream.paused_at)) is None
