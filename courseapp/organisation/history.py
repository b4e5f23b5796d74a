"""Who changed which settings when, from the journal; what they said is kept nowhere but in the present value."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from courseapp.accounts.models import User
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.organisation.legal import TITLES

CHANGED = "site_settings_changed"
SUBJECT = "site"
FIELD_WORDS: dict[str, LazyString] = {
    "public_name": _l("Public name"),
    "site_name": _l("Neutral name"),
    "sender_name": _l("Sender of mails"),
    "postal_address": _l("Postal address"),
    "support_address": _l("Help address"),
    "emergency_words": _l("In an emergency"),
    "crisis_words": _l("In a crisis"),
    "minimum_age": _l("Minimum age"),
    "default_zone": _l("Time zone"),
    "default_language": _l("Language"),
    "marketing_per_week": _l("Marketing mails to one person within seven days, at most"),
    "counts_clicks": _l("Count clicks on links in mails"),
    "accent_light": _l("Accent on light pages"),
    "accent_dark": _l("Accent on dark pages"),
    "logo": _l("Logo"),
    **TITLES,
}
"""What each setting is called, on its page and in lists of what was changed."""


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
