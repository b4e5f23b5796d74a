"""What a lesson's Markdown refers to (files, lessons, pages): resolved to addresses, or named as a problem with its line."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote

from markdown_it.token import Token

BOXES = ("stop-if", "note", "practice", "key", "paper")
VARIANTS = ("standard", "adapted")
SOUND = {".mp3", ".m4a", ".ogg", ".wav"}
FILM = {".mp4", ".webm", ".m4v", ".mov", ".3gp", ".mkv"}  # as they were sent; what is served is MP4 or WebM
PAPERS = {".pdf"}
PAGES = {"help-now": "/help-now", "safety-check": "/safety-check"}
PAPER_NAME = "worksheet.pdf"  # what a download is called on a shared device: nothing of the course


@dataclass(frozen=True)
class AssetPlace:
    """Where a file beside the lessons is served, and its size in pixels where it has one.

    `smaller` are WebP forms of a picture, address and width in pixels; `poster_url` is the still of a film; `transcript` holds
    the paragraphs of what is said in a film or sound (`captions.py` makes them of the captions).
    """

    url: str
    width: int | None = None
    height: int | None = None
    captions_url: str | None = None
    smaller: tuple[tuple[str, int], ...] = ()
    poster_url: str | None = None
    transcript: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What a lesson's references may point at: files by path relative to the course folder, lessons by key."""

    folder: str
    assets: Mapping[str, AssetPlace]
    lessons: Mapping[str, str]
    language: str = "en"
    box_titles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """Something wrong at a line of the body (1-based within the body), and how to mend it."""

    code: str
    line: int
    message: str
    mend: str


def resolve(tokens: list[Token], around: Surroundings, problems: list[Problem], assets: set[str]) -> None:
    """Put addresses into the tokens in place; `problems` and `assets` (paths of files that are shown) are added to."""
    line = 1
    for token in tokens:
        line = token.map[0] + 1 if token.map else line
        for child in _with_children(token):
            if child.type == "image":
                _resolve_image(child, around, problems, assets, line)
            elif child.type == "link_open":
                _resolve_link(child, around, problems, assets, line)
    for number, text in _plain_lines(tokens):
        if found := re.match(r"^:::\s*([\w-]*)", text):
            name = found.group(1)
            words = f"“::: {name}” is not a container we know." if name else "This “:::” closes nothing."
            problems.append(Problem("container_unknown", number, words, f"Use one of: {', '.join((*BOXES, *VARIANTS))}."))


def _plain_lines(tokens: list[Token]) -> Iterator[tuple[int, str]]:
    for token in tokens:
        if token.type == "inline" and token.map:
            for offset, text in enumerate(token.content.split("\n")):
                yield token.map[0] + 1 + offset, text


def _with_children(token: Token) -> Iterator[Token]:
    for child in token.children or ():
        yield child
        yield from _with_children(child)


def _resolve_image(child: Token, around: Surroundings, problems: list[Problem], assets: set[str], line: int) -> None:
    target = unquote(str(child.attrGet("src") or ""))  # the parser percent-encodes blanks and letters beyond ASCII
    if "://" in target or target.startswith(("//", "data:")):
        problems.append(
            Problem(
                "image_elsewhere",
                line,
                f"The image “{target[:80]}” lies on another site.",
                "Put the file beside the lesson and name it by its path.",
            )
        )
        child.attrSet("src", "")
        return
    path = normal_path(around.folder, target)
    place = around.assets.get(path) if path else None
    if place is None or path is None:
        problems.append(
            Problem(
                "file_missing",
                line,
                f"The file “{target}” is not there.",
                "Add it beside the lesson, or correct its name (letter case counts).",
            )
        )
        return
    if not child.content.strip() and PurePosixPath(target).suffix.lower() not in SOUND | FILM:
        problems.append(_without_words(target, line))
    assets.add(path)
    child.attrSet("src", place.url)
    child.meta["place"] = place
    child.meta["path"] = path


def _without_words(target: str, line: int) -> Problem:
    if PurePosixPath(target).suffix.lower() in PAPERS:
        return Problem("words_missing", line, f"The file “{target}” has no words to choose it by.", "Write them: ![The worksheet](…).")
    mend = "Write them between the square brackets: ![what it shows](…)."
    return Problem("alt_missing", line, f"The image “{target}” has no words for people who cannot see it.", mend)


def _resolve_link(child: Token, around: Surroundings, problems: list[Problem], assets: set[str], line: int) -> None:
    target = str(child.attrGet("href") or "")
    kind, _colon, rest = target.partition(":")
    path = normal_path(around.folder, unquote(target))
    if path in around.assets and PurePosixPath(path or "").suffix.lower() in PAPERS:
        assets.add(str(path))
        child.attrSet("href", around.assets[str(path)].url)
        child.attrSet("download", PAPER_NAME)
    elif kind == "lesson":
        if rest in around.lessons:
            child.attrSet("href", around.lessons[rest])
        else:
            problems.append(
                Problem("lesson_unknown", line, f"There is no lesson “{rest}” to link to.", "Use the id from that lesson's front matter.")
            )
    elif kind == "page":
        if rest in PAGES:
            child.attrSet("href", PAGES[rest])
        else:
            problems.append(Problem("page_unknown", line, f"There is no page “{rest}” to link to.", f"Use one of: {', '.join(PAGES)}."))
    elif kind.lower() not in {"http", "https", "mailto"} and not target.startswith("#"):
        problems.append(
            Problem("link_unsafe", line, f"The link “{target[:80]}” would not work.", "Use https://…, mailto:…, lesson:… or page:…")
        )


def normal_path(folder: str, target: str) -> str | None:
    """`target` seen from `folder`, as a path inside the course folder; None where it would leave it."""
    parts: list[str] = []
    for part in [*PurePosixPath(folder).parts, *PurePosixPath(target).parts]:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in {".", "/"}:
            parts.append(part)
    return unicodedata.normalize("NFC", "/".join(parts))  # as receiving composes the names of files
