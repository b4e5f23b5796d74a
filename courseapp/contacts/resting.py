"""A pause that somebody takes from their mail: it ends by itself, and they can end it earlier. Service mail knows nothing of it."""

from datetime import datetime, timedelta

from courseapp.contacts.models import Contact
from courseapp.journal import events

PAUSE = timedelta(days=30)
LOOK_AGAIN = timedelta(days=1)


def begin_pause(contact: Contact, now: datetime) -> None:
    """From now on no mail but what they ask for themselves, for 30 days; one that has begun goes on to its own end."""
    if not is_resting(contact, now):
        contact.mail_paused_until = now + PAUSE
        events.record("mail_paused", f"contact:{contact.id}", now)


def end_pause(contact: Contact, now: datetime) -> bool:
    """Write to them again from now on; False where there is no pause. The moment stays, so that what has waited does not come at once."""
    if not is_resting(contact, now):
        return False
    contact.mail_paused_until = now
    events.record("mail_pause_ended", f"contact:{contact.id}", now)
    return True


def is_resting(contact: Contact, now: datetime) -> bool:
    """Whether they have paused their mail."""
    return contact.mail_paused_until is not None and contact.mail_paused_until > now


def rest_ends(contact: Contact, now: datetime) -> datetime:
    """When to look again at somebody who rests: they may end their pause earlier."""
    assert contact.mail_paused_until is not None
    return min(contact.mail_paused_until, now + LOOK_AGAIN)
