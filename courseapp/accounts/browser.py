"""This browser: the session it is signed in with, the key that ties a code to it, and how often it may cause mail."""

import secrets
from collections.abc import Callable
from typing import Any

from flask import request, session
from flask_login import current_user, login_user

from courseapp import clock
from courseapp.accounts import sessions
from courseapp.accounts.models import User
from courseapp.contacts.address import keyed_hash
from courseapp.extensions import limiter

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def address_of_form() -> str:
    """The key of per-address rate limits: a hash of what was typed."""
    return keyed_hash("limit", typed_address().casefold())[:32]


def typed_address() -> str:
    """The address to which this form would have a mail sent; empty for none."""
    return (request.form.get("address") or request.form.get("new_address") or "").strip()


def has_no_address() -> bool:
    """Whether the form asks for no mail, so that no limit on mail applies."""
    return not typed_address()


per_address: Decorator = limiter.shared_limit(
    "5 per 15 minutes; 12 per day", scope="mail-to-address", key_func=address_of_form, methods=["POST"], exempt_when=has_no_address
)
per_network: Decorator = limiter.shared_limit("60 per hour", scope="mail-from-network", methods=["POST"])


def browser_key() -> str:
    """The random string that ties a code to the browser that asked for it."""
    if "browser" not in session:
        session["browser"] = secrets.token_urlsafe(24)
    return str(session["browser"])


def note_source() -> None:
    """Keep the word of the link by which this browser came, until it starts; the latest counts."""
    if word := request.args.get("from", "", str)[:30]:
        session["from"] = word


def begin_session(user: User) -> None:
    """Sign this browser in: a new session row, a new token, the old one ended. The caller commits."""
    if current_user.is_authenticated:
        sessions.end_session(current_user.session_id)
    sessions.open_session(user, clock.now(), sessions.device_words(request.user_agent.string))
    kept = {name: session[name] for name in ("browser",) if name in session}
    session.clear()
    session.update(kept)
    session.permanent = True
    if user.contact is not None:
        session["zone"] = user.contact.zone
    login_user(user)
