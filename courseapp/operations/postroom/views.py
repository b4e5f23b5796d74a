"""How mail stands, pausing a kind of mail and letting it run again, and what becomes of mail in doubt: for marketers and owners."""

from typing import Any

import sqlalchemy as sa
import structlog
from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role, User
from courseapp.columns import row_number
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing import breaker, doubts, pausing, standing
from courseapp.mailing.bulk import CANCELLED
from courseapp.mailing.models import Message, Stream
from courseapp.mailing.refusals import KIND_WORDS
from courseapp.mailing.streams import STANDARD, STREAM_NAMES

pages = Blueprint("postroom", __name__)
pages.before_request(need_role(Role.MARKETER, Role.OWNER))
PAGE = 30
SLOW = 120  # seconds a due mail may wait before the page says so first
log = structlog.get_logger()


def name_of(stream: Stream) -> str:
    """What people call a stream."""
    return str(STREAM_NAMES.get(stream.key, stream.key))


def staff() -> User:
    """Who looks after mail, in this request."""
    user: User = current_user._get_current_object()
    return user


def may_pause(stream: Stream) -> bool:
    """Whether a page may hold this stream back. Never the service mail of all: nobody could sign in any more, to let it run again."""
    return stream.purpose is not Purpose.SERVICE or stream.key not in STANDARD


def may_resume(stream: Stream) -> bool:
    """Whether whoever asks may let this stream run: service mail, which only a restore holds back, is the owner's."""
    return stream.paused_why != CANCELLED and (may_pause(stream) or staff().has_role(Role.OWNER))


def stream_named(key: str) -> Stream:
    """A stream by its key; 404 where there is none."""
    return db.session.scalar(sa.select(Stream).where(Stream.key == key)) or abort(404)


@pages.get("/staff/mail")
def outbox() -> str:
    """How mail stands: what waits, what is paused, what is in doubt, what went wrong lately."""
    now = clock.now()
    settings = current_app.config["SETTINGS"]
    rows = standing.standing_of_streams(now)
    due = [row.oldest_due for row in rows if row.oldest_due is not None and row.stream.paused_at is None]
    waits = round((now - min(due)).total_seconds()) if due else 0
    return render_template(
        "operations/outbox.html",
        streams=[_shown(row) for row in rows],
        waits=waits if waits > SLOW else 0,
        doubts=doubts.count_doubts(),
        outage=breaker.outage_of(breaker.server_of(settings)),
        limits=[words for words in (settings.mail_rate, settings.mail_domain_rates) if words],
        failures=standing.recent_failures(now),
        kind_words=KIND_WORDS,
        days=standing.FAILURES_OF.days,
    )


def _shown(row: standing.StreamStanding) -> dict[str, Any]:
    stream = row.stream
    return {
        "key": stream.key,
        "name": name_of(stream),
        "counts": row.counts,
        "oldest": row.oldest_due,
        "paused_at": stream.paused_at,
        "why": stream.paused_why,
        "may_pause": may_pause(stream) and stream.paused_at is None,
        "may_resume": may_resume(stream) and stream.paused_at is not None,
    }


@pages.get("/staff/mail/streams/<key>/pause")
def pausing_stream(key: str) -> str | Response:
    """What pausing does, before it is done."""
    stream = _pausable(key)
    if stream.paused_at is not None:
        return _back()
    return render_template("operations/pause_stream.html", key=key, name=name_of(stream), waiting=_waiting(stream))


@pages.post("/staff/mail/streams/<key>/pause")
def pause(key: str) -> Response:
    """Hold a kind of mail back."""
    stream = _pausable(key)
    pausing.pause(stream, staff().id, _("Somebody of the staff paused it."), clock.now())
    db.session.commit()
    log.info("staff_acted", act="pause_stream", staff=staff().id, stream=key)
    flash(_("Paused: %(name)s. A mail that was leaving at this moment still leaves; all others wait.", name=name_of(stream)), "good")
    return _back()


def _pausable(key: str) -> Stream:
    stream = stream_named(key)
    return stream if may_pause(stream) else abort(404)


@pages.get("/staff/mail/streams/<key>/resume")
def resuming_stream(key: str) -> str | Response:
    """What has waited, and what is to become of it, before anything is done."""
    stream = _resumable(key)
    if stream.paused_at is None:
        return _back()
    return render_template("operations/resume_stream.html", key=key, name=name_of(stream), why=stream.paused_why, waiting=_waiting(stream))


@pages.post("/staff/mail/streams/<key>/resume")
def resume(key: str) -> Response | tuple[str, int]:
    """Let a kind of mail run again; what has waited leaves, or never does (`waiting`: send, drop)."""
    stream, now, choice = _resumable(key), clock.now(), request.form.get("waiting")
    if stream.paused_at is None:
        return _back()
    if choice not in {"send", "drop"}:
        abort(400)
    count = _waiting(stream)
    dropped = pausing.drop_waiting([stream], now) if choice == "drop" else 0
    pausing.resume([stream], now, by=staff().id, dropped=dropped)
    db.session.commit()
    log.info("staff_acted", act="resume_stream", staff=staff().id, stream=key)
    if choice == "drop":
        said = ngettext("%(num)d mail that waited will not be sent.", "%(num)d mails that waited will not be sent.", dropped)
    else:
        said = ngettext("%(num)d mail that waited leaves now.", "%(num)d mails that waited leave now.", count)
    flash(_("Running again: %(name)s. %(said)s", name=name_of(stream), said=said), "good")
    return _back()


def _resumable(key: str) -> Stream:
    stream = stream_named(key)
    return stream if may_resume(stream) else abort(404)


def _waiting(stream: Stream) -> int:
    return pausing.waiting_in([stream], clock.now())


def _back() -> Response:
    return redirect(url_for("postroom.outbox"), 303)


@pages.get("/staff/mail/doubts")
def in_doubt() -> str:
    """Mails that may or may not have left, newest first. Whom they were for is not shown: that is support's, and written down there."""
    rows = doubts.doubts_before(request.args.get("before", type=row_number), PAGE + 1)
    older = url_for("postroom.in_doubt", before=rows[PAGE - 1].id) if len(rows) > PAGE else None
    return render_template("operations/doubts.html", doubts=[_doubt(row) for row in rows[:PAGE]], older_url=older)


def _doubt(row: Message) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "kind": name_of(row.stream),
        "subject": row.letter.subject if row.letter is not None else "",
        "at": row.settled_at,
        "is_service": row.stream.purpose is Purpose.SERVICE,
    }


@pages.get("/staff/mail/doubts/<id>")
def doubt(id: str) -> str:
    """What either choice means for one mail."""
    return render_template("operations/doubt.html", doubt=_doubt(doubts.doubt_named(id) or abort(404)))


@pages.post("/staff/mail/doubts/<id>")
def settle_doubt(id: str) -> Response:
    """Send it once more, or leave it (`choice`: again, leave)."""
    message = doubts.doubt_named(id) or abort(404)
    choice = request.form.get("choice")
    if choice not in {"again", "leave"}:
        abort(400)
    act = doubts.send_again if choice == "again" else doubts.leave
    is_done = act(message, staff().id, clock.now())
    db.session.commit()
    log.info("staff_acted", act=f"doubt_{choice}", staff=staff().id)
    if is_done:
        flash(_("It leaves once more.") if choice == "again" else _("It stays as it is, and is no longer in doubt."), "good")
    return redirect(url_for("postroom.in_doubt"), 303)
