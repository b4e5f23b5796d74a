"""By which of the links that staff made people come: a total for each day, and nobody's name.

A link carries `?from=word`. The word waits in the session that the browser has anyway and ends with the start; a word that staff
have not made counts nowhere, so that nobody can number people by their links.
"""

import re
from datetime import UTC, date, datetime

import sqlalchemy as sa
from flask_babel import gettext as _

from courseapp.errors import Refusal
from courseapp.extensions import db, insert_into, insert_later
from courseapp.held import HeldRow
from courseapp.journal import events
from courseapp.learning.models import Arrival, Source

WORD = re.compile(r"[a-z0-9-]{1,30}")
MOST = 30  # sources of a course: a word for each person would follow people


def source_id_of(course_id: int, word: str) -> int | None:
    """The source of a word, where staff have made it."""
    if not WORD.fullmatch(word):
        return None
    return db.session.scalar(sa.select(Source.id).where(Source.course_id == course_id, Source.word == word))


def count_arrival(source_id: int, made: HeldRow, now: datetime) -> None:
    """Count one start, where the enrolment is written at all: who starts again came long ago."""
    insert_later(Arrival, once=("source_id", "day"), adding="count", given=made, source_id=source_id, day=day_of(now), count=1)


def day_of(now: datetime) -> date:
    """The day that a start counts for: of UTC, so that another zone in the settings tears no day apart."""
    return now.astimezone(UTC).date()


def make_source(course_id: int, typed: str, now: datetime, by_user_id: int | None = None) -> str:
    """Have starts by links with this word counted; the word. Raises Refusal where it will not do."""
    word = typed.strip().casefold()
    if not WORD.fullmatch(word):
        raise Refusal(_("Use 1 to 30 small letters, digits and hyphens, such as “flyer” or “clinic-north”."))
    others = db.session.scalars(sa.select(Source.word).where(Source.course_id == course_id)).all()
    if word not in others and len(others) >= MOST:
        raise Refusal(_("There are %(most)s links already, and a course has no more.", most=MOST))
    row = insert_into(Source).values(course_id=course_id, word=word, created_at=now)
    if word not in others:
        source_id = db.session.scalar(row.on_conflict_do_nothing(index_elements=["course_id", "word"]).returning(Source.id))
        if source_id is not None:
            events.record("source_made", f"course:{course_id}", now, by_user_id=by_user_id, source_id=source_id)
    return word
