"""Inviting people to run the site: an offer of roles by mail, accepted by whoever reads that mail."""

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import joinedload

from courseapp.accounts.addresses import end_moves
from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.accounts.people import account_for, grant_role
from courseapp.accounts.sessions import end_sessions, hash_of_token
from courseapp.columns import random_public_id
from courseapp.contacts.people import confirm, contact_for
from courseapp.errors import Refusal
from courseapp.extensions import db, insert
from courseapp.journal import events
from courseapp.mailing.links import full_url
from courseapp.mailing.outbox import VoidIf, enqueue
from courseapp.organisation.models import Invitation
from courseapp.organisation.owner_link import end_owner_links, has_owner

LIFETIME = timedelta(days=7)


def invite(typed: str, roles: Iterable[Role], by: User | None, now: datetime, zone: str = "UTC", language: str = "en") -> None:
    """Mail an offer of roles to an address; an open one to the same address is withdrawn by it.

    Args:
        by: the owner who invites; None for the first owner, who comes by the owner's link.
    Raises Refusal (400) where `typed` is no address or no role is named.
    """
    wanted = sorted({role.value for role in roles})
    if not wanted:
        raise Refusal(_("Please tick at least one role."), 400)
    contact = contact_for(typed, now, zone, language)
    for earlier in db.session.scalars(_open(now).where(Invitation.contact_id == contact.id)).all():
        withdraw(earlier, by, now)
    token = secrets.token_urlsafe(32)
    hashed = hash_of_token(token)
    facts = {"contact_id": contact.id, "invited_by_id": by.id if by else None, "roles": " ".join(wanted), "token_hash": hashed}
    invitation_id = insert(Invitation, public_id=random_public_id(), created_at=now, expires_at=now + LIFETIME, **facts)
    subject = f"invitation:{invitation_id}"
    events.record("staff_invited", subject, now, roles=wanted, by=by.id if by else None)
    enqueue(
        dedupe_key=f"service:invitation:{hashed[:40]}",
        stream="sign-in",  # it reaches an address nobody has confirmed yet
        contact_id=contact.id,
        template="organisation/invitation",
        fields={"secret_url": full_url("entrance.invitation", token=token)},
        now=now,
        expires_at=now + LIFETIME,
        void_if=VoidIf("invitation_withdrawn", subject),
    )


def open_invitations(now: datetime) -> Sequence[Invitation]:
    """Offers that wait for an answer, newest first."""
    return db.session.scalars(_open(now).order_by(Invitation.id.desc())).all()


def invitation_of_link(token: str, now: datetime) -> Invitation | None:
    """The open offer of a mailed link; None where it is unknown, answered, withdrawn or too old."""
    return db.session.scalar(_open(now).where(Invitation.token_hash == hash_of_token(token)))


def invitation_of(public_id: str, now: datetime) -> Invitation | None:
    """An open offer by its id in addresses."""
    return db.session.scalar(_open(now).where(Invitation.public_id == public_id))


def withdraw(invitation: Invitation, by: User | None, now: datetime) -> bool:
    """Take an offer back; its mail, if it has not left yet, never does. False where it was accepted a moment before."""
    if not _end(invitation, withdrawn_at=now):
        return False
    events.record("invitation_withdrawn", f"invitation:{invitation.id}", now, by=by.id if by else None)
    return True


def accept(invitation: Invitation, now: datetime) -> User | None:
    """Confirm the address and grant the roles, once; the account, or None where the offer no longer holds.

    The first owner's offer holds only while nobody is an owner: two people may have used two links. All such offers are
    locked, so of two who accept at once one waits and then finds an owner.
    """
    is_first = invitation.invited_by_id is None
    if is_first:
        db.session.execute(sa.select(Invitation.id).where(Invitation.invited_by_id.is_(None)).order_by(Invitation.id).with_for_update())
        if has_owner():
            return None
    if not _end(invitation, accepted_at=now):
        return None
    confirm(invitation.contact, now)
    user = account_for(invitation.contact, now)
    if user.disabled_at is not None:
        return None
    end_sessions(user)  # those of staff are shorter, and begin anew
    end_moves(user, now)  # nobody with a role moves without their old address, also where it was asked for before
    for role in invitation.role_list:
        grant_role(user, role, now)
        events.record("role_granted", f"user:{user.id}", now, role=role.value, by=invitation.invited_by_id)
    if is_first:
        end_owner_links()
    return user


def _end(invitation: Invitation, **how: datetime) -> bool:
    """Accept or withdraw in one statement, so that it is never both; False where it has ended already."""
    still = (Invitation.id == invitation.id, Invitation.accepted_at.is_(None), Invitation.withdrawn_at.is_(None))
    return bool(db.session.execute(sa.update(Invitation).where(*still).values(**how)).rowcount)  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult


def _open(now: datetime) -> sa.Select[Invitation]:
    """Offers that still hold: an owner's only while they are one, else whoever is about to lose the role invites themselves first."""
    is_owner = (RoleGrant.user_id == Invitation.invited_by_id, RoleGrant.role == Role.OWNER, User.disabled_at.is_(None))
    by_owner = sa.select(RoleGrant.id).join(User, User.id == RoleGrant.user_id).where(*is_owner).exists()
    still = (Invitation.accepted_at.is_(None), Invitation.withdrawn_at.is_(None), Invitation.expires_at > now)
    return sa.select(Invitation).options(joinedload(Invitation.contact)).where(*still, sa.or_(Invitation.invited_by_id.is_(None), by_owner))
