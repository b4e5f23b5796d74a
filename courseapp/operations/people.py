"""A person as a whole: what every room holds about them, and forgetting it. Each room is called by name."""

from datetime import datetime
from typing import Any

from courseapp.accounts import privacy as accounts
from courseapp.accounts.models import User
from courseapp.campaigns import privacy as campaigns
from courseapp.contacts import privacy as contacts
from courseapp.contacts.models import Contact
from courseapp.journal import events
from courseapp.journal import privacy as journal
from courseapp.learning import privacy as learning
from courseapp.mailing import privacy as mailing
from courseapp.organisation import privacy as organisation


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
        held["invitations"] = organisation.export(contact.id)
    held["events"] = journal.export(subjects_of(user, contact))
    return held


def erase(user: User | None, contact: Contact | None, now: datetime) -> None:
    """Forget a person everywhere; only sums and the hash of a suppressed address stay. The caller commits."""
    journal.erase(subjects_of(user, contact))
    if contact is not None:
        organisation.erase(contact.id)
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
