"""Who changed which settings when, from the journal; what they said is kept nowhere but in the present value."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.journal.models import Event

CHANGED = "site_settings_changed"
SUBJECT = "site"


@dataclass(frozen=True)
class Change:
    """One change: the fields' names, and the address of whoever made it (None once erased)."""

    at: datetime
    fields: list[str]
    by: str | None


def recent_changes(limit: int = 10) -> list[Change]:
    """The newest changes first."""
    query = sa.select(Event).where(Event.subject == SUBJECT, Event.type == CHANGED).order_by(Event.id.desc()).limit(limit)
    events = db.session.scalars(query).all()
    people = {event.facts.get("by") for event in events} - {None}
    rows = db.session.execute(sa.select(User.id, Contact.address).join(Contact, Contact.id == User.contact_id).where(User.id.in_(people)))
    addresses = {row.id: row.address for row in rows}
    return [Change(event.at, list(event.facts.get("fields", [])), addresses.get(event.facts.get("by"))) for event in events]
