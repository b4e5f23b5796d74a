"""Unpacking: uploaded archives and files laid out as a folder, nothing trusted of what an archive says about itself.

Names, sizes and counts are checked while bytes flow, so that no bomb is ever written whole; what may not come in is reported
by name, and where an archive as a whole is not to be trusted nothing of it comes in.
"""

import gzip
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from courseapp.authoring import watched
from courseapp.authoring.receiving import MOST_FILES, is_too_large
from courseapp.authoring.report import Report
from courseapp.authoring.watched import Member, Swollen, TooMuch, opened_tar, opened_zip

LARGEST_WHOLE = 2_000_000_000  # bytes, unpacked
PIECE = 1024 * 1024
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


def unpack(name: str, location: Path, folder: Path, report: Report, progress: Progress, *, is_all: bool = False) -> None:
    """Lay the archive at `location`, uploaded as `name`, out in `folder`. Raises Refused, with the reason in the report.

    Args:
        is_all: with files whose names begin with a dot, too.
    """
    left_out = () if is_all else LEFT_OUT
    try:
        if name.lower().endswith(".zip"):
            with opened_zip(location) as archive:
                _refuse_unsound(archive, location.stat().st_size, name, report)
                _write(_of_zip(archive, report), len(archive.infolist()), name, folder, report, progress, left_out)
        else:
            with opened_tar(location) as archive_file:
                _write(_of_tar(archive_file, name, report), 0, name, folder, report, progress, left_out)
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
        if info.is_dir():
            continue
        path = _name_of_zip(info)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in {0, stat.S_IFREG}:
            report.error("symlink", path, 0, "This is a link, not a file.", "Put the file itself here.")
            continue
        yield Entry(path, info.file_size, lambda info=info: archive.open(info))  # type: ignore[misc]  # mypy cannot infer a lambda with a default


def _of_tar(archive: tarfile.TarFile, name: str, report: Report) -> Iterator[Entry]:
    count = 0
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # else it keeps each for good
        archive.pax_headers.clear()  # type: ignore[attr-defined]  # notes about all that follows; they may grow without end
        count += 1
        if count > MOST_FILES:
            raise _too_many(name, report)
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


def _write(
    entries: Iterator[Entry],
    count: int,
    name: str,
    folder: Path,
    report: Report,
    progress: Progress,
    left_out: tuple[str, ...],
) -> None:
    allowed = LARGEST_WHOLE
    seen: set[str] = set()
    done = 0
    for entry in entries:
        path = safe_path(entry.name, report)
        if path is None or any(part.startswith(left_out) for part in path.parts) or is_too_large(path.as_posix(), entry.size, report):
            continue
        target = place_for(path, folder, seen, report)
        if target is None:
            continue
        with entry.open() as source:
            allowed -= _copy(source, target, allowed, name, report)
        done += 1
        progress(done, count)


def place_for(path: PurePosixPath, folder: Path, seen: set[str], report: Report) -> Path | None:
    """Where a file of this path goes in `folder`, the folders above it made; None, with the reason reported, where that is taken.

    Args:
        seen: what was laid out before, as names that differ from no other by their letters' case alone; this one is added.
    """
    plain, target = path.as_posix().casefold(), folder / path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
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
    if path.is_absolute() or is_drive or ".." in path.parts or "\0" in composed or not path.parts:
        report.error("path_outside", composed[:200], 0, "This name leads out of the folder.", "Pack the folder again, with plain names.")
        return None
    if len(composed) > 400 or any(len(part.encode()) > 255 for part in path.parts):
        report.error("name_odd", composed[:200], 0, "The file's name is too long.", "Use a shorter one.")
        return None
    return path


def _copy(source: IO[bytes], target: Path, most: int, archive: str, report: Report) -> int:
    """Copy by pieces, counting what really comes rather than what was announced; the bytes copied."""
    total = 0
    with target.open("wb") as file:
        while piece := source.read(PIECE):
            total += len(piece)
            if total > most:
                raise _too_large(archive, report)
            file.write(piece)
    return total


def lift_single_folder(folder: Path) -> Path:
    """Where the course begins: archives often hold one folder with everything in it."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(LEFT_OUT)]
    if len(entries) == 1 and entries[0].is_dir():
        return lift_single_folder(entries[0])
    return folder
