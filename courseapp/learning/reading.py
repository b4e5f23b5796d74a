"""What a lesson page needs: one query for the state its reader is in; the page of a state is kept, or one more query makes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from flask import current_app
from flask_babel import format_decimal
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import aliased

from courseapp.accounts.models import User
from courseapp.billing.entitlements import closed_modules, modules_in
from courseapp.catalog.models import Course, Lesson, Need, Revision, Rule
from courseapp.catalog.outline import is_released
from courseapp.columns import UtcDateTime
from courseapp.extensions import asking, db
from courseapp.learning.gate import can_open, is_adapted
from courseapp.learning.models import Completion, Enrolment, Outcome, SafetyOutcome
from courseapp.learning.progress import LESSONS, NEAR_END, KnownLesson, LearnerOutline, OwnLesson, Row, open_lessons, outline_from
from courseapp.learning.safety import is_current
from courseapp.web import day_words

RULE_WORDS = {
    Rule.MARK: _l("This lesson is done when you say so."),
    Rule.OPEN: _l("This lesson is done once you have opened it."),
}
LESSONS_KNOWN = 2000
SPEEDS = (0.75, 1, 1.25, 1.5, 2)  # at which films and sound may play
_outcome = (SafetyOutcome.outcome, SafetyOutcome.wording, SafetyOutcome.decided_at)


def _of_learner(*columns: Any) -> sa.Select[Any]:
    """A lesson found through the learner's enrolment, or not at all; with the outcome they hold, and what payment closes to them."""
    closed = closed_modules(Lesson.course_id, Enrolment.user_id, sa.bindparam("now", type_=UtcDateTime())).label("closed")
    return (
        sa.select(Lesson.id, Lesson.course_id, Lesson.module_id, Lesson.needs_check, Enrolment.finished_at, *_outcome, closed, *columns)
        .join(Course, Course.id == Lesson.course_id)
        .join(Enrolment, sa.and_(Enrolment.course_id == Course.id, Enrolment.user_id == sa.bindparam("user_id")))
        .outerjoin(SafetyOutcome, SafetyOutcome.user_id == Enrolment.user_id)
        .where(Lesson.public_id == sa.bindparam("public_id"), is_released(), Course.published_at.is_not(None))
    )


def _done_in_course() -> sa.ScalarSelect[str]:
    """The ids of the course's lessons that the learner has done, in one string."""
    other = aliased(Lesson)
    return (
        sa.select(sa.func.aggregate_strings(sa.cast(Completion.lesson_id, sa.String), " "))
        .join(other, other.id == Completion.lesson_id)
        .where(Completion.user_id == Enrolment.user_id, other.course_id == Lesson.course_id)
        .correlate(Enrolment, Lesson)
        .scalar_subquery()
    )


# Statements of hot pages, built once.
_own_mark = aliased(Completion)
_own_completion = (_own_mark, sa.and_(_own_mark.lesson_id == Lesson.id, _own_mark.user_id == Enrolment.user_id))
_state = _of_learner(Course.version, Course.changed_at, _done_in_course().label("done"), _own_mark.completed_at).outerjoin(*_own_completion)
_own_lesson = _of_learner(
    Lesson.rule,
    Course.slug,
    Course.version,
    Enrolment.id.label("enrolment_id"),
    _own_mark.completed_at,
    # this one among them, where it is open; and what payment closes, so it is no answer where that is anything
    open_lessons(Lesson.course_id, Enrolment.user_id).offset(NEAR_END + 1).exists().label("has_many_open"),
).outerjoin(*_own_completion)


def with_text(lessons: sa.Select[*tuple[Any, ...]]) -> sa.Select[*tuple[Any, ...]]:
    """A course's lessons, and of the one called `lesson_id` the text: rows as `reading_from` wants them."""
    return (
        lessons.add_columns(
            Lesson.rule,
            Revision.html,
            Revision.adapted_html,
            Revision.stop_html,
            Revision.sources,
            Revision.reviewed_by,
            Revision.reviewed_on,
            Course.title.label("course_title"),
            Course.language,
            Course.slug,
        )
        .join(Course, Course.id == Lesson.course_id)
        .outerjoin(
            Revision,
            sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number, Lesson.id == sa.bindparam("lesson_id")),
        )
    )


_lessons_with_text = with_text(LESSONS)


@dataclass(frozen=True)
class LessonState:
    """All that a lesson's page says of its reader, and nothing else: two readers in the same state see the same page.

    `done_on` is the day in words on which this lesson was done; `finished_at` when the course was, where lessons have come since.
    """

    lesson_id: int
    course_id: int
    version: int
    outcome: Outcome | None
    done: frozenset[int]
    done_on: str
    finished_at: datetime | None
    module_id: int = 0
    closed: frozenset[int] = frozenset()  # modules of the course, by payment

    @property
    def is_closed(self) -> bool:
        """Whether payment closes the lesson."""
        return self.module_id in self.closed


