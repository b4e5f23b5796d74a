"""Documents: Word and PowerPoint files among what was sent become Markdown with pictures beside it.

A document is somebody's archive of XML: it is unpacked as any archive is, and nothing in it is read further before every
part is known to be plain XML without a document type (no entities, inside or outside), of a bounded size and depth.
"""

import contextlib
import shutil
import zipfile
from pathlib import Path
from xml.parsers import expat

import structlog

from courseapp.authoring import slides, word
from courseapp.authoring.completing import slug_of
from courseapp.authoring.patience import A_DOCUMENT, at_most
from courseapp.authoring.prose import Document
from courseapp.authoring.report import Report, Unfit
from courseapp.authoring.unpacking import Progress, Refused, unpack

LARGEST_PART = 3_000_000  # bytes of one part's XML, some two hundred pages; reading it takes a hundred megabytes and half a minute
LARGEST_TEXT = 12_000_000  # bytes of all XML together
DEEPEST = 120  # elements inside each other; Word's own come to about forty
PLAIN = (".xml", ".rels", ".vml")  # what is looked through, and alone is read as XML
OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # an OLE file: Word and PowerPoint before 2007, and any file with a password
LOCKED = "EncryptedPackage".encode("utf-16-le")
SAVE_AGAIN = "Open it in its program, save it again, and upload it again."
AS_WORD = "Open it, choose “Save as”, and save it as a Word document (.docx)."
AS_SLIDES = "Open it, choose “Save as”, and save it as a PowerPoint presentation (.pptx)."
OTHERS = {
    **dict.fromkeys((".doc", ".docm", ".dot", ".dotx", ".dotm", ".odt", ".rtf", ".pages", ".wps"), AS_WORD),
    **dict.fromkeys((".ppt", ".pptm", ".pps", ".ppsx", ".ppsm", ".pot", ".potx", ".odp", ".key"), AS_SLIDES),
}
MAIN = {
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml": ".docx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml": ".pptx",
}
CONVERTERS = {".docx": word.convert, ".pptx": slides.convert}
CALLED = {".docx": "a Word document", ".pptx": "a PowerPoint presentation"}

log = structlog.get_logger()


class NotPlain(Exception):
    """A part of a document is not plain XML; why, in words."""


def convert_documents(folder: Path, work: Path, report: Report, progress: Progress) -> dict[str, str]:
    """Put Markdown in the place of every document in `folder`; which pages and pictures were made of which document, by path."""
    made: dict[str, str] = {}
    found = sorted(path for path in folder.rglob("*") if _is_document(path))
    for number, location in enumerate(found):
        progress(number, len(found))
        suffix = location.suffix.lower()
        shown = location.relative_to(folder).as_posix()
        if suffix in OTHERS:
            report.error("document_kind", shown, 0, f"Files ending in “{suffix}” cannot be taken in.", OTHERS[suffix])
            location.unlink()
        else:
            opened = work / f"document-{number}"
            opened.mkdir()
            if _is_sound(location, suffix, shown, opened, report):
                document = Document(opened.with_suffix(".zip"), opened, location.parent, _stem(location), location.name, shown)
                _put_away(document)
                made |= {path.relative_to(folder).as_posix(): shown for path in _converted(document, suffix, report)}
            shutil.rmtree(opened)
            location.unlink()
    return made


def _is_document(path: Path) -> bool:
    return path.suffix.lower() in (*OTHERS, *CONVERTERS) and not path.name.startswith((".", "~$")) and path.is_file()


def _stem(location: Path) -> str:
    """What pages and pictures are called that are made of a document: as it is, unless that would meet other files."""
    others = {path.stem.rpartition("-")[0] or path.stem for path in location.parent.iterdir() if path != location}
    others |= {path.stem for path in location.parent.iterdir() if path != location}
    stem, number = slug_of(location.stem) or "document", 1
    while stem in others:
        number += 1
        stem = f"{slug_of(location.stem) or 'document'}-{number}"
    return stem


