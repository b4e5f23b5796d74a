"""Exporting: what is written out comes in again without a difference, whatever is in it."""

import io
import wave
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from courseapp import storage
from courseapp.authoring.exporting import lay_out, packed, with_front
from courseapp.authoring.front_matter import read_front
from courseapp.authoring.importing import import_course
from courseapp.authoring.receiving import SourceFile
from courseapp.authoring.report import Report
from courseapp.catalog.models import Asset, Course, Lesson, Module, Revision
from courseapp.extensions import db
from tests.authoring.folders import COURSE, COURSES, MODULE, SVG, lesson, page, small_course, write
from tests.client import Client
from tests.factories import NOW, make_course, make_user


def brought_in(folder: Path) -> Course:
    """A course folder, imported."""
    result = import_course(folder, NOW, publish=True, without_review=True)
    assert result.committed, [row.words() for row in result.report.rows]
    db.session.commit()
    assert result.course is not None
    return result.course


def unpacked(course: Course, folder: Path) -> Path:
    """A course, written out and unpacked."""
    with zipfile.ZipFile(io.BytesIO(b"".join(packed(course)))) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return folder


def texts() -> set[tuple[str, str]]:
    """The Markdown of every lesson."""
    rows = db.session.execute(sa.select(Lesson.key, Revision.source).join(Revision, Revision.lesson_id == Lesson.id))
    return {(key, source) for key, source in rows}


def assert_same_again(folder: Path) -> None:
    """Bringing the folder in changes nothing."""
    result = import_course(folder, NOW, publish=True, without_review=True)
    assert not result.report.has_errors, [row.words() for row in result.report.rows]
    assert result.difference.is_empty, result.difference
    assert not result.committed


