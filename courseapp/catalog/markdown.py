"""A lesson's Markdown → sanitised HTML, once, when it is imported; and what is wrong with it, with the line.

CommonMark with tables, footnotes, task lists and our own containers (`::: stop-if`). Raw HTML is not read. The tokens of
`parse` are also what the printed copy is set from, so page and paper cannot drift apart.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import nh3
from flask_babel import gettext as _
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.container import container_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.tasklists import tasklists_plugin

BOXES = ("stop-if", "note", "practice", "key", "paper")
VARIANTS = ("standard", "adapted")
SOUND = {".mp3", ".m4a", ".ogg", ".wav"}
FILM = {".mp4", ".webm"}
PAGES = {"help-now": "/help-now", "safety-check": "/safety-check"}

ALLOWED_TAGS = {
    *("h2", "h3", "h4", "h5", "p", "br", "hr", "blockquote", "pre", "code", "div", "section", "aside", "span"),
    *("a", "strong", "em", "s", "del", "sub", "sup", "ul", "ol", "li", "dl", "dt", "dd", "input", "label"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "img", "audio", "video", "track"),
}
ALLOWED_ATTRIBUTES = {
    "a": {"href", "id", "class"},
    "aside": {"class"},
    "audio": {"src", "controls", "preload"},
    "div": {"class", "tabindex", "role", "aria-label"},
    "h2": {"id"},
    "img": {"src", "alt", "width", "height", "loading"},
    "input": {"type", "class", "disabled", "checked"},
    "label": {"class"},
    "li": {"id", "class"},
    "ol": {"class", "start"},
    "p": {"class"},
    "section": {"class"},
    "sup": {"class"},
    "td": {"class"},
    "th": {"class", "scope"},
    "track": {"src", "kind", "srclang", "default"},
    "ul": {"class"},
    "video": {"src", "controls", "preload", "width", "height"},
    "hr": {"class"},
}


@dataclass(frozen=True)
class AssetPlace:
    """Where a file beside the lessons is served, and its size in pixels where it has one."""

    url: str
    width: int | None = None
    height: int | None = None
    captions_url: str | None = None


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


@dataclass(frozen=True)
class Rendered:
    """A lesson's HTML. `adapted_html` is None where the lesson has no variants; `assets` are the paths it shows."""

    html: str
    adapted_html: str | None
    stop_html: str
    problems: tuple[Problem, ...]
    assets: frozenset[str]


def render(source: str, around: Surroundings) -> Rendered:
    """Everything a page view needs of a lesson's Markdown."""
    tokens = parse(source)
    problems: list[Problem] = []
    assets: set[str] = set()
    _resolve(tokens, around, problems, assets)
    has_variants = any(token.type in {f"container_{name}_open" for name in VARIANTS} for token in tokens)
    html = _to_html(variant_of(tokens, "standard"), around)
    adapted = _to_html(variant_of(tokens, "adapted"), around) if has_variants else None
    return Rendered(html, adapted, _to_html(stop_box_of(tokens), around), tuple(problems), frozenset(assets))


def parse(source: str) -> list[Token]:
    """The body's block tokens; an image alone in its paragraph has become a `figure` token."""
    return _figures(_reader().parse(source, {}))


def box_titles() -> dict[str, str]:
    """The titles of containers that carry none of their own, in the present language."""
    return {
        "stop-if": _("Stop if"),
        "note": _("Good to know"),
        "practice": _("Practice"),
        "key": _("To remember"),
        "paper": _("To fill in"),
        "table": _("Table"),
    }


def variant_of(tokens: list[Token], variant: str) -> list[Token]:
    """The tokens as one variant shows them: without the other variant's containers."""
    other = VARIANTS[1 - VARIANTS.index(variant)]
    kept, depth = [], 0
    for token in tokens:
        if token.type == f"container_{other}_open":
            depth += 1
        if not depth:
            kept.append(token)
        if token.type == f"container_{other}_close":
            depth -= 1
    return kept


def stop_box_of(tokens: list[Token]) -> list[Token]:
    """What stands inside the first *stop if* container."""
    inside, found = [], False
    for token in tokens:
        if token.type == "container_stop-if_close" and found:
            break
        if found:
            inside.append(token)
        found = found or token.type == "container_stop-if_open"
    return inside


def count_boxes(tokens: list[Token], name: str) -> int:
    """How many containers of a name there are."""
    return sum(token.type == f"container_{name}_open" for token in tokens)


def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "typographer": True, "linkify": False})
    reader.enable(["table", "strikethrough", "replacements", "smartquotes"])
    reader.use(footnote_plugin).use(tasklists_plugin, label=True)
    for name in (*BOXES, *VARIANTS):
        reader.use(container_plugin, name=name)
    return reader


