"""The endpoint that is told, the events that can be asked for, and how what is told is signed."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
import stripe

from courseapp.billing import stripe_gateway
from courseapp.billing.stripe_gateway import EVENT_TYPES, ForgedError
from tests.contract.conftest import Side

SECRET = "whsec_of_the_contract"
AT_ONCE = 20  # event types that may be asked for at a time (Stripe's API reference, "List all events")


def test_the_endpoint_takes_our_event_types_and_version_and_tells_its_secret_once(stripe_side: Side) -> None:
    url = f"https://shop.example/{stripe_side.prefix}"
    params = {"url": url, "enabled_events": list(EVENT_TYPES), "api_version": stripe_version()}
    made = stripe_side.make("webhook_endpoints", params)
    assert made["secret"].startswith("whsec_")
    found = next(one for one in stripe_gateway.webhook_endpoints() if one["id"] == made["id"])
    assert (found["url"], found["status"], found["livemode"]) == (url, "enabled", False)
    assert set(found["enabled_events"]) == set(EVENT_TYPES)
    assert found["api_version"] == stripe_version()
    assert not found.get("secret")
    changed = stripe_gateway.update("webhook_endpoints", made["id"], {"enabled_events": ["invoice.paid"]})
    assert changed["enabled_events"] == ["invoice.paid"]
    stripe_side.client.webhook_endpoints.delete(made["id"])
    assert made["id"] not in {one["id"] for one in stripe_gateway.webhook_endpoints()}


def stripe_version() -> str:
    """The API version that the installed package speaks."""
    return str(stripe.api_version)


def test_events_are_listed_by_our_types(stripe_side: Side) -> None:
    assert len(EVENT_TYPES) <= AT_ONCE
    began = datetime.now(UTC) - timedelta(minutes=5)
    price = stripe_side.price(stripe_side.product())
    session = stripe_side.session(price)
    stripe_gateway.expire_checkout(session["id"])
    event = next(one for one in waited_for(began) if one["data"]["object"]["id"] == session["id"])
    assert event["type"] == "checkout.session.expired"
    assert {"id", "created", "livemode", "pending_webhooks", "request", "api_version"} <= event.keys()
    assert {one["type"] for one in stripe_gateway.events(began)} <= set(EVENT_TYPES)
    assert event["id"] not in {one["id"] for one in stripe_gateway.events(datetime.now(UTC) + timedelta(hours=1))}


def waited_for(since: datetime) -> list[stripe_gateway.Thing]:
    """What is listed of expired sessions, once some is: the list is a little behind."""
    for _try in range(30):
        found = [one for one in stripe_gateway.events(since) if one["type"] == "checkout.session.expired"]
        if found:
            return found
        time.sleep(1)
    return []


def test_what_nobody_listens_to_is_not_undelivered(stripe_side: Side) -> None:
    """A sandbox may have endpoints of its own; events that have arrived everywhere must not be among them."""
    began = datetime.now(UTC) - timedelta(minutes=5)
    stripe_gateway.expire_checkout(stripe_side.session(stripe_side.price(stripe_side.product()))["id"])
    waited_for(began)
    assert all(event["pending_webhooks"] > 0 for event in stripe_gateway.events(began, undelivered=True))


# --- how it is signed: by the package's own words, so nothing is asked of either side ---


def signed(body: bytes, at: float | None = None, secret: str = SECRET) -> str:
    """A header that the package itself makes."""
    moment = int(time.time() if at is None else at)
    return str(stripe.WebhookSignature.generate_signature_header(body.decode(), secret, moment))


EVENT = {"id": "evt_1", "object": "event", "type": "invoice.paid", "data": {"object": {"id": "in_1", "object": "invoice"}}}
BODY = json.dumps(EVENT).encode()


def test_what_the_package_signs_is_believed() -> None:
    event = stripe_gateway.verified(BODY, signed(BODY), [SECRET])
    assert (event["id"], event["type"], event["data"]["object"]["id"]) == ("evt_1", "invoice.paid", "in_1")


def test_while_a_secret_is_rolled_either_is_believed() -> None:
    assert stripe_gateway.verified(BODY, signed(BODY, secret="whsec_new"), [SECRET, "whsec_new"])["id"] == "evt_1"
    assert stripe_gateway.verified(BODY, f"{signed(BODY, secret='whsec_new')},{signed(BODY).partition(',')[2]}", [SECRET])["id"] == "evt_1"


@pytest.mark.parametrize("off", [-301, 301, 86_400])
def test_what_was_not_signed_just_now_is_not(off: int) -> None:
    with pytest.raises(ForgedError):
        stripe_gateway.verified(BODY, signed(BODY, time.time() + off), [SECRET])


@pytest.mark.parametrize("off", [-290, 290])
def test_clocks_may_differ_a_little(off: int) -> None:
    assert stripe_gateway.verified(BODY, signed(BODY, time.time() + off), [SECRET])["id"] == "evt_1"


NO_HEADERS = (None, "", "t=now,v1", "t=1", "v1=00", "t=1,v1=é", "t=,v1=", "=", ",", "t=1=2,v1=00", "t=99999999999999999999,v1=0")


@pytest.mark.parametrize("header", NO_HEADERS)
def test_a_header_that_is_none_is_not_believed(header: str | None) -> None:
    with pytest.raises(ForgedError):
        stripe_gateway.verified(BODY, header, [SECRET])


@pytest.mark.parametrize("body", [b"\xff\xfe", b"", b"[]", b"null", b"7", b'"x"', b"{}", b'{"object": "event"}', BODY + b" "])
def test_a_body_that_was_not_signed_is_not_believed(body: bytes) -> None:
    with pytest.raises(ForgedError):
        stripe_gateway.verified(body, signed(BODY), [SECRET])


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"x"', b"no json", b'{"id": "evt_1"', b"", b"{}"])
def test_a_signed_body_that_is_no_event_is_not_believed_either(body: bytes) -> None:
    with pytest.raises(ForgedError):
        stripe_gateway.verified(body, signed(body), [SECRET])


def test_without_a_secret_nothing_is_believed() -> None:
    with pytest.raises(ForgedError):
        stripe_gateway.verified(BODY, signed(BODY), [])
    with pytest.raises(ForgedError):
        stripe_gateway.verified(BODY, signed(BODY, secret=""), [""])
