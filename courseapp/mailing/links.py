"""Addresses inside mails: full ones, and the signed ones that need no sign-in."""

import hashlib
from functools import lru_cache
from typing import Any, NamedTuple

from flask import current_app
from itsdangerous import BadSignature, Signer, URLSafeSerializer

SALT = "mail-preferences"
MARK = "the-token-goes-here"


def full_url(endpoint: str, **values: Any) -> str:
    """The address of a page as a mail has it; needs no request."""
    path = current_app.url_map.bind("").build(endpoint, values)
    return f"{current_app.config['PUBLIC_URL']}{path}"


def url_with_token(endpoint: str, token: str) -> str:
    """The address of a page named by a mail token. Its pattern is built once: every mail has two."""
    return _pattern(current_app.config["PUBLIC_URL"], endpoint).replace(MARK, token)


@lru_cache
def _pattern(_site: str, endpoint: str) -> str:
    return full_url(endpoint, token=MARK)


class MailToken(NamedTuple):
    """What a mail token says: whose mail, of which purpose, and to which address it went, by the mark of that."""

    contact: str
    purpose: str
    mark: str

    def is_of_address(self, address_mac: str | None) -> bool:
        """Whether the mail went to this address: else it lies in a mailbox that somebody left, whose reader may only stop."""
        return bool(self.mark) and self.mark == mark_of_address(address_mac)


def mark_of_address(address_mac: str | None) -> str:
    """As much of an address's keyed hash as tells one address of a person from another."""
    return (address_mac or "")[:12]


def mail_token(contact_public_id: str, purpose: str, address_mac: str | None = None) -> str:
    """A token that lets whoever reads the mail change what mail comes; without the address's hash, only stop it.

    It never expires: an old mail must still stop.
    """
    return _signer(current_app.config["SECRET_KEY"]).sign(f"{contact_public_id}.{purpose}.{mark_of_address(address_mac)}").decode()


def contact_of_token(token: str) -> MailToken | None:
    """What a mail token says, or None where it is not ours."""
    secret = current_app.config["SECRET_KEY"]
    try:
        public_id, purpose, *mark = _signer(secret).unsign(token).decode().split(".")
    except (BadSignature, ValueError):
        return _contact_of_old_token(secret, token)
    return MailToken(public_id, purpose, "".join(mark))


def _contact_of_old_token(secret: str, token: str) -> MailToken | None:
    """As mails had them until December 2026; people keep mails for years, and they must still stop."""
    try:
        public_id, purpose = URLSafeSerializer(secret, salt=SALT, signer_kwargs={"digest_method": hashlib.sha256}).loads(token)
    except (BadSignature, ValueError, TypeError):
        return None
    return MailToken(public_id, purpose, "")


@lru_cache
def _signer(secret: str) -> Signer:
    signer = Signer(secret, salt=f"{SALT}-2", digest_method=hashlib.sha256)
    key = signer.derive_key()
    return Signer(key, salt=f"{SALT}-2", digest_method=hashlib.sha256, key_derivation="none")  # derived once, not once a mail
