"""Files sent piece by piece: the protocol's rules, whose a part is, how much anybody may begin, and what is left when."""

import hashlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock, storage
from courseapp.accounts.models import User
from courseapp.authoring import loops, parts, privacy
from courseapp.authoring.models import Upload, UploadPart, UploadState
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.operations.tidying import tidy
from courseapp.web import LARGEST_UPLOAD
from tests.authoring.folders import small_course
from tests.authoring.sending import PIECE, Sender, checksum, metadata
from tests.authoring.test_uploads import packed
from tests.client import Client
from tests.factories import make_user


@pytest.fixture
def sender(client: Client) -> Sender:
    """An instructor's browser."""
    return signed_in(client, make_user(roles=["instructor"]))


@pytest.fixture
def folder(app: Flask) -> Path:
    """Where parts lie."""
    found: Path = app.config["SETTINGS"].data_dir / "parts"
    return found


@pytest.fixture
def instructor_id(app: Flask) -> int:
    """Somebody who sends."""
    return make_user(roles=["instructor"]).id


def signed_in(client: Client, user: User) -> Sender:
    """Somebody's browser."""
    client.sign_in(user)
    return Sender(client)


def only_part() -> UploadPart:
    """The one part, as the database has it."""
    return db.session.scalars(sa.select(UploadPart).execution_options(populate_existing=True)).one()


# The protocol


def test_a_file_is_begun_sent_in_pieces_asked_about_and_thrown_away(sender: Sender) -> None:
    begun = sender.begin("lesson.md", 10)
    assert (begun.status_code, begun.headers["Tus-Resumable"]) == (201, "1.0.0")
    path = begun.location
    assert path is not None
    added = sender.add(path, 0, b"01234")
    assert (added.status_code, added.headers["Upload-Offset"], added.data) == (204, "5", b"")
    assert added.headers["Upload-Expires"] == begun.headers["Upload-Expires"]
    state = sender.ask("HEAD", path).headers
    assert (state["Upload-Offset"], state["Upload-Length"], state["Cache-Control"]) == ("5", "10", "no-store")
    assert state["Upload-Metadata"] == metadata("lesson.md")
    assert sender.add(path, 5, b"56789").headers["Upload-Offset"] == "10"
    assert sender.ask("DELETE", path).status_code == 204
    for method in ("HEAD", "PATCH", "DELETE"):
        gone = sender.ask(method, path, Upload_Offset=10, Content_Type=PIECE)
        assert (gone.status_code, "Upload-Offset" in gone.headers) == (404, False)


def test_what_is_understood_is_told_to_whoever_asks_in_any_version(sender: Sender) -> None:
    told = sender.ask("OPTIONS", "/staff/uploads/parts", Tus_Resumable=None)
    assert told.status_code == 204
    assert told.headers["Tus-Version"] == "1.0.0"
    assert told.headers["Tus-Extension"].split(",") == ["creation", "expiration", "checksum", "termination"]
    assert told.headers["Tus-Max-Size"] == str(LARGEST_UPLOAD)
    assert {"sha1", "sha256"} <= set(told.headers["Tus-Checksum-Algorithm"].split(","))


@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
@pytest.mark.parametrize("version", ["0.2.2", None])
def test_another_version_is_refused_before_anything_is_done(sender: Sender, method: str, version: str | None) -> None:
    path = sender.send("a.md", b"abc")
    where = "/staff/uploads/parts" if method == "POST" else path
    refused = sender.ask(method, where, Tus_Resumable=version, Upload_Length=3, Upload_Metadata=metadata("b.md"))
    assert (refused.status_code, refused.headers["Tus-Version"]) == (412, "1.0.0")
    assert sender.offset(path) == 3
    assert db.session.query(UploadPart).count() == 1


def test_a_piece_at_another_place_changes_nothing(sender: Sender) -> None:
    path = sender.begin("a.md", 6).location
    assert path is not None
    sender.add(path, 0, b"abc")
    for offset in (0, 2, 4, 6):
        assert sender.add(path, offset, b"xyz").status_code == 409
    assert sender.offset(path) == 3


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "text/plain"}, 415),
        ({"Upload_Offset": None}, 400),
        ({"Upload_Offset": "-1"}, 400),
        ({"Upload_Offset": "²"}, 400),
        ({"Upload_Checksum": "md5 rL0Y20zC+Fzt72VPzMSk2A=="}, 400),
        ({"Upload_Checksum": "sha256"}, 400),
        ({"Upload_Checksum": "sha256 !"}, 400),
        ({"Upload_Checksum": "sha256 YWJj"}, 400),
    ],
)
def test_a_piece_that_is_not_sent_as_agreed_is_refused_in_words(sender: Sender, headers: dict[str, str], status: int) -> None:
    path = sender.begin("a.md", 3).location
    assert path is not None
    refused = sender.add(path, 0, b"abc", **headers)
    assert refused.status_code == status
    assert refused.mimetype == "text/plain"
    assert refused.text.strip()
    assert sender.offset(path) == 0


