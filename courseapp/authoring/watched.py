"""Watched: archives open for reading, of which no library may ask too much.

What an archive says of itself decides how much its readers ask for in one go: a list of files, a name, notes beside it. And a
few bytes may unpack to gigabytes. Both are noticed here, while bytes flow, before memory or disk hold them.
"""

import gzip
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

AT_ONCE = 4_000_000  # bytes; the list of 5,000 files takes some 2 MB, and what lies in them is read a megabyte at a time
RATIO = 200  # how many times its packed size an archive may hold; text packs 10 : 1, a bomb 1,000 : 1
FREE_BYTES = 50_000_000  # below which the ratio does not matter
GZIP = b"\x1f\x8b"


class TooMuch(Exception):
    """An archive made its reader ask for more in one go than any good one does."""


class Swollen(Exception):
    """More came out of an archive than any good one of its size holds."""


class Watched:
    """An open file, with the methods that zipfile and tarfile ask for. Those two raise TooMuch and Swollen.

    Args:
        packed: where the bytes come from that were unpacked on the way to `file`; then it is read forwards alone, and counted.
    """

    def __init__(self, file: IO[bytes], packed: IO[bytes] | None = None) -> None:
        self._file, self._packed = file, packed
        self._end = file.seek(0, 2) if packed is None else None
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or all there are."""
        if self._end is not None:
            left = max(0, self._end - self._file.tell())
            size = left if size < 0 else min(size, left)
        if not 0 <= size <= AT_ONCE:
            raise TooMuch
        found = self._file.read(size)
        if self._packed is not None and self._file.tell() > max(FREE_BYTES, RATIO * self._packed.tell()):
            raise Swollen
        return found

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to a place; where something was unpacked, by reading all before it."""
        if self._packed is None:
            return self._file.seek(place, whence)
        while (left := place - self._file.tell()) > 0 and self.read(min(AT_ONCE, left)):
            pass
        return self._file.tell()

    def tell(self) -> int:
        """The present place."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Whether one can go to a place."""
        return True


class Member(tarfile.TarInfo):
    """A member of a tar. What stands where one should begin and is none is no end, but damage."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> Self:
        """As tarfile reads it; it would go on past damage as if the archive ended there."""
        try:
            return super().frombuf(buf, encoding, errors)  # type: ignore[arg-type]  # tarfile itself may give no encoding
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # as the next one, not in the types; raised at the two blocks of zeros
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error

    @property
    def is_plain(self) -> bool:
        """Whether it is a file that is as long as what follows."""
        return self.isreg() and not self.issparse()


@contextmanager
def opened_zip(location: Path) -> Iterator[zipfile.ZipFile]:
    """A ZIP archive, open for reading. Raises zipfile.BadZipFile, TooMuch."""
    with location.open("rb") as file, zipfile.ZipFile(Watched(file)) as archive:
        yield archive


def is_packed(location: Path) -> bool:
    """Whether a tar is packed by gzip."""
    with location.open("rb") as file:
        return file.read(2) == GZIP


@contextmanager
def opened_tar(location: Path) -> Iterator[tarfile.TarFile]:
    """A tar, packed by gzip or not, open for reading forwards, and read to its last byte in the end, where its sum stands.

    Not by bzip2 or xz: those unpack what is small to gigabytes at once. Raises tarfile.TarError, gzip.BadGzipFile, zlib.error,
    EOFError, Swollen, TooMuch.
    """
    with location.open("rb") as file:
        if not is_packed(location):
            with tarfile.TarFile(fileobj=Watched(file), tarinfo=Member) as archive:  # type: ignore[arg-type]  # as above
                yield archive
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            watched = Watched(unpacked, file)  # type: ignore[arg-type]  # as above
            with tarfile.TarFile(fileobj=watched, tarinfo=Member) as archive:  # type: ignore[arg-type]  # as above
                yield archive
            while watched.read(AT_ONCE):
                pass
