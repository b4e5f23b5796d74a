"""Lists of contacts coming in: how files are written, what is wrong with lines, who is taken in, and who stays out."""

import io
import re
import tracemalloc
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from courseapp import clock, storage
from courseapp.accounts.models import User
from courseapp.authoring import parts
from courseapp.campaigns import contact_files
from courseapp.campaigns import contact_imports as imports
from courseapp.campaigns.bringing_in import take_page
from courseapp.campaigns.contact_files import Unreadable, head_of, rows_of
from courseapp.campaigns.contact_rows import TOLD, WRONG
from courseapp.campaigns.contacting import loops
from courseapp.campaigns.contacting.loops import work_contacts
from courseapp.campaigns.models import ContactImport, ImportFinding, ImportState
from courseapp.contacts.address import address_mac
from courseapp.contacts.consent import holds_consent, set_consent
from courseapp.contacts.models import Consent, ConsentAction, Contact, Purpose, SuppressionReason
from courseapp.contacts.people import contact_of_address
from courseapp.contacts.suppression import suppress
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing import loops as mailing
from courseapp.mailing.links import mail_token
from courseapp.mailing.models import Message, State, Stream
from courseapp.operations.tidying import tidy
from tests.accounts.mailbox import last_mail_to
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_consent, make_contact, make_user
from tests.rows import all_rows, changed_tables

HEAD = "Email,First name,Marketing,Course mail,Lang,TZ,Notes\n"
COLUMNS = ["address", "first_name", "marketing", "course_mail", "language", "zone", ""]
ADA = "ada@example.org,Ada,2026-03-31,,,,\n"


@pytest.fixture
def owner(app: Flask, client: Client) -> User:
    """An owner, signed in."""
    return client.sign_in(make_user("owner@example.org", roles=["owner"]))


def came(content: str | bytes, *, is_confirmed: bool = True, fields: list[str] | None = None) -> ContactImport:
    """A file that came, whose columns are named, and that was looked through."""
    raw = content.encode() if isinstance(content, str) else content
    sender = make_user().id
    found = imports.receive(io.BytesIO(raw), "list.csv", sender, "en", NOW)
    imports.describe(found, fields or COLUMNS, "en", "Newsletter of 2025", is_confirmed=is_confirmed, by_user_id=sender, now=NOW)
    db.session.commit()
    work_contacts(clock.now)
    db.session.refresh(found)
    return found


def taken(content: str | bytes, **more: Any) -> ContactImport:
    """The same, brought in."""
    found = came(content, **more)
    assert found.state is ImportState.READY
    imports.accept(found, make_user(roles=["owner"]), NOW)
    db.session.commit()
    work_contacts(clock.now)
    db.session.refresh(found)
    assert found.state is ImportState.FINISHED
    return found


def findings(found: ContactImport) -> list[tuple[int, str, str]]:
    """What was told of lines."""
    return [(row.line, row.field, row.code) for row in imports.findings_after(found, 0, 1000)]


def known(address: str) -> Contact:
    """The contact of an address."""
    found = contact_of_address(address)
    assert found is not None, address
    return found


def agreed(address: str) -> set[str]:
    """The purposes an address agrees to."""
    return {purpose.value for purpose in (Purpose.COURSE, Purpose.MARKETING) if holds_consent(known(address), purpose)}


def token_of(contact: Contact, purpose: str) -> str:
    """The token in this contact's mails."""
    return mail_token(contact.public_id, purpose, contact.address_mac)


# How files are written

ZOE = [["E-Mail", "Name"], ["zoë@example.org", "Zoë"], ["b@example.org", "two\nlines"]]


def written(encoding: str, delimiter: str = ",", start: str = "") -> bytes:
    """The same three rows, in some letters and with something between the cells."""
    quoted = ['"' + cell + '"' if "\n" in cell or delimiter in cell else cell for row in ZOE for cell in row]
    lines = [delimiter.join(quoted[place : place + 2]) for place in range(0, len(quoted), 2)]
    return (start + "\r\n".join(lines)).encode(encoding)


