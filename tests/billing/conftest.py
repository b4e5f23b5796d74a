"""A fake Stripe, an application that sells, and its webhook answered over real HTTP."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from courseapp.extensions import db
from tests.client import Client
from tests.conftest import NOW, set_clock
from tests.fakes.clicking import Clicker
from tests.fakes.stripe_server import FakeStripe, Steering

SECRET = "whsec_of_our_own_endpoint"


@dataclass
class Shop:
    """A site that sells: `app` has a fake Stripe's key, and is served at `url`, where the fake sends its webhooks.

    Webhooks arrive by themselves; `steering.rule(...)` keeps them back, doubles or loses them.
    """

    app: Flask
    fake: FakeStripe
    url: str

    @property
    def steering(self) -> Steering:
        """What customers, banks and staff do at Stripe, and what befalls webhooks."""
        return self.fake.steering

    def client(self) -> Client:
        """A browser without pictures, of its own."""
        made = self.app.test_client()
        assert isinstance(made, Client)
        return made

    def pass_time(self, **length: float) -> datetime:
        """Let the clocks of both go on; returns the new time. Webhooks of it have arrived."""
        db.session.commit()
        self.steering.pass_time(**length)
        now = datetime.fromtimestamp(self.steering.now(), UTC)
        set_clock(self.app, now)
        self.settle()
        return now

    def deliver(self, *args: Any, **kw: Any) -> list[int]:
        """Let webhooks that are kept back go, or send some again; see `Steering.deliver`."""
        db.session.commit()  # else SQLite's write lock may be the test's own
        return self.steering.deliver(*args, **kw)

    def settle(self) -> None:
        """Wait until no webhook is on its way."""
        db.session.commit()
        assert self.steering.settle()


class _Front:
    """A WSGI application that is another one once that is made."""

    app: Flask | None = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        assert self.app is not None
        return self.app(environ, start_response)


@pytest.fixture
def shop(make_app: Callable[..., Flask]) -> Iterator[Shop]:
    """The whole of it, on both databases. Events are taken in by the webhook; `loops.work_events` works them."""
    front = _Front()
    server = make_server("127.0.0.1", 0, front, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    with FakeStripe(now=NOW.timestamp(), hooks=[(f"{url}/billing/webhook", SECRET)]) as fake:
        fake.post.retries = (0.02, 0.04)
        facts = {"stripe_secret_key": fake.key, "stripe_url": fake.url, "stripe_webhook_secrets": SECRET, "base_url": url}
        front.app = app = make_app(**facts, stripe_trials=True, stripe_promotion_codes=True)
        set_clock(app, NOW)
        with app.app_context():
            yield Shop(app, fake, url)
            db.session.rollback()
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def steering(shop: Shop) -> Steering:
    """The fake's knobs."""
    return shop.steering


@pytest.fixture
def person(shop: Shop) -> Iterator[Clicker]:
    """Somebody at Stripe's hosted pages."""
    made = Clicker(shop.fake.url)
    yield made
    made.close()
