"""A lesson's Markdown → sanitised HTML, once, when it is imported; and what is wrong with it, with the line.

CommonMark with tables, footnotes, task lists and our own containers (`::: stop-if`). Raw HTML is not read. The tokens of
`parse` are also what the printed copy is set from, so page and paper cannot drift apart.
"""

import re
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cache
from html import escape
from itertools import count
from pathlib import PurePosixPath
from typing import Any

import nh3
from flask_babel import gettext as _
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from mdit_py_plugins.container import container_plugin
from mdit_py_plugins.footnote import footnote_plugin

from courseapp.catalog.checklists import checklist_plugin
from courseapp.catalog.references import BOXES, FILM, PAPER_NAME, PAPERS, SOUND, VARIANTS, AssetPlace, Problem, Surroundings, resolve

OUR_FORMS = re.compile(r"/assets/[\w.-]+ \d+w(?:, /assets/[\w.-]+ \d+w)*")
SIZES = "(min-width: 36rem) 32rem, 92vw"  # how wide the style sheet shows a picture: 32rem at most, on a telephone all but the margins

ALLOWED_TAGS = {
    *("h2", "h3", "h4", "h5", "p", "br", "hr", "blockquote", "pre", "code", "div", "section", "aside", "span"),
    *("a", "strong", "em", "s", "del", "sub", "sup", "ul", "ol", "li", "dl", "dt", "dd", "input", "label"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "picture", "source", "img"),
    *("audio", "video", "track", "details", "summary"),
}
ALLOWED_ATTRIBUTES = {
    "a": {"href", "id", "class", "download", "type"},
    "aside": {"class"},
    "audio": {"src", "controls", "preload"},
    "details": {"class"},
    "div": {"class", "tabindex", "role", "aria-label"},
    "h2": {"id"},
    "img": {"src", "alt", "width", "height", "loading", "decoding"},
    "input": {"type", "class", "disabled", "checked"},
    "label": {"class"},
    "li": {"id", "class"},
    "ol": {"class", "start"},
    "p": {"class"},
    "section": {"class"},
    "source": {"srcset", "sizes", "type"},
    "sup": {"class"},
    "td": {"class"},
    "th": {"class", "scope"},
    "track": {"src", "kind", "srclang", "default"},
    "ul": {"class"},
    "video": {"src", "controls", "preload", "poster", "width", "height"},
    "hr": {"class"},
}


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
    written = _written(source, around)  # its tokens are gone before it is sanitised, for each of the two may take much memory
    adapted = sanitised(written.adapted_html) if written.adapted_html is not None else None
    return replace(written, html=sanitised(written.html), adapted_html=adapted, stop_html=sanitised(written.stop_html))


def _written(source: str, around: Surroundings) -> Rendered:
    tokens = parse(source)
    problems: list[Problem] = []
    assets: set[str] = set()
    resolve(tokens, around, problems, assets)
    has_variants = any(token.type in {f"container_{name}_open" for name in VARIANTS} for token in tokens)
    html = _to_html(variant_of(tokens, "standard"), around)
    adapted = _to_html(variant_of(tokens, "adapted"), around) if has_variants else None
    return Rendered(html, adapted, _to_html(stop_box_of(tokens), around), tuple(problems), frozenset(assets))


def parse(source: str) -> list[Token]:
    """The body's block tokens; an image alone in its paragraph has become a `figure` token."""
    return _figures(_parser().parse(source, {}))


