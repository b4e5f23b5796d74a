"""Lessons and modules sent into a course that is there: laid over it, completed, reported by the names they were sent under."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.authoring.importing import import_course
from courseapp.authoring.models import Upload, UploadState
from courseapp.catalog.models import Asset, Course, Lesson, Module, Need, Revision
from courseapp.extensions import db
from tests.authoring.folders import SVG, lesson, page, small_course, write
from tests.authoring.test_uploads import decide, only_upload, packed, send, shown, work
from tests.client import Client
from tests.factories import NOW, make_user


@pytest.fixture
def instructor(client: Client, tmp_path: Path) -> Client:
    """An instructor, signed in, with the small course published."""
    result = import_course(small_course(tmp_path / "small"), NOW, publish=True, without_review=True)
    assert result.committed
    client.sign_in(make_user(roles=("instructor",)))
    return client


def sent(client: Client, *files: tuple[str, bytes], into: str = "small/beginning", needs: str = "none", title: str = "") -> dict[str, Any]:
    """Send files into the course and have them looked through; the difference."""
    send(client, *files, into=into, needs_check=needs, module_title=title)
    work()
    return only_upload().difference


def findings(severity: str | None = None) -> list[tuple[str, str, int]]:
    """(code, file, line) of the only upload's report."""
    return [(row["code"], row["file"], row["line"]) for row in only_upload().report if severity in {None, row["severity"]}]


def outline() -> list[tuple[str, str]]:
    """(module, lesson) in order, of what does not rest."""
    query = sa.select(Module.key, Lesson.key).join(Lesson, Lesson.module_id == Module.id).where(Lesson.retired_at.is_(None))
    return [(module, key) for module, key in db.session.execute(query.order_by(Lesson.position))]


def publish(client: Client) -> None:
    """Bring the only upload in."""
    assert decide(client, "publish", without_review="1").status_code == 303
    work()
    assert only_upload().state is UploadState.COMMITTED, only_upload().report


def test_a_page_of_markdown_without_front_matter_becomes_the_modules_last_lesson(instructor: Client) -> None:
    text = "# Breathing: *slowly*\n\nWords and words.\n\n![A square](square.svg)\n"
    difference = sent(instructor, ("07 Belly breathing.md", text.encode()))
    assert (difference["new"], difference["changed"], difference["removed"]) == (["belly-breathing"], [], [])
    assert findings("error") == []
    assert {code for code, _file, _line in findings("warning")} == {"filled_in", "shows_filled_in"}
    assert {file for _code, file, _line in findings()} == {"07 Belly breathing.md"}  # nothing of lessons that were there
    assert "Breathing: slowly" in shown(instructor)
    publish(instructor)
    assert outline() == [("beginning", "one"), ("beginning", "two"), ("beginning", "belly-breathing"), ("doing", "touch")]
    row = db.session.scalars(sa.select(Lesson).where(Lesson.key == "belly-breathing")).one()
    assert (row.title, row.minutes, row.shows) == ("Breathing: slowly", 1, "This lesson is text to read. It has pictures.")
    html = db.session.scalars(sa.select(Revision.html).where(Revision.lesson_id == row.id)).one()
    assert "<h2" not in html
    assert "/assets/" in html


def test_it_is_undone_as_a_whole(instructor: Client) -> None:
    before = outline()
    sent(instructor, ("more.md", b"# More\n\nWords.\n"))
    publish(instructor)
    instructor.submit("authoring.ask_to_undo", to="authoring.undo_import", slug="small")
    assert outline() == before


def test_what_a_lesson_asks_of_the_body_is_never_guessed(instructor: Client) -> None:
    sent(instructor, ("more.md", b"# More\n\nWords.\n"), needs="")
    assert findings("error") == [("needs_check_missing", "more.md", 0)]
    assert only_upload().state is UploadState.REFUSED
    assert "what this lesson asks of the body" in shown(instructor)


def test_the_forms_answer_counts_and_brings_the_stop_box_with_it(instructor: Client) -> None:
    sent(instructor, ("more.md", b"# More\n\nPress here.\n"), needs="touch")
    assert findings("error") == [("stop_if", "more.md", 0)]


def test_front_matter_goes_before_the_forms_answer(instructor: Client) -> None:
    sent(instructor, ("more.md", lesson("more").encode()), needs="touch")
    assert findings("error") == []


def test_a_lesson_takes_the_place_of_the_one_with_its_id_and_never_asks_for_less(instructor: Client) -> None:
    text = lesson("touch", "Press.\n").replace("needs_check: none\n", "")
    difference = sent(instructor, ("x.md", text.encode()), into="small/doing", needs="none")
    assert difference["changed"] == ["touch"]
    assert ("lesson_replaced", "x.md", 0) in findings("warning")
    assert findings("error") == [("stop_if", "x.md", 0)]  # the lesson that was there needs the check, so this one does


