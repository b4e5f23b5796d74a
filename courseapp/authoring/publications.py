"""Publishing at a time: a due row, changed or called off until then, and found by whichever worker looks first.

Times are chosen and shown in the organisation's zone, whoever reads them: several people speak of the same one.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from babel.dates import format_date, format_time
from flask_babel import get_locale
from flask_babel import gettext as _

from courseapp.authoring.models import Problem, Publication, Upload
from courseapp.catalog.models import Course
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal import events

FARTHEST = timedelta(days=2 * 366)
MISSED_AFTER = timedelta(days=1)  # later than that somebody decides anew: a server that was away, or a backup that was restored


def moment_of(day: str, time: str, zone: str, now: datetime) -> datetime:
    """The moment of a date and a time on the clocks of a zone, in UTC. Raises Refusal (400) in words.

    A time that the clocks leave out in spring is the one they show then, an hour later; of one that they show twice in autumn
    the first is meant (PEP 495, fold 0).
    """
    try:
        local = datetime.strptime(f"{day.strip()} {time.strip()[:5]}", "%Y-%m-%d %H:%M").replace(tzinfo=ZoneInfo(zone))
        moment = local.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Refusal(_("Please choose a date and a time, such as 2027-01-31 and 09:00. Nothing was changed."), 400) from error
    if moment > now + FARTHEST:
        raise Refusal(_("That is more than two years away. Please choose an earlier date. Nothing was changed."), 400)
    return moment


def is_as_typed(moment: datetime, time: str, zone: str) -> bool:
    """Whether the clocks of the zone really show the time that was typed, at the moment it was taken for."""
    return moment.astimezone(ZoneInfo(zone)).strftime("%H:%M") == time.strip()[:5]


def fields_of(moment: datetime | None, zone: str) -> tuple[str, str]:
    """Date and time of a moment as a form's fields hold them; empty for none."""
    return ("", "") if moment is None else (f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d}", f"{moment.astimezone(ZoneInfo(zone)):%H:%M}")


def words_of_moment(moment: datetime, zone: str) -> str:
    """Date, time and zone, with how far that is from UTC then: enough to tell the two half past twos of autumn apart."""
    local = moment.astimezone(ZoneInfo(zone))
    place = f"{zone}, UTC{local.isoformat()[-6:]}" if local.utcoffset() else "UTC"
    locale = get_locale() or "en"
    return f"{format_date(local, 'long', locale)}, {format_time(local, 'short', local.tzinfo, locale)} ({place})"


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
