"""Everything that is held, given out; and forgetting it, so that no table, file or link knows it any more."""

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.contacts.models import Consent, Contact, Purpose
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.journal.models import Event
from courseapp.learning.models import Completion, Enrolment, MediaPosition, SafetyOutcome
from courseapp.mailing import loops
from courseapp.mailing.models import Message, State
from courseapp.operations import erasures
from courseapp.operations.people import erase, export
from courseapp.operations.tidying import tidy
from tests.accounts.mailbox import last_mail_to
from tests.client import Client
from tests.conftest import NOW
from tests.factories import (
    lessons_of,
    make_asset,
    make_completion,
    make_consent,
    make_contact,
    make_course,
    make_enrolment,
    make_guest,
    make_outcome,
    make_position,
    make_user,
)
from tests.rows import tables_that_hold

CANARIES = ("canary.ada", "Canarina")


def live_a_little(client: Client) -> tuple[User, Contact]:
    """Start, confirm, be named, get mail, learn, wish for another address; everything that leaves a trace."""
    course = make_course()
    client.submit("learning.start", {"address": "canary.ada@example.org", "course_mail": "y", "marketing": "y"})
    client.submit(last_mail_to("canary.ada@example.org").link)
    client.submit("accounts.settings", {"name": "Canarina"}, to="accounts.change_own_name")
    client.submit("accounts.settings", {"new_address": "canary.ada.two@example.org"}, to="accounts.change_address")
    client.application.test_client().submit("accounts.sign_in", {"address": "canary.ada@example.org"})
    user = db.session.scalars(sa.select(User)).one()
    make_completion(user, lessons_of(course)[0])
    make_outcome(user)
    make_position(user, make_asset(course, path="breath.mp3"))
    message = db.session.scalars(sa.select(Message).limit(1)).first()
    message.state, message.reason = State.FAILED, "550 <canary.ada@example.org> unknown"
    db.session.commit()
    loops.drain(clock.now)
    loops.close_door()
    return user, user.contact


def test_erasing_leaves_no_word_of_a_person_in_any_table_or_file(client: Client, app: Flask) -> None:
    user, contact = live_a_little(client)
    assert tables_that_hold("canary.ada")
    second = db.session.scalars(sa.select(Contact).where(Contact.address == "canary.ada.two@example.org")).one()
    erase(user, contact, NOW)
    erase(None, second, NOW)
    db.session.commit()
    for word in CANARIES:
        assert tables_that_hold(word) == []
    for model in (User, Enrolment, Completion, MediaPosition, SafetyOutcome):
        assert db.session.query(model).count() == 0
    kept = [path for path in app.config["SETTINGS"].data_dir.rglob("*") if path.is_file()]
    assert [path for path in kept if b"canary" in path.read_bytes().lower()] == []
    assert client.visit("accounts.settings").status_code == 302


def test_links_mailed_before_open_nothing_after_the_erasure_and_make_no_account(client: Client) -> None:
    user = make_user("ada@example.org")
    client.submit("accounts.sign_in", {"address": "ada@example.org"})
    client.submit("accounts.sign_in", {"address": "bob@example.org"})
    links = [last_mail_to(address).link for address in ("ada@example.org", "bob@example.org")]
    erase(user, user.contact, NOW)
    erase(None, db.session.scalars(sa.select(Contact).where(Contact.address == "bob@example.org")).one(), NOW)
    db.session.commit()
    assert [client.get(link).status_code for link in links] == [410, 410]
    assert db.session.query(User).count() == 0


def test_a_wish_to_move_to_an_erased_address_ends_too(client: Client) -> None:
    client.sign_in(make_user("old@example.org"))
    client.submit("accounts.settings", {"new_address": "new@example.org"}, to="accounts.change_address")
    old, new = last_mail_to("old@example.org").link, last_mail_to("new@example.org").link
    erase(None, db.session.scalars(sa.select(Contact).where(Contact.address == "new@example.org")).one(), NOW)
    db.session.commit()
    assert [client.get(link).status_code for link in (old, new)] == [410, 410]


