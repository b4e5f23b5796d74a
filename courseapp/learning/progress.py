"""Progress: counted from completions, never stored, never over 100 %.

Only released lessons that need no safety check count; technique lessons keep their ticks for the learner alone, so that
no number can give an outcome away. Having finished is sticky: what comes later shows as new.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from courseapp.catalog.models import Lesson, Module, Need, Rule
from courseapp.catalog.outline import is_released
from courseapp.extensions import db, insert_later, write_held
from courseapp.held import table_of
from courseapp.journal import events
from courseapp.learning.gate import can_open
from courseapp.learning.models import Completion, Enrolment, Outcome


@dataclass
class Row:
    """One lesson of a learner's outline."""

    lesson_id: int
    id: str
    number: int
    title: str
    minutes: int
    shows: str
    needs_check: Need
    done: bool
    done_at: datetime | None  # where it was asked for
    locked: bool
    is_new: bool
    module_title: str
    current: bool = False

    @property
    def counts(self) -> bool:
        """Whether it is part of progress."""
        return self.needs_check is Need.NONE


@dataclass
class ModuleRows:
    """One module of a learner's outline."""

    number: int
    title: str
    summary: str
    lessons: list[Row] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many of its lessons count."""
        return sum(row.counts for row in self.lessons)

    @property
    def done(self) -> int:
        """How many of those are done."""
        return sum(row.counts and row.done for row in self.lessons)

    @property
    def minutes_done(self) -> int:
        """Minutes of the lessons that count and are done."""
        return sum(row.minutes for row in self.lessons if row.counts and row.done)


@dataclass(frozen=True)
class Progress:
    """How far a learner is in a course."""

    done: int
    total: int
    minutes_left: int
    finished_at: datetime | None
    new_since: int

    @property
    def percent(self) -> int:
        """Whole per cent, rounded down."""
        return 100 * self.done // self.total if self.total else 0


@dataclass(frozen=True)
class OwnLesson:
    """A released lesson of a course that a learner takes, open to them; their enrolment is locked until the caller commits."""

    lesson_id: int
    course_id: int
    needs_check: Need
    rule: Rule
    slug: str
    user_id: int
    enrolment_id: int
    is_finished: bool


@dataclass(frozen=True)
class LearnerOutline:
    """A learner's outline and what it adds up to."""

    modules: list[ModuleRows]
    progress: Progress

    @property
    def rows(self) -> list[Row]:
        """All lessons in order."""
        return [row for module in self.modules for row in module.lessons]


ANY_LESSONS = (
    sa.select(
        Lesson.id,
        Lesson.public_id,
        Lesson.title,
        Lesson.minutes,
        Lesson.shows,
        Lesson.needs_check,
        Lesson.published_at,
        Lesson.module_id,
        Module.title.label("module_title"),
        Module.summary.label("module_summary"),
    )
    .join(Module, Module.id == Lesson.module_id)
    .where(Lesson.course_id == sa.bindparam("course_id"), Lesson.retired_at.is_(None))
    .order_by(Lesson.position)
)
"""The lessons of a course in order, drafts among them, as `outline_from` wants them."""

LESSONS = ANY_LESSONS.where(is_released())
"""Those of them that are released."""

_outline = (  # built once: course and progress pages ask it
    LESSONS.add_columns(Completion.completed_at).outerjoin(
        Completion, sa.and_(Completion.lesson_id == Lesson.id, Completion.user_id == sa.bindparam("user_id"))
    )
)


def outline_for(user_id: int, course_id: int, finished_at: datetime | None, outcome: Outcome | None) -> LearnerOutline:
    """A learner's outline in one query."""
    found = db.session.execute(_outline, {"user_id": user_id, "course_id": course_id}).all()
    return outline_from(found, {row.id: row.completed_at for row in found if row.completed_at is not None}, finished_at, outcome)


