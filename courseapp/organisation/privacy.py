"""What the organisation holds about a person: the invitations to them, and those they sent."""

from typing import Any

import sqlalchemy as sa

from courseapp.extensions import db
from courseapp.organisation.models import Invitation


def export(contact_id: int) -> list[dict[str, Any]]:
    """Every invitation to an address, oldest first; never who invited."""
    return _told(Invitation.contact_id == contact_id)


def export_sent(user_id: int) -> list[dict[str, Any]]:
    """Every invitation that somebody sent, oldest first; never to whom."""
    return _told(Invitation.invited_by_id == user_id)


def _told(whose: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
    rows = db.session.scalars(sa.select(Invitation).where(whose).order_by(Invitation.id))
    return [
        {"roles": row.roles.split(), "at": row.created_at.isoformat(), "accepted": row.accepted_at.isoformat() if row.accepted_at else None}
        for row in rows
    ]


def erase(contact_id: int) -> None:
    """Forget every invitation to an address; none may be accepted any more."""
    db.session.execute(sa.delete(Invitation).where(Invitation.contact_id == contact_id))