@pytest.mark.parametrize("algorithm", parts.ALGORITHMS)
def test_a_piece_with_a_wrong_checksum_leaves_nothing_behind(sender: Sender, folder: Path, algorithm: str) -> None:
    path = sender.begin("a.md", 6).location
    assert path is not None
    assert sender.add(path, 0, b"abc", Upload_Checksum=checksum(b"abc", algorithm)).status_code == 204
    refused = sender.add(path, 3, b"xyz", Upload_Checksum=checksum(b"xyZ", algorithm))
    assert refused.status == "460 Checksum Mismatch"
    assert sender.offset(path) == 3
    assert [file.read_bytes() for file in folder.iterdir()] == [b"abc"]
    assert sender.add(path, 3, b"def", Upload_Checksum=checksum(b"def", algorithm)).headers["Upload-Offset"] == "6"


def test_more_than_was_announced_is_refused(sender: Sender) -> None:
    path = sender.begin("a.md", 3).location
    assert path is not None
    assert sender.add(path, 0, b"abcd").status_code == 413
    assert sender.offset(path) == 0


@pytest.mark.parametrize("size", [LARGEST_UPLOAD + 1, 10**14])
def test_a_file_that_is_too_large_is_refused_before_it_is_sent(sender: Sender, size: int) -> None:
    refused = sender.begin("film.mp4", size)
    assert refused.status_code == 413
    assert "“film.mp4” is too large: at most 1 GB can be sent." in refused.text


@pytest.mark.parametrize(
    "told", ["", "filename", "filename ~", metadata(" "), metadata("a\nb"), metadata("a" * 201), "filename //8=", "x " + "a" * 2001]
)
def test_a_file_without_a_name_that_can_be_shown_is_refused(sender: Sender, told: str) -> None:
    refused = sender.begin("", 3, Upload_Metadata=told)
    assert refused.status_code == 400
    assert "Please give it another one" in refused.text


@pytest.mark.parametrize("headers", [{"Upload_Length": None}, {"Upload_Length": "x"}, {"Upload_Length": None, "Upload_Defer_Length": "1"}])
def test_a_file_without_a_length_is_refused(sender: Sender, headers: dict[str, str]) -> None:
    assert sender.begin("a.md", 3, **headers).status_code == 400


def test_whoever_can_only_post_says_by_a_header_what_is_meant(sender: Sender) -> None:
    path = sender.begin("a.md", 3).location
    assert path is not None
    added = sender.ask("POST", path, b"abc", X_HTTP_Method_Override="PATCH", Upload_Offset=0, Content_Type=PIECE)
    assert (added.status_code, added.headers["Upload-Offset"]) == (204, "3")
    assert sender.ask("POST", path, X_HTTP_Method_Override="HEAD").headers["Upload-Offset"] == "3"
    assert sender.ask("POST", path, X_HTTP_Method_Override="GET").status_code == 405
    assert sender.ask("POST", path, X_HTTP_Method_Override="DELETE").status_code == 204
    assert sender.ask("HEAD", path).status_code == 404


def test_an_empty_file_is_whole_at_once(sender: Sender) -> None:
    assert sender.finish(sender.send("empty.md", b"")).status_code == 303
    assert db.session.scalars(sa.select(Upload)).one().size == 0


# Lines that break, and several at once


def blocks(*pieces: bytes) -> Iterator[bytes]:
    """What arrives."""
    yield from pieces


def test_what_came_before_a_line_broke_counts_and_with_a_checksum_nothing_does(app: Flask, instructor_id: int, folder: Path) -> None:
    part = parts.begin(instructor_id, 10, metadata("a.md"), clock.now())
    assert parts.append(part, blocks(b"012", b"34"), 0, 10) == 5
    whole = parts.Checksum("sha256", hashlib.sha256(b"56789").digest())
    with pytest.raises(Refusal) as refused:
        parts.append(part, blocks(b"567"), 5, 5, whole)
    assert refused.value.status == 460
    assert parts.append(part, blocks(b"567", b"89"), 5, 5, whole) == 10
    assert [file.read_bytes() for file in folder.iterdir()] == [b"0123456789"]


def test_more_than_there_is_room_for_takes_back_what_came_with_it(app: Flask, instructor_id: int) -> None:
    part = parts.begin(instructor_id, 6, metadata("a.md"), clock.now())
    parts.append(part, blocks(b"abc"), 0, None)
    with pytest.raises(Refusal) as refused:
        parts.append(part, blocks(b"de", b"fg"), 3, None)
    assert (refused.value.status, parts.received(part)) == (413, 3)


