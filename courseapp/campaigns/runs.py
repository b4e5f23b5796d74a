"""Runs: who begins a sequence by the news, and what ends it early. What begins by the calendar stands in `noticing.py`.

Nothing waits in a broker: a run is a row with `next_run_at`, and `advancing.py` sends what is due.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Rows
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from courseapp.accounts.models import User
from courseapp.billing.models import TierGrant
from courseapp.billing.sensitivity import is_sensitive
from courseapp.campaigns.models import Goal, RunEnd, Sequence, SequenceRun, SequenceStep, SequenceVersion, Trigger
from courseapp.catalog.models import Course
from courseapp.catalog.sensitivity import sensitive_courses
from courseapp.contacts.consent import holds_consent
from courseapp.contacts.models import Contact, Purpose
from courseapp.contacts.windows import Window, next_in
from courseapp.extensions import db, insert_into
from courseapp.journal.models import Event
from courseapp.learning.models import Enrolment

FRESH = timedelta(days=7)  # what happened longer ago begins nothing any more, whoever agrees to letters only now
BY_TIER = {trigger.value: trigger for trigger in (Trigger.TIER_BOUGHT, Trigger.PAYMENT_FAILED)}
LATE_SPELL = timedelta(days=30)  # Stripe tries a payment again for weeks, and tells each time that it failed
ONCE = ("sequence_id", "contact_id", "course_id", "occasion")


def follow(event: Event, now: datetime) -> None:
    """What one journal event means for runs. Doing it twice changes nothing."""
    if event.type == "consent_withdrawn":
        _end_where_withdrawn(event.facts["contact_id"], event.facts["purpose"], now)
        return
    if event.type in list(Goal):
        _end_where_goal(event, now)
    if event.type in BY_TIER:
        _begin_by_tier(event, now)
        return
    for user, contact in _people_of(event):
        _begin_for(user, contact, event.facts.get("course_id"), now)


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


def _begin_for(user: User, contact: Contact, course_id: int | None, now: datetime) -> None:
    """Begin what they have lately begun or finished, or what the event names, however long it was not read."""
    enrolments = db.session.scalars(sa.select(Enrolment).where(Enrolment.user_id == user.id)).all()
    fresh_ones = [row for row in enrolments if row.started_at > now - FRESH or row.course_id == course_id]
    open_ones = [row.course_id for row in fresh_ones if row.finished_at is None]
    just_finished = [row.course_id for row in enrolments if row.finished_at is not None and row.finished_at > now - FRESH]
    for trigger, courses in ((Trigger.ENROLLED, open_ones), (Trigger.COURSE_COMPLETED, just_finished)):
        for version in begun_by(trigger) if courses else ():
            wanted = [course_id for course_id in courses if version.course_id in {None, course_id}]
            if wanted and holds_consent(contact, version.sequence.purpose):
                begin(version, [{"contact_id": contact.id, "course_id": course_id, "zone": contact.zone} for course_id in wanted], now)


def _begin_by_tier(event: Event, now: datetime) -> None:
    """Begin what is about the tier that was bought or not paid. That somebody holds one marked as sensitive begins no marketing."""
    if "tier_id" not in event.facts:
        return
    trigger, tier_id = BY_TIER[event.type], int(event.facts["tier_id"])
    versions = [version for version in begun_by(trigger) if version.tier_id in {None, tier_id}]
    for user, contact in _people_of(event) if versions else ():
        for version in versions:
            is_offer = version.sequence.purpose is Purpose.MARKETING
            course_id = _course_of_tier(tier_id, user.id, is_offer=is_offer)
            occasion = _occasion(event, tier_id)
            if course_id is None or (is_offer and is_sensitive(tier_id)) or not holds_consent(contact, version.sequence.purpose):
                continue
            if trigger is Trigger.TIER_BOUGHT or not _is_told(version, contact, occasion, event.at):
                begin(version, [{"contact_id": contact.id, "course_id": course_id, "zone": contact.zone, "occasion": occasion}], now)


def _occasion(event: Event, tier_id: int) -> str:
    """What it is one of: each tier is bought once, and payments fail day by day."""
    return f"tier:{tier_id}" if event.type == Trigger.TIER_BOUGHT else f"unpaid:{tier_id}:{event.at:%Y-%m-%d}"


def tier_of_run(run: SequenceRun) -> int | None:
    """The tier that began a run, or None where none did."""
    kind, _colon, rest = run.occasion.partition(":")
    return int(rest.partition(":")[0]) if kind in {"tier", "unpaid"} else None


def _is_told(version: SequenceVersion, contact: Contact, occasion: str, at: datetime) -> bool:
    """Whether somebody is, or lately was, in a sequence for the same payment that fails again."""
    of_tier = SequenceRun.occasion.startswith(f"{occasion.rpartition(':')[0]}:")
    own = (SequenceRun.sequence_id == version.sequence_id, SequenceRun.contact_id == contact.id, of_tier)
    found = sa.select(SequenceRun.id).where(*own, SequenceRun.started_at > at - LATE_SPELL)
    return bool(db.session.scalar(sa.select(found.exists())))


def _course_of_tier(tier_id: int, user_id: int, *, is_offer: bool) -> int | None:
    """The course that a tier's letters lead to: one that it opens, sooner one that they take. None where it opens none."""
    takes = sa.select(Enrolment.id).where(Enrolment.user_id == user_id, Enrolment.course_id == TierGrant.course_id).exists()
    query = sa.select(TierGrant.course_id).join(Course, Course.id == TierGrant.course_id)
    query = query.where(TierGrant.tier_id == tier_id, Course.published_at.is_not(None))
    if is_offer:
        query = query.where(Course.sensitive_at.is_(None))
    return db.session.scalar(query.order_by(sa.case((takes, 0), else_=1), TierGrant.id).limit(1))


