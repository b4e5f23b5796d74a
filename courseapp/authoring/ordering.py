"""The order of a course's modules and lessons, changed in the page. Positions are counted over the whole course; progress hangs on ids."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from flask_babel import gettext as _

from courseapp.authoring.editing import note_change
from courseapp.authoring.revising import present_course_hash
from courseapp.catalog.models import Course, Lesson, Module
from courseapp.errors import Refusal
from courseapp.extensions import db

MODULE, LESSON = "module:", "lesson:"


@dataclass
class OrderedModule:
    """A module with its lessons as (mark, title, number in the course)."""

    mark: str
    title: str
    lessons: list[tuple[str, str, int]] = field(default_factory=list)


def marks_of(course: Course) -> list[str]:
    """The present order: each module followed by its lessons, as `module:key` and `lesson:key`."""
    return [mark for module in ordered(course, None) for mark in (module.mark, *(lesson[0] for lesson in module.lessons))]


def ordered(course: Course, marks: Sequence[str] | None) -> list[OrderedModule]:
    """Modules and lessons in the order of `marks`, or (None) in the present one."""
    titles = _titles(course)
    result: list[OrderedModule] = []
    number = 0
    for mark in titles if marks is None else marks:
        if mark.startswith(MODULE):
            result.append(OrderedModule(mark, titles[mark]))
        else:
            number += 1
            result[-1].lessons.append((mark, titles[mark], number))
    return result


def _titles(course: Course) -> dict[str, str]:
    lessons = db.session.execute(
        sa.select(Lesson.key, Lesson.title, Lesson.module_id)
        .where(Lesson.course_id == course.id, Lesson.retired_at.is_(None))
        .order_by(Lesson.position, Lesson.id)
    ).all()
    modules = sa.select(Module).where(Module.course_id == course.id, Module.retired_at.is_(None)).order_by(Module.position, Module.id)
    titles = {}
    for module in db.session.scalars(modules):
        titles[MODULE + module.key] = module.title
        titles |= {LESSON + key: title for key, title, module_id in lessons if module_id == module.id}
    return titles


def fits(course: Course, marks: Sequence[str]) -> bool:
    """Whether an order names exactly what the course has now, and every lesson stands in a module."""
    return sorted(marks) == sorted(marks_of(course)) and bool(marks) and marks[0].startswith(MODULE)


def moved(marks: Sequence[str], mark: str, up: bool) -> list[str]:
    """The order with one lesson or module moved by one place: lessons go over the edge of their module, modules take theirs along."""
    return _module_moved(marks, mark, up) if mark.startswith(MODULE) else _lesson_moved(list(marks), mark, up)


def _lesson_moved(marks: list[str], mark: str, up: bool) -> list[str]:
    place = marks.index(mark)
    other = place - 1 if up else place + 1
    if other < 1 or other >= len(marks):  # before the first module nothing can stand
        return marks
    marks[place], marks[other] = marks[other], marks[place]
    return marks


def _module_moved(marks: Sequence[str], mark: str, up: bool) -> list[str]:
    blocks: list[list[str]] = []
    for one in marks:
        if one.startswith(MODULE):
            blocks.append([])
        blocks[-1].append(one)
    place = next(index for index, block in enumerate(blocks) if block[0] == mark)
    other = place - 1 if up else place + 1
    if 0 <= other < len(blocks):
        blocks[place], blocks[other] = blocks[other], blocks[place]
    return [one for block in blocks for one in block]


def reorder(course: Course, marks: Sequence[str], now: datetime, by_user_id: int) -> bool:
    """Put a course into an order that fits it; False where it stands so already. The caller has locked the course, and commits.

    Raises Refusal where a module would be left without a lesson.
    """
    if list(marks) == marks_of(course):
        return False
    if any(not module.lessons for module in ordered(course, marks)):
        raise Refusal(_("Each module needs a lesson. Put one into the empty module first."), 409)
    modules = {MODULE + row.key: row for row in db.session.scalars(sa.select(Module).where(Module.course_id == course.id))}
    lessons = {LESSON + row.key: row for row in db.session.scalars(sa.select(Lesson).where(Lesson.course_id == course.id))}
    for place, module in enumerate(ordered(course, marks), start=1):
        modules[module.mark].position = place
        for mark, _title, number in module.lessons:
            lessons[mark].position, lessons[mark].module_id = number, modules[module.mark].id
    db.session.flush()
    course.content_hash, course.reordered_at = present_course_hash(course), now
    note_change(course, now, "course_reordered", by_user_id)
    return True
