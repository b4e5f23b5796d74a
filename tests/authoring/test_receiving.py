"""Files are what they say, lie where they should, and can do nothing but be shown."""

import os
from pathlib import Path

import pytest

from courseapp.authoring import receiving
from courseapp.authoring.receiving import SourceFile, receive_folder
from courseapp.authoring.report import Report
from tests.authoring.folders import PNG, SVG, small_course, write


def received(folder: Path) -> tuple[dict[str, SourceFile], list[tuple[str, str]]]:
    """What came in, and what was reported as (code, file)."""
    report = Report()
    return receive_folder(folder, report), [(row.code, row.file) for row in report.rows]


def test_what_may_come_in_comes_in_with_its_digest_and_size(tmp_path: Path) -> None:
    files, problems = received(write(tmp_path, {"a.md": "x", "m/b.svg": SVG, "m/c.png": PNG, "m/d.vtt": "WEBVTT\n"}))
    assert problems == []
    assert sorted(files) == ["a.md", "m/b.svg", "m/c.png", "m/d.vtt"]
    assert files["a.md"].digest == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


def test_hidden_files_and_what_archives_leave_behind_are_passed_over(tmp_path: Path) -> None:
    files, problems = received(write(tmp_path, {".git/x.md": "x", ".DS_Store": "x", "__MACOSX/a.md": "x", "a.md": "x"}))
    assert (list(files), problems) == (["a.md"], [])


def test_links_to_other_files_and_folders_are_refused_and_not_followed(tmp_path: Path) -> None:
    secret = write(tmp_path / "elsewhere", {"secret.md": "secret"})
    course = write(tmp_path / "course", {"a.md": "x"})
    (course / "link.md").symlink_to(secret / "secret.md")
    (course / "folder").symlink_to(secret)
    (course / "up").symlink_to("..")
    files, problems = received(course)
    assert list(files) == ["a.md"]
    assert sorted(problems) == [("symlink", "folder"), ("symlink", "link.md"), ("symlink", "up")]


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    assert received(tmp_path) == ({}, [])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", b"<html><script>alert(1)</script>"),
        ("a.png", SVG.encode()),
        ("a.jpg", PNG),
        ("a.gif", b"GIF"),
        ("a.mp3", b"\x7fELF"),
        ("a.mp4", b"<!doctype html>"),
        ("a.webp", b""),
        ("a.vtt", b"1\n00:00 --> 00:01\nx"),
        ("a.pdf", b"PK\x03\x04"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    assert received(write(tmp_path, {name: content})) == ({}, [("wrong_content", name)])


def test_kinds_that_are_not_known_are_left_out_with_a_warning(tmp_path: Path) -> None:
    names = ["a.html", "b.svg.html", "c", "d.exe", "e.zip", "f.svgz"]
    files, problems = received(write(tmp_path, dict.fromkeys(names, "x")))
    assert files == {}
    assert problems == [("kind_unknown", name) for name in names]


def test_a_lesson_whose_ending_is_in_capitals_is_not_lost_in_silence(tmp_path: Path) -> None:
    assert received(write(tmp_path, {"01-a/01.MD": "x"})) == ({}, [("suffix_case", "01-a/01.MD")])


@pytest.mark.parametrize("path", ["/".join(["long" * 20] * 3) + "/a.md", "a\nb.md", "a\u202eb.md"])
def test_a_name_too_long_or_not_to_be_shown_is_refused(tmp_path: Path, path: str) -> None:
    files, problems = received(write(tmp_path, {path: "x"}))
    assert files == {}
    assert [code for code, _file in problems] == ["name_odd"]


def test_a_name_that_is_not_even_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.md")).write_text("x")
    files, problems = received(tmp_path)
    assert (files, problems) == ({}, [("name_odd", r"\udcff.md")])


def test_files_too_large_and_too_many_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "MOST_FILES", 3)
    monkeypatch.setitem(receiving.LARGEST, ".md", 10)
    monkeypatch.setitem(receiving.LARGEST, ".svg", 10)
    _files, problems = received(write(tmp_path, {"a.md": "x" * 11, "b.svg": SVG, **{f"c{n}.md": "x" for n in range(5)}}))
    assert problems == [("file_too_large", "a.md"), ("file_too_large", "b.svg"), ("too_many_files", "c3.md")]


def test_a_traversing_reference_shows_nothing_from_outside(tmp_path: Path) -> None:
    write(tmp_path, {"secret.svg": SVG})
    files, _problems = received(small_course(tmp_path / "course"))
    assert all(file.location.is_relative_to(tmp_path / "course") for file in files.values())
