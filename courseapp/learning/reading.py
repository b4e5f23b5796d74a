"""What a lesson page needs, in two queries after the session's one."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l

from courseapp.accounts.models import User
from courseapp.catalog.models import Course, Lesson, Need, Revision, Rule
from courseapp.catalog.outline import is_released
from courseapp.extensions import db
from courseapp.learning.gate import can_open, is_adapted
from courseapp.learning.models import Enrolment, Outcome, SafetyOutcome
from courseapp.learning.progress import LearnerOutline, Row, outline_for
from courseapp.learning.safety import is_current

RULE_WORDS = {
    Rule.MARK: _l("This lesson is done when you say so."),
    Rule.OPEN: _l("This lesson is done once you have opened it."),
}

# The lesson with its text, course, enrolment and the learner's outcome: found through the enrolment, or not at all.
_lesson = (
    sa.select(
        Lesson.id,
        Lesson.course_id,
        Lesson.needs_check,
        Lesson.rule,
        Revision.html,
        Revision.adapted_html,
        Revision.stop_html,
        Revision.sources,
        Revision.reviewed_by,
        Revision.reviewed_on,
        Course.title.label("course_title"),
        Course.slug,
        Enrolment.finished_at,
        SafetyOutcome.outcome,
        SafetyOutcome.wording,
        SafetyOutcome.decided_at,
    )
    .join(Course, Course.id == Lesson.course_id)
    .join(Enrolment, sa.and_(Enrolment.course_id == Course.id, Enrolment.user_id == sa.bindparam("user_id")))
    .join(Revision, sa.and_(Revision.lesson_id == Lesson.id, Revision.number == Lesson.revision_number))
    .outerjoin(SafetyOutcome, SafetyOutcome.user_id == Enrolment.user_id)
    .where(Lesson.public_id == sa.bindparam("public_id"), is_released(), Course.published_at.is_not(None))
)
_own_lesson = (
    sa.select(Lesson, Enrolment, SafetyOutcome, Course.slug)
    .join(Course, Course.id == Lesson.course_id)
    .join(Enrolment, sa.and_(Enrolment.course_id == Course.id, Enrolment.user_id == sa.bindparam("user_id")))
    .outerjoin(SafetyOutcome, SafetyOutcome.user_id == Enrolment.user_id)
    .where(Lesson.public_id == sa.bindparam("public_id"), is_released(), Course.published_at.is_not(None))
    .with_for_update(of=Enrolment, key_share=True)
)


@dataclass(frozen=True)
class Reading:
    """One lesson as one learner may see it. `html` is empty where the lesson is closed to them."""

    row: Row
    previous: Row | None
    next: Row | None
    outline: LearnerOutline
    course_title: str
    course_slug: str
    rule: Rule
    html: str
    stop_html: str
    sources: list[str]
    reviewed_by: str | None
    reviewed_on: date | None
    outcome: Outcome | None

    @property
    def is_locked(self) -> bool:
        """Whether the safety check stands before it."""
        return self.row.locked

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
            "stop_html": self.stop_html,
            "needs_check": row.needs_check.value,
            "done": row.done,
            "done_at": row.done_at,
            "is_new": row.is_new,
            "rule": self.rule.value,
            "rule_words": RULE_WORDS[self.rule],
            "reviewed_by": self.reviewed_by,
            "reviewed_on": self.reviewed_on,
            "sources": self.sources,
        }
        return {
            "lesson": lesson,
            "course": {"title": self.course_title, "slug": self.course_slug},
            "module": next(module for module in self.outline.modules if row in module.lessons),
            "outline": self.outline.modules,
            "previous": self.previous,
            "next": self.next,
            "progress": self.outline.progress,
        }


def reading_of(user: User, public_id: str, now: datetime) -> Reading | None:
    """The lesson of an address for a learner of its course; None where there is none for them."""
    found = db.session.execute(_lesson, {"user_id": user.id, "public_id": public_id}).one_or_none()
    if found is None:
        return None
    outcome = found.outcome if is_current(found.outcome, found.wording, found.decided_at, now) else None
    outline = outline_for(user.id, found.course_id, found.finished_at, outcome)
    rows = outline.rows
    index = next(index for index, row in enumerate(rows) if row.lesson_id == found.id)
    row = rows[index]
    row.current = True
    is_open = can_open(found.needs_check, outcome)
    html = ""
    if is_open:
        html = (
            found.adapted_html
            if found.adapted_html is not None and found.needs_check is not Need.NONE and is_adapted(outcome)
            else found.html
        )
    return Reading(
        row=row,
        previous=rows[index - 1] if index else None,
        next=rows[index + 1] if index + 1 < len(rows) else None,
        outline=outline,
        course_title=found.course_title,
        course_slug=found.slug,
        rule=found.rule,
        html=html,
        stop_html=found.stop_html if is_open else "",
        sources=found.sources,
        reviewed_by=found.reviewed_by,
        reviewed_on=found.reviewed_on,
        outcome=outcome,
    )


def lesson_of_learner(user: User, public_id: str, now: datetime) -> tuple[Lesson, Enrolment, str] | None:
    """A released lesson of a course the learner takes, open to them now, with the course's slug; None otherwise.

    The enrolment stays locked until the caller commits: of two last lessons done at once, one must see the other.
    """
    found = db.session.execute(_own_lesson, {"user_id": user.id, "public_id": public_id}).one_or_none()
    if found is None:
        return None
    lesson, enrolment, kept, slug = found
    outcome = kept.outcome if kept is not None and is_current(kept.outcome, kept.wording, kept.decided_at, now) else None
    return (lesson, enrolment, slug) if can_open(lesson.needs_check, outcome) else None