@pytest.mark.parametrize(
    ("content", "encoding", "delimiter"),
    [
        (written("utf-8"), "utf-8", ","),
        (written("utf-8-sig", ";"), "utf-8-sig", ";"),
        (written("utf-16", "\t"), "utf-16", "\t"),
        (written("utf-16-le"), "utf-16-le", ","),
        (written("utf-16-be", "|"), "utf-16-be", "|"),
        (written("cp1252", ";"), "cp1252", ";"),
        (written("utf-8", ";", start="sep=;\n"), "utf-8", ";"),
    ],
)
def test_letters_and_separators_are_told_from_the_file(tmp_path, content: bytes, encoding: str, delimiter: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    head = head_of(path)
    assert head is not None
    assert (head.encoding, head.delimiter, head.names, head.has_names) == (encoding, delimiter, ("E-Mail", "Name"), True)
    rows = [cells for _line, cells in rows_of(path, head.encoding, head.delimiter, head.has_names)]
    assert rows == ZOE[1:]


def test_lines_are_told_where_a_row_begins_though_cells_have_lines_of_their_own(tmp_path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('a,b\n"x\ny\nz",1\n\n  ,\nlast,2\n')
    assert list(rows_of(path, "utf-8", ",", True)) == [(2, ["x\ny\nz", "1"]), (7, ["last", "2"])]


def test_a_file_without_names_of_columns_loses_no_row(tmp_path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("ada@example.org;2026-01-01\nbob@example.org;2026-01-02\n")
    head = head_of(path)
    assert head is not None
    assert not head.has_names
    assert len(list(rows_of(path, head.encoding, head.delimiter, head.has_names))) == 2


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b" , ,\n"])
def test_a_file_without_a_row_is_refused_in_words(client: Client, owner: User, content: bytes) -> None:
    answer = client.submit("contacts.begin", {"file": (io.BytesIO(content), "list.csv")}, to="contacts.receive")
    assert answer.status_code == 400
    assert "There is no line in this file" in answer.text
    assert list(storage.stored_keys("contacts")) == []


def test_a_quotation_mark_that_never_closes_is_told_with_its_line(client: Client, owner: User, tmp_path) -> None:
    content = "a@example.org,1\n" * 5 + '"open,' + "x" * 200_000
    path = tmp_path / "list.csv"
    path.write_text(content)
    with pytest.raises(Unreadable) as caught:
        list(rows_of(path, "utf-8", ",", False))
    assert caught.value.line == 6
    found = came(HEAD + ADA + content, fields=COLUMNS)
    assert (found.state, found.problem) == (ImportState.FAILED, "line 8")
    assert "From line 8 on it cannot be read" in client.visit("contacts.coming", id=found.public_id).text


@pytest.mark.parametrize(
    "row",
    [b"," * 3_000_000, b'"x\n",' * 600_000, b'"' + b'""' * 40_000 + b'",' + b"," * 3_000_000],
    ids=["one line", "many lines", "quoted"],
)
def test_a_row_without_end_is_told_with_its_line_and_takes_little_memory(tmp_path, row: bytes) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes((HEAD + ADA).encode() + row)
    tracemalloc.start()
    with pytest.raises(Unreadable) as caught:
        list(rows_of(path, "utf-8", ",", False))
    _size, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.line == 3
    assert most < 30_000_000


def test_a_row_without_end_is_refused_when_it_is_sent(client: Client, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_files, "LONGEST_ROW", 1000)
    content = io.BytesIO((HEAD + ADA + "," * 1001).encode())
    answer = client.submit("contacts.begin", {"file": (content, "list.csv")}, to="contacts.receive")
    assert answer.status_code == 400
    assert "From line 3 on it cannot be read" in answer.text
    assert list(storage.stored_keys("contacts")) == []


def test_rows_are_counted_each_by_itself(tmp_path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(("x" * 100_000 + "\n") * 30)
    assert len(list(rows_of(path, "utf-8", ",", False))) == 30


@given(st.binary(max_size=400))
def test_whatever_bytes_come_they_are_read_or_refused(tmp_path_factory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("bytes") / "list.csv"
    path.write_bytes(content)
    try:
        head = head_of(path)
        if head is not None:
            list(rows_of(path, head.encoding, head.delimiter, head.has_names))
    except Unreadable:
        pass


# What is wrong with lines


@pytest.mark.parametrize(
    ("line", "field", "code"),
    [
        (",Ada,2026-03-31,,,,", "address", "address_missing"),
        ("ada at example.org,Ada,2026-03-31,,,,", "address", "address_odd"),
        ("ada@example.org bob@example.org,Ada,2026-03-31,,,,", "address", "address_odd"),
        ('"ada@example.org\nBcc: x@example.org",Ada,2026-03-31,,,,', "address", "address_odd"),
        (f"ada@example.org,{'x' * 81},2026-03-31,,,,", "first_name", "name_long"),
        ('ada@example.org,"A\nda",2026-03-31,,,,', "first_name", "name_odd"),
        ("ada@example.org,A\0da,2026-03-31,,,,", "first_name", "name_odd"),
        ("ada@example.org,Ada,2026-03-31,,xx,,", "language", "language_unknown"),
        ("ada@example.org,Ada,2026-03-31,,,Mars/Olympus,", "zone", "zone_unknown"),
        ("ada@example.org,Ada,2026-03-31,,,../../etc/passwd,", "zone", "zone_unknown"),
        ("ada@example.org,Ada,yes,,,,", "marketing", "date_missing"),
        ("ada@example.org,Ada,3/4/2026,,,,", "marketing", "date_odd"),
        ("ada@example.org,Ada,31.02.2026,,,,", "marketing", "date_odd"),
        ("ada@example.org,Ada,,2031-01-01,,,", "course_mail", "date_future"),
        ("ada@example.org,Ada,1066-10-14,,,,", "marketing", "date_future"),
        ("ada@example.org,Ada,,no,,,", "row", "no_consent"),
        ("ada@example.org,Ada,2026-03-31,,,,,more", "row", "cells"),
    ],
)
def test_a_line_that_cannot_be_used_is_told_and_left_out(app: Flask, line: str, field: str, code: str) -> None:
    found = taken(f"{HEAD}{line}\nbob@example.org,,2026-03-31,,,,\n")
    assert findings(found) == [(2, field, code)]
    assert (found.counts["new"], found.counts["wrong"]) == (1, 1)
    assert contact_of_address("ada@example.org") is None
    assert agreed("bob@example.org") == {"marketing"}


def test_everything_that_is_wrong_with_a_line_is_told_at_once(app: Flask) -> None:
    found = came(f"{HEAD}nobody,{'x' * 90},yes,,xx,Moon,\n")
    assert {code for _line, _field, code in findings(found)} == {
        *("address_odd", "name_long", "date_missing", "language_unknown", "zone_unknown")
    }
    assert found.counts["wrong"] == 1


def test_each_finding_has_words_and_says_how_to_mend_it(app: Flask) -> None:
    with app.test_request_context():
        for what, mend in (WRONG | TOLD).values():
            assert str(what).endswith(".")
            assert str(mend).endswith(".")


def test_cells_that_a_spreadsheet_would_run_are_kept_as_words(app: Flask) -> None:
    taken(HEAD + 'ada@example.org,"=HYPERLINK(""http://x"")",31.03.2026,,,,\n' + "'+49@example.org,'@Bob,2026-03-31,,,,\n")
    assert known("ada@example.org").first_name == '=HYPERLINK("http://x")'
    assert known("+49@example.org").first_name == "@Bob"


# Who is taken in


def test_a_list_comes_in_with_what_it_says_and_where_it_came_from(app: Flask) -> None:
    found = taken(HEAD + "Ada@Example.org,Ada,2026-03-31,01.02.2026,EN-us,Europe/Berlin,ignored\n")
    ada = known("ada@example.org")
    assert (ada.address, ada.first_name, ada.language, ada.zone, ada.confirmed_at is not None) == (
        *("Ada@example.org", "Ada", "en", "Europe/Berlin", True),
    )
    rows = db.session.scalars(sa.select(Consent).where(Consent.contact_id == ada.id)).all()
    assert {(row.purpose.value, row.action.value, row.source, row.wording, row.at.date().isoformat()) for row in rows} == {
        ("marketing", "given", f"import:{found.public_id}", "import", "2026-03-31"),
        ("course", "given", f"import:{found.public_id}", "import", "2026-02-01"),
    }
    told = db.session.scalars(sa.select(Event).where(Event.subject == f"import:{found.id}").order_by(Event.id)).all()
    assert [row.type for row in told] == [
        *("contacts_import_looked", "contacts_import_vouched", "contacts_import_begun", "contacts_imported")
    ]
    assert None not in {row.facts["by_user_id"] for row in told}
    assert told[-1].facts["counts"]["new"] == 1
    given = db.session.scalars(sa.select(Event.data).where(Event.type == "consent_given")).all()
    assert sorted(row["purpose"] for row in given) == ["course", "marketing"]
    assert db.session.query(Message).count() == 0


def test_the_look_through_counts_the_same_and_writes_nothing(app: Flask) -> None:
    make_consent(make_contact("known@example.org"), Purpose.MARKETING)
    lines = HEAD + ADA + "known@example.org,,2026-03-31,,,,\nbad,,2026-03-31,,,,\n"
    before = all_rows()
    found = came(lines)
    assert set(changed_tables(before, all_rows())) == {
        *("contact_imports", "import_findings", "events"),
        *("contacts", "users"),  # the sender
    }
    assert contact_of_address("ada@example.org") is None
    told, counts = findings(found), dict(found.counts)
    imports.accept(found, make_user(roles=["owner"]), NOW)
    db.session.commit()
    work_contacts(clock.now)
    assert told == [(4, "address", "address_odd")]
    assert findings(found) == [(3, "address", "known"), *told]
    assert counts == {"new": 1, "known": 1, "wrong": 1, "findings": 1}
    assert found.counts == {**counts, "findings": 2}


def without_chance(page: str) -> str:
    """A page of a file without what differs between two files anyway."""
    return re.sub(r"/contacts/[\w-]+|csrf_token[^>]*>|data-csrf[^>]*|content=\"[^\"]*\"|nonce=\S+", "", page)


def test_a_file_with_one_address_does_not_tell_whether_it_is_known_and_leaves_a_line(app: Flask, client: Client, owner: User) -> None:
    ada, bob, eve = (make_contact(f"{name}@example.org") for name in ("ada", "bob", "eve"))
    set_consent(ada, Purpose.MARKETING, True, NOW, "start")
    set_consent(bob, Purpose.MARKETING, True, NOW, "start")
    set_consent(bob, Purpose.MARKETING, False, NOW, "unsubscribe")
    suppress(address_mac("eve@example.org"), SuppressionReason.COMPLAINED, NOW)
    make_contact("joe@example.org")
    assert not eve.erased_at
    pages = []
    for name in ("ada", "bob", "eve", "joe", "zoe"):
        found = came(HEAD + f"{name}@example.org,,2026-03-31,,,,\n", is_confirmed=False)
        ready = client.visit("contacts.coming", id=found.public_id).text
        (event,) = db.session.scalars(sa.select(Event).where(Event.subject == f"import:{found.id}")).all()
        assert (event.type, event.facts) == ("contacts_import_looked", {"by_user_id": found.by_user_id, "lines": 3})
        client.submit("contacts.coming", {"choice": "cancel"}, to="contacts.decide", id=found.public_id)
        client.visit("accounts.settings")  # which says what was done
        pages.append(tuple(map(without_chance, (ready, client.visit("contacts.coming", id=found.public_id).text))))
    assert len(set(pages)) == 1
    assert "fewer than five" in pages[0][0]


def test_from_five_on_sums_are_told_before_a_list_is_brought_in_and_who_stays_out_is_one_kind(
    app: Flask, client: Client, owner: User
) -> None:
    for number in range(3):
        suppress(address_mac(f"one{number}@example.org"), SuppressionReason.BOUNCED, NOW)
        contact = make_contact(f"one{number + 3}@example.org")
        set_consent(contact, Purpose.MARKETING, True, NOW, "start")
        set_consent(contact, Purpose.MARKETING, False, NOW, "unsubscribe")
    found = came(many(16))
    page = " ".join(client.visit("contacts.coming", id=found.public_id).text.split())
    assert "<dt>new</dt> <dd> 10 </dd>" in page
    assert "<dt>stay out: they withdrew here, or get no mail</dt> <dd> 6 </dd>" in page
    assert "Bring in 10 people" in page
    assert "Line by line" not in page
    client.submit("contacts.coming", {"choice": "accept"}, to="contacts.decide", id=found.public_id)
    work_contacts(clock.now)
    assert client.visit("contacts.coming", id=found.public_id).text.count("They stay out: they have withdrawn here, or") == 6


def test_suppressed_addresses_are_never_brought_back(app: Flask) -> None:
    suppress(address_mac("ada@example.org"), SuppressionReason.COMPLAINED, NOW)
    found = taken(HEAD + ADA)
    assert findings(found) == [(2, "address", "suppressed")]
    assert contact_of_address("ada@example.org") is None
    assert found.counts["suppressed"] == 1


def test_whoever_has_withdrawn_stays_so_and_what_was_given_stays_as_it_was(app: Flask) -> None:
    ada, bob, eve = (make_contact(f"{name}@example.org") for name in ("ada", "bob", "eve"))
    set_consent(ada, Purpose.MARKETING, True, NOW, "start")
    set_consent(ada, Purpose.MARKETING, False, NOW, "unsubscribe")
    set_consent(bob, Purpose.MARKETING, True, NOW, "start")
    set_consent(eve, Purpose.MARKETING, True, NOW, "start")
    set_consent(eve, Purpose.MARKETING, False, NOW, "unsubscribe")
    lines = [f"{name}@example.org,New,2026-03-31,{course},,," for name, course in (("ada", ""), ("bob", ""), ("eve", "2026-03-31"))]
    found = taken(HEAD + "\n".join(lines))
    assert (agreed("ada@example.org"), agreed("bob@example.org"), agreed("eve@example.org")) == (set(), {"marketing"}, {"course"})
    assert findings(found) == [(2, "address", "withdrawn"), (3, "address", "known"), (4, "marketing", "withdrawn")]
    assert db.session.query(Consent).where(Consent.contact_id == bob.id).count() == 1
    assert (found.counts["joined"], found.counts["withdrawn"], found.counts["known"]) == (1, 1, 1)


@pytest.mark.parametrize("pressed", [{"stop_all": "1"}, {"course_mail": "y", "marketing": None}, None])
def test_whoever_wanted_none_of_it_before_a_list_came_is_not_made_to_agree(client: Client, pressed: dict[str, Any] | None) -> None:
    ada = make_contact("ada@example.org")
    set_consent(ada, Purpose.COURSE, True, NOW, "start")
    if pressed is None:
        client.post(client.path("mailing.stop", token=token_of(ada, "all")))
    else:
        client.submit("mailing.preferences", pressed, token=token_of(ada, "course"))
    found = taken(HEAD + ADA)
    assert findings(found) == [(2, "address", "withdrawn")]
    assert "marketing" not in agreed("ada@example.org")


def test_what_is_known_of_somebody_stays(app: Flask) -> None:
    ada = make_contact("ada@example.org", first_name="Augusta", zone="Asia/Tokyo")
    bob = make_contact("bob@example.org")
    taken(HEAD + "ada@example.org,Ada,2026-03-31,,,Europe/Berlin,\nbob@example.org,Bob,2026-03-31,,,,\n")
    db.session.expire_all()
    assert (ada.first_name, ada.zone, bob.first_name) == ("Augusta", "Asia/Tokyo", "Bob")


def test_one_address_counts_once_in_a_file_in_whatever_letters(app: Flask) -> None:
    found = taken(HEAD + ADA + "ADA@example.org,Other,,2026-01-01,,,\n")
    assert findings(found) == [(3, "address", "twice")]
    assert agreed("ada@example.org") == {"marketing"}


# Asking


def test_unless_an_owner_vouches_each_new_address_is_asked_once_and_is_nothing_before(app: Flask, client: Client) -> None:
    known_one = make_contact("known@example.org")
    waiting = make_contact("waiting@example.org", confirmed=False)
    found = taken(HEAD + ADA + "known@example.org,,2026-03-31,,,,\nwaiting@example.org,,2026-03-31,,,,\n", is_confirmed=False)
    assert agreed("ada@example.org") == agreed("known@example.org") == set()
    assert not known("ada@example.org").is_confirmed
    query = sa.select(Message.contact_id, Message.priority, Stream.key).join(Stream, Stream.id == Message.stream_id)
    asked = db.session.execute(query).all()
    assert {row.contact_id for row in asked} == {known("ada@example.org").id, known_one.id}  # the other has had its one mail
    assert {(row.priority, row.key) for row in asked} == {(9, f"import-{found.id}")}
    assert found.counts["asked"] == 2
    assert waiting.id not in {row.contact_id for row in asked}
    link = last_mail_to("ada@example.org").link
    assert mailing.drain(clock.now)["accepted"] == 2
    mailing.close_door()
    assert "further courses" in client.visit(link).text
    assert agreed("ada@example.org") == set()
    assert "it is noted" in client.submit(link).text
    assert agreed("ada@example.org") == {"marketing"}
    assert known("ada@example.org").is_confirmed
    last = db.session.scalars(sa.select(Consent).where(Consent.contact_id == known("ada@example.org").id).order_by(Consent.id)).all()
    assert [(row.action, row.wording) for row in last] == [(ConsentAction.ASKED, "import"), (ConsentAction.GIVEN, "marketing-1")]


def test_a_second_list_asks_nobody_again(app: Flask) -> None:
    taken(HEAD + ADA, is_confirmed=False)
    found = taken(HEAD + ADA, is_confirmed=False)
    assert db.session.query(Message).count() == 1
    assert found.counts.get("asked", 0) == 0


def test_whoever_does_not_answer_is_forgotten(app: Flask) -> None:
    taken(HEAD + ADA, is_confirmed=False)
    tidy(NOW + timedelta(days=15))
    assert contact_of_address("ada@example.org") is None
    assert db.session.query(Consent).count() == 0


def test_mails_that_ask_pause_themselves_where_too_many_come_back(app: Flask) -> None:
    found = taken(HEAD + "".join(f"p{number}@example.org,,2026-03-31,,,,\n" for number in range(20)), is_confirmed=False)
    db.session.execute(sa.update(Message).values(state=State.BOUNCED, settled_at=NOW))
    db.session.commit()
    assert mailing.watch(NOW + timedelta(minutes=1)) == [f"import-{found.id}"]


# Killed, stopped, raced


def many(count: int) -> str:
    """A list of so many people."""
    return HEAD + "".join(f"one{number}@example.org,P,2026-03-31,,,,\n" for number in range(count))


def test_killed_at_every_page_nothing_is_lost_and_nothing_doubled(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "PAGE", 7)
    found = came(many(50) + "one3@example.org,,2026-03-31,,,,\n", is_confirmed=False)
    imports.accept(found, make_user(roles=["owner"]), NOW)
    db.session.commit()
    deaths = 0

    class Killed(BaseException):
        pass

    def die_sometimes(*args: Any) -> bool:
        nonlocal deaths
        done = take_page(*args)
        deaths += 1
        if deaths % 2:
            raise Killed  # after the statements, before the commit
        return done

    monkeypatch.setattr(loops, "take_page", die_sometimes)
    moment = NOW
    for _life in range(60):
        moment += timedelta(minutes=3)
        try:
            work_contacts(lambda moment=moment: moment)
        except Killed:
            db.session.rollback()
        db.session.refresh(found)
        if found.state is ImportState.FINISHED:
            break
    assert found.state is ImportState.FINISHED
    assert deaths > 15
    assert db.session.query(Contact).where(Contact.address.like("one%")).count() == 50
    assert db.session.query(Consent).count() == 50
    assert db.session.query(Message).count() == 50
    assert (found.counts["new"], found.counts["asked"], found.counts["wrong"], found.cursor) == (50, 50, 1, 51)
    assert findings(found) == [(52, "address", "twice")]


def test_of_two_workers_at_the_same_page_one_is_too_late(app: Flask) -> None:
    found = came(many(3))
    imports.accept(found, make_user(roles=["owner"]), NOW)
    db.session.commit()
    path = storage.path_of(imports.key_of(found.public_id))
    assert path is not None
    page = next(loops._pages(found, path, NOW))
    assert take_page(found, page, NOW, NOW)
    db.session.commit()
    late = ContactImport(id=found.id, state=ImportState.RUNNING, cursor=0)  # as a worker has it that read the row before
    assert not take_page(late, page, NOW, NOW)
    db.session.rollback()
    assert db.session.query(Consent).count() == 3


def test_a_list_that_is_thrown_away_in_the_middle_stops_there(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "PAGE", 10)
    found = came(many(40))
    imports.accept(found, make_user(roles=["owner"]), NOW)
    db.session.commit()

    def stop_after_first(*args: Any) -> bool:
        if found.cursor == 10:  # somebody did while it was read
            stopped = sa.update(ContactImport).values(state=ImportState.CANCELLED)
            db.session.execute(stopped.execution_options(synchronize_session=False))
            db.session.commit()
        return take_page(*args)

    monkeypatch.setattr(loops, "take_page", stop_after_first)
    work_contacts(clock.now)
    db.session.refresh(found)
    db.session.refresh(found)
    assert (found.state, found.cursor) == (ImportState.CANCELLED, 10)
    assert db.session.query(Consent).count() == 10


def test_a_list_that_breaks_the_worker_ends_after_some_tries_and_keeps_no_other(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (imports.receive(io.BytesIO(many(2).encode()), "l.csv", make_user().id, "en", NOW) for _number in range(2))
    for one in (first, second):
        imports.describe(one, COLUMNS, "en", "Words", is_confirmed=True, by_user_id=make_user().id, now=NOW)
    db.session.commit()

    def break_first(found: ContactImport, *args: Any) -> bool:
        if found.id == first.id:
            raise ZeroDivisionError
        return take_page(found, *args)

    monkeypatch.setattr(loops, "take_page", break_first)
    for hour in range(8):
        moment = NOW + timedelta(hours=hour)
        work_contacts(lambda moment=moment: moment)
    assert (first.state, second.state) == (ImportState.FAILED, ImportState.READY)


def test_a_file_that_is_gone_says_so(app: Flask, client: Client, owner: User) -> None:
    found = came(HEAD + ADA)
    storage.remove(imports.key_of(found.public_id))
    imports.accept(found, make_user(roles=["owner"]), NOW)
    db.session.commit()
    work_contacts(clock.now)
    db.session.refresh(found)
    assert (found.state, found.problem) == (ImportState.FAILED, "gone")
    assert "Please send it again" in client.visit("contacts.coming", id=found.public_id).text


def test_files_go_once_they_are_done_or_nobody_came_back_for_them(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "LEASE", timedelta(0))
    done, left = taken(HEAD + ADA), came(HEAD + "bob@example.org,,2026-03-31,,,,\n")
    open_one = imports.receive(io.BytesIO(many(2).encode()), "l.csv", make_user().id, "en", NOW + timedelta(days=2))
    db.session.commit()
    tidy(NOW + timedelta(days=2, minutes=1))
    db.session.commit()
    assert [key.split("/")[1] for key in storage.stored_keys("contacts")] == [open_one.public_id]
    assert (done.state, left.state) == (ImportState.FINISHED, ImportState.CANCELLED)


@pytest.mark.one_database
def test_memory_stays_flat_however_long_the_list_is(app: Flask, tmp_path) -> None:
    def peak(count: int) -> int:
        path = tmp_path / f"{count}.csv"
        path.write_text(many(count))
        found = ContactImport(columns={name: place for place, name in enumerate(COLUMNS) if name}, heads=[""] * 7, language="en", cursor=0)
        found.encoding, found.delimiter, found.has_names = "utf-8", ",", True
        tracemalloc.start()
        for _page in loops._pages(found, path, NOW):
            pass
        _size, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(8000) - peak(2000) < 1_500_000  # a mark of each address, and nothing else


# The pages


def test_a_marketer_brings_in_a_list_from_its_pages(client: Client, app: Flask) -> None:
    client.sign_in(make_user("m@example.org", roles=["marketer"]))
    file = (io.BytesIO((HEAD + ADA + "bad,,2026-03-31,,,,\n").encode()), "people.csv")
    page = client.submit("contacts.begin", {"file": file}, to="contacts.receive")
    assert page.status_code == 303
    shown = client.get(page.location).text
    assert '<option value="address" selected>' in shown
    assert "ada@example.org" in shown
    assert "Only an owner can say" in shown
    place = page.location.rpartition("/")[2]
    refused = client.submit("contacts.coming", {"source": ""}, to="contacts.name_columns", id=place)
    assert refused.status_code == 422
    assert "Please say where and how they agreed" in refused.text
    assert "Without this nobody may be written to" in refused.text
    said = {"source": "Newsletter", "stated": "y", "way": "ask"}
    assert client.submit("contacts.coming", said, to="contacts.name_columns", id=place).status_code == 303
    assert "data-follow" in client.visit("contacts.coming", id=place).text
    work_contacts(clock.now)
    page = client.visit("contacts.coming", id=place).text
    assert "Bring in whoever can be" in page
    assert "That is no e-mail address." in page
    assert "name@example.org" in page
    client.submit("contacts.coming", {"choice": "accept"}, to="contacts.decide", id=place)
    work_contacts(clock.now)
    assert "1 person is taken in" in client.visit("contacts.coming", id=place).text
    assert "people.csv" in client.visit("contacts.listed").text


def test_only_an_owner_can_vouch_for_others(client: Client, owner: User) -> None:
    found = imports.receive(io.BytesIO((HEAD + ADA).encode()), "list.csv", owner.id, "en", NOW)
    said = {"source": "Newsletter", "stated": "y", "way": "elsewhere"}
    other: Any = client.application.test_client()
    other.sign_in(make_user("m@example.org", roles=["marketer"]))
    refused = other.submit("contacts.coming", said, to="contacts.name_columns", id=found.public_id)
    assert refused.status_code == 422
    assert "Only an owner can say that" in refused.text
    assert client.submit("contacts.coming", said, to="contacts.name_columns", id=found.public_id).status_code == 303
    db.session.refresh(found)
    assert found.is_confirmed
    (told,) = db.session.scalars(sa.select(Event).where(Event.type == "contacts_import_vouched")).all()
    assert (told.subject, told.facts) == (f"import:{found.id}", {"by_user_id": owner.id})
    work_contacts(clock.now)
    assert "for an owner to bring it in" in other.visit("contacts.coming", id=found.public_id).text
    other.submit("contacts.coming", {"choice": "accept"}, to="contacts.decide", id=found.public_id)
    db.session.refresh(found)
    assert found.state is ImportState.READY
    assert db.session.query(Consent).count() == 0
    client.submit("contacts.coming", {"choice": "accept"}, to="contacts.decide", id=found.public_id)
    db.session.refresh(found)
    assert found.state is ImportState.RUNNING


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"column-0": ""}, "which column has the addresses"),
        ({"column-2": "", "column-3": ""}, "the day on which they agreed"),
        ({"column-1": "address"}, "Two columns are said to be the same"),
    ],
)
def test_columns_that_do_not_fit_are_refused_in_words_and_keep_what_was_chosen(
    client: Client, owner: User, columns: dict[str, str], words: str
) -> None:
    found = imports.receive(io.BytesIO((HEAD + ADA).encode()), "list.csv", owner.id, "en", NOW)
    said = {"source": "Newsletter", "stated": "y", **columns}
    answer = client.submit("contacts.coming", said, to="contacts.name_columns", id=found.public_id)
    assert answer.status_code == 422
    assert words in answer.text
    assert "Newsletter" in answer.text


