"""The fake Stripe's Customer Portal: set up by the API, clicked through by an HTTP client."""

from typing import Any

import pytest
import stripe

from tests.fakes.clicking import Clicker
from tests.fakes.conftest import Shop
from tests.fakes.receiving import Receiver
from tests.fakes.stripe_server import FakeStripe, Steering
from tests.fakes.subscribers import Subscriber, news, subscribed


@pytest.fixture
def portal(client: Any, shop: Shop) -> Any:
    prices = [shop.monthly.id, shop.better.id, shop.yearly.id]
    later = {"conditions": [{"type": "decreasing_item_amount"}, {"type": "shortening_interval"}]}
    return client.billing_portal.configurations.create({
        "features": {
            "invoice_history": {"enabled": True}, "payment_method_update": {"enabled": True},
            "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
            "subscription_update": {
                "enabled": True, "default_allowed_updates": ["price"], "proration_behavior": "always_invoice",
                "products": [{"product": shop.product.id, "prices": prices}], "schedule_at_period_end": later,
            },
        },
    })  # fmt: skip


def enter(client: Any, person: Clicker, ada: Subscriber, **more: Any) -> Clicker:
    session = client.billing_portal.sessions.create({"customer": ada.now.customer.id, "return_url": "http://shop.example/me", **more})
    return person.visit(session.url)


def test_the_portal_needs_a_configuration(client: Any) -> None:
    customer = client.customers.create()
    with pytest.raises(stripe.InvalidRequestError, match="No configuration provided"):
        client.billing_portal.sessions.create({"customer": customer.id})


@pytest.mark.usefixtures("portal")
def test_the_portals_cancellation_is_cancel_at_alone(
    client: Any, shop: Shop, steering: Steering, person: Clicker, receiver: Receiver
) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    news(receiver, steering)
    enter(client, person, ada).press("Cancel subscription")
    assert (ada.now.cancel_at, ada.now.cancel_at_period_end, ada.now.status) == (ada.item.current_period_end, False, "active")
    steering.settle()
    assert set(receiver.only("customer.subscription.updated")["data"]["previous_attributes"]) == {
        "cancel_at", "canceled_at", "cancellation_details",
    }  # fmt: skip
    person.press("Don't cancel subscription")
    assert ada.now.cancel_at is None
    person.press("Cancel subscription")
    end = ada.now.cancel_at
    news(receiver, steering)
    steering.pass_time(days=40)
    assert (ada.now.status, ada.now.ended_at) == ("canceled", end)
    assert news(receiver, steering) == ["customer.subscription.deleted"]
    assert person.links["Back"] == "http://shop.example/me"


@pytest.mark.usefixtures("portal")
def test_the_portal_upgrades_at_once_and_downgrades_at_the_periods_end(
    client: Any, shop: Shop, steering: Steering, person: Clicker, receiver: Receiver
) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    enter(client, person, ada).press("Update plan", price=shop.better.id)
    assert (ada.item.price.id, ada.now.latest_invoice.amount_paid) == (shop.better.id, 2000)
    end = ada.item.current_period_end
    person.press("Update plan", price=shop.monthly.id)
    assert ada.item.price.id == shop.better.id
    assert ada.now.schedule.startswith("sub_sched_")
    steering.pass_time_until(end + 2 * 3_600)
    assert (ada.item.price.id, ada.now.schedule, ada.now.latest_invoice.amount_paid) == (shop.monthly.id, None, 1000)
    assert "customer.subscription.updated" in news(receiver, steering)


@pytest.mark.usefixtures("portal")
def test_the_portal_changes_the_card_and_lists_invoices(client: Any, shop: Shop, steering: Steering, person: Clicker) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    before = ada.now.default_payment_method
    enter(client, person, ada).press("Add a card")
    assert ada.now.default_payment_method != before
    assert ada.now.customer.invoice_settings.default_payment_method == ada.now.default_payment_method
    (invoice,) = [words for words in person.links if "10.00 EUR, paid" in words]
    assert "paid" in person.visit(person.links[invoice]).words


@pytest.mark.usefixtures("portal")
def test_a_flow_of_the_portal_leads_back_when_it_is_done(client: Any, shop: Shop, steering: Steering, person: Clicker) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    after = {"type": "redirect", "redirect": {"return_url": "http://shop.example/done"}}
    flow = {"type": "subscription_cancel", "subscription_cancel": {"subscription": ada.id}, "after_completion": after}
    enter(client, person, ada, flow_data=flow).press("Cancel subscription")
    assert person.url == "http://shop.example/done"


def test_a_configuration_is_read_and_changed(client: Any, portal: stripe.billing_portal.Configuration) -> None:
    changed = client.billing_portal.configurations.update(portal.id, {"features": {"invoice_history": {"enabled": False}}})
    assert not changed.features.invoice_history.enabled
    assert changed.features.subscription_cancel.enabled
    assert [one.id for one in client.billing_portal.configurations.list({"is_default": True}).data] == [portal.id]


def test_the_portal_offers_only_what_is_configured(client: Any, shop: Shop, steering: Steering, person: Clicker) -> None:
    client.billing_portal.configurations.create({"features": {"invoice_history": {"enabled": True}}})
    enter(client, person, subscribed(client, steering, shop.session(shop.monthly)))
    assert person.buttons == set()


@pytest.mark.usefixtures("portal")
def test_the_portal_does_nothing_for_somebody_else(client: Any, shop: Shop, steering: Steering, person: Clicker, fake: FakeStripe) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    eve = subscribed(client, steering, shop.session(shop.monthly))
    enter(client, person, ada).press("Cancel subscription", subscription=eve.id)
    assert (person.status, eve.now.cancel_at) == (404, None)
    enter(client, person, ada).press("Update plan", price=shop.course.id)
    assert (person.status, "not offered" in person.words) == (400, True)
    assert person.visit(f"{fake.url}/p/session/bps_nothing").status == 404
