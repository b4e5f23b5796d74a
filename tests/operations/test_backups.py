"""Everything in one file, taken while people work, brought back whole or not at all, into either database."""

import gzip
import hashlib
import io
import json
import tarfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import storage
from courseapp.accounts.models import AddressChange, LoginSession, Role, SignInRequest, User
from courseapp.authoring.models import Import, PreparedFile, Publication, Upload, UploadPart, UploadState
from courseapp.billing.models import CheckoutState, Kind, Payment, Reconciliation, Refund, StripeEvent
from courseapp.campaigns.models import (
    Arm,
    BroadcastPage,
    ContactExport,
    ContactImport,
    Experiment,
    ExportState,
    ImportFinding,
    ImportState,
    Measure,
    Segment,
)
from courseapp.catalog.models import Copy, CopyKind, Course
from courseapp.contacts.address import address_mac
from courseapp.contacts.models import Contact
from courseapp.contacts.suppression import is_suppressed
from courseapp.extensions import db
from courseapp.insights.models import CourseFigures, MailFigures
from courseapp.journal.models import Event, Receipt
from courseapp.learning.models import Arrival, Source
from courseapp.mailing import loops
from courseapp.mailing.models import Breaker, Bucket, DomainFigures, LinkClicks, Message, Return, ReturnKind, ReturnSource, State, Stream
from courseapp.mailing.streams import STANDARD, make_stream
from courseapp.operations import backups, erasures, table_rows
from courseapp.operations.archive import BadBackup
from courseapp.operations.models import Heartbeat, Question, QuestionKind
from courseapp.operations.people import erase
from courseapp.organisation.models import Invitation, OwnerLink
from courseapp.site import SiteSetting
from tests.billing.paying import checkout_of, subscription_of
from tests.conftest import NOW, Workbench
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
from tests.mailing.conftest import make_course_mail
from tests.rows import Rows, all_rows, tables_that_hold

Holdings = tuple[Rows, dict[str, bytes]]
Elsewhere = Callable[..., Flask]


