"""The fake Stripe's API as the real SDK meets it: keys, errors, parameters, pages of lists, idempotency, faults."""

import base64
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from tests.fakes.conftest import Shop
from tests.fakes.stripe.shapes import UnfitError, filled, misfits
from tests.fakes.stripe_server import FakeStripe, Steering, main

ROOT = Path(__file__).parents[2]


def as_client(fake: FakeStripe, key: str, **more: Any) -> Any:
    return stripe.StripeClient(key, base_addresses={"api": fake.url}, **more).v1


# --- keys and errors ---


def test_another_key_is_refused(fake: FakeStripe) -> None:
    with pytest.raises(stripe.AuthenticationError) as refused:
        as_client(fake, "sk_test_of_somebody_else").accounts.retrieve_current()
    assert refused.value.http_status == 401
    assert "sk_test_********else" in str(refused.value)


def test_the_key_may_come_as_a_basic_authorisation(fake: FakeStripe) -> None:
    word = base64.b64encode(f"{fake.key}:".encode()).decode()
    answer = requests.get(f"{fake.url}/v1/account", headers={"Authorization": f"Basic {word}"}, timeout=5)
    assert answer.json()["object"] == "account"
    assert requests.get(f"{fake.url}/v1/account", timeout=5).status_code == 401


def test_the_account_and_its_mode_can_be_read(client: Any) -> None:
    assert client.accounts.retrieve_current().id.startswith("acct_")
    assert client.balance.retrieve().livemode is False


def test_another_api_version_is_refused(fake: FakeStripe) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Invalid Stripe API version"):
        as_client(fake, fake.key, stripe_version="2024-06-20").accounts.retrieve_current()


def test_every_answer_has_a_request_id_and_the_version(client: Any) -> None:
    headers = client.products.create({"name": "A"}).last_response.headers
    assert headers["Request-Id"].startswith("req_")
    assert headers["Stripe-Version"] == "2026-10-28.endive"


def test_what_is_not_there_is_said_with_its_name(client: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.customers.retrieve("cus_nobody")
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (404, "resource_missing", "id")
    assert refused.value.user_message == "No such customer: 'cus_nobody'"


def test_a_path_that_is_not_here_is_refused(client: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="no such path"):
        client.quotes.list()


# --- parameters ---


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"nmae": "A", "name": "A"}, "parameter_unknown", "nmae"),
        ({}, "parameter_missing", "name"),
        ({"name": ""}, "parameter_invalid_empty", "name"),
        ({"name": "A", "marketing_features": [{"nme": "x"}]}, "parameter_unknown", "marketing_features[0][nme]"),
        ({"name": "A", "marketing_features": [{"name": "x"}, {"name": {"a": "b"}}]}, None, "marketing_features[1][name]"),
        ({"name": "A", "active": "perhaps"}, None, "active"),
        ({"name": "A", "type": "good"}, "not_in_the_fake", "type"),
    ],
)
def test_parameters_are_held_against_the_types_of_the_sdk(client: Any, params: Any, code: str | None, param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.products.create(params)
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, param)


@pytest.mark.parametrize(
    ("params", "words", "param"),
    [
        ({"recurring": {"interval": "fortnight"}}, "must be one of day, month, week, or year", "recurring[interval]"),
        ({"recurring": {"interval_count": 2}}, "Missing required param", "recurring[interval]"),
        ({"unit_amount": "ten"}, "Invalid integer: ten", "unit_amount"),
        ({"currency_options": {"usd": {"unit_amuont": 1}}}, "Received unknown parameter", "currency_options[usd][unit_amuont]"),
        ({"product": "prod_nothing"}, "No such product", "product"),
    ],
)
def test_wrong_values_are_named_in_brackets(client: Any, shop: Shop, params: Any, words: str, param: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=words) as refused:
        client.prices.create({"currency": "eur", "unit_amount": 100, "product": shop.product.id, **params})
    assert refused.value.param == param


