"""Reading templates: what is markup, what is Jinja, and what people read."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import html5lib
import jinja2
from jinja2 import nodes

UNSPOKEN_BLOCK = r"\{%-?\s*block \w*(?:class|attributes)\b.*?endblock\s*-?%\}"
JINJA = re.compile(rf"{UNSPOKEN_BLOCK}|" r"\{#.*?#\}|\{%-?\s*trans\b.*?\bendtrans\s*-?%\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
SPOKEN = {"title", "alt", "placeholder", "aria-label", "aria-description", "aria-roledescription", "summary", "label"}
GETTEXT = {"_", "gettext", "ngettext", "pgettext", "npgettext"}
LETTER = re.compile(r"[^\W\d_]")
LOOKS_SPOKEN = re.compile(r"^[A-Z][a-z]+([\s.,!?…]|$)|^[A-Z].*\s")  # "Saved", "I am": but no class name, no FieldType


class Spoken(HTMLParser):
    """Collects (line, words) of text nodes and spoken attributes that hold letters."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[int, str]] = []
        self._in_code = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._in_code = tag == "code"
        at = {name: value or "" for name, value in attributes}
        spoken = [value for name, value in at.items() if name in SPOKEN]
        if tag == "meta" and at.get("name") == "description":
            spoken.append(at.get("content", ""))
        if tag == "input" and at.get("type") in {"submit", "button"}:
            spoken.append(at.get("value", ""))
        self.found += [(self.getpos()[0], words) for words in spoken if LETTER.search(words)]

    def handle_endtag(self, tag: str) -> None:
        self._in_code = False

    def handle_data(self, text: str) -> None:
        if LETTER.search(text) and self.cdata_elem != "style" and not self._in_code:  # what a computer is to be told stays
            self.found.append((self.getpos()[0], " ".join(text.split())[:60]))


def literals(text: str) -> Iterator[tuple[int, str]]:
    """String literals in Jinja expressions that look like words for people and do not stand in a gettext call."""

    def walk(node: nodes.Node) -> Iterator[tuple[int, str]]:
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in GETTEXT:
            return
        if isinstance(node, nodes.Const) and isinstance(node.value, str) and LOOKS_SPOKEN.search(node.value):
            yield node.lineno, node.value
        for child in node.iter_child_nodes():
            yield from walk(child)

    yield from walk(environment().parse(re.sub(r"\{%-?\s*trans\b.*?\bendtrans\s*-?%\}", "", text, flags=re.DOTALL)))


def environment() -> jinja2.Environment:
    """Jinja as the application sets it up, as far as reading goes."""
    return jinja2.Environment(extensions=["jinja2.ext.i18n"], autoescape=True)


def without_jinja(text: str) -> str:
    """A template's own markup; what Jinja writes becomes a space, and lines keep their numbers."""
    return JINJA.sub(lambda hit: "\n" * hit[0].count("\n") or " ", text)


def templates(root: Path, *endings: str) -> Iterator[tuple[str, str]]:
    """(name, text) of every template with one of these endings."""
    for path in sorted((root / "templates").rglob("*")):
        if path.suffix in endings:
            yield str(path.relative_to(root)), path.read_text()


# Which types of input have an attribute that not all have (HTML, 4.10.5); "" is one without a type.
TYPED = {"", "text", "search", "url", "tel", "email", "password"}
COUNTED = {"number", "range", "date", "month", "week", "time", "datetime-local"}
HAVE = {
    "placeholder": TYPED | {"number"},
    "maxlength": TYPED,
    "minlength": TYPED,
    "pattern": TYPED,
    "size": TYPED,
    "min": COUNTED,
    "max": COUNTED,
    "step": COUNTED,
    "multiple": {"email", "file"},
    "accept": {"file"},
    "checked": {"checkbox", "radio"},
    "readonly": TYPED | COUNTED - {"range"},
    "required": TYPED | COUNTED - {"range"} | {"checkbox", "radio", "file"},
    "autocomplete": TYPED | COUNTED | {"hidden", "color"},
}


def faults_in(page: str) -> list[str]:
    """What is wrong with a whole page of HTML as it is sent: what does not parse, an id twice, an attribute that an input does not have."""
    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    root: Any = parser.parse(page)
    found = [f"line {line}: {error} {facts}" for (line, _column), error, facts in parser.errors]
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    found += [f"the id {one} stands twice" for one in sorted({one for one in ids if ids.count(one) > 1})]
    for field in root.iter("input"):
        kind = field.attrib.get("type", "").lower()
        found += [f"an input of type {kind} has no {name}" for name in HAVE.keys() & field.attrib.keys() if kind not in HAVE[name]]
    return found


def line_of(text: str, position: int) -> int:
    """The number of the line at a position."""
    return text.count("\n", 0, position) + 1
