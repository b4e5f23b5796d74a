"""Pieces: the files that one uploaded file is served as. The first is the file itself, whatever it became; others are smaller forms of it."""

from dataclasses import dataclass
from pathlib import Path

JOINT = "//"  # between a file's path and its piece's name: no path of a folder holds two slashes in a row


@dataclass(frozen=True)
class Made:
    """A piece just made, still at `location`. `part` is "" for the file itself."""

    part: str
    media_type: str
    location: Path
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Piece:
    """A piece by its content."""

    part: str
    digest: str
    media_type: str
    size: int
    width: int | None = None
    height: int | None = None


def joint_path(path: str, part: str) -> str:
    """The path under which a piece is kept."""
    return f"{path}{JOINT}{part}" if part else path