@pytest.mark.parametrize("mode", ["payment", "subscription"])
def test_checkout_refuses_payment_method_types(shop: Shop, mode: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.session(shop.course if mode == "payment" else shop.monthly, payment_method_types=["card"])
    assert (refused.value.code, refused.value.param) == ("parameter_unknown", "payment_method_types")


def test_payment_intents_refuse_payment_method_types(client: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="payment_method_types"):
        client.payment_intents.create({"amount": 100, "currency": "eur", "payment_method_types": ["card"]})
    assert client.payment_intents.create({"amount": 100, "currency": "eur"}).status == "requires_payment_method"


def test_metadata_is_merged_and_an_empty_value_takes_a_key_away(client: Any) -> None:
    customer = client.customers.create({"metadata": {"user": "7", "old": "x"}})
    changed = client.customers.update(customer.id, {"metadata": {"old": "", "new": "y"}})
    assert changed.metadata.to_dict() == {"user": "7", "new": "y"}


def test_a_field_that_the_sdk_does_not_know_cannot_be_sent() -> None:
    with pytest.raises(UnfitError, match="subscription"):
        filled(stripe.Invoice, {"subscription": "sub_1"})
    with pytest.raises(UnfitError, match="currency must be given"):
        filled(stripe.Refund, {"amount": 1, "id": "re_1", "created": 1})


# --- lists ---


def test_lists_come_in_pages_the_newest_first(client: Any) -> None:
    made = [client.customers.create({"email": f"{number}@example.org"}).id for number in range(5)]
    first = client.customers.list({"limit": 2})
    assert [one.id for one in first.data] == [made[4], made[3]]
    assert first.has_more
    last = client.customers.list({"limit": 3, "starting_after": made[3]})
    assert [one.id for one in last.data] == [made[2], made[1], made[0]]
    assert not last.has_more
    before = client.customers.list({"limit": 2, "ending_before": made[1]})
    assert [one.id for one in before.data] == [made[3], made[2]]
    assert before.has_more
    assert [one.id for one in client.customers.list({"limit": 2}).auto_paging_iter()] == made[::-1]


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"starting_after": "cus_nobody"}])
def test_a_page_that_cannot_be_is_refused(client: Any, params: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        client.customers.list(params)


def test_lists_can_be_made_empty(client: Any, steering: Steering, shop: Shop) -> None:
    steering.set(empty=["/v1/prices"])
    assert client.prices.list().data == []
    assert len(client.products.list().data) == 1
    assert client.prices.retrieve(shop.course.id).id == shop.course.id
    steering.set(empty=[])
    assert len(client.prices.list().data) == 4


def test_ids_are_expanded_where_asked_for(client: Any, shop: Shop) -> None:
    price = client.prices.retrieve(shop.course.id, {"expand": ["product", "currency_options"]})
    assert price.product.name == "Quiet course"
    assert price.currency_options["eur"].unit_amount == 4900
    listed = client.prices.list({"expand": ["data.product"], "lookup_keys": ["course"]})
    assert listed.data[0].product.id == shop.product.id
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        client.prices.retrieve(shop.course.id, {"expand": ["colour"]})


# --- idempotency ---


def test_the_same_key_gives_the_same_answer_again(client: Any) -> None:
    first = client.customers.create({"email": "a@example.org"}, {"idempotency_key": "one"})
    again = client.customers.create({"email": "a@example.org"}, {"idempotency_key": "one"})
    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert len(client.customers.list().data) == 1


def test_the_same_key_with_other_parameters_is_refused(client: Any) -> None:
    client.customers.create({"email": "a@example.org"}, {"idempotency_key": "one"})
    with pytest.raises(stripe.IdempotencyError, match="same parameters") as refused:
        client.customers.create({"email": "b@example.org"}, {"idempotency_key": "one"})
    assert refused.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError):
        client.products.create({"name": "A"}, {"idempotency_key": "one"})


def test_a_key_is_forgotten_after_a_day(client: Any, steering: Steering) -> None:
    first = client.customers.create({}, {"idempotency_key": "one"})
    steering.pass_time(hours=25)
    assert client.customers.create({}, {"idempotency_key": "one"}).id != first.id


def test_a_500_is_kept_with_its_key_and_nothing_was_done(client: Any, steering: Steering) -> None:
    steering.fail("500")
    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            client.customers.create({}, {"idempotency_key": "one"})
        assert failed.value.http_status == 500
    assert client.customers.list().data == []
    client.customers.create({}, {"idempotency_key": "two"})


def test_what_was_refused_before_it_began_is_not_kept(client: Any, steering: Steering) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        client.products.create({}, {"idempotency_key": "one"})
    steering.fail("429")
    with pytest.raises(stripe.RateLimitError):
        client.products.create({"name": "A"}, {"idempotency_key": "one"})
    assert client.products.create({"name": "A"}, {"idempotency_key": "one"}).name == "A"


def test_a_key_in_use_is_a_conflict(fake: FakeStripe, steering: Steering) -> None:
    steering.fail("hang", seconds=0.6, path="/v1/customers")
    ask: dict[str, Any] = {"url": f"{fake.url}/v1/customers", "data": {"email": "a@example.org"}, "timeout": 5}
    headers = {"Authorization": f"Bearer {fake.key}", "Idempotency-Key": "one"}
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(requests.post, **ask, headers=headers)
        time.sleep(0.2)
        refused = requests.post(**ask, headers=headers)
        assert refused.status_code == 409
        assert refused.json()["error"]["code"] == "idempotency_key_in_use"
        with pytest.raises(requests.ConnectionError):
            slow.result()