def test_of_two_lines_that_send_at_once_one_is_refused_and_nothing_is_mixed(app: Flask, instructor_id: int) -> None:
    part = parts.begin(instructor_id, 6, metadata("a.md"), clock.now())
    db.session.commit()
    is_in, go_on = threading.Event(), threading.Event()
    added = []

    def slowly() -> Iterator[bytes]:
        yield b"abc"
        is_in.set()
        go_on.wait(10)
        yield b"def"

    def send() -> None:
        with app.app_context():
            added.append(parts.append(part, slowly(), 0, 6))

    line = threading.Thread(target=send)
    line.start()
    assert is_in.wait(10)
    with pytest.raises(Refusal) as refused:
        parts.append(part, blocks(b"uvwxyz"), 0, 6)
    go_on.set()
    line.join(10)
    assert (refused.value.status, added) == (423, [6])
    assert parts._path(part.public_id).read_bytes() == b"abcdef"


def test_a_part_thrown_away_while_it_is_sent_is_gone(app: Flask, instructor_id: int, folder: Path) -> None:
    part = parts.begin(instructor_id, 6, metadata("a.md"), clock.now())

    def arriving() -> Iterator[bytes]:
        yield b"abc"
        parts.remove(part)
        yield b"def"

    parts.append(part, arriving(), 0, 6)
    assert list(folder.iterdir()) == []
    with pytest.raises(Refusal) as refused:
        parts.append(part, blocks(b""), 6, 0)
    assert refused.value.status == 410


# Whose it is, and how much


def test_a_part_belongs_to_whoever_began_it(app: Flask, sender: Sender) -> None:
    path = sender.send("a.md", b"abc")
    colleague = app.test_client()
    assert isinstance(colleague, Client)
    other = signed_in(colleague, make_user(roles=["instructor", "owner"]))
    for answer in (other.ask("HEAD", path), other.add(path, 3, b""), other.ask("DELETE", path)):
        assert (answer.status_code, "Upload-Offset" in answer.headers) == (404, False)
    assert "a.md" not in colleague.visit("authoring.list_uploads").text
    refused = other.finish(path)
    assert "Not all of it is here" in colleague.get(refused.location).text
    assert sender.offset(path) == 3


def test_nobody_begins_more_than_two_uploads_full(sender: Sender) -> None:
    for _ in range(2):
        assert sender.begin("film.mp4", LARGEST_UPLOAD).status_code == 201
    refused = sender.begin("more.md", 1)
    assert refused.status_code == 413
    assert "throw some of it away" in refused.text
    sender.client.submit("authoring.list_uploads", to=f"/staff/uploads/parts/{db.session.query(UploadPart.public_id).first()[0]}")
    assert sender.begin("more.md", 1).status_code == 201