def outline_from(
    lessons: Iterable[Any], done: Mapping[int, datetime | None], finished_at: datetime | None, outcome: Outcome | None
) -> LearnerOutline:
    """A learner's outline, put together: rows of `LESSONS`, and which of them are done, with the moment where it matters."""
    modules: dict[int, ModuleRows] = {}
    for number, row in enumerate(lessons, start=1):
        module = modules.setdefault(row.module_id, ModuleRows(len(modules) + 1, row.module_title, row.module_summary))
        is_new = finished_at is not None and row.id not in done and row.needs_check is Need.NONE and row.published_at > finished_at
        module.lessons.append(
            Row(
                lesson_id=row.id,
                id=row.public_id,
                number=number,
                title=row.title,
                minutes=row.minutes,
                shows=row.shows,
                needs_check=row.needs_check,
                done=row.id in done,
                done_at=done.get(row.id),
                locked=not can_open(row.needs_check, outcome),
                is_new=is_new,
                module_title=row.module_title,
            )
        )
    outline = list(modules.values())
    return LearnerOutline(outline, _progress_of(outline, finished_at))


def _progress_of(modules: list[ModuleRows], finished_at: datetime | None) -> Progress:
    counted = [row for module in modules for row in module.lessons if row.counts]
    left = [row for row in counted if not row.done]
    return Progress(
        len(counted) - len(left), len(counted), sum(row.minutes for row in left), finished_at, sum(row.is_new for row in counted)
    )


def next_lesson(outline: LearnerOutline, last_opened_id: int | None) -> Row | None:
    """Where to continue: the lesson opened last while it is not done, else the first that counts and is not done."""
    rows = outline.rows
    last = next((row for row in rows if row.lesson_id == last_opened_id), None)
    if last is not None and not last.done and not last.locked:
        return last
    return next((row for row in rows if row.counts and not row.done), None)


def complete_lesson(own: OwnLesson, now: datetime) -> bool:
    """Note that a lesson is done; doing it twice changes nothing. True when this finished the course.

    What is written to the journal says nothing of technique lessons.
    """
    counts = own.needs_check is Need.NONE
    done = insert_later(
        Completion,
        once=("user_id", "lesson_id"),
        telling=(_has_open_lessons, {"b_user_id": own.user_id, "b_lesson_id": own.lesson_id, "b_course_id": own.course_id}),
        user_id=own.user_id,
        lesson_id=own.lesson_id,
        completed_at=now,
    )
    if counts:
        facts = {"user_id": own.user_id, "course_id": own.course_id, "lesson_id": own.lesson_id}
        events.record("lesson_completed", f"user:{own.user_id}", now, given=done, **facts)
    write_held()
    if done.id is None or not counts or own.is_finished or done.told:
        return False
    finish(db.session.get_one(Enrolment, own.enrolment_id), now)
    return True


def finish(enrolment: Enrolment, now: datetime) -> None:
    """Note that a course is finished."""
    enrolment.finished_at = now
    user_id, course_id = enrolment.user_id, enrolment.course_id
    events.record("course_completed", f"user:{user_id}", now, user_id=user_id, course_id=course_id)


def undo_completion(own: OwnLesson) -> None:
    """Take a completion back. Having finished the course stays."""
    db.session.execute(sa.delete(Completion).where(Completion.user_id == own.user_id, Completion.lesson_id == own.lesson_id))


def note_opening(own: OwnLesson, now: datetime) -> None:
    """Remember where the learner is."""
    db.session.execute(_opening, {"b_id": own.enrolment_id, "b_lesson_id": own.lesson_id, "b_now": now})


_enrolments = table_of(Enrolment)
_opening = (
    sa.update(_enrolments)
    .where(_enrolments.c.id == sa.bindparam("b_id"))
    .values(last_lesson_id=sa.bindparam("b_lesson_id"), last_opened_at=sa.bindparam("b_now", type_=_enrolments.c.last_opened_at.type))
)


_done = aliased(Completion)
_has_open_lessons = sa.exists().where(
    Lesson.course_id == sa.bindparam("b_course_id"),
    Lesson.needs_check == Need.NONE,
    Lesson.id != sa.bindparam("b_lesson_id"),  # whether RETURNING sees the row it returns is for each database to say
    is_released(),
    # a correlated EXISTS would not do: SQLAlchemy writes column names without their tables in RETURNING
    Lesson.id.not_in(sa.select(_done.lesson_id).where(_done.user_id == sa.bindparam("b_user_id"))),
)
"""Whether lessons that count are left beside the one just done."""
