"""Somebody who has subscribed at the fake Stripe, and the news of it."""

from typing import Any

import stripe

from tests.fakes.receiving import Receiver
from tests.fakes.stripe_server import Steering

DAY = 86_400


class Subscriber:
    """Somebody with a subscription, and what the API says of it now."""

    def __init__(self, client: Any, session: stripe.checkout.Session) -> None:
        self._client = client
        self.id = client.checkout.sessions.retrieve(session.id).subscription

    @property
    def now(self) -> Any:
        return self._client.subscriptions.retrieve(self.id, {"expand": ["latest_invoice", "customer"]})

    @property
    def item(self) -> Any:
        return self.now.items.data[0]


def subscribed(client: Any, steering: Steering, session: stripe.checkout.Session, way: str = "pay") -> Subscriber:
    steering.buy(session.id, way, email="ada@example.org")
    return Subscriber(client, session)


def news(receiver: Receiver, steering: Steering) -> list[str]:
    """What has come since it was last asked; payments' own events left out."""
    assert steering.settle()
    types = [name for name in receiver.types if not name.startswith(("payment_intent.", "charge.", "customer.updated", "invoice_payment."))]
    receiver.calls.clear()
    return types
