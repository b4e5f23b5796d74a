"""Runs: who begins a sequence, which step is due, what ends it early.

Nothing waits in a broker: a run is a row with `next_run_at`. A step's outbox row and the run's advance are one
transaction, and the outbox's `dedupe_key` makes the step exactly one.
"""

from collections.abc import Sequence as Rows
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from courseapp.accounts.models import User
from courseapp.campaigns.models import Goal, LatePolicy, RunEnd, Sequence, SequenceRun, SequenceStep, SequenceVersion, Trigger
from courseapp.catalog.models import Course
from courseapp.contacts.consent import holds_consent
from courseapp.contacts.models import Contact, Purpose
from courseapp.extensions import db, insert_later
from courseapp.journal.models import Event
from courseapp.learning.enrolment import enrolment_of
from courseapp.learning.models import Enrolment
from courseapp.learning.progress import outline_for
from courseapp.mailing.links import full_url
from courseapp.mailing.outbox import OVERDUE, VoidIf, enqueue

LATE_AFTER = timedelta(hours=6)  # a step later than this is one that an outage held up
STREAM_OF = {Purpose.COURSE: "course", Purpose.MARKETING: "marketing"}


def follow(event: Event, now: datetime) -> None:
    """What one journal event means for runs. Doing it twice changes nothing."""
    if event.type == "course_completed":
        _end_where_goal(event, now)
    elif event.type == "consent_withdrawn":
        _end_where_withdrawn(event.facts["contact_id"], event.facts["purpose"], now)
    else:
        for user, contact in _people_of(event):
            _begin_for(user, contact, now)


def _people_of(event: Event) -> Rows[tuple[User, Contact]]:
    """The confirmed person an event is about, whether it names the user or the contact."""
    query = (
        sa.select(User, Contact)
        .join(Contact, Contact.id == User.contact_id)
        .where(Contact.confirmed_at.is_not(None), Contact.erased_at.is_(None))
    )
    facts = event.facts
    if "user_id" in facts:
        query = query.where(User.id == facts["user_id"])
    elif "contact_id" in facts:
        query = query.where(Contact.id == facts["contact_id"])
    else:
        return []
    return [(user, contact) for user, contact in db.session.execute(query)]


def _begin_for(user: User, contact: Contact, now: datetime) -> None:
    enrolments = db.session.scalars(sa.select(Enrolment).where(Enrolment.user_id == user.id, Enrolment.finished_at.is_(None))).all()
    for version in begun_by(Trigger.ENROLLED):
        if not holds_consent(contact, version.sequence.purpose):
            continue
        for enrolment in enrolments:
            if version.course_id in {None, enrolment.course_id}:
                _begin(version, contact, enrolment.course_id, now)


def begun_by(trigger: Trigger) -> Rows[SequenceVersion]:
    """The current versions that this begins, of sequences that run."""
    newest = sa.select(sa.func.max(SequenceVersion.number)).where(SequenceVersion.sequence_id == Sequence.id).correlate(Sequence)
    query = (
        sa.select(SequenceVersion)
        .join(Sequence, Sequence.id == SequenceVersion.sequence_id)
        .options(joinedload(SequenceVersion.sequence))
        .where(SequenceVersion.number == newest.scalar_subquery(), SequenceVersion.trigger == trigger)
        .where(Sequence.paused_at.is_(None), Sequence.archived_at.is_(None))
        .order_by(SequenceVersion.id)
    )
    return db.session.scalars(query).all()


def _begin(version: SequenceVersion, contact: Contact, course_id: int, now: datetime) -> None:
    """One run per person, sequence and course, ever; its first step is due after its own delay."""
    first = _step(version.id, 0)
    if first is None:
        return
    insert_later(
        SequenceRun,
        once=("sequence_id", "contact_id", "course_id", "occasion"),
        sequence_id=version.sequence_id,
        version_id=version.id,
        contact_id=contact.id,
        course_id=course_id,
        occasion="",
        position=0,
        started_at=now,
        next_run_at=now + timedelta(days=first.delay_days),
    )


def _end_where_goal(event: Event, now: datetime) -> None:
    goal = sa.select(SequenceVersion.id).where(SequenceVersion.goal == Goal(event.type))
    contact = sa.select(User.contact_id).where(User.id == event.facts["user_id"], User.contact_id.is_not(None))
    _end(
        sa.and_(SequenceRun.version_id.in_(goal), SequenceRun.contact_id.in_(contact), SequenceRun.course_id == event.facts["course_id"]),
        RunEnd.GOAL,
        now,
    )


def _end_where_withdrawn(contact_id: int, purpose: str, now: datetime) -> None:
    of_purpose = sa.select(Sequence.id).where(Sequence.purpose == Purpose(purpose))
    _end(sa.and_(SequenceRun.sequence_id.in_(of_purpose), SequenceRun.contact_id == contact_id), RunEnd.UNSUBSCRIBED, now)


def _end(which: sa.ColumnElement[bool], end: RunEnd, now: datetime) -> None:
    db.session.execute(
        sa.update(SequenceRun)
        .where(which, SequenceRun.ended_at.is_(None))
        .values(ended_at=now, end=end, next_run_at=None)
        .execution_options(synchronize_session=False)
    )


