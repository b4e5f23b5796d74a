"""Asking an address once whether it agrees: double opt-in, for forms on other sites and for contacts that were brought in.

The link needs no sign-in and no row: what it says is signed. It opens a page, and its button gives the consent. Whoever has never
confirmed their address gets one such mail and no second one for as long as the address is known, which is 14 days without an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import sqlalchemy as sa
from flask import current_app
from itsdangerous import BadData, URLSafeSerializer

from courseapp.campaigns.models import ContactImport
from courseapp.contacts.consent import log_consent, set_consent
from courseapp.contacts.models import ConsentAction, Contact, Purpose, SuppressionReason
from courseapp.contacts.people import confirm, contact_for
from courseapp.contacts.suppression import suppression_of
from courseapp.extensions import db
from courseapp.mailing import bulk
from courseapp.mailing.links import full_url, mark_of_address
from courseapp.mailing.models import Stream
from courseapp.mailing.outbox import enqueue

LIFETIME = timedelta(days=14)  # after which an address that nobody confirmed is forgotten
TEMPLATE = "campaigns/agree"
LETTERS = {Purpose.COURSE: "c", Purpose.MARKETING: "m"}
PURPOSES = {letter: purpose for purpose, letter in LETTERS.items()}


@dataclass(frozen=True)
class Asked:
    """What the link of such a mail says: who was asked for which purposes, where, and when, at which address (its mark)."""

    contact_public_id: str
    address_mark: str
    purposes: tuple[Purpose, ...]
    source: str
    at: datetime


def ask(typed: str, purposes: Sequence[Purpose], source: str, now: datetime, *, network: str | None, language: str, zone: str) -> None:
    """Mail an address the question whether it agrees. The caller commits. Raises Refusal (400) for no address."""
    contact = contact_for(typed, now, zone, language)
    stopped = suppression_of(contact.address_mac)
    has_complained = stopped is not None and stopped.reason is SuppressionReason.COMPLAINED
    for purpose in purposes:  # also where it was given: what is done, and how long it takes, is the same for everybody
        log_consent(contact.id, purpose, ConsentAction.ASKED, now, source, network)
    once = f":{now:%Y-%m-%d}" if contact.is_confirmed else ""  # of an address that nobody has confirmed: one, and no second
    enqueue(
        dedupe_key=f"service:agree:{contact.id}{once}",
        stream="sign-in",
        contact_id=contact.id,
        template=TEMPLATE,
        fields={"secret_url": link_for(Asked(contact.public_id, mark_of_address(contact.address_mac), tuple(purposes), source, now))},
        now=now,
        # whoever complained is asked no more, since anybody may have typed this; here too all is done as for everybody
        expires_at=now if has_complained else now + LIFETIME,
    )


def ask_many(found: ContactImport, people: Sequence[tuple[int, str, str, Sequence[Purpose]]], source: str, now: datetime) -> int:
    """The same for people that were brought in, by id, public id and the hash of their address. How many are asked.

    In a stream of the import's own: it can be paused, pauses itself where too much comes back, and nobody waits for it who wants to
    sign in.
    """
    if not people:
        return 0
    if found.stream_id is None:
        found.stream_id = bulk.new_stream(f"import-{found.id}", Purpose.SERVICE, reaches_unconfirmed=True).id
        db.session.flush()
    stream = db.session.get_one(Stream, found.stream_id)
    mails = [
        (
            f"service:agree:{contact_id}",
            contact_id,
            {"secret_url": link_for(Asked(public_id, mark_of_address(mac), tuple(purposes), source, now))},
        )
        for contact_id, public_id, mac, purposes in people
    ]
    bulk.enqueue_filled(stream, TEMPLATE, mails, now, now + LIFETIME)
    return len(mails)


def agree(asked: Asked, now: datetime, network: str | None) -> Contact | None:
    """Whoever reads the address's mail says yes; None where the address is gone or the link too old. The caller commits.

    Saying it twice changes nothing.
    """
    contact = contact_asked(asked, now)
    if contact is not None:
        confirm(contact, now)
        for purpose in asked.purposes:
            set_consent(contact, purpose, True, now, asked.source, network)
    return contact


def contact_asked(asked: Asked, now: datetime) -> Contact | None:
    """Who was asked; None where it is too long ago, the address is gone, or is another now: the mail lies in a mailbox that they left."""
    if now >= asked.at + LIFETIME:
        return None
    contact = db.session.scalar(sa.select(Contact).where(Contact.public_id == asked.contact_public_id, Contact.erased_at.is_(None)))
    return contact if contact is not None and asked.address_mark == mark_of_address(contact.address_mac) else None


def link_for(asked: Asked) -> str:
    """The address in the mail."""
    letters = "".join(LETTERS[purpose] for purpose in asked.purposes)
    token = _signer().dumps([asked.contact_public_id, asked.address_mark, letters, asked.source, int(asked.at.timestamp())])
    return full_url("signup.confirm", token=token)


def asked_in(token: str) -> Asked | None:
    """What a link says, however old it is; None where it is not ours."""
    try:
        public_id, mark, letters, source, at = _signer().loads(token)
    except (BadData, ValueError):
        return None
    return Asked(public_id, mark, tuple(PURPOSES[letter] for letter in letters), source, datetime.fromtimestamp(at, UTC))


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt="agree", signer_kwargs={"digest_method": sha256})
