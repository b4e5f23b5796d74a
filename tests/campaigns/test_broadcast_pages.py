"""The pages of broadcasts without a browser: written, looked at, tried out, sent, watched, stopped; and what is refused in words."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask
from werkzeug.test import TestResponse

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.campaigns import broadcasts
from courseapp.campaigns import loops as broadcast_loops
from courseapp.campaigns.broadcasting import views
from courseapp.campaigns.models import Broadcast, BroadcastState
from courseapp.campaigns.saved_segments import save_segment, stamp_of
from courseapp.catalog.sensitivity import mark_sensitive
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing import loops
from courseapp.mailing.models import Message, State
from courseapp.operations.audit import entries_before
from courseapp.operations.audit_words import Matter
from tests.campaigns.crowd import is_
from tests.client import Client, forms_of
from tests.conftest import set_clock
from tests.factories import NOW, make_broadcast, make_consent, make_contact, make_course, make_segment, make_user

WORDS = {
    "title": "News",
    "purpose": "marketing",
    "segment": "",
    "language": "en",
    "subject": "What comes next",
    "preheader": "Two courses",
    "body": "There are two.",
    "window_start": "00:00",
    "window_end": "00:00",
    "version": "1",
}


@pytest.fixture
def marketer(client: Client) -> User:
    """A browser in which a marketer is signed in."""
    return client.sign_in(make_user("marketer@example.org", roles=("marketer",)))


@pytest.fixture
def press(client: Client, marketer: User) -> Callable[..., TestResponse]:
    """press(endpoint, broadcast, …): send a form of its pages."""

    def send(endpoint: str, broadcast: Broadcast | None = None, **data: str) -> TestResponse:
        token = client.csrf_token("broadcasts.listed" if broadcast is None else "broadcasts.begin")
        path = client.path(f"broadcasts.{endpoint}", **({"id": broadcast.public_id} if broadcast is not None else {}))
        seen = {"seen": broadcasts.shown_of(broadcast)} if endpoint == "send" and broadcast is not None else {}
        return client.post(path, data={"csrf_token": token, **seen, **data})

    return send


def the_only() -> Broadcast:
    """The broadcast there is."""
    db.session.expire_all()
    return db.session.scalars(sa.select(Broadcast)).one()


def people(count: int) -> None:
    """So many who agreed to marketing mail."""
    for number in range(count):
        make_consent(make_contact(f"person{number}@example.org"), Purpose.MARKETING)


def work() -> None:
    """What the worker does."""
    db.session.commit()
    broadcast_loops.work_broadcasts(clock.now)
    loops.drain(clock.now)
    loops.close_door()
    broadcast_loops.work_broadcasts(clock.now)


def test_from_the_first_word_to_the_last_mail(client, press) -> None:
    people(3)
    assert "No broadcast so far" in client.visit("broadcasts.listed").text
    assert press("make", **WORDS).status_code == 303
    made = the_only()
    answer = press("change", made, **WORDS | {"subject": "Other words", "then": "look"})
    assert answer.location.endswith("/look")
    page = client.get(answer.location).text
    assert "As things stand it goes to 3 people." in page
    assert "Nothing is wrong with it" in page
    frame = client.visit("broadcasts.letter_html", id=made.public_id)
    assert "There are two." in frame.text
    assert "sandbox" in frame.headers["Content-Security-Policy"]
    assert press("send", made, when="now").status_code == 303
    assert "It begins on" in client.visit("broadcasts.broadcast", id=made.public_id).text
    work()
    page = client.visit("broadcasts.broadcast", id=made.public_id).text
    assert "of 3" in page
    assert the_only().state is BroadcastState.FINISHED
    assert "3 people" in client.visit("broadcasts.listed").text


def test_why_one_could_not_begin_stands_on_its_page_until_it_is_written_on(client, press, app: Flask) -> None:
    people(2)
    course = make_course(slug="delicate")
    segment = make_segment({"not": {"any": [is_("enrolled", "yes", course="delicate")]}})
    made = make_broadcast(segment_id=segment.id, tree=segment.tree)
    db.session.commit()
    press("send", made, when="at", day="2026-11-03", time="08:30")
    assert "goes to 2 people" in client.visit("broadcasts.broadcast", id=made.public_id).text
    mark_sensitive(course, True, NOW)
    page = client.visit("broadcasts.broadcast", id=made.public_id).text
    assert "“delicate” cannot be chosen here." in page
    assert "0 people" not in page
    set_clock(app, NOW + timedelta(days=1))
    work()
    assert the_only().state is BroadcastState.DRAFT
    page = client.visit("broadcasts.broadcast", id=made.public_id).text
    assert "Its time came, and it could not begin" in page
    assert "“delicate” cannot be chosen here." in page
    page = client.visit("broadcasts.look", id=made.public_id).text
    assert "“delicate” cannot be chosen here." in page
    assert "0 people" not in page
    assert client.submit("broadcasts.broadcast", {"segment": ""}, id=made.public_id).status_code == 303
    assert "could not begin" not in client.visit("broadcasts.broadcast", id=made.public_id).text


def test_a_trial_goes_to_staff_alone_and_publishes_a_letter_once(client, press, marketer) -> None:
    people(2)
    made = make_broadcast()
    db.session.commit()
    assert press("try_out", made, to=marketer.public_id).status_code == 303
    assert press("try_out", made, to="0" * 16).status_code == 422
    letter = the_only().letter_id
    assert press("send", made, when="now").status_code == 303
    assert the_only().letter_id == letter
    (trial,) = db.session.scalars(sa.select(Message)).all()
    assert (trial.contact.address, trial.letter_id) == ("marketer@example.org", letter)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"title": ""}, "Please give it a name."),
        ({"subject": "two\nlines"}, "Please leave out line breaks"),
        ({"window_start": "late"}, "Please give a time of day"),
    ],
    ids=["title", "subject", "hours"],
)
def test_what_cannot_be_kept_is_said_at_its_field_and_nothing_is_lost(press, changed, words) -> None:
    answer = press("make", **WORDS | changed)
    assert answer.status_code == 422
    assert words in answer.text
    assert "There are two." in answer.text
    assert db.session.scalars(sa.select(Broadcast)).all() == []


def test_two_who_write_at_once_lose_nothing(press) -> None:
    made = make_broadcast()
    db.session.commit()
    assert press("change", made, **WORDS | {"body": "The first."}).status_code == 303
    answer = press("change", made, **WORDS | {"body": "The second."})
    assert answer.status_code == 409
    assert "The second." in answer.text
    assert the_only().body == "The first."


@pytest.mark.parametrize("version", ["9" * 5000, "²", "-1", ""])
def test_a_version_that_is_no_number_is_refused_in_words(press, version) -> None:
    made = make_broadcast()
    db.session.commit()
    answer = press("change", made, **WORDS | {"version": version})
    assert answer.status_code == 409
    assert "There are two." in answer.text


@pytest.mark.parametrize("left_out", ["put away", "old"])
def test_a_draft_keeps_its_segment_though_the_list_holds_it_no_more(client, press, monkeypatch, left_out) -> None:
    segment = make_segment(name="Quiet ones", archived_at=NOW if left_out == "put away" else None)
    made = make_broadcast(segment_id=segment.id, tree=segment.tree)
    monkeypatch.setattr(views, "MOST_SEGMENTS", 1)
    make_segment(name="Newer")
    words = "Quiet ones (put away)" if left_out == "put away" else "Quiet ones"
    assert f'selected value="{segment.public_id}">{words}<' in client.visit("broadcasts.broadcast", id=made.public_id).text
    assert client.submit("broadcasts.broadcast", {"title": ""}, id=made.public_id).status_code == 422
    again = client.submit("broadcasts.broadcast", {"title": "A typo less"}, id=made.public_id)
    assert again.status_code == 303
    assert (the_only().title, the_only().segment_id) == ("A typo less", segment.id)
    refused = press("make", **WORDS | {"title": "", "segment": segment.public_id})
    assert f'selected value="{segment.public_id}"' in refused.text


@pytest.mark.parametrize("changed", ["words", "segment"])
def test_what_nobody_looked_at_is_not_sent(client, press, marketer, changed) -> None:
    people(2)
    segment = make_segment({"all": [is_("name", "unknown")]})
    made = make_broadcast(segment_id=segment.id, tree=segment.tree)
    db.session.commit()
    pages = forms_of(client.visit("broadcasts.look", id=made.public_id).text, "/")
    seen = {form.fields["seen"] for form in pages if "seen" in form.fields}
    if changed == "words":
        press("change", made, **WORDS | {"body": "Not for your eyes.", "segment": segment.public_id})
    else:
        save_segment(segment, segment.name, {"all": []}, marketer.id, clock.now() + timedelta(seconds=1), stamp_of(segment))
    refused = press("send", made, when="now", seen=seen.pop())
    assert "Look at it again; nothing was sent." in client.get(refused.location).text
    assert the_only().state is BroadcastState.DRAFT
    press("send", made, when="now", seen="")
    assert the_only().state is BroadcastState.DRAFT
    assert client.submit("broadcasts.look", {"when": "now"}, to="broadcasts.send", id=made.public_id).status_code == 303
    assert (the_only().state, the_only().tree) == (BroadcastState.SCHEDULED, segment.tree)


def test_a_look_counts_by_the_segment_as_it_is_now(client, marketer) -> None:
    people(3)
    segment = make_segment({"all": [is_("name", "known")]})
    made = make_broadcast(segment_id=segment.id, tree=segment.tree)
    save_segment(segment, segment.name, {"all": []}, marketer.id, NOW, stamp_of(segment))
    assert "goes to 3 people" in client.visit("broadcasts.look", id=made.public_id).text


def test_a_time_that_has_passed_and_one_that_is_none_are_refused_in_words(client, press, app: Flask) -> None:
    people(1)
    made = make_broadcast()
    db.session.commit()
    for given in ({"day": "2026-11-01", "time": "09:00"}, {"day": "", "time": ""}, {"day": "2026-02-30", "time": "9"}):
        press("send", made, when="at", **given)
        assert the_only().state is BroadcastState.DRAFT
    assert press("send", made, when="at", day="2026-11-03", time="08:30").status_code == 303
    assert the_only().send_at == NOW + timedelta(hours=23, minutes=30)
    assert press("act", made, choice="take_back").status_code == 303
    assert the_only().state is BroadcastState.DRAFT


def test_it_is_paused_goes_on_and_is_cancelled_only_when_one_is_sure(client, press, marketer, app: Flask) -> None:
    people(4)
    made = make_broadcast(window_start=NOW.time(), window_end=NOW.time())
    db.session.commit()
    press("send", made, when="now")
    broadcast_loops.work_broadcasts(clock.now)
    press("act", made, choice="pause")
    assert "paused" in client.visit("broadcasts.broadcast", id=made.public_id).text
    work()
    assert the_only().state is BroadcastState.SENDING
    set_clock(app, NOW + timedelta(minutes=1))
    stream = the_only().stream
    assert stream is not None
    assert stream.paused_why == "Somebody of the staff paused it."
    press("act", made, choice="resume")
    told = entries_before([Matter.MAIL], marketer.id, None, 2)
    assert [entry.what for entry in told] == ["Let a broadcast go on", "Let a kind of mail run again"]
    assert press("act", made, choice="cancel").location.endswith("/cancel")
    assert "cannot be undone" in client.visit("broadcasts.ask_to_cancel", id=made.public_id).text
    press("act", made, choice="cancel", sure="1")
    assert the_only().state is BroadcastState.CANCELLED
    page = client.visit("broadcasts.broadcast", id=made.public_id).text
    assert "it was cancelled" in page
    assert {message.state for message in db.session.scalars(sa.select(Message))} == {State.CANCELLED}
    assert press("act", made, choice="jump").status_code == 400


def test_beside_a_course_marked_as_sensitive_course_mail_to_many_is_for_owners(client, press):
    made = make_broadcast(purpose=Purpose.COURSE)
    mark_sensitive(make_course(), True, NOW)
    db.session.commit()
    assert 'value="course"' not in client.visit("broadcasts.begin").text
    assert press("make", None, **{**WORDS, "purpose": "course"}).status_code == 422
    for endpoint in ("broadcast", "look"):
        refused = client.visit(f"broadcasts.{endpoint}", id=made.public_id)
        assert refused.status_code == 403
        assert "for owners" in refused.text
    assert press("send", made, when="now").status_code == 403
    assert client.visit("broadcasts.broadcast", id=make_broadcast().public_id).status_code == 200
    client.sign_in(make_user("owner@example.org", roles=("owner",)))
    assert client.visit("broadcasts.look", id=made.public_id).status_code == 200
    assert 'value="course"' in client.visit("broadcasts.begin").text
