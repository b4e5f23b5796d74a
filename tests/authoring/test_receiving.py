"""Files are what they say, lie where they should, and can do nothing but be shown."""

import os
import time
from pathlib import Path

import pytest

from courseapp.authoring import receiving
from courseapp.authoring.receiving import SourceFile, check_svg, receive_folder
from courseapp.authoring.report import Report
from tests.authoring.folders import CONTENT, PNG, SVG, small_course, write

OPEN = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:h="http://www.w3.org/1999/xhtml"'


def received(folder: Path) -> tuple[dict[str, SourceFile], list[tuple[str, str]]]:
    """What came in, and what was reported as (code, file)."""
    report = Report()
    return receive_folder(folder, report), [(row.code, row.file) for row in report.rows]


def svg_codes(content: str | bytes) -> list[str]:
    """What checking a drawing reports."""
    report = Report()
    check_svg(content.encode() if isinstance(content, str) else content, "a.svg", report)
    return [row.code for row in report.rows]


def test_what_may_come_in_comes_in_with_its_digest_and_size(tmp_path: Path) -> None:
    files, problems = received(write(tmp_path, {"a.md": "x", "m/b.svg": SVG, "m/c.png": PNG, "m/d.vtt": "WEBVTT\n"}))
    assert problems == []
    assert sorted(files) == ["a.md", "m/b.svg", "m/c.png", "m/d.vtt"]
    assert (files["m/b.svg"].width, files["m/b.svg"].height) == (40, 20)
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
    monkeypatch.setattr(receiving, "LARGEST_TEXT", 10)
    monkeypatch.setattr(receiving, "LARGEST_SVG", 10)
    _files, problems = received(write(tmp_path, {"a.md": "x" * 11, "b.svg": SVG, **{f"c{n}.md": "x" for n in range(5)}}))
    assert problems == [("file_too_large", "a.md"), ("file_too_large", "b.svg"), ("too_many_files", "c3.md")]


ACTIVE = [
    f"{OPEN}><script>alert(1)</script></svg>",
    f"{OPEN}><h:script>alert(1)</h:script></svg>",
    f'{OPEN} onload="alert(1)"/>',
    f'{OPEN}><rect ONCLICK="x"/></svg>',
    f"{OPEN}><foreignObject><h:body/></foreignObject></svg>",
    f'{OPEN}><h:img src="http://evil.test/x.png"/></svg>',
    f'{OPEN}><h:embed src="x"/></svg>',
    f'{OPEN}><a href="javascript:alert(1)"><text>x</text></a></svg>',
    f'{OPEN}><a xlink:href="https://evil.test"><text>x</text></a></svg>',
    f'{OPEN}><image href="http://evil.test/x.png"/></svg>',
    f'{OPEN}><image href="data:image/png;base64,AAAA"/></svg>',
    f'{OPEN}><use href="other.svg#x"/></svg>',
    f'{OPEN}><feImage href="http://evil.test/x"/></svg>',
    f'{OPEN}><set attributeName="onmouseover" to="alert(1)"/></svg>',
    f'{OPEN}><animate attributeName="href" to="javascript:alert(1)"/></svg>',
    f"{OPEN}><style>@import 'http://evil.test/x.css';</style></svg>",
    f"{OPEN}><style>rect {{ fill: url( 'http://evil.test/x' ) }}</style></svg>",
    f'{OPEN}><rect style="background:url(//evil.test/x)"/></svg>',
    f'{OPEN}><rect fill="url(http://evil.test/x#y)"/></svg>',
    f'<?xml-stylesheet href="http://evil.test/x.css"?>{OPEN}/>',
    '<html xmlns="http://www.w3.org/1999/xhtml"><body/></html>',
    "<svg><rect/></svg>",
]


@pytest.mark.parametrize("content", ACTIVE)
def test_a_drawing_that_could_do_more_than_draw_is_refused(content: str) -> None:
    assert svg_codes(content) == ["svg_active"]


def test_a_drawing_may_refer_to_itself() -> None:
    inside = '<defs><linearGradient id="g"/></defs><style>.a { fill: url(#g) }</style><rect class="a" stroke="url(#g)"/>'
    assert svg_codes(f'{OPEN} viewBox="0 0 1 1">{inside}<a href="#g"><text>url (x)</text></a></svg>') == []


BOMB = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))


@pytest.mark.parametrize(
    "content",
    [
        f'<!DOCTYPE svg [<!ENTITY l0 "ha">{BOMB}]>{OPEN}><text>&l11;</text></svg>',
        f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>{OPEN}><text>&x;</text></svg>',
        f'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://evil.test/x.dtd">{OPEN}/>',
        f'<!DOCTYPE svg [<!ENTITY l0 "ha">{BOMB}]>{OPEN}><text>&l11;</text></svg>'.encode("utf-16"),
        f'<?xml version="1.0" encoding="utf-7"?>{OPEN}/>',
        f'<?xml version="1.0" encoding="cp037"?>{OPEN}/>',
        f"{OPEN}><rect></svg>",
        b"\x89PNG",
        b"",
        f"{OPEN}>{'<g>' * 200_000}{'</g>' * 200_000}</svg>",
    ],
    ids=["expanding", "file", "remote", "utf-16", "utf-7", "ebcdic", "broken", "binary", "empty", "deep"],
)
def test_entities_encodings_and_broken_drawings_are_answered_within_a_second(content: str | bytes) -> None:
    began = time.process_time()
    codes = svg_codes(content)
    assert time.process_time() - began < 1.0
    assert codes in (["svg_doctype"], ["svg_broken"], ["svg_size"])


def test_entities_are_refused_whatever_hides_them() -> None:
    text = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>{OPEN}><text>&x;</text></svg>'
    assert svg_codes(text) == ["svg_doctype"]
    assert svg_codes(text.encode("utf-16")) == ["svg_broken"]


@pytest.mark.parametrize("box", ["", "0 0 1", "0 0 a b", "0 0 inf 1", "0 0 nan 1", "0 0 1e400 1"])
def test_a_drawing_without_a_usable_size_is_taken_with_a_warning(box: str) -> None:
    assert svg_codes(f'{OPEN} viewBox="{box}"/>') == ["svg_size"]


def test_a_traversing_reference_shows_nothing_from_outside(tmp_path: Path) -> None:
    write(tmp_path, {"secret.svg": SVG})
    files, _problems = received(small_course(tmp_path / "course"))
    assert all(file.location.is_relative_to(tmp_path / "course") for file in files.values())


def test_the_drawings_of_the_introduction_are_all_drawings() -> None:
    drawings = sorted(CONTENT.rglob("*.svg"))
    assert len(drawings) >= 10
    assert {path.name: svg_codes(path.read_bytes()) for path in drawings} == {path.name: [] for path in drawings}