def runs_due(now: datetime, limit: int) -> Rows[SequenceRun]:
    """Runs with a step due, the longest-waiting first, locked until the caller commits; another scheduler skips them.

    Looked for by id alone: mostly nothing is due, and then one look into the index is all.
    """
    ids = db.session.scalars(_due, {"b_now": now, "b_limit": limit}).all()
    if not ids:
        return []
    query = (
        sa.select(SequenceRun)
        .options(
            joinedload(SequenceRun.contact),
            joinedload(SequenceRun.course),
            joinedload(SequenceRun.version).joinedload(SequenceVersion.sequence),
        )
        .where(SequenceRun.id.in_(ids))
        .order_by(SequenceRun.next_run_at, SequenceRun.id)
    )
    return db.session.scalars(query, execution_options={"populate_existing": True}).all()


_due = (
    sa.select(SequenceRun.id)
    .where(
        SequenceRun.next_run_at <= sa.bindparam("b_now", type_=SequenceRun.next_run_at.type),
        SequenceRun.sequence_id.not_in(sa.select(Sequence.id).where(Sequence.paused_at.is_not(None))),
    )
    .order_by(SequenceRun.next_run_at, SequenceRun.id)
    .limit(sa.bindparam("b_limit", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)


def has_come(run: SequenceRun, now: datetime) -> bool:
    """Whether the day of the step at which a run stands has come, whatever gap there must be between two mails."""
    step = _step(run.version_id, run.position)
    return step is not None and run.started_at + timedelta(days=step.delay_days) <= now


def advance(run: SequenceRun, now: datetime, overdue_at: datetime | None = None) -> None:
    """Send the step that is due and set when the next is; or end the run. The caller commits.

    Args:
        overdue_at: only put it into the outbox, as overdue, to leave at this moment if it is to leave at all.
    """
    sequence, contact = run.version.sequence, run.contact
    step = _step(run.version_id, run.position)
    if contact.erased_at is not None:
        _finish(run, RunEnd.ERASED, now)
        return
    if not holds_consent(contact, sequence.purpose):
        _finish(run, RunEnd.UNSUBSCRIBED, now)
        return
    if step is None:
        _finish(run, RunEnd.FINISHED, now)
        return
    user = db.session.scalar(sa.select(User).where(User.contact_id == contact.id))
    if user is None or _has_reached_goal(run.version, user, run.course):
        _finish(run, RunEnd.GOAL if user is not None else RunEnd.ERASED, now)
        return
    assert run.next_run_at is not None
    is_late = now - run.next_run_at > LATE_AFTER
    if not (is_late and run.version.late is LatePolicy.SKIP):
        _enqueue(run, step, user, now, overdue_at)
        run.last_step_at = overdue_at or now
    _move_on(run, is_late, now)


def _move_on(run: SequenceRun, is_late: bool, now: datetime) -> None:
    """Set when the following step is due: its day, but never sooner after this one than the least gap."""
    assert run.next_run_at is not None
    if is_late and run.version.late is LatePolicy.SHIFT:
        run.started_at += now - run.next_run_at
    run.position += 1
    following = _step(run.version_id, run.position)
    if following is None:
        _finish(run, RunEnd.FINISHED, now)
        return
    due = run.started_at + timedelta(days=following.delay_days)
    gap = timedelta(hours=run.version.minimum_gap_hours)
    run.next_run_at = max(due, run.last_step_at + gap) if run.last_step_at is not None else due


def _enqueue(run: SequenceRun, step: SequenceStep, user: User, now: datetime, overdue_at: datetime | None) -> None:
    sequence = run.version.sequence
    enqueue(
        dedupe_key=f"sequence:{run.id}:{step.position}",
        stream=STREAM_OF[sequence.purpose],
        contact_id=run.contact_id,
        letter=step.letter,
        fields={"continue_url": full_url("learning.course", slug=run.course.slug), "progress_words": _progress_words(user, run.course)},
        now=now,
        due_at=overdue_at,
        reason=OVERDUE if overdue_at is not None else None,
        void_if=VoidIf(run.version.goal, f"user:{user.id}") if run.version.goal else None,
    )


def _progress_words(user: User, course: Course) -> str:
    found = enrolment_of(user, course.slug)
    if found is None:
        return ""
    progress = outline_for(user.id, course.id, found[0].finished_at, None).progress
    return f"{progress.done} of {progress.total} lessons"


def _has_reached_goal(version: SequenceVersion, user: User, course: Course) -> bool:
    if version.goal is None:
        return False
    finished = sa.exists().where(Enrolment.user_id == user.id, Enrolment.course_id == course.id, Enrolment.finished_at.is_not(None))
    return bool(db.session.scalar(sa.select(finished)))


def _finish(run: SequenceRun, end: RunEnd, now: datetime) -> None:
    run.ended_at, run.end, run.next_run_at = now, end, None


def _step(version_id: int, position: int) -> SequenceStep | None:
    query = sa.select(SequenceStep).options(joinedload(SequenceStep.letter))
    return db.session.scalar(query.where(SequenceStep.version_id == version_id, SequenceStep.position == position))
