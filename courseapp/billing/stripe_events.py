"""The events that Stripe told us of: how each stands, in words, and having one looked at again."""

import enum
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from courseapp.billing.intake import WAKE
from courseapp.billing.models import StripeEvent
from courseapp.extensions import db, wake
from courseapp.journal import events

# What came of an event.
APPLIED, NOTHING, NOT_OURS, FAILED = "applied", "nothing to do", "not ours", "failed"
LATE = timedelta(minutes=10)
"""For so long an event may be open before somebody should know."""


class Shown(enum.StrEnum):
    """Which events a list shows."""

    OPEN = "open"
    FAILED = "failed"


SHOWN_WORDS: dict[Shown, LazyString] = {Shown.OPEN: _l("those still to be worked"), Shown.FAILED: _l("those that were given up")}
RESULT_WORDS: dict[str, LazyString] = {
    APPLIED: _l("worked"),
    NOTHING: _l("worked: there was nothing to do"),
    NOT_OURS: _l("worked: it is about nothing of this site"),
    FAILED: _l("given up"),
}
TYPE_WORDS: dict[str, LazyString] = {
    "checkout.session.completed": _l("Somebody went through with a checkout"),
    "checkout.session.async_payment_succeeded": _l("The money of a checkout arrived"),
    "checkout.session.async_payment_failed": _l("The money of a checkout did not arrive"),
    "checkout.session.expired": _l("Nobody went through with a checkout"),
    "customer.subscription.created": _l("A subscription began"),
    "customer.subscription.updated": _l("A subscription changed"),
    "customer.subscription.deleted": _l("A subscription ended"),
    "customer.subscription.paused": _l("A subscription was paused"),
    "customer.subscription.resumed": _l("A subscription goes on"),
    "customer.subscription.trial_will_end": _l("A trial ends soon"),
    "invoice.paid": _l("An invoice was paid"),
    "invoice.payment_failed": _l("An invoice could not be paid"),
    "invoice.payment_action_required": _l("A bank wants somebody to confirm a payment"),
    "charge.refunded": _l("Money went back"),
    "refund.created": _l("A refund was begun"),
    "refund.updated": _l("A refund changed"),
    "refund.failed": _l("A refund did not arrive"),
    "charge.dispute.created": _l("Somebody disputes a payment"),
    "charge.dispute.updated": _l("A dispute changed"),
    "charge.dispute.closed": _l("A dispute was decided"),
}


def words_of_type(type: str) -> str:
    """What an event says happened; the type itself for one without words."""
    return str(TYPE_WORDS.get(type, type))


def words_of_standing(event: StripeEvent, now: datetime) -> str:
    """How an event stands."""
    if event.processed_at is not None:
        return str(RESULT_WORDS.get(event.result or "", RESULT_WORDS[APPLIED]))
    if not event.attempts:
        return str(_("waits to be worked"))
    return str(_("is tried again") if event.due_at > now else _("is about to be tried again"))


def events_before(shown: Shown | None, before: int | None, limit: int) -> Sequence[StripeEvent]:
    """The newest events, or those before one; of one kind where that is asked for."""
    query = sa.select(StripeEvent).order_by(StripeEvent.id.desc()).limit(limit)
    if shown is Shown.OPEN:
        query = query.where(StripeEvent.processed_at.is_(None))
    elif shown is Shown.FAILED:
        query = query.where(StripeEvent.result == FAILED)
    return db.session.scalars(query.where(StripeEvent.id < before) if before is not None else query).all()


def event_named(stripe_id: str) -> StripeEvent | None:
    """An event by its id at Stripe."""
    return db.session.scalar(sa.select(StripeEvent).where(StripeEvent.stripe_id == stripe_id))


def replay(event: StripeEvent, by: int, now: datetime) -> None:
    """Have an event looked at again, as if it had just come. What it is about is asked of Stripe anew, so that can do no harm."""
    event.processed_at, event.result, event.problem, event.attempts, event.due_at = None, None, None, 0, now
    events.record("stripe_event_replayed", "billing:0", now, event=event.stripe_id, by=by)
    wake(WAKE)


def count_late(now: datetime) -> int:
    """How many events have been open for too long."""
    query = sa.select(sa.func.count()).select_from(StripeEvent)
    return db.session.scalar(query.where(StripeEvent.processed_at.is_(None), StripeEvent.received_at < now - LATE)) or 0
