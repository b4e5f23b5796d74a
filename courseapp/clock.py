"""The one clock. Edges ask it for `now()` and hand the answer down; nothing below an edge asks."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

_shift_file: Path | None = None


def now() -> datetime:
    """The current time, aware and in UTC; shifted where tests asked for it."""
    moment = datetime.now(UTC)
    if _shift_file is None:
        return moment
    try:
        return moment + timedelta(seconds=float(_shift_file.read_text()))
    except (FileNotFoundError, ValueError):  # ValueError: read between truncation and write
        return moment


def of_this_machine() -> datetime:
    """What this machine's clock says, whatever tests shift: for comparing it with another machine's."""
    return datetime.now(UTC)


def follow_shift(file: Path | None) -> None:
    """Let a file of seconds shift the clock of every process that follows it (tests and drills alone)."""
    global _shift_file  # noqa: PLW0603  # one clock for the whole process is the point
    _shift_file = file
