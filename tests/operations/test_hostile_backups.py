"""Backups under attack: forged by whoever has no key, bombs, full disks, two at once, records that nobody can read."""

import gzip
import hashlib
import io
import json
import os
import resource
import tarfile
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import storage
from courseapp.contacts.address import address_mac
from courseapp.extensions import db
from courseapp.mailing.models import Message, Stream
from courseapp.operations import backups, table_rows
from courseapp.operations.archive import BadBackup
from courseapp.operations.diagnosis import HEAD
from courseapp.operations.models import Question, QuestionKind
from courseapp.operations.people import erase
from tests.conftest import NOW
from tests.factories import make_asset, make_contact, make_course, make_message
from tests.operations.test_backups import Elsewhere, back_up, bring_back, elsewhere, fill, quiet, untouched
from tests.rows import tables_that_hold

__all__ = ["elsewhere"]
pytestmark = pytest.mark.one_database

STREAM = {
    "id": 1,
    "key": "a",
    "purpose": "service",
    "reaches_unconfirmed": True,
    **dict.fromkeys(("paused_at", "paused_why", "watched_from", "letting_go_at")),
}


def forged(folder: Path, parts: dict[str, bytes], /, **changed: Any) -> Path:
    """A backup under a SECRET_KEY that nobody knows, by somebody who knows the format."""
    first = {"kind": "courseapp backup", "format": 1, "made_at": "x", "migration": HEAD.read_text().strip(), "key": "0" * 64}
    parts = {"format.json": json.dumps(first).encode(), **parts}
    tables: dict[str, int] = {}
    for name, content in parts.items():
        if name.startswith("tables/"):
            tables[name.split("/")[1]] = content.count(b"\n")
    sums = {name: [len(content), hashlib.sha256(content).hexdigest()] for name, content in parts.items()}
    body = changed.pop("body", None) or json.dumps({"tables": tables, "parts": sums, "missing": [], "settings": [], **changed})
    parts["manifest.json"] = json.dumps({"seal": "none", "body": body}).encode()
    made = folder / "forged.backup"
    with gzip.open(made, "wb") as zipped, tarfile.open(fileobj=zipped, mode="w|") as tar:
        for name, content in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made


def refusal_of(file: Path) -> str:
    """Why a forged file is not taken, though told that the key is lost."""
    with pytest.raises(BadBackup) as caught:
        backups.restore(file, None, NOW, quiet, any_key=True)
    db.session.rollback()
    return str(caught.value)


@pytest.mark.parametrize("field", ["tables", "parts", "missing", "settings"])
def test_a_manifest_of_other_kinds_is_refused_in_words(app: Flask, elsewhere: Elsewhere, tmp_path: Path, field: str) -> None:
    new = elsewhere()
    for value in (5, None, "x", {"a": []} if field == "tables" else 1.5):
        assert "manifest cannot be read" in refusal_of(forged(tmp_path, {}, **{field: value}))
    assert "manifest cannot be read" in refusal_of(forged(tmp_path, {}, body="[" * 100_000))
    assert untouched(new)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("files/../../evil", "a name that is none"),
        ("files//etc/evil", "a name that is none"),
        ("files/a/../../evil", "a name that is none"),
        ("files/" + "y/" * 2000 + "z", "a name that is none"),
        ("files/" + "x" * 300, "could not be stored"),
        ("files/", "could not be stored"),
        ("tables/sqlite_master/1", "a table that this version does not know"),
        ("/etc/evil", "something unknown"),
        ("../evil", "something unknown"),
    ],
)
def test_a_part_with_a_hostile_name_is_written_nowhere(app: Flask, elsewhere: Elsewhere, tmp_path: Path, name: str, words: str) -> None:
    elsewhere()
    assert words in refusal_of(forged(tmp_path, {name: b"evil\n"}))
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"evil\n"] == []


