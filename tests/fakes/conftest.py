"""What the tests of the fakes have: a fake Stripe, the real SDK on it, an endpoint for its webhooks, somebody who clicks."""

from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from tests.conftest import NOW
from tests.fakes.clicking import Clicker
from tests.fakes.receiving import SECRET, Receiver
from tests.fakes.stripe.shapes import misfits
from tests.fakes.stripe_server import FakeStripe, Steering

HOME = "http://shop.example/bought?session={CHECKOUT_SESSION_ID}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An endpoint for webhooks."""
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture
def fake(receiver: Receiver) -> Iterator[FakeStripe]:
    """The server; all its events go to `receiver`, and its clock begins at NOW.

    At the end every object that it kept or told of is held against the SDK's class of it.
    """
    with FakeStripe(now=NOW.timestamp(), hooks=[(receiver.url, SECRET)]) as made:
        made.post.retries = (0.02, 0.04)
        yield made
        told = {(event["type"], event["data"]["object"].get("status")): event["data"]["object"] for event in made.books.events}
        shown = [*made.books.kept.values(), *told.values()]
        assert [fault for thing in shown if not thing.get("deleted") for fault in misfits(thing)] == []


@pytest.fixture
def steering(fake: FakeStripe) -> Steering:
    """Its knobs."""
    return fake.steering


@pytest.fixture
def http_client() -> Iterator[stripe.RequestsClient]:
    """The SDK's way out, with short time-outs."""
    made: Any = stripe.RequestsClient(timeout=(2, 5))
    yield made
    made.close()


@pytest.fixture
def client(fake: FakeStripe, http_client: stripe.RequestsClient) -> Any:
    """What production code uses: `client.v1.…` of the real SDK."""
    return stripe.StripeClient(fake.key, base_addresses={"api": fake.url}, http_client=http_client).v1


@pytest.fixture
def person(fake: FakeStripe) -> Iterator[Clicker]:
    """Somebody at the hosted pages."""
    made = Clicker(fake.url)
    yield made
    made.close()


class Shop:
    """A course, two tiers by the month and one by the year, and sessions that sell them."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.product = client.products.create({"name": "Quiet course"})
        self.course = self.price(4900, "course")
        self.monthly = self.price(1000, "monthly", "month")
        self.better = self.price(3000, "better", "month")
        self.yearly = self.price(10000, "yearly", "year")

    def price(self, amount: int, lookup_key: str, interval: str | None = None, currency: str = "eur", **more: Any) -> stripe.Price:
        """A price of the product."""
        recurring = {"recurring": {"interval": interval}} if interval else {}
        values = {"product": self.product.id, "currency": currency, "unit_amount": amount, "lookup_key": lookup_key}
        made: stripe.Price = self._client.prices.create({**values, **recurring, **more})
        return made

    def session(self, price: stripe.Price, **more: Any) -> stripe.checkout.Session:
        """A Checkout Session for one of a price."""
        mode = "subscription" if price.recurring else "payment"
        usual = {"mode": mode, "success_url": HOME, "cancel_url": "http://shop.example/"}
        lines = [{"price": price.id, "quantity": 1}]
        made: stripe.checkout.Session = self._client.checkout.sessions.create({**usual, "line_items": lines, **more})
        return made


@pytest.fixture
def shop(client: Any) -> Shop:
    """Something to buy."""
    return Shop(client)
