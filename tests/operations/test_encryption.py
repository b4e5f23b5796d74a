"""Backups encrypted when asked: opened by the right key alone, as they flow by, and by age itself."""

import io
import os
import resource
import threading
from pathlib import Path

import pyrage
import pytest
from flask import Flask

from courseapp import storage
from courseapp.operations import backups
from courseapp.operations.archive import BadBackup
from courseapp.operations.encryption import BEGINS, encrypted, readable
from tests.operations.test_backups import Elsewhere, elsewhere, fill, holdings, quiet, without_pauses
from tests.operations.test_hostile_backups import SmallerFiles

__all__ = ["elsewhere"]
pytestmark = pytest.mark.one_database


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A key's file, as age-keygen writes it; the name of its other half stands in a comment."""
    return new_key(tmp_path / "key.txt")


def new_key(path: Path) -> Path:
    """Another one."""
    identity = pyrage.x25519.Identity.generate()
    path.write_text(f"# created: 2026-11-02\n# public key: {identity.to_public()}\n{identity}\n")
    return path


def recipient_of(key: Path) -> str:
    """The other half of a key."""
    return key.read_text().splitlines()[1].removeprefix("# public key: ")


def back_up_for(app: Flask, key: Path, file: Path) -> Path:
    """An encrypted backup, made by the command."""
    answer = app.test_cli_runner().invoke(args=["backup", "create", str(file), "--to", recipient_of(key)])
    assert answer.exit_code == 0, answer.output
    return file


def test_an_encrypted_backup_comes_back_with_its_key_and_holds_no_word_in_plain(
    app: Flask, elsewhere: Elsewhere, tmp_path: Path, key: Path
) -> None:
    fill()
    before = holdings()
    file = back_up_for(app, key, tmp_path / "all.age")
    content = file.read_bytes()
    assert content.startswith(BEGINS)
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"\x1f\x8b" not in content[:2]
    assert "The backup is whole." in app.test_cli_runner().invoke(args=["backup", "verify", str(file), "--key", str(key)]).output
    new = elsewhere()
    answer = new.test_cli_runner().invoke(args=["backup", "restore", str(file), "--key", str(key)])
    assert answer.exit_code == 0, answer.output
    rows, files = holdings()
    assert (without_pauses(rows), files) == (without_pauses(before[0]), before[1])


def test_age_itself_reads_it_so_that_nobody_needs_this_program(app: Flask, tmp_path: Path, key: Path) -> None:
    """By pyrage's own decryption, which is that of rage; the tool age was tried by hand, see docs/operations.md."""
    file = back_up_for(app, key, tmp_path / "all.age")
    plain = pyrage.decrypt(file.read_bytes(), [pyrage.x25519.Identity.from_str(key.read_text().splitlines()[2])])
    (tmp_path / "plain.backup").write_bytes(plain)
    assert backups.verify(tmp_path / "plain.backup", quiet).rows >= 0


def test_several_can_each_open_it(app: Flask, tmp_path: Path, key: Path) -> None:
    second = new_key(tmp_path / "second.txt")
    with open(tmp_path / "both.age", "wb") as file, encrypted(file, [recipient_of(key), recipient_of(second)]) as plain:
        plain.write(b"content")
    for one in (key, second):
        with open(tmp_path / "both.age", "rb") as file, readable(file, one) as plain:
            assert plain.read() == b"content"


def test_without_its_key_or_with_another_it_is_refused_in_words(app: Flask, elsewhere: Elsewhere, tmp_path: Path, key: Path) -> None:
    file = back_up_for(app, key, tmp_path / "all.age")
    other, none, empty = new_key(tmp_path / "other.txt"), tmp_path / "none.txt", tmp_path / "empty.txt"
    empty.write_text("# nothing\nAGE-SECRET-KEY-1WRONG\n")
    new = elsewhere().test_cli_runner()
    for command in ("verify", "restore"):
        for options, words in (
            ([], "The backup is encrypted. Say where its key is"),
            (["--key", str(other)], "The key does not open the backup"),
            (["--key", str(none)], "cannot be read: No such file"),
            (["--key", str(empty)], "holds no key"),
        ):
            answer = new.invoke(args=["backup", command, str(file), *options])
            assert (answer.exit_code, words in answer.output) == (1, True), answer.output
            assert "WRONG" not in answer.output


