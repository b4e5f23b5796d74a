"""The printed copy: tagged, the same bytes every time, and whatever people write stands on the paper as they wrote it."""

import re
import struct
import time
import zlib
from collections.abc import Sequence
from datetime import date
from io import BytesIO
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader
from pypdf.generic import DictionaryObject

from courseapp.catalog import typeset as typesetting
from courseapp.catalog.manuscript import Surround, manuscript_of
from courseapp.catalog.markdown import parse, variant_of
from courseapp.catalog.references import BOXES
from courseapp.catalog.typeset import WORDS, PrintedCourse, PrintedLesson, PrintedModule, PrintedScreen, typeset
from tests.authoring.folders import COURSES

SVG = b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 300 100'><rect width='300' height='100' fill='#cde'/></svg>"


def png() -> bytes:
    """A PNG of one pixel."""
    parts = (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0abc")), (b"IEND", b"")
    packed = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


PNG = png()
FRAGMENTS = [
    '#import "x": y',
    "#{1+1}",
    "$x^2$",
    "@ref",
    "<label>",
    "\\",
    "//",
    "/* */",
    "*a*",
    "_b_",
    "`",
    "= h",
    "- l",
    "#",
    "]",
    "🎉",
    "漢",
    "שלום",
    "عربى",
]
EVERYTHING = """
A note[^1], once more[^1], [outside](https://example.org/a?b=1&c=2), <https://example.com/x>, [mail](mailto:a@example.org),
[there](lesson:second), [not there](lesson:nowhere), [help](page:help-now), [check](page:safety-check).

[^1]: What the **note** says, with [a link](https://example.net).

##### A level skipped

# The highest [level](https://example.org)[^1]

##

1. one
   - inner *emphasis* ~~gone~~ `code`

- [ ] to do
- [x] done
- not a task

> quoted

```
#set page(width: 1pt)
```

***

| Left | Right |
|:-----|------:|
| a    |       |

![The words of the picture](pic.svg "Its caption")

![Words of one that is not there](lost.png)

![Words of one that is broken](broken.svg)

![A recording](breath.mp3)

Beside ![small](pic.svg) words.

[](https://example.org)

::: stop-if
- sharp pain
:::

::: paper My own sheet
Name: ______
Date: ______

____

____

- [ ] ____

| Day | Done |
|-----|------|
| Mon |      |
:::

::: note
:::

::: adapted
Only gently.
:::

::: standard
Only fully.
:::
"""


def words(**changes: str) -> dict[str, str]:
    """Fixed strings, each its own key, with the names that are replaced."""
    plain = {key: f"({key})" for key in WORDS}
    numbered = {key: f"{key} {{number}}" for key in ("module", "lesson", "minutes", "page", "version")}
    return {**plain, **numbered, "check_step": "{number} of {total}", **changes}


def lesson(body: str = "Text.", number: int = 1, key: str = "first", **changes: Any) -> PrintedLesson:
    """A lesson from its Markdown."""
    ready: dict[str, Any] = {
        "title": f"Lesson called {key}",
        "minutes": 5,
        "shows": "What it shows.",
        "sources": ["A source"],
        "review_words": "Not reviewed.",
    }
    return PrintedLesson(number=number, tokens=variant_of(parse(body), "standard"), folder="01-m", link_anchor=key, **{**ready, **changes})


def course(*lessons: PrintedLesson, **changes: Any) -> PrintedCourse:
    """A course of one module."""
    ready: dict[str, Any] = {
        "title": "Your course",
        "subtitle": "A workbook",
        "edition": "Edition 2026-11",
        "version": 3,
        "language": "en-GB",
        "day": date(2026, 11, 22),
        "site_name": "Example",
        "site_url": "https://example.org",
        "notice": "Education, not advice.",
        "check": [PrintedScreen("Any of these?", "Look.", ["a sign", "another sign"], "Get help now.")],
        "modules": [PrintedModule(1, "A module", "Its summary", lessons or (lesson(),))],
        "words": words(),
    }
    return PrintedCourse(**{**ready, **changes})


def text_of(pdf: bytes) -> str:
    """All words on the pages, in order."""
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)


