"""Users: guests, people with an address, roles."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import make_transient_to_detached

from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.columns import random_public_id
from courseapp.contacts.models import Contact
from courseapp.extensions import db, insert


def begin_guest(now: datetime) -> User:
    """A new guest: a user without a contact, known to one browser alone."""
    public_id = random_public_id()
    user_id = insert(User, public_id=public_id, created_at=now)
    guest = User(id=user_id, public_id=public_id, created_at=now, contact_id=None, name=None, password_hash=None, disabled_at=None)
    make_transient_to_detached(guest)  # the row is there; the session takes it for what it has read
    db.session.add(guest)
    return guest


def user_of_contact(contact: Contact) -> User | None:
    """The account of an address, or None."""
    return db.session.scalar(sa.select(User).where(User.contact_id == contact.id))


def account_for(contact: Contact, now: datetime) -> User:
    """The account of a contact, made where there is none."""
    found = user_of_contact(contact)
    if found is None:
        found = User(created_at=now, contact_id=contact.id)
        db.session.add(found)
        db.session.flush()
    return found


def grant_role(user: User, role: Role, now: datetime) -> None:
    """Give a role; giving it twice changes nothing."""
    if not db.session.scalar(sa.select(RoleGrant.id).where(RoleGrant.user_id == user.id, RoleGrant.role == role)):
        db.session.add(RoleGrant(user_id=user.id, role=role, granted_at=now))


def change_name(user: User, name: str) -> None:
    """What to call a person; empty for nothing. Mails greet by it too."""
    user.name = name.strip() or None
    if user.contact is not None:
        user.contact.first_name = user.name
