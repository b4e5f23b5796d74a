"""What accounts holds about a person."""

from typing import Any

import sqlalchemy as sa

from courseapp.accounts.models import AddressChange, LoginSession, RoleGrant, SignInRequest, User
from courseapp.accounts.sessions import sessions_of
from courseapp.contacts.models import Contact
from courseapp.extensions import db


def export(user: User) -> dict[str, Any]:
    """Name, roles, the devices signed in, and what was asked for by mail; never a hash of a secret."""
    roles = db.session.execute(sa.select(RoleGrant.role, RoleGrant.granted_at).where(RoleGrant.user_id == user.id))
    asked = sa.or_(SignInRequest.guest_id == user.id, SignInRequest.contact_id == user.contact_id)
    requests = sa.select(SignInRequest.created_at, SignInRequest.used_at).where(asked).order_by(SignInRequest.id)
    return {
        "name": user.name,
        "since": user.created_at.isoformat(),
        "last_here": user.seen_at.isoformat() if user.seen_at else None,
        "disabled_at": user.disabled_at.isoformat() if user.disabled_at else None,
        "roles": [{"role": role.value, "since": since.isoformat()} for role, since in roles],
        "has_password": user.password_hash is not None,
        "devices": [
            {"device": row.device, "since": row.created_at.isoformat(), "last_used": row.last_seen_at.isoformat()}
            for row in sessions_of(user)
        ],
        "sign_in_requests": [
            {"at": at.isoformat(), "used": used.isoformat() if used else None} for at, used in db.session.execute(requests)
        ],
    }


def export_moves(user: User) -> list[dict[str, Any]]:
    """The addresses a person asked to move to, while they are kept, oldest first."""
    rows = db.session.execute(
        sa.select(AddressChange, Contact.address)
        .join(Contact, Contact.id == AddressChange.new_contact_id)
        .where(AddressChange.user_id == user.id)
        .order_by(AddressChange.id)
    )
    return [
        {"to": address, "asked_at": row.created_at.isoformat(), "moved_at": row.finished_at.isoformat() if row.finished_at else None}
        for row, address in rows
    ]


def erase(user: User | None, contact_id: int | None) -> None:
    """Forget the user with sessions and roles, and every link that was mailed to the contact: none may open anything again."""
    if contact_id is not None:
        db.session.execute(sa.delete(SignInRequest).where(SignInRequest.contact_id == contact_id))
        db.session.execute(sa.delete(AddressChange).where(AddressChange.new_contact_id == contact_id))
    if user is None:
        return
    for model in (LoginSession, RoleGrant, AddressChange):
        db.session.execute(sa.delete(model).where(model.user_id == user.id))
    db.session.execute(sa.delete(SignInRequest).where(SignInRequest.guest_id == user.id))
    db.session.flush()
    db.session.execute(sa.delete(User).where(User.id == user.id))
