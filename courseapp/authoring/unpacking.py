"""Unpacking: uploaded archives and files laid out as a folder, nothing trusted of what an archive says about itself.

Names, sizes and counts are checked while bytes flow, so that no bomb is ever written whole; what may not come in is reported
by name, and where an archive as a whole is not to be trusted nothing of it comes in.
"""

import gzip
import hashlib
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO, Self

from courseapp.authoring import watched
from courseapp.authoring.pieces import LARGE, Digests, digest_of
from courseapp.authoring.receiving import MOST_FILES, is_too_large
from courseapp.authoring.report import Report
from courseapp.authoring.watched import Member, Swollen, TooMuch, is_packed, opened_tar, opened_zip

LARGEST_WHOLE = 2_000_000_000  # bytes, unpacked
AT_ONCE = 2  # files unpacked at the same time; more get in each other's way
PIECE = 256 * 1024  # bytes read at a time; for many more the kernel is asked for memory each time, which takes longer than reading them
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # zipfile unpacks bzip2 and LZMA without a bound: a megabyte to a gigabyte
BROKEN = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError, ValueError, RecursionError)
LEFT_OUT = ("__MACOSX", ".")  # what operating systems and editors add
SMALLER = "Make it smaller, or upload the course in parts."

Progress = Callable[[int, int], None]
"""Told how many of how many files are unpacked; may raise to stop."""


class Refused(Exception):
    """The archive as a whole may not come in; why was reported."""


@dataclass(frozen=True)
class Entry:
    """One file of an archive, and how to read it."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def is_archive(name: str) -> bool:
    """Whether a file of this name is unpacked rather than taken as it is."""
    return name.lower().endswith(ARCHIVES)


@dataclass
class Large:
    """The large files of an upload, which are hashed while they are unpacked, or need not be unpacked where they are kept already.

    `kept` are such, with their digests, by their path among what was sent; `found` are the digests of all, by path.
    """

    kept: Mapping[str, tuple[str, Path]] = field(default_factory=dict)
    found: dict[str, str] = field(default_factory=dict)
    digests: Digests = field(default_factory=Digests)


def unpack(
    name: str, location: Path, folder: Path, report: Report, progress: Progress, *, is_all: bool = False, large: Large | None = None
) -> None:
    """Lay the archive at `location`, uploaded as `name`, out in `folder`. Raises Refused, with the reason in the report.

    Args:
        is_all: with files whose names begin with a dot, too.
        large: told of what is large.
    """
    out = _Out(folder, () if is_all else LEFT_OUT, large or Large())
    try:
        if name.lower().endswith(".zip"):
            with opened_zip(location) as archive:
                _refuse_unsound(archive, location.stat().st_size, name, report)
                _write(_of_zip(archive, report), len(archive.infolist()), out, report, progress)
        else:
            _refuse_many(location, name, report)
            with opened_tar(location) as archive_file:
                _write(_of_tar(archive_file, name, report), 0, out, report, progress)
    except Swollen as error:
        raise _too_large(name, report) from error
    except TooMuch as error:
        raise (_too_many(name, report) if name.lower().endswith(".zip") else _too_large(name, report)) from error
    except BROKEN as error:
        words = "The archive is damaged or cut off, so nothing of it was taken."
        report.error("archive_broken", name, 0, f"{words} ({type(error).__name__})", "Pack it again, and upload it again.")
        raise Refused from error


def _refuse_unsound(archive: zipfile.ZipFile, packed: int, name: str, report: Report) -> None:
    """Refuse, by its list of files and before any is unpacked, what no good archive is. Sizes that lie end in a wrong checksum."""
    entries = archive.infolist()
    if len(entries) > MOST_FILES:
        raise _too_many(name, report)
    _refuse_overlap(entries, name, report)
    if sum(info.file_size for info in entries) > min(LARGEST_WHOLE, max(watched.FREE_BYTES, watched.RATIO * packed)):
        raise _too_large(name, report)
    if any(info.flag_bits & 0x1 for info in entries):
        report.error("encrypted", name, 0, "The archive is locked with a password.", "Pack it again without a password.")
        raise Refused
    if odd := next((info for info in entries if info.compress_type not in METHODS), None):
        words = f"The archive is packed in a way that is not read here (method {odd.compress_type})."
        report.error("archive_method", name, 0, words, "Pack it again as an ordinary ZIP archive.")
        raise Refused


def _of_zip(archive: zipfile.ZipFile, report: Report) -> Iterator[Entry]:
    for info in archive.infolist():
        if info.filename.endswith("/"):  # not is_dir(), which breaks at a file without a name
            continue
        path = _name_of_zip(info)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in {0, stat.S_IFREG}:
            report.error("symlink", path, 0, "This is a link, not a file.", "Put the file itself here.")
            continue
        yield Entry(path, info.file_size, lambda info=info: archive.open(info))  # type: ignore[misc]  # mypy cannot infer a lambda with a default


def _refuse_many(location: Path, name: str, report: Report) -> None:
    """Count the members of a tar before any is unpacked; of one that is packed only unpacking it could tell."""
    if not is_packed(location):
        with opened_tar(location) as archive:
            for _member in _members(archive, name, report):
                pass


def _members(archive: tarfile.TarFile, name: str, report: Report) -> Iterator[tarfile.TarInfo]:
    count = 0
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # else it keeps each for good
        archive.pax_headers.clear()  # type: ignore[attr-defined]  # notes about all that follows; they may grow without end
        count += 1
        if count > MOST_FILES:
            raise _too_many(name, report)
        yield member


def _of_tar(archive: tarfile.TarFile, name: str, report: Report) -> Iterator[Entry]:
    for member in _members(archive, name, report):
        if member.isdir():
            continue
        file = archive.extractfile(member) if isinstance(member, Member) and member.is_plain else None
        if file is None:
            report.error("symlink", member.name, 0, "This is a link or a device, not a file.", "Put the file itself here.")
            continue
        yield Entry(member.name, member.size, lambda file=file: file)  # type: ignore[misc]  # as above


def _name_of_zip(info: zipfile.ZipInfo) -> str:
    """The name an entry has. Without the UTF-8 mark Python reads old DOS letters; many programs write UTF-8 and forget the mark."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return info.filename


