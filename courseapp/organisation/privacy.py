"""What the organisation holds about a person: the invitations to them."""

from typing import Any

import sqlalchemy as sa

from courseapp.extensions import db
from courseapp.organisation.models import Invitation


def export(contact_id: int) -> list[dict[str, Any]]:
    """Every invitation to an address, oldest first; never who invited."""
    rows = db.session.scalars(sa.select(Invitation).where(Invitation.contact_id == contact_id).order_by(Invitation.id))
    return [
        {"roles": row.roles.split(), "at": row.created_at.isoformat(), "accepted": row.accepted_at.isoformat() if row.accepted_at else None}
        for row in rows
    ]


def erase(contact_id: int) -> None:
    """Forget every invitation to an address; none may be accepted any more."""
    db.session.execute(sa.delete(Invitation).where(Invitation.contact_id == contact_id))