def fill() -> None:
    """Something in every table, with everything that a column may hold."""
    for key in STANDARD:
        make_stream(key)
    course = make_course(front={"list": [1, 2.5, None, True], "words": "Ü „quoted“ \u2028 line\nbreak"})
    user, contact = make_user("ada@example.org", roles=[Role.OWNER], password="canary secret owls 7"), make_contact(confirmed=False)
    user.contact.first_name = "Ada ⟨λ⟩"
    lesson = lessons_of(course)[1]
    lesson.revision.reviewed_on = date(2026, 2, 28)
    make_enrolment(user, course, last_lesson_id=lesson.id)
    make_completion(user, lesson, completed_at=NOW + timedelta(microseconds=123456))
    make_outcome(user)
    make_consent(user.contact, network="192.0.2.0")
    make_suppression("gone@example.org")
    make_message(user.contact, state=State.ACCEPTED, fields={"secret": None}, settled_at=NOW)
    make_course_mail()
    make_event(subject=f"user:{user.id}", readers=["campaigns"], data={"course_id": course.id})
    db.session.execute(sa.update(Receipt).values(read_at=NOW))
    make_run(make_sequence(), user.contact, course, next_run_at=NOW + timedelta(days=9))
    make_position(user, make_asset(course, bytes(range(256)) * 5000))
    broadcast = make_broadcast(is_sent=True)
    db.session.add(BroadcastPage(broadcast_id=broadcast.id, number=0, contact_ids=[user.contact.id], people=1))
    tried = {"has_second": True, "tried_percent": 20, "held_percent": 5, "measure": Measure.DID, "within_days": 7, "better": Arm.SECOND}
    db.session.add(Experiment(broadcast_id=broadcast.id, **tried))
    times = {"created_at": NOW, "expires_at": NOW}
    source = Source(course_id=course.id, word="leaflet", created_at=NOW)
    db.session.add(source)
    db.session.flush()
    db.session.add_all(
        [
            LoginSession(user_id=user.id, token_hash="a" * 64, device="a phone", last_seen_at=NOW, **times),
            SignInRequest(contact_id=contact.id, token_hash="b" * 64, code_mac="c" * 64, browser_mac="d" * 64, **times),
            AddressChange(user_id=user.id, new_contact_id=contact.id, old_token_hash="e" * 64, new_token_hash="f" * 64, **times),
            Copy(course_id=course.id, version=1, kind=CopyKind.OPEN, asked_at=NOW),
            Import(course_id=course.id, by_user_id=user.id, source="a folder", changes={}, warnings=0, at=NOW),
            Heartbeat(name="worker", at=NOW),
            OwnerLink(token_hash="g" * 64, created_at=NOW, expires_at=NOW),
            Invitation(contact_id=contact.id, invited_by_id=user.id, roles="owner", token_hash="h" * 64, **times),
            SiteSetting(name="postal_address", value="Ü 1", changed_at=NOW),
            Question(kind=QuestionKind.LESSON, text="Ü?", user_id=user.id, lesson_id=lesson.id, asked_at=NOW),
            PreparedFile(source_digest="a" * 64, recipe="r", part="", digest="b" * 64, media_type="image/png", size=1, used_at=NOW),
            Upload(public_id="u" * 16, by_user_id=user.id, files=["a.zip"], size=1, state=UploadState.READY, created_at=NOW),
            UploadPart(user_id=user.id, name="ü.zip", told="filename w7wuemlw", size=1, **times),
            draft_of(user, lesson),
            Bucket(key="sender", paid_at=NOW.timestamp() + 0.25),
            Breaker(key="mail.example.org:587", tripped_at=NOW, rests_until=NOW, why="421 4.3.2 Ü"),
            Segment(name="Ü", tree={"all": [{"field": "name", "op": "known", "value": {}}]}, created_at=NOW, changed_at=NOW),
            Return(
                key="r" * 64,
                source=ReturnSource.MAILBOX,
                kind=ReturnKind.BOUNCED,
                status="5.1.1",
                received_at=NOW,
                due_at=NOW,
                settled_at=NOW,
            ),
            CourseFigures(course_id=course.id, figures={"enrolled": 5}, counted_at=NOW),
            MailFigures(broadcast_id=broadcast.id, figures={"0:did:7": 5}, counted_at=NOW, looked_at=NOW, sums={}),
            DomainFigures(days=7, figures={"rows": []}, counted_at=NOW),
            LinkClicks(letter_id=broadcast.letter_id, link=1, day=NOW.date(), count=5),
            Arrival(source_id=source.id, day=NOW.date(), count=5),
            Publication(course_id=course.id, at=NOW, by_user_id=user.id, planned_at=NOW),
        ]
    )
    storage.keep(f"uploads/{'u' * 16}/0", b"what waits for a decision")
    fill_money(user, course)
    fill_lists(user)
    db.session.commit()


def fill_money(user: User, course: Course) -> None:
    """Somebody who has bought and got a part back, and what Stripe told of it."""
    plan = make_plan(make_tier(opens=course, features=["Ü"]), amount=900)
    customer = make_customer(user, epoch=3)
    checkout = checkout_of(plan, user, contact_id=user.contact_id, state=CheckoutState.FULFILLED, settled_at=NOW)
    subscription = subscription_of(customer, plan, period_ends_at=NOW + timedelta(days=30))
    make_entitlement(user, plan.tier, Kind.SUBSCRIPTION, subscription_id=subscription.id, checkout_id=checkout.id)
    paid = Payment(stripe_id="pi_1", customer_id=customer.id, subscription_id=subscription.id, plan_id=plan.id, currency="eur", amount=900)
    paid.paid_at = NOW
    db.session.add(paid)
    db.session.flush()
    told = {"stripe_id": "evt_1", "type": "invoice.paid", "object_id": "in_1", "made_at": NOW, "received_at": NOW, "due_at": NOW}
    findings = [{"kind": "checkout_unknown", "ids": {"checkout": "cs_1"}, "facts": {}, "takes_access": False, "is_mended": False}]
    db.session.add_all(
        [
            Refund(stripe_id="re_1", payment_id=paid.id, amount=300, status="succeeded", made_at=NOW),
            StripeEvent(**told),
            Reconciliation(began_at=NOW, ended_at=NOW, is_fixing=True, looked_at=7, findings=findings),
        ]
    )


