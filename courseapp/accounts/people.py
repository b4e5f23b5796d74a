"""Users: guests, people with an address, roles."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import make_transient_to_detached
from sqlalchemy.orm.util import identity_key

from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.columns import random_public_id
from courseapp.contacts.models import Contact
from courseapp.extensions import db, insert_known


def begin_guest(now: datetime) -> User:
    """A new guest: a user without a contact, known to one browser alone."""
    facts = {"public_id": random_public_id(), "created_at": now, "seen_at": now}
    user_id = insert_known(User, **facts)
    return known_user(id=user_id, **facts, contact_id=None, name=None, password_hash=None, disabled_at=None)


def known_user(**columns: Any) -> User:
    """The user of a row all of whose columns are known: the session takes it for one that it has read."""
    present: User | None = db.session.identity_map.get(identity_key(User, columns["id"]))
    if present is not None:
        return present
    user = User(**columns)
    make_transient_to_detached(user)
    db.session.add(user)
    return user


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
