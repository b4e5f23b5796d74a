"""Lists of contacts going out: what is in them and what never is, for whom, for how long."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock, storage
from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.campaigns import contact_exports as exports
from courseapp.campaigns.contacting.loops import work_contacts, write_piece
from courseapp.campaigns.models import ContactExport, ExportState
from courseapp.catalog.sensitivity import mark_sensitive
from courseapp.contacts.address import address_mac
from courseapp.contacts.consent import set_consent
from courseapp.contacts.models import Purpose, SuppressionReason
from courseapp.contacts.resting import begin_pause
from courseapp.contacts.suppression import suppress
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.operations.audit import entries_before
from courseapp.operations.audit_words import Matter
from courseapp.operations.tidying import tidy
from tests.client import Client, forms_of
from tests.conftest import NOW
from tests.factories import lessons_of, make_completion, make_contact, make_course, make_enrolment, make_outcome, make_segment, make_user

COLUMNS = [
    *("address", "first_name", "language", "zone", "known_since", "gets_mail", "paused_until"),
    *("course", "course_at", "course_source", "marketing", "marketing_at", "marketing_source"),
]


@pytest.fixture
def owner(app: Flask, client: Client) -> User:
    """An owner, signed in."""
    return client.sign_in(make_user("zz.owner@example.org", roles=["owner"]))


@pytest.fixture
def marketer(app: Flask, client: Client) -> User:
    """A marketer, signed in."""
    return client.sign_in(make_user("zz.marketer@example.org", roles=["marketer"]))


def rows_of(text: str) -> list[dict[str, str]]:
    """The lines of a file, by their heads."""
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def asked_for(client: Client, segment: str = "") -> str:
    """Ask for a file and have it written; its id."""
    file_id = ordered(client, segment)
    work_contacts(clock.now)
    return file_id


def ordered(client: Client, segment: str = "") -> str:
    """Ask for a file and be sure; its id."""
    asked = client.submit("contacts.listed", {"segment": segment}, to="contacts.take_out")
    assert asked.status_code == 200
    sure = next(form for form in forms_of(asked.text, "/") if "sure" in form.fields)
    answer = client.post(sure.action, data=sure.fields)
    assert answer.status_code == 303
    return str(answer.location.rpartition("/")[2])


def fetched(client: Client, file_id: str) -> Any:
    """Press the button."""
    return client.submit("contacts.going", to="contacts.fetch", id=file_id)


def test_a_file_says_who_they_are_and_what_they_agreed_to(client: Client, owner: User) -> None:
    ada = make_contact("ada@example.org", first_name="Ada", zone="Europe/Berlin")
    bob = make_contact("bob@example.org")
    make_contact("eve@example.org")
    make_contact("unconfirmed@example.org", confirmed=False)
    set_consent(ada, Purpose.MARKETING, True, NOW, "form:blog")
    set_consent(bob, Purpose.COURSE, True, NOW, "start")
    set_consent(bob, Purpose.COURSE, False, NOW, "unsubscribe")
    suppress(address_mac("eve@example.org"), SuppressionReason.BOUNCED, NOW)
    begin_pause(bob, NOW)
    answer = fetched(client, asked_for(client))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert answer.headers["Cache-Control"] == "no-store"
    rows = {row["address"]: row for row in rows_of(answer.text)}
    assert set(rows) == {"ada@example.org", "bob@example.org", "eve@example.org", "zz.owner@example.org"}
    assert list(rows["ada@example.org"]) == COLUMNS
    assert [rows["ada@example.org"][name] for name in ("first_name", "zone", "marketing", "marketing_source", "course", "gets_mail")] == [
        *("Ada", "Europe/Berlin", "given", "form:blog", "", "yes"),
    ]
    assert (rows["bob@example.org"]["course"], rows["bob@example.org"]["paused_until"]) == ("withdrawn", "2026-12-02")
    assert rows["eve@example.org"]["gets_mail"] == "no"


def test_nothing_of_what_somebody_learns_is_in_it(client: Client, owner: User) -> None:
    course = make_course(title="Canary course")
    for outcome in ("ahead", "professional"):
        user = make_user(f"{outcome}@example.org")
        make_enrolment(user, course)
        make_outcome(user, outcome)
        make_completion(user, lessons_of(course)[0])
    text = fetched(client, asked_for(client)).text
    assert "Canary" not in text
    twins = [{**row, "address": ""} for row in rows_of(text) if not row["address"].startswith("zz.")]
    assert twins[0] == twins[1]
    assert set(rows_of(text)[0]) == set(COLUMNS)


def test_a_marketer_takes_out_those_alone_who_may_be_written_to(client: Client, marketer: User) -> None:
    agreed, withdrew, complained, silent = (make_contact(f"{name}@example.org") for name in ("agreed", "withdrew", "complained", "silent"))
    for contact in (agreed, withdrew, complained):
        set_consent(contact, Purpose.MARKETING, True, NOW, "start")
    set_consent(withdrew, Purpose.MARKETING, False, NOW, "unsubscribe")
    suppress(address_mac("complained@example.org"), SuppressionReason.COMPLAINED, NOW)
    assert not silent.erased_at
    asked = client.submit("contacts.listed", to="contacts.take_out")
    assert "Write a file with 1 person?" in asked.text
    assert "for owners alone" in asked.text
    assert db.session.query(ContactExport).count() == 0, "nothing is written before they are sure"
    assert [row["address"] for row in rows_of(fetched(client, asked_for(client)).text)] == ["agreed@example.org"]


@pytest.mark.parametrize(
    "tree",
    [
        {"all": [{"field": "progress", "op": "is", "value": {"course": "any", "standing": "begun"}}]},
        {"not": {"any": [{"field": "enrolled", "op": "yes", "value": {"course": "any"}}]}},
    ],
)
def test_who_takes_which_course_is_taken_out_by_owners_alone(client: Client, marketer: User, tree: dict[str, Any]) -> None:
    make_enrolment(make_user("ada@example.org"), make_course())
    segment = make_segment(tree)
    for more in ({}, {"sure": "1"}):
        refused = client.submit("contacts.listed", {"segment": segment.public_id, **more}, to="contacts.take_out")
        assert refused.status_code == 422
        assert "by an owner alone" in refused.text
    assert db.session.query(ContactExport).count() == 0


def test_whoever_is_an_owner_no_more_takes_out_what_a_marketer_may(client: Client, owner: User) -> None:
    make_contact("silent@example.org")
    file_id = ordered(client)
    db.session.query(RoleGrant).where(RoleGrant.user_id == owner.id).update({"role": Role.MARKETER})
    db.session.commit()
    work_contacts(clock.now)
    assert rows_of(fetched(client, file_id).text) == []


def test_the_pages_say_who_took_out_how_many(client: Client, owner: User) -> None:
    make_contact("ada@example.org")
    asked_for(client)
    assert "zz.owner@example.org" in client.visit("contacts.listed").text
    told = entries_before([Matter.MAIL], owner.id, None, 10)
    assert [(entry.what, entry.about) for entry in told] == [
        ("A file of contacts was made", "Everybody, 2 people"),
        ("Asked for a file of contacts", "Everybody, 2 people"),
    ]


def test_where_nothing_went_out_the_page_says_so_and_one_person_is_one(client: Client, owner: User) -> None:
    assert "No list went out so far" in client.visit("contacts.listed").text
    file_id = ordered(client)
    assert "0 of 1 person is written" in client.visit("contacts.going", id=file_id).text
    assert "No list went out so far" not in client.visit("contacts.listed").text


def test_a_segment_takes_out_those_it_chooses(client: Client, owner: User) -> None:
    set_consent(make_contact("ada@example.org"), Purpose.MARKETING, True, NOW, "start")
    make_contact("bob@example.org")
    segment = make_segment({"all": [{"field": "consent", "op": "given", "value": {"purpose": "marketing"}}]}, name="Those who agreed")
    file_id = asked_for(client, segment.public_id)
    assert "Those who agreed" in client.visit("contacts.going", id=file_id).text
    assert [row["address"] for row in rows_of(fetched(client, file_id).text)] == ["ada@example.org"]


def test_a_segment_that_names_a_sensitive_course_takes_out_nobody(client: Client, owner: User) -> None:
    course = make_course()
    segment = make_segment({"all": [{"field": "enrolled", "op": "yes", "value": {"course": course.slug}}]})
    file_id = ordered(client, segment.public_id)
    mark_sensitive(course, True, NOW)
    db.session.commit()
    work_contacts(clock.now)
    assert "The segment cannot be used any more" in client.visit("contacts.going", id=file_id).text
    refused = client.submit("contacts.listed", {"segment": segment.public_id}, to="contacts.take_out")
    assert refused.status_code == 422
    assert "cannot be used" in refused.text


def test_beside_a_marked_course_a_file_tells_nothing_of_who_takes_it(client: Client, marketer: User) -> None:
    course = make_course(sensitive_at=NOW)
    for name, source in (("told", "start"), ("plain", "form:blog")):  # one agreed when they started, one in a form
        contact = make_contact(f"{name}@example.org")
        set_consent(contact, Purpose.MARKETING, True, NOW, source)
        if name == "told":
            set_consent(contact, Purpose.COURSE, True, NOW, "start")
            make_enrolment(make_user(contact=contact), course)
    make_enrolment(make_user("only@example.org"), course)
    rows = rows_of(fetched(client, asked_for(client)).text)
    assert [row.pop("address") for row in rows] == ["told@example.org", "plain@example.org"]
    assert rows[0] == rows[1]
    assert list(rows[0]) == COLUMNS[1:]
    assert (rows[0]["marketing"], rows[0]["marketing_source"], rows[0]["course"]) == ("given", "", "")


def test_cells_cannot_run_in_a_spreadsheet(client: Client, owner: User) -> None:
    for number, name in enumerate(["=1+1", "+1", "-1", "@x", "\tx", "\rx"]):
        make_contact(f"c{number}@example.org", first_name=name)
    names = [row["first_name"] for row in rows_of(fetched(client, asked_for(client)).text) if row["first_name"]]
    assert names == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx"]


def test_it_is_for_whoever_asked_and_for_a_day(client: Client, owner: User, pass_time: Any) -> None:
    file_id = asked_for(client)
    other: Any = client.application.test_client()
    other.sign_in(make_user("owner@example.org", roles=["owner"]))
    assert "for nobody else" in other.visit("contacts.going", id=file_id).text
    token = other.csrf_token("contacts.listed")
    assert other.post(other.path("contacts.fetch", id=file_id), data={"csrf_token": token}).status_code == 404
    assert fetched(client, file_id).status_code == 200
    pass_time(hours=23)
    assert fetched(client, file_id).status_code == 200
    pass_time(hours=2)
    assert "Its day is over" in client.visit("contacts.going", id=file_id).text
    token = client.csrf_token("contacts.listed")
    assert client.post(client.path("contacts.fetch", id=file_id), data={"csrf_token": token}).status_code == 404


def test_what_is_stored_goes_with_its_day(client: Client, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    from courseapp.campaigns import contact_imports

    monkeypatch.setattr(contact_imports, "LEASE", timedelta(0))
    file_id = asked_for(client)
    tidy(NOW + timedelta(hours=20))
    assert len(list(storage.stored_keys("contacts"))) == 1
    tidy(NOW + timedelta(days=1, minutes=5))
    db.session.commit()
    assert list(storage.stored_keys("contacts")) == []
    found = exports.export_of(file_id)
    assert found is not None
    assert (found.state, found.names) == (ExportState.EXPIRED, [])


def test_asking_writing_and_fetching_are_written_down(client: Client, owner: User) -> None:
    file_id = asked_for(client)
    fetched(client, file_id)
    fetched(client, file_id)
    found = exports.export_of(file_id)
    assert found is not None
    told = db.session.scalars(sa.select(Event).where(Event.subject == f"export:{found.id}").order_by(Event.id)).all()
    assert [row.type for row in told] == ["contacts_export_asked", "contacts_exported", *["contacts_downloaded"] * 2]
    assert {row.facts["by_user_id"] for row in told} == {owner.id}


def test_killed_between_its_pieces_it_has_everybody_once(client: Client, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "PIECE", 10)
    for number in range(34):
        make_contact(f"one{number}@example.org")
    file_id = ordered(client)
    deaths, keep = 0, storage.keep

    class Killed(BaseException):
        pass

    def die_sometimes(key: str, content: bytes) -> None:
        nonlocal deaths
        keep(key, content)
        deaths += 1
        if deaths % 2:
            raise Killed  # the piece is there, and no row names it

    monkeypatch.setattr(storage, "keep", die_sometimes)
    for _life in range(12):
        try:
            work_contacts(clock.now)
        except Killed:
            db.session.rollback()
    found = exports.export_of(file_id)
    assert found is not None
    assert (found.state, found.count, len(found.names)) == (ExportState.READY, 35, 4)
    addresses = [row["address"] for row in rows_of(fetched(client, file_id).text)]
    assert len(addresses) == len(set(addresses)) == 35
    assert int(fetched(client, file_id).headers["Content-Length"]) == found.size == len(fetched(client, file_id).data)


def test_of_two_workers_at_one_piece_the_second_is_too_late(client: Client, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    ordered(client)
    keep, began = storage.keep, []

    def meanwhile(key: str, content: bytes) -> None:
        keep(key, content)
        if not began:
            began.append(key)
            write_piece(NOW)  # another worker finishes while this one has just kept its piece

    monkeypatch.setattr(storage, "keep", meanwhile)
    write_piece(NOW)
    found = db.session.scalars(sa.select(ContactExport)).one()
    assert (found.state, found.count, len(found.names)) == (ExportState.READY, 1, 1)
    assert len(list(storage.stored_keys("contacts"))) == 1
    assert db.session.query(Event).where(Event.type == "contacts_exported").count() == 1