def begun_by(trigger: Trigger) -> Rows[SequenceVersion]:
    """The current versions that this begins. A paused sequence begins too: its letters wait."""
    newest = sa.select(sa.func.max(SequenceVersion.number)).where(SequenceVersion.sequence_id == Sequence.id).correlate(Sequence)
    query = (
        sa.select(SequenceVersion)
        .join(Sequence, Sequence.id == SequenceVersion.sequence_id)
        .options(joinedload(SequenceVersion.sequence))
        .where(SequenceVersion.number == newest.scalar_subquery(), SequenceVersion.trigger == trigger, Sequence.archived_at.is_(None))
        .order_by(SequenceVersion.id)
    )
    return db.session.scalars(query).all()


def begin(version: SequenceVersion, people: Iterable[Mapping[str, Any]], now: datetime) -> None:
    """Begin a run for each; one for each person, sequence, course and occasion, ever. Its first step is due after its own delay.

    That somebody takes a course marked as sensitive begins no marketing; nor does a sequence that was put away since it was read.

    Args:
        people: `contact_id`, `course_id`, `zone`, and an `occasion` unless it happens once ever.
    """
    delay = db.session.scalar(sa.select(SequenceStep.delay_days).where(SequenceStep.version_id == version.id, SequenceStep.position == 0))
    if delay is None or not _hold(Sequence.id == version.sequence_id, Sequence.archived_at.is_(None)):
        return
    if version.sequence.purpose is Purpose.MARKETING:
        sensitive = sensitive_courses()
        people = [person for person in people if person["course_id"] not in sensitive]
    rows = [
        {
            "sequence_id": version.sequence_id,
            "version_id": version.id,
            "contact_id": person["contact_id"],
            "course_id": person["course_id"],
            "occasion": person.get("occasion", ""),
            "position": 0,
            "started_at": now,
            "next_run_at": in_window(version, now + timedelta(days=delay), person["zone"]),
        }
        for person in people
    ]
    if rows:
        statement = insert_into(SequenceRun).on_conflict_do_nothing(index_elements=ONCE)
        db.session.execute(statement.returning(SequenceRun.id), rows)  # what returns something is sent for many rows at once


def _hold(*which: sa.ColumnElement[bool]) -> Rows[int]:
    """Keep staff from changing sequences until the commit; which of them there are, as they are now.

    Asked before runs are touched: staff hold a sequence first and its runs then, and two who went the other way would block each other.
    """
    return db.session.scalars(sa.select(Sequence.id).where(*which).order_by(Sequence.id).with_for_update(read=True)).all()


def in_window(version: SequenceVersion, moment: datetime, zone: str) -> datetime:
    """The first moment from this one on at which a mail of this version may come to somebody in a zone."""
    return next_in(Window(version.window_start, version.window_end), moment, zone, version.weekdays)


def _end_where_goal(event: Event, now: datetime) -> None:
    """End what the event was the goal of: a course finished, or a tier bought, but for the purchase that began the run."""
    goal = sa.select(SequenceVersion.id).where(SequenceVersion.goal == Goal(event.type))
    contact = sa.select(User.contact_id).where(User.id == event.facts["user_id"], User.contact_id.is_not(None))
    if event.type == Goal.TIER_BOUGHT:
        tier_id = event.facts["tier_id"]
        goal = goal.where(sa.or_(SequenceVersion.goal_tier_id.is_(None), SequenceVersion.goal_tier_id == tier_id))
        is_about_it = SequenceRun.occasion != _occasion(event, tier_id)
    else:
        is_about_it = SequenceRun.course_id == event.facts["course_id"]
    _end(sa.and_(SequenceRun.version_id.in_(goal), SequenceRun.contact_id.in_(contact), is_about_it), RunEnd.GOAL, now)


def _end_where_withdrawn(contact_id: int, purpose: str, now: datetime) -> None:
    of_purpose = sa.select(Sequence.id).where(Sequence.purpose == Purpose(purpose))
    _end(sa.and_(SequenceRun.sequence_id.in_(of_purpose), SequenceRun.contact_id == contact_id), RunEnd.UNSUBSCRIBED, now)


def _end(which: sa.ColumnElement[bool], end: RunEnd, now: datetime) -> None:
    _hold()
    db.session.execute(
        sa.update(SequenceRun)
        .where(which, SequenceRun.ended_at.is_(None))
        .values(ended_at=now, end=end, next_run_at=None)
        .execution_options(synchronize_session=False)
    )
