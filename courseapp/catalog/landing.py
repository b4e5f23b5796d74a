"""The public page of a course: read once per version of the course, then from memory with no query."""

import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from flask import current_app

from courseapp.catalog.models import Course, Lesson, Revision
from courseapp.catalog.outline import OutlineModule, Totals, is_released, outline_of, published_course, totals_of
from courseapp.extensions import db

FRESH_FOR = 10.0  # seconds for which a published change may still be hidden
LANDINGS_KEPT = 100  # landings kept at most, those that are not there among them


@dataclass(frozen=True)
class Landing:
    """What the public page shows."""

    course: dict[str, Any]
    modules: list[OutlineModule]
    totals: Totals
    sample: dict[str, Any] | None  # to read before one buys, too: whoever names a lesson as the sample gives it away
    course_id: int
    version: int

    @property
    def has_closed(self) -> bool:
        """Whether any of it is closed to whoever holds nothing."""
        return any(module.closed for module in self.modules)

    @property
    def is_closed(self) -> bool:
        """Whether all of it is."""
        return bool(self.modules) and all(module.closed for module in self.modules)


def kept_landing(slug: str) -> Landing | None:
    """The landing of a published course, kept in this process for `FRESH_FOR` seconds; None where there is none."""
    memory: dict[str, tuple[float, Landing | None]] = current_app.extensions.setdefault("landings", {})
    kept = memory.get(slug)
    if kept is not None and time.monotonic() - kept[0] < FRESH_FOR:
        return kept[1]
    if len(memory) >= LANDINGS_KEPT:
        memory.clear()
    fresh = landing_of(slug)
    memory[slug] = time.monotonic(), fresh
    return fresh


def landing_of(slug: str) -> Landing | None:
    """The landing as the database has it."""
    course = published_course(slug)
    if course is None:
        return None
    outline = outline_of(course)
    front = course.front
    words = {
        "slug": course.slug,
        "title": course.title,
        "headline": course.headline,
        "summary": course.summary,
        "edition": course.edition,
        "language": course.language,
        "article_html": course.article_html,
        "for_whom": front.get("for_whom", []),
        "not_for": front.get("not_for", []),
        "questions": front.get("questions", []),
        "made_by": front.get("made_by", ""),
    }
    free = [module for module in outline if not module.closed]
    return Landing(words, outline, totals_of(free or outline), _sample(course), course.id, course.version)


def _sample(course: Course) -> dict[str, Any] | None:
    key = course.front.get("sample")
    row = db.session.execute(
        sa.select(Lesson, Revision)
        .join(Revision, sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number))
        .where(Lesson.course_id == course.id, Lesson.key == key, is_released())
    ).one_or_none()
    if row is None:
        return None
    lesson, revision = row
    return {"title": lesson.title, "minutes": lesson.minutes, "shows": lesson.shows, "html": revision.html}