def test_sums_stay_and_nothing_more_is_sent(client: Client, app: Flask) -> None:
    user, contact = live_a_little(client)
    messages = db.session.query(Message).count()
    erase(user, contact, NOW)
    db.session.commit()
    assert db.session.query(Message).count() == messages
    assert db.session.query(Message).filter(Message.contact_id == contact.id, Message.state == State.PENDING).count() == 0
    assert db.session.scalar(sa.text("SELECT count(*) FROM events WHERE type = 'person_erased'")) == 1


def test_erasing_one_person_touches_no_other(client: Client) -> None:
    user, contact = live_a_little(client)
    other = make_user("other@example.org", name="Olga")
    make_enrolment(other, make_course(slug="second"))
    client.application.test_client().submit("accounts.sign_in", {"address": "other@example.org"})
    erase(user, contact, NOW)
    db.session.commit()
    assert tables_that_hold("other@example.org") == ["contacts"]
    assert client.submit(last_mail_to("other@example.org").link).status_code == 303


def test_everything_that_is_held_is_given_out_and_no_secret_with_it(client: Client) -> None:
    user, _contact = live_a_little(client)
    answer = client.visit("operations.export_data")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="your-data.json"'
    data = json.loads(answer.text)
    assert set(data) == {
        "account",
        "address_changes",
        "learning",
        "contact",
        "mails",
        "sequences",
        "questions",
        "invitations",
        "events",
    }
    assert data["contact"]["address"] == "canary.ada@example.org"
    assert data["account"]["name"] == "Canarina"
    assert data["learning"]["safety_check"]["outcome"] == "ahead"
    assert {row["purpose"] for row in data["contact"]["consents"]} == {"course", "marketing"}
    assert len(data["mails"]) >= 3
    assert user.contact.address_mac not in answer.text
    assert "token" not in answer.text


def test_the_export_is_only_of_oneself(client: Client) -> None:
    make_user("other@example.org", name="Olga")
    client.sign_in(make_guest())
    answer = client.visit("operations.export_data")
    assert "other@example.org" not in answer.text
    assert set(json.loads(answer.text)) == {"account", "address_changes", "learning", "questions", "events"}


def test_of_whom_an_address_was_before_somebody_moved_to_it_nothing_stays(client: Client) -> None:
    before = make_contact("new@example.org", zone="Asia/Tokyo", language="de")
    make_consent(before, Purpose.MARKETING, network="198.51.100.0")
    events.record("consent_given", f"contact:{before.id}", NOW, contact_id=before.id, purpose="marketing")
    user = client.sign_in(make_user("old@example.org"))
    client.submit("accounts.settings", {"new_address": "new@example.org"}, to="accounts.change_address")
    for link in (last_mail_to("old@example.org").link, last_mail_to("new@example.org").link):
        client.submit(link)
    assert user.contact.address == "new@example.org"
    assert db.session.query(Consent).count() == 0
    assert tables_that_hold("198.51.100.0") == tables_that_hold("Asia/Tokyo") == tables_that_hold(f"contact:{before.id}'") == []


def test_what_is_left_of_somebody_erased_is_not_what_the_record_of_it_names(client: Client) -> None:
    contact = make_contact("ada@example.org", zone="Asia/Tokyo", language="de")
    was = contact.public_id
    erase(None, contact, NOW)
    db.session.commit()
    [record] = erasures.known()
    assert record.contact == was
    assert tables_that_hold(was) == []
    assert (contact.zone, contact.language) == ("UTC", "en")


def test_the_commands_export_and_erase_by_address(client: Client) -> None:
    user, contact = live_a_little(client)
    run = client.application.test_cli_runner().invoke
    assert json.loads(run(args=["privacy", "export", "CANARY.ada@example.org"]).output) == json.loads(json.dumps(export(user, contact)))
    db.session.commit()
    assert run(args=["privacy", "erase", "canary.ada@example.org"], input="n\n").exit_code == 1
    assert tables_that_hold("canary.ada@")
    assert run(args=["privacy", "erase", "canary.ada@example.org", "--yes"]).exit_code == 0
    assert tables_that_hold("canary.ada@") == []
    for words in (["export"], ["erase", "--yes"]):
        assert run(args=["privacy", *words, "canary.ada@example.org"]).exit_code == 1