def test_an_encrypted_backup_that_is_cut_off_or_damaged_anywhere_is_refused(app: Flask, tmp_path: Path, key: Path) -> None:
    fill()
    whole = back_up_for(app, key, tmp_path / "all.age").read_bytes()
    bad = tmp_path / "bad.age"
    places = [0, 10, 60, 150, 200, *range(300, len(whole), len(whole) // 15), len(whole) - 1]
    for place in places:
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
            bad.write_bytes(content)
            with pytest.raises(BadBackup):
                backups.verify(bad, quiet, key)
    assert threading.active_count() == 1 + sum(thread.daemon for thread in threading.enumerate()), "a helper was left"


def test_what_is_wrong_inside_is_told_and_no_thread_is_left(tmp_path: Path, app: Flask, key: Path) -> None:
    before = threading.active_count()
    with open(tmp_path / "no.age", "wb") as file, encrypted(file, [recipient_of(key)]) as plain:
        plain.write(os.urandom(5_000_000))
    with pytest.raises(BadBackup, match="This is no backup of courseapp"):
        backups.verify(tmp_path / "no.age", quiet, key)
    assert threading.active_count() == before


def test_who_is_nobody_to_encrypt_for_is_refused_before_anything_is_written(app: Flask, tmp_path: Path) -> None:
    for nobody in ("age1wrong", "ssh-ed25519 AAAA", "me@example.org", ""):
        answer = app.test_cli_runner().invoke(args=["backup", "create", str(tmp_path / "all.age"), "--to", nobody])
        assert answer.exit_code == 1
        assert "is nobody to encrypt for" in answer.output
    assert list(tmp_path.glob("all*")) == []


def test_a_full_disk_is_said_in_words_and_leaves_nothing(app: Flask, tmp_path: Path, key: Path) -> None:
    storage.keep("assets/long", os.urandom(3_000_000))
    with SmallerFiles(100_000):
        answer = app.test_cli_runner().invoke(args=["backup", "create", str(tmp_path / "all.age"), "--to", recipient_of(key)])
    assert answer.exit_code == 1
    assert "could not be made" in answer.output
    assert list(tmp_path.glob("all*")) == []


def test_what_fails_while_it_is_made_leaves_no_file_and_no_thread(app: Flask, tmp_path: Path, key: Path) -> None:
    before = threading.active_count()
    with (
        pytest.raises(ZeroDivisionError),
        backups.new_file(tmp_path / "all.age", replace=False) as file,
        encrypted(file, [recipient_of(key)]) as plain,
    ):
        plain.write(bytes(1_000_000 // (threading.active_count() - before - 1)))  # divides by zero, once the helper is there
    assert threading.active_count() == before
    assert list(tmp_path.glob("all*")) == []


def test_it_flows_by_and_is_never_held_whole(tmp_path: Path, key: Path) -> None:
    piece, before = os.urandom(1_000_000), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open(tmp_path / "long.age", "wb") as file, encrypted(file, [recipient_of(key)]) as plain:
        for _ in range(200):
            plain.write(piece)
    size = 0
    with open(tmp_path / "long.age", "rb") as file, readable(file, key) as back:
        while found := back.read(1_000_000):
            size += len(found)
    assert size == 200_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes


def test_what_is_not_encrypted_is_read_as_it_is(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with encrypted(raw, []) as plain:
        plain.write(b"\x1f\x8bplain")
    (tmp_path / "plain").write_bytes(raw.getvalue())
    with open(tmp_path / "plain", "rb") as file, readable(file, None) as back:
        assert back.read() == b"\x1f\x8bplain"
