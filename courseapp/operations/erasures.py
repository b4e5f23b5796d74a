"""What remains of an erasure: a record beside the files, so that an older backup does not bring the person back.

A record holds random ids and the keyed hash of an address; it says of nobody who they were. It lies in the storage and not in
the database, for it must outlive the database that is replaced.
"""

import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from courseapp import storage
from courseapp.accounts.models import User
from courseapp.accounts.people import user_of_contact
from courseapp.contacts.models import Contact
from courseapp.extensions import db

FOLDER = "erasures"
LARGEST = 10_000  # bytes; a record has some 200


class UnreadableRecord(Exception):
    """A file among the records of erasures that is none; the message names it."""


@dataclass(frozen=True)
class Erasure:
    """That somebody was erased at a moment (ISO 8601): public ids of user and contact, keyed hash of the address."""

    at: str
    user: str | None
    contact: str | None
    address: str | None

    @property
    def content(self) -> bytes:
        """The record as it is kept."""
        return json.dumps(asdict(self), sort_keys=True).encode()


def note(user: User | None, contact: Contact | None, address_mac: str | None, now: datetime) -> None:
    """Keep a record that these are being erased.

    Before the commit, not after it: were the process to die between the two, a backup could bring back whom nobody remembers.
    """
    erasure = Erasure(
        at=now.isoformat(),
        user=user.public_id if user is not None else None,
        contact=contact.public_id if contact is not None else None,
        address=address_mac,
    )
    storage.keep(f"{FOLDER}/{secrets.token_hex(16)}.json", erasure.content)


def known() -> Iterator[Erasure]:
    """Every erasure of which a record is stored; raises UnreadableRecord."""
    for key in storage.stored_keys(FOLDER):
        with storage.open_stored(key) as file:
            yield parsed(file.read(LARGEST), key)


def unreadable() -> list[str]:
    """The keys of stored records that are none: nobody would be erased by them, and no restore goes past one."""
    found = []
    for key in storage.stored_keys(FOLDER):
        try:
            with storage.open_stored(key) as file:
                parsed(file.read(LARGEST), key)
        except UnreadableRecord:
            found.append(key)
    return found


def adopt(folder: Path) -> int:
    """Keep the records of another installation's folder too; how many. Raises UnreadableRecord before the first is kept."""
    contents = {path.name: path.read_bytes() for path in sorted(folder.rglob("*.json"))}
    for name, content in contents.items():
        parsed(content, name)
    for name, content in contents.items():
        storage.keep(f"{FOLDER}/{name}", content)
    return len(contents)


def parsed(content: bytes, name: str) -> Erasure:
    """The record in a file of this name; raises UnreadableRecord."""
    try:
        erasure = Erasure(**json.loads(content))
        is_whole = datetime.fromisoformat(erasure.at).tzinfo is not None
    except (ValueError, TypeError):
        is_whole = False
    if not is_whole:
        raise UnreadableRecord(f"{name} is no record of an erasure, or it is damaged.")
    return erasure


def still_here(erasure: Erasure) -> Iterator[tuple[User | None, Contact | None]]:
    """Whom of an erasure the database holds: user and contact, to be erased together.

    By the hash of the address count only those who were there when it happened: who came back since is another person.
    """
    same = [Contact.public_id == erasure.contact] if erasure.contact else []
    if erasure.address:
        was_there = Contact.created_at <= datetime.fromisoformat(erasure.at)
        same.append(sa.and_(Contact.address_mac == erasure.address, was_there))
    if same:
        for contact in db.session.scalars(sa.select(Contact).where(Contact.erased_at.is_(None), sa.or_(*same))).all():
            yield user_of_contact(contact), contact
    if erasure.user:
        user = db.session.scalar(sa.select(User).where(User.public_id == erasure.user))
        if user is not None:
            yield user, user.contact
