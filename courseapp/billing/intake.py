"""Events of Stripe's as they come in: verified, kept once, nothing else. What follows is worked later, from what Stripe then says."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from courseapp.billing import stripe_gateway as gateway
from courseapp.billing.models import StripeEvent
from courseapp.config import Settings
from courseapp.extensions import insert_later, wake

WAKE = "billing.events"


@dataclass(frozen=True)
class Told:
    """What an event says of itself: its id, its type, when it was made, and what it is about."""

    id: str
    type: str
    made_at: datetime
    object_id: str | None


def verified_event(body: bytes, signature: str | None, settings: Settings) -> Told:
    """The event of a webhook. Raises ForgedError for what Stripe did not sign just now, or signed for another mode than our key's."""
    event = gateway.verified(body, signature, settings.webhook_secrets)
    if event.get("livemode") is not settings.is_live:
        raise gateway.ForgedError("of test mode and not of live mode, or the other way round")
    return told(event)


def told(event: Any) -> Told:
    """What an event says of itself; raises ForgedError where it is none."""
    try:
        thing = event["data"]["object"]
        return Told(str(event["id"]), str(event["type"]), gateway.known_moment(event["created"]), thing.get("id"))
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise gateway.ForgedError("no event") from error


def keep_event(event: Told, now: datetime, *, is_listed: bool = False) -> None:
    """Keep an event that billing reads, once; wake the worker. Others are none of ours."""
    if event.type not in gateway.EVENT_TYPES:
        return
    insert_later(
        StripeEvent,
        once=("stripe_id",),
        stripe_id=event.id[:255],
        type=event.type,
        object_id=event.object_id,
        made_at=event.made_at,
        received_at=now,
        is_listed=is_listed,
        due_at=now,
        attempts=0,
        processed_at=None,
        result=None,
        problem=None,
    )
    wake(WAKE)
