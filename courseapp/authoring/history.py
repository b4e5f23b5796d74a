"""A lesson's history: what each revision was, what it changed, and how two of them differ."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import defer

from courseapp.authoring.drafts import Typed
from courseapp.authoring.editing import Subject, differing, typed_of
from courseapp.authoring.models import Import
from courseapp.catalog.models import Lesson, Need, Origin, Revision, Rule
from courseapp.extensions import db

LINES = 200  # revisions shown


@dataclass(frozen=True)
class Entry:
    """One revision in the list. `source` names the import it came with; `changed` are the fields that are not as before."""

    number: int
    at: datetime
    origin: Origin
    by_user_id: int | None
    source: str
    changed: list[str]
    is_present: bool


def history_of(subject: Subject) -> list[Entry]:
    """A lesson's revisions, the newest first."""
    rows = revisions_of(subject.lesson)
    imports = {row.at: row.source for row in db.session.scalars(sa.select(Import).where(Import.course_id == subject.course.id))}
    entries = []
    for row, before in zip(rows, [*rows[1:], None], strict=True):
        changed = differing(typed_from(subject, row), typed_from(subject, before)) if before is not None else []
        source = imports.get(row.created_at, "") if row.origin is Origin.IMPORT else ""
        is_present = row.number == subject.revision.number
        entries.append(Entry(row.number, row.created_at, row.origin, row.by_user_id, source, changed, is_present))
    return entries[:LINES]


def revisions_of(lesson: Lesson) -> Sequence[Revision]:
    """A lesson's newest revisions, one more than are shown, so that each has one before it."""
    query = sa.select(Revision).where(Revision.lesson_id == lesson.id).order_by(Revision.number.desc()).limit(LINES + 1)
    query = query.options(defer(Revision.html), defer(Revision.adapted_html), defer(Revision.stop_html))
    return db.session.scalars(query).all()


def revision_of(lesson: Lesson, number: int) -> Revision | None:
    """One revision of a lesson by its number."""
    return db.session.scalar(sa.select(Revision).where(Revision.lesson_id == lesson.id, Revision.number == number))


def typed_from(subject: Subject, revision: Revision) -> Typed:
    """A revision as the form would show it. The present one is as the lesson stands; facts an old one did not keep are today's."""
    if revision.number == subject.revision.number or revision.facts is None:
        return typed_of(replace(subject, revision=revision))
    facts = {**revision.facts, "needs_check": Need(revision.facts["needs_check"]), "rule": Rule(revision.facts["rule"])}
    return typed_of(replace(subject, lesson=Lesson(**facts), revision=revision))
