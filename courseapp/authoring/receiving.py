"""Receiving: which files are there, and whether each is what its name says. Nothing is read further before that."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import puremagic

from courseapp.authoring.report import Report

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
    ".webm": "video/webm",
    ".vtt": "text/vtt",
    ".pdf": "application/pdf",
}
MOST_FILES = 5_000
LONGEST_PATH = 200  # characters; what the database holds of a lesson's folder
LARGEST_TEXT = 1_000_000  # bytes
LARGEST_SVG = 2_000_000
LARGEST_MEDIA = 500_000_000
SVG_NAMESPACE = "{http://www.w3.org/2000/svg}"
XHTML_NAMESPACE = "{http://www.w3.org/1999/xhtml"
ELSEWHERE = re.compile(r"@import|url\s*\(\s*[\"']?\s*(?!#)[^\s\"')]", re.IGNORECASE)  # a reference inside the drawing, url(#shade), is fine
SVG_REFUSED = {"script", "foreignObject", "iframe", "image", "use", "animate", "set", "handler"}


@dataclass(frozen=True)
class SourceFile:
    """One file of a course folder; `path` is relative to it, with forward slashes."""

    path: str
    location: Path
    size: int
    digest: str
    media_type: str
    width: int | None = None
    height: int | None = None

    def content(self) -> bytes:
        """What is in it; for text files, which are small."""
        return self.location.read_bytes()


def receive_folder(folder: Path, report: Report) -> dict[str, SourceFile]:
    """The files of a course folder by path; what may not come in is reported and left out."""
    files: dict[str, SourceFile] = {}
    for location in _walk(folder, report):
        path = unicodedata.normalize("NFC", location.relative_to(folder).as_posix())  # some systems take letters and accents apart
        if len(files) >= MOST_FILES:
            report.error("too_many_files", path, 0, f"There are more than {MOST_FILES} files.", "Import a smaller folder.")
            break
        if path in files:
            report.error("name_twice", path, 0, "Two files have this name, written in two ways.", "Give each its own name.")
        elif (file := _receive_file(location, path, report)) is not None:
            files[path] = file
    return files


def _walk(folder: Path, report: Report) -> Iterator[Path]:
    for location in sorted(folder.rglob("*")):
        path = location.relative_to(folder)
        if any(part.startswith((".", "__MACOSX")) for part in path.parts):
            continue
        if location.is_symlink():
            report.error("symlink", path.as_posix(), 0, "This is a link to another file.", "Put the file itself here.")
        elif location.is_file():
            yield location


def _receive_file(location: Path, path: str, report: Report) -> SourceFile | None:
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
            "Remove it, or save it as one of the kinds we know.",
        )
        return None
    size = location.stat().st_size
    largest = LARGEST_TEXT if suffix in TEXT else LARGEST_SVG if suffix == ".svg" else LARGEST_MEDIA
    if size > largest:
        report.error("file_too_large", path, 0, f"The file has {size:,} bytes; {largest:,} is the most.", "Make it smaller or split it.")
        return None
    width = height = None
    if suffix == ".svg":
        found = check_svg(location.read_bytes(), path, report)
        if found is None:
            return None
        width, height = found
    elif suffix in MEDIA and not _is_what_it_says(location, suffix):
        report.error(
            "wrong_content", path, 0, f"The content is not that of a “{suffix}” file.", "Save it again in its own format, and name it so."
        )
        return None
    return SourceFile(path, location, size, _digest(location), media_type, width, height)


def check_svg(content: bytes, path: str, report: Report) -> tuple[int | None, int | None] | None:
    """An SVG's size in pixels; None, with the reason reported, where it holds anything but a drawing."""
    declared = re.match(rb"(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?encoding\s*=\s*[\"']([^\"']*)", content)
    if not _is_utf8(content) or (declared and declared[1].lower() not in {b"utf-8", b"us-ascii"}):
        # another encoding could hide from the two searches below what a browser would find
        report.error("svg_broken", path, 0, "The drawing is not UTF-8 text.", "Save it again as a plain SVG, in UTF-8.")
        return None
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        report.error("svg_doctype", path, 0, "The drawing declares entities.", "Save it as a plain SVG, without a document type.")
        return None
    try:
        root = ElementTree.fromstring(content)  # noqa: S314  # entities and document types were refused above
    except ElementTree.ParseError as error:
        report.error(
            "svg_broken", path, error.position[0], f"The drawing cannot be read: {error}.", "Save it again from your drawing program."
        )
        return None
    active = _active_in(root) or ("xml-stylesheet" if b"<?xml-stylesheet" in content else None)
    if active is not None:
        report.error(
            "svg_active",
            path,
            0,
            f"The drawing holds “{active}”, which can do more than draw.",
            "Remove scripts, links, embedded pictures, animations, and styles from elsewhere.",
        )
        return None
    try:
        _left, _top, width, height = (float(number) for number in (root.get("viewBox") or "").replace(",", " ").split())
        return round(width), round(height)
    except (ValueError, OverflowError):  # OverflowError: inf
        report.warn("svg_size", path, 0, "The drawing has no viewBox, so it cannot be scaled.", 'Add viewBox="0 0 width height".')
        return None, None


def _active_in(root: ElementTree.Element) -> str | None:
    """What in a drawing could do more than draw; None where nothing could."""
    if root.tag != f"{SVG_NAMESPACE}svg":
        return str(root.tag).rpartition("}")[2]
    for element in root.iter():
        namespace, _brace, name = str(element.tag).rpartition("}")
        if name in SVG_REFUSED or namespace == XHTML_NAMESPACE:
            return name
        for key, value in element.attrib.items():
            attribute = key.rpartition("}")[2]
            if attribute.lower().startswith("on") or (attribute == "href" and not value.startswith("#")) or ELSEWHERE.search(value):
                return attribute
        if name == "style" and ELSEWHERE.search(element.text or ""):
            return name
    return None


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_what_it_says(location: Path, suffix: str) -> bool:
    with location.open("rb") as file:
        head = file.read(4096)
    if suffix == ".vtt":
        return head.removeprefix(b"\xef\xbb\xbf").startswith(b"WEBVTT")
    try:
        found = {match.extension.lower() for match in puremagic.magic_string(head, filename=location.name)}
    except (puremagic.PureError, ValueError):
        return False
    same = {
        ".jpg": {".jpg", ".jpeg", ".jpe", ".jfif"},
        ".jpeg": {".jpg", ".jpeg", ".jpe", ".jfif"},
        ".m4a": {".m4a", ".mp4"},
        ".ogg": {".ogg", ".oga"},
    }
    return bool(found & same.get(suffix, {suffix}))


def _digest(location: Path) -> str:
    with location.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
