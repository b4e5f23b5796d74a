"""A disk that is full: said in words wherever it is met, with nothing half done, and all is well once there is room."""

import errno
import io
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from sqlalchemy.exc import OperationalError

from courseapp import clock, storage
from courseapp.accounts.models import User
from courseapp.authoring import loops, uploads
from courseapp.authoring.models import Upload, UploadState
from courseapp.catalog.models import Course
from courseapp.errors import is_out_of_room
from courseapp.extensions import db
from courseapp.operations.tidying import tidy
from tests.authoring.folders import small_course
from tests.authoring.test_uploads import decide, instructor, only_upload, packed, send, shown, work
from tests.client import Client

__all__ = ["instructor"]

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
BROKEN = OSError(errno.EIO, os.strerror(errno.EIO))


def raising(error: Exception) -> Any:
    """A function that does nothing but that."""

    def fail(*_words: object, **_more: object) -> None:
        raise error

    return fail


def test_a_disk_that_fills_up_while_files_arrive_is_said_and_nothing_of_them_is_kept(
    app: Flask, instructor: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    keep = storage.keep_stream

    def fills_up(key: str, content: Any) -> int:
        if key.endswith("/1"):
            raise FULL
        return keep(key, content)

    monkeypatch.setattr(storage, "keep_stream", fills_up)
    answer = send(instructor, ("a.md", b"one"), ("b.md", b"two"))
    app.config["PROPAGATE_EXCEPTIONS"] = True
    assert answer.status_code == 507
    assert "no room left" in answer.text
    assert "Nothing was changed" in answer.text
    assert db.session.scalars(sa.select(Upload)).all() == []
    assert list(storage.stored_keys("uploads")) == []
    monkeypatch.undo()
    assert send(instructor, ("course.zip", packed(small_course(tmp_path)))).status_code == 303


@pytest.mark.parametrize(("error", "words"), [(FULL, "There is no room left on the server"), (BROKEN, "could not read or write the files")])
def test_a_look_through_that_cannot_go_on_says_why_and_the_same_files_can_be_sent_again(
    instructor: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, words: str
) -> None:
    archive = packed(small_course(tmp_path))
    send(instructor, ("a.zip", archive))
    monkeypatch.setattr(loops, "unpack", raising(error))
    work()
    assert only_upload().state is UploadState.FAILED
    assert words in shown(instructor)
    monkeypatch.undo()
    db.session.execute(sa.delete(Upload))
    send(instructor, ("a.zip", archive))
    work()
    assert only_upload().state is UploadState.READY


def test_an_import_that_finds_no_room_changes_nothing_and_can_be_tried_again(
    instructor: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(instructor, ("a.zip", packed(small_course(tmp_path))))
    work()
    decide(instructor, "publish", without_review="1")
    full = OperationalError("INSERT", {}, _sqlite_full())
    monkeypatch.setattr(loops, "_note_import", raising(full))
    work()
    assert only_upload().state is UploadState.READY
    assert "There is no room left on the server" in shown(instructor)
    assert db.session.scalars(sa.select(Course)).all() == []
    monkeypatch.undo()
    decide(instructor, "publish", without_review="1")
    work()
    assert only_upload().state is UploadState.COMMITTED


def _sqlite_full() -> sqlite3.OperationalError:
    line = sqlite3.connect(":memory:")
    line.execute("CREATE TABLE a (b)")
    line.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as full:
        line.execute("INSERT INTO a VALUES (zeroblob(100000))")
    line.close()
    return full.value


@pytest.mark.one_database
def test_a_database_that_is_full_is_no_database_that_is_away(app: Flask, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = False
    locked = OperationalError("SELECT", {}, sqlite3.OperationalError("locked"))
    statuses = []
    for error in (OperationalError("INSERT", {}, _sqlite_full()), locked, FULL, BROKEN):
        monkeypatch.setitem(app.view_functions, "catalog.landing", raising(error))
        statuses.append((client.get("/").status_code, is_out_of_room(error)))
    app.config["PROPAGATE_EXCEPTIONS"] = True
    assert statuses == [(507, True), (503, False), (507, True), (500, False)]


def test_files_of_an_upload_that_was_never_written_down_go_after_a_day(app: Flask, instructor: Client, tmp_path: Path) -> None:
    send(instructor, ("a.zip", packed(small_course(tmp_path))))
    known = only_upload().storage_key(0)
    for folder in ("uploads/" + "o" * 16, "uploads/" + "n" * 16):
        storage.keep(f"{folder}/0", b"somebody was killed")
    old = app.config["SETTINGS"].data_dir / "files" / "uploads" / ("o" * 16) / "0"
    for file in (old, old.parent.parent.parent / known):
        os.utime(file, (time.time() - 90_000,) * 2)
    assert tidy(clock.now())["orphans"] == 1
    assert sorted(storage.stored_keys("uploads")) == sorted([known, f"uploads/{'n' * 16}/0"])


def test_nothing_of_who_breaks_off_is_kept(app: Flask) -> None:
    class Breaks:
        def read(self, _size: int = -1) -> bytes:
            raise ConnectionResetError

    user = User(public_id="u" * 16, created_at=clock.now())
    db.session.add(user)
    db.session.flush()
    with pytest.raises(ConnectionResetError):
        uploads.receive(user, [("a.md", io.BytesIO(b"words")), ("b.md", Breaks())], clock.now())  # type: ignore[list-item]  # it can read, and no more is asked
    assert list(storage.stored_keys("uploads")) == []
