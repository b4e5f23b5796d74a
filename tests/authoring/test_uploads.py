"""Uploads by page: sent, looked through by the worker, decided about, undone; who may, and what a worker's death leaves."""

import gc
import hashlib
import io
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from werkzeug.test import TestResponse

from courseapp import clock, storage, web
from courseapp.authoring import loops, uploads
from courseapp.authoring.models import Import, Upload, UploadState
from courseapp.authoring.preparing import workplace
from courseapp.catalog.models import Asset, Course, Lesson
from courseapp.extensions import db
from courseapp.operations.tidying import tidy
from tests.authoring.folders import lesson, page, small_course, write
from tests.client import Client
from tests.factories import NOW, make_course, make_enrolment, make_user


@pytest.fixture
def instructor(client: Client) -> Client:
    """A browser in which an instructor is signed in."""
    client.sign_in(make_user(roles=("instructor",)))
    return client


def packed(folder: Path) -> bytes:
    """A folder as a ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return buffer.getvalue()


def send(client: Client, *files: tuple[str, bytes], **answers: str) -> TestResponse:
    """Send the form of the upload page with these files."""
    data = {
        **answers,
        "csrf_token": client.csrf_token("authoring.list_uploads"),
        "files": [(io.BytesIO(content), name) for name, content in files],
    }
    return client.post(client.path("authoring.receive"), data=data, content_type="multipart/form-data")


def work() -> int:
    """What the worker does when it is woken."""
    db.session.commit()
    count = loops.work_uploads(clock.now)
    db.session.rollback()
    return count


def only_upload() -> Upload:
    """The one upload, as the database has it."""
    return db.session.scalars(sa.select(Upload).execution_options(populate_existing=True)).one()


def public_page(app: Flask) -> int:
    """How the course's public page answers a stranger, once what is remembered of it for some seconds is forgotten."""
    app.extensions.pop("landings", None)
    return app.test_client().get("/courses/small").status_code


def decide(client: Client, choice: str, **more: str) -> TestResponse:
    """Press a button of the only upload's page."""
    token = client.csrf_token("authoring.list_uploads")
    return client.post(client.path("authoring.decide", id=only_upload().public_id), data={"csrf_token": token, "choice": choice, **more})


def shown(client: Client) -> str:
    """The only upload's page."""
    return client.visit("authoring.upload", id=only_upload().public_id).text


def test_from_the_file_to_a_published_lesson_and_back(app: Flask, instructor: Client, tmp_path: Path) -> None:
    assert send(instructor, ("course.zip", packed(small_course(tmp_path)))).status_code == 303
    assert "Waiting for its turn" in shown(instructor)
    assert db.session.scalars(sa.select(Course)).all() == []
    assert work() == 1
    text = shown(instructor)
    assert "Bring it in?" in text
    assert "New lessons (3)" in text
    assert db.session.scalars(sa.select(Course)).all() == []  # looked at only
    decide(instructor, "draft")
    assert work() == 1
    course = db.session.scalars(sa.select(Course)).one()
    assert (only_upload().state, course.published_at) == (UploadState.COMMITTED, None)
    assert public_page(app) == 404
    instructor.submit("authoring.ask_to_publish", {"choice": "publish"}, to="authoring.publish", slug="small")
    assert public_page(app) == 200
    assert "It can be undone as a whole" in shown(instructor)
    instructor.submit("authoring.ask_to_undo", to="authoring.undo_import", slug="small")
    assert public_page(app) == 404
    assert "It was in, and is undone" in shown(instructor)


def test_everything_wrong_is_said_at_once_by_file_and_line_and_nothing_is_written(instructor: Client, tmp_path: Path) -> None:
    files = {
        "01-beginning/01-one.md": lesson("one", "See ![nothing](missing.svg)\n"),
        "01-beginning/02-two.md": lesson("two", minutes="many"),
        "02-doing/01-touch.md": lesson("touch", "No box.\n", needs_check="touch"),
    }
    send(instructor, ("course.zip", packed(small_course(tmp_path, **files))))
    work()
    upload = only_upload()
    assert upload.state is UploadState.REFUSED
    text = shown(instructor)
    for file in files:
        assert file in text
    assert "Nothing was changed" in text
    assert "minutes" in text
    assert db.session.scalars(sa.select(Course)).all() == []


