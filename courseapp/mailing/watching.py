"""What watches over streams: one in which too much goes wrong pauses itself, and says why.

The service streams that everybody has never do. Anybody can have a sign-in mail sent to an address that is not there, and so could
lock everybody out.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.mailing.models import HAVE_LEFT, IN_TROUBLE, Message, State, Stream
from courseapp.mailing.streams import STANDARD

PAUSED_ITSELF = "stream_paused_itself"
TROUBLED = sa.literal_column(f"messages.{IN_TROUBLE}", sa.Boolean)


@dataclass(frozen=True)
class Rule:
    """A stream pauses itself where more than `share` of what left within `window` ended in `state`, and no fewer than `least`."""

    state: State
    share: float
    least: int
    window: timedelta
    words: LazyString


RULES = (
    Rule(State.COMPLAINED, 0.001, 3, timedelta(days=1), _l("%(count)s of %(whole)s mails of a day were reported as unwanted.")),
    Rule(State.BOUNCED, 0.05, 10, timedelta(days=1), _l("%(count)s of %(whole)s mails of a day came back: the addresses take none.")),
    Rule(State.FAILED, 0.10, 20, timedelta(hours=1), _l("%(count)s of %(whole)s mails of an hour were refused or could not be made.")),
)


def watch(now: datetime) -> list[str]:
    """Pause every stream in which too much went wrong since it was last resumed; their keys. The caller commits.

    Counted is only where anything went wrong lately: of streams there is one more with each broadcast, and they stay.
    """
    lately = Message.settled_at > now - max(rule.window for rule in RULES)
    went_wrong = sa.exists().where(Message.stream_id == Stream.id, lately, TROUBLED)
    is_watched = sa.or_(Stream.purpose != Purpose.SERVICE, Stream.key.not_in(STANDARD))
    running = sa.select(Stream).where(Stream.paused_at.is_(None), is_watched, went_wrong).order_by(Stream.id)
    return [stream.key for stream in db.session.scalars(running).all() if any(_breaks(stream, rule, now) for rule in RULES)]


def _breaks(stream: Stream, rule: Rule, now: datetime) -> bool:
    """Pause a stream where it breaks a rule; True where this did so, and not somebody else meanwhile."""
    since = max(now - rule.window, stream.watched_from or now - rule.window)
    lately = (Message.stream_id == stream.id, Message.settled_at > since)
    bad = sa.select(sa.func.count()).select_from(Message).where(*lately, _is_in(rule.state))
    count = db.session.scalar(bad) or 0
    if count < rule.least or count <= rule.share * (whole := _as_many(lately, enough=round(count / rule.share) + 1)):
        return False
    why = str(rule.words) % {"count": count, "whole": whole}
    paused = db.session.execute(
        sa.update(Stream)
        .where(Stream.id == stream.id, Stream.paused_at.is_(None))
        .values(paused_at=now, paused_why=_("It paused itself: %(why)s", why=why)[:200])
        .execution_options(synchronize_session=False)
    )
    if not paused.rowcount:  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult
        return False
    events.record(PAUSED_ITSELF, f"stream:{stream.key}", now, count=count, whole=whole, why=rule.state.value)
    return True


def _as_many(lately: tuple[sa.ColumnElement[bool], ...], enough: int) -> int:
    """How many mails left lately; counted no further than it takes to know that little of it went wrong, the newest first."""
    left = sa.select(Message.id).where(*lately, Message.state.in_((*HAVE_LEFT, State.FAILED))).order_by(Message.id.desc()).limit(enough)
    return db.session.scalar(sa.select(sa.func.count()).select_from(left.subquery())) or 0


def _is_in(state: State) -> sa.ColumnElement[bool]:
    """In this state, and said so that the index of what went wrong serves."""
    return sa.and_(TROUBLED, Message.state == state)