def box_titles() -> dict[str, str]:
    """The titles of containers that carry none of their own, in the present language."""
    return {
        "stop-if": _("Stop if"),
        "note": _("Good to know"),
        "practice": _("Practice"),
        "key": _("To remember"),
        "paper": _("To fill in"),
        "table": _("Table"),
        "transcript": _("What is said, to read"),
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


@cache
def _parser() -> MarkdownIt:
    """One for all: whoever writes copies its renderer, and gives the copy rules of their own."""
    reader = MarkdownIt("commonmark", {"html": False, "typographer": True, "linkify": False})
    reader.validateLink = _any_link  # type: ignore[method-assign,assignment]  # so that one which may not be is named, and not shown as it was typed
    reader.enable(["table", "strikethrough", "replacements", "smartquotes"])
    reader.use(footnote_plugin).use(checklist_plugin)
    for name in (*BOXES, *VARIANTS):
        reader.use(container_plugin, name=name)
    return reader


def _any_link(_target: str) -> bool:
    return True


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


def _to_html(tokens: list[Token], around: Surroundings) -> str:
    """HTML as it was written, not sanitised yet."""
    if not tokens:
        return ""
    numbers = count(1)
    rules: dict[str, Callable[..., str]] = {
        "figure": lambda tokens, index, options, env: _figure_html(tokens[index], around),
        "image": lambda tokens, index, options, env: _media_html(tokens[index]),
        "table_open": lambda tokens, index, options, env: _table_opening(next(numbers), around),
        "table_close": lambda *_: "</table></div>\n",
        "heading_open": lambda tokens, index, options, env: f"<{_heading(tokens[index])}>",
        "heading_close": lambda tokens, index, options, env: f"</{_heading(tokens[index])}>\n",
    }
    for name in BOXES:
        rules[f"container_{name}_open"] = _box_opener(name, around)
        rules[f"container_{name}_close"] = lambda *_: "</aside>\n"
    for name in VARIANTS:
        rules[f"container_{name}_open"] = rules[f"container_{name}_close"] = lambda *_: ""
    writer = copy(_parser().renderer)
    assert isinstance(writer, RendererHTML)
    writer.rules = {**writer.rules, **rules}  # type: ignore[dict-item]  # its types know methods alone
    html: str = writer.render(tokens, _parser().options, {})
    return html


def _heading(token: Token) -> str:
    """The lesson's title is the page's h1, so headings of the text begin below it; h5 is the least there is."""
    return f"h{min(5, max(2, int(token.tag[1:])))}"


def _table_opening(number: int, around: Surroundings) -> str:
    """A table in a frame that scrolls sideways; the frame is named by its number, for landmarks must differ."""
    name = around.box_titles.get("table", "Table")
    return f'<div class="table-scroll" tabindex="0" role="region" aria-label="{escape(name)} {number}"><table>\n'


def _box_opener(name: str, around: Surroundings) -> Callable[..., str]:
    def open_box(tokens: list[Token], index: int, _options: Any, _env: Any) -> str:
        title = box_title(tokens[index], name, around.box_titles)
        return f'<aside class="box box-{name}">\n' + (f'<p class="box-title">{escape(title)}</p>\n' if title else "")

    return open_box


def box_title(token: Token, name: str, standard: Mapping[str, str]) -> str:
    """A container's title: the words after its name, else the standard ones."""
    return token.info.strip().removeprefix(name).strip() or standard.get(name, "")


def _figure_html(token: Token, around: Surroundings) -> str:
    image = (token.children or [])[0]
    caption = str(image.attrGet("title") or "")
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{_media_html(image)}{_transcript_html(image, around)}{words}</figure>\n"


def _transcript_html(image: Token, around: Surroundings) -> str:
    """What is said, for who cannot hear it or would rather read; closed until it is asked for."""
    place: AssetPlace | None = image.meta.get("place")
    if place is None or not place.transcript:
        return ""
    title = around.box_titles.get("transcript", "What is said, to read")
    paragraphs = "".join(f"<p>{escape(words)}</p>" for words in place.transcript)
    return f'<details class="transcript"><summary>{escape(title)}</summary>{paragraphs}</details>'


def _media_html(image: Token) -> str:
    place: AssetPlace = image.meta.get("place") or AssetPlace("")
    suffix = PurePosixPath(str(image.meta.get("path", ""))).suffix.lower()
    source = escape(place.url)
    if suffix in SOUND:
        return f'<audio controls preload="none" src="{source}"></audio>'
    if suffix in FILM:
        track = f'<track kind="captions" src="{escape(place.captions_url)}" default>' if place.captions_url else ""
        poster = f' poster="{escape(place.poster_url)}"' if place.poster_url else ""
        return f'<video controls preload="none"{poster} src="{source}">{track}</video>'
    if suffix in PAPERS:
        return f'<a href="{source}" download="{PAPER_NAME}" type="application/pdf">{escape(image.content)} (PDF)</a>'
    size = f' width="{place.width}" height="{place.height}"' if place.width and place.height else ""
    plain = f'<img src="{source}" alt="{escape(image.content)}" loading="lazy" decoding="async"{size}>'
    if not place.smaller:
        return plain
    forms = ", ".join(f"{escape(url)} {width}w" for url, width in place.smaller)
    return f'<picture><source type="image/webp" srcset="{forms}" sizes="{SIZES}">{plain}</picture>'


def sanitised(html: str) -> str:
    """HTML with nothing in it but what lessons may hold (nh3, an allow-list)."""
    return _cleaner().clean(html) if html else ""


@cache
def _cleaner() -> nh3.Cleaner:
    return nh3.Cleaner(
        tags=ALLOWED_TAGS,
        attributes=ALLOWED_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer",
        strip_comments=True,
        attribute_filter=_only_ours,
    )


def _only_ours(_element: str, name: str, value: str) -> str | None:
    """Addresses in srcset are not among those whose scheme the sanitiser looks at: they must be of our own files."""
    return value if name != "srcset" or OUR_FORMS.fullmatch(value) else None
