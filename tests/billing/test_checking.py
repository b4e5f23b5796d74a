"""Whether all is set up to sell, and setting it up, against the fake Stripe."""

import json
from typing import Any

import pytest
from click.testing import Result

from courseapp import clock
from courseapp.billing import stripe_gateway
from courseapp.billing.cataloguing.loops import bring_in_line
from courseapp.billing.models import Interval
from courseapp.extensions import db
from tests.billing.conftest import Shop
from tests.factories import make_plan, make_tier


def run(shop: Shop, *words: str, answer: str | None = None) -> Result:
    db.session.commit()
    return shop.app.test_cli_runner().invoke(args=["billing", *words], input=answer)


def facts_in(answer: Result) -> Any:
    """The JSON of an answer; lines of the server's log may stand around it."""
    return json.JSONDecoder().raw_decode(answer.output[answer.output.index('{\n "ok"') :])[0]


def wrong(shop: Shop) -> dict[str, str]:
    """What is wrong, each with how to mend it."""
    found = facts_in(run(shop, "check", "--json"))
    assert found["ok"] is not any(row["is_wrong"] for row in found["findings"])
    return {row["what"]: row["mend"] for row in found["findings"] if row["is_wrong"]}


@pytest.fixture
def sold(shop: Shop) -> Shop:
    """Two plans of one tier, at Stripe; everything set up."""
    tier = make_tier()
    for interval, amount in ((Interval.MONTH, 900), (Interval.YEAR, 9000), (Interval.ONCE, 2900)):
        make_plan(tier, interval, amount=amount)
    db.session.commit()
    bring_in_line(clock.now)
    for endpoint in list(stripe_gateway.webhook_endpoints()):
        shop.steering.put(endpoint["id"], url="https://elsewhere.example/hook")
    assert run(shop, "setup", "--yes").exit_code == 0
    return shop


def endpoint_of(shop: Shop) -> Any:
    return next(one for one in stripe_gateway.webhook_endpoints() if one["url"] == f"{shop.url}/billing/webhook")


def test_after_the_set_up_all_is_well(sold: Shop) -> None:
    answer = run(sold, "check")
    assert answer.exit_code == 0, answer.output
    assert "no money moves" in answer.output
    assert "Wrong" not in answer.output
    assert wrong(sold) == {}
    assert "as they should be" in run(sold, "setup").output


def test_a_site_that_has_nothing_set_up_is_told_what_to_do(shop: Shop) -> None:
    for endpoint in list(stripe_gateway.webhook_endpoints()):
        shop.steering.put(endpoint["id"], url="https://elsewhere.example/hook")
    make_plan()
    found = wrong(shop)
    assert any("no webhook endpoint" in words for words in found)
    assert any("Customer Portal is not set up" in words for words in found)
    assert any("New price" in words for words in found)
    assert {mend.partition("Run ")[2] for mend in found.values()} == {
        "flask --app courseapp billing setup.",
        "flask --app courseapp billing sync.",
    }


def test_the_set_up_asks_before_and_tells_the_secret_once(shop: Shop) -> None:
    for endpoint in list(stripe_gateway.webhook_endpoints()):
        shop.steering.put(endpoint["id"], url="https://elsewhere.example/hook")
    count = len(list(stripe_gateway.webhook_endpoints()))
    assert run(shop, "setup", answer="n\n").exit_code == 1
    assert len(list(stripe_gateway.webhook_endpoints())) == count
    answer = run(shop, "setup", answer="y\n")
    assert answer.output.count("whsec_") == 1
    made = endpoint_of(shop)
    assert (made["api_version"], set(made["enabled_events"])) == (stripe_gateway.api_version(), set(stripe_gateway.EVENT_TYPES))
    assert "whsec_" not in run(shop, "setup", "--yes").output


def test_an_endpoint_that_is_off_or_lacks_events_is_mended(sold: Shop) -> None:
    sold.steering.put(endpoint_of(sold)["id"], status="disabled", enabled_events=["invoice.paid"])
    [words] = wrong(sold)
    assert "switched off" in words
    assert "refund.failed" in words
    run(sold, "setup", "--yes")
    assert wrong(sold) == {}


