"""What was put into the outbox for somebody, as they would read it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

import sqlalchemy as sa

from courseapp.contacts.address import address_key
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.mailing.models import Message


@dataclass(frozen=True)
class Mail:
    """One mail of the outbox: its kind, the path of its link, its code."""

    template: str
    link: str
    code: str


def mails_to(address: str) -> list[Mail]:
    """Every mail to an address, oldest first."""
    query = sa.select(Message).join(Contact, Contact.id == Message.contact_id).where(Contact.address_key == address_key(address))
    rows = db.session.scalars(query.order_by(Message.id)).all()
    found = [
        Mail(row.template or "", urlsplit(str(row.fields.get("secret_url", ""))).path, str(row.fields.get("secret_code", "")))
        for row in rows
    ]
    db.session.commit()
    return found


def last_mail_to(address: str) -> Mail:
    """The newest mail to an address."""
    return mails_to(address)[-1]
