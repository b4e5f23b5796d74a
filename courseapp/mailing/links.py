"""Addresses inside mails: full ones, and the signed ones that need no sign-in."""

from typing import Any

from flask import current_app
from itsdangerous import BadSignature, URLSafeSerializer

from courseapp.contacts.models import Contact


def full_url(endpoint: str, **values: Any) -> str:
    """The address of a page as a mail has it; needs no request."""
    path = current_app.url_map.bind("").build(endpoint, values)
    return f"{current_app.config['PUBLIC_URL']}{path}"


def mail_token(contact: Contact, purpose: str) -> str:
    """A token that lets whoever reads the mail change what mail comes. It never expires: an old mail must still stop."""
    return _signer().dumps([contact.public_id, purpose])


def contact_of_token(token: str) -> tuple[str, str] | None:
    """The (contact's public id, purpose) of a mail token, or None where it is not ours."""
    try:
        public_id, purpose = _signer().loads(token)
    except (BadSignature, ValueError, TypeError):
        return None
    return public_id, purpose


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt="mail-preferences")