def test_files_may_be_sent_as_they_are(instructor: Client, tmp_path: Path) -> None:
    folder = small_course(tmp_path)
    files = [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()]
    send(instructor, *files)
    work()
    assert (only_upload().state, len(only_upload().difference["new"])) == (UploadState.READY, 3)


def test_a_hostile_archive_is_refused_in_words(instructor: Client) -> None:
    send(instructor, ("course.zip", b"PK\x03\x04 not really"))
    work()
    assert only_upload().state is UploadState.REFUSED
    assert "damaged or cut off" in shown(instructor)


def test_an_empty_form_is_told_what_to_do(instructor: Client) -> None:
    answer = send(instructor)
    assert answer.status_code == 303
    assert "Please choose a file first" in instructor.get(answer.location).text
    assert db.session.scalars(sa.select(Upload)).all() == []


def test_a_second_version_shows_what_changes_and_can_be_undone_as_a_whole(app: Flask, instructor: Client, tmp_path: Path) -> None:
    send(instructor, ("a.zip", packed(small_course(tmp_path / "a"))))
    work()
    decide(instructor, "publish", without_review="1")
    work()
    course = db.session.scalars(sa.select(Course)).one()
    learner = make_user()
    for user in (learner, *(make_user() for _others in range(8))):
        make_enrolment(user, course)
    first = {row.key: (row.title, row.revision_number, row.retired_at, row.position) for row in db.session.scalars(sa.select(Lesson))}
    db.session.execute(sa.delete(Upload))
    more = {
        "01-beginning/01-one.md": lesson("one", "Quite other words.\n", title="Renamed"),
        "01-beginning/03-three.md": lesson("three"),
        "course.md": page({"slug": "small", "title": "Another title", "summary": "S.", "headline": "H", "sample": "two"}, "Other.\n"),
    }
    folder = small_course(tmp_path / "b", **more)
    (folder / "01-beginning" / "02-two.md").rename(folder / "01-beginning" / "09-two.md")
    (folder / "02-doing" / "01-touch.md").unlink()
    write(folder, {"02-doing/02-new.md": lesson("new")})
    send(instructor, ("b.zip", packed(folder)))
    work()
    text = shown(instructor)
    assert "Changed lessons (1)" in text
    assert "Removed lessons" in text
    assert "At least 5 people take this course" in text
    assert "Keep as a draft" not in text  # learners see this course already
    decide(instructor, "publish")
    work()
    assert only_upload().state is UploadState.COMMITTED, only_upload().report
    reader = app.test_client()
    assert isinstance(reader, Client)
    reader.sign_in(learner)
    one = db.session.scalars(sa.select(Lesson).where(Lesson.key == "one")).one().public_id
    assert "Quite other words" in reader.visit("learning.lesson", id=one).text
    instructor.submit("authoring.ask_to_undo", to="authoring.undo_import", slug="small")
    db.session.expire_all()
    assert "Quite other words" not in reader.visit("learning.lesson", id=one).text
    now = {row.key: (row.title, row.revision_number, row.retired_at, row.position) for row in db.session.scalars(sa.select(Lesson))}
    assert {key: now[key] for key in first} == first
    assert all(now[key][2] is not None for key in now.keys() - first.keys())
    course = db.session.scalars(sa.select(Course)).one()
    assert (course.title, course.is_published) == ("A small course", True)
    assert instructor.visit("authoring.course", slug="small").status_code == 200


def test_only_the_last_import_can_be_undone_and_only_once(instructor: Client, tmp_path: Path) -> None:
    send(instructor, ("a.zip", packed(small_course(tmp_path))))
    work()
    decide(instructor, "draft")
    work()
    row = db.session.scalars(sa.select(Import)).one()
    token = instructor.csrf_token("authoring.list_uploads")
    path = instructor.path("authoring.undo_import", slug="small")
    instructor.post(path, data={"csrf_token": token, "import": str(row.id + 1)})
    assert db.session.scalars(sa.select(Import)).one().undone_at is None
    for _time in range(2):
        instructor.post(path, data={"csrf_token": token, "import": str(row.id)})
    db.session.expire_all()
    assert db.session.scalars(sa.select(Course)).one().version == 2
    assert instructor.visit("authoring.ask_to_undo", slug="small").status_code == 404


