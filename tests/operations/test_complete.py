"""Export and erasure are complete: every column that points at a person is filled, given out, and points at nobody afterwards.

A new table with a key to users or contacts fails here until it is filled below, and until its room's privacy.py forgets it.
"""

import json
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.accounts.models import AddressChange, LoginSession, Role, SignInRequest, User
from courseapp.authoring.models import Import, Publication, Upload, UploadPart, UploadState
from courseapp.billing.models import CheckoutState, Kind, Payment, Refund
from courseapp.campaigns.models import BroadcastPage, ContactExport, ContactImport, ExportState, ImportState, Segment
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.learning.joining import join_guest
from courseapp.mailing import loops
from courseapp.mailing.models import Message, Return, ReturnKind, ReturnSource, State
from courseapp.mailing.smtp import file_of_mail, half_of_mail
from courseapp.operations.models import Question, QuestionKind
from courseapp.operations.people import erase, export
from courseapp.operations.tidying import tidy
from courseapp.organisation.models import Invitation
from tests.accounts.mailbox import last_mail_to
from tests.billing.paying import checkout_of, subscription_of
from tests.client import Client
from tests.conftest import NOW
from tests.factories import (
    draft_of,
    lessons_of,
    make_asset,
    make_broadcast,
    make_completion,
    make_consent,
    make_contact,
    make_course,
    make_customer,
    make_enrolment,
    make_entitlement,
    make_event,
    make_guest,
    make_message,
    make_outcome,
    make_plan,
    make_position,
    make_run,
    make_sequence,
    make_suppression,
    make_tier,
    make_user,
)
from tests.operations.test_backups import Elsewhere, back_up, bring_back, elsewhere
from tests.rows import tables_that_hold

__all__ = ["elsewhere"]
STAY = {"messages.contact_id"}  # as a number, so that sums add up; what filled them in is gone
WORDLESS = {  # rows of numbers, times and hashes alone: what is told of them is when, and the titles of others
    *("address_changes.user_id", "address_changes.new_contact_id", "completions.user_id", "enrolments.user_id"),
    "entitlements.given_by_user_id",  # to whom staff gave something, and why, is told of those who got it
    *("media_positions.user_id", "publications.by_user_id", "sequence_runs.contact_id"),
    *("sign_in_requests.contact_id", "sign_in_requests.guest_id"),
}
GIVEN_OUT = [
    *("Canary broadcast", "Canary news", "canary list.csv", "Canary source", "Canary export"),
    *("canary.ada@example.org", "Canarina", "canary phone", "192.0.2.0", "bounced", "canary.two@example.org"),
    *("Canary course", "Canary lesson", "professional", "Canary question", "Canary report", "canary.zip", "canary part", "canary folder"),
    *("Canary tier", "cus_canary", "cs_canary", "sub_canary", "pi_canary", "canary gift"),
    *("Canary segment", "Canary sequence", "canary reason", "canary filling", "5.1.10", "marketer", "instructor", "test"),
]


