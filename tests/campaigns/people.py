"""Learners of a sequence, and the worker's ticks, for the tests of campaigns."""

from collections.abc import Callable
from datetime import datetime

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.campaigns.loops import advance_runs, read_news
from courseapp.campaigns.models import SequenceRun, SequenceVersion
from courseapp.catalog.models import Course
from courseapp.contacts.consent import set_consent
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.learning.enrolment import enrol
from courseapp.mailing.loops import drain
from courseapp.mailing.models import Message
from tests.factories import NOW, make_consent, make_contact, make_user


def learner_of(course: Course, *, confirmed: bool = True, consents: bool = True, now: datetime = NOW) -> User:
    """Somebody who has just begun a course, and ticked the box for its mails unless told otherwise."""
    user = make_user(contact=make_contact(confirmed=confirmed))
    assert user.contact is not None
    if consents:
        make_consent(user.contact, Purpose.COURSE)
    enrol(user, course.id, now)
    db.session.commit()
    return user


def withdraw(user: User, now: datetime) -> None:
    """Unsubscribe, as the link in a mail does."""
    assert user.contact is not None
    set_consent(user.contact, Purpose.COURSE, False, now, "unsubscribe")
    db.session.commit()


def at(moment: datetime) -> Callable[[], datetime]:
    """A clock that stands still."""
    return lambda: moment


def tick(moment: datetime) -> None:
    """What the timetable does at a moment: read the news, advance the runs, send the mail."""
    read_news(at(moment))
    advance_runs(at(moment))
    drain(at(moment))
    db.session.commit()


def steps() -> list[tuple[str, str]]:
    """Every mail of sequences as (its step's subject, its state), in order."""
    rows = db.session.scalars(sa.select(Message).where(Message.dedupe_key.like("sequence:%")).order_by(Message.id))
    return [(row.letter.subject if row.letter else "", row.state.value) for row in rows.all()]


def run_of(version: SequenceVersion | None = None) -> SequenceRun:
    """The one run there is, as the database has it now."""
    query = sa.select(SequenceRun).execution_options(populate_existing=True)
    return db.session.scalars(query if version is None else query.where(SequenceRun.version_id == version.id)).one()