def test_a_recording_is_unpacked_once_and_kept_as_one_file(instructor: Client, tmp_path: Path) -> None:
    sound = b"RIFF\x24\0\0\0WAVEfmt " + bytes(range(256)) * 4000
    course = small_course(
        tmp_path / "course", **{"01-beginning/02-two.md": lesson("two", "![Talk](talk.wav)\n"), "01-beginning/talk.wav": sound}
    )
    send(instructor, ("a.zip", packed(course)))
    work()
    drafted = storage.path_of(f"{only_upload().folder}/draft/media/{hashlib.sha256(sound).hexdigest()}")
    assert drafted is not None
    of_look = drafted.stat().st_ino
    decide(instructor, "publish", without_review="1")
    work()
    kept = db.session.scalars(sa.select(Asset).where(Asset.path == "01-beginning/talk.wav")).one()
    place = storage.path_of(kept.storage_key)
    assert place is not None
    assert (place.read_bytes(), place.stat().st_ino) == (sound, of_look)


def test_what_a_power_cut_took_of_a_draft_is_unpacked_anew(instructor: Client, tmp_path: Path) -> None:
    sound = b"RIFF\x24\0\0\0WAVEfmt " + bytes(range(256)) * 4000
    course = small_course(
        tmp_path / "course", **{"01-beginning/02-two.md": lesson("two", "![Talk](talk.wav)\n"), "01-beginning/talk.wav": sound}
    )
    send(instructor, ("a.zip", packed(course)))
    work()
    for key in storage.stored_keys(f"{only_upload().folder}/draft/media"):
        storage.keep(key, bytes(len(sound)))
    decide(instructor, "publish", without_review="1")
    work()
    kept = db.session.scalars(sa.select(Asset).where(Asset.path == "01-beginning/talk.wav")).one()
    with storage.open_stored(kept.storage_key) as file:
        assert file.read() == sound


@pytest.mark.parametrize("left", [b"", b'{"title": '])
def test_a_draft_that_a_power_cut_emptied_counts_as_none(instructor: Client, tmp_path: Path, left: bytes) -> None:
    send(instructor, ("a.zip", packed(small_course(tmp_path))))
    work()
    keys = list(storage.stored_keys(f"{only_upload().folder}/draft"))
    for key in keys:
        storage.keep(key, left)
    assert "a.zip" in shown(instructor)
    decide(instructor, "publish", without_review="1")
    work()
    assert only_upload().state is UploadState.COMMITTED


