"""Contacts: found or made by address, confirmed, moved to another address."""

from datetime import datetime
from functools import lru_cache

import sqlalchemy as sa

from courseapp.columns import random_public_id
from courseapp.contacts.address import address_key, address_mac, clean_address
from courseapp.contacts.models import Contact
from courseapp.extensions import db, insert_into


def contact_for(typed: str, now: datetime, zone: str = "UTC", language: str = "en") -> Contact:
    """The contact of an address, made where there is none; one statement, so two requests cannot make two.

    Raises Refusal (400) where `typed` is no address.
    """
    address = clean_address(typed)
    facts = {
        "b_public_id": random_public_id(),
        "b_address": address,
        "b_address_key": address_key(address),
        "b_address_mac": address_mac(address),
        "b_zone": zone,
        "b_language": language,
        "b_created_at": now,
    }
    return db.session.scalars(_found_or_made(db.engine.dialect.name), facts, execution_options={"populate_existing": True}).one()


@lru_cache
def _found_or_made(_dialect: str) -> sa.Executable:
    """The statement behind `contact_for`, built once."""
    columns = ("public_id", "address", "address_key", "address_mac", "zone", "language", "created_at")
    statement = insert_into(Contact).values({name: sa.bindparam(f"b_{name}", type_=Contact.__table__.c[name].type) for name in columns})
    made = statement.on_conflict_do_update(index_elements=["address_key"], set_={"address_key": statement.excluded.address_key})
    return sa.select(Contact).from_statement(made.returning(*Contact.__table__.c))


def contact_of_address(typed: str) -> Contact | None:
    """The contact of an address, or None."""
    if "\0" in typed:  # PostgreSQL refuses to be asked for it
        return None
    return db.session.scalar(sa.select(Contact).where(Contact.address_key == address_key(typed.strip())))


def confirm(contact: Contact, now: datetime) -> bool:
    """Note that the address's reader has said yes; True when this was the first time."""
    if contact.confirmed_at is not None:
        return False
    contact.confirmed_at = now
    return True


def move_to_address(contact: Contact, other: Contact, now: datetime) -> None:
    """Give `contact` the address of `other`, an address without a user; what `other` was ends here."""
    address = other.address
    assert address is not None
    forget_address(other, now)
    db.session.flush()
    contact.address, contact.address_key, contact.address_mac = address, address_key(address), address_mac(address)
    contact.confirmed_at = now


def forget_address(contact: Contact, now: datetime) -> None:
    """Erase who a contact was; the row stays for the sums of what was sent."""
    contact.address = contact.address_key = contact.address_mac = contact.first_name = None
    contact.erased_at = now
