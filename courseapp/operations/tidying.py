"""What is kept only for a while goes when its time is over. The times stand in docs/privacy.md."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from courseapp import storage
from courseapp.accounts.models import AddressChange, LoginSession, SignInRequest, User
from courseapp.accounts.sessions import IDLE
from courseapp.authoring import parts, preparing, uploads
from courseapp.billing.claiming import has_bought, was_paid_with
from courseapp.billing.models import Reconciliation, StripeEvent
from courseapp.campaigns import contact_exports, contact_imports
from courseapp.campaigns.models import SequenceRun
from courseapp.contacts import privacy as contacts_privacy
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.mailing import privacy as mailing
from courseapp.mailing.forgetting import forget_old
from courseapp.operations.questions import forget_answered, forget_questions_of
from courseapp.organisation.models import Invitation, OwnerLink

REQUESTS = timedelta(days=2)
IDLE_GUESTS = timedelta(days=120)
GONE = timedelta(days=30)  # so long the worker may stand still
UNCONFIRMED = timedelta(days=14)
HALF_FILES = timedelta(days=1)
WORKED = timedelta(days=90)  # events of Stripe's
REPORTS = timedelta(days=365)  # on comparing with Stripe
AT_ONCE = 1000  # people


def tidy(now: datetime) -> dict[str, int]:
    """Delete what has had its time; how many of each. What is left of very much goes with the next ticks."""
    gone = sa.select(Contact.id).where(Contact.erased_at > now - GONE)  # by moving to their address, which knows no higher room
    deletions = {
        "runs of nobody": sa.delete(SequenceRun).where(SequenceRun.contact_id.in_(gone)),
        "invitations of nobody": sa.delete(Invitation).where(Invitation.contact_id.in_(gone)),
        "requests": sa.delete(SignInRequest).where(SignInRequest.created_at < now - REQUESTS),
        "invitations": sa.delete(Invitation).where(Invitation.expires_at < now - REQUESTS),
        "owner links": sa.delete(OwnerLink).where(OwnerLink.expires_at < now - REQUESTS),
        "changes": sa.delete(AddressChange).where(AddressChange.expires_at < now - REQUESTS),
        "events of Stripe": sa.delete(StripeEvent).where(StripeEvent.processed_at < now - WORKED),
        "comparisons with Stripe": sa.delete(Reconciliation).where(Reconciliation.began_at < now - REPORTS),
        "sessions": sa.delete(LoginSession).where(sa.or_(LoginSession.expires_at < now, LoginSession.last_seen_at < now - IDLE)),
    }
    counts = {
        "addresses": forget_unconfirmed(now),
        "questions": forget_answered(now),
        "mails": forget_old(now),
        "uploads": uploads.sweep(now),
        "parts": parts.sweep(now),
        "orphans": uploads.sweep_orphans(),
        "prepared files": preparing.sweep(now),
        "left folders": preparing.sweep_workplace(),
        "files of contacts": contact_imports.sweep(now) + contact_exports.sweep(now) + contact_imports.sweep_files(),
        "half files": storage.sweep(HALF_FILES.total_seconds()),
    }
    for name, statement in deletions.items():
        counts[name] = db.session.execute(statement.execution_options(synchronize_session=False)).rowcount  # type: ignore[attr-defined]  # a DELETE gives a CursorResult
    counts["guests"] = forget_guests(now)  # after the sessions, by which one could come back
    return counts


def forget_guests(now: datetime) -> int:
    """Erase guests nobody can come back to, but those who paid for something; how many.

    No record is kept of it: who is restored by a backup is idle again.
    """
    can_come_back = sa.select(LoginSession.id).where(LoginSession.user_id == User.id).exists()
    idle = sa.select(User.id).where(User.contact_id.is_(None), User.created_at < now - IDLE_GUESTS, ~can_come_back, ~has_bought())
    ids = db.session.scalars(idle.limit(AT_ONCE)).all()
    forget_questions_of(ids, now)
    events.cut([f"user:{number}" for number in ids])
    db.session.execute(sa.delete(User).where(User.id.in_(ids)).execution_options(synchronize_session=False))
    return len(ids)


def forget_unconfirmed(now: datetime) -> int:
    """Erase addresses that somebody typed and nobody confirmed, but those that were paid with; how many."""
    query = sa.select(Contact).where(Contact.confirmed_at.is_(None), Contact.erased_at.is_(None), Contact.created_at < now - UNCONFIRMED)
    contacts = db.session.scalars(query.where(~was_paid_with()).limit(AT_ONCE)).all()
    for contact in contacts:
        mailing.erase(contact.id, now)
        contacts_privacy.erase(contact, now)
    return len(contacts)
