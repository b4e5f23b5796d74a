"""Sessions: rows on the server, one per signed-in browser, fetched together with the user and the roles."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask_babel import gettext as _

from courseapp.accounts.models import LoginSession, RoleGrant, User
from courseapp.accounts.people import known_user
from courseapp.columns import random_public_id
from courseapp.extensions import asking, db, insert_later
from courseapp.held import table_of

IDLE = timedelta(days=90)
ABSOLUTE = timedelta(days=365)
STAFF_IDLE = timedelta(days=2)
STAFF_ABSOLUTE = timedelta(days=14)
UNKNOWN = "A browser"
SEEN_EVERY = timedelta(hours=1)  # how exact `last_seen_at` is; a page view writes at most this often

_roles = sa.select(sa.func.aggregate_strings(RoleGrant.role, " ")).where(RoleGrant.user_id == User.id).correlate(User).scalar_subquery()
_columns = tuple(table_of(User).c.keys())
_user_of_token = (  # built once: every page asks it
    sa.select(*table_of(User).c, LoginSession.id.label("session_id"), LoginSession.last_seen_at, _roles.label("roles"))
    .join(LoginSession, LoginSession.user_id == User.id)
    .where(
        LoginSession.token_hash == sa.bindparam("token_hash"),
        LoginSession.expires_at > sa.bindparam("now"),
        LoginSession.last_seen_at > sa.bindparam("idle_since"),
        User.disabled_at.is_(None),
    )
)


def open_session(user: User, now: datetime, device: str) -> None:
    """Begin a session for this browser; `user.session_token` is what the cookie is to carry."""
    token = secrets.token_urlsafe(32)
    is_staff = not user.is_guest and bool(db.session.scalar(sa.select(sa.exists().where(RoleGrant.user_id == user.id))))
    insert_later(
        LoginSession,
        public_id=random_public_id(),
        token_hash=hash_of_token(token),
        user_id=user.id,
        device=device,
        created_at=now,
        last_seen_at=now,
        expires_at=now + (STAFF_ABSOLUTE if is_staff else ABSOLUTE),
    )
    user.session_token = token
    if user.seen_at is None or user.seen_at < now - SEEN_EVERY:
        user.seen_at = now


def user_of_token(token: str, now: datetime) -> tuple[User, bool] | None:
    """The user whose session this is, with its roles, in one query; and whether `last_seen_at` is due. None: no such session."""
    facts = {"token_hash": hash_of_token(token), "now": now, "idle_since": now - IDLE}
    row = asking().execute(_user_of_token, facts).one_or_none()
    if row is None:
        return None
    *columns, session_id, seen, roles = row
    if roles and seen < now - STAFF_IDLE:
        return None
    user = known_user(**dict(zip(_columns, columns, strict=True)))
    user.session_id, user.session_token = session_id, token
    user.roles = frozenset((roles or "").split())
    return user, seen < now - SEEN_EVERY


def touch(session_id: int, now: datetime) -> None:
    """Note that the session is in use, and its person here."""
    used = sa.update(LoginSession).where(LoginSession.id == session_id).values(last_seen_at=now).returning(LoginSession.user_id)
    user_id = db.session.scalar(used)
    db.session.execute(sa.update(User).where(User.id == user_id).values(seen_at=now))


def sessions_of(user: User) -> Sequence[LoginSession]:
    """A person's sessions, the one used last first."""
    return db.session.scalars(
        sa.select(LoginSession).where(LoginSession.user_id == user.id).order_by(LoginSession.last_seen_at.desc())
    ).all()


def end_session(session_id: int | None) -> None:
    """End one session: a copied cookie is dead from now on."""
    db.session.execute(sa.delete(LoginSession).where(LoginSession.id == session_id))


def end_own_session(user: User, public_id: str) -> bool:
    """End one of a person's own sessions; False where it is not theirs."""
    ended = db.session.execute(sa.delete(LoginSession).where(LoginSession.user_id == user.id, LoginSession.public_id == public_id))
    return bool(ended.rowcount)  # type: ignore[attr-defined]  # a DELETE gives a CursorResult


def end_sessions(user: User, but: int | None = None) -> None:
    """End all of a person's sessions, but one."""
    query = sa.delete(LoginSession).where(LoginSession.user_id == user.id)
    db.session.execute(query if but is None else query.where(LoginSession.id != but))


def hash_of_token(token: str) -> str:
    """What is kept of a random token: its SHA-256. The token has 256 bits, so nothing slower is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def device_words(user_agent: str) -> str:
    """A browser's coarse name, such as `Firefox on Android`: enough to know one's own again, too little to track."""
    browsers = (
        ("Edg", "Edge"),
        ("OPR", "Opera"),
        ("SamsungBrowser", "Samsung Internet"),
        ("Firefox", "Firefox"),
        ("Chrome", "Chrome"),
        ("Safari", "Safari"),
    )
    systems = (
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "Mac"),
        ("Linux", "Linux"),
    )
    browser = next((name for mark, name in browsers if mark in user_agent), UNKNOWN)
    system = next((name for mark, name in systems if mark in user_agent), "")
    return f"{browser} on {system}" if system else browser


def device_name(noted: str) -> str:
    """What `device_words` noted of a browser, in the reader's language."""
    browser, _on, system = noted.partition(" on ")
    name = _("A browser") if browser == UNKNOWN else browser
    return str(_("%(browser)s on %(system)s", browser=name, system=system) if system else name)
