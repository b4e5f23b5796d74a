"""Advancing: what of the runs is due, and for each whether its step is sent now, skipped, or put off.

A step's outbox row and the run's advance are one transaction, and the outbox's `dedupe_key` makes the step exactly one. A step is put
off until its day has come, the least gap behind what this person got last of any sequence is over, and the clock of their own zone,
as it is now, shows a time of the window. What left and what waits says the outbox. So neither an outage of
the scheduler nor one of the mail server ends in a burst: of what waits, one letter at a time is put into the outbox.

Two schedulers may meet at one person with two sequences. Whoever advances holds the row of the contact, and passes over people whom
another one holds; likewise over sequences that staff are changing.
"""

import hashlib
from collections.abc import Sequence as Rows
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from courseapp.accounts.models import User
from courseapp.billing.entitlements import holds_tier, is_paid_up
from courseapp.billing.sensitivity import is_sensitive
from courseapp.campaigns.holding import steps_near
from courseapp.campaigns.models import Condition, Goal, LatePolicy, RunEnd, Sequence, SequenceRun, SequenceStep, SequenceVersion, Trigger
from courseapp.campaigns.runs import in_window, tier_of_run
from courseapp.contacts.consent import holds_consent
from courseapp.contacts.models import Contact, Purpose
from courseapp.contacts.resting import is_resting, rest_ends
from courseapp.contacts.windows import Window
from courseapp.extensions import db
from courseapp.journal.events import has_happened
from courseapp.journal.models import Event
from courseapp.learning.enrolment import Standing, enrolment_of, is_standing
from courseapp.learning.models import Enrolment
from courseapp.learning.progress import outline_for
from courseapp.mailing.fields import words_of_progress
from courseapp.mailing.letters import kept_letter
from courseapp.mailing.links import full_url
from courseapp.mailing.models import Message, State
from courseapp.mailing.outbox import OVERDUE, VOID_IF_LATER, VoidIf, enqueue
from courseapp.mailing.streams import PRIORITY
from courseapp.mailing.sums import IS_STEP

LATE_AFTER = timedelta(hours=6)  # a step later than this is one that an outage held up
STREAM_OF = {Purpose.COURSE: "course", Purpose.MARKETING: "marketing"}


def runs_due(now: datetime, limit: int) -> Rows[SequenceRun]:
    """Runs with a step due, the longest-waiting first, held with their people until the caller commits; other schedulers skip them.

    Asked of each running sequence by itself, so that what a paused one holds, and any number of runs due at one moment, cost nothing:
    mostly nothing is due, and then a look into the index for each is all.
    """
    found: list[Any] = []
    for sequence_id in db.session.scalars(_sequences_due, {"b_now": now}).all():
        if len(found) < limit:
            found += db.session.execute(_due, {"b_sequence": sequence_id, "b_now": now, "b_limit": limit - len(found)}).all()
    if not found:
        return []
    contacts = sa.select(Contact.id).where(Contact.id.in_({row.contact_id for row in found})).order_by(Contact.id)
    held = set(db.session.scalars(contacts.with_for_update(key_share=True, skip_locked=True)))
    query = (
        sa.select(SequenceRun)
        .options(
            joinedload(SequenceRun.contact),
            joinedload(SequenceRun.course),
            joinedload(SequenceRun.version).joinedload(SequenceVersion.sequence),
            joinedload(SequenceRun.version).selectinload(SequenceVersion.steps).joinedload(SequenceStep.letter),
        )
        .where(SequenceRun.id.in_([row.id for row in found if row.contact_id in held]))
        .order_by(SequenceRun.next_run_at, SequenceRun.id)
    )
    return db.session.scalars(query, execution_options={"populate_existing": True}).all()


