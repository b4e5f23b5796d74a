"""Hostile texts and drawings: scripts, links that do, encodings, front matter that unfolds, and what searches would be long over."""

import zipfile
from collections.abc import Callable

from tests.authoring.folders import LESSON, PNG, SVG, lesson
from tests.authoring.hostile import Item, Table
from tests.authoring.hostile.archives import course_zip, zip_of

PAGE = "01-beginning/03-three.md"
DRAWING = "01-beginning/x.svg"
SHOWN = lesson("three", "![A drawing](x.svg)\n")
PDF = b"%PDF-1.7\n%%EOF\n"
GIF_AND_SCRIPT = b"GIF89a/*" + b"\xff" * 20 + b"*/=1;alert(1)//"
REPEATED = (
    "<defs><g id='g0'><rect/></g>"
    + "".join(f"<g id='g{number}'>" + f"<use href='#g{number - 1}'/>" * 10 + "</g>" for number in range(1, 13))
    + "</defs>"
)
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n" for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


def course(code: str, is_ready: bool = False, shows: str = "", hides: str = "", **more: str | bytes) -> Item:
    """The small course with these files."""
    return Item((("course.zip", course_zip(**more)),), code, is_ready, shows, hides)


def page(body: str, code: str, is_ready: bool = False, shows: str = "", hides: str = "") -> Callable[[], Item]:
    """A lesson with this text."""
    return lambda: course(code, is_ready, shows, hides, **{PAGE: lesson("three", body)})


def front(fields: str, code: str) -> Callable[[], Item]:
    """A lesson with these fields below its own."""
    return lambda: course(code, **{PAGE: lesson("three").replace("\n---\n", f"\n{fields}\n---\n", 1)})


def drawing(inside: str, code: str, around: str = "") -> Callable[[], Item]:
    """A lesson that shows this drawing."""
    svg = SVG.replace("<svg ", f"<svg {around} ").replace("<rect", f"{inside}<rect")
    return lambda: course(code, **{PAGE: SHOWN, DRAWING: svg})


def encoded(how: str, code: str, shows: str = "Café „quoted“", ends: str = "\n") -> Callable[[], Item]:
    """A lesson in another encoding, or with other ends of lines."""
    text = lesson("three", "Café „quoted“ and more.\n").replace("\n", ends)
    return lambda: course(code, is_ready=True, shows=shows, **{PAGE: text.encode(how)})


def beside(name: str, content: bytes, code: str, is_ready: bool = False) -> Callable[[], Item]:
    """A file beside the lessons that is not what its name says."""
    return lambda: course(code, is_ready, **{f"01-beginning/{name}": content})


def film_of(content: bytes) -> bytes:
    """What begins like a film."""
    return b"\0\0\0\x18ftypisom" + content


