"""Webhooks of the fake Stripe: signed as the SDK verifies, over real HTTP, and spoilt in every way that may happen."""

import time
from collections import Counter
from typing import Any

import pytest
import stripe

from tests.conftest import NOW
from tests.fakes.receiving import SECRET, Receiver
from tests.fakes.stripe_server import FakeStripe, Steering


def happen(client: Any, number: int = 1) -> list[str]:
    """Let so many events happen; returns the names of what they are about."""
    return [client.customers.create({"name": f"{place}"}).id for place in range(number)]


def subjects(receiver: Receiver) -> list[str]:
    return [call.event["data"]["object"]["id"] for call in receiver.calls]


# --- endpoints ---


def test_an_endpoint_tells_its_secret_once(client: Any, receiver: Receiver, steering: Steering) -> None:
    values = {"url": f"{receiver.url}2", "enabled_events": ["customer.created"], "api_version": "2026-10-28.endive"}
    endpoint = client.webhook_endpoints.create(values)
    assert endpoint.secret.startswith("whsec_")
    assert not hasattr(client.webhook_endpoints.retrieve(endpoint.id), "secret")
    client.products.create({"name": "A"})
    happen(client)
    steering.settle()
    assert Counter(receiver.types) == {"customer.created": 2, "product.created": 1}
    (own,) = [call for call in receiver.calls if call.path == "/hook2"]
    assert own.verified(endpoint.secret).type == "customer.created"


def test_an_endpoint_is_changed_switched_off_and_deleted(client: Any, receiver: Receiver, steering: Steering) -> None:
    (endpoint,) = client.webhook_endpoints.list().data
    client.webhook_endpoints.update(endpoint.id, {"enabled_events": ["product.created"]})
    happen(client)
    client.webhook_endpoints.update(endpoint.id, {"enabled_events": ["*"], "disabled": True})
    happen(client)
    assert client.webhook_endpoints.retrieve(endpoint.id).status == "disabled"
    assert client.webhook_endpoints.delete(endpoint.id).deleted
    happen(client)
    steering.settle()
    assert receiver.calls == []


