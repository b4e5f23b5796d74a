"""Publishing at a time: a due row, changed or called off until then, and found by whichever worker looks first."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from courseapp.authoring.models import Problem, Publication, Upload
from courseapp.catalog.models import Course
from courseapp.extensions import db
from courseapp.journal import events

MISSED_AFTER = timedelta(days=1)  # later than that somebody decides anew: a server that was away, or a backup that was restored


def planned(thing: Upload | Course) -> Publication | None:
    """The open publication of an upload or a course, or None."""
    return db.session.scalar(sa.select(Publication).where(_of(thing), Publication.ended_at.is_(None)))


def last_ended(thing: Upload | Course) -> Publication | None:
    """The publication of an upload or a course that was seen to last, or None."""
    query = sa.select(Publication).where(_of(thing), Publication.ended_at.is_not(None))
    return db.session.scalar(query.order_by(Publication.id.desc()).limit(1))


def planned_times(upload_ids: list[int]) -> dict[int, datetime]:
    """When each of some uploads is to be published, of those that are."""
    query = sa.select(Publication.upload_id, Publication.at).where(Publication.upload_id.in_(upload_ids), Publication.ended_at.is_(None))
    return {upload_id: at for upload_id, at in db.session.execute(query) if upload_id is not None}


def plan(thing: Upload | Course, at: datetime, now: datetime, by_user_id: int, without_review: bool) -> None:
    """Have something published at a moment, or at another than it was to be; the caller holds the thing's row and commits."""
    found = planned(thing)
    if found is None:
        found = Publication(**_key(thing), planned_at=now)
        db.session.add(found)
    found.at, found.by_user_id, found.without_review, found.planned_at = at, by_user_id, without_review, now
    note("publication_planned", thing, now, by_user_id=by_user_id, at=at.isoformat())


def call_off(thing: Upload | Course, now: datetime, by_user_id: int | None) -> bool:
    """Have something not published at its time; False where it was not to be, or is published already."""
    open_ones = sa.update(Publication).where(_of(thing), Publication.ended_at.is_(None))
    ended = db.session.execute(open_ones.values(ended_at=now))
    if not ended.rowcount:  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult
        return False
    note("publication_called_off", thing, now, by_user_id=by_user_id)
    return True


def claim_due(now: datetime) -> Publication | None:
    """The next publication whose time has come, locked until the caller commits; another worker passes over it."""
    due = sa.select(Publication).where(Publication.ended_at.is_(None), Publication.at <= now)
    return db.session.scalar(due.order_by(Publication.at, Publication.id).limit(1).with_for_update(skip_locked=True))


def end(publication: Publication, now: datetime, problem: Problem | None = None) -> None:
    """Note that a publication was seen to."""
    publication.ended_at, publication.problem = now, problem


def note(what: str, thing: Upload | Course, now: datetime, **facts: Any) -> None:
    """Write into the journal what was done with an upload or a course, and by whom."""
    kind = "course" if isinstance(thing, Course) else "upload"
    events.record(what, f"{kind}:{thing.id}", now, **facts)


def _key(thing: Upload | Course) -> dict[str, int]:
    return {"course_id": thing.id} if isinstance(thing, Course) else {"upload_id": thing.id}


def _of(thing: Upload | Course) -> sa.ColumnElement[bool]:
    return Publication.course_id == thing.id if isinstance(thing, Course) else Publication.upload_id == thing.id
