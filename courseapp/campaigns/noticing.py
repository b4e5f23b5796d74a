"""What begins or ends runs though nothing happened that the journal could tell: people who go quiet, who come back, modules that open.

How little of it is looked at, and how. It is a tick of its own, every quarter of an hour, and the tick that sends knows nothing of it.

- *Quiet* for N days are those whose last visit (`users.seen_at`, which has an index) was N days ago, and not more than N + 7: in each
  tick that is a slice of a week, walked in keyset pages, and never everybody. Who went quiet before that, and got no letter then
  because the sequence was new or put away, gets none now either, so publishing one sends no flood. A spell is answered where a run of
  the sequence began after the last visit.
- Who *came back* is asked of the open runs of quiet sequences alone, by an index that holds open runs. It is asked again before each
  letter, so a tick that comes late costs nothing but the number on a page. Letters that wait are asked for themselves, for the last one
  waits when its run is over.
- *Lessons done* that a sequence begins by are asked for by the lesson and the moment, which an index holds: of each such lesson the
  completions of the last two days, and no lesson that needs the safety check. The journal could tell of them at once, but then every
  lesson that anybody does would cost a receipt for what hardly any sequence asks.
- *Modules that opened* within a week are found among the lessons, which are few. Whom one is told of is walked once, by the
  enrolments of its course; that it was done is in the journal, and then nobody is looked at again.

What counts as activity is being here, signed in, on whatever page: it is noted before anything is known of what the page may show, and
so is the same whatever the safety check came to. What lessons somebody opened or did is not looked at for it. Nor does a module count as
open by lessons that need the check.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.billing.entitlements import is_closed
from courseapp.campaigns.holding import skip_for_those_back
from courseapp.campaigns.models import RunEnd, SequenceRun, SequenceVersion, Trigger
from courseapp.campaigns.runs import FRESH, begin, begun_by
from courseapp.catalog.models import Course, Lesson, Module, Need
from courseapp.catalog.outline import is_released
from courseapp.catalog.sensitivity import sensitive_courses
from courseapp.contacts.consent import is_consented
from courseapp.contacts.models import Contact, Purpose
from courseapp.contacts.suppression import is_suppressed
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.learning.models import Completion, Enrolment

PAGE = 500
LATELY = timedelta(days=2)  # how long a lesson may have been done before anybody looks: a worker may have stood still
FAR_BACK = datetime(1970, 1, 1, tzinfo=UTC)
TOLD = "module_announced"


def notice(now: datetime) -> Iterator[int]:
    """All of it, page by page; how many runs each page looked at or began, or mails it skipped. The caller commits after each."""
    if skipped := skip_for_those_back(now):
        yield skipped
    yield from _end_where_back(now)
    for version in begun_by(Trigger.QUIET):
        yield from _begin_where_quiet(version, now)
    for version in begun_by(Trigger.LESSON_COMPLETED):
        yield from _begin_where_done(version, now)
    for version in begun_by(Trigger.MODULE_OPENED):
        for opening in _openings(version, now):
            yield from _begin_where_opened(version, opening, now)


def _end_where_back(now: datetime) -> Iterator[int]:
    quiet = sa.select(SequenceVersion.id).where(SequenceVersion.trigger == Trigger.QUIET)
    is_back = (
        SequenceRun.version_id.in_(quiet),
        SequenceRun.ended_at.is_(None),
        User.seen_at > SequenceRun.started_at,
    )
    query = sa.select(SequenceRun).join(User, User.contact_id == SequenceRun.contact_id).where(*is_back)
    while runs := db.session.scalars(query.order_by(SequenceRun.id).limit(PAGE).with_for_update(skip_locked=True, of=SequenceRun)).all():
        for run in runs:
            run.ended_at, run.end, run.next_run_at = now, RunEnd.ACTIVE, None
        db.session.flush()
        yield len(runs)


def _begin_where_quiet(version: SequenceVersion, now: datetime) -> Iterator[int]:
    """Begin a run for each who has been away for so long, about the course they began last and have not finished."""
    assert version.trigger_days is not None
    away_since = now - timedelta(days=version.trigger_days)
    began = _of_course(version, sa.select(Enrolment.course_id).where(Enrolment.user_id == User.id, Enrolment.finished_at.is_(None)))
    course_id = began.order_by(Enrolment.started_at.desc(), Enrolment.id.desc()).limit(1).correlate(User).scalar_subquery()
    query = _people(version, User.seen_at).add_columns(User.id, User.seen_at, course_id.label("course_id"))
    query = query.where(User.seen_at <= away_since, User.seen_at > away_since - FRESH, began.correlate(User).exists())
    at, last_id = away_since - FRESH, 0
    while True:
        is_behind = sa.or_(User.seen_at > at, sa.and_(User.seen_at == at, User.id > last_id))
        rows = db.session.execute(query.where(User.seen_at >= at, is_behind).order_by(User.seen_at, User.id).limit(PAGE)).all()
        if not rows:
            return
        begin(version, [{**_plain(row), "course_id": row.course_id, "occasion": f"{row.seen_at:%Y-%m-%d}"} for row in rows], now)
        yield len(rows)
        at, last_id = rows[-1].seen_at, rows[-1].id


def _begin_where_done(version: SequenceVersion, now: datetime) -> Iterator[int]:
    """Begin a run for each who has done the lesson lately."""
    occasion, since = f"lesson:{version.lesson_id}", now - LATELY
    query = _people(version, FAR_BACK, SequenceRun.occasion == occasion).join(Completion, Completion.user_id == User.id)
    query = query.join(Lesson, Lesson.id == Completion.lesson_id)
    query = query.add_columns(Completion.id, Completion.completed_at, Lesson.course_id)
    is_it = (Lesson.id == version.lesson_id, Lesson.needs_check == Need.NONE, Completion.completed_at <= now)
    at, last_id = since, 0
    while True:
        is_behind = sa.or_(Completion.completed_at > at, sa.and_(Completion.completed_at == at, Completion.id > last_id))
        page = query.where(*is_it, Completion.completed_at >= at, is_behind).order_by(Completion.completed_at, Completion.id).limit(PAGE)
        rows = db.session.execute(page).all()
        if not rows:
            return
        begin(version, [{**_plain(row), "course_id": row.course_id, "occasion": occasion} for row in rows], now)
        yield len(rows)
        at, last_id = rows[-1].completed_at, rows[-1].id


@dataclass(frozen=True)
class Opening:
    """That a module got its first lesson that everybody may read."""

    module_id: int
    course_id: int
    at: datetime


def _openings(version: SequenceVersion, now: datetime) -> list[Opening]:
    """Modules that opened lately and of which this sequence has not told yet."""
    first = sa.func.min(Lesson.published_at)
    released = sa.func.sum(sa.case((is_released(), 1), else_=0))
    query = (
        sa.select(Module.id, Module.course_id, first.label("at"))
        .join(Lesson, Lesson.module_id == Module.id)
        .join(Course, Course.id == Module.course_id)
        .where(Lesson.needs_check == Need.NONE, Module.retired_at.is_(None), Course.published_at.is_not(None))
        .group_by(Module.id, Module.course_id, Module.position)
        .having(first > now - FRESH, first <= now, released > 0)
        .order_by(Module.course_id, Module.position)
    )
    if version.course_id is not None:
        query = query.where(Module.course_id == version.course_id)
    found = [Opening(row.id, row.course_id, row.at) for row in db.session.execute(query)]
    return [opening for opening in found if not _was_told(version, opening)]


def _was_told(version: SequenceVersion, opening: Opening) -> bool:
    return bool(db.session.scalar(sa.select(events.has_happened(TOLD, _subject(version, opening)))))


def _subject(version: SequenceVersion, opening: Opening) -> str:
    return f"sequence:{version.sequence_id}/{opening.module_id}"


def _begin_where_opened(version: SequenceVersion, opening: Opening, now: datetime) -> Iterator[int]:
    """Begin a run for each who had begun the course before. A letter that comes after it opened tells of it, whichever module it is for."""
    query = _people(version, sa.literal(opening.at, Enrolment.started_at.type), SequenceRun.course_id == opening.course_id)
    query = query.join(Enrolment, Enrolment.user_id == User.id).add_columns(Enrolment.id.label("enrolment_id"))
    query = query.where(Enrolment.course_id == opening.course_id, Enrolment.started_at < opening.at)
    if version.sequence.purpose is Purpose.COURSE:  # which stops when somebody finishes, as they were told
        query = query.where(Enrolment.finished_at.is_(None), ~is_closed(opening.module_id, User.id, now))  # it tells of what one can read
    common = {"course_id": opening.course_id, "occasion": f"module:{opening.module_id}"}
    last_id = _walked_to(version, opening, common["occasion"])
    while rows := db.session.execute(query.where(Enrolment.id > last_id).order_by(Enrolment.id).limit(PAGE)).all():
        begin(version, [{**_plain(row), **common} for row in rows], now)
        yield len(rows)
        last_id = rows[-1].enrolment_id
    events.record(TOLD, _subject(version, opening), now)
    yield 0


def _walked_to(version: SequenceVersion, opening: Opening, occasion: Any) -> int:
    """Up to which enrolment a tick came that ended before it was through: people begin in the order of their enrolments."""
    own = (SequenceRun.sequence_id == version.sequence_id, SequenceRun.occasion == occasion)
    contact_id = db.session.scalar(sa.select(SequenceRun.contact_id).where(*own).order_by(SequenceRun.id.desc()).limit(1))
    query = sa.select(Enrolment.id).join(User, User.id == Enrolment.user_id)
    return db.session.scalar(query.where(User.contact_id == contact_id, Enrolment.course_id == opening.course_id)) or 0


def _people(version: SequenceVersion, since: Any, *also: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Whom a sequence may write to and has begun nothing for since a moment; `also` narrows down which runs count."""
    has_begun = sa.select(SequenceRun.id).where(
        SequenceRun.sequence_id == version.sequence_id, SequenceRun.contact_id == Contact.id, SequenceRun.started_at >= since, *also
    )
    columns: list[Any] = [Contact.id.label("contact_id"), Contact.zone]
    return (
        sa.select(*columns)
        .join(User, User.contact_id == Contact.id)
        .where(
            User.disabled_at.is_(None),
            Contact.confirmed_at.is_not(None),
            Contact.erased_at.is_(None),
            is_consented(Contact.id, sa.literal(version.sequence.purpose.value)),
            sa.not_(is_suppressed(Contact.address_mac)),
            ~has_begun.correlate(Contact, User).exists(),
        )
    )


def _of_course(version: SequenceVersion, query: sa.Select[Any]) -> sa.Select[Any]:
    """Narrowed down to the courses a sequence is about. To marketing a marked course is none: else whoever got no letter would take one."""
    if version.sequence.purpose is Purpose.MARKETING:
        query = query.where(Enrolment.course_id.not_in(sensitive_courses()))
    return query if version.course_id is None else query.where(Enrolment.course_id == version.course_id)


def _plain(row: Any) -> dict[str, Any]:
    return {"contact_id": row.contact_id, "zone": row.zone}
