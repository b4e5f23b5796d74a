"""Reading a file of contacts as spreadsheets write it: in which letters, with what between the cells, line by line.

Nothing is held of it but the line at hand. Letters that are not what they say become marks that no address may have, and so are told
with their line; the file as a whole is never refused for them.
"""

import codecs
import csv
import io
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from courseapp.contacts.spreadsheets import plain_cell

LARGEST = 50_000_000  # bytes
MOST_COLUMNS = 100
MOST_ROWS = 200_000
SAMPLE = 3  # rows
BEGINNING = 64 * 1024  # bytes
PIECE = 256 * 1024
LONGEST_HEAD = 80  # letters that are shown of a column's name
LONGEST_ROW = 1_000_000  # letters; each of them could be a cell, which takes twenty times as much memory
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
DELIMITERS = (",", ";", "\t", "|")
OLD = "cp1252"  # Windows in western Europe: what spreadsheets there write that know no better


class Unreadable(Exception):
    """From some line on it is no CSV: a quotation mark that never closes, mostly, or a row without end."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line}")
        self.line = line


@dataclass(frozen=True)
class Head:
    """How a file is written, what its columns are called, and its first rows."""

    encoding: str
    delimiter: str
    names: tuple[str, ...]
    has_names: bool
    sample: tuple[tuple[str, ...], ...]
    lines: int


def head_of(path: Path) -> Head | None:
    """What can be told of a file by looking at it; None for one without a row. Raises Unreadable."""
    encoding, lines = _looked_through(path)
    with path.open("rb") as file:
        beginning = file.read(BEGINNING).decode(encoding, "replace")
    delimiter = _delimiter_of(beginning)
    rows: list[tuple[str, ...]] = []
    for _line, cells in _records(path, encoding, delimiter):
        rows.append(tuple(cells))
        if len(rows) > SAMPLE:
            break
    if not rows:
        return None
    has_names = not any("@" in cell for cell in rows[0])
    names = rows[0] if has_names else [""] * max(len(row) for row in rows)
    shown = tuple(_shown(name) for name in names[: MOST_COLUMNS + 1])
    return Head(encoding, delimiter, shown, has_names, tuple(rows[1:] if has_names else rows[:SAMPLE]), lines)


def rows_of(path: Path, encoding: str, delimiter: str, has_names: bool) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line it begins at, without the columns' names and without empty rows. Raises Unreadable."""
    records = _records(path, encoding, delimiter)
    if has_names:
        next(records, None)
    yield from records


def _records(path: Path, encoding: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    with path.open("rb") as file, io.TextIOWrapper(file, encoding, errors="replace", newline="") as text:
        handed = _Handed(text)
        reader = csv.reader(handed, delimiter=delimiter)
        while True:
            line, handed.letters = reader.line_num + 1, 0
            try:
                cells = next(reader)
            except StopIteration:
                return
            except (csv.Error, OverflowError) as error:
                raise Unreadable(line) from error
            if line == 1 and cells and cells[0].lower().startswith("sep="):
                continue  # how Excel says what stands between the cells
            if any(cell.strip() for cell in cells):
                yield line, [plain_cell(cell.strip()) for cell in cells]


class _Handed:
    """The lines of a file as `csv` takes them; `letters` are those since somebody set it to 0. A row has as many lines as its cells.

    Raises OverflowError beyond what one row may have, and never holds more of a line than that.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text, self.letters = text, 0

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(LONGEST_ROW + 1):
            self.letters += len(line)
            if self.letters > LONGEST_ROW:
                raise OverflowError
            yield line


def _looked_through(path: Path) -> tuple[str, int]:
    """In which letters a file is written, and about how many lines it has."""
    with path.open("rb") as file:
        beginning = file.read(BEGINNING)
        marked = next((encoding for mark, encoding in MARKS if beginning.startswith(mark)), None) or _unmarked_utf16(beginning)
        decoder = codecs.getincrementaldecoder(marked or "utf-8")("replace" if marked else "strict")
        lines, encoding = 0, marked or "utf-8"
        file.seek(0)
        while piece := file.read(PIECE):
            lines += piece.count(b"\n")
            if encoding == "utf-8":
                try:
                    decoder.decode(piece)
                except UnicodeDecodeError:
                    encoding = OLD
        if encoding == "utf-8":
            try:
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                encoding = OLD
    return encoding, lines + 1


def _unmarked_utf16(beginning: bytes) -> str | None:
    """UTF-16 that does not say so: every other byte of plain letters is NUL."""
    odd, even = beginning[1::2].count(0), beginning[::2].count(0)
    half = len(beginning) // 2
    if half and max(odd, even) > half * 0.4:
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def _delimiter_of(beginning: str) -> str:
    """What stands between the cells: as the file says, or what is most frequent in its first line outside of quotation marks."""
    first = beginning.lstrip("\ufeff").splitlines()[0] if beginning.strip() else ""
    if first.lower().startswith("sep=") and first[4:5] in DELIMITERS:
        return first[4]
    bare = "".join(first.split('"')[::2])
    return max(DELIMITERS, key=bare.count) if any(sign in bare for sign in DELIMITERS) else ","


def _shown(name: str) -> str:
    """A column's name, fit to be shown and kept."""
    return "".join(sign for sign in name if unicodedata.category(sign)[0] != "C")[:LONGEST_HEAD]