def fill_lists(user: User) -> None:
    """Lists of contacts that came in and went out."""
    written = {"encoding": "utf-8", "delimiter": ";", "has_names": True, "heads": ["Ü"], "lines": 2, "columns": {"address": 0}}
    came = ContactImport(by_user_id=user.id, name="ü.csv", state=ImportState.FINISHED, counts={"new": 1}, created_at=NOW, **written)
    out = {"segment_name": "Ü", "tree": {"all": []}, "names": ["a"], "total": 1}
    db.session.add_all([came, ContactExport(by_user_id=user.id, state=ExportState.READY, created_at=NOW, **out)])
    db.session.flush()
    db.session.add(ImportFinding(import_id=came.id, line=2, field="address", code="address_odd"))


def test_files_of_contacts_are_in_no_backup(app: Flask, elsewhere: Elsewhere, tmp_path: Path) -> None:
    storage.keep("contacts/one/file", b"ada@example.org")
    storage.keep("assets/one", b"a film")
    file = back_up(tmp_path / "all.backup")
    elsewhere("sqlite")
    bring_back(file)
    assert list(storage.stored_keys()) == ["assets/one"]


def stored_records() -> dict[str, bytes]:
    """The records of erasures in the storage."""
    found = {}
    for key in storage.stored_keys("erasures"):
        with storage.open_stored(key) as file:
            found[key] = file.read()
    return found


def holdings() -> Holdings:
    """Every row and every file of the present application."""
    files = {}
    for key in storage.stored_keys():
        with storage.open_stored(key) as file:
            files[key] = file.read()
    return all_rows(), files


def without_pauses(rows: Rows) -> Rows:
    """Rows but for what a restore changes: that every stream is paused."""
    return {**rows, "streams": [row[:4] for row in rows["streams"]]}


def quiet(_words: str) -> None:
    """Nobody is told how far it is."""


def back_up(file: Path, tell: Callable[[str], None] = quiet) -> Path:
    """A backup of the present application."""
    db.session.commit()
    with backups.new_file(file, replace=True) as opened:
        backups.create(opened, NOW, tell)
    return file


def bring_back(file: Path, records: Path | None = None) -> int:
    """Restore into the present application, as the command does; how many were erased again."""
    _contents, erased = backups.restore(file, records, NOW, quiet)
    db.session.commit()
    return erased


@pytest.fixture
def elsewhere(workbench: Workbench, make_app: Callable[..., Flask], tmp_path: Path) -> Iterator[Elsewhere]:
    """elsewhere("sqlite", **settings): a new installation on an empty database and an empty folder, its context pushed."""
    contexts = []

    def make(kind: str = "sqlite", **settings: Any) -> Flask:
        empty = workbench.application(kind)[0].empty_beside()
        app = make_app(**{"database_url": empty, "data_dir": tmp_path / "elsewhere", **settings})
        contexts.append(app.app_context())
        contexts[-1].push()
        return app

    yield make
    for context in reversed(contexts):
        db.session.remove()
        db.engine.dispose()
        context.pop()


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_a_backup_comes_back_row_by_row_and_file_by_file(
    app: Flask, elsewhere: Elsewhere, tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_rows, "PIECE", 2000)  # several parts a table
    fill()
    rows, files = holdings()
    assert [name for name, found in rows.items() if found] == list(rows), "a table without rows compares nothing: fill it above"
    file = back_up(tmp_path / "all.backup")
    assert file.stat().st_mode & 0o777 == 0o600
    elsewhere(target)
    assert bring_back(file) == 0
    found, found_files = holdings()
    assert without_pauses(found) == without_pauses(rows)
    assert found_files == files
    assert any(len(content) > 1_000_000 for content in files.values())
    make_user("late@example.org")  # the counters go on behind what was restored
    make_course_mail()
    make_event()
    db.session.commit()