def test_an_endpoint_of_another_version_is_followed_by_a_new_one_and_then_switched_off(sold: Shop) -> None:
    old = endpoint_of(sold)["id"]
    sold.steering.put(old, api_version="2024-06-20")
    assert any("2024-06-20" in words for words in wrong(sold))
    assert "whsec_" in run(sold, "setup", "--yes").output
    assert any("Another endpoint" in words for words in wrong(sold))
    run(sold, "setup", "--yes")
    assert wrong(sold) == {}
    assert {one["id"]: one["status"] for one in stripe_gateway.webhook_endpoints()}[old] == "disabled"


def test_the_portal_offers_our_recurring_prices_and_follows_them(sold: Shop) -> None:
    portal = next(stripe_gateway.portal_configurations())
    another = portal["features"]["subscription_update"]
    assert [len(row["prices"]) for row in another["products"]] == [2]
    assert {row["type"] for row in another["schedule_at_period_end"]["conditions"]} == {"decreasing_item_amount", "shortening_interval"}
    make_plan(make_tier(), amount=1900)
    db.session.commit()
    bring_in_line(clock.now)
    [words] = wrong(sold)
    assert "other plans" in words
    run(sold, "setup", "--yes")
    assert wrong(sold) == {}


def test_a_portal_that_lets_nobody_cancel_is_mended(sold: Shop) -> None:
    portal = next(stripe_gateway.portal_configurations())["id"]
    features: dict[str, Any] = {"subscription_cancel": {"enabled": False}, "invoice_history": {"enabled": False}}
    stripe_gateway.update("billing_portal.configurations", portal, {"features": features})
    [words] = wrong(sold)
    assert "cancelling" in words
    assert "invoices" in words
    run(sold, "setup", "--yes")
    assert wrong(sold) == {}


@pytest.mark.parametrize(
    ("path", "permission"),
    [("/v1/subscriptions", "Subscriptions: Write"), ("/v1/events", "Events: Read"), ("/v1/webhook_endpoints", "Webhook Endpoints: Write")],
)
def test_what_the_key_may_not_do_is_named_by_its_permission(sold: Shop, path: str, permission: str) -> None:
    sold.steering.fail("403", times=None, path=path)
    [mend] = wrong(sold).values()
    assert permission in mend


def test_a_wrong_key_and_a_stripe_that_is_away_are_told_apart(sold: Shop) -> None:
    sold.steering.fail("503", times=None)
    assert "status.stripe.com" in str(wrong(sold))
    sold.steering.heal()
    sold.fake.key = "sk_test_another"
    assert "STRIPE_SECRET_KEY" in str(wrong(sold))


def test_what_is_sold_in_a_currency_of_no_setting_is_told(sold: Shop) -> None:
    make_plan(prices={"jpy": 900})
    db.session.commit()
    bring_in_line(clock.now)
    assert any("jpy" in words for words in wrong(sold))


def test_sync_by_command_tells_what_it_does(shop: Shop) -> None:
    make_plan(make_tier(name="The tier"))
    dry = run(shop, "sync", "--dry-run")
    assert (dry.exit_code, "To do: New price: The tier" in dry.output) == (0, True)
    done = facts_in(run(shop, "sync", "--json"))
    assert (done["ok"], [line["outcome"] for line in done["lines"]]) == (True, ["done", "done"])
    assert "Nothing differs" in run(shop, "sync").output
    shop.steering.fail("500", times=None)
    away = run(shop, "sync")
    assert (away.exit_code, "Nothing was changed" in away.output) == (1, True)


@pytest.mark.parametrize("words", [["check"], ["setup", "--yes"], ["sync"]])
def test_without_a_key_the_commands_say_how_to_begin(make_app: Any, words: list[str]) -> None:
    app = make_app()
    with app.app_context():
        answer = app.test_cli_runner().invoke(args=["billing", *words])
    assert (answer.exit_code, "STRIPE_SECRET_KEY is not set" in answer.output) == (1, True)
