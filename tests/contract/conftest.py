"""The two sides: the fake, always, and a sandbox of Stripe's own where STRIPE_TEST_KEY holds one of its keys.

Everything is named with a random prefix and put away at the end, so a sandbox that is used for other things stays as it was. What can
only be brought about by clicking Stripe's pages, or by its banks and failures, runs at the fake alone and says so by name
(`clicked_side`).
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import stripe
from flask import Flask

from courseapp.billing import stripe_gateway
from courseapp.billing.stripe_gateway import Thing
from courseapp.config import TEST_KEYS, Settings
from tests.fakes.stripe_server import FakeStripe, Steering

SIDES = ("fake", "real")
HOME = "https://shop.example/bought?session={CHECKOUT_SESSION_ID}"
AWAY = "STRIPE ITSELF WAS NOT ASKED: set STRIPE_TEST_KEY to a secret key of a sandbox"
CLICKED = "ONLY AT THE FAKE, for Stripe's pages must be clicked, or its banks and failures be had at will"


@dataclass
class Side:
    """One Stripe, real or not. `app` has its key and is current; `client` is the SDK, for what billing itself never does."""

    app: Flask
    client: Any
    fake: FakeStripe | None
    prefix: str = field(default_factory=lambda: f"contract_{secrets.token_hex(5)}")
    _away: ExitStack = field(default_factory=ExitStack)
    _numbers: int = 0

    @property
    def steering(self) -> Steering:
        """The fake's knobs."""
        assert self.fake is not None
        return self.fake.steering

    def name(self, what: str = "") -> str:
        """A name, lookup key or idempotency key that nobody else has."""
        self._numbers += 1
        return f"{self.prefix}_{self._numbers}{what}"

    def make(self, kind: str, params: Thing, key: str | None = None) -> Thing:
        """Make something by our own door; it is put away when the test ends."""
        made = stripe_gateway.create(kind, params, key or self.name())
        away: dict[str, Callable[[], Any]] = {
            "products": lambda: stripe_gateway.update(kind, made["id"], {"active": False}),
            "prices": lambda: stripe_gateway.update(kind, made["id"], {"active": False}),
            "billing_portal.configurations": lambda: stripe_gateway.update(kind, made["id"], {"active": False}),
            "customers": lambda: self.client.customers.delete(made["id"]),
            "webhook_endpoints": lambda: self.client.webhook_endpoints.delete(made["id"]),
            "checkout.sessions": lambda: self._end(made["id"]),
        }
        if kind in away:
            self._away.callback(_unless_gone, away[kind])
        return made

    def _end(self, session: str) -> None:
        found = stripe_gateway.checkout_session(session)
        if found is not None and found["status"] == "open":
            stripe_gateway.expire_checkout(session)

    def put_away(self) -> None:
        """The newest first, all of it, whatever fails on the way."""
        self._away.close()

    # --- things to sell, and people ---

    def product(self) -> Thing:
        """Something to sell."""
        return self.make("products", {"name": self.name(" quiet course"), "metadata": {"tier": "quiet"}})

    def price(self, product: Thing, amount: int = 4900, interval: str | None = None, **more: Any) -> Thing:
        """A price with a lookup key of its own."""
        recurring = {"recurring": {"interval": interval}} if interval else {}
        values = {"product": product["id"], "currency": "eur", "unit_amount": amount, "lookup_key": self.name("_price")}
        return self.make("prices", {**values, **recurring, **more})

    def customer(self, **more: Any) -> Thing:
        """Somebody, by the number of our own row."""
        return self.make("customers", {"metadata": {"user": self.prefix}, **more})

    def session(self, price: Thing, key: str | None = None, **more: Any) -> Thing:
        """A Checkout Session for one of a price."""
        usual = {"mode": "subscription" if price["recurring"] else "payment", "success_url": HOME, "cancel_url": "https://shop.example/"}
        return self.make("checkout.sessions", {**usual, "line_items": [{"price": price["id"], "quantity": 1}], **more}, key)

    # --- money, without a page: at the real one by the API and a card for tests, at the fake by its steering ---

    def paid(self, amount: int = 4900) -> str:
        """The id of a payment that has been made."""
        if self.fake is not None:
            session = self.session(self.price(self.product(), amount))
            self.steering.buy(session["id"], email="ada@example.org")
            return str(self.client.checkout.sessions.retrieve(session["id"]).payment_intent)
        automatic = {"enabled": True, "allow_redirects": "never"}
        values = {"amount": amount, "currency": "eur", "payment_method": "pm_card_visa", "confirm": True}
        return str(self.client.payment_intents.create({**values, "automatic_payment_methods": automatic}).id)

    def subscribed(self, price: Thing, **more: Any) -> str:
        """The id of a subscription whose first period is paid, or which is on trial (`trial_period_days`)."""
        metadata = {"metadata": {"checkout": self.prefix}}
        if self.fake is not None:
            session = self.session(price, subscription_data={**metadata, **more})
            self.steering.buy(session["id"], email="ada@example.org")
            return str(self.client.checkout.sessions.retrieve(session["id"]).subscription)
        card = {"payment_method": "pm_card_visa", "invoice_settings": {"default_payment_method": "pm_card_visa"}}
        person = self.customer(**card)
        return str(self.client.subscriptions.create({"customer": person["id"], "items": [{"price": price["id"]}], **metadata, **more}).id)


def _unless_gone(act: Callable[[], Any]) -> None:
    try:
        act()
    except (stripe.InvalidRequestError, stripe_gateway.StripeRefusedError):
        return  # it was put away by the test itself, or with what it belonged to


def test_key() -> str:
    """The sandbox's key. Skips where there is none; fails where it is not one for tests."""
    key = os.environ.get("STRIPE_TEST_KEY", "")
    if not key:
        pytest.skip(AWAY)
    if not key.startswith(TEST_KEYS):
        pytest.fail("STRIPE_TEST_KEY must begin with sk_test_ or rk_test_: nothing is tried with a key that moves money.", pytrace=False)
    return key


test_key.__test__ = False  # type: ignore[attr-defined]  # no test


@contextmanager
def selling(key: str, url: str = "") -> Iterator[Flask]:
    """An application that is nothing but its key, current for a while."""
    app = Flask("contract")
    app.config.update(TESTING=True, SETTINGS=Settings(stripe_secret_key=key, stripe_url=url))
    with app.app_context():
        yield app


@contextmanager
def side_of(name: str) -> Iterator[Side]:
    """One of the two."""
    with ExitStack() as stack:
        fake = stack.enter_context(FakeStripe()) if name == "fake" else None
        key, url = (fake.key, fake.url) if fake is not None else (test_key(), "")
        app = stack.enter_context(selling(key, url))
        http_client: Any = stripe.RequestsClient(timeout=(3, 30))
        stack.callback(http_client.close)
        addresses: Any = {"base_addresses": {"api": url}} if url else {}
        side = Side(app, stripe.StripeClient(key, http_client=http_client, max_network_retries=2, **addresses).v1, fake)
        stack.callback(side.put_away)
        yield side


@pytest.fixture(params=SIDES)
def stripe_side(request: pytest.FixtureRequest) -> Iterator[Side]:
    """The fake, and then Stripe itself."""
    with side_of(request.param) as side:
        yield side


@pytest.fixture(params=SIDES)
def clicked_side(request: pytest.FixtureRequest) -> Iterator[Side]:
    """The fake; at Stripe itself the test is named as one that did not run."""
    if request.param == "real":
        pytest.skip(f"{CLICKED}: {request.node.originalname}")
    with side_of(request.param) as side:
        yield side
