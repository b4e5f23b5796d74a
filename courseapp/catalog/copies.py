"""Printed copies of a course: one file for each version and kind, built by the worker once, then only handed out."""

import hashlib
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import sqlalchemy as sa

from courseapp.catalog.models import Asset, Copy, CopyKind, Course, Lesson, Module, Need, Revision
from courseapp.catalog.outline import is_released
from courseapp.extensions import db, insert_later, wake


def want_copies(course: Course, now: datetime) -> None:
    """Ask the worker for every kind of copy of the course's present version; asking twice changes nothing."""
    for kind in CopyKind:
        insert_later(Copy, once=("course_id", "version", "kind"), course_id=course.id, version=course.version, kind=kind, asked_at=now)
    wake("copies")


def finished_copy(course_id: int, kind: CopyKind) -> Copy | None:
    """The newest copy of a kind that is built; None while the first is in the making."""
    query = sa.select(Copy).where(Copy.course_id == course_id, Copy.kind == kind, Copy.built_at.is_not(None))
    return db.session.scalar(query.order_by(Copy.version.desc()).limit(1))


def copies_to_build() -> list[int]:
    """Ids of copies asked for and not built, of the newest version of each course."""
    query = (
        sa.select(Copy.id)
        .join(Course, Course.id == Copy.course_id)
        .where(Copy.built_at.is_(None), Copy.problem.is_(None), Copy.version == Course.version)
        .order_by(Copy.id)
    )
    return list(db.session.scalars(query))


def file_name(course: Course) -> str:
    """The neutral name a copy is saved under; the same for every kind, so that it tells nothing."""
    return f"your-course-v{course.version}.pdf"


def keep_copy(copy: Copy, content: bytes, now: datetime) -> str:
    """Note a built copy; returns the storage key its content belongs under."""
    copy.digest = hashlib.sha256(content).hexdigest()
    copy.size = len(content)
    copy.built_at = now
    return copy.storage_key


def lessons_of_copy(course: Course, kind: CopyKind) -> list[Any]:
    """Rows (Lesson, Module, Revision) that a kind of copy holds, in order."""
    query = (
        sa.select(Lesson, Module, Revision)
        .join(Module, Module.id == Lesson.module_id)
        .join(Revision, sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number))
        .where(Lesson.course_id == course.id, is_released())
        .order_by(Lesson.position)
    )
    if kind is CopyKind.OPEN:
        query = query.where(Lesson.needs_check == Need.NONE)
    return list(db.session.execute(query))


def images_of(course: Course) -> dict[str, str]:
    """Path inside the course folder → storage key, of every image."""
    assets = db.session.scalars(
        sa.select(Asset).where(Asset.course_id == course.id, Asset.media_type.like("image/%"), Asset.part_of.is_(None))
    )
    return {asset.path: asset.storage_key for asset in assets if PurePosixPath(asset.path).suffix}
