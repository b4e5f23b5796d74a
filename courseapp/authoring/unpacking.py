"""Unpacking: uploaded archives and files laid out as a folder, nothing trusted of what an archive says about itself.

Names, sizes and counts are checked while bytes flow, so that no bomb is ever written whole; what may not come in is reported
by name, and where an archive as a whole is not to be trusted nothing of it comes in.
"""

import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from courseapp.authoring.receiving import LARGEST_MEDIA, MOST_FILES
from courseapp.authoring.report import Report

LARGEST_WHOLE = 2_000_000_000  # bytes, unpacked
RATIO = 200  # how many times its packed size an archive may hold; text packs 10 : 1, a bomb 1,000 : 1
FREE_BYTES = 10_000_000  # below which the ratio does not matter
PIECE = 1024 * 1024
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")  # not xz: its own header says how much memory reading it takes
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
            with zipfile.ZipFile(location) as archive:
                _write(_of_zip(archive, name, report), len(archive.infolist()), location, name, folder, report, progress, left_out)
        else:
            with tarfile.open(location) as archive_file:
                _write(_of_tar(archive_file, name, report), 0, location, name, folder, report, progress, left_out)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, ValueError, RecursionError) as error:
        words = "The archive is damaged or cut off, so nothing of it was taken."
        report.error("archive_broken", name, 0, f"{words} ({type(error).__name__})", "Pack it again, and upload it again.")
        raise Refused from error


def _of_zip(archive: zipfile.ZipFile, name: str, report: Report) -> Iterator[Entry]:
    entries = archive.infolist()
    _refuse_many(len(entries), name, report)
    _refuse_overlap(archive, name, report)
    for info in entries:
        if info.is_dir():
            continue
        path = _name_of_zip(info)
        if info.flag_bits & 0x1:
            report.error("encrypted", path, 0, "This file is locked with a password.", "Pack the archive again without a password.")
            raise Refused
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in {0, stat.S_IFREG}:
            report.error("symlink", path, 0, "This is a link, not a file.", "Put the file itself here.")
            continue
        yield Entry(path, lambda info=info: archive.open(info))  # type: ignore[misc]  # mypy cannot infer a lambda with a default


def _of_tar(archive: tarfile.TarFile, name: str, report: Report) -> Iterator[Entry]:
    for count, member in enumerate(archive, start=1):
        _refuse_many(count, name, report)
        if member.isdir():
            continue
        if not member.isreg():
            report.error("symlink", member.name, 0, "This is a link or a device, not a file.", "Put the file itself here.")
            continue
        file = archive.extractfile(member)
        if file is not None:
            yield Entry(member.name, lambda file=file: file)  # type: ignore[misc]  # as above


def _name_of_zip(info: zipfile.ZipInfo) -> str:
    """The name an entry has. Without the UTF-8 mark Python reads old DOS letters; many programs write UTF-8 and forget the mark."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return info.filename


def _refuse_many(count: int, name: str, report: Report) -> None:
    if count > MOST_FILES:
        report.error("too_many_files", name, 0, f"The archive holds more than {MOST_FILES} files.", SMALLER)
        raise Refused


def _refuse_overlap(archive: zipfile.ZipFile, name: str, report: Report) -> None:
    """A bomb of David Fifield's kind lets thousands of entries share the same packed bytes."""
    ends = 0
    for info in sorted(archive.infolist(), key=lambda entry: entry.header_offset):
        if info.header_offset < ends:
            report.error("overlapping", name, 0, "Entries of the archive overlap, as in a zip bomb.", "Pack it again with another program.")
            raise Refused
        ends = info.header_offset + 30 + info.compress_size  # 30: the least a local header takes


def _write(
    entries: Iterator[Entry],
    count: int,
    location: Path,
    name: str,
    folder: Path,
    report: Report,
    progress: Progress,
    left_out: tuple[str, ...],
) -> None:
    allowed = min(LARGEST_WHOLE, max(FREE_BYTES, RATIO * location.stat().st_size))
    seen: set[str] = set()
    done = 0
    for entry in entries:
        path = safe_path(entry.name, report)
        if path is None or any(part.startswith(left_out) for part in path.parts):
            continue
        if path.as_posix().casefold() in seen:
            report.error("name_twice", path.as_posix(), 0, "Two files of the archive have this name.", "Give each its own name.")
            continue
        seen.add(path.as_posix().casefold())
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with entry.open() as source:
            allowed -= _copy(source, target, min(allowed, LARGEST_MEDIA), path.as_posix(), name, report)
        done += 1
        progress(done, count)


def safe_path(name: str, report: Report) -> PurePosixPath | None:
    """An entry's name as a relative path, composed (NFC); None, with the reason reported, where it leads out of the folder."""
    composed = unicodedata.normalize("NFC", name.replace("\\", "/"))
    path = PurePosixPath(composed)
    is_drive = len(composed) > 1 and composed[1] == ":"
    if path.is_absolute() or is_drive or ".." in path.parts or "\0" in composed or not path.parts:
        shown = composed.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
        report.error("path_outside", shown[:200], 0, "This name leads out of the folder.", "Pack the folder again, with plain names.")
        return None
    if len(composed) > 400 or any(len(part.encode()) > 255 for part in path.parts):
        report.error("name_odd", composed[:200], 0, "The file's name is too long.", "Use a shorter one.")
        return None
    return path


def _copy(source: IO[bytes], target: Path, most: int, path: str, archive: str, report: Report) -> int:
    """Copy by pieces, counting what really comes rather than what was announced; the bytes copied."""
    total = 0
    with target.open("wb") as file:
        while piece := source.read(PIECE):
            total += len(piece)
            if total > most:
                report.error("archive_too_large", archive, 0, f"Unpacked, the archive is far too large (at “{path}”).", SMALLER)
                raise Refused
            file.write(piece)
    return total


def lift_single_folder(folder: Path) -> Path:
    """Where the course begins: archives often hold one folder with everything in it."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(LEFT_OUT)]
    if len(entries) == 1 and entries[0].is_dir():
        return lift_single_folder(entries[0])
    return folder
