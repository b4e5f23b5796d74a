"""Moments that staff choose and read: by the clocks of the organisation, whoever reads them, for several people speak of the same one."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time
from flask_babel import get_locale
from flask_babel import gettext as _

from courseapp.errors import Refusal

FARTHEST = timedelta(days=2 * 366)


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