@dataclass(frozen=True)
class Reading:
    """One lesson as one learner may see it. `html` is empty where the lesson is closed to them."""

    row: Row
    previous: Row | None
    next: Row | None
    outline: LearnerOutline
    course_title: str
    course_slug: str
    course_language: str
    rule: Rule
    html: str
    stop_html: str
    sources: list[str]
    reviewed_by: str | None
    reviewed_on: date | None
    done_on: str
    outcome: Outcome | None

    @property
    def is_locked(self) -> bool:
        """Whether the safety check stands before it."""
        return self.row.locked

    @property
    def course(self) -> dict[str, str]:
        """What its page says of the course it belongs to."""
        return {"title": self.course_title, "slug": self.course_slug, "language": self.course_language}

    @property
    def speeds(self) -> list[tuple[float, str]]:
        """At which films and sound of the lesson may play, with words; none where it has neither."""
        has_media = "<audio" in self.html or "<video" in self.html
        return [(speed, f"{format_decimal(speed)} ×") for speed in SPEEDS] if has_media else []

    def as_page(self) -> dict[str, Any]:
        """What the lesson page shows."""
        row = self.row
        lesson = {
            "id": row.id,
            "number": row.number,
            "title": row.title,
            "minutes": row.minutes,
            "shows": row.shows,
            "html": self.html,
            "speeds": self.speeds,
            "stop_html": self.stop_html,
            "needs_check": row.needs_check.value,
            "done": row.done,
            "done_on": self.done_on,
            "is_new": row.is_new,
            "rule": self.rule.value,
            "rule_words": RULE_WORDS[self.rule],
            "reviewed_by": self.reviewed_by,
            "reviewed_on": self.reviewed_on,
            "sources": self.sources,
        }
        return {
            "lesson": lesson,
            "course": self.course,
            "module": next(module for module in self.outline.modules if row in module.lessons),
            "outline": self.outline.modules,
            "previous": self.previous,
            "next": self.next,
            "progress": self.outline.progress,
        }


def state_of(user: User, public_id: str, now: datetime) -> LessonState | None:
    """The state in which a learner of its course finds the lesson of an address, in one query; None where there is none for them."""
    found = asking().execute(_state, {"user_id": user.id, "public_id": public_id, "now": now}).one_or_none()
    if found is None:
        return None
    return LessonState(
        lesson_id=found.id,
        course_id=found.course_id,
        version=found.version,
        outcome=found.outcome if is_current(found.outcome, found.wording, found.decided_at, now) else None,
        done=frozenset(map(int, (found.done or "").split())),
        done_on=day_words(found.completed_at),
        finished_at=found.finished_at if found.finished_at is not None and found.changed_at > found.finished_at else None,
        module_id=found.module_id,
        closed=modules_in(found.closed),
    )


def reading_of(state: LessonState) -> Reading:
    """What a lesson's page shows in a state, in one query. Asks nothing about the reader: the page is kept for others in the same state."""
    facts = {"course_id": state.course_id, "lesson_id": state.lesson_id}
    lessons = db.session.execute(_lessons_with_text, facts).all()
    return reading_from(lessons, state)


def reading_from(lessons: Sequence[Any], state: LessonState) -> Reading:
    """What a lesson's page shows in a state: rows of the course's lessons, that of the state's lesson with its text."""
    index, found = next((index, row) for index, row in enumerate(lessons) if row.id == state.lesson_id)
    outline = outline_from(lessons, dict.fromkeys(state.done), state.finished_at, state.outcome, state.closed)
    rows = outline.rows
    row = rows[index]
    row.current = True
    is_open = can_open(found.needs_check, state.outcome) and not row.closed
    html = ""
    if is_open:
        html = (
            found.adapted_html
            if found.adapted_html is not None and found.needs_check is not Need.NONE and is_adapted(state.outcome)
            else found.html
        )
    return Reading(
        row=row,
        previous=next((other for other in reversed(rows[:index]) if not other.closed), None),
        next=next((other for other in rows[index + 1 :] if not other.closed), None),
        outline=outline,
        course_title=found.course_title,
        course_slug=found.slug,
        course_language=found.language,
        rule=found.rule,
        html=html,
        stop_html=found.stop_html if is_open else "",
        sources=found.sources,
        reviewed_by=found.reviewed_by,
        reviewed_on=found.reviewed_on,
        done_on=state.done_on,
        outcome=state.outcome,
    )


def lesson_of_learner(user_id: int, public_id: str, now: datetime) -> OwnLesson | None:
    """A released lesson of a course the learner takes, open to them now; None otherwise."""
    found = asking().execute(_own_lesson, {"user_id": user_id, "public_id": public_id, "now": now}).one_or_none()
    if found is None:
        return None
    outcome = found.outcome if is_current(found.outcome, found.wording, found.decided_at, now) else None
    closed = modules_in(found.closed)
    if found.module_id in closed or not can_open(found.needs_check, outcome):
        return None
    if found.needs_check is Need.NONE and not closed:
        _remember(public_id, KnownLesson(found.id, found.course_id, found.version, found.slug))
    return OwnLesson(
        lesson_id=found.id,
        course_id=found.course_id,
        needs_check=found.needs_check,
        rule=found.rule,
        slug=found.slug,
        user_id=user_id,
        enrolment_id=found.enrolment_id,
        is_done=found.completed_at is not None,
        may_be_last=found.needs_check is Need.NONE and found.finished_at is None and (bool(closed) or not found.has_many_open),
        closed=closed,
    )


def known_lesson(public_id: str) -> KnownLesson | None:
    """The lesson of an address as this process has last met it, if it has, and if it needs no safety check.

    Whether payment closes it to whoever asks now is asked when it is completed.
    """
    return _known().get(public_id)


def _remember(public_id: str, known: KnownLesson) -> None:
    memory = _known()
    if len(memory) >= LESSONS_KNOWN:
        memory.clear()
    memory[public_id] = known


def _known() -> dict[str, KnownLesson]:
    memory: dict[str, KnownLesson] = current_app.extensions.setdefault("lessons", {})
    return memory