@pytest.mark.parametrize("params", [{"url": "nowhere"}, {"enabled_events": ["customer.made"]}])
def test_an_endpoint_that_cannot_be_is_refused(client: Any, params: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        client.webhook_endpoints.create({"url": "http://127.0.0.1/", "enabled_events": ["*"], **params})


# --- events ---


def test_an_event_is_verified_and_typed_by_the_sdk(client: Any, receiver: Receiver, steering: Steering) -> None:
    (customer,) = happen(client)
    steering.settle()
    event = receiver.calls[0].verified()
    assert (event.type, event.livemode, event.api_version, event.data.object.id) == (
        "customer.created", False, "2026-10-28.endive", customer,
    )  # fmt: skip
    assert isinstance(event.data.object, stripe.Customer)
    assert event.request is not None
    assert str(event.request.id).startswith("req_")
    assert NOW.timestamp() <= event.created < NOW.timestamp() + 60
    assert client.events.retrieve(event.id).data.object.id == customer


def test_events_are_listed_by_type_time_and_delivery(client: Any, receiver: Receiver, steering: Steering) -> None:
    steering.rule(drop=True, types=["product.created"])
    client.products.create({"name": "A"})
    happen(client)
    steering.settle()
    undelivered = client.events.list({"delivery_success": False})
    assert [(event.type, event.pending_webhooks) for event in undelivered.data] == [("product.created", 1)]
    assert [event.type for event in client.events.list({"delivery_success": True}).data] == ["customer.created"]
    assert [event.type for event in client.events.list({"types": ["product.created", "price.created"]}).data] == ["product.created"]
    assert [event.type for event in client.events.list({"type": "customer.*"}).data] == ["customer.created"]
    assert client.events.list({"created": {"gt": steering.now() + 5}}).data == []
    steering.pass_time(days=31)
    assert client.events.list().data == []


# --- what can go wrong ---


def test_an_event_is_tried_again_until_it_is_taken(client: Any, receiver: Receiver, steering: Steering) -> None:
    receiver.answers.extend([500, 302])
    happen(client)
    assert steering.settle()
    assert [call.verified().id for call in receiver.calls] == [receiver.calls[0].event["id"]] * 3
    assert steering.letters()[0]["answers"] == [500, 302, 200]


def test_after_the_last_try_it_is_listed_as_undelivered(client: Any, receiver: Receiver, steering: Steering) -> None:
    receiver.answers.extend([500] * 3)
    happen(client)
    steering.settle()
    assert steering.letters()[0]["state"] == "failed"
    (event,) = client.events.list({"delivery_success": False}).data
    assert steering.deliver([event.id]) == [200]
    assert client.events.list({"delivery_success": False}).data == []


def test_an_endpoint_that_is_away_is_tried_again(client: Any, steering: Steering) -> None:
    client.webhook_endpoints.create({"url": "http://127.0.0.1:1/", "enabled_events": ["*"]})
    happen(client)
    steering.settle()
    assert {tuple(letter["answers"]) for letter in steering.letters()} == {(200,), (0, 0, 0)}


def test_events_come_many_times_at_once(client: Any, receiver: Receiver, steering: Steering) -> None:
    steering.rule(copies=20)
    happen(client)
    steering.settle()
    assert len(receiver.calls) == 20
    event = receiver.calls[0].event["id"]
    assert steering.deliver([event], copies=100, at_once=True) == [200] * 100
    assert {call.verified().id for call in receiver.calls} == {event}


@pytest.mark.parametrize("order", ["as_made", "reversed"])
def test_events_are_held_and_come_in_another_order(client: Any, receiver: Receiver, steering: Steering, order: str) -> None:
    steering.rule(hold=True)
    made = happen(client, 3)
    assert steering.settle()
    assert receiver.calls == []
    assert len(client.events.list({"delivery_success": False}).data) == 3
    assert steering.deliver(order=order) == [200] * 3
    assert subjects(receiver) == (made if order == "as_made" else made[::-1])
    assert steering.deliver() == []


def test_events_are_shuffled(client: Any, receiver: Receiver, steering: Steering) -> None:
    steering.rule(hold=True)
    made = happen(client, 5)
    steering.deliver(order="shuffled")
    assert sorted(subjects(receiver)) == sorted(made)


def test_a_rule_holds_for_some_types_and_so_many_times(client: Any, receiver: Receiver, steering: Steering) -> None:
    steering.rule(drop=True, types=["customer.created"], times=1)
    client.products.create({"name": "A"})
    made = happen(client, 2)
    steering.settle()
    assert subjects(receiver)[1:] == made[1:]


def test_an_event_comes_late(client: Any, receiver: Receiver, steering: Steering) -> None:
    steering.rule(delay=0.3, times=1)
    made = happen(client, 2)
    steering.settle()
    assert subjects(receiver) == made[::-1]


def test_an_event_is_lost_and_counts_as_delivered(client: Any, receiver: Receiver, steering: Steering) -> None:
    steering.rule(lose=True)
    happen(client)
    steering.settle()
    assert receiver.calls == []
    assert client.events.list({"delivery_success": False}).data == []


@pytest.mark.parametrize("signature", ["wrong", "none", "garbled"])
def test_a_signature_is_not_right(client: Any, receiver: Receiver, steering: Steering, signature: str) -> None:
    steering.rule(signature=signature)
    happen(client)
    steering.settle()
    with pytest.raises(stripe.SignatureVerificationError):
        receiver.calls[0].verified()


def test_a_timestamp_is_old_or_of_the_future(client: Any, receiver: Receiver, steering: Steering) -> None:
    for shift in (-600, 600):
        steering.rule(shift=shift, times=1)
        happen(client)
    steering.settle()
    old, future = receiver.calls
    with pytest.raises(stripe.SignatureVerificationError, match="tolerance"):
        old.verified()
    assert future.verified().type == "customer.created"
    assert future.signature is not None
    assert int(future.signature.split(",")[0].removeprefix("t=")) > time.time() + 500


def test_an_event_says_another_version(client: Any, receiver: Receiver, steering: Steering) -> None:
    steering.rule(api_version="2020-08-27")
    happen(client)
    steering.settle()
    assert receiver.calls[0].verified().api_version == "2020-08-27"


def test_rolled_secrets_sign_side_by_side_for_a_while(client: Any, receiver: Receiver, steering: Steering) -> None:
    (endpoint,) = client.webhook_endpoints.list().data
    new = steering.roll(endpoint.id, hours=2)
    happen(client)
    steering.settle()
    assert receiver.calls[0].verified(SECRET).id == receiver.calls[0].verified(new).id
    steering.pass_time(hours=3)
    happen(client)
    steering.settle()
    assert receiver.calls[1].verified(new)
    with pytest.raises(stripe.SignatureVerificationError):
        receiver.calls[1].verified(SECRET)


def test_signatures_may_be_dated_by_the_servers_clock(client: Any, receiver: Receiver, steering: Steering) -> None:
    steering.ask("POST", "webhooks/clock", follows=True)
    steering.pass_time(days=100)
    happen(client)
    steering.settle()
    assert f"t={receiver.calls[0].event['created']}"[:8] in str(receiver.calls[0].signature)
    steering.ask("POST", "webhooks/clock", follows=False)
    happen(client)
    steering.settle()
    assert receiver.calls[1].verified()


def test_rules_are_taken_back_and_nothing_is_forgotten(client: Any, receiver: Receiver, steering: Steering, fake: FakeStripe) -> None:
    steering.rule(hold=True)
    happen(client)
    steering.heal()
    happen(client)
    steering.settle()
    assert [letter["state"] for letter in steering.letters()] == ["held", "delivered"]
    assert fake.defects == []


def test_an_event_says_that_it_is_live(client: Any, receiver: Receiver, steering: Steering) -> None:
    steering.rule(livemode=True, times=1)
    happen(client, 2)
    steering.settle()
    assert [call.verified().livemode for call in receiver.calls] == [True, False]


def test_an_object_may_be_set_to_what_stripe_never_says(client: Any, receiver: Receiver, steering: Steering) -> None:
    (customer,) = happen(client)
    steering.put(customer, "customer.updated", name="Somebody else")
    steering.settle()
    assert receiver.only("customer.updated")["data"]["previous_attributes"] == {"name": "0"}
    assert client.customers.retrieve(customer).name == "Somebody else"
    with pytest.raises(ValueError, match="No such object"):
        steering.put("cus_nobody", name="A")
