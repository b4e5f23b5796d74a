"""Which sequences there are, and which versions of each."""

from collections.abc import Iterable
from collections.abc import Sequence as Rows
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, joinedload

from courseapp.accounts.models import User
from courseapp.billing.sensitivity import all_tiers
from courseapp.campaigns.models import Sequence, SequenceRun, SequenceStep, SequenceVersion
from courseapp.campaigns.sequence_drafts import is_for
from courseapp.campaigns.sequence_sentences import begins
from courseapp.campaigns.sequence_shapes import draft_from
from courseapp.catalog.models import Course, Lesson, Need
from courseapp.catalog.sensitivity import all_courses
from courseapp.extensions import db


@dataclass(frozen=True)
class Listed:
    """A sequence in a list: what begins it, in words, and whether it has ever been published."""

    sequence: Sequence
    begins: str
    has_versions: bool


def sequences_before(before: int | None, limit: int, reader: User, *, archived: bool = False) -> Rows[Sequence]:
    """Those that a member of staff may look after, the newest first; `before`: only those made before the one with this number."""
    query = sa.select(Sequence).where(Sequence.archived_at.is_not(None) if archived else Sequence.archived_at.is_(None), is_for(reader))
    if before is not None:
        query = query.where(Sequence.id < before)
    return db.session.scalars(query.order_by(Sequence.id.desc()).limit(limit)).all()


def as_listed(found: Iterable[Sequence]) -> list[Listed]:
    """Sequences with what begins each: as published, or as drafted where nothing was published yet."""
    sequences = list(found)
    ids = [row.id for row in sequences]
    query = sa.select(SequenceVersion).where(SequenceVersion.sequence_id.in_(ids)).order_by(SequenceVersion.number)
    latest = {version.sequence_id: version for version in db.session.scalars(query)}
    titles: dict[int | str, str] = {key: course.title for course in all_courses() for key in (course.id, course.slug)}
    begun_by = {version.lesson_id for version in latest.values() if version.lesson_id is not None}
    lessons = dict(db.session.execute(sa.select(Lesson.id, Lesson.title).where(Lesson.id.in_(begun_by))).all()) if begun_by else {}
    tiers: dict[int | str, str] = {key: tier.name for tier in all_tiers() for key in (tier.id, tier.key)}
    return [_as_listed(row, latest.get(row.id), titles, lessons, tiers) for row in sequences]


def _as_listed(
    row: Sequence, latest: SequenceVersion | None, titles: dict[int | str, str], lessons: dict[int, str], tiers: dict[int | str, str]
) -> Listed:
    if latest is not None:
        title = titles[latest.course_id] if latest.course_id is not None else None
        lesson = lessons.get(latest.lesson_id) if latest.lesson_id is not None else None
        tier = tiers[latest.tier_id] if latest.tier_id is not None else None
        return Listed(row, begins(latest.trigger, latest.trigger_days, title, lesson, tier), True)
    draft = draft_from(row.draft or {})
    title = titles.get(draft.course_slug, draft.course_slug) if draft.course_slug else None
    tier = tiers.get(draft.tier_key, draft.tier_key) if draft.tier_key else None
    return Listed(row, begins(draft.trigger, draft.trigger_days, title, draft.lesson_key, tier), False)


def lessons_to_begin_by(courses: Iterable[Course]) -> list[tuple[str, str, str]]:
    """Lessons of courses by which a sequence may begin: the course's title, the lesson's name in references, and its title."""
    query = sa.select(Course.title, Course.slug, Lesson.key, Lesson.title.label("lesson")).join(Lesson, Lesson.course_id == Course.id)
    own = (Course.id.in_([course.id for course in courses]), Lesson.needs_check == Need.NONE, Lesson.retired_at.is_(None))
    rows = db.session.execute(query.where(*own).order_by(Course.id, Lesson.position))
    return [(row.title, f"{row.slug}/{row.key}", row.lesson) for row in rows]


def versions_of(found: Sequence) -> Rows[SequenceVersion]:
    """Every version of a sequence, the newest first."""
    query = sa.select(SequenceVersion).where(SequenceVersion.sequence_id == found.id)
    return db.session.scalars(query.order_by(SequenceVersion.number.desc())).all()


def under_way(found: Sequence) -> dict[int, list[int]]:
    """How many people are under way with each version of a sequence, by its id, at each step apart."""
    return _under_way([found.id], SequenceVersion.id)


def under_way_in(sequence_ids: Iterable[int]) -> dict[int, list[int]]:
    """How many people are under way in each of some sequences, by id, at each step of each version apart."""
    return _under_way(list(sequence_ids), SequenceVersion.sequence_id)


def _under_way(sequence_ids: list[int], by: InstrumentedAttribute[int]) -> dict[int, list[int]]:
    """Counted by version and step, as the index of open runs has them."""
    versions = sa.select(SequenceVersion.id).where(SequenceVersion.sequence_id.in_(sequence_ids))
    is_open = (SequenceRun.version_id.in_(versions), SequenceRun.ended_at.is_(None))
    counted = sa.select(SequenceRun.version_id, sa.func.count().label("people")).where(*is_open)
    steps = counted.group_by(SequenceRun.version_id, SequenceRun.position).subquery()
    found: dict[int, list[int]] = {}
    for key, people in db.session.execute(sa.select(by, steps.c.people).join(steps, steps.c.version_id == SequenceVersion.id)):
        found.setdefault(key, []).append(people)
    return found


def steps_of(version_id: int) -> Rows[SequenceStep]:
    """A version's steps with their letters, in their order."""
    query = sa.select(SequenceStep).options(joinedload(SequenceStep.letter)).where(SequenceStep.version_id == version_id)
    return db.session.scalars(query.order_by(SequenceStep.position)).all()
