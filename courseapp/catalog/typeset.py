"""A course as a workbook for paper: one tagged PDF (PDF/UA-1), the same bytes for the same input on every machine.

Typst lays out `print.typ`, which reads the course as JSON; what people wrote is never code. Only the fonts inside Typst are used.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import typst
from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from markdown_it.token import Token

from courseapp.catalog.manuscript import Surround, manuscript_of, picture_paths
from courseapp.catalog.references import BOXES

TEMPLATE = Path(__file__).with_name("print.typ")
FONTS = typst.Fonts(include_system_fonts=False)  # a machine's own fonts would change the line breaks
NO_GLYPH = re.compile(r'the text `"(.+?)"` could not be displayed|disallowed codepoint `"(.+?)"`')

WORDS = frozenset(
    {
        *BOXES,  # the standard titles of the boxes, by container name
        "contents",
        "check",  # the title of the safety check
        "check_intro",
        "check_step",  # {number}, {total}
        "check_clear",  # what it means when nothing is ticked
        "module",  # {number}
        "lesson",  # {number}
        "minutes",  # {number}
        "page",  # {number}: a reference inside the copy
        "elsewhere",  # beside a link to a lesson that this copy leaves out
        "shows",
        "sources",
        "picture",
        "recording",
        "version",  # {number}
    }
)
"""What `PrintedCourse.words` must hold; those with a name in braces have it replaced."""


@dataclass(frozen=True)
class PrintedLesson:
    """A lesson as this copy shows it: `tokens` of `markdown.parse` or `variant_of`; `folder` is where its pictures' paths start.

    `number` counts through the course; `link_anchor` is the lesson's key.
    """

    number: int
    title: str
    minutes: int
    shows: str
    tokens: Sequence[Token]
    sources: Sequence[str]
    review_words: str
    folder: str
    link_anchor: str


@dataclass(frozen=True)
class PrintedModule:
    """A module: it opens on a fresh page."""

    number: int
    title: str
    summary: str
    lessons: Sequence[PrintedLesson]


@dataclass(frozen=True)
class PrintedScreen:
    """One screen of the safety check: signs to tick, and in one or two sentences what any tick among them means."""

    title: str
    intro: str
    signs: Sequence[str]
    outcome: str


@dataclass(frozen=True)
class PrintedCourse:
    """Everything on paper, in ready words. `title` also becomes the document's title and running head: keep it neutral.

    `words` holds all of `WORDS`. `left_out_words` says what this copy leaves out, if anything; `site_url` without a slash at its end.
    """

    title: str
    subtitle: str
    edition: str
    version: int
    language: str
    day: date
    site_name: str
    site_url: str
    notice: str
    check: Sequence[PrintedScreen]
    modules: Sequence[PrintedModule]
    words: Mapping[str, str] = field(repr=False)
    left_out_words: str | None = None


def typeset(course: PrintedCourse, assets: Mapping[str, bytes]) -> bytes:
    """The PDF. `assets` are pictures by path inside the course folder (SVG, PNG, JPEG, GIF, WebP).

    A picture that is missing or cannot be read is replaced by its words. Characters in none of Typst's fonts (emoji, Chinese)
    are named in brackets. KeyError where `course.words` lacks one of `WORDS`.
    """
    if missing := WORDS - course.words.keys():
        raise KeyError(f"words for the printed copy are missing: {', '.join(sorted(missing))}")
    shown = {path for lesson in _lessons(course) for path in picture_paths(lesson.tokens, lesson.folder)}
    paths = sorted(path for path in shown & assets.keys() if _is_drawable(assets[path]))
    pictures = {path: f"picture-{number}" for number, path in enumerate(paths)}
    drawn = {name: assets[path] for path, name in pictures.items()}
    return _printable(_data_of(course, pictures), drawn, datetime.combine(course.day, time(), UTC))


def _lessons(course: PrintedCourse) -> Iterator[PrintedLesson]:
    for module in course.modules:
        yield from module.lessons


def _data_of(course: PrintedCourse, pictures: Mapping[str, str]) -> dict[str, Any]:
    numbers = {lesson.link_anchor: lesson.number for lesson in _lessons(course)}
    day = course.day
    language, _, region = course.language.replace("_", "-").partition("-")
    return {
        **{name: getattr(course, name) for name in ("title", "subtitle", "edition", "version", "site_name", "notice", "left_out_words")},
        "words": dict(course.words),
        "language": language if re.fullmatch("[a-zA-Z]{2,3}", language) else "en",
        "region": region if re.fullmatch("[a-zA-Z]{2}", region) else None,
        "day": [day.year, day.month, day.day],
        "day_words": _day_words(day, course.language),
        "site": course.site_url.partition("://")[2] or course.site_url,
        "check": [asdict(screen) for screen in course.check],
        "modules": [
            {
                **{name: getattr(module, name) for name in ("number", "title", "summary")},
                "lessons": [_lesson_data(lesson, course, numbers, pictures) for lesson in module.lessons],
            }
            for module in course.modules
        ],
    }


def _lesson_data(lesson: PrintedLesson, course: PrintedCourse, numbers: Mapping[str, int], pictures: Mapping[str, str]) -> dict[str, Any]:
    around = Surround(lesson.folder, numbers, pictures, course.words, course.site_url)
    ready = {name: getattr(lesson, name) for name in ("number", "title", "minutes", "shows", "review_words")}
    body = manuscript_of(lesson.tokens, around)
    if body and (lesson.sources or lesson.review_words):
        body[-1]["keep"] = True  # sources never stand alone on a page
    return {**ready, "sources": list(lesson.sources), "body": body}


def _day_words(day: date, language: str) -> str:
    try:
        return format_date(day, "long", locale=Locale.parse(language.replace("-", "_")))
    except (UnknownLocaleError, ValueError):
        return day.isoformat()


def _printable(data: dict[str, Any], pictures: Mapping[str, bytes], moment: datetime) -> bytes:
    """Compiles, names the characters that no font has, and compiles again; as a last resort tagged, but without the PDF/UA claim."""
    data = _mapped(data, str.translate, _Unprintable())
    for _attempt in range(3):
        try:
            return _compiled(data, pictures, moment, accessible=True)
        except typst.TypstError as error:
            lacking = {_unescaped(one or other) for one, other in NO_GLYPH.findall(error.diagnostic)}
            if not lacking:
                break
            for text in sorted(lacking, key=len, reverse=True):
                data = _mapped(data, str.replace, text, _named(text))
    return _compiled(data, pictures, moment, accessible=False)


def _compiled(data: dict[str, Any], pictures: Mapping[str, bytes], moment: datetime, accessible: bool) -> bytes:
    sources = {"main.typ": TEMPLATE.read_bytes(), "course.json": json.dumps(data).encode()}
    return _pdf_of(sources, pictures, timestamp=moment, pdf_standards=["ua-1"] if accessible else [])


def _is_drawable(picture: bytes) -> bool:
    try:
        _pdf_of({"main.typ": b'#image(read("picture", encoding: none))'}, {"picture": picture})
    except typst.TypstError:
        return False
    return True


def _pdf_of(sources: Mapping[str, bytes], pictures: Mapping[str, bytes], **settings: Any) -> bytes:
    # Typst looks on the disk for what is not in `sources`, and an SVG may link to files: a root of its own has nothing else to give away.
    # Pictures lie in it because sources must be UTF-8.
    with TemporaryDirectory() as root:
        for name, picture in pictures.items():
            Path(root, name).write_bytes(picture)
        # `Any`: a dictionary of names to bytes is documented, though the stub does not say so
        return cast(bytes, typst.compile(cast(Any, sources), None, root=root, font_paths=FONTS, ignore_system_fonts=True, **settings))


def _mapped(data: Any, change: Any, *arguments: Any) -> Any:
    """The data with every string in it changed."""
    if isinstance(data, str):
        return change(data, *arguments)
    if isinstance(data, dict):
        return {key: _mapped(value, change, *arguments) for key, value in data.items()}
    return [_mapped(value, change, *arguments) for value in data] if isinstance(data, list) else data


class _Unprintable(dict[int, str]):
    """Control characters and non-characters, which no PDF may hold: white space becomes a space, the byte order mark goes."""

    def __missing__(self, point: int) -> str:
        character = chr(point)
        if character == "\ufeff":
            return ""
        if character in "\t\r":
            return " "
        is_text = unicodedata.category(character) not in {"Cc", "Cs"} and point & 0xFFFE != 0xFFFE
        return character if is_text or character == "\n" else "\ufffd"


def _unescaped(text: str) -> str:
    """What Typst's message names, without the escapes that Rust's debug form adds."""
    return re.sub(r"\\u\{([0-9a-f]+)\}", lambda found: chr(int(found[1], 16)), text).replace("\\\\", "\\")


def _named(text: str) -> str:
    """Characters without a glyph, by their names: `[party popper]`. A mark that combines is left away rather than its letter."""
    marks = [character for character in text if unicodedata.category(character).startswith("M")]
    if marks and len(marks) < len(text):
        return "".join(character for character in text if character not in marks)
    return "".join(f"[{_name_of(character)}]" for character in text)


def _name_of(character: str) -> str:
    code = f"U+{ord(character):04X}"
    # a symbol's name says what it shows; a letter's says nothing to whoever reads the language
    return code if unicodedata.category(character).startswith("L") else unicodedata.name(character, code).lower()
