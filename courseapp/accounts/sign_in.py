"""Signing in by mail: asking for a link and a code, and what accepting one does.

One rule for the known and the unknown address: both get the same page and one mail, so nothing tells who is a member.
Nobody is signed in by typing an address; reading its mail does it. A guest who asks takes the guest's course along.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask import current_app
from sqlalchemy.orm import joinedload

from courseapp.accounts.models import SignInRequest, User
from courseapp.accounts.people import account_for, user_of_contact
from courseapp.accounts.sessions import end_sessions, hash_of_token
from courseapp.contacts.address import keyed_hash
from courseapp.contacts.consent import log_consent, set_consent
from courseapp.contacts.models import ConsentAction, Contact, Purpose
from courseapp.contacts.people import confirm, hold_contact
from courseapp.extensions import db, insert_later
from courseapp.held import HeldRow
from courseapp.journal import events
from courseapp.mailing.links import full_url
from courseapp.mailing.outbox import enqueue

LIFETIME = timedelta(minutes=15)
CODE_TRIES = 5


@dataclass(frozen=True)
class Accepted:
    """Who is signed in now; a guest whose course may be theirs; whether the address was confirmed for the first time."""

    user: User
    guest: User | None
    is_new: bool


def ask_to_sign_in(
    typed: str,
    *,
    browser: str,
    now: datetime,
    guest: User | None = None,
    purposes: tuple[Purpose, ...] = (),
    network: str | None = None,
    zone: str = "UTC",
    language: str = "en",
) -> None:
    """Mail a link and a code to an address, in the caller's transaction.

    Args:
        browser: the random string in the asking browser's cookie; the code counts only there.
        guest: whose course is to be joined to the address once it is confirmed.
        purposes: consents ticked beside the address; they count once it is confirmed.
    Raises Refusal (400) where `typed` is no address.
    """
    contact = hold_contact(typed, now, zone, language)
    token, code = new_request(contact, browser, now, guest, purposes)
    for purpose in purposes:
        log_consent(contact, purpose, ConsentAction.ASKED, now, "start", network)
    enqueue(
        dedupe_key=f"service:sign-in:{hash_of_token(token)[:40]}",
        stream="sign-in",
        contact_id=contact,
        template="accounts/sign_in",
        fields={"secret_url": full_url("accounts.sign_in_link", token=token), "secret_code": code},
        now=now,
        expires_at=now + LIFETIME,
    )


def new_request(
    contact_id: int | HeldRow,
    browser: str,
    now: datetime,
    guest: User | None = None,
    purposes: tuple[Purpose, ...] = (),
    lifetime: timedelta = LIFETIME,
) -> tuple[str, str]:
    """A fresh link token and code for a contact; a row keeps only their hashes."""
    token, code = secrets.token_urlsafe(32), f"{secrets.randbelow(10**6):06d}"
    token_hash = hash_of_token(token)
    insert_later(
        SignInRequest,
        contact_id=contact_id,
        guest_id=guest.id if guest is not None else None,
        token_hash=token_hash,
        code_mac=keyed_hash("code", f"{token_hash}:{code}"),
        browser_mac=keyed_hash("browser", browser),
        purposes=" ".join(purposes),
        tries=0,
        created_at=now,
        expires_at=now + lifetime,
    )
    return token, code


def request_of_link(token: str, now: datetime) -> SignInRequest | None:
    """The open request of a mailed link; None where it is unknown, used or too old."""
    return db.session.scalar(_open(now).where(SignInRequest.token_hash == hash_of_token(token)))


def request_of_code(typed: str, browser: str, now: datetime) -> SignInRequest | None:
    """The open request whose code was typed in the browser that asked; a wrong one is counted. The caller commits."""
    code = "".join(character for character in typed if character.isdigit())
    query = _open(now).where(SignInRequest.browser_mac == keyed_hash("browser", browser), SignInRequest.tries < CODE_TRIES)
    request = db.session.scalar(query.order_by(SignInRequest.id.desc()).limit(1).with_for_update(of=SignInRequest))
    if request is None:
        return None
    request.tries += 1
    expected = keyed_hash("code", f"{request.token_hash}:{code}")
    return request if secrets.compare_digest(expected, request.code_mac) else None


def accept(request: SignInRequest, current: User | None, now: datetime) -> Accepted | None:
    """Sign in whoever proved to read the address's mail, once; None where another was first.

    An address without an account takes the asking guest over, whose other browsers are signed out: the guest's browser
    need not be the one that reads the mail. An address with an account leaves the guest to be asked about.
    """
    taken = db.session.execute(
        sa.update(SignInRequest).where(SignInRequest.id == request.id, SignInRequest.used_at.is_(None)).values(used_at=now)
    )
    if not taken.rowcount:  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult
        return None
    contact, guest = request.contact, request.guest
    if guest is not None and (not guest.is_guest or guest.disabled_at is not None):
        guest = None
    is_new = confirm(contact, now)
    for purpose in request.purposes.split():
        set_consent(contact, Purpose(purpose), True, now, "start")
    account = user_of_contact(contact)
    if account is None and guest is not None:
        account, guest = _take_over(guest, contact), None
        end_sessions(account, but=current.session_id if current is not None and current == account else None)
    elif account is None:
        account = account_for(contact, now)
    if is_new:
        _welcome(account, contact, now)
    events.record("account_claimed", f"user:{account.id}", now, contact_id=contact.id, user_id=account.id)
    return Accepted(account, guest, is_new)


def _take_over(guest: User, contact: Contact) -> User:
    guest.contact_id = contact.id
    contact.first_name = guest.name
    db.session.flush()
    return guest


def _welcome(user: User, contact: Contact, now: datetime) -> None:
    enqueue(
        dedupe_key=f"service:welcome:{user.id}",
        stream="service",
        contact_id=contact.id,
        template="accounts/welcome",
        fields={"continue_url": full_url(current_app.config["HOME_ENDPOINT"]), "account_url": full_url("accounts.settings")},
        now=now,
    )


def _open(now: datetime) -> sa.Select[SignInRequest]:
    return (
        sa.select(SignInRequest)
        .options(joinedload(SignInRequest.contact), joinedload(SignInRequest.guest))
        .where(SignInRequest.used_at.is_(None), SignInRequest.expires_at > now)
    )