@pytest.mark.parametrize(
    "row",
    [
        b"[]",
        b'{"a":' * 50_000,
        b"\xff\xfe",
        json.dumps({**STREAM, "id": 10**30}).encode(),
        json.dumps({**STREAM, "key": {"a": 1}}).encode(),
        json.dumps({**STREAM, "purpose": ["service"]}).encode(),
        json.dumps({**STREAM, "paused_at": "2026-01-01T00:00:00"}).encode(),
        json.dumps({**STREAM, "key": "\ud800"}).encode(),
    ],
)
def test_a_row_that_fits_no_table_is_refused_and_not_quoted(app: Flask, elsewhere: Elsewhere, tmp_path: Path, row: bytes) -> None:
    elsewhere()
    words = refusal_of(forged(tmp_path, {"tables/streams/1": row + b"\n"}))
    assert "of the table streams" in words
    assert "The database is as it was." in words
    assert db.session.query(Stream).count() == 0


def test_what_a_damaged_name_would_do_to_a_terminal_is_shown_and_not_done(app: Flask, tmp_path: Path) -> None:
    file = forged(tmp_path, {"files/\x1b[31m\udcc6": b""}, parts={})
    with pytest.raises(BadBackup, match=r"files/\\x1b\[31m\\udcc6"):
        backups.verify(file, quiet)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, b"S"])
def test_a_header_that_is_a_bomb_is_not_read_into_memory(app: Flask, tmp_path: Path, kind: bytes) -> None:
    bomb = tmp_path / "bomb.backup"
    info = tarfile.TarInfo("long")
    info.type, info.size = kind, 400_000_000
    with gzip.open(bomb, "wb", 1) as zipped:
        zipped.write(info.tobuf(tarfile.USTAR_FORMAT))
        for _ in range(400):
            zipped.write(bytes(1_000_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadBackup):
        backups.verify(bomb, quiet)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_half_a_letter_in_a_column_of_json_comes_back(app: Flask, elsewhere: Elsewhere, tmp_path: Path) -> None:
    make_message(fields={"words": "\ud83d"})
    db.session.commit()
    file = back_up(tmp_path / "all.backup")
    elsewhere()
    bring_back(file)
    assert db.session.scalars(sa.select(Message)).one().fields == {"words": "\ud83d"}


def test_two_backups_into_one_file_do_not_mix(app: Flask, tmp_path: Path) -> None:
    target = tmp_path / "all.backup"
    with backups.new_file(target, replace=True) as first:
        first.write(b"first, ")
        first.flush()
        with pytest.raises(BadBackup, match="Another backup is being written"), backups.new_file(target, replace=True) as second:
            second.write(b"second")
        first.write(b"and whole")
    assert target.read_bytes() == b"first, and whole"
    assert list(tmp_path.glob("*.part")) == []


def test_what_a_killed_backup_left_is_written_over(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "all.backup.part").write_bytes(b"left by a killed process" * 1000)
    with backups.new_file(tmp_path / "all.backup", replace=False) as file:
        file.write(b"whole")
    assert (tmp_path / "all.backup").read_bytes() == b"whole"
    assert (tmp_path / "all.backup").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.glob("*.part")) == []


def test_a_link_laid_where_the_backup_is_to_be_is_not_followed(app: Flask, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "all.backup.part").symlink_to(victim)
    with pytest.raises(BadBackup), backups.new_file(tmp_path / "all.backup", replace=False) as file:
        file.write(b"secrets")
    assert victim.read_bytes() == b"precious"


def test_a_full_disk_is_said_in_words_and_leaves_nothing(app: Flask, elsewhere: Elsewhere, tmp_path: Path) -> None:
    fill()
    storage.keep("assets/long", os.urandom(3_000_000))
    whole = back_up(tmp_path / "all.backup")
    with SmallerFiles(1_000_000):
        made = app.test_cli_runner().invoke(args=["backup", "create", str(tmp_path / "second.backup")])
    assert (made.exit_code, "could not be made: File too large" in made.output) == (1, True)
    assert not list(tmp_path.glob("second*"))
    new = elsewhere("sqlite").test_cli_runner()
    assert new.invoke(args=["db", "upgrade"]).exit_code == 0
    with SmallerFiles(1_000_000):
        restored = new.invoke(args=["backup", "restore", str(whole)])
    assert (restored.exit_code, "could not be stored: File too large" in restored.output) == (1, True)
    assert db.session.query(Stream).count() == 0
    assert "assets/long" not in set(storage.stored_keys())
    db.session.commit()
    assert new.invoke(args=["backup", "restore", str(whole)]).exit_code == 0
    assert "assets/long" in set(storage.stored_keys())


