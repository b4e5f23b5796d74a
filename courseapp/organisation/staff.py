"""People with roles: who they are, and taking a role away."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.contacts.models import Contact
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal import events

ROLE_NAMES = {Role.OWNER: _l("Owner"), Role.INSTRUCTOR: _l("Instructor"), Role.MARKETER: _l("Marketer")}


@dataclass(frozen=True)
class StaffMember:
    """One person with roles, and since when each is held."""

    public_id: str
    address: str | None
    name: str | None
    is_disabled: bool
    roles: dict[Role, datetime]


def staff_members() -> list[StaffMember]:
    """Everyone who holds a role, in the order of their addresses."""
    rows = db.session.execute(
        sa.select(User, Contact.address, RoleGrant.role, RoleGrant.granted_at)
        .join(RoleGrant, RoleGrant.user_id == User.id)
        .outerjoin(Contact, Contact.id == User.contact_id)
        .order_by(Contact.address_key, User.id, RoleGrant.role)
    )
    found: dict[int, StaffMember] = {}
    for user, address, role, since in rows:
        member = found.setdefault(user.id, StaffMember(user.public_id, address, user.name, user.disabled_at is not None, {}))
        member.roles[role] = since
    return list(found.values())


def member_of(public_id: str) -> User | None:
    """A person with a role, by their id in addresses; None for everyone else."""
    return db.session.scalar(sa.select(User).where(User.public_id == public_id, User.id.in_(sa.select(RoleGrant.user_id))))


def take_role(user: User, role: Role, by: User, now: datetime) -> None:
    """Take a role from a person. Raises Refusal where it is the last owner's: nobody could let anyone in any more."""
    if role is Role.OWNER and _owners_locked() <= {user.id}:
        raise Refusal(_("This is the only owner. Make somebody else an owner first."), 409)
    gone = db.session.execute(sa.delete(RoleGrant).where(RoleGrant.user_id == user.id, RoleGrant.role == role))
    if gone.rowcount:  # type: ignore[attr-defined]  # a DELETE gives a CursorResult
        events.record("role_taken", f"user:{user.id}", now, role=role.value, by=by.id)


def _owners_locked() -> set[int]:
    """The ids of owners who can sign in. Their grants are locked: of two who take each other's role at once, one must wait."""
    query = sa.select(RoleGrant.user_id).join(User, User.id == RoleGrant.user_id)
    owners = query.where(RoleGrant.role == Role.OWNER, User.disabled_at.is_(None)).order_by(RoleGrant.id)
    return set(db.session.scalars(owners.with_for_update(of=RoleGrant)).all())
