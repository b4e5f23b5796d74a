"""Addresses inside mails: full ones, and the signed ones that need no sign-in."""

import hashlib
from functools import lru_cache
from typing import Any

from flask import current_app
from itsdangerous import BadSignature, URLSafeSerializer

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
    return _signer(current_app.config["SECRET_KEY"]).dumps([contact_public_id, purpose])


def contact_of_token(token: str) -> tuple[str, str] | None:
    """The (contact's public id, purpose) of a mail token, or None where it is not ours."""
    try:
        public_id, purpose = _signer(current_app.config["SECRET_KEY"]).loads(token)
    except (BadSignature, ValueError, TypeError):
        return None
    return public_id, purpose


@lru_cache
def _signer(secret: str) -> URLSafeSerializer:
    return URLSafeSerializer(secret, salt="mail-preferences", signer_kwargs={"digest_method": hashlib.sha256})
