"""Correcting a lesson in the page: what was typed → what is wrong with it, how it will look, and a new revision."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from flask import current_app
from sqlalchemy.orm import joinedload

from courseapp.authoring.drafts import Typed
from courseapp.authoring.front_matter import CONTROL, LONGEST_LINE, Front, is_too_long
from courseapp.authoring.reading import LessonDraft, lesson_from
from courseapp.authoring.report import Report
from courseapp.authoring.revising import (
    add_revision,
    facts_of,
    hash_of,
    locked,
    neighbours_of,
    put_facts,
    render_text,
    set_needs,
)
from courseapp.authoring.validation import refuse_closed_sample, validate_lesson
from courseapp.catalog.copies import want_copies
from courseapp.catalog.models import Course, Lesson, Need, Origin, Revision
from courseapp.extensions import db
from courseapp.journal import events

if TYPE_CHECKING:  # what renders is large, and a web process renders nothing until somebody edits
    from courseapp.catalog.markdown import Rendered

REVIEW = ("reviewed_by", "reviewer_role", "reviewed_on", "review_due")
FIELDS = ("title", "minutes", "shows", "needs_check", "completes", "sources", *REVIEW, "body")
STAFF_FILES = "/staff/files"  # where staff see a course's files, whatever learners may open


@dataclass(frozen=True)
class Subject:
    """A lesson in the editor, with its course and the revision that counts."""

    course: Course
    lesson: Lesson
    revision: Revision

    @property
    def stamp(self) -> str:
        """What tells whether what can be written here has changed since; a review alone changes none of it."""
        return hash_of([self.revision.source, self.revision.sources, facts_of(self.lesson)])[:16]


@dataclass(frozen=True)
class Look:
    """What was typed, looked through: the draft of the lesson, how it will look, and what is wrong with it."""

    draft: LessonDraft
    rendered: "Rendered"
    report: Report


def subject_of(slug: str, key: str, to_change: bool = False) -> Subject | None:
    """A lesson of a course by its addresses, or None; `to_change` holds the course until the caller commits."""
    course = course_to_change(slug) if to_change else db.session.scalar(sa.select(Course).where(Course.slug == slug))
    if course is None:
        return None
    found = db.session.execute(
        sa.select(Lesson, Revision)
        .join(Revision, sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number))
        .where(Lesson.course_id == course.id, Lesson.key == key, Lesson.retired_at.is_(None))
        .options(joinedload(Lesson.module))
        .execution_options(populate_existing=True)
    ).one_or_none()
    return Subject(course, *found) if found is not None else None


def course_to_change(slug: str) -> Course | None:
    """The course of an address, held until the caller commits."""
    return db.session.scalar(locked(sa.select(Course).where(Course.slug == slug)))


def typed_of(subject: Subject) -> Typed:
    """What stands in the form before anybody types."""
    lesson, revision = subject.lesson, subject.revision
    return {
        "title": lesson.title,
        "minutes": str(lesson.minutes),
        "shows": lesson.shows,
        "needs_check": lesson.needs_check.value,
        "completes": lesson.rule.value,
        "sources": "\n".join(revision.sources),
        "reviewed_by": revision.reviewed_by or "",
        "reviewer_role": revision.reviewer_role or "",
        "reviewed_on": str(revision.reviewed_on or ""),
        "review_due": str(revision.review_due or ""),
        "body": revision.source.strip("\n"),
    }


def clean_typed(values: Mapping[str, str]) -> Typed:
    """What a browser sent, as it is kept: its line ends made one kind, and without what no database takes."""
    return {name: re.sub("[\0\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", _one_kind_of_line(values.get(name, ""))) for name in FIELDS}


def _one_kind_of_line(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def differing(typed: Typed, other: Typed) -> list[str]:
    """The fields in which two texts differ; blanks at the ends of a field, and blank lines around the text, do not count."""
    ends = {"body": "\n"}
    return [name for name in FIELDS if typed.get(name, "").strip(ends.get(name)) != other.get(name, "").strip(ends.get(name))]


def look_at(subject: Subject, typed: Typed, *, read_again: bool = False, for_staff: bool = False) -> Look:
    """Read, render and validate what was typed, as an import would.

    Args:
        read_again: the reviewer named has read the text as it is typed, so the review stays.
        for_staff: the files it shows are addressed so that staff see them; else as learners do.
    """
    report = Report()
    draft = lesson_from(_front_of(subject, typed), report)
    _refuse_odd(typed, draft, report)
    if is_too_long(draft.body, draft.file, report):
        draft = replace(draft, body=draft.body[:LONGEST_LINE])  # it is not saved so, and the page must show something soon
    draft = _with_review(subject, typed, draft, read_again)
    near = neighbours_of(subject.course, STAFF_FILES if for_staff else "/assets")
    rendered = render_text(draft.body, draft.file, draft.body_line, near, report)
    validate_lesson(draft, report)
    if subject.course.front.get("sample") == draft.key:
        refuse_closed_sample(draft, draft.file, report)
    return Look(draft, rendered, report)


def _front_of(subject: Subject, typed: Typed) -> Front:
    """What was typed as a file would have it. Blank lines before the text, which a form does not show, stay as they are."""
    source = subject.revision.source
    lead = source[: len(source) - len(source.lstrip("\n"))]
    is_same = typed["body"].strip("\n") == source.strip("\n")
    body = source if is_same else f"{lead}{typed['body'].strip(chr(10))}\n"
    values: dict[str, Any] = {name: typed[name].strip() for name in FIELDS if name not in {"body", "sources"}}
    values["id"] = subject.lesson.key
    values["minutes"] = int(values["minutes"]) if re.fullmatch(r"[0-9]{1,4}", values["minutes"]) else values["minutes"]
    values["sources"] = [line.strip() for line in typed["sources"].split("\n") if line.strip()]
    for name in ("reviewed_on", "review_due"):
        values[name] = _day(values[name])
    folder = subject.revision.folder
    file = f"{folder}/{subject.lesson.key}.md" if folder not in {"", "."} else f"{subject.lesson.key}.md"
    return Front(file, values, {}, body, 1 - len(lead))


def _day(text: str) -> date | str:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return text


def _refuse_odd(typed: Typed, draft: LessonDraft, report: Report) -> None:
    for name in FIELDS:
        if odd := CONTROL.search(typed[name]):
            line = typed[name].count("\n", 0, odd.start()) + 1 if name == "body" else 0
            words = f"There is a character here that cannot be shown (U+{ord(odd.group()):04X})."
            report.error("control_character", draft.file, line, words, "Delete it, and type the words around it anew.")


def _with_review(subject: Subject, typed: Typed, draft: LessonDraft, read_again: bool) -> LessonDraft:
    """A review is of the text that was read: where that changes and nobody says otherwise, the new one has none."""
    before = typed_of(subject)
    changed = set(differing(typed, before))
    if read_again or changed & set(REVIEW) or not changed - {"minutes", "completes"}:
        return draft
    return replace(draft, reviewed_by=None, reviewer_role=None, reviewed_on=None, review_due=None)


def needs_word(subject: Subject, draft: LessonDraft) -> bool:
    """Whether learners would be taught touch that no clinician has reviewed: in production somebody must say so expressly."""
    is_open = subject.course.is_published and not current_app.config["EMBEDDED"]
    return is_open and draft.needs_check is Need.TOUCH and draft.reviewed_by is None


def save(subject: Subject, look: Look, now: datetime, by_user_id: int, origin: Origin = Origin.EDIT) -> Revision:
    """Make what was looked at the lesson's present revision; the caller has held the course (`to_change`), and commits."""
    put_facts(subject.lesson, look.draft)
    revision = add_revision(subject.lesson, look.draft, look.rendered, now, origin, by_user_id)
    set_needs(subject.course)
    note_change(subject.course, now, "lesson_edited", by_user_id, lesson_id=subject.lesson.id)
    return revision


def note_change(course: Course, now: datetime, what: str, by_user_id: int, **facts: Any) -> None:
    """A course changed in the page: kept pages and printed copies are made anew."""
    course.version, course.changed_at = course.version + 1, now
    db.session.flush()
    want_copies(course, now)
    events.record(what, f"course:{course.id}", now, version=course.version, by_user_id=by_user_id, **facts)