_now = sa.bindparam("b_now", type_=SequenceRun.next_run_at.type)
_first_due = (
    sa.select(sa.func.min(SequenceRun.next_run_at))
    .where(SequenceRun.sequence_id == Sequence.id, SequenceRun.next_run_at.is_not(None))
    .scalar_subquery()
)
_sequences_due = (
    sa.select(Sequence.id)
    .where(Sequence.paused_at.is_(None), _first_due <= _now)
    .order_by(_first_due, Sequence.id)
    .with_for_update(read=True, skip_locked=True)
)
_due = (
    sa.select(SequenceRun.id, SequenceRun.contact_id)
    .where(SequenceRun.sequence_id == sa.bindparam("b_sequence"), SequenceRun.next_run_at <= _now)
    .order_by(SequenceRun.next_run_at, SequenceRun.id)
    .limit(sa.bindparam("b_limit", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)


def has_come(run: SequenceRun, now: datetime) -> bool:
    """Whether the day of the step at which a run stands has come, whatever gap there must be between two mails."""
    step = _step(run.version_id, run.position)
    return step is not None and run.started_at + timedelta(days=step.delay_days) <= now


def advance(run: SequenceRun, now: datetime, *, is_overdue: bool = False) -> None:
    """Send the step that is due and set when the next is; or put it off; or end the run. The caller commits.

    Args:
        is_overdue: it is put into the outbox whatever the hour, to leave when it may, if it is to leave at all.
    """
    assert run.next_run_at is not None
    user = db.session.scalar(sa.select(User).where(User.contact_id == run.contact_id))
    step = _step(run.version_id, run.position)
    end = _end_of(run, step, user, now)
    if end is not None:
        _finish(run, end, now)
        return
    assert user is not None
    assert step is not None
    if is_resting(run.contact, now):
        run.next_run_at = rest_ends(run.contact, now)
        return
    moment = max(now, run.next_run_at)
    its_day = run.started_at + timedelta(days=step.delay_days)
    due = max(run.next_run_at, its_day)  # whoever was moved to another version is looked at before the step's day
    is_late = now - due > LATE_AFTER
    if is_late and run.version.late is LatePolicy.SKIP:
        _move_on(run, now)
        return
    free = _free_at(run, moment, leaves_when_due=is_overdue)
    wished = in_window(run.version, max(free, its_day), run.contact.zone)
    if is_late and run.version.late is LatePolicy.SHIFT:
        run.started_at += wished - due
    if wished > moment and not is_overdue:
        run.next_run_at = wished
        return
    if _holds(step.condition, user.id, run.course_id):
        _enqueue(run, step, user, now, wished if is_overdue else None)
        if not is_overdue:
            _put_offers_behind(run, now)
        run.last_step_at = wished
    _move_on(run, now)


def _end_of(run: SequenceRun, step: SequenceStep | None, user: User | None, now: datetime) -> RunEnd | None:
    """Why a run is over, if it is."""
    if run.contact.erased_at is not None or user is None:
        return RunEnd.ERASED
    if user.disabled_at is not None or run.version.sequence.archived_at is not None:
        return RunEnd.STOPPED
    if not holds_consent(run.contact, run.version.sequence.purpose):
        return RunEnd.UNSUBSCRIBED
    tier_id = tier_of_run(run)
    is_marked = run.course.sensitive_at is not None or (tier_id is not None and is_sensitive(tier_id))
    if is_marked and run.version.sequence.purpose is Purpose.MARKETING:  # meanwhile
        return RunEnd.STOPPED
    if step is None:
        return RunEnd.FINISHED
    if _is_reached(run, user.id, now):
        return RunEnd.GOAL
    if run.version.trigger is Trigger.PAYMENT_FAILED and tier_id is not None and is_paid_up(user.id, tier_id, now):
        return RunEnd.ACTIVE
    if run.version.trigger is Trigger.QUIET and user.seen_at is not None and f"{user.seen_at:%Y-%m-%d}" > run.occasion:
        return RunEnd.ACTIVE  # seen on a later day than before they went quiet; a shift may have moved the beginning into the future
    return None


def _is_reached(run: SequenceRun, user_id: int, now: datetime) -> bool:
    """Whether somebody has done what the letters are for: finished the course; holds the tier, or has bought one since it began."""
    if run.version.goal is not Goal.TIER_BOUGHT:
        return run.version.goal is not None and _holds(Condition.FINISHED, user_id, run.course_id)
    wanted, began_by, bought = run.version.goal_tier_id, tier_of_run(run), Event.data["tier_id"].as_integer()
    if wanted is not None:
        return holds_tier(user_id, wanted, now)
    is_another = () if began_by is None else (bought != began_by,)
    since = has_happened(Goal.TIER_BOUGHT.value, f"user:{user_id}", Event.at >= run.started_at, *is_another)
    return bool(db.session.scalar(sa.select(since)))


def _free_at(run: SequenceRun, moment: datetime, *, leaves_when_due: bool) -> datetime:
    """From when on this person may get the next mail of a sequence: behind each that came or waits, the wider gap.

    What waits counts if it is due within the gap, and not where it is less urgent: an offer that the cap holds for days would else hold
    course mail too, which then came all at once.

    Args:
        leaves_when_due: what waits is thought to leave when it is due; else no sooner than now, however long it has waited.
    """
    version = run.version
    free = moment
    for at, settled_at, priority, gap_hours in steps_near(run.contact_id, moment):
        leaves = at if settled_at is not None or leaves_when_due else max(at, moment)
        gap = timedelta(hours=max(gap_hours, version.minimum_gap_hours))
        if settled_at is not None or (priority <= PRIORITY[version.sequence.purpose] and leaves < moment + gap):
            free = max(free, leaves + gap)
    return free


def _put_offers_behind(run: SequenceRun, now: datetime) -> None:
    """Let what waits for this person and is less urgent than the mail that leaves now keep the gap behind it."""
    behind = now + timedelta(hours=run.version.minimum_gap_hours)
    waits = (Message.contact_id == run.contact_id, Message.settled_at.is_(None), Message.state == State.PENDING, IS_STEP)
    less_urgent = (Message.priority > PRIORITY[run.version.sequence.purpose], Message.due_at < behind)
    statement = sa.update(Message).where(*waits, *less_urgent).values(due_at=behind)
    db.session.execute(statement.execution_options(synchronize_session=False))


def _holds(condition: Condition | None, user_id: int, course_id: int) -> bool:
    """Whether somebody is as far with a course as a condition says; as coarsely as others may know it.

    Whoever bought it and does not take it yet has not begun it.
    """
    own = (Enrolment.user_id == user_id, Enrolment.course_id == course_id)
    if condition is None:
        return True
    if condition in {Condition.NOT_FINISHED, Condition.NOT_BEGUN}:
        is_further = is_standing(Standing.FINISHED)
        if condition is Condition.NOT_BEGUN:
            is_further = sa.not_(is_standing(Standing.NOT_BEGUN))
        return db.session.scalar(sa.select(Enrolment.id).where(*own, is_further)) is None
    is_so = is_standing({Condition.BEGUN: Standing.BEGUN, Condition.FINISHED: Standing.FINISHED}[condition])
    return db.session.scalar(sa.select(Enrolment.id).where(*own, is_so)) is not None


def _move_on(run: SequenceRun, now: datetime) -> None:
    """Set when the following step is due: its day, but never sooner after this one than the least gap."""
    run.position += 1
    following = _step(run.version_id, run.position)
    if following is None:
        _finish(run, RunEnd.FINISHED, now)
        return
    due = run.started_at + timedelta(days=following.delay_days)
    if run.last_step_at is not None:
        due = max(due, run.last_step_at + timedelta(hours=run.version.minimum_gap_hours))
    run.next_run_at = in_window(run.version, due, run.contact.zone)


def _enqueue(run: SequenceRun, step: SequenceStep, user: User, now: datetime, overdue_at: datetime | None) -> None:
    goal = run.version.goal
    words = {"continue_url": full_url("learning.course", slug=run.course.slug), "progress_words": _progress_words(user, run, step, now)}
    enqueue(
        dedupe_key=_key_of(run, step),
        stream=STREAM_OF[run.version.sequence.purpose],
        contact_id=run.contact_id,
        letter=step.letter,
        fields=words | _void_about(run, user),
        now=now,
        due_at=overdue_at,
        reason=OVERDUE if overdue_at is not None else None,
        void_if=VoidIf(goal, f"user:{user.id}") if goal else None,
        window=Window(run.version.window_start, run.version.window_end),
        weekdays=run.version.weekdays,
    )


def _void_about(run: SequenceRun, user: User) -> dict[str, int]:
    """Which of the goal's events make a mail pointless: of this course; of purchases those to come, of the tier that is wished for."""
    if run.version.goal is not Goal.TIER_BOUGHT:
        return {"course_id": run.course_id}
    before = sa.select(sa.func.max(Event.id)).where(Event.subject == f"user:{user.id}", Event.type == Goal.TIER_BOUGHT.value)
    of_tier = {"tier_id": run.version.goal_tier_id} if run.version.goal_tier_id is not None else {}
    return of_tier | {VOID_IF_LATER: db.session.scalar(before) or 0}


def _key_of(run: SequenceRun, step: SequenceStep) -> str:
    """What makes a step's mail exactly one: the run and the text, by which a step is the same in whatever version and at whatever place.

    Where several steps of a version have one text they are told apart by their number. Mails of before have the place in their key.
    """
    before = [other.letter for other in run.version.steps if other.position < step.position]
    number = sum((letter.subject, letter.body) == (step.letter.subject, step.letter.body) for letter in before)
    text = hashlib.sha256(f"{step.letter.subject}\n{step.letter.body}".encode()).hexdigest()[:16]
    return f"sequence:{run.id}:{text}.{number}"


def _progress_words(user: User, run: SequenceRun, step: SequenceStep, now: datetime) -> str:
    found = enrolment_of(user, run.course.slug)
    if found is None:
        return ""
    progress = outline_for(user.id, run.course_id, found[0].finished_at, None, now).progress
    language = kept_letter(step.letter_id).in_language(run.contact.language).language
    return words_of_progress(progress.done, progress.total, language)


def _finish(run: SequenceRun, end: RunEnd, now: datetime) -> None:
    run.ended_at, run.end, run.next_run_at = now, end, None


def _step(version_id: int, position: int) -> SequenceStep | None:
    steps = db.session.get_one(SequenceVersion, version_id).steps  # read for a whole batch by `runs_due`
    return next((step for step in steps if step.position == position), None)