def structure_of(pdf: bytes) -> list[DictionaryObject]:
    """The elements of the structure tree, depth first."""
    found: list[DictionaryObject] = []

    def walk(node: Any) -> None:
        node = node.get_object()
        if isinstance(node, list):
            for child in node:
                walk(child)
        elif isinstance(node, DictionaryObject):
            if "/S" in node:
                found.append(node)
            if "/K" in node:
                walk(node["/K"])

    walk(PdfReader(BytesIO(pdf)).trailer["/Root"]["/StructTreeRoot"]["/K"])
    return found


def claims_pdf_ua(pdf: bytes) -> bool:
    """Whether its metadata say PDF/UA-1."""
    metadata = PdfReader(BytesIO(pdf)).trailer["/Root"]["/Metadata"].get_object().get_data()
    return re.search(rb"pdfuaid:part[>=\"' ]+1", metadata) is not None


def leaves(node: Any) -> list[str]:
    """The texts of a manuscript, in order."""
    if isinstance(node, dict):
        own = [node["text"]] if node.get("is") in {"text", "mono", "code"} else []
        return own + leaves(node.get("body"))
    return [text for child in node for text in leaves(child)] if isinstance(node, list) else []


@pytest.fixture(scope="module")
def everything() -> bytes:
    """A copy with one of everything a lesson can hold."""
    two = [lesson(EVERYTHING), lesson("The second.", 2, "second")]
    return typeset(course(*two), {"01-m/pic.svg": SVG, "01-m/broken.svg": b"<svg", "01-m/unused.png": b"not a picture"})


def test_a_copy_is_tagged_and_says_pdf_ua(everything: bytes) -> None:
    root = PdfReader(BytesIO(everything)).trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/StructTreeRoot"]["/K"]
    assert root["/Lang"] == "en-GB"
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert claims_pdf_ua(everything)


def test_its_title_is_the_neutral_one_and_nothing_else_is_told_about_it(everything: bytes) -> None:
    about = PdfReader(BytesIO(everything)).metadata
    assert about is not None
    assert about.title == "Your course"
    assert not about.author
    assert not about.keywords
    assert not about.subject


def test_headings_tables_lists_notes_and_links_are_tagged_as_such(everything: bytes) -> None:
    kinds = {str(element["/S"]) for element in structure_of(everything)}
    assert kinds >= {"/H1", "/H2", "/H3", "/P", "/L", "/LI", "/Table", "/TH", "/TD", "/Figure", "/Caption", "/Note", "/Link", "/TOC"}


def test_no_heading_level_is_skipped_whatever_the_author_wrote(everything: bytes) -> None:
    levels = [int(element["/S"][2:]) for element in structure_of(everything) if re.fullmatch(r"/H[1-6]", element["/S"])]
    assert all(following <= level + 1 for level, following in pairwise(levels)), levels


def test_pictures_carry_their_words_and_lost_ones_are_replaced_by_them(everything: bytes) -> None:
    alternatives = [str(element["/Alt"]) for element in structure_of(everything) if element["/S"] == "/Figure"]
    assert "The words of the picture" in alternatives
    assert all(alternatives)
    text = text_of(everything)
    assert "Its caption" in text
    assert "Words of one that is not there" in text
    assert "Words of one that is broken" in text
    assert "A recording" in text


def test_links_inside_name_the_page_and_links_outside_print_their_address(everything: bytes) -> None:
    text = re.sub(r"\s+", " ", text_of(everything))
    pages = [page.extract_text() for page in PdfReader(BytesIO(everything)).pages]
    second = next(number for number, page in enumerate(pages, 1) if "lesson 2" in page and "The second." in page)
    assert f"there (page {second})" in text
    assert "not there ((elsewhere))" in text
    assert "check (page 3)" in text
    assert "example.org/a?b=1&c=2" in text
    assert "example.org/help-now" in text


