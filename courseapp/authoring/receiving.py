"""Receiving: which files are there, and whether each begins as its name says. Nothing is read further before that.

How a file begins is looked up in a table of our own, one exact form for each name: libraries that guess know a hundred kinds, and
take an AVI for a WAV because both are RIFF. What is served of a picture, drawing or film is made anew later (`preparing`).
"""

import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from posixpath import splitext

from courseapp.authoring.front_matter import LARGEST_TEXT
from courseapp.authoring.pieces import LARGE, Digests, Piece
from courseapp.authoring.report import Report
from courseapp.authoring.watched import TooMuch, opened_zip

TEXT = {".md": "text/markdown"}
MEDIA = {
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".ogg": "audio/ogg",
    ".wav": "audio/wav",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".3gp": "video/3gpp",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".vtt": "text/vtt",
    ".srt": "text/vtt",
    ".pdf": "application/pdf",
}
AT_ONCE = 4  # files hashed at the same time
MOST_FILES = 5_000
LONGEST_PATH = 200  # characters; what the database holds of a lesson's folder
MOST_TEXT = 20_000_000  # bytes of all lessons together, and still a book of 3 million words
LARGEST_SVG = 2_000_000
LARGEST_MEDIA = 500_000_000
LARGEST_CAPTIONS = 2_000_000
LARGEST_PICTURE = 60_000_000
LARGEST = {**dict.fromkeys(TEXT, LARGEST_TEXT), ".svg": LARGEST_SVG, ".vtt": LARGEST_CAPTIONS, ".srt": LARGEST_CAPTIONS}
LARGEST |= dict.fromkeys((".png", ".jpg", ".jpeg", ".webp", ".gif"), LARGEST_PICTURE)
BOXES = rb"....(?:ftyp|moov|mdat|wide|free|skip|pnot)"
END_OF_ARCHIVE = 22 + 65_535  # bytes before the end within which a ZIP archive's last record begins (APPNOTE 4.3.16)
BEGINNINGS = {  # of the first 4096 bytes
    ".png": rb"\x89PNG\r\n\x1a\n....IHDR",
    ".jpg": rb"\xff\xd8\xff",
    ".jpeg": rb"\xff\xd8\xff",
    ".gif": rb"GIF8[79]a",
    ".webp": rb"RIFF....WEBPVP8",
    ".wav": rb"RIFF....WAVE",
    ".mp3": rb"ID3[\x02-\x04]|\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef]",  # a tag, or a frame of layer III
    ".m4a": BOXES,
    ".ogg": rb"OggS\0",
    ".mp4": BOXES,
    ".m4v": BOXES,
    ".mov": BOXES,
    ".3gp": BOXES,
    ".webm": rb"\x1aE\xdf\xa3.{4,60}webm",
    ".mkv": rb"\x1aE\xdf\xa3.{4,60}matroska",
    ".pdf": rb"%PDF-\d",
    ".vtt": rb"(?:\xef\xbb\xbf)?WEBVTT",
    ".srt": rb"(?:\xef\xbb\xbf)?(?:\s*\d|WEBVTT)",  # an export gives back what we made of it, under the name it had
    ".svg": rb"(?:\xef\xbb\xbf)?\s*<",
}
ADVICE = {
    ".heic": "Save it as JPEG. On an iPhone: Settings → Camera → Formats → Most Compatible.",
    ".heif": "Save it as JPEG. On an iPhone: Settings → Camera → Formats → Most Compatible.",
    ".avif": "Save it as JPEG, PNG or WebP.",
    ".tif": "Save it as PNG or JPEG.",
    ".tiff": "Save it as PNG or JPEG.",
    ".bmp": "Save it as PNG or JPEG.",
    ".avi": "Convert it to MP4 with H.264 and AAC, such as with HandBrake.",
    ".wmv": "Convert it to MP4 with H.264 and AAC, such as with HandBrake.",
    ".aac": "Save it as M4A or MP3.",
    ".wma": "Save it as M4A or MP3.",
    ".flac": "Save it as M4A or MP3.",
}


@dataclass(frozen=True)
class SourceFile:
    """One file of a course folder; `path` is relative to it, with forward slashes; `digest` is the SHA-256 of its content."""

    path: str
    location: Path
    size: int
    digest: str
    media_type: str
    pieces: tuple[Piece, ...] = ()

    @cached_property  # asked for many times
    def suffix(self) -> str:
        """The ending of its name, in small letters."""
        return self.location.suffix.lower()

    def content(self) -> bytes:
        """What is in it; for text files, which are small."""
        return self.location.read_bytes()