def test_thrown_away_while_the_worker_is_at_it(instructor: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send(instructor, ("a.zip", packed(small_course(tmp_path))))
    unpack = loops.unpack

    def meanwhile(*words: object, **more: object) -> None:
        unpack(*words, **more)  # type: ignore[arg-type]  # handed on as they came
        uploads.cancel(only_upload(), clock.now())
        db.session.commit()

    monkeypatch.setattr(loops, "unpack", meanwhile)
    work()
    assert only_upload().state is UploadState.CANCELLED
    assert "thrown away" in shown(instructor)
    assert list(workplace().iterdir()) == []


def test_what_a_killed_worker_left_is_taken_up_again_and_given_up_after_three_times(instructor: Client, tmp_path: Path) -> None:
    send(instructor, ("a.zip", packed(small_course(tmp_path))))
    for number in range(uploads.MOST_ATTEMPTS):
        later = NOW + timedelta(hours=number)
        assert uploads.claim(later) is not None  # and then it is killed
        assert uploads.claim(later + timedelta(seconds=30)) is None  # its lease still runs
        db.session.commit()
    found = uploads.claim(NOW + timedelta(hours=9))
    assert found is not None
    assert found.state is UploadState.FAILED
    db.session.commit()
    assert "could not be worked through" in shown(instructor)


def test_a_worker_that_dies_in_the_import_leaves_nothing_half_done(
    instructor: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(instructor, ("a.zip", packed(small_course(tmp_path))))
    work()
    decide(instructor, "publish", without_review="1")

    def dies(*_words: object) -> None:
        raise KeyboardInterrupt  # as near to SIGKILL as one process comes

    monkeypatch.setattr(loops, "_note_import", dies)
    with pytest.raises(KeyboardInterrupt):
        work()
    db.session.rollback()
    assert db.session.scalars(sa.select(Course)).all() == []
    monkeypatch.undo()
    db.session.execute(sa.update(Upload).values(leased_until=None))
    work()
    assert only_upload().state is UploadState.COMMITTED


def test_a_full_disk_is_said_in_words_and_the_upload_can_be_sent_again(
    instructor: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_words: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    send(instructor, ("a.zip", packed(small_course(tmp_path))))
    monkeypatch.setattr(loops, "unpack", full)
    work()
    assert only_upload().state is UploadState.FAILED
    assert "There is no room left on the server" in shown(instructor)


def test_files_nobody_decides_about_are_removed(instructor: Client, tmp_path: Path) -> None:
    send(instructor, ("a.zip", packed(small_course(tmp_path))))
    key = only_upload().storage_key(0)
    tidy(clock.now())
    assert storage.has(key)
    tidy(clock.now() + uploads.KEPT + timedelta(minutes=1))
    assert not storage.has(key)
    assert only_upload().state is UploadState.CANCELLED


@pytest.fixture
def small_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload may have 3 MB, any other body 1 MB as always."""
    monkeypatch.setattr(web, "LARGEST_UPLOAD", 3_000_000)


@pytest.mark.usefixtures("small_bodies")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # Werkzeug leaves the file
# of a body it refuses in the middle to the garbage collector
def test_large_bodies_are_taken_from_instructors_alone(app: Flask, instructor: Client) -> None:
    assert send(instructor, ("a.zip", bytes(2_000_000))).status_code == 303
    assert send(instructor, ("a.zip", bytes(4_000_000))).status_code == 413
    for roles in ((), ("marketer",)):
        other = app.test_client()
        assert isinstance(other, Client)
        other.sign_in(make_user(roles=roles))
        token = other.csrf_token("accounts.settings")
        data = {"csrf_token": token, "files": (io.BytesIO(bytes(2_000_000)), "a.zip")}
        assert other.post("/staff/uploads", data=data, content_type="multipart/form-data").status_code == 413
    stranger = app.test_client()
    data = {"files": (io.BytesIO(bytes(2_000_000)), "a.zip")}
    assert stranger.post("/staff/uploads", data=data, content_type="multipart/form-data").status_code in {400, 413}
    gc.collect()  # here rather than in another test


@pytest.mark.parametrize("roles", [(), ("marketer",)])
def test_nobody_else_finds_these_pages(client: Client, roles: tuple[str, ...]) -> None:
    make_course(slug="small")
    client.sign_in(make_user(roles=roles))
    token = client.csrf_token("accounts.settings")
    for path in ("/staff/uploads", "/staff/uploads/abc", "/staff/courses/small/undo"):
        assert client.get(path).status_code == 404
        assert client.post(path, data={"csrf_token": token}).status_code == 404
    assert client.post("/staff/courses/small/publish", data={"csrf_token": token}).status_code == 404


@pytest.mark.settings(
    mode="production",
    secret_key="a-long-secret-for-this-test-alone",
    postal_address="1 Example Street",
    sender_address="course@example.org",
    smtp_url="smtp://127.0.0.1:9",
    allow_sqlite=True,
    base_url="http://localhost",
)
def test_in_production_touch_without_review_is_published_only_when_said_expressly(app: Flask, instructor: Client, tmp_path: Path) -> None:
    if app.config["EMBEDDED"]:
        pytest.fail("the settings of this test did not take")
    send(instructor, ("a.zip", packed(small_course(tmp_path))))
    work()
    answer = decide(instructor, "publish")
    assert "1 lesson teaches touch and no clinician has reviewed it" in instructor.get(answer.location).text
    assert (work(), only_upload().state) == (0, UploadState.READY)
    decide(instructor, "publish", without_review="1")
    work()
    assert only_upload().state is UploadState.COMMITTED
