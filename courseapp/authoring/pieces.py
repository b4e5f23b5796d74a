"""Pieces: the files that one uploaded file is served as. The first is the file itself, whatever it became; others are smaller forms."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from posixpath import splitext

CAPTIONS = (".vtt", ".srt")  # the first is taken where both are there
LARGE = 1_000_000  # bytes, more than any text has; what is as large is hashed beside other work, or while it is written
JOINT = "//"  # between a file's path and its piece's name: no path of a folder holds two slashes in a row


@dataclass(frozen=True)
class Made:
    """A piece just made, at `location`. `part` is "" for the file itself."""

    part: str
    media_type: str
    location: Path
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Piece:
    """A piece by its content; `location` is where it still has to be fetched from, None once it is kept."""

    part: str
    digest: str
    media_type: str
    size: int
    width: int | None = None
    height: int | None = None
    location: Path | None = None

    @property
    def storage_key(self) -> str:
        """Where it is kept."""
        return key_of(self.digest)


def key_of(digest: str) -> str:
    """Where a content is kept; the same as `Asset.storage_key`."""
    return f"assets/{digest[:2]}/{digest}"


def piece_of(made: Made) -> Piece:
    """A piece just made, by its content."""
    return _piece(made, digest_of(made.location), made.location.stat().st_size)


def written_piece(made: Made, content: bytes) -> Piece:
    """A piece with its content, which is written to where it is said to be."""
    made.location.write_bytes(content)
    return _piece(made, hashlib.sha256(content).hexdigest(), len(content))


def _piece(made: Made, digest: str, size: int) -> Piece:
    return Piece(made.part, digest, made.media_type, size, made.width, made.height, made.location)


class Digests:
    """The SHA-256 of files that were hashed while they were written, known again wherever in the same file system they are moved to."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int], str] = {}

    def note(self, location: Path, digest: str) -> None:
        """Nobody writes to this file any more."""
        self._known[self._mark_of(location)] = digest

    def of(self, location: Path) -> str:
        """A file's digest, known or found."""
        return self._known.get(self._mark_of(location)) or digest_of(location)

    @staticmethod
    def _mark_of(location: Path) -> tuple[int, int, int]:
        """What no other file has: a number is given again, but not with the same moment of writing."""
        facts = location.stat()
        return facts.st_ino, facts.st_size, facts.st_mtime_ns


def digest_of(location: Path) -> str:
    """SHA-256 of a file's content."""
    with location.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def joint_path(path: str, part: str) -> str:
    """The path under which a piece is listed."""
    return f"{path}{JOINT}{part}" if part else path


def is_poster(path: str) -> bool:
    """Whether a piece is the still of a film, by its joint path."""
    return f"{JOINT}poster" in path


def captions_of(path: str) -> list[str]:
    """Where the captions of a film or recording may lie: beside it, under its name."""
    stem, _suffix = splitext(path)
    return [found for suffix in CAPTIONS if (found := stem + suffix) != path]