class Writer(threading.Thread):
    """Somebody who begins again and again, each time with one more in `course.version`: three rows, one commit."""

    def __init__(self, app: Flask) -> None:
        super().__init__(daemon=True)
        self.app, self.done, self.ending = app, 0, threading.Event()

    def run(self) -> None:
        with self.app.app_context():
            while not self.ending.is_set():
                user = make_user()
                db.session.execute(sa.update(Course).values(version=Course.version + 1))
                make_event("enrolled", f"user:{user.id}")
                db.session.commit()
                self.done += 1
                time.sleep(0.001)

    def wait_for_more(self, _words: str = "") -> None:
        """Return once something more was committed."""
        before, ends = self.done, time.monotonic() + 30
        while self.done == before:
            assert time.monotonic() < ends, "nobody can write while a backup is taken"
            time.sleep(0.001)


@contextmanager
def writing(app: Flask) -> Iterator[Writer]:
    """A writer at work."""
    writer = Writer(app)
    writer.start()
    writer.wait_for_more()
    yield writer
    writer.ending.set()
    writer.join(30)
    assert not writer.is_alive()


def test_a_backup_taken_while_others_write_shows_one_moment(
    app: Flask, elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_rows, "PIECE", 2000)
    fill()
    started = {model: db.session.query(model).count() for model in (User, Contact, Event)}
    db.session.commit()
    with writing(app) as writer:
        before = writer.done
        file = back_up(tmp_path / "all.backup", writer.wait_for_more)
        assert writer.done - before > 10
    copies = []
    for kind in ("sqlite", "postgresql"):
        elsewhere(kind)
        bring_back(file)
        more = db.session.scalars(sa.select(Course.version)).one() - 1
        assert more >= before
        counts = {model: db.session.query(model).count() - count for model, count in started.items()}
        assert counts == {User: more, Contact: more, Event: more}
        rows, files = holdings()
        copies.append((without_pauses(rows), files))
    assert copies[0] == copies[1]  # row by row and file by file


def untouched(app: Flask) -> bool:
    """Whether nothing at all was written: no table, no file."""
    return sa.inspect(db.engine).get_table_names() == [] and list(storage.stored_keys()) == []


