"""What contacts holds about a person."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from courseapp.contacts.consent import consent_history, words_of
from courseapp.contacts.models import Contact, Suppression
from courseapp.contacts.people import forget_address
from courseapp.extensions import db


def export(contact: Contact) -> dict[str, Any]:
    """Address, settings, whether and why it gets no mail, and every consent, newest first."""
    suppression = db.session.execute(
        sa.select(Suppression.reason, Suppression.at).where(Suppression.address_mac == contact.address_mac)
    ).one_or_none()
    return {
        "address": contact.address,
        "since": contact.created_at.isoformat(),
        "gets_no_mail": {"reason": suppression.reason.value, "since": suppression.at.isoformat()} if suppression else None,
        "first_name": contact.first_name,
        "time_zone": contact.zone,
        "language": contact.language,
        "confirmed_at": contact.confirmed_at.isoformat() if contact.confirmed_at else None,
        "mail_paused_until": contact.mail_paused_until.isoformat() if contact.mail_paused_until else None,
        "marketing_at_most_every_days": contact.marketing_days,
        "consents": [
            {
                "purpose": row.purpose.value,
                "action": row.action.value,
                "wording": row.wording,
                "words": words_of(row.wording),
                "source": row.source,
                "network": row.network,
                "at": row.at.isoformat(),
            }
            for row in consent_history(contact)
        ],
    }


def erase(contact: Contact, now: datetime) -> None:
    """Forget the address and the consents; suppressions stay, as hashes."""
    forget_address(contact, now)
