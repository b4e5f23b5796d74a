"""The pipeline writes a course whole or not at all, and the same files again change nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import storage
from courseapp.authoring.importing import Result, import_course
from courseapp.authoring.models import Import
from courseapp.authoring.report import Severity
from courseapp.catalog.models import Asset, Copy, Course, Lesson, Module, Need, Revision
from courseapp.extensions import db
from courseapp.journal.models import Event
from tests.authoring.folders import CONTENT, COURSE, SVG, dump, lesson, page, small_course, write
from tests.factories import NOW


def bring_in(folder: Path, **how: Any) -> Result:
    """Import as the command does: commit where something was written."""
    result = import_course(folder, NOW, **how)
    if result.committed:
        db.session.commit()
    else:
        db.session.rollback()
    return result


def codes(result: Result) -> list[str]:
    """The codes of the errors."""
    return [row.code for row in result.report.rows if row.severity is Severity.ERROR]


def test_the_introduction_comes_in_whole_and_without_a_fault(app: Flask) -> None:
    result = bring_in(CONTENT, publish=True, without_review=True)
    assert [row.words() for row in result.report.sorted() if row.severity is not Severity.NOTE] == []
    lessons = db.session.scalars(sa.select(Lesson).order_by(Lesson.position)).all()
    assert len(lessons) == len(list(CONTENT.glob("*/[0-9]*.md"))) == 15
    assert [one.position for one in lessons] == list(range(1, 16))
    assert {one.key: one.needs_check for one in lessons if one.needs_check is not Need.NONE} == {
        "pelvic-floor-exercises": Need.GENTLE,
        "stretches": Need.GENTLE,
        "self-massage": Need.TOUCH,
    }
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Module)) == 5
    assert all(one.revision and one.revision.number == 1 and one.revision.html for one in lessons)
    assert all(one.revision and one.revision.stop_html for one in lessons if one.needs_check is not Need.NONE)
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Asset)) == len(list(CONTENT.rglob("*.svg")))
    assert db.session.scalars(sa.select(Copy.kind).order_by(Copy.id)).all() == ["open", "gentle", "full"]


def test_bringing_the_same_in_again_changes_nothing(app: Flask) -> None:
    bring_in(CONTENT, publish=True, without_review=True)
    before = dump()
    result = bring_in(CONTENT, publish=True, without_review=True)
    assert dump() == before
    assert not result.committed
    assert result.difference.is_empty
    assert len(result.difference.unchanged) == 15


def test_a_dry_run_tells_everything_and_writes_nothing(app: Flask, tmp_path: Path) -> None:
    before = dump()
    result = bring_in(small_course(tmp_path), dry_run=True)
    assert result.difference.new == ["one", "two", "touch"]
    assert result.difference.assets == ["01-beginning/square.svg", "02-doing/circle.svg"]
    assert not result.committed
    assert dump() == before
    assert not (app.config["SETTINGS"].data_dir / "files").exists()


def test_what_holds_errors_is_kept_out_whole(app: Flask, tmp_path: Path) -> None:
    bring_in(small_course(tmp_path))
    before = dump()
    small_course(tmp_path, **{"01-beginning/01-one.md": lesson("one", "New words.\n"), "02-doing/02.md": lesson("bad", "![x](gone.svg)")})
    result = bring_in(tmp_path)
    assert codes(result) == ["file_missing"]
    assert dump() == before


def test_an_error_in_a_lessons_text_names_the_line_in_its_file(app: Flask, tmp_path: Path) -> None:
    result = bring_in(small_course(tmp_path, **{"01-beginning/02-two.md": lesson("two", "One.\n\n[x](lesson:nowhere)\n")}))
    row = next(row for row in result.report.rows if row.severity is Severity.ERROR)
    assert (row.file, row.line) == ("01-beginning/02-two.md", 11)
    assert (tmp_path / row.file).read_text().splitlines()[row.line - 1] == "[x](lesson:nowhere)"


def test_an_error_in_the_article_names_the_line_in_the_course_file(app: Flask, tmp_path: Path) -> None:
    result = bring_in(small_course(tmp_path, **{"course.md": page(COURSE, "One.\n\n![x](https://evil.test/x.png)\n")}))
    row = next(row for row in result.report.rows if row.severity is Severity.ERROR)
    assert (row.code, row.file, row.line) == ("image_elsewhere", "course.md", 11)


def test_a_drawing_no_lesson_shows_is_told(app: Flask, tmp_path: Path) -> None:
    result = bring_in(small_course(tmp_path, **{"01-beginning/spare.svg": SVG}))
    assert [(row.code, row.file) for row in result.report.rows if row.severity is Severity.WARNING] == [
        ("file_unused", "01-beginning/spare.svg")
    ]


def test_a_remote_picture_is_refused_and_never_fetched(app: Flask, tmp_path: Path) -> None:
    with create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        drawing = SVG.replace("<rect", f'<image href="{address}/a.png"/><rect')
        files = {"01-beginning/02-two.md": lesson("two", f"![x]({address}/b.png)"), "01-beginning/square.svg": drawing}
        result = bring_in(small_course(tmp_path, **files))
        assert set(codes(result)) >= {"image_elsewhere", "svg_active"}
        with pytest.raises(TimeoutError):
            listener.accept()


def test_what_an_import_did_is_recorded(app: Flask, tmp_path: Path) -> None:
    bring_in(small_course(tmp_path))
    record = db.session.scalars(sa.select(Import)).one()
    assert (record.source, record.warnings, record.at) == (tmp_path.name, 0, NOW)
    assert record.changes["new"] == ["one", "two", "touch"]
    assert [event.type for event in db.session.scalars(sa.select(Event))] == ["course_changed"]


# All or nothing


@contextmanager
def broken_storage(app: Flask) -> Iterator[None]:
    """A storage whose folder is a file, so that nothing can be kept."""
    kept = app.extensions["storage"]
    blocker = app.config["SETTINGS"].data_dir / "blocker"
    blocker.write_text("not a folder")
    storage.init_storage(app, blocker.absolute().as_uri())
    try:
        yield
    finally:
        app.extensions["storage"] = kept


def test_a_failure_in_the_middle_of_writing_leaves_nothing(app: Flask, tmp_path: Path) -> None:
    before = dump()
    db.session.rollback()
    with broken_storage(app), pytest.raises(OSError, match="directory"):
        bring_in(small_course(tmp_path), publish=True)
    db.session.rollback()
    assert dump() == before
    assert bring_in(tmp_path, publish=True, without_review=True).committed


def test_a_failure_leaves_a_course_that_was_there_as_it_was(app: Flask, tmp_path: Path) -> None:
    bring_in(small_course(tmp_path), publish=True)
    before = dump()
    db.session.rollback()
    small_course(tmp_path, **{"01-beginning/01-one.md": lesson("one", "![x](new.svg)"), "01-beginning/new.svg": SVG.replace("9", "8")})
    with broken_storage(app), pytest.raises(OSError, match="directory"):
        bring_in(tmp_path, publish=True)
    db.session.rollback()
    assert dump() == before


# Publishing


PRODUCTION = {
    "mode": "production",
    "base_url": "https://learn.example.org",
    "smtp_url": "smtp://127.0.0.1:9",
    "sender_address": "course@example.org",
    "postal_address": "1 Street, Town",
    "allow_sqlite": True,
}


@pytest.mark.settings(**PRODUCTION)
def test_in_production_lessons_of_touch_are_not_published_without_a_reviewer(app: Flask, tmp_path: Path) -> None:
    small_course(tmp_path)
    before = dump()
    result = bring_in(tmp_path, publish=True)
    assert [(row.code, row.file) for row in result.report.rows if row.severity is Severity.ERROR] == [
        ("touch_unreviewed", "02-doing/01-touch.md")
    ]
    assert dump() == before
    assert bring_in(tmp_path).committed  # as a draft it may come in
    assert codes(bring_in(tmp_path, publish=True)) == ["touch_unreviewed"]
    assert bring_in(tmp_path, publish=True, without_review=True).committed


@pytest.mark.settings(**PRODUCTION)
def test_in_production_a_reviewed_lesson_of_touch_is_published(app: Flask, tmp_path: Path) -> None:
    from tests.authoring.folders import STOP

    reviewed = lesson("touch", STOP + "![A circle](circle.svg)\n", needs_check="touch", reviewed_by="Dr Who, physiotherapist")
    small_course(tmp_path, **{"02-doing/01-touch.md": reviewed.replace("reviewed_by", "reviewed_on: 2026-01-02\nreviewed_by")})
    assert bring_in(tmp_path, publish=True).committed


def test_without_publish_nobody_sees_it_and_publishing_the_same_files_shows_it(app: Flask, tmp_path: Path) -> None:
    bring_in(small_course(tmp_path))
    course = db.session.scalars(sa.select(Course)).one()
    assert course.published_at is None
    assert set(db.session.scalars(sa.select(Lesson.published_at))) == {None}
    result = bring_in(tmp_path, publish=True)
    assert result.committed
    assert result.difference.is_empty
    assert course.published_at == NOW
    assert set(db.session.scalars(sa.select(Lesson.published_at))) == {NOW}
    assert {row.number for row in db.session.scalars(sa.select(Revision))} == {1}


def test_a_published_course_is_not_changed_without_saying_so(app: Flask, tmp_path: Path) -> None:
    bring_in(small_course(tmp_path), publish=True)
    small_course(tmp_path, **{"01-beginning/02-two.md": lesson("two", "Other words.\n")})
    before = dump()
    assert codes(bring_in(tmp_path)) == ["course_is_live"]
    assert codes(bring_in(tmp_path, dry_run=True)) == ["course_is_live"]
    assert dump() == before
    assert bring_in(tmp_path, publish=True).committed


def test_a_course_in_another_language_comes_in_with_its_words(app: Flask, tmp_path: Path) -> None:
    result = bring_in(small_course(tmp_path, **{"course.md": page({**COURSE, "language": "pt-BR"})}))
    assert codes(result) == []
    assert db.session.scalars(sa.select(Course.language)).one() == "pt-BR"


def test_nothing_is_written_outside_the_storage(app: Flask, tmp_path: Path) -> None:
    folder = write(tmp_path, {"outside.svg": SVG})
    small_course(tmp_path / "course", **{"01-beginning/02-two.md": lesson("two", "![x](../../outside.svg) ![y](/etc/hostname)")})
    before = sorted(path for path in folder.rglob("*") if path.is_file())
    assert codes(bring_in(tmp_path / "course")) == ["file_missing", "file_missing"]
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == before
