"""CSV as spreadsheets take it (RFC 4180): with a byte order mark, and with nothing in it that one of them would run as a formula."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

MARK = "\ufeff"  # by which Excel knows UTF-8
SIGNS = r"=+\-@＝＋－＠"  # with which some spreadsheets begin a formula; they pass over tabs and line breaks before it
# A cell begins for us where it begins; for a spreadsheet whose separator is another one also behind each sign that may be that, and,
# since it does not see our quotation marks then, behind a line break. Apostrophes that are there are counted in, to be undone exactly.
_BEGINS = rf"""(?:\A|(?<=[;,\t|])){{}}(?='*"*[{SIGNS}\t\r\n])|(?<=[\r\n]){{}}(?='*"*[{SIGNS}])"""
_BARE, _SAFE = re.compile(_BEGINS.format("", "")), re.compile(_BEGINS.format("'", "'"))


def safe_cell(value: object) -> str:
    """A cell's words; an apostrophe keeps a spreadsheet from taking them for a formula (OWASP, CSV injection), wherever it splits them.

    A `Decimal` is a number also below nothing, and stays one that can be added up.
    """
    if isinstance(value, Decimal):
        return f"{value:f}"
    return _BARE.sub("'", "" if value is None else str(value))


def plain_cell(words: str) -> str:
    """What a cell said before `safe_cell`."""
    return _SAFE.sub("", words)


def csv_of(rows: Iterable[Sequence[object]], *, with_mark: bool = False) -> str:
    """Rows as CSV."""
    written = io.StringIO(MARK if with_mark else "", newline="")
    written.seek(0, io.SEEK_END)
    csv.writer(written).writerows([safe_cell(cell) for cell in row] for row in rows)
    return written.getvalue()