def _figures(tokens: list[Token]) -> list[Token]:
    result: list[Token] = []
    index = 0
    while index < len(tokens):
        group = tokens[index : index + 3]
        if (
            len(group) == 3
            and group[0].type == "paragraph_open"
            and group[1].children
            and len(group[1].children) == 1
            and group[1].children[0].type == "image"
        ):
            figure = Token("figure", "figure", 0, map=group[1].map, block=True)
            figure.children = group[1].children
            result.append(figure)
            index += 3
        else:
            result.append(tokens[index])
            index += 1
    return result


def _resolve(tokens: list[Token], around: Surroundings, problems: list[Problem], assets: set[str]) -> None:
    line = 1
    for token in tokens:
        line = token.map[0] + 1 if token.map else line
        for child in _with_children(token):
            if child.type == "image":
                _resolve_image(child, around, problems, assets, line)
            elif child.type == "link_open":
                _resolve_link(child, around, problems, line)
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
        problems.append(
            Problem(
                "alt_missing",
                line,
                f"The image “{target}” has no words for people who cannot see it.",
                "Write them between the square brackets: ![what it shows](…).",
            )
        )
    assets.add(path)
    child.attrSet("src", place.url)
    child.meta["place"] = place
    child.meta["path"] = path


def _resolve_link(child: Token, around: Surroundings, problems: list[Problem], line: int) -> None:
    target = str(child.attrGet("href") or "")
    kind, _colon, rest = target.partition(":")
    if kind == "lesson":
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


def _to_html(tokens: list[Token], around: Surroundings) -> str:
    writer = _reader()
    rules: dict[str, Callable[..., str]] = {
        "figure": lambda tokens, index, options, env: _figure_html(tokens[index]),
        "image": lambda tokens, index, options, env: _media_html(tokens[index]),
        "table_open": lambda tokens, index, options, env: _table_opening(tokens, index, around),
        "table_close": lambda *_: "</table></div>\n",
        "heading_open": lambda tokens, index, options, env: f"<{_heading(tokens[index])}>",
        "heading_close": lambda tokens, index, options, env: f"</{_heading(tokens[index])}>\n",
    }
    for name in BOXES:
        rules[f"container_{name}_open"] = _box_opener(name, around)
        rules[f"container_{name}_close"] = lambda *_: "</aside>\n"
    for name in VARIANTS:
        rules[f"container_{name}_open"] = rules[f"container_{name}_close"] = lambda *_: ""
    for name, rule in rules.items():
        writer.add_render_rule(name, _bound(rule))
    return sanitised(writer.renderer.render(tokens, writer.options, {}))


def _heading(token: Token) -> str:
    """The lesson's title is the page's h1, so headings of the text begin below it; h5 is the least there is."""
    return f"h{min(5, max(2, int(token.tag[1:])))}"


def _table_opening(tokens: list[Token], index: int, around: Surroundings) -> str:
    """A table in a frame that scrolls sideways; the frame is named by its number, for landmarks must differ."""
    number = sum(token.type == "table_open" for token in tokens[: index + 1])
    name = around.box_titles.get("table", "Table")
    return f'<div class="table-scroll" tabindex="0" role="region" aria-label="{escape(name)} {number}"><table>\n'


def _bound(rule: Callable[..., str]) -> Callable[..., str]:
    def call(_renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
        return rule(tokens, index, options, env)

    return call


def _box_opener(name: str, around: Surroundings) -> Callable[..., str]:
    def open_box(tokens: list[Token], index: int, _options: Any, _env: Any) -> str:
        title = box_title(tokens[index], name, around.box_titles)
        return f'<aside class="box box-{name}">\n' + (f'<p class="box-title">{escape(title)}</p>\n' if title else "")

    return open_box


def box_title(token: Token, name: str, standard: Mapping[str, str]) -> str:
    """A container's title: the words after its name, else the standard ones."""
    return token.info.strip().removeprefix(name).strip() or standard.get(name, "")


def _figure_html(token: Token) -> str:
    image = (token.children or [])[0]
    caption = str(image.attrGet("title") or "")
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{_media_html(image)}{words}</figure>\n"


def _media_html(image: Token) -> str:
    place: AssetPlace = image.meta.get("place") or AssetPlace("")
    suffix = PurePosixPath(str(image.meta.get("path", ""))).suffix.lower()
    source = escape(place.url)
    if suffix in SOUND:
        return f'<audio controls preload="none" src="{source}"></audio>'
    if suffix in FILM:
        track = f'<track kind="captions" src="{escape(place.captions_url)}" default>' if place.captions_url else ""
        return f'<video controls preload="none" src="{source}">{track}</video>'
    size = f' width="{place.width}" height="{place.height}"' if place.width and place.height else ""
    return f'<img src="{source}" alt="{escape(image.content)}" loading="lazy"{size}>'


def sanitised(html: str) -> str:
    """HTML with nothing in it but what lessons may hold (nh3, an allow-list)."""
    return nh3.clean(
        html,
        tags=ALLOWED_TAGS,
        attributes=ALLOWED_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
        strip_comments=True,
    )
