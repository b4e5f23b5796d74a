"""A guest's course and an account's, made one when their person says they are theirs."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.accounts.sessions import end_sessions
from courseapp.billing.joining import join_purchases
from courseapp.catalog.models import Lesson, Need
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.learning.models import Completion, Enrolment, SafetyOutcome
from courseapp.learning.playing import join_positions
from courseapp.learning.progress import finish, outline_for


def guest_of(public_id: str | None) -> User | None:
    """The guest of an id, while it still is one."""
    if not public_id:
        return None
    return db.session.scalar(sa.select(User).where(User.public_id == public_id, User.contact_id.is_(None), User.disabled_at.is_(None)))


def titles_done(user: User) -> list[str]:
    """The lessons a person has done that may be named to whoever reads the address's mail: none that need the check."""
    query = (
        sa.select(Lesson.title)
        .join(Completion, Completion.lesson_id == Lesson.id)
        .where(Completion.user_id == user.id, Lesson.needs_check == Need.NONE)
    )
    return list(db.session.scalars(query.order_by(Lesson.position)))


def join_guest(guest: User, account: User, now: datetime) -> None:
    """Give the account what the guest had; the earlier date counts, and the guest is gone."""
    _join_enrolments(guest, account, now)
    dates = {row.lesson_id: row for row in _completions_of(account)}
    done = _completions_of(guest)
    for completion in done:
        if (own := dates.get(completion.lesson_id)) is None:
            completion.user_id = account.id
        else:
            own.completed_at = min(own.completed_at, completion.completed_at)
    _join_outcome(guest, account)
    join_positions(guest.id, account.id)
    join_purchases(guest.id, account.id)  # before it is asked what is whole, for that depends on what is open
    _finish_what_is_whole_now(account, now)
    end_sessions(guest)
    events.cut([f"user:{guest.id}"])
    db.session.flush()
    db.session.execute(sa.delete(User).where(User.id == guest.id))


def _completions_of(user: User) -> Sequence[Completion]:
    return db.session.scalars(sa.select(Completion).where(Completion.user_id == user.id)).all()


def _join_enrolments(guest: User, account: User, now: datetime) -> None:
    for enrolment in db.session.scalars(sa.select(Enrolment).where(Enrolment.user_id == guest.id)).all():
        own = db.session.scalar(sa.select(Enrolment).where(Enrolment.user_id == account.id, Enrolment.course_id == enrolment.course_id))
        if own is None:
            enrolment.user_id = account.id
            events.record("enrolled", f"user:{account.id}", now, user_id=account.id, course_id=enrolment.course_id)
            continue
        own.started_at = min(own.started_at, enrolment.started_at)
        if enrolment.finished_at is not None:
            if own.finished_at is None:
                finish(own, now)
            own.finished_at = min(filter(None, (own.finished_at, enrolment.finished_at)))
        if enrolment.last_opened_at is not None and (own.last_opened_at is None or enrolment.last_opened_at > own.last_opened_at):
            own.last_lesson_id, own.last_opened_at = enrolment.last_lesson_id, enrolment.last_opened_at


def _finish_what_is_whole_now(account: User, now: datetime) -> None:
    for enrolment in db.session.scalars(sa.select(Enrolment).where(Enrolment.user_id == account.id, Enrolment.finished_at.is_(None))).all():
        progress = outline_for(account.id, enrolment.course_id, None, None, now).progress
        if progress.total and progress.done == progress.total:
            finish(enrolment, now)


def _join_outcome(guest: User, account: User) -> None:
    """The later outcome counts: it is the one about how the person is now."""
    theirs = db.session.get(SafetyOutcome, guest.id)
    own = db.session.get(SafetyOutcome, account.id)
    if theirs is None or (own is not None and own.decided_at >= theirs.decided_at):
        return
    if own is None:
        own = SafetyOutcome(user_id=account.id, outcome=theirs.outcome, wording=theirs.wording, decided_at=theirs.decided_at)
        db.session.add(own)
    own.outcome, own.wording, own.decided_at = theirs.outcome, theirs.wording, theirs.decided_at