def silence() -> bytes:
    """A second of nothing to hear."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    return file.getvalue()


def picture(kind: str) -> bytes:
    """A picture that is made anew when it comes in: large, and with a note of where it was taken."""
    file = io.BytesIO()
    notes = Image.Exif()
    notes[0x0112], notes[0x010F] = 6, "A telephone"
    Image.effect_noise((1200, 900), 60).convert("RGB").save(file, kind, exif=notes)
    return file.getvalue()


def everything(folder: Path) -> Path:
    """A course in which every field and kind of file occurs, with values that YAML and paths are awkward about."""
    course = {
        **COURSE,
        "title": 'Yes: "no" & #more, 1e3',
        "language": "pt-BR",
        "edition": "2026-11",
        "for_whom": ["yes", "2026-11-22", "- a dash", "two\nlines", "äöü 漢字 🫁"],
        "not_for": ["null"],
        "questions": [{"question": "Is it: safe?", "answer": "---\nNo.\n---"}],
        "made_by": "Us. " * 300,
    }
    full = lesson(
        "two",
        "\n\n  Begins with blanks.[^1]\n\n---\n\nLink to [one](lesson:one).\n\n[^1]: A note.\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n\n",
        title="true",
        completes="open",
        sources=["NICE: 2019", "123"],
        reviewed_by="Dr. A: B",
        reviewed_on=date(2026, 1, 2),
        review_due=date(2027, 1, 2),
    )
    files: dict[str, str | bytes] = {
        "course.md": page(course, "Article with ![a drawing](pictures/top.svg) and [one](lesson:one).\nNo newline at its end"),
        "pictures/top.svg": SVG,
        "02-beginning/module.md": page({**MODULE, "title": "123"}, "Words nobody reads.\n"),
        "02-beginning/10-late.md": lesson("late", "Sub ![a](deep/ä b.svg) ![sound](sound.wav) ![photo](photo.jpg) ![plan](plan.png)\n"),
        "02-beginning/9-two.md": full,
        "02-beginning/deep/8-one.md": lesson("one", "![c](<ä b.svg>) ![d](../../pictures/top.svg)\n").replace("\n", "\r\n"),
        "02-beginning/deep/ä b.svg": SVG.replace("rect", "ellipse"),
        "02-beginning/sound.wav": silence(),
        "02-beginning/sound.vtt": "WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n",
        "02-beginning/photo.jpg": picture("JPEG"),
        "02-beginning/plan.png": picture("PNG"),
        "unnumbered/module.md": page({"key": "doing", "title": "Doing", "summary": "x" * 900}),
        "unnumbered/touch.md": lesson("touch", "::: stop-if\n- it hurts\n:::\nPress.", needs_check="touch"),
    }
    return write(folder, files)


@pytest.mark.parametrize("make", [*(lambda _folder, ours=ours: ours for ours in COURSES), everything, small_course])
def test_a_course_written_out_comes_in_again_without_a_difference(app: Flask, tmp_path: Path, make: Any) -> None:
    course = brought_in(make(tmp_path / "in"))
    once = unpacked(course, tmp_path / "out")
    assert_same_again(once)
    sources = texts()
    db.session.delete(course)
    db.session.commit()
    again = brought_in(once)  # on an installation that never saw it, too
    assert texts() == sources
    twice = unpacked(again, tmp_path / "twice")
    assert {p.relative_to(once): p.read_bytes() for p in once.rglob("*.*")} == {
        p.relative_to(twice): p.read_bytes() for p in twice.rglob("*.*")
    }


def test_what_rests_is_left_out(app: Flask, tmp_path: Path) -> None:
    brought_in(small_course(tmp_path / "one"))
    folder = small_course(tmp_path / "two")
    for name in ("module.md", "01-touch.md", "circle.svg"):
        (folder / "02-doing" / name).unlink()
    course = brought_in(folder)
    out = unpacked(course, tmp_path / "out")
    assert sorted(p.name for p in out.rglob("*.*")) == ["01-one.md", "02-two.md", "course.md", "module.md", "square.svg"]
    assert_same_again(out)


def test_lessons_and_modules_put_in_another_order_keep_their_files_addresses(app: Flask, tmp_path: Path) -> None:
    course = brought_in(small_course(tmp_path / "in"))
    rows = {row.key: row for row in db.session.scalars(sa.select(Lesson))}
    modules = {row.key: row for row in db.session.scalars(sa.select(Module))}
    modules["beginning"].position, modules["doing"].position = 2, 1
    for place, key in enumerate(("one", "touch", "two"), start=1):  # one, with its drawing, moves into the other module
        rows[key].position = place
    rows["one"].module_id = modules["doing"].id
    db.session.commit()
    before = {row.path: row.public_id for row in db.session.scalars(sa.select(Asset))}
    result = import_course(unpacked(course, tmp_path / "out"), NOW, publish=True, without_review=True)
    difference = result.difference
    assert (difference.new, difference.changed, difference.removed, difference.assets) == ([], [], [], [])
    db.session.commit()
    placed = db.session.execute(sa.select(Lesson.key, Module.key).join(Module).order_by(Lesson.position)).all()
    assert placed == [("one", "doing"), ("touch", "doing"), ("two", "beginning")]
    assert before == {row.path: row.public_id for row in db.session.scalars(sa.select(Asset))}
    assert_same_again(unpacked(course, tmp_path / "again"))


def test_a_module_whose_lessons_all_came_from_elsewhere_gets_a_folder(app: Flask, tmp_path: Path) -> None:
    course = brought_in(small_course(tmp_path / "in"))
    fresh = Module(course_id=course.id, key="fresh", position=3, title="Fresh", summary="New.")
    db.session.add(fresh)
    db.session.flush()
    row = db.session.scalars(sa.select(Lesson).where(Lesson.key == "one")).one()
    row.module_id, row.position = fresh.id, 4
    db.session.commit()
    result = import_course(unpacked(course, tmp_path / "out"), NOW, publish=True, without_review=True)
    assert (result.report.has_errors, result.difference.changed) == (False, [])
    assert db.session.scalars(sa.select(Module.key).join(Lesson, Lesson.module_id == Module.id).where(Lesson.key == "one")).one() == "fresh"


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)


@pytest.mark.one_database
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(front=st.dictionaries(st.sampled_from(["a", "b-c", "list"]), TEXT | st.lists(TEXT, min_size=1) | st.dates(), min_size=1), body=TEXT)
def test_front_matter_and_body_come_back_as_they_were(tmp_path: Path, front: dict[str, Any], body: str) -> None:
    target = tmp_path / "page.md"
    target.write_bytes(with_front(front, body).encode())
    report = Report()
    found = read_front(SourceFile("page.md", target, 0, "", "text/markdown"), set(front), report)
    assert found is not None, report.rows
    assert (found.values, found.body) == (front, body)


def test_the_command_writes_the_archive(app: Flask, tmp_path: Path) -> None:
    brought_in(small_course(tmp_path / "in"))
    target = tmp_path / "out.zip"
    answer = app.test_cli_runner().invoke(args=["course", "export", "small", str(target)])
    assert (answer.exit_code, "Written" in answer.output) == (0, True)
    with zipfile.ZipFile(target) as archive:
        assert "course.md" in archive.namelist()
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(("slug", "file", "words"), [("none", "out.zip", "no course"), ("small", "missing/out.zip", "Nothing was written")])
def test_the_command_says_why_it_wrote_nothing(app: Flask, tmp_path: Path, slug: str, file: str, words: str) -> None:
    brought_in(small_course(tmp_path / "in"))
    answer = app.test_cli_runner().invoke(args=["course", "export", slug, str(tmp_path / file)])
    assert answer.exit_code == 1
    assert words in answer.output
    assert not (tmp_path / file).exists()


def test_a_lost_file_is_said_before_anything_is_sent(app: Flask, tmp_path: Path) -> None:
    course = brought_in(small_course(tmp_path / "in"))
    storage.remove(db.session.scalars(sa.select(Asset).order_by(Asset.id)).first().storage_key)  # type: ignore[union-attr]  # there are two
    with pytest.raises(FileNotFoundError):
        packed(course)
    answer = app.test_cli_runner().invoke(args=["course", "export", "small", str(tmp_path / "out.zip")])
    assert "lost" in answer.output


def test_an_instructor_downloads_the_course_and_a_learner_does_not(app: Flask, client: Client, tmp_path: Path) -> None:
    brought_in(small_course(tmp_path / "in"))
    client.sign_in(make_user(roles=("instructor",)))
    answer = client.visit("authoring.export", slug="small")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="small.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        archive.extractall(tmp_path / "out")
    assert_same_again(tmp_path / "out")
    assert "Download it as files" in client.visit("authoring.course", slug="small").text
    learner = app.test_client()
    learner.sign_in(make_user())  # type: ignore[attr-defined]  # the test client is our own
    assert learner.get(client.path("authoring.export", slug="small")).status_code in {403, 404}


def test_a_course_made_without_files_can_be_written_out(app: Flask, tmp_path: Path) -> None:
    course = make_course()
    db.session.commit()
    assert "course.md" in [part.path for part in lay_out(course, tmp_path)]


def test_what_a_file_became_comes_in_again_under_the_name_it_had(app: Flask, tmp_path: Path) -> None:
    first = lesson("one", "![film](talk.wav) ![photo](IMG_1.JPG)\n")
    spoken = "1\n00:00:00,000 --> 00:00:01,000\nHello\n"
    more = {"01-beginning/talk.wav": silence(), "01-beginning/talk.srt": spoken, "01-beginning/IMG_1.JPG": picture("JPEG")}
    course = brought_in(small_course(tmp_path / "in", **{"01-beginning/01-one.md": first, **more}))
    assert_same_again(unpacked(course, tmp_path / "out"))
