"""CSV as spreadsheets take it (RFC 4180): with a byte order mark, and with nothing in it that one of them would run as a formula."""

import csv
import io
from collections.abc import Iterable, Sequence

MARK = "\ufeff"  # by which Excel knows UTF-8
RUNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # letters that some spreadsheets take for them


def safe_cell(value: object) -> str:
    """A cell's words; an apostrophe keeps a spreadsheet from taking them for a formula (OWASP, CSV injection)."""
    words = "" if value is None else str(value)
    return f"'{words}" if words.startswith(RUNS) else words


def plain_cell(words: str) -> str:
    """What a cell said before `safe_cell`."""
    return words[1:] if words[:1] == "'" and words[1:].startswith(RUNS) else words


def csv_of(rows: Iterable[Sequence[object]], *, with_mark: bool = False) -> str:
    """Rows as CSV."""
    written = io.StringIO(MARK if with_mark else "", newline="")
    written.seek(0, io.SEEK_END)
    csv.writer(written).writerows([safe_cell(cell) for cell in row] for row in rows)
    return written.getvalue()
