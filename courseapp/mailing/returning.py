"""Addresses that mail comes back to, each with a MAC: the envelope's sender of a message (VERP), and where to write to have mail stop.

All in lower case, for servers on the way fold, and at most 64 characters before the @ (RFC 5321, 4.5.3.1.1).
"""

import hmac
import re
from typing import Any
from urllib.parse import quote

from flask import current_app

from courseapp.contacts.address import keyed_hash
from courseapp.contacts.models import Purpose

MAILBOX = "bounces"  # what is written before the + (RFC 5233)
MARK_NAME = "message"  # of the mark among what Postmark and Mailgun give back
MAC = 20  # hex characters, 80 bits
BOUNCE = re.compile(rf"\bb-([2-9a-z]{{16}})-([0-9a-f]{{{MAC}}})\b", re.IGNORECASE | re.ASCII)
STOP = re.compile(rf"\bstop-([2-9a-z]{{16}})-(course|marketing)-([0-9a-f]{{{MAC}}})\b", re.IGNORECASE | re.ASCII)


class Forged(Exception):
    """A return address whose MAC is not ours."""


def return_path(public_id: str) -> str:
    """The envelope's sender of a message: one of its own where a bounce domain is set."""
    settings: Any = current_app.config["SETTINGS"]
    return f"{MAILBOX}+{return_mark(public_id)}@{settings.bounce_domain}" if settings.bounce_domain else str(settings.sender)


def return_mark(public_id: str) -> str:
    """What names a message in its return address, and proves that we sent it."""
    return f"b-{public_id}-{keyed_hash('bounce', public_id)[:MAC]}"


def stop_link(contact_public_id: str, purpose: Purpose) -> str:
    """The `mailto:` that has mail of a purpose stop (RFC 2369, 3.2): the mark in the address where that leads back, else in the subject."""
    settings: Any = current_app.config["SETTINGS"]
    mark = f"stop-{contact_public_id}-{purpose.value}-{_stop_mac(contact_public_id, purpose.value)}"
    if settings.bounce_domain:
        return f"mailto:{MAILBOX}+{mark}@{settings.bounce_domain}?subject=stop"
    return f"mailto:{quote(str(settings.sender), safe='@')}?subject={mark}"


def message_returned(places: tuple[str, ...]) -> str | None:
    """The public id of the message whose return address stands in one of these; None where none does. Raises Forged."""
    marks = [match for place in places for match in BOUNCE.finditer(place)]
    for match in marks:
        public_id, mac = match[1].lower(), match[2].lower()
        if _is_same(mac, keyed_hash("bounce", public_id)[:MAC]):
            return public_id
    if marks:
        raise Forged
    return None


def stop_asked(places: tuple[str, ...]) -> tuple[str, Purpose] | None:
    """Whose mail of which purpose is to stop, by a mark in one of these: the contact's public id and the purpose. Raises Forged."""
    marks = [match for place in places for match in STOP.finditer(place)]
    for match in marks:
        public_id, purpose, mac = match[1].lower(), match[2].lower(), match[3].lower()
        if _is_same(mac, _stop_mac(public_id, purpose)):
            return public_id, Purpose(purpose)
    if marks:
        raise Forged
    return None


def _stop_mac(contact_public_id: str, purpose: str) -> str:
    return keyed_hash("stop", f"{contact_public_id}:{purpose}")[:MAC]


def _is_same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(), right.encode())
