"""Course folders as instructors write them, made in a temporary place."""

import struct
import zlib
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from courseapp.extensions import db

CONTENT = Path(__file__).parent.parent.parent / "content" / "introduction"
COURSES = sorted(path.parent for path in CONTENT.parent.glob("*/course.md"))
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><rect width="9" height="9"/></svg>'


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG (PNG 3rd edition, 5.3)."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


PNG = b"\x89PNG\r\n\x1a\n" + b"".join(
    chunk(kind, content)
    for kind, content in [
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\xff\0\0")),
        (b"IEND", b""),
    ]
)
STOP = "::: stop-if\n- it hurts\n:::\n\n"

COURSE = {"slug": "small", "title": "A small course", "summary": "What it is.", "headline": "Small and whole", "sample": "one"}
MODULE = {"key": "beginning", "title": "Beginning", "summary": "How it begins."}
LESSON = {"title": "A lesson", "minutes": 5, "shows": "What it shows.", "needs_check": "none"}


def page(front: dict[str, Any], body: str = "Words.\n") -> str:
    """A content file: front matter and body."""
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n{body}"


def lesson(key: str, body: str = "Words.\n", **fields: Any) -> str:
    """A lesson's file."""
    return page({"id": key, **LESSON, **fields}, body)


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Put files into a folder."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def small_course(folder: Path, **more: str | bytes) -> Path:
    """A course without fault: two modules, three lessons, one drawing; `more` are further files, or others in their place."""
    return write(folder, small_files(**more))


def small_files(**more: str | bytes) -> dict[str, str | bytes]:
    """The files of that course by path."""
    files: dict[str, str | bytes] = {
        "course.md": page(COURSE, "The article, see [the first](lesson:one).\n"),
        "01-beginning/module.md": page(MODULE),
        "01-beginning/01-one.md": lesson("one", "Look:\n\n![A square](square.svg)\n"),
        "01-beginning/02-two.md": lesson("two"),
        "01-beginning/square.svg": SVG,
        "02-doing/module.md": page({"key": "doing", "title": "Doing", "summary": "What to do."}),
        "02-doing/01-touch.md": lesson("touch", STOP + "Press.\n\n![A circle](circle.svg)\n", needs_check="touch"),
        "02-doing/circle.svg": SVG.replace("rect", "ellipse"),
    }
    return {**files, **more}


def dump() -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    db.session.flush()
    tables = db.metadata.sorted_tables
    return {table.name: sorted((tuple(row) for row in db.session.execute(sa.select(table))), key=repr) for table in tables}
