"""Completing: front matter that a file leaves out is filled in with what its text tells, and each filling is said.

What a lesson asks of the body is never guessed: the file says it, the form says it, or the lesson stays out.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml
from flask_babel import force_locale
from flask_babel import gettext as _
from markdown_it.token import Token

from courseapp.authoring.front_matter import FENCED, KEY, read_fields
from courseapp.authoring.patience import A_TEXT, at_most
from courseapp.authoring.report import Report, Unfit
from courseapp.catalog.markdown import parse
from courseapp.catalog.models import Need
from courseapp.catalog.references import FILM, SOUND

WORDS_A_MINUTE = 200
NAMED = {"id": "id", "title": "title", "minutes": "minutes"}
SAY_BEFORE = (
    "Say it in your own words, so that nothing is sprung on the reader: as “shows: …” in the front matter, "
    "in Word in a paragraph with the style “Subtitle”."
)
CHANGE_IT = (
    "The id comes from the file's name, the title from its first heading, the minutes from its length. "
    "Change one there, or say it in the front matter of a Markdown file."
)


@dataclass(frozen=True)
class Gaps:
    """What gaps are filled with: how the form answered, and what is known of the course."""

    language: str = "en"
    needs: Need | None = None
    taken: frozenset[str] = frozenset()
    former: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # fields of lessons that a file may take the place of


@dataclass(frozen=True)
class Completed:
    """A page with nothing missing, and what to call it in the report. `added` lines of front matter stand after line `after`."""

    key: str
    title: str
    text: str
    shown: str
    after: int = 0
    added: int = 0


def complete_lesson(text: str, path: str, gaps: Gaps, report: Report, shown: str) -> Completed:
    """A lesson's page with the fields it lacks. Where it cannot be read it comes back as it is, for reading to say so."""
    head, fields, body = _parted(text, path)
    if fields is None:
        return Completed(name_of(path), "", text, shown)
    try:
        with at_most(A_TEXT):
            tokens = parse(body)
    except Unfit:
        return Completed(name_of(path), "", text, shown)
    title, is_first = _first_heading(tokens)
    said_key = str(fields.get("id") or "")
    key = said_key or _free_key(name_of(path) or slug_of(title) or "lesson", gaps)
    former = gaps.former.get(key, {})
    if not fields.get("title") and title and is_first:
        body = _without_first(body, tokens)
    made = {
        "id": key,
        "title": (title or former.get("title") or _spoken(path))[:200],
        "minutes": min(120, max(1, -(-len(body.split()) // WORDS_A_MINUTE))),
        "shows": former.get("shows") or _what_it_shows(tokens, gaps.language),
        "needs_check": _need(gaps.needs, former),
        **{name: former[name] for name in ("completes", "sources") if name in former},
    }
    lacking = {name: value for name, value in made.items() if value and (fields.get(name) is None or fields[name] == "")}
    _say(lacking, former, fields, shown, report)
    title = str(fields.get("title") or made["title"])
    return Completed(key if KEY.fullmatch(key) else slug_of(key), title, *_with_fields(head, lacking, body, shown))


def complete_module(text: str, path: str, title: str, titles: list[str], report: Report, shown: str) -> Completed:
    """A module's page with the fields it lacks; `title` is the one the form gave, `titles` are those of its lessons."""
    head, fields, body = _parted(text, path)
    if fields is None:
        return Completed("", "", text, path)
    made_title = (title or _spoken(str(PurePosixPath(path).parent)) or (titles or ["Module"])[0])[:200]
    key = str(fields.get("key") or slug_of(str(fields.get("title") or made_title)) or "module")
    made = {"key": key, "title": made_title, "summary": ", ".join(titles)[:1000] or made_title}
    lacking = {name: value for name, value in made.items() if not fields.get(name)}
    if lacking:
        words = ", ".join(f"{name} “{value}”" for name, value in lacking.items())
        report.warn(
            "module_filled_in",
            shown,
            0,
            f"Filled in for the module: {words}.",
            "Add a module.md with key, title and summary to say it yourself.",
        )
    return Completed(key, str(fields.get("title") or made_title), *_with_fields(head, lacking, body, path))


def _parted(text: str, path: str) -> tuple[str, dict[Any, Any] | None, str]:
    """A page's front matter as text, its fields, and its body. No fields (None) where there is front matter that cannot be read."""
    found = FENCED.match(text)
    if found is None:
        return "", {}, text
    return found.group(1), read_fields(found.group(1), path, Report()), text[found.end() :]


def _with_fields(head: str, lacking: dict[str, Any], body: str, shown: str) -> tuple[str, str, int, int]:
    """The page with further fields below those it has; after which line they stand, and how many lines they take."""
    more = yaml.safe_dump(lacking, sort_keys=False, allow_unicode=True, width=10**9) if lacking else ""
    # an empty field of the same name would be there twice
    kept = "".join(line for line in head.splitlines(keepends=True) if line.partition(":")[0] not in lacking)
    gone = head.count("\n") - kept.count("\n")
    fences = 0 if head else 2
    return f"---\n{kept}{more}---\n{body}", shown, kept.count("\n") + 1 if head else 0, more.count("\n") + fences - gone


def _first_heading(tokens: list[Token]) -> tuple[str, bool]:
    """The words of the first heading, and whether nothing stands before it."""
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            children = tokens[index + 1].children or []
            words = "".join(child.content for child in children if child.type in {"text", "code_inline", "softbreak"})
            return " ".join(words.split()), index == 0
    return "", False


def _without_first(body: str, tokens: list[Token]) -> str:
    """The body without its first heading, which became the title; empty lines keep the numbers of those below."""
    start, end = tokens[0].map or (0, 0)
    lines = body.split("\n")
    return "\n".join([*lines[:start], *[""] * (end - start), *lines[end:]])


def _what_it_shows(tokens: list[Token], language: str) -> str:
    """What can be said of a lesson beforehand by a program: text, pictures, film, sound."""
    images = [child for token in tokens for child in token.children or () if child.type == "image"]
    suffixes = {PurePosixPath(str(image.attrGet("src") or "")).suffix.lower() for image in images}
    with force_locale(language.replace("-", "_")):
        words = [_("This lesson is text to read.")]
        words += [_("It has pictures.")] if suffixes - FILM - SOUND else []
        words += [_("It has a film.")] if suffixes & FILM else []
        words += [_("It has sound.")] if suffixes & SOUND else []
    return " ".join(words)


def _need(answered: Need | None, former: Mapping[str, Any]) -> str:
    """What the form answered, but never less than the lesson asked for whose place this one takes. Empty where nobody said."""
    order = list(Need)
    said = [need for need in (answered, Need(former["needs_check"]) if former else None) if need is not None]
    return max(said, key=order.index).value if said else ""


def key_in(text: str) -> str:
    """The id that a page's front matter gives it; empty where it gives none."""
    return str((_parted(text, "")[1] or {}).get("id") or "")


def _say(lacking: dict[str, Any], former: Mapping[str, Any], fields: dict[Any, Any], path: str, report: Report) -> None:
    if not fields.get("needs_check") and "needs_check" not in lacking:
        lacking["needs_check"] = Need.NONE.value  # stands in, so that the rest is looked through; the error keeps it out
        report.error(
            "needs_check_missing",
            path,
            0,
            "Neither the file nor the form says what this lesson asks of the body.",
            "Upload it again and choose it in the form, or write “needs_check: none”, “gentle” or “touch” in the front matter.",
        )
    filled = ", ".join(f"{name} “{lacking[name]}”" for name in NAMED if name in lacking)
    if filled:
        report.warn("filled_in", path, 0, f"Filled in from the file: {filled}.", CHANGE_IT)
    if "shows" in lacking and not former:
        report.warn(
            "shows_filled_in",
            path,
            0,
            f"Nothing says beforehand what the lesson shows; now it says: “{lacking['shows']}”",
            SAY_BEFORE,
        )


def _free_key(key: str, gaps: Gaps) -> str:
    """The id made from a file's name, with a number behind it where another lesson has it."""
    number, free = 1, key
    while free in gaps.taken:
        number += 1
        free = f"{key[:56]}-{number}"
    return free


def name_of(path: str) -> str:
    """The id that a file's name gives: without the number it begins with."""
    stem = PurePosixPath(path).stem
    return slug_of(re.sub(r"^[\d\s._-]+", "", stem)) or slug_of(stem)


def slug_of(words: str) -> str:
    """Words as an id: small letters, digits and hyphens, 60 at most; empty where nothing of that is in them."""
    plain = unicodedata.normalize("NFKD", words.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-")


def _spoken(path: str) -> str:
    """A file's name as a title."""
    words = re.sub(r"[\s_-]+", " ", re.sub(r"^[\d\s._-]+", "", PurePosixPath(path).stem)).strip()
    return words[:1].upper() + words[1:]
