"""What about money somebody must look at, by short codes: noted in the journal, of which owners are told by mail."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from courseapp.extensions import db
from courseapp.journal import events
from courseapp.journal.models import Event

NEEDED = "billing_needs_attention"
SUBJECT = "billing:0"
QUIET = timedelta(days=1)
"""For so long the same is not said again."""
ATTENTION_WORDS: dict[str, LazyString] = {
    "unknown_status": _l("A subscription has a status that this version does not know. What it opened stays open."),
    "unknown_price": _l("A subscription has a price that is none of ours. Its tier stays as it was."),
    "key_refused": _l("Stripe refused the secret key. Nothing can be bought, and nothing that Stripe tells can be looked at."),
    "event_failed": _l("An event of Stripe’s could not be worked, and is tried no more by itself."),
    "no_owner": _l("Somebody pays for a subscription, and it is not known who."),
    "part_refunded": _l("A part of a payment went back. What it opened stays open."),
    "reconcile_found": _l("Comparing with Stripe found differences that somebody must decide about."),
    "second_customer": _l("One person subscribes twice, as two customers at Stripe."),
    "second_subscription": _l("One person pays for two subscriptions at once. Ask which they want, and end the other at Stripe."),
    "dispute_opened": _l("Somebody disputes a payment. What it opened is closed until their bank decides. Answer at Stripe in time."),
}
"""Code → what has happened, in words that name nobody and no course."""


def need_attention(what: str, now: datetime, **ids: int | str | None) -> bool:
    """Note that somebody must look at something; False where the very same was noted within a day.

    Args:
        what: a code of `ATTENTION_WORDS`.
        ids: which one it is, ours or Stripe's; those that are None are left out.
    """
    if what not in ATTENTION_WORDS:
        raise ValueError(f"{what} has no words in ATTENTION_WORDS")
    facts: dict[str, Any] = {"what": what, **{name: str(value) for name, value in ids.items() if value is not None}}
    said = [Event.data[name].as_string() == value for name, value in facts.items()]
    if db.session.scalar(sa.select(events.has_happened(NEEDED, SUBJECT, Event.at > now - QUIET, *said))):
        return False
    events.record("billing_needs_attention", SUBJECT, now, **facts)
    return True
