"""Counting what a course adds up to, once a day and never for fewer than five people's steps."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from courseapp.catalog.models import Course, Lesson, Need
from courseapp.catalog.outline import is_released
from courseapp.extensions import db, insert_into, snapshot
from courseapp.insights.fives import DAYS, LONGER, Way, added_up, in_fives
from courseapp.insights.models import CourseFigures
from courseapp.learning.enrolment import FEWEST
from courseapp.learning.models import Completion, Enrolment

EVERY = timedelta(days=1)
BITS = 60  # lessons in one whole number of the database


@dataclass(frozen=True)
class LessonFigures:
    """How many people have done a lesson, in whole fives, and how that differs from the lesson before."""

    number: int
    title: str
    done: int
    change: int | None


def courses_due(now: datetime) -> list[int]:
    """Courses whose figures were never counted, or are a day old; their ids."""
    kept = sa.outerjoin(Course, CourseFigures, CourseFigures.course_id == Course.id)
    is_due = sa.or_(CourseFigures.counted_at.is_(None), CourseFigures.counted_at <= now - EVERY)
    return list(db.session.scalars(sa.select(Course.id).select_from(kept).where(is_due).order_by(Course.id)))


def recount(course_id: int) -> dict[str, Any] | None:
    """The figures of a course as they stand now; None where fewer than five people have moved since they were last counted.

    Else a day on which one person did one thing could tell what it was, by comparing the page before and after. It reads beside the
    session, so that nobody who writes waits for it meanwhile.
    """
    with snapshot() as seen:
        since = seen.scalar(sa.select(CourseFigures.counted_at).where(CourseFigures.course_id == course_id))
        if not _have_moved(seen, course_id, since):
            return None
        lessons = [lesson for lesson, _title in shown_lessons(course_id, seen)]
        return added_up(in_fives(ways_of(course_id, lessons, seen)), lessons).as_kept()


def keep_figures(course_id: int, figures: dict[str, Any], now: datetime) -> None:
    """Put figures in the place of the last ones."""
    row = insert_into(CourseFigures).values(course_id=course_id, figures=figures, counted_at=now)
    news = {"figures": row.excluded.figures, "counted_at": row.excluded.counted_at}
    db.session.execute(row.on_conflict_do_update(index_elements=["course_id"], set_=news))


def _have_moved(seen: sa.Connection, course_id: int, since: datetime | None) -> bool:
    begun = sa.select(Enrolment.user_id).where(Enrolment.course_id == course_id)
    moved: sa.Select[Any] | sa.CompoundSelect[Any] = begun
    if since is not None:
        done = (
            sa.select(Completion.user_id)
            .join(Lesson, Lesson.id == Completion.lesson_id)
            .where(Lesson.course_id == course_id, Lesson.needs_check == Need.NONE, Completion.completed_at > since)
        )
        moved = begun.where(Enrolment.started_at > since).union(done)
    return len(seen.scalars(moved.limit(FEWEST)).all()) == FEWEST


def shown_lessons(course_id: int, seen: sa.Connection | None = None) -> list[tuple[int, str]]:
    """The lessons that are spoken of: released, and without the safety check before them. (id, title) in order."""
    rows = (seen or db.session).execute(
        sa.select(Lesson.id, Lesson.title)
        .where(Lesson.course_id == course_id, Lesson.needs_check == Need.NONE, is_released())
        .order_by(Lesson.position)
    )
    return [(lesson, title) for lesson, title in rows]


def ways_of(course_id: int, lessons: list[int], seen: sa.Connection | None = None) -> Counter[Way]:
    """How far everybody in a course is, as numbers of people alike; one statement.

    The database makes the pattern of a person's lessons, as a sum of powers of two (a person has done a lesson once), and counts
    the people of each: what comes here is as many rows as there are patterns, not people.
    """
    parts = [lessons[start : start + BITS] for start in range(0, len(lessons), BITS)]
    bits = [
        sa.case({lesson: sa.literal(2**bit, sa.BigInteger) for bit, lesson in enumerate(part)}, value=Completion.lesson_id, else_=0)
        for part in parts
    ]
    own = sa.and_(Completion.user_id == Enrolment.user_id, Completion.lesson_id.in_(lessons))
    person = (
        sa.select(_within().label("within"), *(sa.func.sum(part).label(f"part_{place}") for place, part in enumerate(bits)))
        .outerjoin(Completion, own)
        .where(Enrolment.course_id == course_id)
        .group_by(Enrolment.id)
        .subquery()
    )
    people: Counter[Way] = Counter()
    for count, within, *masks in (seen or db.session).execute(sa.select(sa.func.count(), *person.c).group_by(*person.c)):
        done = sum(int(mask or 0) << BITS * place for place, mask in enumerate(masks))
        people[Way(done, within)] += count
    return people


def _within() -> sa.ColumnElement[int]:
    """SQL: within how many days an enrolment was finished, one of `DAYS` or `LONGER`; 0 where it is not."""
    ended = Enrolment.finished_at
    days = days_between(Enrolment.started_at, ended)
    steps: list[Any] = [(days <= step, sa.literal_column(str(step))) for step in DAYS]
    return sa.case((ended.is_(None), sa.literal_column("0")), *steps, else_=sa.literal_column(str(LONGER)))


def days_between(began: Any, ended: Any) -> sa.ColumnElement[Any]:
    """SQL: how many days lie between two moments, with the parts of days."""
    if db.engine.dialect.name == "sqlite":
        return sa.func.julianday(ended) - sa.func.julianday(began)
    return sa.extract("epoch", ended - began) / 86400


def figures_of(course_id: int) -> CourseFigures | None:
    """The figures as they were last counted."""
    return db.session.get(CourseFigures, course_id)


def lesson_figures(kept: CourseFigures) -> list[LessonFigures]:
    """The figures by lesson, of those that may be spoken of today: one that needs the check since then is gone at once."""
    found: list[LessonFigures] = []
    for number, (lesson, title) in enumerate(shown_lessons(kept.course_id), start=1):
        done = kept.figures["lessons"].get(str(lesson), 0)
        found.append(LessonFigures(number, title, done, done - found[-1].done if found else None))
    return found
