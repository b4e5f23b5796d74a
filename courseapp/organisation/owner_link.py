"""The one-time link that gives a fresh installation its first owner.

Whoever can read the log of the first start runs the server, and so may name the owner. The link works once, for a day, and
only while nobody is an owner; the address typed there must still be confirmed by mail.
"""

import secrets
from datetime import datetime, timedelta

import sqlalchemy as sa

from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.accounts.sessions import hash_of_token
from courseapp.extensions import db, insert
from courseapp.journal import events
from courseapp.organisation.models import OwnerLink

LIFETIME = timedelta(hours=24)


def has_owner() -> bool:
    """Whether somebody who can sign in is an owner."""
    owners = (
        sa.select(RoleGrant.id).join(User, User.id == RoleGrant.user_id).where(RoleGrant.role == Role.OWNER, User.disabled_at.is_(None))
    )
    return bool(db.session.scalar(sa.select(owners.exists())))


def new_owner_link(now: datetime) -> str:
    """The token of a fresh link; every earlier link ends."""
    end_owner_links()
    token = secrets.token_urlsafe(32)
    insert(OwnerLink, token_hash=hash_of_token(token), created_at=now, expires_at=now + LIFETIME)
    events.record("owner_link_made", "site", now)
    return token


def has_open_link(now: datetime) -> bool:
    """Whether a link that was made earlier still works."""
    return bool(db.session.scalar(sa.select(sa.exists().where(*_is_open(now)))))


def is_open(token: str, now: datetime) -> bool:
    """Whether this link works: known, unused, younger than a day, and nobody is an owner."""
    query = sa.select(sa.exists().where(OwnerLink.token_hash == hash_of_token(token), *_is_open(now)))
    return bool(db.session.scalar(query)) and not has_owner()


def use_owner_link(token: str, now: datetime) -> bool:
    """Use the link up; False where it does not work, or another was first."""
    used = sa.update(OwnerLink).where(OwnerLink.token_hash == hash_of_token(token), *_is_open(now)).values(used_at=now)
    return bool(db.session.execute(used).rowcount) and not has_owner()  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult


def end_owner_links() -> None:
    """No link works any more."""
    db.session.execute(sa.delete(OwnerLink))


def _is_open(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return OwnerLink.used_at.is_(None), OwnerLink.expires_at > now
