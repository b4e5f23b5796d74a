"""Prose: text from documents written as the Markdown that lessons are made of, with nothing in it read as markup that was none."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from courseapp.authoring.report import Unfit

# What begins a heading, list, quotation, container or rule where a line begins with it.
LEADING = re.compile(r"^(#{1,6}(?=\s|$)|[-+](?=\s|$)|>|:::|=+\s*$|-{2,}\s*$|\d{1,9}(?=[.)](?:\s|$)))")
SIGNS = re.compile(r"[\\`*\[\]|]|~(?=~)|(?<![^\W_])_|_(?![^\W_])|<|&(?=#?\w+;)|!$")
ENTITIES = {"<": "&lt;", "&": "&amp;"}
MOST_CELLS = 20_000  # of one table
BOX = re.compile(r":::(\s*[a-z-]+(\s[^\n]*)?)?\s*")
RAISED = str.maketrans("0123456789+-=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ")
LOWERED = str.maketrans("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎")
WEB = ("http://", "https://", "mailto:")
OURS = ("lesson:", "page:")


ALT_WHERE = "click the picture with the right button, choose “View Alt Text”, and write what it shows. Take out what only decorates."
MERGED = "The words stand in the first of the merged cells, the others are empty. Look whether it reads well, or divide the table."


@dataclass(frozen=True)
class Document:
    """A document that is known to be sound.

    `archive` is a copy of it in which everything that is not XML was put away: a part's words are its own path in `opened`,
    where all of it lies. Pages and pictures go into `folder`, with names that begin with `stem`.
    """

    archive: Path
    opened: Path
    folder: Path
    stem: str
    name: str
    shown: str


def escaped(text: str) -> str:
    """Words inside a line, to be read as they stand."""
    return SIGNS.sub(lambda sign: ENTITIES.get(sign.group(), f"\\{sign.group()}"), re.sub(r"[\t\r\n\v\f]+", " ", text))


def paragraph(words: str) -> str:
    """Escaped words, to be read as a paragraph and nothing else; a container's line (“::: note”) stays one."""
    words = _without_breaks(words)
    if "\n" not in words and BOX.fullmatch(words):
        return words
    return "\n".join(LEADING.sub(_escaped_sign, line.lstrip()) for line in words.split("\n"))


def _without_breaks(words: str) -> str:
    """Words without blanks and broken lines at their ends."""
    words = re.sub(r"^(?:\\\n|\s)+", "", words)
    return words[: len(words) - _run(r"(?:\n\\|\s)*", words[::-1])]


def _run(pattern: str, text: str) -> int:
    """How far a pattern goes from the text's beginning. Ends are looked at backwards, for a search would begin at every letter."""
    found = re.match(pattern, text)
    return found.end() if found else 0


def _escaped_sign(found: re.Match[str]) -> str:
    sign = found.group()
    return f"{sign}\\" if sign.isdigit() else "".join(f"\\{letter}" for letter in sign)


def link(words: str, target: str) -> str:
    """A link, where its target is one a lesson may have; else its words."""
    target = target.strip()
    if not words.strip() or not target.lower().startswith((*WEB, *OURS)):
        return words
    return f"[{words}](<{re.sub('[<>]', lambda sign: f'%{ord(sign.group()):02X}', target).replace(' ', '%20')}>)"


def marked(mark: str, words: str, before: str, after: str) -> str:
    """Words between marks of emphasis, which may touch neither blanks nor, with a letter beyond, punctuation."""
    inner = words.strip()
    start = len(words) - len(words.lstrip())
    lead, trail = words[:start], words[start + len(inner) :]
    if not lead and before[-1:].isalnum():
        place = _run(r"[^\w\s]*", inner)
        lead, inner = inner[:place], inner[place:]
    if not trail and after[:1].isalnum():
        place = len(inner) - _run(r"[^\w\s]*", inner[::-1])
        inner, trail = inner[:place], inner[place:]
    return f"{lead}{mark}{inner}{mark}{trail}" if inner else lead + trail


def raised(text: str, is_above: bool) -> str:
    """Small letters above or below the line, where there are such; else in brackets what would run into the word."""
    table = RAISED if is_above else LOWERED
    return text.translate(table) if all(ord(letter) in table for letter in text) else text


def joined(parts: Iterable[str]) -> str:
    """Paragraphs of one table cell on one line."""
    line = ""
    for part in filter(None, (part.strip() for part in parts)):
        line += part if not line else f" {part}" if line[-1] in ".!?:;" else f"; {part}"
    return line.replace("\\\n", " ").replace("\n", " ")


def table(rows: list[list[str]]) -> str:
    """A table; its first row is its head, for Markdown knows no other. Raises Unfit where it would have too many cells."""
    width = max(len(row) for row in rows)
    refuse_vast_table(len(rows), width)
    full = [row + [""] * (width - len(row)) for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in full]
    return "\n".join([lines[0], f"|{' --- |' * width}", *lines[1:]])


def refuse_vast_table(rows: int, width: int) -> None:
    """Raises Unfit where a table has too many cells."""
    if width * rows > MOST_CELLS:
        words = f"A table has {rows:,} rows and {width:,} columns; {MOST_CELLS:,} cells are the most."
        raise Unfit("document_table", words, "Divide it, or leave out what nobody reads.")


def items(lines: list[tuple[int, bool, str]]) -> str:
    """A list from (level, numbered, words) rows."""
    out, indents, width = [], [0], 0
    for level, is_numbered, words in lines:
        del indents[level + 1 :]
        while len(indents) <= level:
            indents.append(indents[-1] + width)
        marker = "1. " if is_numbered else "- "
        width = len(marker)
        out.append(f"{' ' * indents[level]}{marker}{words}")
    return "\n".join(out)


def places(found: list[str]) -> str:
    """Where something stands, for the report: three places at most, each once."""
    kinds = list(dict.fromkeys(place for place in found if place))
    return f" ({'; '.join(kinds[:3])}{' …' if len(kinds) > 3 else ''})" if kinds else ""
