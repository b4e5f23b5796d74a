"""Progress: counted from completions, never stored, never over 100 %.

Only released lessons that need no safety check count; technique lessons keep their ticks for the learner alone, so that
no number can give an outcome away. What payment closes to somebody counts for them in nothing, so that whoever pays nothing can
finish; what they did there is kept. Having finished is sticky: what comes later shows as new.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from courseapp.billing.entitlements import closed_modules, modules_in
from courseapp.catalog.models import Course, Lesson, Module, Need, Rule
from courseapp.catalog.outline import is_released
from courseapp.columns import UtcDateTime
from courseapp.extensions import db, insert_later
from courseapp.held import Condition, HeldRow, table_of
from courseapp.journal import events
from courseapp.learning.gate import can_open
from courseapp.learning.models import Completion, Enrolment, Outcome

NEAR_END = 2
"""With so many other lessons open that count a completion may still be the last one, for they may be done at the same moment."""


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
    locked: bool  # by the safety check
    closed: bool  # by payment
    is_new: bool
    module_title: str
    current: bool = False

    @property
    def counts(self) -> bool:
        """Whether it is part of progress."""
        return self.needs_check is Need.NONE and not self.closed


@dataclass
class ModuleRows:
    """One module of a learner's outline."""

    number: int
    title: str
    summary: str
    closed: bool = False
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
    """A released lesson of a course that a learner takes, open to them."""

    lesson_id: int
    course_id: int
    needs_check: Need
    rule: Rule
    slug: str
    user_id: int
    enrolment_id: int
    is_done: bool
    may_be_last: bool  # completing it may finish the course
    closed: frozenset[int]  # modules of its course; its own is none of them


@dataclass(frozen=True)
class KnownLesson:
    """A lesson that needs no safety check, as it was in a version of its course."""

    lesson_id: int
    course_id: int
    version: int
    slug: str


@dataclass(frozen=True)
class LearnerOutline:
    """A learner's outline and what it adds up to."""

    modules: list[ModuleRows]
    progress: Progress

    @property
    def rows(self) -> list[Row]:
        """All lessons in order."""
        return [row for module in self.modules for row in module.lessons]

    @property
    def has_closed(self) -> bool:
        """Whether payment closes anything in it to the learner."""
        return any(module.closed for module in self.modules)


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
    LESSONS.add_columns(
        Completion.completed_at,
        closed_modules(sa.bindparam("course_id"), sa.bindparam("user_id"), sa.bindparam("now", type_=UtcDateTime())).label("closed"),
    ).outerjoin(Completion, sa.and_(Completion.lesson_id == Lesson.id, Completion.user_id == sa.bindparam("user_id")))
)


def outline_for(user_id: int, course_id: int, finished_at: datetime | None, outcome: Outcome | None, now: datetime) -> LearnerOutline:
    """A learner's outline in one query."""
    found = db.session.execute(_outline, {"user_id": user_id, "course_id": course_id, "now": now}).all()
    done = {row.id: row.completed_at for row in found if row.completed_at is not None}
    return outline_from(found, done, finished_at, outcome, modules_in(found[0].closed) if found else frozenset())


def outline_from(
    lessons: Iterable[Any],
    done: Mapping[int, datetime | None],
    finished_at: datetime | None,
    outcome: Outcome | None,
    closed: frozenset[int] = frozenset(),
) -> LearnerOutline:
    """A learner's outline, put together: rows of `LESSONS`, and which of them are done, with the moment where it matters.

    Args:
        closed: the modules that payment closes to them.
    """
    modules: dict[int, ModuleRows] = {}
    for number, row in enumerate(lessons, start=1):
        is_closed = row.module_id in closed
        module = modules.setdefault(row.module_id, ModuleRows(len(modules) + 1, row.module_title, row.module_summary, is_closed))
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
                closed=is_closed,
                is_new=is_new and not is_closed,
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
    if last is not None and not (last.done or last.locked or last.closed):
        return last
    return next((row for row in rows if row.counts and not row.done), None)


def complete_lesson(own: OwnLesson, now: datetime) -> bool:
    """Note that a lesson is done; doing it twice changes nothing. True when this finished the course.

    What is written to the journal says nothing of technique lessons.
    """
    if own.is_done and not own.may_be_last:
        return False
    counts = own.needs_check is Need.NONE
    # held until the caller commits: of the last lessons, done at once, one must see the others
    enrolment = db.session.get_one(Enrolment, own.enrolment_id, with_for_update={"key_share": True}) if own.may_be_last else None
    _hold_completion(own.user_id, own.course_id, own.lesson_id, counts, now)
    if enrolment is None or enrolment.finished_at is not None:
        return False
    if db.session.scalar(sa.select(open_lessons(own.course_id, own.user_id, own.closed).exists())):
        return False
    finish(enrolment, now)
    return True


def complete_known(known: KnownLesson, user_id: int, now: datetime) -> HeldRow:
    """Hold the completion of a lesson that was open to somebody a while ago, with all that `complete_lesson` asks: one statement.

    Committed, the row has an id, and the lesson is done; or it has none, and `lesson_of_learner` is to be asked how things stand.
    """
    facts = {"b_user_id": user_id, "b_course_id": known.course_id, "b_version": known.version, "b_now": now}
    return _hold_completion(user_id, known.course_id, known.lesson_id, True, now, (_is_as_known, facts))


def _hold_completion(
    user_id: int, course_id: int, lesson_id: int, counts: bool, now: datetime, provided: Condition | None = None
) -> HeldRow:
    once = ("user_id", "lesson_id")
    done = insert_later(Completion, once=once, provided=provided, user_id=user_id, lesson_id=lesson_id, completed_at=now)
    if counts:
        events.record("lesson_completed", f"user:{user_id}", now, given=done, user_id=user_id, course_id=course_id, lesson_id=lesson_id)
    return done


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


def open_lessons(course_id: Any, user_id: Any, closed: frozenset[int] = frozenset()) -> sa.Select[int]:
    """The lessons of a course that count and that a person has not done; the ids may be columns of an outer statement.

    Without `closed`, the modules that payment closes to the person, lessons of such modules are among them.

    Which tables are its own is said expressly, for of itself SQLAlchemy looks one statement out and no further.
    """
    lesson, done = aliased(Lesson), aliased(Completion)
    is_done = sa.select(done.id).where(done.lesson_id == lesson.id, done.user_id == user_id).correlate_except(done).exists()
    own = (lesson.course_id == course_id, lesson.needs_check == Need.NONE, is_released(lesson))
    not_closed = (lesson.module_id.not_in(closed),) if closed else ()
    return sa.select(lesson.id).where(*own, *not_closed, ~is_done).correlate_except(lesson)


_is_as_known = (
    sa.select(Enrolment.id)
    .join(Course, Course.id == Enrolment.course_id)
    .where(
        Enrolment.user_id == sa.bindparam("b_user_id"),
        Enrolment.course_id == sa.bindparam("b_course_id"),
        Course.version == sa.bindparam("b_version"),
        Course.published_at.is_not(None),
        closed_modules(Enrolment.course_id, Enrolment.user_id, sa.bindparam("b_now", type_=UtcDateTime())).is_(None),
        sa.or_(Enrolment.finished_at.is_not(None), open_lessons(Enrolment.course_id, Enrolment.user_id).offset(NEAR_END + 1).exists()),
    )
    .exists()
)
"""A person takes the course, which is as it was and in which payment closes nothing to them, and a lesson more will not finish it."""
