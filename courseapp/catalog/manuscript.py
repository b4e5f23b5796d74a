"""A lesson's tokens → plain data that the print template lays out (`print.typ`).

Nothing a person wrote ever becomes Typst code: the template reads this data as JSON and sets the strings as strings. So there
is no escaping to get wrong; do not be tempted to build Typst markup here.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from courseapp.catalog.markdown import box_title
from courseapp.catalog.references import BOXES, FILM, PAGES, PAPERS, SOUND, normal_path

Node = dict[str, Any]

DEEPEST = 8  # lists in lists in quotes: Typst stops at about 80 calls, and paper has no room for more
WRITE_ON = re.compile(r"_{3,}")
OUTSIDE = re.compile(r"(?:https?://|mailto:).{1,1500}", re.IGNORECASE | re.DOTALL)
MARKS = {"strong": "strong", "em": "emph", "s": "strike"}


@dataclass(frozen=True)
class Surround:
    """What a lesson's references mean on paper: lessons by key → their number in this copy; pictures by path → the name of their data.

    `site_url` has no slash at its end. `box_titles` are the standard titles by container name.
    """

    folder: str
    lessons: Mapping[str, int]
    pictures: Mapping[str, str]
    box_titles: Mapping[str, str]
    site_url: str


def manuscript_of(tokens: Sequence[Token], around: Surround) -> list[Node]:
    """The blocks of one lesson (or of one variant of it, see `markdown.variant_of`) in the order of the page."""
    root = SyntaxTreeNode(list(tokens))
    return _Writer(around, _footnotes(root)).blocks(root.children, 0)


def picture_paths(tokens: Sequence[Token], folder: str) -> Iterator[str]:
    """The files a lesson shows, as paths inside the course folder; sound and film are not among them."""
    for token in tokens:
        for child in token.children or ():
            if child.type == "image":
                path = _path_of(child, folder)
                if path and PurePosixPath(path).suffix.lower() not in SOUND | FILM | PAPERS:
                    yield path


def _path_of(image: Token | SyntaxTreeNode, folder: str) -> str | None:
    # tokens that went through `render` carry an address in src, and the path in their meta
    return image.meta.get("path") or normal_path(folder, unquote(str(image.attrs.get("src", ""))))


def _footnotes(root: SyntaxTreeNode) -> dict[int, SyntaxTreeNode]:
    return {node.meta["id"]: node for node in root.walk() if node.type == "footnote"}


class _Writer:
    """Walks one lesson. `_level` is the last heading's: a tagged PDF must not skip one, whatever the author wrote."""

    def __init__(self, around: Surround, footnotes: Mapping[int, SyntaxTreeNode]) -> None:
        self.around = around
        self.footnotes = footnotes
        self._noted: set[int] = set()
        self._level = 2
        self._in_paper = False
        self._block_writers: dict[str, Callable[[SyntaxTreeNode, int], Node]] = {
            "paragraph": self._paragraph,
            "heading": self._heading,
            "bullet_list": self._list,
            "ordered_list": self._list,
            "blockquote": lambda node, depth: {"is": "quote", "body": self.blocks(node.children, depth)},
            "code_block": lambda node, _: {"is": "code", "text": node.content.rstrip("\n")},
            "fence": lambda node, _: {"is": "code", "text": node.content.rstrip("\n")},
            "hr": lambda *_: {"is": "lines", "count": 1} if self._in_paper else {"is": "pause"},
            "table": self._table,
            "figure": lambda node, _: self._figure(node.children[0]),
            **{f"container_{name}": self._box for name in BOXES},
        }

    def blocks(self, nodes: Sequence[SyntaxTreeNode], depth: int) -> list[Node]:
        result: list[Node] = []
        for node in nodes:
            writer = self._block_writers.get(node.type)
            if node.type == "hr" and result and result[-1]["is"] == "lines":
                result[-1]["count"] += 1
            elif writer and (depth < DEEPEST or node.type in {"paragraph", "heading", "code_block", "fence", "hr", "figure"}):
                result.append(writer(node, depth + 1))
            elif node.type == "inline":
                result.append({"is": "paragraph", "body": self._line(node.children)})
            elif node.type != "footnote_block":  # a variant's container, or what is nested too deep: its content alone
                result += self.blocks(node.children, depth)
        for one, following in pairwise(result):
            if one["is"] == "paragraph" and _announces(one["body"], following["is"]):
                one["keep"] = True
        return result

    def _paragraph(self, node: SyntaxTreeNode, _depth: int) -> Node:
        return {"is": "paragraph", "body": self._line(node.children[0].children if node.children else [])}

    def _heading(self, node: SyntaxTreeNode, _depth: int) -> Node:
        body = self._line(node.children[0].children if node.children else [], in_heading=True)
        if not _plain(body).strip():  # a tagged PDF may not hold a heading without words
            return {"is": "paragraph", "body": body}
        self._level = max(3, min(int(node.tag[1:]) + 1, self._level + 1))
        return {"is": "heading", "level": self._level, "body": body}

    def _list(self, node: SyntaxTreeNode, depth: int) -> Node:
        items = [self.blocks(item.children, depth) for item in node.children]
        tasks = ["task-list-item" in str(item.attrs.get("class", "")) for item in node.children]
        for item, is_task in zip(items, tasks, strict=True):
            if is_task and not all(tasks) and item and "body" in item[0]:
                item[0]["body"].insert(0, {"is": "tick"})
        tight = all(child.hidden for item in node.children for child in item.children if child.type == "paragraph")
        start = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
        return {"is": "list", "start": start, "tight": tight, "to_tick": start is None and all(tasks), "items": items}

    def _box(self, node: SyntaxTreeNode, depth: int) -> Node:
        name = node.type.removeprefix("container_")
        was_in_paper, self._in_paper = self._in_paper, self._in_paper or name == "paper"
        opening = node.nester_tokens.opening if node.nester_tokens else Token("", "", 0)
        title, body = box_title(opening, name, self.around.box_titles), self.blocks(node.children, depth)
        self._in_paper = was_in_paper
        return {"is": "box", "name": name, "title": title, "body": body}

    def _table(self, node: SyntaxTreeNode, _depth: int) -> Node:
        lines = [row.children for part in node.children for row in part.children]
        rows = [[self._line(cell.children[0].children if cell.children else []) for cell in cells] for cells in lines]
        aligns = [str(cell.attrs.get("style", "")).removeprefix("text-align:") or "start" for cell in lines[0]]
        widths = [_share_of([_plain(row[column]) for row in rows]) for column in range(len(aligns))]
        return {"is": "table", "aligns": aligns, "widths": widths, "head": rows[0], "rows": rows[1:], "paper": self._in_paper}

    def _figure(self, image: SyntaxTreeNode) -> Node:
        path = _path_of(image, self.around.folder) or ""
        caption = str(image.attrs.get("title") or "")
        suffix = PurePosixPath(path).suffix.lower()
        kind = "recording" if suffix in SOUND | FILM else "figure"
        if suffix in PAPERS:  # a sheet of its own: named here, to be fetched on the site
            return {"is": "paragraph", "body": [{"is": "text", "text": image.content.strip()}]}
        return {"is": kind, "picture": self.around.pictures.get(path), "alt": image.content.strip() or caption, "caption": caption}

    def _line(self, nodes: Sequence[SyntaxTreeNode], in_heading: bool = False, depth: int = 0) -> list[Node]:
        result: list[Node] = []
        for node in nodes:
            if node.type == "text":
                result += _runs(node.content)
            elif node.type == "softbreak":
                result.append({"is": "break"} if result and result[-1]["is"] == "write" else {"is": "text", "text": " "})
            elif node.type == "hardbreak":
                result.append({"is": "break"})
            elif node.type == "code_inline":
                result.append({"is": "mono", "text": node.content})
            elif node.type in MARKS and depth < DEEPEST:
                result.append({"is": MARKS[node.type], "body": self._line(node.children, in_heading, depth + 1)})
            elif node.type == "link" and not in_heading:
                result.append(self._link(node, depth))
            elif node.type == "footnote_ref" and not in_heading:
                result += self._footnote(node.meta["id"])
            elif node.type == "image":
                figure = self._figure(node)
                result += figure["body"] if figure["is"] == "paragraph" else [figure | {"is": "inline_picture"}]
            elif node.type != "html_inline":  # the task list's own input and label; marks nested too deep lose the mark, not the words
                result += self._line(node.children, in_heading, depth)
        return result

    def _link(self, node: SyntaxTreeNode, depth: int) -> Node:
        target = str(node.attrs.get("href") or "")
        body = self._line(node.children, True, depth + 1)  # as in a heading: no link or note inside a link
        kind, _colon, rest = target.partition(":")
        if kind == "lesson":
            return {"is": "to_lesson", "number": self.around.lessons.get(rest), "body": body}
        if target == "page:safety-check":
            return {"is": "to_check", "body": body}
        if kind == "page" and rest in PAGES:
            target = self.around.site_url + PAGES[rest]
        if not OUTSIDE.fullmatch(target):
            return {"is": "words", "body": body}
        shown = re.sub(r"^(?:https?://|mailto:)", "", target, flags=re.IGNORECASE).rstrip("/")
        return {"is": "to_outside", "address": target, "shown": shown, "named": shown in _plain(body), "body": body}

    def _footnote(self, number: int) -> list[Node]:
        note = self.footnotes.get(number)
        if note is None:
            return []
        if number in self._noted:
            return [{"is": "noted", "number": number}]
        self._noted.add(number)
        inline = [child for paragraph in note.children if paragraph.type == "paragraph" for child in paragraph.children]
        body = [piece for child in inline if child.type == "inline" for piece in self._line(child.children, True)]
        return [{"is": "footnote", "number": number, "body": body}]


def _runs(text: str) -> Iterator[Node]:
    """A text with its runs of underscores, each of which is a line to write on."""
    end = 0
    for found in WRITE_ON.finditer(text):
        if found.start() > end:
            yield {"is": "text", "text": text[end : found.start()]}
        yield {"is": "write"}
        end = found.end()
    if end < len(text):
        yield {"is": "text", "text": text[end:]}


def _plain(nodes: Sequence[Node]) -> str:
    return "".join(str(node.get("text") or "") + _plain(node.get("body") or []) for node in nodes)


def _share_of(cells: Sequence[str]) -> int | None:
    """How much of a table's width a column gets beside the others; None for one of short words, which is as wide as they are."""
    longest = max(map(len, cells))
    return None if longest <= 16 and all(cells[1:]) else min(40, longest) + 14


def _announces(body: Sequence[Node], following: str) -> bool:
    """Whether a paragraph belongs to what follows: to a list by a colon or as one bold line, to lines, if short to a figure."""
    words = _plain(body).strip()
    if following == "list":
        return words.endswith(":") or [node["is"] for node in body] == ["strong"]
    return following == "lines" or (following in {"figure", "box", "table"} and len(words) < 160)
