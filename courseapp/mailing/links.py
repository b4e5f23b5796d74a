"""Addresses inside mails: full ones, and the signed ones that need no sign-in."""

import hashlib
from functools import lru_cache
from typing import Any

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


def mail_token(contact_public_id: str, purpose: str) -> str:
    """A token that lets whoever reads the mail change what mail comes. It never expires: an old mail must still stop."""
    return _signer(current_app.config["SECRET_KEY"]).sign(f"{contact_public_id}.{purpose}").decode()


def contact_of_token(token: str) -> tuple[str, str] | None:
    """The (contact's public id, purpose) of a mail token, or None where it is not ours."""
    secret = current_app.config["SECRET_KEY"]
    try:
        public_id, _point, purpose = _signer(secret).unsign(token).decode().partition(".")
    except (BadSignature, UnicodeDecodeError):
        return _contact_of_old_token(secret, token)
    return public_id, purpose


def _contact_of_old_token(secret: str, token: str) -> tuple[str, str] | None:
    """As mails had them until December 2026; people keep mails for years, and they must still stop."""
    try:
        public_id, purpose = URLSafeSerializer(secret, salt=SALT, signer_kwargs={"digest_method": hashlib.sha256}).loads(token)
    except (BadSignature, ValueError, TypeError):
        return None
    return public_id, purpose


@lru_cache
def _signer(secret: str) -> Signer:
    signer = Signer(secret, salt=f"{SALT}-2", digest_method=hashlib.sha256)
    key = signer.derive_key()
    return Signer(key, salt=f"{SALT}-2", digest_method=hashlib.sha256, key_derivation="none")  # derived once, not once a mail