def test_a_lesson_in_the_middle_is_replaced_where_it_stands(instructor: Client) -> None:
    difference = sent(instructor, ("99-one.md", b"# A new one\n\nOther words.\n"))
    assert (difference["changed"], difference["new"], difference["removed"]) == (["one"], [], [])
    publish(instructor)
    assert outline()[0] == ("beginning", "one")
    row = db.session.scalars(sa.select(Lesson).where(Lesson.key == "one")).one()
    assert (row.title, row.shows, row.needs_check) == ("A new one", "What it shows.", Need.NONE)  # what only the old file said is kept


def test_a_name_that_another_module_has_becomes_an_id_of_its_own(instructor: Client) -> None:
    assert sent(instructor, ("touch.md", b"# Touch\n\nWords.\n"))["new"] == ["touch-2"]


def test_an_id_that_another_module_has_moves_the_lesson(instructor: Client) -> None:
    difference = sent(instructor, ("two.md", lesson("two").encode()), into="small/doing")
    assert (difference["new"], difference["removed"]) == ([], [])
    assert ("lesson_replaced", "two.md", 0) in findings("warning")
    publish(instructor)
    assert outline() == [("beginning", "one"), ("doing", "touch"), ("doing", "two")]


MODULE_FOLDER: dict[str, str | bytes] = {
    "scars/02-after.md": lesson("after", "![A drawing](deep/drawing.svg)\n"),
    "scars/01-before.md": "Words without any heading.\n",
    "scars/deep/drawing.svg": SVG.replace("9", "8"),
}


def test_a_folder_without_a_module_file_becomes_a_new_last_module(instructor: Client, tmp_path: Path) -> None:
    folder = write(tmp_path / "new", MODULE_FOLDER)
    difference = sent(instructor, ("upload.zip", packed(folder)), into="small/")
    assert (sorted(difference["new"]), difference["removed"], difference["changed"]) == (["after", "before"], [], [])
    assert ("module_filled_in", "", 0) in findings("warning")
    publish(instructor)
    assert outline()[3:] == [("scars", "before"), ("scars", "after")]
    module = db.session.scalars(sa.select(Module).where(Module.key == "scars")).one()
    assert (module.title, module.summary) == ("Scars", "Before, A lesson")


def test_the_forms_title_names_a_new_module(instructor: Client, tmp_path: Path) -> None:
    sent(instructor, ("upload.zip", packed(write(tmp_path / "new", MODULE_FOLDER))), into="small/", title="Care of scars")
    publish(instructor)
    assert db.session.scalars(sa.select(Module.title).where(Module.key == "care-of-scars")).one() == "Care of scars"


def test_a_folder_with_a_module_file_is_taken_at_its_word(instructor: Client, tmp_path: Path) -> None:
    files = {**MODULE_FOLDER, "scars/module.md": page({"key": "s", "title": "Scar care", "summary": "How."})}
    sent(instructor, ("upload.zip", packed(write(tmp_path / "new", files))), into="small/", title="No")
    publish(instructor)
    assert db.session.scalars(sa.select(Module.title).where(Module.key == "s")).one() == "Scar care"


def test_several_modules_come_in_order_with_what_they_share(instructor: Client, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "2-later/module.md": page({"key": "later", "title": "Later", "summary": "L."}),
        "2-later/1.md": lesson("l", "![x](../shared/x.svg)\n"),
        "1-sooner/module.md": page({"key": "sooner", "title": "Sooner", "summary": "S."}),
        "1-sooner/1.md": lesson("s"),
        "shared/x.svg": SVG,
    }
    sent(instructor, ("upload.zip", packed(write(tmp_path / "new", files))), into="small/")
    publish(instructor)
    assert outline()[3:] == [("sooner", "s"), ("later", "l")]
    assert db.session.scalars(sa.select(Asset).where(Asset.path == "shared/x.svg")).one()


@pytest.mark.parametrize(
    ("into", "files", "code"),
    [
        ("small/", {"course.md": "x", "01-a/1.md": "x"}, "course_inside"),
        ("small/beginning", {"a/module.md": page({"key": "a"}), "b/module.md": page({"key": "b"})}, "modules_several"),
        ("small/beginning", {"a/module.md": page({"key": "other"}), "a/1.md": "x"}, "module_differs"),
        ("small/", {"a/module.md": page({"key": "doing"}), "a/1.md": "x"}, "module_twice"),
        ("small/", {"a/x.svg": SVG}, "nothing_to_place"),
    ],
)
def test_what_cannot_be_placed_says_why(instructor: Client, tmp_path: Path, into: str, files: dict[str, str], code: str) -> None:
    sent(instructor, ("upload.zip", packed(write(tmp_path / "new", {**files}))), into=into)
    assert code in {row[0] for row in findings("error")}
    assert only_upload().state is UploadState.REFUSED