TEXTS: Table = {
    "script in Markdown": page(
        "<script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n", "raw_html", is_ready=True, shows="&lt;script&gt;", hides="<script"
    ),
    "javascript: link": page("[press](javascript:alert(1))\n", "link_unsafe"),
    "javascript: link in other letters": page("[press](JaVaScRiPt:alert(1))\n", "link_unsafe"),
    "javascript: link by numbers of letters": page("[press](&#106;avascript:alert(1))\n", "link_unsafe"),
    "javascript: link in sharp brackets": page("<javascript:alert(1)>\n", "link_unsafe"),
    "javascript: link by reference": page("[press][x]\n\n[x]: javascript:alert(1)\n", "link_unsafe"),
    "javascript: picture": page("![press](javascript:alert(1))\n", "file_missing"),
    "vbscript: link": page("[press](vbscript:x)\n", "link_unsafe"),
    "data: link": page("[press](data:text/html;base64,PHNjcmlwdD4=)\n", "link_unsafe"),
    "data: picture": page("![press](data:image/svg+xml,<svg/onload=alert(1)>)\n", "image_elsewhere"),
    "file: link": page("[press](file:///etc/passwd)\n", "link_unsafe"),
    "picture from another site": page("![press](http://127.0.0.1:9/x.png)\n", "image_elsewhere"),
    "picture from outside": page("![press](../../../../etc/passwd)\n", "file_missing"),
    "script in SVG": drawing("<script>alert(1)</script>", "svg_active"),
    "handler in SVG": drawing("", "svg_active", around='onload="alert(1)"'),
    "javascript: link in SVG": drawing('<a href="javascript:alert(1)"><rect/></a>', "svg_active"),
    "page within SVG": drawing("<foreignObject><b xmlns='http://www.w3.org/1999/xhtml'/></foreignObject>", "svg_active"),
    "picture from elsewhere in SVG": drawing('<image href="http://127.0.0.1:9/x"/>', "svg_active"),
    "style from elsewhere in SVG": drawing("<style>@import 'http://127.0.0.1:9/x.css';</style>", "svg_active"),
    "entities in SVG": lambda: course(
        "svg_doctype", **{PAGE: SHOWN, DRAWING: f'<!DOCTYPE svg [<!ENTITY a "ha"><!ENTITY b "{"&a;" * 99}">]>{SVG}'}
    ),
    "external entity in SVG": lambda: course(
        "svg_doctype", **{PAGE: SHOWN, DRAWING: f'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>{SVG}'}
    ),
    "parts without end in SVG": drawing(REPEATED, "svg_active"),
    "a long word in SVG": lambda: course(
        "", is_ready=True, **{PAGE: SHOWN, DRAWING: SVG.replace("<rect", f"<path style='{'a' * 1_500_000}'/><rect")}
    ),
    "a size beyond all numbers in SVG": lambda: course(
        "svg_size", is_ready=True, **{PAGE: SHOWN, DRAWING: SVG.replace("0 0 40 20", "0 0 1e300 1e300")}
    ),
    "invalid UTF-8": lambda: course("not_utf8", **{PAGE: lesson("three", "Caf\u00e9 x.\n").encode() + b"\xe9\xff\x81"}),
    "binary under a text's name": lambda: course("not_utf8", **{PAGE: bytes(range(256)) * 20}),
    "NUL in a text": page("one\0two\n", "control_character"),
    "Windows-1252": encoded("cp1252", "not_utf8_read"),
    "UTF-16": encoded("utf-16", "not_utf8_read"),
    "BOM": encoded("utf-8-sig", ""),
    "CRLF": encoded("utf-8", "", ends="\r\n"),
    "CR": encoded("utf-8", "", ends="\r"),
    "YAML bomb": front(LAUGHS, "front_broken"),
    "YAML reference": front("sources: &a [x]\nreviewed_by: *a", "front_broken"),
    "YAML tag that runs": front("sources: !!python/object/apply:os.system [id]", "front_broken"),
    "YAML tag that reads": front("sources: !!python/name:os.environ", "front_broken"),
    "YAML tag of nobody's": front("sources: !include /etc/passwd", "front_broken"),
    "YAML nested": front(f"sources: {'[' * 15_000}", "front_broken"),
    "YAML number without end": front(f"reviewed_by: {'9' * 15_000}", "front_broken"),
    "YAML number by minutes and seconds": front(f"reviewed_by: {'1:' * 9_000}1", "front_broken"),
    "YAML without end": front("x: y\n" * 20_000, "front_too_long"),
    "a text without end": page("words " * 100_000, "file_too_large"),
    "a line without end": page("[a](" * 10_000, "line_too_long"),
    "brackets": page("[" * 19_000 + "\n", "", is_ready=True),
    "tags without end": page("<a" * 9_000 + "\n", "", is_ready=True),
    "a checklist without end": page("- [ ] a\n" * 20_000, "", is_ready=True),
    "tables without end": page("\na|b\n-|-\nc|d\n" * 8_000, "", is_ready=True),
    "quotations within quotations": page(">" * 19_000 + " a\n", "", is_ready=True),
    "unknown fields without end": lambda: course(
        "field_unknown", is_ready=True, **{PAGE: lesson("three", **{f"field{n}": 1 for n in range(2500)})}
    ),
    "captions that are none": beside("x.vtt", b"<html><script>alert(1)</script>", "wrong_content"),
    "captions of tags": beside("x.srt", b"1\n00:00:01,000 --> 00:00:02,000\n" + b"<b " * 600_000, "", is_ready=True),
    "captions with a number without end": beside(
        "x.srt", b"1\n00:00:01,000 --> 00:00:02,000\n&#" + b"9" * 100_000 + b";\n", "", is_ready=True
    ),
    "captions of nothing but mistakes": beside("x.vtt", b"WEBVTT\n\n" + b"x\n\n" * 150_000, "captions_broken"),
    "wrong extension: a page as a picture": beside("x.png", b"<html><script>alert(1)</script>", "wrong_content"),
    "wrong extension: a drawing as a photograph": beside("x.jpg", SVG.encode(), "wrong_content"),
    "wrong extension: one picture as another": beside("x.jpg", PNG, "wrong_content"),
    "wrong extension: a program as sound": beside("x.mp3", b"\x7fELF" + bytes(100), "wrong_content"),
    "wrong extension: an archive as a PDF": beside("x.pdf", zip_of({"a": "b"}), "wrong_content"),
    "wrong extension: a page as a film": beside("x.mp4", film_of(b"<html><script>alert(1)</script>"), "film_broken"),
    "wrong extension: text as an archive": lambda: Item((("course.zip", b"# Words\n"),), "archive_broken"),
    "wrong extension: a program": beside("x.exe", b"MZ", "kind_unknown", is_ready=True),
    "two extensions": beside("x.png.html", PNG, "kind_unknown", is_ready=True),
    "capitals in an extension": lambda: course("suffix_case", **{"01-beginning/03.MD": lesson("three")}),
    "polyglot: picture and archive": beside("x.png", PNG + zip_of({"evil.html": "x"}), "two_in_one"),
    "polyglot: PDF and archive": beside("x.pdf", PDF + zip_of({"evil.html": "x"}, zipfile.ZIP_STORED), "two_in_one"),
    "polyglot: picture and script": beside("x.gif", GIF_AND_SCRIPT, "picture_broken"),
    "polyglot: drawing and page": drawing("<html xmlns='http://www.w3.org/1999/xhtml'><script/></html>", "svg_active"),
    "a field that is a mapping": lambda: course(
        "title_wrong", **{PAGE: lesson("three").replace(f"title: {LESSON['title']}", "title: {a: b}")}
    ),
}
