"""A person as a whole: what every room holds about them, and forgetting it. Each room is called by name."""

from datetime import datetime
from typing import Any

from courseapp.accounts import privacy as accounts
from courseapp.accounts.models import User
from courseapp.campaigns import privacy as campaigns
from courseapp.contacts import privacy as contacts
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.journal import privacy as journal
from courseapp.learning import privacy as learning
from courseapp.mailing import privacy as mailing
from courseapp.operations import erasures


def export(user: User | None, contact: Contact | None) -> dict[str, Any]:
    """Everything that is held about a person, JSON-ready."""
    held: dict[str, Any] = {}
    if user is not None:
        held["account"] = accounts.export(user)
        held["learning"] = learning.export(user.id)
    if contact is not None:
        held["contact"] = contacts.export(contact)
        held["mails"] = mailing.export(contact.id)
        held["sequences"] = campaigns.export(contact.id)
    held["events"] = journal.export(subjects_of(user, contact))
    return held


def erase(user: User | None, contact: Contact | None, now: datetime) -> None:
    """Forget a person everywhere; only sums and the hash of a suppressed address stay. The caller commits.

    A record that tells nobody who it was is kept, so that a restored backup does not bring them back.
    """
    erasures.note(user, contact, now)
    _forget(user, contact, now)


def erase_again(now: datetime) -> int:
    """Forget all those of whose erasure a record is stored and whom the database holds nevertheless; how many."""
    count = 0
    for erasure in erasures.known():
        for user, contact in erasures.still_here(erasure):
            _forget(user, contact, now)
            db.session.flush()
            count += 1
    return count


def _forget(user: User | None, contact: Contact | None, now: datetime) -> None:
    journal.erase(subjects_of(user, contact))
    if contact is not None:
        campaigns.erase(contact.id)
        mailing.erase(contact.id, now)
    if user is not None:
        learning.erase(user.id)
    accounts.erase(user, contact.id if contact is not None else None)
    if contact is not None:
        contacts.erase(contact, now)
    events.record("person_erased", "erased", now)


def subjects_of(user: User | None, contact: Contact | None) -> list[str]:
    """What the journal calls a person."""
    subjects = [f"user:{user.id}"] if user is not None else []
    return [*subjects, f"contact:{contact.id}"] if contact is not None else subjects