def _put_away(document: Document) -> None:
    """The document without what is not XML: so nothing that was not looked through is read as XML, and memory holds no films."""
    with zipfile.ZipFile(document.archive, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(document.opened.rglob("*")):
            name = path.relative_to(document.opened).as_posix()
            if path.name.lower().endswith(PLAIN):
                archive.write(path, name)
            elif path.is_file():
                archive.writestr(name, name)


def _converted(document: Document, suffix: str, report: Report) -> list[Path]:
    try:
        with at_most(A_DOCUMENT):
            written = CONVERTERS[suffix](document, report)
        text = "".join(path.read_text(encoding="utf-8") for path in written if path.suffix == ".md")
        for path in written:
            if path.suffix != ".md" and f"({path.name}" not in text:  # a picture that was named in the report instead
                path.unlink()
        return [path for path in written if path.exists()]
    except Unfit as unfit:
        report.error(unfit.code, document.shown, unfit.line, unfit.message, unfit.mend)
        return []
    except Exception as error:  # the libraries raise whatever a part that is missing or odd leads to: KeyError, AttributeError, …
        log.warning("document_not_read", kind=suffix, error=type(error).__name__)
        words = f"The document could not be read ({type(error).__name__})."
        report.error("document_broken", document.shown, 0, words, f"{SAVE_AGAIN} If that does not help, save it as Markdown.")
        return []


def _is_sound(location: Path, suffix: str, shown: str, opened: Path, report: Report) -> bool:
    """Whether a document is what its name says and safe to read; what is wrong with it is reported."""
    with location.open("rb") as file:
        head = file.read(8)
        if head == OLD:
            file.seek(0)
            is_locked = LOCKED in file.read(64 * 1024 * 1024)
            if is_locked:
                report.error(
                    "document_locked",
                    shown,
                    0,
                    "The document is locked with a password.",
                    "Save it without a password, and upload it again.",
                )
            else:
                mend = AS_WORD if suffix == ".docx" else AS_SLIDES
                report.error("document_old", shown, 0, "This is a document of a program from before 2007, whatever its name says.", mend)
            return False
    found = Report()
    with contextlib.suppress(Refused):
        unpack(f"{shown}.zip", location, opened, found, lambda _done, _total: None, is_all=True)
    if found.has_errors:
        _tell_unpacking(found, shown, report)
        return False
    try:
        _refuse_odd_parts(opened)
        kind = _kind(opened)
    except NotPlain as error:
        report.error("document_not_plain", shown, 0, f"The document was not read: {error}", SAVE_AGAIN)
        return False
    if kind != suffix:
        what = (
            f"This is {CALLED[kind]}"
            if kind in CALLED
            else f"This is no file of the kind “{suffix}”"
            if kind
            else "It holds macros, or is of another kind"
        )
        mend = f"Name it so that it ends in “{kind}”." if kind in CALLED else OTHERS[".doc" if suffix == ".docx" else ".ppt"]
        report.error("document_kind", shown, 0, f"{what}, and is named “{suffix}”.", mend)
    return kind == suffix


def _tell_unpacking(found: Report, shown: str, report: Report) -> None:
    codes = {row.code for row in found.rows}
    if codes & {"archive_too_large", "file_too_large", "too_many_files", "overlapping"}:
        report.error(
            "document_too_large", shown, 0, "Unpacked, the document is far too large.", "Make its pictures smaller, or upload it in parts."
        )
    elif "encrypted" in codes:
        report.error(
            "document_locked", shown, 0, "The document is locked with a password.", "Save it without a password, and upload it again."
        )
    elif codes & {"archive_broken", "archive_method"}:
        report.error("document_broken", shown, 0, "The document is damaged or cut off.", SAVE_AGAIN)
    else:
        report.error("document_odd", shown, 0, f"The document holds a file that no document has ({found.rows[0].file[:80]}).", SAVE_AGAIN)


def _refuse_odd_parts(opened: Path) -> None:
    """Raises NotPlain unless every part that is XML is plain."""
    total = 0
    for path in sorted(opened.rglob("*")):
        if path.name.lower().endswith(PLAIN) and path.is_file():
            size = path.stat().st_size
            total += size
            if size > LARGEST_PART or total > LARGEST_TEXT:
                raise NotPlain("it holds more text than can be taken in at once. Please divide it.")
            _refuse_odd(path)


def _refuse_odd(path: Path) -> None:
    """Expat reads as a stream and in every encoding, so nothing hides from this in UTF-16."""
    depth = 0

    def start(_name: str, _attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise NotPlain("its parts are nested far too deep.")

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_declaration: object) -> None:
        raise NotPlain("it declares a document type, as only attacks do.")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = start, end, doctype
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two for encodings nobody knows
        raise NotPlain(f"its part {path.name} is damaged.") from error


def _kind(opened: Path) -> str:
    """What a document says it is: ".docx", ".pptx", "other", or "macros"."""
    types = opened / "[Content_Types].xml"
    if not types.exists():
        return "other"
    said = word.attributes_of(types, "Override", "ContentType")
    if any("macroEnabled" in one or "vbaProject" in one for one in said):
        return ""
    return next((MAIN[one] for one in said if one in MAIN), "other")
