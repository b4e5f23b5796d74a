"""Lessons as learners would see them: of an upload before it is brought in, of a draft, of the live course.

One way for all of them: rows of lessons, one with its text, go through the very word that makes a learner's page. No enrolment
is needed, nobody's state is asked for, and nothing is noted.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from courseapp.authoring import looks
from courseapp.authoring.models import Upload
from courseapp.catalog.models import Asset, Course, Lesson, Need, Rule
from courseapp.extensions import db
from courseapp.learning.models import Outcome
from courseapp.learning.progress import ANY_LESSONS, LESSONS
from courseapp.learning.reading import LessonState, Reading, reading_from, with_text

OUTCOMES: Mapping[str, Outcome | None] = {
    "unchecked": None,
    **{outcome.value: outcome for outcome in (Outcome.PROFESSIONAL, Outcome.GENTLY, Outcome.AHEAD)},
}
"""Whom a preview is for, by the word in its address: nobody's outcome, one that could be anyone's. Those told to get help now
find the same lessons closed as those told to see a professional."""

TAG = re.compile(r'<[a-z][^>"]*(?:"[^"]*"[^>"]*)*>')  # as nh3 writes one: values in double quotes, and > may stand in them
_of_draft, _of_live = with_text(ANY_LESSONS), with_text(LESSONS)


@dataclass(frozen=True)
class File:
    """A file of a lesson, to be shown in a preview."""

    storage_key: str
    media_type: str
    path: str
    digest: str


@dataclass(frozen=True)
class Source:
    """What a preview shows: a course's lessons in order. The course of an upload need not be there yet."""

    of: Upload | Course
    outline: looks.Facts  # of an upload; empty for a course
    ids: list[str]  # of its lessons, public


def source_of(thing: Upload | Course) -> Source | None:
    """What can be shown of an upload or a course; None where an upload has nothing to show."""
    if isinstance(thing, Upload):
        outline = looks.outline_of(thing)
        return Source(thing, outline, [row["public_id"] for row in outline["lessons"]]) if outline is not None else None
    rows = db.session.execute(LESSONS if thing.is_published else ANY_LESSONS, {"course_id": thing.id})
    return Source(thing, {}, [row.public_id for row in rows])


def reading_in(source: Source, public_id: str, outcome: Outcome | None) -> Reading | None:
    """One lesson as learners with that outcome would read it; None where the source has no such lesson."""
    if public_id not in source.ids:
        return None
    rows = _rows_of_upload(source, public_id) if isinstance(source.of, Upload) else _rows_of_course(source.of, public_id)
    found = next((row for row in rows if row.public_id == public_id), None)
    if found is None:
        return None
    nobody = LessonState(found.id, 0, 0, outcome, done=frozenset(), done_on="", finished_at=None)
    return reading_from(rows, nobody)


def file_in(thing: Upload | Course, public_id: str) -> File | None:
    """A file of an upload or a course by its id, or None."""
    if isinstance(thing, Course):
        asset = db.session.scalar(sa.select(Asset).where(Asset.public_id == public_id, Asset.course_id == thing.id))
        return File(asset.storage_key, asset.media_type, asset.path, asset.digest) if asset is not None else None
    outline = looks.outline_of(thing)
    found = outline["assets"].get(public_id) if outline is not None else None
    return File(found["storage_key"], found["media_type"], found["path"], found["digest"]) if found is not None else None


def pointed_at(html: str, lessons: str, files: str) -> str:
    """A lesson's HTML with its links to lessons and files led to other places, which end with a slash."""
    moved = {'"/lessons/': f'"{lessons}', '"/assets/': f'"{files}', " /assets/": f" {files}"}  # the last one: of a srcset

    def move(tag: re.Match[str]) -> str:
        text = tag[0]
        for old, new in moved.items():
            text = text.replace(old, new)
        return text

    return TAG.sub(move, html)


def _rows_of_upload(source: Source, public_id: str) -> list[Any]:
    assert isinstance(source.of, Upload)
    rows = [
        SimpleNamespace(**{**row, "needs_check": Need(row["needs_check"]), "rule": Rule(row["rule"]), "published_at": None})
        for row in source.outline["lessons"]
    ]
    text = looks.text_of(source.of, source.outline, public_id)
    if text is None:
        return []
    for row in rows:
        if row.public_id == public_id:
            said = {"course_title": source.outline["title"], "slug": source.outline["slug"]}
            vars(row).update(text, **said, language=source.outline.get("language", ""))  # drafts of an older version name none
            row.reviewed_on = date.fromisoformat(row.reviewed_on) if row.reviewed_on else None
    return rows


def _rows_of_course(course: Course, public_id: str) -> list[Any]:
    lesson_id = db.session.scalar(sa.select(Lesson.id).where(Lesson.public_id == public_id, Lesson.course_id == course.id))
    lessons = _of_live if course.is_published else _of_draft
    return list(db.session.execute(lessons, {"course_id": course.id, "lesson_id": lesson_id}))