def test_forgetting_the_device_ends_a_guests_trail_for_good(client: Client) -> None:
    make_course()
    client.submit("learning.start")
    thief = client.application.test_client()
    thief.set_cookie("session", client.get_cookie("session").value)
    answer = client.submit("operations.forget_device")
    assert answer.location == "/"
    assert '"cookies"' in answer.headers["Clear-Site-Data"]
    assert [browser.visit("learning.my_courses").status_code for browser in (client, thief)] == [302, 302]
    assert db.session.query(User).count() == db.session.query(Enrolment).count() == 0


def test_forgetting_the_device_leaves_an_account_whole_and_signs_it_out_here(client: Client) -> None:
    user = make_user("ada@example.org")
    make_enrolment(user)
    phone = client.application.test_client()
    for browser in (client, phone):
        browser.sign_in(user)
    client.submit("operations.forget_device")
    assert [browser.visit("accounts.settings").status_code for browser in (client, phone)] == [302, 200]
    assert db.session.query(Enrolment).count() == 1


def test_looking_at_the_page_forgets_nothing(client: Client) -> None:
    client.sign_in(make_guest())
    assert client.visit("operations.forget_device").status_code == 200
    assert db.session.query(User).count() == 1


@pytest.mark.parametrize(
    ("days", "counts"), [(1, [1, 1, 1, 1]), (4, [0, 0, 1, 1]), (89, [0, 0, 1, 1]), (91, [0, 0, 0, 1]), (121, [0, 0, 0, 0])]
)
def test_what_is_kept_for_a_while_goes_when_its_time_is_over(client: Client, pass_time, days: int, counts: list[int]) -> None:
    make_course()
    client.submit("learning.start", {"address": "ada@example.org"})
    mover = client.application.test_client()
    mover.sign_in(make_user("old@example.org"))
    mover.submit("accounts.settings", {"new_address": "new@example.org"}, to="accounts.change_address")
    db.session.execute(sa.text("DELETE FROM login_sessions WHERE user_id IN (SELECT id FROM users WHERE contact_id IS NOT NULL)"))
    tidy(pass_time(days=days) + timedelta(minutes=5))
    db.session.commit()
    tables = ["sign_in_requests", "address_changes", "login_sessions"]
    found = [db.session.scalar(sa.text(f"SELECT count(*) FROM {table}")) for table in tables]
    assert [*found, db.session.query(User).filter(User.contact_id.is_(None)).count()] == counts
    assert db.session.query(User).filter(User.contact_id.is_not(None)).count() == 1


def test_a_guest_who_came_yesterday_is_not_tidied_away_however_long_ago_they_began(client: Client, pass_time) -> None:
    make_course()
    client.submit("learning.start")
    for _ in range(4):
        pass_time(days=60)
        assert client.visit("learning.course", slug="introduction").status_code == 200
        tidy(clock.now())
        db.session.commit()
    assert db.session.query(User).count() == 1


def test_nobody_is_kept_for_having_only_a_contact(app: Flask) -> None:
    make_contact("ada@example.org")
    assert set(export(None, db.session.scalars(sa.select(Contact)).one())) == {
        "contact",
        "mails",
        "sequences",
        "questions",
        "invitations",
        "events",
    }


def test_a_guest_nobody_can_come_back_to_leaves_nothing_and_nobody_takes_over_their_number(client: Client, app: Flask, pass_time) -> None:
    course = make_course()
    guest = client.sign_in(make_guest())
    make_enrolment(guest, course)
    events.record("enrolled", f"user:{guest.id}", NOW, user_id=guest.id, course_id=course.id)
    db.session.commit()
    number = guest.id
    now = pass_time(days=121)
    assert tidy(now)["guests"] == 1
    db.session.commit()
    assert db.session.scalars(sa.select(Event.subject)).all() == ["erased"]
    assert make_guest().id > number