def _too_many(name: str, report: Report) -> Refused:
    report.error("too_many_files", name, 0, f"The archive holds more than {MOST_FILES} files.", SMALLER)
    return Refused()


def _too_large(name: str, report: Report) -> Refused:
    report.error("archive_too_large", name, 0, "Unpacked, the archive is far too large.", SMALLER)
    return Refused()


def _refuse_overlap(entries: list[zipfile.ZipInfo], name: str, report: Report) -> None:
    """A bomb of David Fifield's kind lets thousands of entries share the same packed bytes."""
    ends = 0
    for info in sorted(entries, key=lambda entry: entry.header_offset):
        if info.header_offset < ends:
            report.error("overlapping", name, 0, "Entries of the archive overlap, as in a zip bomb.", "Pack it again with another program.")
            raise Refused
        ends = info.header_offset + 30 + info.compress_size  # 30: the least a local header takes


@dataclass(frozen=True)
class _Out:
    """Where an archive is laid out, and what of it is not."""

    folder: Path
    left_out: tuple[str, ...]
    large: Large


def _write(entries: Iterator[Entry], count: int, out: _Out, report: Report, progress: Progress) -> None:
    seen: set[str] = set()
    with _Copying(count, out, progress) as copying:
        for entry in entries:
            path = safe_path(entry.name, report)
            if path is None or any(part.startswith(out.left_out) for part in path.parts):
                continue
            if is_too_large(path.as_posix(), entry.size, report):
                continue
            target = place_for(path, out.folder, seen, report)
            if target is not None:
                copying.copy(entry, target)


