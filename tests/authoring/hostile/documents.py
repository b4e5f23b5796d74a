"""Hostile Word and PowerPoint files: entities, bombs, names that lead out, what is locked or something else, and large structures."""

import zipfile
from collections.abc import Callable
from pathlib import Path

from tests.authoring.hostile import Item, Table
from tests.authoring.hostile.archives import course_zip, zip_of

MADE = Path(__file__).parent.parent / "documents"
LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
BOMB = f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY s SYSTEM "file:///etc/passwd">]>'
ABROAD = '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">'
MAIN = {".docx": "word/document.xml", ".pptx": "ppt/slides/slide1.xml"}
MADE_OF = {".docx": "lesson.docx", ".pptx": "slides.pptx"}
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000)


def parts_of(suffix: str) -> dict[str, str | bytes]:
    """The parts of a good document."""
    with zipfile.ZipFile(MADE / MADE_OF[suffix]) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sent(suffix: str, content: bytes, code: str) -> Item:
    """The small course with a document in it."""
    return Item((("course.zip", course_zip(**{f"01-beginning/03-page{suffix}": content})),), code)


def changed(suffix: str, code: str, parts: dict[str, str | bytes]) -> Callable[[], Item]:
    """A good document with some parts in the place of others."""
    return lambda: sent(suffix, zip_of({**parts_of(suffix), **parts}), code)


def declared(suffix: str, doctype: str, part: str = "") -> Callable[[], Item]:
    """A good document with a document type in one of its parts."""

    def made() -> Item:
        parts = parts_of(suffix)
        name = part or MAIN[suffix]
        content = bytes(parts[name])  # type: ignore[arg-type]  # read from an archive, so bytes
        head, mark, rest = content.partition(b"?>")
        parts[name] = head + mark + doctype.encode() + rest if mark else doctype.encode() + content
        return sent(suffix, zip_of(parts), "document_not_plain")

    return made


def word_of(body: str, code: str) -> Callable[[], Item]:
    """A Word file with another body; it may be large."""

    def made() -> Item:
        parts = parts_of(".docx")
        text = bytes(parts[MAIN[".docx"]]).decode()  # type: ignore[arg-type]  # as above
        start, end = text.index(">", text.index("<w:body")) + 1, text.index("</w:body>")
        return sent(".docx", zip_of({**parts, MAIN[".docx"]: text[:start] + body + text[end:]}), code)

    return made


def cut(suffix: str) -> Item:
    """A document cut off."""
    return sent(suffix, (MADE / MADE_OF[suffix]).read_bytes()[:-300], "document_broken")


def row_of(cells: int) -> str:
    """A row of a table."""
    return f"<w:tr>{'<w:tc><w:p/></w:tc>' * cells}</w:tr>"


def locked() -> bytes:
    """A document with a password is an OLE file with an encrypted archive in it."""
    return OLE + "EncryptedPackage".encode("utf-16-le")


def wrongs(suffix: str) -> list[tuple[str, str, dict[str, str | bytes]]]:
    """What may be wrong with either kind: what, the code, the parts."""
    return [
        ("bomb", "document_too_large", {"x/media/x.png": bytes(60_000_000)}),
        ("path traversal", "document_odd", {"../../outside.md": "evil"}),
        ("too much text", "document_not_plain", {"x/x.xml": "<x>" + "a" * 3_100_000}),
        ("nesting without end", "document_not_plain", {MAIN[suffix]: "<a>" * 5000}),
    ]


DOCUMENTS: Table = {
    **{
        f"{what} in {suffix[1:].upper()}": declared(suffix, doctype)
        for suffix in MAIN
        for what, doctype in (("entity expansion", BOMB), ("external entity", EXTERNAL), ("document type from elsewhere", ABROAD))
    },
    "external entity in DOCX relationships": declared(".docx", EXTERNAL, "word/_rels/document.xml.rels"),
    "external entity in PPTX relationships": declared(".pptx", EXTERNAL, "ppt/_rels/presentation.xml.rels"),
    "entity expansion in DOCX styles": declared(".docx", BOMB, "word/styles.xml"),
    **{f"{what} in {suffix[1:].upper()}": changed(suffix, code, parts) for suffix in MAIN for what, code, parts in wrongs(suffix)},
    "truncated DOCX": lambda: cut(".docx"),
    "truncated PPTX": lambda: cut(".pptx"),
    "encrypted DOCX": lambda: sent(".docx", locked(), "document_locked"),
    "encrypted PPTX": lambda: sent(".pptx", locked(), "document_locked"),
    "DOCX of before 2007": lambda: sent(".docx", OLE, "document_old"),
    "PPTX under the name of DOCX": lambda: sent(".docx", (MADE / "slides.pptx").read_bytes(), "document_kind"),
    "DOCX under the name of PPTX": lambda: sent(".pptx", (MADE / "lesson.docx").read_bytes(), "document_kind"),
    "DOCX with a table of a hundred million cells": word_of(f"<w:tbl>{row_of(8000)}{row_of(1) * 12_000}</w:tbl>", "document_table"),
    "DOCX of blanks between words in bold": word_of(
        f"<w:p><w:r><w:rPr><w:b/></w:rPr><w:t xml:space='preserve'>a{' ' * 1_000_000}b</w:t></w:r></w:p>", "text_too_long"
    ),
    "DOCX of marks": word_of(
        f"<w:p><w:r><w:rPr><w:b/></w:rPr><w:t>{'!' * 1_000_000}a</w:t></w:r><w:r><w:t>x</w:t></w:r></w:p>", "text_too_long"
    ),
}
