"""A person as a whole: what every room holds about them, and forgetting it. Each room is called by name."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from courseapp.accounts import privacy as accounts
from courseapp.accounts.models import AddressChange, User
from courseapp.authoring import privacy as authoring
from courseapp.billing import privacy as billing
from courseapp.campaigns import privacy as campaigns
from courseapp.contacts import privacy as contacts
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.journal import privacy as journal
from courseapp.learning import privacy as learning
from courseapp.mailing import privacy as mailing
from courseapp.operations import erasures
from courseapp.operations.questions import export_questions, forget_questions
from courseapp.organisation import privacy as organisation


def export(user: User | None, contact: Contact | None, mac: str | None = None) -> dict[str, Any]:
    """Everything that is held about a person, JSON-ready; `mac` is an address's keyed hash where there is no contact."""
    held: dict[str, Any] = {}
    if user is not None:
        held["account"] = accounts.export(user)
        held["address_changes"] = accounts.export_moves(user)
        held["learning"] = learning.export(user.id)
        if written := authoring.export(user.id):
            held["authoring"] = written
        if sent := organisation.export_sent(user.id):
            held["invitations_sent"] = sent
        if made := campaigns.export_made(user.id):
            held["campaigns"] = made
    if contact is not None:
        held["contact"] = contacts.export(contact)
        held["mails"] = mailing.export(contact.id)
        held["sequences"] = campaigns.export(contact.id)
        if broadcasts := campaigns.export_broadcasts(contact.id):
            held["broadcasts"] = broadcasts
        held["invitations"] = organisation.export(contact.id)
    if paid := billing.export(*_ids_of(user, contact)):
        held["billing"] = paid
    held["questions"] = export_questions(user, _mac_of(contact) or mac)
    held["events"] = journal.export(subjects_of(user, contact))
    return held


def erase(user: User | None, contact: Contact | None, now: datetime, mac: str | None = None) -> None:
    """Forget a person everywhere; only sums and the hash of a suppressed address stay. The caller commits.

    A record that tells nobody who it was is kept, so that a restored backup does not bring them back. What they pay for again and
    again has ended at Stripe before (`loops.end_subscriptions`): a subscription of nobody would be charged for ever.
    `mac` is an address's keyed hash where there is no contact: somebody only asked something under it.
    """
    mac = _mac_of(contact) or mac
    erasures.note(user, contact, mac, now)
    forget_questions(user, mac, now)
    _forget(user, contact, now)


def erase_again(now: datetime) -> int:
    """Forget all those of whose erasure a record is stored and whom the database holds nevertheless; how many.

    Stripe is not asked, for nothing may keep a restore from erasing, nor needs to: whoever is on record was erased after Stripe had
    said that their subscriptions were over. The backup alone says that they go on, and the erasure writes that down too.
    """
    count = 0
    for erasure in erasures.known():
        asked = forget_questions(None, erasure.address, now, asked_until=datetime.fromisoformat(erasure.at))
        found = False
        for user, contact in erasures.still_here(erasure):
            forget_questions(user, _mac_of(contact), now)
            _forget(user, contact, now)
            db.session.flush()
            found = True
        count += found or asked > 0
    return count


def _forget(user: User | None, contact: Contact | None, now: datetime) -> None:
    journal.erase(subjects_of(user, contact))
    for wished in wished_addresses(user):
        mailing.erase(wished.id, now)
        billing.erase(None, wished.id, now)
        accounts.erase(None, wished.id)
        contacts.erase(wished, now)
    if contact is not None:
        organisation.erase(contact.id)
        campaigns.erase(contact.id)
        mailing.erase(contact.id, now)
    if user is not None:
        learning.erase(user.id)
        authoring.erase(user.id)
        campaigns.erase_made(user.id)
    billing.erase(*_ids_of(user, contact), now)
    accounts.erase(user, contact.id if contact is not None else None)
    if contact is not None:
        contacts.erase(contact, now)
    events.record("person_erased", "erased", now)


def _ids_of(user: User | None, contact: Contact | None) -> tuple[int | None, int | None]:
    return user.id if user is not None else None, contact.id if contact is not None else None


def _mac_of(contact: Contact | None) -> str | None:
    return contact.address_mac if contact is not None else None


def wished_addresses(user: User | None) -> Sequence[Contact]:
    """Addresses a person asked to move to and nobody has confirmed: theirs too, where no account stands behind them."""
    if user is None:
        return []
    theirs = sa.select(AddressChange.new_contact_id).where(AddressChange.user_id == user.id, AddressChange.finished_at.is_(None))
    has_account = sa.select(User.id).where(User.contact_id == Contact.id).exists()
    is_free = (Contact.confirmed_at.is_(None), Contact.erased_at.is_(None), ~has_account)
    return db.session.scalars(sa.select(Contact).where(Contact.id.in_(theirs), *is_free)).all()


def subjects_of(user: User | None, contact: Contact | None) -> list[str]:
    """What the journal calls a person."""
    subjects = [f"user:{user.id}"] if user is not None else []
    return [*subjects, f"contact:{contact.id}"] if contact is not None else subjects
