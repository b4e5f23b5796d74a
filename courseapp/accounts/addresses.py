"""Moving to another address: both addresses say yes, then it happens.

Where staff were told that the old address is lost, the new one alone is asked, and only after a while in which the old one,
told at once, can stop it by one link: else whoever can press staff's button, or talk them into it, would have any account.
"""

import secrets
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import joinedload

from courseapp.accounts.models import AddressChange, SignInRequest, User
from courseapp.accounts.people import user_of_contact
from courseapp.accounts.sessions import end_sessions, hash_of_token
from courseapp.contacts.address import address_key, clean_address
from courseapp.contacts.people import contact_for, move_to_address
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.mailing import forgetting
from courseapp.mailing.links import full_url
from courseapp.mailing.models import Message
from courseapp.mailing.outbox import VoidIf, enqueue

LIFETIME = timedelta(hours=24)
OBJECTION = timedelta(days=2)  # how long an old address that is said to be lost may say no before the new one is asked


def ask_to_move(user: User, typed: str, now: datetime, *, old_is_lost: bool = False) -> str:
    """Mail a link to the present and to the wished address. Raises Refusal (400).

    Whether the wished address has an account shows only to its own reader, so that nobody learns who is a member.
    With `old_is_lost` the new address alone is asked, two days later: staff were told that nobody reads the old one any more.
    Whoever says so here tells the old one, with the token that this returns: its link stops the change.
    """
    address = clean_address(typed)
    contact = user.contact
    if contact is None:
        raise Refusal(_("Please confirm an address first."), 400)
    if address_key(address) == contact.address_key:
        raise Refusal(_("That is the address you have now."), 400)
    wished = contact_for(address, now, contact.zone, contact.language)
    tokens = {"old": secrets.token_urlsafe(32), "new": secrets.token_urlsafe(32)}
    end_moves(user, now)
    asked_at = now + OBJECTION if old_is_lost else now
    db.session.add(
        AddressChange(
            user_id=user.id,
            new_contact_id=wished.id,
            old_token_hash=hash_of_token(tokens["old"]),
            new_token_hash=hash_of_token(tokens["new"]),
            old_confirmed_at=now if old_is_lost else None,
            created_at=now,
            expires_at=asked_at + LIFETIME,
        )
    )
    for side, receiver in (("old", contact), ("new", wished))[old_is_lost:]:
        enqueue(
            dedupe_key=f"service:address-{side}:{hash_of_token(tokens[side])[:40]}",
            stream="sign-in",
            contact_id=receiver.id,
            template=f"accounts/address_{side}",
            fields={"secret_url": full_url("accounts.address_change_link", token=tokens[side])},
            now=now,
            due_at=asked_at,
            expires_at=asked_at + LIFETIME,
            void_if=VoidIf("address_change_ended", _name_of(hash_of_token(tokens["new"]))),
        )
    return tokens["old"]


def end_moves(user: User, now: datetime) -> None:
    """No wish of this person to move holds any more; links that were mailed open nothing, and what has not left never does."""
    for change in db.session.scalars(sa.select(AddressChange).where(AddressChange.user_id == user.id, AddressChange.finished_at.is_(None))):
        events.record("address_change_ended", _name_of(change.new_token_hash), now)
        db.session.delete(change)
    db.session.flush()


def change_of_link(token: str, now: datetime) -> tuple[AddressChange, str] | None:
    """The change a mailed link belongs to and its side (`old` or `new`); None where unknown or too old."""
    hashed = hash_of_token(token)
    change = db.session.scalar(
        sa.select(AddressChange)
        .options(joinedload(AddressChange.user).joinedload(User.contact), joinedload(AddressChange.new_contact))
        .where(sa.or_(AddressChange.old_token_hash == hashed, AddressChange.new_token_hash == hashed), AddressChange.expires_at > now)
    )
    if change is None:
        return None
    return change, "old" if change.old_token_hash == hashed else "new"


def confirm_side(change: AddressChange, side: str, now: datetime) -> bool:
    """Note one address's yes; True once both have said it and the address is changed. All sessions and open links end then.

    Raises Refusal where the new address has an account: to its own reader, as soon as they press the button.
    """
    said = ["old_confirmed_at", "new_confirmed_at", "finished_at"]
    db.session.refresh(change, said, with_for_update=True)  # both may say yes at the same moment
    if side == "new" and change.finished_at is None and user_of_contact(change.new_contact) is not None:
        raise Refusal(_("That address belongs to another account. Sign in with it, or choose another address."))
    if side == "old":
        change.old_confirmed_at = change.old_confirmed_at or now
    else:
        change.new_confirmed_at = change.new_confirmed_at or now
    if change.finished_at is not None:
        return True
    if change.old_confirmed_at is None or change.new_confirmed_at is None:
        return False
    if user_of_contact(change.new_contact) is not None:
        raise Refusal(_("That address belongs to another account. Sign in with it, or choose another address."))
    assert change.user.contact is not None
    forgetting.wipe(Message.contact_id == change.new_contact_id, now)  # nobody would find them when the person is forgotten
    move_to_address(change.user.contact, change.new_contact, now)
    change.finished_at = now
    end_sessions(change.user)
    stale = (change.user.contact_id, change.new_contact_id)  # a link mailed to the old address opens nothing any more
    db.session.execute(sa.delete(SignInRequest).where(SignInRequest.contact_id.in_(stale)))
    events.record("address_changed", f"user:{change.user.id}", now)
    return True


def stop_move(change: AddressChange, now: datetime) -> bool:
    """The old address, said to be lost, says no; False where it comes too late."""
    db.session.refresh(change, ["finished_at"], with_for_update=True)
    if change.finished_at is not None:
        return False
    end_moves(change.user, now)
    return True


def _name_of(token_hash: str) -> str:
    """What the journal calls a change; not by its number, which SQLite gives again."""
    return f"address-change:{token_hash[:20]}"
