"""This browser: the session it is signed in with, the key that ties a code to it, and how often it may cause mail."""

import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import request, session
from flask_babel import gettext as _
from flask_login import current_user, login_user

from courseapp import clock
from courseapp.accounts import sessions
from courseapp.accounts.models import User
from courseapp.contacts.address import address_key, clean_address, keyed_hash
from courseapp.contacts.models import Contact
from courseapp.errors import Refusal
from courseapp.extensions import limiter
from courseapp.site import present_site

View = Callable[..., Any]
Decorator = Callable[[View], View]
FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}


def key_of_field(field: str) -> str:
    """The key of limits by address: a hash of the address in a field of this form, as it would be kept; of any other text, that text."""
    typed = _typed(field)
    try:
        address = clean_address(typed)
    except Refusal:
        address = typed
    return keyed_hash("limit", address_key(address))[:32]


def only_forms(view: View) -> View:
    """Refuse what is no form: limits by address read the form, and Flask-WTF would take the same fields from JSON past them."""

    @wraps(view)
    def with_form(*args: Any, **values: Any) -> Any:
        if request.mimetype and request.mimetype not in FORMS:
            raise Refusal(_("This page takes forms alone. Please go back, reload it and send it from there. Nothing was changed."), 400)
        return view(*args, **values)

    return with_form


def _per_address(field: str) -> Decorator:
    """How often an address may be mailed to, whichever form asks for it; a form without one asks for no mail."""
    limit: Decorator = limiter.shared_limit(
        "5 per 15 minutes; 12 per day",
        scope="mail-to-address",
        key_func=lambda: key_of_field(field),
        methods=["POST"],
        exempt_when=lambda: not _typed(field),
    )
    return lambda view: only_forms(limit(view))


def _typed(field: str) -> str:
    return request.form.get(field, "").strip()


per_address = _per_address("address")
per_new_address = _per_address("new_address")
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
    kept = {name: session[name] for name in ("browser", "language") if name in session}
    session.clear()
    session.update(kept)
    session.permanent = True
    if user.contact is not None:
        session["zone"] = user.contact.zone
        _agree_on_language(user.contact)
    login_user(user)


def _agree_on_language(contact: Contact) -> None:
    """What was chosen in this browser holds for mails too; else what somebody's mails are in, unless it is what everybody's are."""
    if "language" in session:
        contact.language = session["language"]
    elif contact.language != present_site().default_language:
        session["language"] = contact.language
