"""Invented learners in large numbers, written in batches, for trying pages and measuring growth."""

import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.catalog.models import Course, Lesson, Need
from courseapp.columns import random_public_id
from courseapp.contacts.address import address_mac
from courseapp.contacts.consent import WORDING
from courseapp.contacts.models import Consent, ConsentAction, Contact, Purpose
from courseapp.extensions import db
from courseapp.learning.models import Completion, Enrolment

BATCH = 5_000


def make_learners(count: int, now: datetime, seed: int = 1, *, with_contacts: bool = False) -> Iterator[int]:
    """Insert `count` people enrolled in the first published course, each some lessons far; yields per batch, caller commits.

    Args:
        with_contacts: give each a confirmed address, and four in five their consent to course mail; else they are guests.
    """
    course_id = db.session.scalars(sa.select(Course.id).where(Course.published_at.is_not(None)).order_by(Course.id)).first()
    if course_id is None:
        raise LookupError("there is no published course to enrol learners in")
    lessons = db.session.scalars(
        sa.select(Lesson.id).where(Lesson.course_id == course_id, Lesson.needs_check == Need.NONE).order_by(Lesson.position)
    ).all()
    dice = random.Random(seed)  # noqa: S311  # invented data, the same each time
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        contacts = _contacts(size, now) if with_contacts else [None] * size
        users = [{"public_id": random_public_id(), "created_at": now, "seen_at": now, "contact_id": contact_id} for contact_id in contacts]
        ids = db.session.scalars(sa.insert(User).returning(User.id), users).all()
        began = [now - timedelta(days=dice.randint(0, 300)) for _ in ids]
        enrolments = [{"user_id": user_id, "course_id": course_id, "started_at": at} for user_id, at in zip(ids, began, strict=True)]
        db.session.execute(sa.insert(Enrolment), enrolments)
        done = [
            {"user_id": user_id, "lesson_id": lesson, "completed_at": at}
            for user_id, at in zip(ids, began, strict=True)
            for lesson in lessons[: dice.randint(0, len(lessons))]
        ]
        if done:
            db.session.execute(sa.insert(Completion), done)
        yield size


def _contacts(size: int, now: datetime) -> Sequence[int]:
    """The ids of as many new contacts; four in five have agreed to course mail."""
    names = [random_public_id() for _ in range(size)]
    addresses = [{"public_id": name, "address": f"{name}@example.org", "address_key": f"{name}@example.org"} for name in names]
    rows = [{**row, "address_mac": address_mac(row["address"]), "created_at": now, "confirmed_at": now} for row in addresses]
    ids = db.session.scalars(sa.insert(Contact).returning(Contact.id), rows).all()
    version, _words = WORDING[Purpose.COURSE]
    given = {"purpose": Purpose.COURSE, "action": ConsentAction.GIVEN, "wording": version, "source": "start", "at": now}
    db.session.execute(sa.insert(Consent), [{"contact_id": contact_id, **given} for contact_id in ids if contact_id % 5])
    return ids
