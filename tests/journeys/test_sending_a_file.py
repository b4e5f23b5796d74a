"""Sending a large file in a real browser: the network goes and comes, the page is loaded anew, one pauses, one stops; and axe looks on."""

import hashlib
import random
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import storage
from courseapp.authoring import parts
from courseapp.authoring.models import Upload, UploadPart
from courseapp.extensions import db
from tests.factories import make_user
from tests.journeys.test_every_page import faults_of
from tests.journeys.test_films import sign_in

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Page

pytestmark = pytest.mark.one_database

PIECE = 5_000_000  # bytes, as the page's script has it
SENT = "count => document.querySelector('form[data-upload] progress').value >= count"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A ZIP archive of four pieces."""
    made = tmp_path / "course.zip"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("lesson.md", "# A lesson\n")
        archive.writestr("film.mp4", random.Random(7).randbytes(4 * PIECE - 1_000_000))
    return made


@pytest.fixture
def staff_page(app: Flask, page: "Page") -> "Page":
    """The upload page, for an instructor."""
    sign_in(app, page, make_user(roles=["instructor"]))
    page.goto("/staff/uploads")
    return page


@pytest.fixture
def taken_in(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the pieces that were taken in, each of which takes its time."""
    sizes: list[int] = []
    append = parts.append

    def slowly(part: UploadPart, arriving: Any, offset: int, *more: Any) -> int:
        time.sleep(0.3)
        reached = append(part, arriving, offset, *more)
        sizes.append(reached - offset)
        return reached

    monkeypatch.setattr(parts, "append", slowly)
    return sizes


def choose_and_send(page: "Page", file: Path) -> None:
    """As a person does it."""
    page.set_input_files("#files", str(file))
    page.get_by_role("button", name="Upload and check").click()


def wait_for_bytes(page: "Page", count: int) -> None:
    """Until so many are sent."""
    page.wait_for_function(SENT, arg=count)


def said(page: "Page") -> str:
    """What the page says of it."""
    return page.locator("[data-said]").inner_text()


def stored(upload: Upload) -> str:
    """The SHA-256 of what was stored."""
    with storage.open_stored(upload.storage_key(0)) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]  # it reads


def test_a_file_goes_on_after_the_network_was_away_and_after_a_reload(staff_page: "Page", file: Path, taken_in: list[int]) -> None:
    page = staff_page
    choose_and_send(page, file)
    wait_for_bytes(page, PIECE)
    page.context.set_offline(True)
    page.get_by_text("You are offline").wait_for()
    page.context.set_offline(False)
    wait_for_bytes(page, 2 * PIECE)
    page.reload()
    page.get_by_role("heading", name="Begun, and not all here").wait_for()
    assert "MB of 19.0 MB are here" in page.locator("[data-begun]").inner_text()
    page.set_input_files("#files", str(file))
    assert page.locator("[data-chosen]").inner_text() == "“course.zip” goes on where it stopped."
    page.get_by_role("button", name="Upload and check").click()
    page.wait_for_url("**/staff/uploads/*")
    page.get_by_role("heading", name="course.zip").wait_for()
    db.session.commit()
    upload = db.session.scalars(sa.select(Upload)).one()
    assert stored(upload) == hashlib.sha256(file.read_bytes()).hexdigest()
    assert sum(taken_in) == file.stat().st_size  # nothing was taken in twice
    assert len(taken_in) >= 4


def test_one_may_pause_go_on_and_stop(staff_page: "Page", file: Path, taken_in: list[int]) -> None:
    page = staff_page
    choose_and_send(page, file)
    wait_for_bytes(page, PIECE)
    page.get_by_role("button", name="Pause").click()
    assert said(page) == "Paused. What was sent is kept."
    page.wait_for_timeout(700)
    count = len(taken_in)
    found = faults_of(page, "paused")
    page.wait_for_timeout(700)
    assert len(taken_in) == count
    page.get_by_role("button", name="Go on").click()
    wait_for_bytes(page, 2 * PIECE)
    page.get_by_role("button", name="Stop and throw it away").click()
    page.get_by_role("button", name="Upload and check").wait_for()
    assert said(page) == "Stopped. What was sent is thrown away."
    page.wait_for_timeout(300)
    db.session.commit()
    assert db.session.query(UploadPart).count() == 0
    db.session.commit()
    assert found == []
    choose_and_send(page, file)
    page.wait_for_url("**/staff/uploads/*")
    assert page.get_by_role("heading", name="course.zip").is_visible()


def test_what_the_server_refuses_is_said_in_its_words_and_can_be_tried_again(
    staff_page: "Page", file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = staff_page
    monkeypatch.setattr(parts, "MOST_OPEN", 0)
    choose_and_send(page, file)
    page.get_by_text("You have begun too much that is not finished.").wait_for()
    found = faults_of(page, "refused")
    monkeypatch.undo()
    page.get_by_role("button", name="Try again").click()
    page.wait_for_url("**/staff/uploads/*")
    assert found == []


def test_several_files_dropped_on_the_form_become_one_upload(staff_page: "Page", file: Path) -> None:
    page = staff_page
    drop(page, {"one.md": 100, "film.mp4": PIECE})
    page.get_by_role("button", name="Upload and check").click()
    page.wait_for_url("**/staff/uploads/*")
    db.session.commit()
    upload = db.session.scalars(sa.select(Upload)).one()
    assert (upload.files, upload.size) == (["one.md", "film.mp4"], PIECE + 100)


def test_what_fits_into_one_piece_goes_with_the_form_itself(staff_page: "Page") -> None:
    page = staff_page
    page.set_input_files("#files", {"name": "lesson.md", "mimeType": "text/markdown", "buffer": b"# Words\n"})
    page.get_by_role("button", name="Upload and check").click()
    page.wait_for_url("**/staff/uploads/*")
    assert page.get_by_role("heading", name="lesson.md").is_visible()
    db.session.commit()
    assert db.session.query(UploadPart).count() == 0
    db.session.commit()


def test_too_much_is_said_before_anything_is_sent(staff_page: "Page") -> None:
    page = staff_page
    page.evaluate("() => { document.querySelector('form[data-upload]').dataset.largest = '1000'; }")
    page.set_input_files("#files", {"name": "film.mp4", "mimeType": "video/mp4", "buffer": b"a" * 2000})
    assert page.locator("[data-chosen]").inner_text() == "These files have 2 KB together; at most 1 KB can be sent. Nothing was sent."
    page.get_by_role("button", name="Upload and check").click()
    assert page.url.endswith("/staff/uploads")


def drop(page: "Page", sizes: dict[str, int]) -> None:
    """Let files fall on the form."""
    transfer = page.evaluate_handle(
        """sizes => {
          const transfer = new DataTransfer();
          Object.keys(sizes).forEach((name) => transfer.items.add(new File([new Uint8Array(sizes[name])], name)));
          return transfer;
        }""",
        sizes,
    )
    page.dispatch_event("form[data-upload]", "drop", {"dataTransfer": transfer})
