"""Exporting: a course written back as the folder it came from, so that bringing it in again changes nothing."""

import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
import yaml

from courseapp import storage
from courseapp.authoring.reading import order_of
from courseapp.catalog.models import Asset, Course, Lesson, Module, Revision, Rule
from courseapp.extensions import db

PIECE = 1024 * 1024


@dataclass(frozen=True)
class Part:
    """One file of a course: its text, or the key under which storage keeps it; and which module and lesson a page is of."""

    path: str
    text: str = ""
    key: str = ""
    module: str = ""
    lesson: str = ""


def parts_of(course: Course) -> list[Part]:
    """Every file of a course as it stands: pages first, then what lies beside them. What rests (retired) is left out."""
    current = sa.select(Module).where(Module.course_id == course.id, Module.retired_at.is_(None))
    modules = db.session.scalars(current.order_by(Module.position))
    lessons = db.session.execute(
        sa.select(Lesson, Revision)
        .join(Revision, sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number))
        .where(Lesson.course_id == course.id, Lesson.retired_at.is_(None))
        .order_by(Lesson.position)
    )
    inside: dict[int, list[tuple[Lesson, Revision]]] = {}
    for lesson, revision in lessons:
        inside.setdefault(lesson.module_id, []).append((lesson, revision))
    kept = [module for module in modules if module.id in inside]
    assets = db.session.scalars(sa.select(Asset).where(Asset.course_id == course.id, Asset.part_of.is_(None)).order_by(Asset.path))
    return [_course_page(course), *_pages(kept, inside), *(Part(asset.path, key=asset.storage_key) for asset in assets)]


def lay_out(course: Course, folder: Path) -> list[Part]:
    """Write a course into an empty folder; the parts written."""
    parts = parts_of(course)
    for part in parts:
        target = folder / part.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with _opened(part) as source, target.open("wb") as file:
            while piece := source.read(PIECE):
                file.write(piece)
    return parts


def write_archive(course: Course, location: Path) -> int:
    """Write a course as a ZIP archive, whole or not at all; how many bytes it has. Raises OSError."""
    half = location.with_name(f".{location.name}.part")
    try:
        with half.open("wb") as file:
            size = sum(file.write(piece) for piece in packed(course))
        half.replace(location)
    finally:
        half.unlink(missing_ok=True)
    return size


def packed(course: Course) -> Iterator[bytes]:
    """A course as a ZIP archive, a piece at a time; the same course gives the same bytes. Raises FileNotFoundError before the first."""
    parts, moment = parts_of(course), course.changed_at.timetuple()[:6]
    for part in parts:
        if part.key and not storage.has(part.key):
            raise FileNotFoundError(part.path)
    return _zipped(parts, max(moment, (1980, 1, 1, 0, 0, 0)))


def _zipped(parts: list[Part], moment: tuple[int, ...]) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as archive:
        for part in parts:
            info = zipfile.ZipInfo(part.path, moment)  # type: ignore[arg-type]  # six numbers, which timetuple's type does not say
            info.compress_type = zipfile.ZIP_STORED if part.key else zipfile.ZIP_DEFLATED  # media are packed already
            info.external_attr = 0o644 << 16
            with _opened(part) as source, archive.open(info, "w", force_zip64=bool(part.key)) as file:
                while piece := source.read(PIECE):
                    file.write(piece)
                    yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """Where the archive is written to and read from at once; it cannot go back, and zipfile asks for no more."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._held += piece
        return len(piece)

    def taken(self) -> bytes:
        """What was written since it was last asked."""
        held, self._held = bytes(self._held), bytearray()
        return held


def _opened(part: Part) -> IO[bytes]:
    return storage.open_stored(part.key) if part.key else io.BytesIO(part.text.encode())


def _course_page(course: Course) -> Part:
    named = {name: getattr(course, name) for name in ("slug", "title", "language", "edition", "summary", "headline")}
    access = "paid" if course.paid_at is not None else ""
    front = {name: value for name, value in {**named, "access": access, **course.front}.items() if value}
    return Part("course.md", with_front(front, course.article_source))


def _pages(modules: list[Module], inside: dict[int, list[tuple[Lesson, Revision]]]) -> Iterator[Part]:
    folders = _folders(modules, inside)
    in_order = [folders[module.id] for module in modules]
    is_order_said = in_order != sorted(in_order, key=order_of)
    for place, module in enumerate(modules, start=1):
        front: dict[str, Any] = {"key": module.key, "title": module.title, "summary": module.summary}
        yield Part(
            f"{folders[module.id]}/module.md", with_front({**front, "order": place} if is_order_said else front, ""), module=module.key
        )
        for number, (lesson, revision) in enumerate(inside[module.id], start=1):
            folder = _folder_of(revision, folders[module.id])
            is_elsewhere = folder.split("/")[0] != folders[module.id]
            text = _lesson_page(lesson, revision, module.key if is_elsewhere else "")
            yield Part(f"{folder}/{number:02}-{lesson.key}.md", text, module=module.key, lesson=lesson.key)


def _folders(modules: list[Module], inside: dict[int, list[tuple[Lesson, Revision]]]) -> dict[int, str]:
    """Each module's folder: the one most of its lessons came from, for files beside them are known by their path."""
    wishes = Counter((module.id, revision.folder.split("/")[0]) for module in modules for _lesson, revision in inside[module.id])
    folders: dict[int, str] = {}
    for (module_id, folder), _count in wishes.most_common():
        if module_id not in folders and folder not in {"", ".", *folders.values()}:
            folders[module_id] = folder
    for place, module in enumerate(modules, start=1):
        if module.id not in folders:  # its lessons were moved here from other modules, which have their folders
            folders[module.id] = f"{place:02}-{module.key}{'-' if f'{place:02}-{module.key}' in folders.values() else ''}"
    return folders


def _folder_of(revision: Revision, own: str) -> str:
    """Where a lesson's file lies: where its pictures are found from, or in its module's folder where it shows none."""
    folder = "" if revision.folder == "." else revision.folder
    if folder.split("/")[0] == own:
        return folder
    from courseapp.catalog.markdown import parse  # large, and a course is seldom written out

    shows = any(child.type == "image" for token in parse(revision.source) for child in token.children or ())
    return folder if shows and folder else own


def _lesson_page(lesson: Lesson, revision: Revision, module_key: str) -> str:
    front = {
        "id": lesson.key,
        "title": lesson.title,
        "module": module_key,
        "minutes": lesson.minutes,
        "shows": lesson.shows,
        "needs_check": lesson.needs_check.value,
        "completes": lesson.rule.value if lesson.rule is not Rule.MARK else "",
        "sources": revision.sources,
        "reviewed_by": revision.reviewed_by,
        "reviewer_role": revision.reviewer_role,
        "reviewed_on": revision.reviewed_on,
        "review_due": revision.review_due,
    }
    return with_front({name: value for name, value in front.items() if value}, revision.source)


def with_front(front: dict[str, Any], body: str) -> str:
    """A page's text: its front matter, then its body, unchanged."""
    fields = yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=10**9)
    return f"---\n{fields}---\n{body}"