def receive_folder(folder: Path, report: Report, digests: Digests | None = None) -> dict[str, SourceFile]:
    """The files of a course folder by path; what may not come in is reported and left out.

    Args:
        digests: of files that were hashed before.
    """
    files: dict[str, SourceFile] = {}
    if is_too_much_text(folder, report):
        return files
    for name, size in _walk(folder, report):
        path = unicodedata.normalize("NFC", name)  # some systems take letters and accents apart
        if len(files) >= MOST_FILES:
            report.error("too_many_files", path, 0, f"There are more than {MOST_FILES} files.", "Import a smaller folder.")
            break
        if path in files:
            report.error("name_twice", path, 0, "Two files have this name, written in two ways.", "Give each its own name.")
        elif (file := _receive_file(folder / name, path, size, report)) is not None:
            files[path] = file
    digest_of = (digests or Digests()).of
    with ThreadPoolExecutor(AT_ONCE) as pool:
        large = {path: pool.submit(digest_of, file.location) for path, file in files.items() if file.size >= LARGE}
        found = {path: large[path].result() if path in large else digest_of(file.location) for path, file in files.items()}
    return {path: replace(file, digest=found[path]) for path, file in files.items()}


def is_too_much_text(folder: Path, report: Report) -> bool:
    """Whether the lessons of a folder are more than can be looked through in good time; that is reported."""
    names = (
        os.path.join(place, name) for place, _folders, files in os.walk(folder) for name in files if name.lower().endswith(tuple(TEXT))
    )
    size = sum(facts.st_size for facts in map(os.lstat, names) if stat.S_ISREG(facts.st_mode))
    if size > MOST_TEXT:
        words = f"The lessons have {size:,} bytes together; {MOST_TEXT:,} is the most."
        report.error("text_too_much", "", 0, words, "Upload them as several courses.")
    return size > MOST_TEXT


def _walk(folder: Path, report: Report) -> Iterator[tuple[str, int]]:
    """The files of a folder and of those in it, in order: path in it, with forward slashes, and size; each is looked at once."""
    root = f"{folder}/"
    found = (os.path.join(place, name)[len(root) :] for place, folders, files in os.walk(folder) for name in (*folders, *files))
    for parts in sorted(path.split("/") for path in found):
        path = "/".join(parts)
        if any(part.startswith((".", "__MACOSX")) for part in parts):
            continue
        facts = os.lstat(root + path)
        if stat.S_ISLNK(facts.st_mode):
            report.error("symlink", path, 0, "This is a link to another file.", "Put the file itself here.")
        elif stat.S_ISREG(facts.st_mode):
            yield path, facts.st_size


def _receive_file(location: Path, path: str, size: int, report: Report) -> SourceFile | None:
    suffix = location.suffix.lower()
    if len(path) > LONGEST_PATH or not path.isprintable():
        shown = path.encode("utf-8", "backslashreplace").decode()
        mend = f"Use letters, digits and hyphens, {LONGEST_PATH} characters with its folders at most."
        report.error("name_odd", shown[:LONGEST_PATH], 0, "The file's name is too long, or cannot be shown.", mend)
        return None
    if suffix in TEXT and location.suffix != suffix:
        report.error("suffix_case", path, 0, f"The name ends in “{location.suffix}”.", f"Name it with small letters: “{suffix}”.")
        return None
    media_type = TEXT.get(suffix) or MEDIA.get(suffix)
    if media_type is None:
        report.warn(
            "kind_unknown",
            path,
            0,
            f"Files ending in “{suffix or 'nothing'}” are not taken in.",
            ADVICE.get(suffix, "Remove it, or save it as one of the kinds we know."),
        )
        return None
    if is_too_large(path, size, report):
        return None
    begins_as_it_says, may_be_archive = _looked_at(location, suffix) if suffix in MEDIA else (True, False)
    if not begins_as_it_says:
        mend = "Save it again in its own format, and name it so."
        report.error("wrong_content", path, 0, f"The content is not that of a “{suffix}” file.", mend)
        return None
    if may_be_archive and _is_archive(location):
        mend = "Open it in the program it was made with, and save it again."
        report.error("two_in_one", path, 0, "An archive hangs behind the content: the file is two things at once.", mend)
        return None
    return SourceFile(path, location, size, "", media_type)


def is_too_large(path: str, size: int, report: Report) -> bool:
    """Whether a file has more bytes than one of its kind may; that is reported."""
    largest = LARGEST.get(splitext(path)[1].lower(), LARGEST_MEDIA)
    if size > largest:
        report.error("file_too_large", path, 0, f"The file has {size:,} bytes; {largest:,} is the most.", "Make it smaller or split it.")
    return size > largest


def _looked_at(location: Path, suffix: str) -> tuple[bool, bool]:
    """Whether a file begins as its name says, and whether the mark stands near its end by which an archive is known."""
    with location.open("rb") as file:
        is_as_said = re.match(BEGINNINGS[suffix], file.read(4096), re.DOTALL) is not None
        file.seek(max(0, file.seek(0, 2) - END_OF_ARCHIVE))
        return is_as_said, b"PK\x05\x06" in file.read()


def _is_archive(location: Path) -> bool:
    """Whether the file can be unpacked; its last bytes may look like an archive's by chance, hence the second look."""
    try:
        with opened_zip(location) as archive:
            return bool(archive.infolist())
    except TooMuch:  # its list of files alone is longer than any we take
        return True
    except Exception:  # not an archive that anything could unpack
        return False
