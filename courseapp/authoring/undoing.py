"""Undoing an import as a whole: how a course stood is kept beside each import, and can be put back.

Revisions and stored files are never changed, so how a course stood is a matter of which ones count.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _

from courseapp.authoring.edits import edits_of
from courseapp.authoring.models import Import, Upload, UploadState
from courseapp.authoring.revising import locked, set_needs
from courseapp.catalog.copies import want_copies
from courseapp.catalog.models import Asset, Course, Lesson, Module
from courseapp.extensions import Model, db
from courseapp.held import table_of
from courseapp.journal import events

COURSE = (
    "title",
    "language",
    "edition",
    "summary",
    "headline",
    "article_source",
    "article_html",
    "front",
    "content_hash",
    "published_at",
    "reordered_at",
)
MODULE = ("position", "title", "summary", "retired_at")
LESSON = ("module_id", "position", "title", "minutes", "shows", "needs_check", "rule", "revision_number", "published_at", "retired_at")
ASSET = ("public_id", "path", "part_of", "source_digest", "digest", "media_type", "size", "width", "height", "need", "is_public")
Facts = dict[str, Any]


def standing_of(course: Course) -> Facts:
    """How a course stands, as JSON: its own fields, and those of its modules, lessons and files by id or path."""
    return {
        "course": _facts(course, COURSE),
        "modules": {str(row.id): _facts(row, MODULE) for row in _rows(Module, course.id)},
        "lessons": {str(row.id): _facts(row, LESSON) for row in _rows(Lesson, course.id)},
        "assets": [_facts(row, ASSET) for row in _rows(Asset, course.id)],
    }


def last_import(course_id: int) -> Import | None:
    """The newest import that still counts, the one that can be undone."""
    query = sa.select(Import).where(Import.course_id == course_id, Import.undone_at.is_(None))
    return db.session.scalar(query.order_by(Import.id.desc()).limit(1))


def import_of(upload: Upload) -> Import | None:
    """The import that an upload became; None where it is not in, or changed nothing."""
    if upload.state is not UploadState.COMMITTED:
        return None
    mine = (Import.course_id == upload.course_id, Import.source == upload.named_files)
    query = sa.select(Import).where(*mine, Import.at.between(upload.created_at, upload.finished_at))
    return db.session.scalar(query.order_by(Import.id.desc()).limit(1))


def edits_since(found: Import, course: Course) -> list[str]:
    """What was changed in the page since an import, in titles: undoing it would put that back too. Empty where it puts back nothing."""
    if found.before is None:
        return []
    titles = [edit.title for edit in edits_of(course, found.at)]
    is_reordered = course.reordered_at is not None and course.reordered_at > found.at
    return [*titles, str(_("the order of the lessons"))] if is_reordered else titles


def undo(found: Import, now: datetime, by_user_id: int | None, with_edits_of: int | None = None) -> bool:
    """Put the course back to how it stood before its last import; the caller commits. False where another import came since.

    Before its first import a course was not there: undoing that one takes it out of learners' sight and keeps it as a draft.
    Where lessons were edited in the page since, it is also False unless the person has seen which: `with_edits_of` is the version of
    the course whose edits they were shown. The edits stay in each lesson's history and can be restored from there.
    """
    course = db.session.scalars(locked(sa.select(Course).where(Course.id == found.course_id))).one()
    last = last_import(course.id)
    if last is None or last.id != found.id:
        return False
    if edits_since(found, course) and with_edits_of != course.version:
        return False
    if found.before is None:
        course.published_at = None
    else:
        _put_back(course, found.before, now)
        set_needs(course)
    course.version, course.changed_at, found.undone_at = course.version + 1, now, now
    db.session.flush()
    want_copies(course, now)
    events.record("import_undone", f"course:{course.id}", now, version=course.version, by_user_id=by_user_id)
    return True


def _put_back(course: Course, before: Facts, now: datetime) -> None:
    _apply(course, before["course"])
    for kind, facts in ((Module, before["modules"]), (Lesson, before["lessons"])):
        for row in _rows(kind, course.id):
            if str(row.id) in facts:
                _apply(row, facts[str(row.id)])
            elif row.retired_at is None:
                row.retired_at = now  # it came with the import; should it come again, its progress is still there
    # what was kept before there were pieces says neither what a file is part of nor what it was made of
    kept = {facts["path"]: {"part_of": None, "source_digest": facts["digest"], **facts} for facts in before["assets"]}
    for row in _rows(Asset, course.id):
        if row.path in kept:
            _apply(row, kept.pop(row.path))
        else:
            db.session.delete(row)
    for facts in kept.values():
        row = Asset(course_id=course.id)
        _apply(row, facts)
        db.session.add(row)


def _rows(kind: type[Any], course_id: int) -> list[Any]:
    return list(db.session.scalars(sa.select(kind).where(kind.course_id == course_id).order_by(kind.id)))


def _facts(row: Model, names: tuple[str, ...]) -> Facts:
    values = {name: getattr(row, name) for name in names}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _apply(row: Model, facts: Facts) -> None:
    columns = table_of(type(row)).c
    for name, value in facts.items():
        kind = columns[name].type
        if value is not None and isinstance(kind, sa.types.TypeDecorator):
            value = datetime.fromisoformat(value)  # noqa: PLW2901  # UtcDateTime is the one type of ours that JSON does not know
        elif value is not None and isinstance(kind, sa.Enum) and kind.enum_class is not None:
            value = kind.enum_class(value)  # noqa: PLW2901  # as above
        setattr(row, name, value)