def test_a_file_that_is_too_large_is_refused(client: Client, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "LARGEST", 100)
    answer = client.submit("contacts.begin", {"file": (io.BytesIO(many(10).encode()), "l.csv")}, to="contacts.receive")
    assert answer.status_code == 413
    assert "too large" in answer.text


def test_ten_lists_of_one_person_may_wait(client: Client, owner: User) -> None:
    def send() -> Any:
        return client.submit("contacts.begin", {"file": (io.BytesIO((HEAD + ADA).encode()), "l.csv")}, to="contacts.receive")

    assert [send().status_code for _number in range(imports.MOST_OPEN)] == [303] * 10
    refused = send()
    assert refused.status_code == 409
    assert "10 lists of yours wait already" in refused.text
    assert len(list(storage.stored_keys("contacts"))) == 10
    imports.receive(io.BytesIO((HEAD + ADA).encode()), "l.csv", make_user().id, "en", NOW)
    found = db.session.scalars(sa.select(ContactImport).where(ContactImport.by_user_id == owner.id)).first()
    assert found is not None
    client.submit("contacts.coming", {"choice": "cancel"}, to="contacts.decide", id=found.public_id)
    assert send().status_code == 303


def test_a_list_that_the_disk_has_no_room_for_is_refused(client: Client, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "SPARE", 1 << 62)
    answer = client.submit("contacts.begin", {"file": (io.BytesIO((HEAD + ADA).encode()), "l.csv")}, to="contacts.receive")
    assert answer.status_code == 507
    assert "not enough space" in answer.text
    assert list(storage.stored_keys("contacts")) == []


