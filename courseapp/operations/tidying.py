"""What is kept only for a while goes when its time is over. The times stand in docs/privacy.md."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from courseapp import storage
from courseapp.accounts.models import AddressChange, LoginSession, SignInRequest, User
from courseapp.accounts.sessions import IDLE
from courseapp.authoring import uploads
from courseapp.contacts import privacy as contacts_privacy
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.mailing import privacy as mailing
from courseapp.operations.questions import forget_answered
from courseapp.organisation.models import Invitation, OwnerLink

REQUESTS = timedelta(days=2)
IDLE_GUESTS = timedelta(days=120)
UNCONFIRMED = timedelta(days=14)
HALF_FILES = timedelta(days=1)


def tidy(now: datetime) -> dict[str, int]:
    """Delete spent sign-in requests, ended sessions, long answered questions, and guests nobody can come back to; how many of each."""
    last_seen = sa.select(LoginSession.id).where(LoginSession.user_id == User.id).exists()
    deletions = {
        "requests": sa.delete(SignInRequest).where(SignInRequest.created_at < now - REQUESTS),
        "invitations": sa.delete(Invitation).where(Invitation.expires_at < now - REQUESTS),
        "owner links": sa.delete(OwnerLink).where(OwnerLink.expires_at < now - REQUESTS),
        "changes": sa.delete(AddressChange).where(AddressChange.expires_at < now - REQUESTS),
        "sessions": sa.delete(LoginSession).where(sa.or_(LoginSession.expires_at < now, LoginSession.last_seen_at < now - IDLE)),
        "guests": sa.delete(User).where(User.contact_id.is_(None), User.created_at < now - IDLE_GUESTS, ~last_seen),
    }
    counts = {
        "addresses": forget_unconfirmed(now),
        "questions": forget_answered(now),
        "uploads": uploads.sweep(now),
        "half files": storage.sweep(HALF_FILES.total_seconds()),
    }
    for name, statement in deletions.items():
        counts[name] = db.session.execute(statement.execution_options(synchronize_session=False)).rowcount  # type: ignore[attr-defined]  # a DELETE gives a CursorResult
    return counts


def forget_unconfirmed(now: datetime) -> int:
    """Erase addresses that somebody typed and nobody confirmed; how many."""
    query = sa.select(Contact).where(Contact.confirmed_at.is_(None), Contact.erased_at.is_(None), Contact.created_at < now - UNCONFIRMED)
    contacts = db.session.scalars(query.limit(1000)).all()
    for contact in contacts:
        mailing.erase(contact.id, now)
        contacts_privacy.erase(contact, now)
    return len(contacts)
