"""Row webhook_intake: Stripe's events taken in, signed and each another, against a bare Flask insert of a row with a unique key."""

import hmac
import itertools
import json
import time
from hashlib import sha256
from timeit import timeit
from typing import Any

import sqlalchemy as sa

from bench import floor
from bench.harness import Ground, Side, Web, alternate, compare
from bench.pages import CONNECTIONS
from bench.processes import end
from bench.result import Plan, Row
from courseapp.billing.stripe_gateway import verified
from tests.fakes.stripe_server import FakeStripe

SELLING = {"STRIPE_SECRET_KEY": "sk_test_bench", "STRIPE_WEBHOOK_SECRETS": "whsec_of_the_benchmark"}
SECRET = SELLING["STRIPE_WEBHOOK_SECRETS"]
GOAL = 0.8
_numbers = itertools.count(1)


def webhook_intake(ground: Ground, plan: Plan) -> list[Row]:
    """Requests a second of `POST /billing/webhook` over those of the floor, which reads the same event's id and inserts it."""
    engine = sa.create_engine(ground.url("bench").replace("postgresql:", "postgresql+psycopg:", 1))
    floor.fill(engine)
    engine.dispose()
    broker, more = _broker(ground)
    app, bare = ground.app("app-sells", **SELLING, **more), ground.floor()
    event = example()

    def emptied(table: str) -> None:
        with ground.connection("bench") as connection:
            connection.execute(f"TRUNCATE {table}")

    sides = [
        Side(app, lambda: posts(app, "/billing/webhook", event, plan), "200", False, lambda: emptied("stripe_events")),
        Side(bare, lambda: posts(bare, "/hook", event, plan), "200", False, lambda: emptied("floor_hooks")),
    ]
    ratio, detail = compare(alternate(ground, sides, CONNECTIONS, plan.rounds, plan.seconds), ("app", "floor"))
    detail |= ground.statements(sides[0])
    body, header = signed(event)
    detail["signature_ms"] = round(1000 * timeit(lambda: verified(body, header, [SECRET]), number=500) / 500, 3)
    detail["event_bytes"] = len(body)
    detail["app_rss_mb"] = round(app.worker_rss_mb, 1)
    detail["what"] = "each event once, signed just now; fsync on for both sides; nobody works the events or empties the broker meanwhile"
    detail["broker"] = broker
    for web in (app, bare):
        end(web.process)
    return [Row("webhook_intake", ratio, "× bare insert", f">= {GOAL}", ratio >= GOAL, detail)]


def _broker(ground: Ground) -> tuple[str, dict[str, str]]:
    """Redis, as in production, where there is one: what carries the wake-up is no part of the floor."""
    try:
        return "Redis", {"REDIS_URL": ground.redis()}
    except Exception as error:
        return f"Kombu's filesystem transport, for Redis cannot run here: {error}", {}


def example() -> dict[str, Any]:
    """An event as large as Stripe's usually are: an invoice that was paid."""
    with FakeStripe() as fake:
        books = fake.books
        client_side(fake)
        found: dict[str, Any] = next(event for event in books.events if event["type"] == "invoice.paid")
    return found


def client_side(fake: FakeStripe) -> None:
    """Somebody subscribes."""
    import stripe

    client = stripe.StripeClient(fake.key, base_addresses={"api": fake.url}).v1
    product = client.products.create({"name": "Quiet course"})
    price = client.prices.create({"product": product.id, "currency": "eur", "unit_amount": 900, "recurring": {"interval": "month"}})
    lines: Any = [{"price": price.id, "quantity": 1}]
    session = client.checkout.sessions.create({"mode": "subscription", "success_url": "http://127.0.0.1/", "line_items": lines})
    fake.steering.buy(session.id, email="ada@example.org")


def signed(event: dict[str, Any]) -> tuple[bytes, str]:
    """The event under an id of its own, and its signature's header."""
    body = json.dumps({**event, "id": f"evt_bench_{next(_numbers)}"}, indent=2).encode()
    moment = int(time.time())
    mac = hmac.new(SECRET.encode(), str(moment).encode() + b"." + body, sha256).hexdigest()
    return body, f"t={moment},v1={mac}"


def posts(web: Web, path: str, event: dict[str, Any], plan: Plan) -> list[str]:
    """As many events as a window may need."""
    return [_post(web, path, *signed(event)) for _ in range(plan.events)]


def _post(web: Web, path: str, body: bytes, header: str) -> str:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\nX-Forwarded-For: 10.254.0.1\r\n"
        "User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\nAccept: */*\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Stripe-Signature: {header}\r\nContent-Length: {len(body)}\r\n\r\n{body.decode()}"
    )