@pytest.mark.one_database
def test_a_list_may_be_large_and_nobody_else_may_send_one(client: Client, app: Flask) -> None:
    def sent_by(role: str) -> int:
        browser: Any = app.test_client()
        browser.sign_in(make_user(roles=[role]))
        parts = {"csrf_token": browser.csrf_token("accounts.settings"), 'file"; filename="l.csv': HEAD + ADA * 80_000}
        body = "".join(f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{words}\r\n' for name, words in parts.items())
        answer = browser.post(browser.path("contacts.receive"), data=body + "--edge--", content_type="multipart/form-data; boundary=edge")
        return int(answer.status_code)

    assert [sent_by(role) for role in ("instructor", "marketer")] == [413, 303]


def test_a_file_of_windows_warns_of_its_encoding(client: Client, owner: User) -> None:
    content = (HEAD + "zoe@example.org,Zoë,2026-03-31,,,,\n").encode("cp1252")
    found = imports.receive(io.BytesIO(content), "list.csv", owner.id, "en", NOW)
    page = client.visit("contacts.coming", id=found.public_id).text
    assert "Check how names look" in page
    assert "Zoë" in page


def test_findings_are_paged_and_counted(client: Client, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    found = came(HEAD + "bad,,2026-03-31,,,,\n" * 65)
    seen, url = [], client.path("contacts.coming", id=found.public_id)
    while url:
        page = client.get(url).text
        seen.append(page.count("That is no e-mail address."))
        url = next((part.split('"')[0].partition("#")[0] for part in page.split('href="')[1:] if "after=" in part.split('"')[0]), "")
    assert seen == [30, 30, 5]
    assert db.session.query(ImportFinding).count() == 65