def a_whole_life() -> tuple[User, Contact]:
    """One person in every table that can point at one."""
    course = make_course(title="Canary course")
    lesson = lessons_of(course)[0]
    lesson.title = "Canary lesson"
    user = make_user("canary.ada@example.org", roles=[Role.INSTRUCTOR], password="canary secret owls 7", name="Canarina")
    contact, wished = user.contact, make_contact("canary.two@example.org", confirmed=False)
    assert contact is not None
    contact.first_name = "Canarina"
    make_enrolment(user, course, last_lesson_id=lesson.id, last_opened_at=NOW)
    make_completion(user, lesson)
    make_outcome(user, outcome="professional")
    make_consent(contact, network="192.0.2.0")
    make_suppression("canary.ada@example.org")
    mail = make_message(contact, state=State.FAILED, fields={"words": "canary filling"}, settled_at=NOW, reason="canary reason")
    make_event("enrolled", f"user:{user.id}", readers=["campaigns"], data={"user_id": user.id})
    make_event("consent_given", f"contact:{contact.id}")
    version = make_sequence(title="Canary sequence", by_user_id=user.id)
    version.by_user_id = user.id
    make_run(version, contact, course)
    make_position(user, make_asset(course, b"canary film"))
    lesson.revision.by_user_id = user.id
    times = {"created_at": NOW, "expires_at": NOW + timedelta(days=1)}
    hashes = {"token_hash": "b" * 64, "code_mac": "c" * 64, "browser_mac": "d" * 64}
    db.session.add_all(
        [
            LoginSession(user_id=user.id, token_hash="a" * 64, device="canary phone", last_seen_at=NOW, **times),
            SignInRequest(contact_id=contact.id, guest_id=user.id, **hashes, **times),
            AddressChange(user_id=user.id, new_contact_id=wished.id, old_token_hash="e" * 64, new_token_hash="f" * 64, **times),
            Import(course_id=course.id, by_user_id=user.id, source="canary folder", changes={}, warnings=0, at=NOW),
            Upload(by_user_id=user.id, decided_by_id=user.id, files=["canary.zip"], size=1, state=UploadState.READY, created_at=NOW),
            UploadPart(user_id=user.id, name="canary part.zip", told="", size=1, **times),
            Return(
                key="k" * 64,
                source=ReturnSource.MAILBOX,
                kind=ReturnKind.BOUNCED,
                status="5.1.10",
                public_id=mail.public_id,
                received_at=NOW,
                due_at=NOW,
                settled_at=NOW,
            ),
            Publication(course_id=course.id, at=NOW, by_user_id=user.id, planned_at=NOW),
            draft_of(user, lesson),
            Segment(name="Canary segment", tree={"all": []}, created_at=NOW, changed_at=NOW, by_user_id=user.id),
            contact_import(by_user_id=user.id),
            ContactExport(
                by_user_id=user.id, segment_name="Canary export", tree={}, state=ExportState.READY, names=[], total=3, created_at=NOW
            ),
            Invitation(contact_id=contact.id, roles="marketer", token_hash="h" * 64, **times),
            Invitation(contact_id=make_contact().id, invited_by_id=user.id, roles="owner", token_hash="i" * 64, **times),
            Question(kind=QuestionKind.LESSON, text="Canary report", user_id=user.id, lesson_id=lesson.id, asked_at=NOW),
            Question(
                kind=QuestionKind.DATA, text="Canary question", address=contact.address, address_mac=contact.address_mac, asked_at=NOW
            ),
        ]
    )
    a_paying_life(user, contact)
    broadcast = make_broadcast(title="Canary broadcast", subject="Canary news", by_user_id=user.id)
    db.session.add(BroadcastPage(broadcast_id=broadcast.id, number=0, contact_ids=[contact.id], people=1))
    db.session.commit()
    return user, contact


def a_paying_life(user: User, contact: Contact) -> None:
    """What somebody bought, subscribed to, paid, was given, and gave as staff."""
    plan = make_plan(make_tier(name="Canary tier"))
    customer = make_customer(user, stripe_id="cus_canary")
    checkout = checkout_of(plan, user, contact_id=contact.id, stripe_id="cs_canary", state=CheckoutState.FULFILLED, settled_at=NOW)
    subscription = subscription_of(customer, plan, stripe_id="sub_canary")
    paid = {"stripe_id": "pi_canary", "currency": "eur", "amount": 900, "paid_at": NOW, "customer_id": customer.id}
    payment = Payment(checkout_id=checkout.id, subscription_id=subscription.id, plan_id=plan.id, **paid)
    db.session.add(payment)
    db.session.flush()
    db.session.add(Refund(stripe_id="re_canary", payment_id=payment.id, amount=100, status="succeeded", made_at=NOW))
    make_entitlement(user, plan.tier, Kind.SUBSCRIPTION, subscription_id=subscription.id)
    make_entitlement(user, plan.tier, reason="canary gift")
    make_entitlement(make_user(), plan.tier, reason="somebody else's", given_by_user_id=user.id)


def contact_import(**more: Any) -> ContactImport:
    """A list that somebody brought in."""
    written = {"encoding": "utf-8", "delimiter": ",", "has_names": True, "heads": ["Canary head"], "lines": 2}
    return ContactImport(name="canary list.csv", source="Canary source", state=ImportState.FINISHED, created_at=NOW, **written, **more)


def pointing_at(user_id: int, contacts: list[int]) -> dict[str, int]:
    """How many rows point at a person, by column: every foreign key to users and contacts there is."""
    found = {}
    for table in db.metadata.sorted_tables:
        for key in table.foreign_keys:
            if key.column.table.name in {"users", "contacts"}:
                ids = [user_id] if key.column.table.name == "users" else contacts
                rows = db.session.scalar(sa.select(sa.func.count()).select_from(table).where(key.parent.in_(ids)))
                found[f"{table.name}.{key.parent.name}"] = rows or 0
    return found


def told_in(given: str, user_id: int, contacts: list[int]) -> dict[str, bool]:
    """Of each table that points at a person, whether an export tells anything of their rows but numbers."""
    found = {}
    for table in db.metadata.sorted_tables:
        for key in table.foreign_keys:
            if key.column.table.name in {"users", "contacts"}:
                ids = [user_id] if key.column.table.name == "users" else contacts
                rows = db.session.execute(sa.select(table).where(key.parent.in_(ids))).all()
                words = {plain for row in rows for value in row for plain in plain_of(value)}
                found[f"{table.name}.{key.parent.name}"] = any(word in given for word in words)
    return found