def test_all_problems_are_told_at_once_by_the_files_and_lines_that_were_sent(instructor: Client) -> None:
    front = "---\nid: a\ntitle: T\nminutes: many\n---\n\nSee ![x](missing.svg)\n"
    bare = "Words.\n\n## More\n\n[a](lesson:nowhere)\n"
    sent(instructor, ("03-a.md", front.encode()), ("b.md", bare.encode()), ("c.md", b"---\ntitle: a: b\n---\nx"), ("d.md", b"\x81\xff"))
    assert set(findings("error")) == {
        ("minutes_wrong", "03-a.md", 4),
        ("file_missing", "03-a.md", 7),
        ("lesson_unknown", "b.md", 5),
        ("front_broken", "c.md", 2),
        ("not_utf8", "d.md", 0),
    }


def test_an_empty_field_is_filled_in_once(instructor: Client) -> None:
    text = '---\nid:\ntitle: ""\nminutes: 3\nshows: It.\nneeds_check: none\n---\n\n[a](lesson:nowhere)\n'
    sent(instructor, ("calm.md", text.encode()))
    assert findings("error") == [("lesson_unknown", "calm.md", 9)]
    assert ("filled_in", "calm.md", 0) in findings("warning")


def test_a_picture_of_the_same_name_is_named_before_it_replaces_one(instructor: Client) -> None:
    sent(instructor, ("more.md", b"# M\n\n![A square](square.svg)\n"), ("square.svg", SVG.replace("9", "7").encode()))
    assert ("file_replaced", "square.svg", 0) in findings("warning")
    assert only_upload().difference["assets"] == ["01-beginning/square.svg"]


@pytest.mark.parametrize("into", ["nowhere/", "small/nowhere", "nowhere/beginning"])
def test_a_place_that_is_not_there_is_refused_at_once(instructor: Client, into: str) -> None:
    answer = send(instructor, ("a.md", b"x"), into=into)
    assert "not there any more" in instructor.get(answer.location).text
    assert db.session.scalars(sa.select(Upload)).all() == []


def test_a_module_that_went_meanwhile_is_told(instructor: Client) -> None:
    send(instructor, ("a.md", b"# A\n\nx"), into="small/doing", needs_check="none")
    db.session.execute(sa.update(Module).where(Module.key == "doing").values(retired_at=NOW))
    db.session.execute(sa.update(Lesson).where(Lesson.key == "touch").values(retired_at=NOW))
    work()
    assert findings("error") == [("module_gone", "", 0)]


def test_unnumbered_folders_keep_their_order_when_a_module_is_added(app: Flask, client: Client, tmp_path: Path) -> None:
    folder = small_course(tmp_path / "odd")
    (folder / "01-beginning").rename(folder / "beginning")
    (folder / "02-doing").rename(folder / "doing")
    assert import_course(folder, NOW, publish=True, without_review=True).committed
    client.sign_in(make_user(roles=("instructor",)))
    difference = sent(client, ("a.md", b"# A\n\nx\n"), into="small/")
    assert (difference["changed"], difference["assets"]) == ([], [])
    publish(client)
    assert [module for module, _key in outline()] == ["beginning", "beginning", "doing", "a"]


def test_the_form_offers_each_course_and_module_and_remembers_where_one_came_from(instructor: Client) -> None:
    text = instructor.visit("authoring.list_uploads", into="small").text
    assert '<option value="small/" selected>' in text
    assert '<option value="small/doing">' in text


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("# Café\n\nDon’t.\n".encode("cp1252"), "not_utf8_read"),
        ("# Café\n\nDon’t.\n".encode("utf-16"), "not_utf8_read"),
        ("\ufeff# Café\r\n\r\nDon’t.\r\n".encode(), None),
    ],
)
def test_letters_of_older_editors_are_read_and_said(instructor: Client, content: bytes, code: str | None) -> None:
    sent(instructor, ("café.md", content))
    assert findings("error") == []
    assert (code in {row[0] for row in findings("warning")}) is (code is not None)
    publish(instructor)
    row = db.session.scalars(sa.select(Lesson).where(Lesson.key == "cafe")).one()
    assert row.title == "Café"


@pytest.mark.parametrize("content", ["# Café\n".encode() + b"\xe9", b"# A\n\x00\xe9", b"\xff\xfeA"])
def test_damaged_text_is_not_guessed_at(instructor: Client, content: bytes) -> None:
    sent(instructor, ("a.md", content))
    assert findings("error") == [("not_utf8", "a.md", 0)]


def test_names_with_accents_taken_apart_are_found(instructor: Client) -> None:
    decomposed = "e\u0301tude.svg"
    sent(instructor, ("a.md", f"# A\n\n![x]({decomposed})\n".encode()), (decomposed, SVG.encode()))
    assert findings("error") == []


def test_a_course_that_a_page_was_sent_into_is_still_the_same(instructor: Client, tmp_path: Path) -> None:
    course = db.session.scalars(sa.select(Course)).one()
    sent(instructor, ("two.md", lesson("two").encode()))
    assert only_upload().difference["unchanged"] == ["one", "two", "touch"]
    assert course.is_published