def test_a_copy_shows_the_variant_it_was_given(everything: bytes) -> None:
    assert "Only fully." in text_of(everything)
    assert "Only gently." not in text_of(everything)
    gentle = lesson()
    gentle = PrintedLesson(**{**vars(gentle), "tokens": variant_of(parse(EVERYTHING), "adapted")})
    assert "Only gently." in text_of(typeset(course(gentle), {}))


def test_the_front_says_what_it_is_and_the_check_comes_before_the_lessons(everything: bytes) -> None:
    pages = [page.extract_text() for page in PdfReader(BytesIO(everything)).pages]
    assert "Education, not advice." in pages[0]
    assert "22 November 2026" in pages[0]
    assert "version 3" in pages[0]
    assert "(contents)" in pages[1]
    assert "another sign" in pages[2]
    assert "Get help now." in pages[2]
    assert "(check_clear)" in pages[2]
    assert "Lesson called first" in pages[3]
    assert all("Your course" in page and "version 3 · 22 November 2026" in page for page in pages[1:])


def test_what_is_left_out_is_said() -> None:
    assert "Three lessons are left out." in text_of(typeset(course(left_out_words="Three lessons are left out."), {}))


def test_the_same_course_gives_the_same_bytes(everything: bytes) -> None:
    one = course(lesson(EVERYTHING), lesson("The second.", 2, "second"))
    assert typeset(one, {"01-m/pic.svg": SVG, "01-m/broken.svg": b"<svg"}) == everything


def test_only_fonts_that_typst_carries_are_used(everything: bytes) -> None:
    fonts = {
        str(font.get_object()["/BaseFont"]).partition("+")[2]
        for page in PdfReader(BytesIO(everything)).pages
        for font in page["/Resources"].get("/Font", {}).values()
    }
    assert fonts
    assert all(re.match("Libertinus|NewCM|NewComputerModern|DejaVu", font) for font in fonts), fonts


def test_a_picture_cannot_reach_files_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = SVG.replace(b"rect", b"image href='secret.png'")
    (tmp_path / "secret.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    assert "Words instead" in text_of(typeset(course(lesson("![Words instead](pic.svg)")), {"01-m/pic.svg": secret}))
    assert "Words instead" not in text_of(typeset(course(lesson("![Words instead](pic.png)")), {"01-m/pic.png": PNG}))


def test_lines_to_write_on_come_from_underscores_and_from_rules_on_sheets() -> None:
    around = Surround("", {}, {}, dict.fromkeys(BOXES, ""), "")
    sheet, rule = manuscript_of(parse("::: paper\nName: ___ \n\n____\n\n____\n:::\n\n____"), around)
    assert [node["is"] for node in sheet["body"]] == ["paragraph", "lines"]
    assert [node["is"] for node in sheet["body"][0]["body"]] == ["text", "write"]
    assert sheet["body"][1]["count"] == 2
    assert rule["is"] == "pause"


def test_a_word_that_is_missing_is_named() -> None:
    lacking = words()
    del lacking["contents"]
    with pytest.raises(KeyError, match="contents"):
        typeset(course(words=lacking), {})


def test_characters_without_a_glyph_are_named_and_the_copy_stays_accessible() -> None:
    pdf = typeset(course(lesson("Well done 🎉 漢, \x01\ufeff\ufffe and שלום عربى ❤️.", title="🎉", sources=["\x00 👩‍👩‍👧"])), {})
    assert "[party popper]" in text_of(pdf)
    assert "[U+6F22]" in text_of(pdf)
    assert claims_pdf_ua(pdf)


def test_what_is_nested_deeper_than_paper_allows_is_set_flat() -> None:
    quotes = "\n".join(f"{'>' * depth} quote {depth}" for depth in range(1, 30))
    lists = "\n".join(f"{'  ' * depth}- item {depth}" for depth in range(30))
    assert "quote 15" in text_of(typeset(course(lesson(f"{quotes}\n\n# Between\n\n{lists}\n\n{'*a **b ' * 20}{'** c*' * 20}")), {}))


anything = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=12)), max_size=6).map("".join)
printable = st.lists(
    st.one_of(st.sampled_from(FRAGMENTS[:15]), st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)),
    min_size=1,
    max_size=6,
).map("".join)