def empty_in(told: object, path: str = "") -> list[str]:
    """Where an export says nothing though there are rows."""
    if isinstance(told, dict | list) and told:
        parts = told.items() if isinstance(told, dict) else enumerate(told)
        return [empty for name, part in parts for empty in empty_in(part, f"{path}/{name}")]
    return [path] if told in ([], {}) and not path.endswith("/data") else []


def plain_of(value: object) -> list[str]:
    """A value of a row as an export would write it; nothing for numbers and times, which are everywhere."""
    if isinstance(value, dict | list):
        return [plain for inner in (value.values() if isinstance(value, dict) else value) for plain in plain_of(inner)]
    plain = value.value if isinstance(value, Enum) else value
    return [plain] if isinstance(plain, str) and len(plain) > 4 else []


def test_whoever_is_in_every_table_gets_everything_and_is_in_none_afterwards(app: Flask) -> None:
    user, contact = a_whole_life()
    wished = db.session.scalars(sa.select(Contact.id).where(Contact.address == "canary.two@example.org")).one()
    user_id, contacts = user.id, [contact.id, wished]
    before = pointing_at(user_id, contacts)
    assert [name for name, count in before.items() if not count] == [], "not filled above"
    given = json.dumps(export(user, contact))
    assert [word for word in GIVEN_OUT if word not in given] == []
    assert [secret * 64 for secret in "abcdefhi" if secret * 64 in given] == []
    assert {name for name, is_told in told_in(given, user_id, contacts).items() if not is_told} == WORDLESS
    assert empty_in(export(user, contact)) == []
    erase(user, contact, NOW)
    db.session.commit()
    nothing_is_left_of(user_id, contacts)


def nothing_is_left_of(user_id: int, contacts: list[int]) -> None:
    """No row points at them and no table holds a word of theirs, but for the listed ones."""
    assert {name for name, count in pointing_at(user_id, contacts).items() if count} == STAY
    assert db.session.scalars(sa.select(Event).where(Event.subject.like("%:%"), Event.type != "course_changed")).all() == []
    for word in (
        "canary.ada",
        "canary.two",
        "Canarina",
        "canary phone",
        "192.0.2",
        "canary filling",
        "canary reason",
        "Canary question",
        "canary gift",
    ):
        assert tables_that_hold(word) == [], word


def test_an_older_backup_brings_back_nothing_of_whoever_was_in_every_table(app: Flask, elsewhere: Elsewhere, tmp_path: Path) -> None:
    user, contact = a_whole_life()
    wished = db.session.scalars(sa.select(Contact.id).where(Contact.address == "canary.two@example.org")).one()
    user_id, contacts = user.id, [contact.id, wished]
    file = back_up(tmp_path / "all.backup")
    erase(user, contact, NOW + timedelta(days=1))
    db.session.commit()
    records = app.config["SETTINGS"].data_dir / "files" / "erasures"
    for kind in ("sqlite", "postgresql"):
        elsewhere(kind)
        assert bring_back(file, records) == 1
        nothing_is_left_of(user_id, contacts)


def test_after_a_change_of_address_nothing_of_the_old_or_the_new_one_is_left_by_an_erasure(client: Client, app: Flask) -> None:
    user = make_user("canary.old@example.org")
    client.sign_in(user)
    client.submit("accounts.settings", {"new_address": "canary.new@example.org"}, to="accounts.change_address")
    links = [last_mail_to(f"canary.{which}@example.org").link for which in ("old", "new")]
    loops.drain(clock.now)
    for link in links:
        client.submit(link)
    loops.drain(clock.now)
    loops.close_door()
    db.session.expire_all()
    assert user.contact is not None
    assert user.contact.address == "canary.new@example.org"
    tidy(clock.now() + timedelta(days=4))  # what tells that the addresses belonged together goes after two days
    erase(user, user.contact, NOW)
    db.session.commit()
    folder = app.config["SETTINGS"].data_dir
    assert [path for path in folder.rglob("*") if path.is_file() and b"canary" in path.read_bytes()] == []
    assert tables_that_hold("canary") == []


def test_a_mail_that_was_half_written_when_its_process_died_goes_too(app: Flask) -> None:
    contact = make_contact("canary@example.org")
    message = make_message(contact)
    whole = file_of_mail(app.config["SETTINGS"], message.public_id)
    whole.parent.mkdir()
    for path in (whole, half_of_mail(whole)):
        path.write_bytes(b"To: canary@example.org")
    erase(None, contact, NOW)
    assert list(whole.parent.iterdir()) == []