def test_of_many_with_one_key_at_once_one_is_carried_out(fake: FakeStripe, client: Any) -> None:
    headers = {"Authorization": f"Bearer {fake.key}", "Idempotency-Key": "one"}
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(requests.post, f"{fake.url}/v1/customers", headers=headers, timeout=10) for _ in range(40)]
        assert {one.result().status_code for one in asked} <= {200, 409}
    assert len(client.customers.list().data) == 1


# --- faults ---


@pytest.mark.parametrize(("what", "error"), [("500", stripe.APIError), ("429", stripe.RateLimitError), ("403", stripe.PermissionError)])
def test_the_next_answers_go_wrong(client: Any, steering: Steering, what: str, error: type[Exception]) -> None:
    steering.fail(what, times=2, path="/v1/prices")
    client.products.list()
    for _ in range(2):
        with pytest.raises(error):
            client.prices.list()
    client.prices.list()


def test_an_answer_that_does_not_come_runs_into_the_time_out(fake: FakeStripe, steering: Steering) -> None:
    with_patience: Any = stripe.RequestsClient(timeout=(1, 0.3))
    steering.fail("hang", seconds=2)
    with pytest.raises(stripe.APIConnectionError):
        as_client(fake, fake.key, http_client=with_patience).products.list()
    with_patience.close()


def test_an_answer_that_was_lost_is_found_again_by_the_sdk(fake: FakeStripe, steering: Steering, http_client: Any) -> None:
    steering.fail("drop", path="/v1/customers", method="POST", after=True)
    retrying = as_client(fake, fake.key, http_client=http_client, max_network_retries=2)
    customer = retrying.customers.create({"email": "a@example.org"})
    assert [one.id for one in retrying.customers.list().data] == [customer.id]
    assert [(one["method"], one["status"]) for one in steering.requests()] == [("POST", 0), ("POST", 200), ("GET", 200)]


def test_faults_can_be_taken_back(client: Any, steering: Steering) -> None:
    steering.fail("500", times=None)
    steering.heal()
    client.products.list()


def test_an_order_that_is_none_is_refused_in_words(steering: Steering) -> None:
    with pytest.raises(ValueError, match="No such order"):
        steering.ask("POST", "coffee")
    with pytest.raises(ValueError, match="not understood"):
        steering.ask("POST", "rules", holdd=True)
    with pytest.raises(ValueError, match="No such settings"):
        steering.set(colour="red")


# --- as a process ---


def test_it_runs_as_a_process_and_keeps_what_it_knows(tmp_path: Path) -> None:
    port = "0"
    for _ in range(2):
        command = [sys.executable, "-m", "tests.fakes.stripe_server", "--port", port, "--state", str(tmp_path / "state")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout is not None
            url = process.stdout.readline().removeprefix("Ready on ").strip()
            port = url.rpartition(":")[2]
            asked: Any = {"headers": {"Authorization": "Bearer sk_test_fake_0123456789"}, "timeout": 5}
            before = requests.get(f"{url}/v1/products", **asked).json()["data"]
            requests.post(f"{url}/v1/products", {"name": "Kept"}, **asked)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
    assert [product["name"] for product in before] == ["Kept"]


def test_it_does_not_start_with_a_live_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--key", "sk_live_x"])
    assert "no business here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "frozen"}, "subscription.status is 'frozen'"),
        ({"subscription": "x"}, "subscription has no subscription"),
        ({"cancel_at_period_end": None}, "subscription.cancel_at_period_end is null"),
        ({"created": "today"}, "subscription.created is 'today'"),
        ({"trial_settings": {"end_behavior": {"missing_payment_method": "smile"}}}, "missing_payment_method is 'smile'"),
    ],
)
def test_what_no_longer_fits_its_class_is_found(fake: FakeStripe, client: Any, shop: Shop, change: Any, words: str) -> None:
    session = shop.session(shop.monthly)
    fake.steering.buy(session.id, email="ada@example.org")
    subscription = fake.books.kept[client.subscriptions.list().data[0].id]
    assert misfits(subscription) == []
    assert [words in fault for fault in misfits({**subscription, **change})] == [True]
    price = {**subscription["items"]["data"][0]["price"], "unit_amount": 1.5}
    assert "price.unit_amount is 1.5" in misfits({**subscription["items"]["data"][0], "price": price})[0]