@given(anything)
@example("".join(FRAGMENTS))
@settings(max_examples=40, deadline=None)
def test_no_text_can_stop_the_press(text: str) -> None:
    words_of_all = words(note=text, page=text, sources=text)
    everywhere = lesson(text, title=text, shows=text, sources=[text], review_words=text)
    boxed = lesson(f"::: note {text}\n{text}\n:::\n\n- {text}\n\n[{text}](https://example.org/{text})\n\n![{text}](x.svg)", 2, "second")
    assert typeset(course(everywhere, boxed, subtitle=text, notice=text, words=words_of_all, left_out_words=text), {})[:5] == b"%PDF-"


@given(printable)
@example('#import"x"$a$@b<c>\\//[*d*_e_`f`~--\'"')
@settings(max_examples=40, deadline=None)
def test_any_text_stands_on_the_paper_as_it_was_written(text: str) -> None:
    paper = re.sub(r"\s", "", text_of(typeset(course(lesson(review_words=f"[[{text}]]"), check=()), {})))
    assert f"[[{text}]]".replace(" ", "") in paper


@given(anything)
@settings(max_examples=200, deadline=None)
def test_a_manuscript_holds_every_text_verbatim(text: str) -> None:
    around = Surround("", {}, {}, {}, "")
    held = "".join(leaves(manuscript_of(parse("    " + re.sub(r"\s", " ", text)), around)))
    assert held.strip() == re.sub(r"\s", " ", text).replace("\0", "\ufffd").strip()


def front_and_body(path: Path) -> tuple[dict[str, Any], str]:
    """A content file's front matter and its Markdown."""
    _before, front, body = path.read_text().split("---\n", 2)
    return yaml.safe_load(front), body


def printed(ours: Path) -> tuple[Sequence[PrintedModule], dict[str, bytes]]:
    """A course in content/, as its printed copy for those told to go ahead takes it."""
    modules, numbers = [], count(1)
    for place, folder in enumerate(sorted(path for path in ours.iterdir() if path.is_dir()), 1):
        lessons = []
        for path in sorted(folder.glob("[0-9]*.md")):
            front, body = front_and_body(path)
            tokens, sources = variant_of(parse(body), "standard"), front["sources"] or []
            lessons.append(
                PrintedLesson(
                    next(numbers), front["title"], front["minutes"], front["shows"], tokens, sources, "", folder.name, front["id"]
                )
            )
        front, _body = front_and_body(folder / "module.md")
        modules.append(PrintedModule(place, front["title"], front["summary"], lessons))
    return modules, {str(path.relative_to(ours)): path.read_bytes() for path in ours.rglob("*.svg")}


@pytest.mark.parametrize("ours", COURSES, ids=lambda folder: folder.name)
def test_our_courses_print_small_accessible_and_whole(ours: Path) -> None:
    modules, assets = printed(ours)
    started = time.perf_counter()
    pdf = typeset(course(modules=modules), assets)
    assert time.perf_counter() - started < 20  # a stuck layout, not a slow machine; the time itself is measured in bench/
    assert claims_pdf_ua(pdf)
    assert len(pdf) < 1_500_000
    text = re.sub(r"\s", "", text_of(pdf))
    assert all(re.sub(r"\s", "", lesson.title) in text for module in modules for lesson in module.lessons)
    assert "(picture)" not in text  # every picture is there


def test_the_press_opens_no_file_but_its_template(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typesetting, "TEMPLATE", Path("/nowhere/print.typ"))
    with pytest.raises(FileNotFoundError):
        typeset(course(), {})