class _Copying:
    """Copies entries, several at a time where an archive can be read at several places: unpacking and hashing hold back nothing else.

    Raises Swollen, and what reading and writing raise, at the latest in the end.

    Args:
        count: how many there will be, 0 for an archive that can be read forwards alone.
    """

    def __init__(self, count: int, out: _Out, progress: Progress) -> None:
        self._count, self._out, self._progress, self._done, self._left = count, out, progress, 0, LARGEST_WHOLE
        self._lock, self._pool, self._ahead = Lock(), ThreadPoolExecutor(AT_ONCE), deque[Future[None]]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        try:
            while kind is None and self._ahead:
                self._finish_one()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def copy(self, entry: Entry, target: Path) -> None:
        """Copy an entry; or begin to, where it is large, and wait only where many are on their way. Its name is taken at once."""
        digest = self._take_kept(entry, target)
        if not self._count or entry.size < LARGE:
            self._copy(entry, target, digest)
            self._tell()
            return
        if digest is None:
            target.touch()
        self._ahead.append(self._pool.submit(self._copy, entry, target, digest))
        if len(self._ahead) > AT_ONCE:
            self._finish_one()

    def _finish_one(self) -> None:
        self._ahead.popleft().result()
        self._tell()

    def _tell(self) -> None:
        self._done += 1
        self._progress(self._done, self._count)

    def _copy(self, entry: Entry, target: Path, kept: str | None) -> None:
        """Copy by pieces, counting what really comes rather than what was announced; unless it is there already, and whole.

        Args:
            kept: the digest of what stands at `target`, as it was kept.
        """
        if kept is not None and digest_of(target) == kept:
            self._take(entry.size)
            digest = kept
        else:
            if kept is not None:
                target.unlink()  # it is a name of what is kept
            digest = self._unpack(entry, target)
        if entry.size >= LARGE:
            self._out.large.found[target.relative_to(self._out.folder).as_posix()] = digest
            self._out.large.digests.note(target, digest)

    def _take_kept(self, entry: Entry, target: Path) -> str | None:
        """Give what is kept a name here as well: its digest; None where there is none of this size. Nobody may write to it."""
        if not (large := self._out.large).kept:
            return None
        digest, kept = large.kept.get(target.relative_to(self._out.folder).as_posix(), ("", None))
        try:
            if kept is None or kept.stat().st_size != entry.size:
                return None
            target.hardlink_to(kept)
        except OSError:
            return None
        return digest

    def _unpack(self, entry: Entry, target: Path) -> str:
        with self._lock:
            source = entry.open()
        try:
            with target.open("wb") as file:
                digest = hashlib.sha256()
                while piece := source.read(PIECE):
                    self._take(len(piece))
                    digest.update(piece)
                    file.write(piece)
                return digest.hexdigest()
        finally:
            with self._lock:
                source.close()

    def _take(self, size: int) -> None:
        with self._lock:
            self._left -= size
            if self._left < 0:
                raise Swollen


def place_for(path: PurePosixPath, folder: Path, seen: set[str], report: Report) -> Path | None:
    """Where a file of this path goes in `folder`, the folders above it made; None, with the reason reported, where that is taken.

    Args:
        seen: what was laid out before, as names that differ from no other by their letters' case alone; this one is added. And
            folders, with a slash behind them.
    """
    plain, above, target = path.as_posix().casefold(), f"{path.parent.as_posix()}/", folder / path
    try:
        if above not in seen:
            target.parent.mkdir(parents=True, exist_ok=True)
            seen.add(above)
        is_taken = plain in seen or target.exists()
    except (FileExistsError, NotADirectoryError):  # what would be its folder is a file
        is_taken = True
    if is_taken:
        report.error("name_twice", path.as_posix(), 0, "Two files have this name, or a file and a folder.", "Give each its own name.")
        return None
    seen.add(plain)
    return target


def safe_path(name: str, report: Report) -> PurePosixPath | None:
    """An entry's name as a relative path, composed (NFC); None, with the reason reported, where it leads out of the folder."""
    composed = unicodedata.normalize("NFC", name.replace("\\", "/"))
    path = PurePosixPath(composed)
    is_drive = len(composed) > 1 and composed[1] == ":"
    if not composed:
        report.error("name_odd", "", 0, "The archive holds a file without a name.", "Pack the folder again, with plain names.")
        return None
    if path.is_absolute() or is_drive or ".." in path.parts or "\0" in composed or not path.parts:
        report.error("path_outside", composed[:200], 0, "This name leads out of the folder.", "Pack the folder again, with plain names.")
        return None
    if len(composed) > 400 or any(len(part.encode()) > 255 for part in path.parts):
        report.error("name_odd", composed[:200], 0, "The file's name is too long.", "Use a shorter one.")
        return None
    return path


def lift_single_folder(folder: Path) -> Path:
    """Where the course begins: archives often hold one folder with everything in it."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(LEFT_OUT)]
    if len(entries) == 1 and entries[0].is_dir():
        return lift_single_folder(entries[0])
    return folder
