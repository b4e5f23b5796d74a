"""A course's outline: its modules and lessons in order, as anyone may know them."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from flask import current_app

from courseapp.catalog.models import Course, Lesson, Module, Need
from courseapp.extensions import db


@dataclass(frozen=True)
class OutlineLesson:
    """One lesson of the outline; `number` counts through the whole course."""

    number: int
    title: str
    shows: str
    minutes: int
    needs_check: Need
    key: str


@dataclass(frozen=True)
class OutlineModule:
    """One module of the outline with its lessons."""

    number: int
    title: str
    summary: str
    lessons: tuple[OutlineLesson, ...]
    closed: bool  # to whoever holds nothing

    @property
    def minutes(self) -> int:
        """The lessons' minutes together."""
        return sum(lesson.minutes for lesson in self.lessons)


@dataclass(frozen=True)
class Totals:
    """How large a course is."""

    modules: int
    lessons: int
    minutes: int


def published_course(slug: str) -> Course | None:
    """The published course of an address, or None."""
    return db.session.scalar(sa.select(Course).where(Course.slug == slug, Course.published_at.is_not(None)))


def is_released(lesson: type[Lesson] = Lesson) -> sa.ColumnElement[bool]:
    """SQL: the lesson is for learners now."""
    return sa.and_(lesson.published_at.is_not(None), lesson.retired_at.is_(None))


def closed_to_all(course_id: int) -> frozenset[int]:
    """The ids of a course's modules that are closed to whoever holds nothing; by a word of billing's, which stands above."""
    found: frozenset[int] = current_app.config["CLOSED_TO_ALL"](course_id)
    return found


def outline_of(course: Course) -> list[OutlineModule]:
    """The released lessons by module, in order."""
    rows = db.session.execute(
        sa.select(Lesson, Module)
        .join(Module, Module.id == Lesson.module_id)
        .where(Lesson.course_id == course.id, is_released())
        .order_by(Lesson.position)
    ).all()
    grouped: dict[int, tuple[Module, list[OutlineLesson]]] = {}
    for number, (lesson, module) in enumerate(rows, start=1):
        _module, lessons = grouped.setdefault(module.id, (module, []))
        lessons.append(OutlineLesson(number, lesson.title, lesson.shows, lesson.minutes, lesson.needs_check, lesson.key))
    closed = closed_to_all(course.id)
    return [
        OutlineModule(number, module.title, module.summary, tuple(lessons), module.id in closed)
        for number, (module, lessons) in enumerate(grouped.values(), start=1)
    ]


def totals_of(outline: Sequence[OutlineModule]) -> Totals:
    """How many modules, lessons, minutes."""
    return Totals(len(outline), sum(len(module.lessons) for module in outline), sum(module.minutes for module in outline))