class SmallerFiles:
    """No file of this process grows beyond so many bytes, as on a disk that is full."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __enter__(self) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.most, self.before[1]))

    def __exit__(self, *_error: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def test_a_database_that_is_away_is_said_in_words(make_app: Any, tmp_path: Path) -> None:
    away = make_app(database_url="postgresql://nobody@127.0.0.1:1/none")
    for words in (["create", "-"], ["restore", str(tmp_path / "none")]):
        answer = away.test_cli_runner().invoke(args=["backup", *words])
        assert answer.exit_code == 1
        assert answer.stderr.startswith("Error: ")
        assert isinstance(answer.exception, SystemExit)


def test_a_file_that_goes_while_a_backup_is_taken_is_missing_once_where_a_row_names_it_and_else_not_at_all(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = make_asset(make_course(), b"named")
    storage.keep("assets/unnamed", b"unnamed")
    db.session.commit()
    listed = list(storage.stored_keys())
    storage.remove(asset.storage_key)
    storage.remove("assets/unnamed")
    monkeypatch.setattr(storage, "stored_keys", lambda folder="": iter([] if folder else listed))
    assert backups.verify(back_up(tmp_path / "all.backup"), quiet).missing == [asset.storage_key]


def test_a_record_of_an_erasure_that_cannot_be_read_is_told_when_the_backup_is_made_not_when_it_is_needed(
    app: Flask, tmp_path: Path
) -> None:
    storage.keep("erasures/one.json", b"")
    answer = app.test_cli_runner().invoke(args=["backup", "create", str(tmp_path / "all.backup")])
    assert answer.exit_code == 1
    assert "1 files are missing from the storage or damaged, such as erasures/one.json" in answer.output


def test_what_a_stranger_asked_and_had_erased_is_erased_again_but_not_what_they_asked_since(
    app: Flask, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    mac = address_mac("canary@example.org")
    asked = {"kind": QuestionKind.DATA, "address": "canary@example.org", "address_mac": mac}
    db.session.add(Question(text="Before", asked_at=NOW, **asked))
    file = back_up(tmp_path / "all.backup")
    erase(None, None, NOW, mac)
    db.session.commit()
    records = app.config["SETTINGS"].data_dir / "files" / "erasures"
    elsewhere()
    assert bring_back(file, records) == 1
    assert tables_that_hold("canary") == tables_that_hold("Before") == []


def test_with_the_secret_lost_a_strangers_question_is_found_by_its_address_still(app: Flask, elsewhere: Elsewhere, tmp_path: Path) -> None:
    mac = address_mac("canary@example.org")
    db.session.add(Question(kind=QuestionKind.DATA, text="Words", address="canary@example.org", address_mac=mac, asked_at=NOW))
    file = back_up(tmp_path / "all.backup")
    new = elsewhere(secret_key="another-another-another-another-another")
    assert new.test_cli_runner().invoke(args=["backup", "restore", str(file), "--other-secret"]).exit_code == 0
    db.session.commit()
    assert new.test_cli_runner().invoke(args=["privacy", "erase", "canary@example.org", "--yes"]).exit_code == 0
    assert tables_that_hold("canary") == []


def test_a_row_of_many_megabytes_goes_through(app: Flask, elsewhere: Elsewhere, tmp_path: Path) -> None:
    make_message(make_contact(), fields={"words": "ü" * (2 * table_rows.PIECE)})
    file = back_up(tmp_path / "all.backup")
    elsewhere()
    bring_back(file)
    assert len(db.session.scalars(sa.select(Message)).one().fields["words"]) == 2 * table_rows.PIECE
