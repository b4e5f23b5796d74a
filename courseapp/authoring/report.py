"""What is wrong with something brought in: all of it at once, each with its place and how to mend it."""

import enum
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

MOST_ALIKE = 20  # findings of one kind that are listed of one file
MOST_ROWS = 2_000  # that are listed altogether
LONGEST_WORDS = 600


class Severity(enum.StrEnum):
    """An error keeps the import out; a warning should be looked at; a note is only said."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Unfit(Exception):
    """A file that may not come in: code, words and how to mend it, for whoever knows which file it is."""

    def __init__(self, code: str, message: str, mend: str, line: int = 0) -> None:
        super().__init__(message)
        self.code, self.message, self.mend, self.line = code, message, mend, line


@dataclass(frozen=True)
class Row:
    """One finding. `line` counts from 1 in the file; 0 where the whole file is meant."""

    severity: Severity
    code: str
    file: str
    line: int
    message: str
    mend: str

    def words(self) -> str:
        """The finding on one line, as a compiler prints it."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{self.severity.value:8}{place}  {self.message}  → {self.mend}"


@dataclass
class Report:
    """Everything found. What could be found without end is counted from some point on, and no longer listed."""

    rows: list[Row] = field(default_factory=list)
    unlisted: Counter[Severity] = field(default_factory=Counter)
    _alike: Counter[tuple[str, str]] = field(default_factory=Counter)

    def error(self, code: str, file: str, line: int, message: str, mend: str) -> None:
        """Something that must be mended first."""
        self._add(Row(Severity.ERROR, code, _shown(file), line, _shown(message), mend))

    def warn(self, code: str, file: str, line: int, message: str, mend: str) -> None:
        """Something that should be looked at."""
        self._add(Row(Severity.WARNING, code, _shown(file), line, _shown(message), mend))

    def note(self, code: str, file: str, line: int, message: str, mend: str) -> None:
        """Something to know."""
        self._add(Row(Severity.NOTE, code, _shown(file), line, _shown(message), mend))

    def _add(self, row: Row) -> None:
        self._alike[row.file, row.code] += 1
        if self._alike[row.file, row.code] > MOST_ALIKE or len(self.rows) >= MOST_ROWS:
            self.unlisted[row.severity] += 1
        else:
            self.rows.append(row)

    def count(self, severity: Severity) -> int:
        """How many findings of a severity."""
        return sum(row.severity is severity for row in self.rows) + self.unlisted[severity]

    @property
    def has_errors(self) -> bool:
        """Whether the import must stay out."""
        return self.count(Severity.ERROR) > 0

    def sorted(self) -> list[Row]:
        """By file and line, the gravest first within a line; and how many more there are."""
        order = list(Severity)
        found = sorted(self.rows, key=lambda row: (row.file, row.line, order.index(row.severity)))
        for severity in (severity for severity in order if self.unlisted[severity]):
            words = f"There are {self.unlisted[severity]:,} more findings like these, which are not listed."
            found.append(Row(severity, "and_more", "", 0, words, "Mend these first, and have it looked through again."))
        return found

    def as_dicts(self) -> list[dict[str, object]]:
        """For JSON."""
        return [{**asdict(row), "severity": row.severity.value} for row in self.sorted()]


def _shown(words: str) -> str:
    """Words as a page can show them, also where they hold a file's name that is no text, or one without end."""
    words = words if len(words) <= LONGEST_WORDS else f"{words[:LONGEST_WORDS]} …"
    return words.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def by_file(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Findings as they were kept, grouped by file, errors first in each and files with errors first. Notes ask nothing, and stay out."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["severity"] != Severity.ERROR.value):
        if row["severity"] != Severity.NOTE.value:
            groups.setdefault(row["file"], []).append(row)
    return dict(sorted(groups.items(), key=lambda item: (item[1][0]["severity"] != Severity.ERROR.value, item[0])))
