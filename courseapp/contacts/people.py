"""Contacts: found or made by address, confirmed, moved to another address."""

from datetime import datetime

import sqlalchemy as sa

from courseapp.columns import random_public_id
from courseapp.contacts.address import address_key, address_mac, clean_address
from courseapp.contacts.models import Consent, Contact, Suppression
from courseapp.extensions import db, insert_later, write_held
from courseapp.held import HeldRow, table_of
from courseapp.journal import events


def contact_for(typed: str, now: datetime, zone: str = "UTC", language: str = "en") -> Contact:
    """The contact of an address, made where there is none; raises as `hold_contact` does."""
    row = hold_contact(typed, now, zone, language)
    write_held()
    return db.session.get_one(Contact, row.id, populate_existing=True)


def hold_contact(typed: str, now: datetime, zone: str = "UTC", language: str = "en") -> HeldRow:
    """The row of an address's contact, made where there is none; so written that two requests cannot make two.

    Raises Refusal (400) where `typed` is no address.
    """
    address = clean_address(typed)
    return insert_later(
        Contact,
        or_find="address_key",
        public_id=random_public_id(),
        address=address,
        address_key=address_key(address),
        address_mac=address_mac(address),
        zone=zone,
        language=language,
        created_at=now,
    )


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
    """Give `contact` the address of `other`, an address without a user; what `other` was and said is erased.

    Else nobody would find it when the person is erased. What stands in rooms above goes with `operations/tidying.py`.
    """
    address = other.address
    assert address is not None
    forget_address(other, now)
    db.session.flush()
    contact.address, contact.address_key, contact.address_mac = address, address_key(address), address_mac(address)
    contact.confirmed_at = now


def forget_address(contact: Contact, now: datetime) -> None:
    """Erase who a contact was and what they agreed to; the row stays for the sums of what was sent.

    It is called otherwise from now on: the record of the erasure, beside the files, names it together with the address's hash.
    """
    events.cut([f"contact:{contact.id}"])
    db.session.execute(sa.delete(Consent).where(Consent.contact_id == contact.id))
    contact.address = contact.address_key = contact.address_mac = contact.first_name = None
    contact.mail_paused_until = contact.marketing_days = None
    contact.zone, contact.language, contact.public_id = "UTC", "en", random_public_id()
    contact.erased_at = now


def rekey_addresses() -> None:
    """Give every address its hash under the SECRET_KEY that is set now. Suppressions follow where their address is known."""
    rows = db.session.execute(sa.select(Contact.id, Contact.address, Contact.address_mac).where(Contact.address.is_not(None)))
    changes = [{"b_id": row.id, "b_old": row.address_mac, "b_new": address_mac(str(row.address))} for row in rows]
    contacts, suppressions = table_of(Contact), table_of(Suppression)
    if changes:
        connection = db.session.connection()
        connection.execute(
            sa.update(contacts).where(contacts.c.id == sa.bindparam("b_id")).values(address_mac=sa.bindparam("b_new")), changes
        )
        connection.execute(
            sa.update(suppressions).where(suppressions.c.address_mac == sa.bindparam("b_old")).values(address_mac=sa.bindparam("b_new")),
            changes,
        )
    db.session.expire_all()