def test_what_a_stranger_asked_under_an_address_is_found_given_out_and_forgotten(client: Client) -> None:
    client.submit("asking.ask", {"kind": "data", "text": "Canary words", "address": "canary@example.org"})
    run = client.application.test_cli_runner().invoke
    assert "Canary words" in run(args=["privacy", "export", "Canary@example.org"]).output
    db.session.commit()
    assert run(args=["privacy", "erase", "canary@example.org", "--yes"]).exit_code == 0
    assert tables_that_hold("canary") == []
    assert run(args=["privacy", "erase", "canary@example.org", "--yes"]).exit_code == 1


def test_nobody_inherits_the_past_of_a_guest_whose_number_they_get(app: Flask) -> None:
    """SQLite gives the highest number again once its row is gone."""
    joined, idle = make_guest(), make_guest(created_at=NOW - timedelta(days=200))
    idle_id = idle.id
    for guest in (joined, idle):
        make_event("lesson_completed", f"user:{guest.id}", data={"user_id": guest.id, "lesson_id": 1})
    db.session.add(Question(kind=QuestionKind.SITE, text="Canary", user_id=idle.id, asked_at=NOW))
    db.session.commit()
    join_guest(joined, make_user(), NOW)
    assert tidy(NOW)["guests"] == 1
    db.session.commit()
    db.session.expunge_all()
    newcomer = make_guest(id=idle_id)
    assert export(newcomer, None)["events"] == []
    assert not [event for event in db.session.query(Event) if event.facts.get("lesson_id")]
    assert tables_that_hold("Canary") == []


def test_no_number_of_a_person_is_ever_given_again_not_even_after_a_restore(app: Flask, elsewhere: Elsewhere, tmp_path: Path) -> None:
    last = make_user("last@example.org")
    last_id, staff = last.id, make_user("staff@example.org")
    staff_id = staff.id
    for person in (staff, last):
        erase(person, person.contact, NOW)
        db.session.commit()
    assert make_guest().id > staff_id > last_id
    db.session.execute(sa.delete(User))
    db.session.commit()
    file = back_up(tmp_path / "all.backup")
    for kind in ("sqlite", "postgresql"):
        elsewhere(kind)
        bring_back(file)
        assert make_guest().id > staff_id + 1


def test_a_key_that_names_a_number_given_again_stops_no_mail(app: Flask) -> None:
    contact = make_contact()
    message = make_message(contact, dedupe_key="sequence:7:1", state=State.ACCEPTED, settled_at=NOW)
    for _ in range(2):
        erase(None, contact, NOW)
        db.session.commit()
    kept = db.session.get_one(Message, message.id).dedupe_key
    assert kept == f"sequence:7:1:{message.public_id}"
    make_message(make_contact(), dedupe_key="sequence:7:1")
    db.session.commit()


def test_what_filled_old_mails_in_goes_and_service_mails_go_altogether(app: Flask) -> None:
    folder = file_of_mail(app.config["SETTINGS"], "x").parent
    folder.mkdir()
    contact = make_contact()
    ages = {"new": 29, "old": 31, "older": 181}
    rows = {}
    for name, days in ages.items():
        for stream in ("sign-in", "marketing"):
            facts = {"state": State.EXPIRED, "settled_at": NOW - timedelta(days=days), "fields": {"secret_text": "Canary"}}
            rows[name, stream] = message = make_message(contact, stream=stream, **facts)
            file_of_mail(app.config["SETTINGS"], message.public_id).write_bytes(b"Canary")
    waiting = make_message(contact, fields={"a": "b"}, created_at=NOW - timedelta(days=400), due_at=NOW - timedelta(days=400))
    db.session.commit()
    names = {key: (row.id, row.public_id) for key, row in rows.items()}
    assert tidy(NOW)["mails"] == 4
    db.session.commit()
    db.session.expire_all()
    assert db.session.get_one(Message, waiting.id).fields == {"a": "b"}
    left = {key: found.fields for key, (number, _) in names.items() if (found := db.session.get(Message, number)) is not None}
    full = {"secret_text": "Canary"}
    assert left == {
        ("new", "sign-in"): full,
        ("new", "marketing"): full,
        ("old", "sign-in"): {},
        ("old", "marketing"): {},
        ("older", "marketing"): {},
    }
    assert {path.stem for path in folder.iterdir()} == {names["new", stream][1] for stream in ("sign-in", "marketing")}
    assert tidy(NOW)["mails"] == 0
