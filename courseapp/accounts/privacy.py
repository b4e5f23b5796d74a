"""What accounts holds about a person."""

from typing import Any

import sqlalchemy as sa

from courseapp.accounts.models import AddressChange, LoginSession, RoleGrant, SignInRequest, User
from courseapp.accounts.sessions import sessions_of
from courseapp.extensions import db


def export(user: User) -> dict[str, Any]:
    """Name, roles and the devices signed in."""
    roles = db.session.scalars(sa.select(RoleGrant.role).where(RoleGrant.user_id == user.id))
    return {
        "name": user.name,
        "since": user.created_at.isoformat(),
        "roles": [role.value for role in roles],
        "has_password": user.password_hash is not None,
        "devices": [
            {"device": row.device, "since": row.created_at.isoformat(), "last_used": row.last_seen_at.isoformat()}
            for row in sessions_of(user)
        ],
    }


def erase(user: User) -> None:
    """Forget the user with sessions, requests and roles."""
    for model in (LoginSession, RoleGrant, AddressChange):
        db.session.execute(sa.delete(model).where(model.user_id == user.id))
    requests = sa.delete(SignInRequest).where(sa.or_(SignInRequest.guest_id == user.id, SignInRequest.contact_id == user.contact_id))
    db.session.execute(requests)
    db.session.flush()
    db.session.execute(sa.delete(User).where(User.id == user.id))