def test_nobody_begins_more_files_than_an_upload_may_have(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MOST_OPEN", 2)
    assert [sender.begin("a.md", 1).status_code for _ in range(3)] == [201, 201, 413]


def test_what_the_disk_cannot_hold_is_refused_before_it_is_sent(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: SimpleNamespace(free=parts.SPARE + 100))
    path = sender.begin("a.md", 60).location
    refused = sender.begin("b.md", 60)
    assert refused.status == "507 Insufficient Storage"
    assert "not enough space" in refused.text
    assert path is not None
    sender.add(path, 0, b"a" * 60)  # what is here does not count a second time
    assert sender.begin("b.md", 60).status_code == 201


def test_a_disk_that_fills_up_is_told_and_what_came_stays(app: Flask, instructor_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    part = parts.begin(instructor_id, 6, metadata("a.md"), clock.now())
    monkeypatch.setattr(parts.os, "fsync", full_disk)
    with pytest.raises(Refusal) as refused:
        parts.append(part, blocks(b"abc"), 0, 6)
    assert refused.value.status == 507
    monkeypatch.undo()
    assert parts.received(part) == 3


def full_disk(_descriptor: int) -> None:
    """What a disk without space says."""
    raise OSError(28, "No space left on device")


# What becomes of it


def test_parts_become_an_upload_once_however_often_the_form_is_sent(sender: Sender, folder: Path, tmp_path: Path) -> None:
    content = packed(small_course(tmp_path))
    path = sender.begin("course.zip", len(content)).location
    assert path is not None
    sender.add(path, 0, content[:1000])
    refused = sender.finish(path)
    assert "Not all of it is here" in sender.client.get(refused.location).text
    sender.add(path, 1000, content[1000:])
    first, second = sender.finish(path), sender.finish(path)
    upload = db.session.scalars(sa.select(Upload)).one()
    assert first.location == second.location == f"/staff/uploads/{upload.public_id}"
    assert (upload.files, upload.size) == (["course.zip"], len(content))
    with storage.open_stored(upload.storage_key(0)) as file:
        assert file.read() == content
    assert list(folder.iterdir()) == []
    assert sender.ask("HEAD", path).status_code == 410
    db.session.commit()
    loops.work_uploads(clock.now)
    db.session.commit()
    assert db.session.scalars(sa.select(Upload.state)).one() is UploadState.READY


def test_several_parts_are_files_of_one_upload_in_the_forms_order(sender: Sender) -> None:
    paths = [sender.send(name, name.encode()) for name in ("one.md", "two.md", "three.md")]
    sender.finish(paths[2], paths[0], paths[1], paths[0], needs_check="none")
    upload = db.session.scalars(sa.select(Upload)).one()
    assert upload.files == ["three.md", "one.md", "two.md"]
    for index, name in enumerate(upload.files):
        with storage.open_stored(upload.storage_key(index)) as file:
            assert file.read() == name.encode()


def test_a_part_that_is_in_one_upload_is_not_taken_into_another(sender: Sender) -> None:
    one, two = sender.send("one.md", b"1"), sender.send("two.md", b"2")
    sender.finish(one)
    assert "Not all of it is here" in sender.client.get(sender.finish(one, two).location).text
    assert db.session.query(Upload).count() == 1


def test_parts_that_are_too_large_together_are_no_upload(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LARGEST_UPLOAD", 5)
    paths = [sender.send("one.md", b"123"), sender.send("two.md", b"123")]
    assert "too large together" in sender.client.get(sender.finish(*paths).location).text
    assert db.session.query(Upload).count() == 0


@pytest.mark.parametrize("odd", ["../../secret_key", "/etc/passwd", "x" * 5000, ""])
def test_ids_that_are_none_lead_nowhere(sender: Sender, odd: str) -> None:
    answer = sender.client.post("/staff/uploads", data={"csrf_token": sender.token, "parts": odd})
    assert answer.status_code == 303
    assert db.session.query(Upload).count() == 0


def test_what_was_begun_stands_on_the_page_and_can_be_thrown_away_without_scripts(sender: Sender, folder: Path) -> None:
    path = sender.begin("film.mp4", 8_000_000).location
    assert path is not None
    sender.add(path, 0, b"a" * 2_000_000)
    shown = sender.client.visit("authoring.list_uploads").text
    assert "film.mp4" in shown
    assert "2.0 MB of 8.0 MB" in shown
    sender.client.submit("authoring.list_uploads", to=path)
    shown = sender.client.visit("authoring.list_uploads").text
    assert "What was sent of “film.mp4” is thrown away." in shown
    assert "2.0 MB of 8.0 MB" not in shown
    assert list(folder.iterdir()) == []


def test_a_part_expires_and_is_swept(sender: Sender, folder: Path, pass_time) -> None:
    path = sender.begin("a.md", 6).location
    assert path is not None
    sender.add(path, 0, b"abc")
    user = db.session.get_one(User, only_part().user_id)
    assert tidy(pass_time(days=6))["parts"] == 0
    sender = signed_in(sender.client, user)  # staff's sessions are shorter
    assert sender.offset(path) == 3
    now = pass_time(days=1, seconds=1)
    assert sender.ask("HEAD", path).status_code == 410
    assert sender.add(path, 3, b"def").status_code == 410
    assert tidy(now)["parts"] == 1
    db.session.commit()
    assert sender.ask("HEAD", path).status_code == 404


def test_files_without_a_row_are_swept_once_they_are_old(
    app: Flask, instructor_id: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = parts.begin(instructor_id, 6, metadata("a.md"), clock.now())
    for name in ("left", "left.piece"):
        (folder / name).write_bytes(b"left by somebody who was killed")
    parts.sweep(clock.now())
    assert len(list(folder.iterdir())) == 3
    monkeypatch.setattr(parts, "ORPHANED", -1.0)
    parts.sweep(clock.now())
    assert [file.name for file in folder.iterdir()] == [part.public_id]


def test_who_is_erased_leaves_no_part(app: Flask, instructor_id: int, folder: Path) -> None:
    parts.begin(instructor_id, 6, metadata("mine.md"), clock.now())
    parts.begin(make_user().id, 6, metadata("another's.md"), clock.now())
    assert privacy.export(instructor_id)["parts"][0]["file"] == "mine.md"
    privacy.erase(instructor_id)
    assert only_part().name == "another's.md"
    assert len(list(folder.iterdir())) == 1