@pytest.mark.one_database
def test_a_file_that_is_cut_off_or_damaged_anywhere_is_refused_and_nothing_is_written(
    app: Flask, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    fill()
    whole = back_up(tmp_path / "all.backup").read_bytes()
    bad = tmp_path / "bad.backup"
    new = elsewhere()
    places = [0, 1, 2, 10, 100, *range(200, len(whole) - 1, len(whole) // 25), len(whole) - 9, len(whole) - 5, len(whole) - 1]
    flipped = [whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :] for place in places]
    changed = [content for content in flipped if not unpacks_to_the_same(content, whole)]
    assert len(changed) > 15
    for content in [*(whole[:place] for place in places), *changed]:
        bad.write_bytes(content)
        with pytest.raises(BadBackup):
            backups.verify(bad, quiet)
    for content in (whole[: len(whole) // 2], b"", whole[:-20], b"age-encryption.org/v1"):
        bad.write_bytes(content)
        with pytest.raises(BadBackup):
            bring_back(bad)
    assert untouched(new)


def unpacks_to_the_same(content: bytes, whole: bytes) -> bool:
    """Whether a changed bit makes no difference, such as which of many equal bytes is to be repeated."""
    try:
        return gzip.decompress(content) == gzip.decompress(whole)
    except (EOFError, OSError, zlib.error):
        return False


def rewritten(file: Path, change: Callable[[str, bytes], bytes | None], mend: bool = True) -> Path:
    """A backup of which parts were changed by somebody who knows how to mend the sums, but has no SECRET_KEY."""
    parts: dict[str, bytes] = {}
    with tarfile.open(file, "r:gz") as tar:
        for info in tar:
            content = tar.extractfile(info).read()
            if info.name == "manifest.json" and mend:
                manifest = json.loads(content)
                body = json.loads(manifest["body"])
                body["parts"] = {name: [len(part), hashlib.sha256(part).hexdigest()] for name, part in parts.items()}
                content = json.dumps({**manifest, "body": json.dumps(body)}).encode()
            changed = change(info.name, content)
            if changed is not None:
                parts[info.name] = changed
    made = file.with_name("rewritten.backup")
    with gzip.open(made, "wb") as zipped, tarfile.open(fileobj=zipped, mode="w|") as tar:
        for name, content in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made


def of_format(number: int) -> Callable[[str, bytes], bytes]:
    """A change of the format's number."""
    return lambda name, content: content.replace(b'"format": 1', b'"format": %d' % number) if name == "format.json" else content


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("change", "mend", "words"),
    [
        (lambda name, content: content.replace(b"ada@", b"eve@"), False, "damaged or was changed, at: tables/contacts"),
        (lambda name, content: content.replace(b"ada@", b"eve@"), True, "its seal does not fit"),
        (lambda name, content: None if name.startswith("files/") else content, False, "damaged or was changed, at: files/"),
        (lambda name, content: None if name == "manifest.json" else content, False, "its end is missing"),
        (lambda name, content: None if name == "format.json" else content, False, "does not begin like one"),
        (of_format(2), True, "of format 2, and this version reads format 1"),
    ],
)
def test_a_changed_file_is_refused_in_words_also_where_its_sums_were_mended(
    app: Flask, elsewhere: Elsewhere, tmp_path: Path, change: Callable[[str, bytes], bytes | None], mend: bool, words: str
) -> None:
    fill()
    file = rewritten(back_up(tmp_path / "all.backup"), change, mend)
    new = elsewhere()
    for command in ("verify", "restore"):
        answer = new.test_cli_runner().invoke(args=["backup", command, str(file)])
        assert answer.exit_code == 1
        assert words in answer.output
    assert untouched(new)


@pytest.mark.one_database
def test_a_file_of_another_version_or_another_secret_is_refused(
    app: Flask, elsewhere: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = back_up(tmp_path / "all.backup")
    head = tmp_path / "HEAD"
    monkeypatch.setattr(backups, "HEAD", head)
    elsewhere()
    for here, words in (("0000", "of a newer version"), ("9999", "of an older version")):
        head.write_text(f"{here}\n")
        with pytest.raises(BadBackup, match=words):
            bring_back(file)
    monkeypatch.undo()
    new = elsewhere(secret_key="another-another-another-another-another")
    with pytest.raises(BadBackup, match="SECRET_KEY is not the one"):
        bring_back(file)
    assert untouched(new)
    assert new.test_cli_runner().invoke(args=["backup", "verify", str(file)]).exit_code == 1


def test_with_the_secret_lost_a_backup_comes_back_when_told_to_and_suppressions_hold(
    app: Flask, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    gone, eve = make_user("gone@example.org"), make_contact("eve@example.org")
    make_suppression("eve@example.org")
    file = back_up(tmp_path / "all.backup")
    old_mac = eve.address_mac
    erase(gone, gone.contact, NOW)
    db.session.commit()
    records = app.config["SETTINGS"].data_dir / "files" / "erasures"
    new = elsewhere(secret_key="another-another-another-another-another")
    answer = new.test_cli_runner().invoke(args=["backup", "restore", str(file), "--other-secret", "--erasures", str(records)])
    assert answer.exit_code == 0
    assert tables_that_hold("gone@example.org") == []
    found = db.session.scalars(sa.select(Contact).where(Contact.address.is_not(None))).one()
    assert found.address_mac == address_mac("eve@example.org") != old_mac
    assert db.session.scalar(sa.select(is_suppressed(found.address_mac)))


def test_a_database_with_people_is_not_restored_into_and_stays_as_it_is(app: Flask, tmp_path: Path) -> None:
    make_guest()
    file = back_up(tmp_path / "all.backup")
    before = all_rows()
    with pytest.raises(BadBackup, match="not empty: it holds 1 users"):
        bring_back(file)
    db.session.rollback()
    assert all_rows() == before


def test_what_a_new_installation_holds_without_people_gives_way(app: Flask, tmp_path: Path) -> None:
    make_course(slug="of-the-backup")
    file = back_up(tmp_path / "all.backup")
    db.session.execute(sa.update(Course).values(slug="of-the-new-installation"))
    db.session.add(Heartbeat(name="beat", at=NOW))
    db.session.commit()
    bring_back(file)
    assert db.session.scalars(sa.select(Course.slug)).all() == ["of-the-backup"]
    assert db.session.query(Heartbeat).count() == 0


@pytest.mark.one_database
def test_tables_of_something_else_are_left_alone(app: Flask, elsewhere: Elsewhere, tmp_path: Path) -> None:
    file = back_up(tmp_path / "all.backup")
    elsewhere()
    with db.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE planted (n INTEGER)")
    with pytest.raises(BadBackup, match="not empty, and its tables"):
        bring_back(file)
    assert sa.inspect(db.engine).get_table_names() == ["planted"]


@pytest.mark.one_database
def test_a_row_that_the_database_refuses_undoes_everything_and_is_not_quoted(app: Flask, elsewhere: Elsewhere, tmp_path: Path) -> None:
    make_user("canary@example.org", name="can\0ary")  # SQLite takes it; PostgreSQL does not
    file = back_up(tmp_path / "all.backup")
    new = elsewhere("postgresql")
    answer = new.test_cli_runner().invoke(args=["backup", "restore", str(file)])
    assert answer.exit_code == 1
    assert "does not take rows of the table users" in answer.output
    assert "canary" not in answer.output
    assert db.session.query(Contact).count() == 0


@pytest.mark.parametrize("way", ["the storage", "a folder"])
def test_who_was_erased_after_the_backup_is_erased_again(app: Flask, elsewhere: Elsewhere, tmp_path: Path, way: str) -> None:
    user, guest, stays = make_user("canary.ada@example.org", name="Canarina"), make_guest(name="Canarina"), make_user("eve@example.org")
    make_enrolment(user)
    make_course_mail(contact=user.contact)
    file = back_up(tmp_path / "all.backup")
    erase(user, user.contact, NOW + timedelta(days=1))
    erase(guest, None, NOW + timedelta(days=1))
    db.session.commit()
    kept = stored_records()
    assert len(kept) == 2
    said = b"".join(kept.values()).lower()  # its random ids may hold any four letters
    assert not [word for word in (b"canary", b"canarina", b"example") if word in said]
    records = app.config["SETTINGS"].data_dir / "files" / "erasures"
    stays_as = stays.public_id
    elsewhere()
    if way == "the storage":
        for key, content in kept.items():
            storage.keep(key, content)
    assert bring_back(file, records if way == "a folder" else None) == 2
    assert tables_that_hold("canar") == []
    assert db.session.scalars(sa.select(User.public_id)).all() == [stays_as]
    assert stored_records() == kept


def test_who_came_back_after_an_erasure_is_not_erased_by_its_record(app: Flask, elsewhere: Elsewhere, tmp_path: Path) -> None:
    user = make_user("ada@example.org")
    erase(user, user.contact, NOW)
    make_user("ada@example.org", contact=make_contact("ada@example.org", created_at=NOW + timedelta(days=1)))
    file = back_up(tmp_path / "all.backup")
    elsewhere()
    assert bring_back(file) == 0
    assert tables_that_hold("ada@example.org") == ["contacts"]
    assert len(list(erasures.known())) == 1


@pytest.mark.one_database
@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"at": 1}', b'{"at": "2026-11-02T09:00:00", "user": null, "contact": null, "address": null}']
)
def test_a_damaged_record_of_an_erasure_stops_a_restore(app: Flask, elsewhere: Elsewhere, tmp_path: Path, content: bytes) -> None:
    file = back_up(tmp_path / "all.backup")
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "one.json").write_bytes(content)
    new = elsewhere()
    answer = new.test_cli_runner().invoke(args=["backup", "restore", str(file), "--erasures", str(tmp_path / "records")])
    assert answer.exit_code == 1
    assert "one.json is no record" in answer.output


def test_the_outbox_comes_up_paused_and_what_was_leaving_is_in_doubt(app: Flask, elsewhere: Elsewhere, tmp_path: Path) -> None:
    states = (State.PENDING, State.LEASED, State.SUBMITTING, State.ACCEPTED)
    ids = [make_course_mail(state=state, attempts=1).id for state in states]
    file = back_up(tmp_path / "all.backup")
    new = elsewhere()
    bring_back(file)
    assert {stream.key for stream in db.session.query(Stream) if stream.paused_why == backups.WHY_PAUSED} == set(STANDARD)
    loops.drain(lambda: NOW)
    loops.reap(NOW + timedelta(hours=1))
    loops.drain(lambda: NOW + timedelta(hours=1))
    loops.close_door()
    db.session.expire_all()
    found = [db.session.get_one(Message, number).state for number in ids]
    assert found == [State.PENDING, State.UNCERTAIN, State.UNCERTAIN, State.ACCEPTED]
    assert not list((new.config["SETTINGS"].data_dir / "mail").glob("*.eml"))


@pytest.mark.one_database
def test_the_commands_make_look_at_and_bring_back(app: Flask, elsewhere: Elsewhere, tmp_path: Path) -> None:
    fill()
    before, file = without_pauses(all_rows()), str(tmp_path / "all.backup")
    runner = app.test_cli_runner()
    assert runner.invoke(args=["backup", "create", file]).exit_code == 0
    again = runner.invoke(args=["backup", "create", file])
    assert again.exit_code == 1
    assert "is there already" in again.output
    assert runner.invoke(args=["backup", "create", file, "--replace"]).exit_code == 0
    piped = runner.invoke(args=["backup", "create", "-"])
    assert piped.exit_code == 0
    (tmp_path / "piped.backup").write_bytes(piped.stdout_bytes)
    assert "The backup is whole." in runner.invoke(args=["backup", "verify", str(tmp_path / "piped.backup")]).output
    new = elsewhere().test_cli_runner()
    restored = new.invoke(args=["backup", "restore", file])
    assert restored.exit_code == 0
    assert "SECRET_KEY" in restored.output
    assert "mail resume" in restored.output
    db.session.commit()
    assert without_pauses(all_rows()) == before
    assert sorted(path.name for path in tmp_path.glob("*.part")) == []


@pytest.mark.one_database
def test_a_file_that_rows_name_and_the_storage_lacks_is_reported(app: Flask, tmp_path: Path) -> None:
    asset = make_asset(make_course(), b"lost", kept=False)
    db.session.commit()
    answer = app.test_cli_runner().invoke(args=["backup", "create", str(tmp_path / "all.backup")])
    assert answer.exit_code == 1
    assert f"1 files are missing from the storage or damaged, such as {asset.storage_key}" in answer.output
    assert backups.verify(tmp_path / "all.backup", quiet).missing == [asset.storage_key]


@pytest.mark.one_database
def test_no_secret_of_the_environment_is_in_a_backup(app: Flask, tmp_path: Path) -> None:
    with gzip.open(back_up(tmp_path / "all.backup")) as unzipped:
        content = unzipped.read()
    assert app.config["SECRET_KEY"].encode() not in content
    assert b"SECRET_KEY" in content


@pytest.mark.one_database
def test_what_takes_long_says_how_far_it_is(app: Flask, tmp_path: Path) -> None:
    storage.keep("assets/long", bytes(5_000_000))
    writing, reading = [], []
    file = back_up(tmp_path / "all.backup", writing.append)
    backups.verify(file, reading.append)
    assert "4 MB of one part" in writing
    assert "4 MB of one part" in reading
