"""Subscriptions of the fake Stripe over time: renewals, failures, trials, changes of plan, ends."""

from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from tests.fakes.clicking import Clicker
from tests.fakes.conftest import Shop
from tests.fakes.receiving import Receiver
from tests.fakes.stripe.subscribing import period_after
from tests.fakes.stripe_server import Steering
from tests.fakes.subscribers import DAY, Subscriber, news, subscribed

# --- renewals ---


def test_a_subscription_is_renewed(client: Any, shop: Shop, steering: Steering, receiver: Receiver) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    first_end = ada.item.current_period_end
    news(receiver, steering)
    steering.pass_time_until(first_end - 8 * DAY)
    assert news(receiver, steering) == []
    steering.pass_time(days=2)
    steering.settle()
    assert receiver.only("invoice.upcoming")["data"]["object"]["amount_due"] == 1000
    assert news(receiver, steering) == ["invoice.upcoming"]
    steering.pass_time_until(first_end + 60)
    steering.settle()
    updated = receiver.only("customer.subscription.updated")
    assert set(updated["data"]["previous_attributes"]) == {"items", "latest_invoice"}
    assert updated["created"] == first_end
    assert news(receiver, steering) == ["invoice.created", "customer.subscription.updated"]
    assert (ada.item.current_period_start, ada.now.status, ada.now.latest_invoice.status) == (first_end, "active", "draft")
    steering.pass_time(hours=1)
    assert news(receiver, steering) == ["invoice.finalized", "invoice.paid", "invoice.payment_succeeded"]
    assert (ada.now.latest_invoice.status, ada.now.latest_invoice.billing_reason) == ("paid", "subscription_cycle")


def test_a_year_has_twelve_renewals(client: Any, shop: Shop, steering: Steering) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    steering.pass_time(days=366)
    assert len(client.invoices.list({"subscription": ada.id, "limit": 100, "status": "paid"}).data) == 13


def test_the_last_day_of_a_month_comes_back() -> None:
    anchor = int(datetime(2027, 1, 31, 12, tzinfo=UTC).timestamp())
    monthly = {"interval": "month", "interval_count": 1}
    ends = [anchor]
    for _ in range(3):
        ends.append(period_after(anchor, ends[-1], monthly))
    assert [datetime.fromtimestamp(end, UTC).strftime("%m-%d") for end in ends] == ["01-31", "02-28", "03-31", "04-30"]


@pytest.mark.parametrize(("end", "status"), [("cancel", "canceled"), ("unpaid", "unpaid"), ("past_due", "past_due")])
def test_a_failed_renewal_is_tried_again_and_ends_as_set_up(
    client: Any, shop: Shop, steering: Steering, receiver: Receiver, end: str, status: str
) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    steering.set(retry_days=[3, 5], dunning_end=end)
    steering.card(ada.now.customer.id, "declines")
    news(receiver, steering)
    steering.pass_time_until(ada.item.current_period_end + 2 * 3_600)
    assert (ada.now.status, ada.now.customer.delinquent, ada.now.latest_invoice.attempt_count) == ("past_due", True, 1)
    assert news(receiver, steering)[-2:] == ["invoice.payment_failed", "customer.subscription.updated"]
    assert ada.now.latest_invoice.next_payment_attempt == ada.item.current_period_start + 3_600 + 3 * DAY
    steering.pass_time(days=4)
    assert (ada.now.status, news(receiver, steering)) == ("past_due", ["invoice.payment_failed"])
    steering.pass_time(days=5)
    last = {"cancel": "customer.subscription.deleted", "unpaid": "customer.subscription.updated"}
    assert news(receiver, steering) == ["invoice.payment_failed", *([last[end]] if end in last else [])]
    assert (ada.now.status, ada.now.latest_invoice.status, ada.now.latest_invoice.attempt_count) == (status, "open", 3)
    assert ada.now.cancellation_details.reason == ("payment_failed" if end == "cancel" else None)


def test_a_later_try_succeeds(client: Any, shop: Shop, steering: Steering) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    steering.card(ada.now.customer.id, "declines")
    steering.pass_time(days=32)
    assert ada.now.status == "past_due"
    steering.card(ada.now.customer.id, "pays")
    steering.pass_time(days=4)
    assert (ada.now.status, ada.now.customer.delinquent, ada.now.latest_invoice.status) == ("active", False, "paid")


def test_who_must_ask_their_bank_pays_at_the_hosted_invoice(
    client: Any, shop: Shop, steering: Steering, person: Clicker, receiver: Receiver
) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    steering.card(ada.now.customer.id, "requires_action")
    steering.pass_time(days=32)
    assert ada.now.status == "past_due"
    steering.settle()
    invoice = receiver.only("invoice.payment_action_required")["data"]["object"]
    assert receiver.types.index("invoice.payment_action_required") < receiver.types.index("invoice.payment_failed")
    person.visit(invoice["hosted_invoice_url"]).press("Pay with a card that is declined")
    assert "Your card was declined." in person.words
    person.press("Pay")
    assert "10.00 EUR, paid" in person.words
    assert ada.now.status == "active"


def test_credit_is_used_for_the_next_invoice(client: Any, shop: Shop, steering: Steering) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    client.customers.update(ada.now.customer.id, {"balance": -300})
    steering.pass_time(days=32)
    invoice = ada.now.latest_invoice
    assert (invoice.total, invoice.amount_paid, invoice.starting_balance, invoice.ending_balance) == (1000, 700, -300, 0)


@pytest.mark.parametrize(
    ("duration", "paid"), [({"duration": "once"}, [500, 1000, 1000]), ({"duration": "forever"}, [500, 500, 500]),
                           ({"duration": "repeating", "duration_in_months": 2}, [500, 500, 1000])],
)  # fmt: skip
def test_a_coupon_counts_as_long_as_it_says(client: Any, shop: Shop, steering: Steering, duration: Any, paid: list[int]) -> None:
    coupon = client.coupons.create({"percent_off": 50, **duration})
    ada = subscribed(client, steering, shop.session(shop.monthly, discounts=[{"coupon": coupon.id}]))
    assert client.subscriptions.retrieve(ada.id, {"expand": ["discounts"]}).discounts[0].source.coupon == coupon.id
    steering.pass_time(days=63)
    assert [one.amount_paid for one in reversed(client.invoices.list({"subscription": ada.id}).data)] == paid


# --- trials ---


def test_a_trial_ends_with_a_payment(client: Any, shop: Shop, steering: Steering, receiver: Receiver, person: Clicker) -> None:
    session = shop.session(shop.monthly, subscription_data={"trial_period_days": 14})
    person.visit(session.url)
    assert "nothing is paid today" in person.words
    person.press("Pay", email="ada@example.org")
    ada = Subscriber(client, session)
    assert client.checkout.sessions.retrieve(session.id).payment_status == "no_payment_required"
    assert (ada.now.status, ada.now.trial_end - ada.now.trial_start, ada.now.latest_invoice.total) == ("trialing", 14 * DAY, 0)
    assert receiver.only("customer.subscription.created")["data"]["object"]["status"] == "trialing"
    news(receiver, steering)
    steering.pass_time(days=10)
    assert news(receiver, steering) == []
    steering.pass_time(days=1.5)
    assert news(receiver, steering) == ["customer.subscription.trial_will_end"]
    steering.pass_time(days=3)
    assert (ada.now.status, ada.now.latest_invoice.amount_paid) == ("active", 1000)
    assert ada.item.current_period_start == ada.now.trial_end
    assert "customer.subscription.updated" in news(receiver, steering)


@pytest.mark.parametrize(
    ("behavior", "status", "event"),
    [
        ("cancel", "canceled", "customer.subscription.deleted"),
        ("pause", "paused", "customer.subscription.paused"),
        ("create_invoice", "past_due", "invoice.payment_failed"),
    ],
)
def test_a_trial_without_a_card_ends_as_set_up(
    client: Any, shop: Shop, steering: Steering, receiver: Receiver, person: Clicker, behavior: str, status: str, event: str
) -> None:
    data = {"trial_period_days": 7, "trial_settings": {"end_behavior": {"missing_payment_method": behavior}}}
    session = shop.session(shop.monthly, subscription_data=data, payment_method_collection="if_required")
    person.visit(session.url).press("Start the trial without a card", email="ada@example.org")
    ada = Subscriber(client, session)
    assert ada.now.default_payment_method is None
    steering.pass_time(days=8)
    assert ada.now.status == status
    assert event in news(receiver, steering)


def test_a_trial_can_be_made_longer(client: Any, shop: Shop, steering: Steering) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly, subscription_data={"trial_period_days": 7}))
    client.subscriptions.update(ada.id, {"trial_end": ada.now.trial_end + 7 * DAY})
    steering.pass_time(days=8)
    assert ada.now.status == "trialing"
    steering.pass_time(days=7)
    assert ada.now.status == "active"
    with pytest.raises(stripe.InvalidRequestError, match="begins no trial"):
        client.subscriptions.update(ada.id, {"trial_end": steering.now() + DAY})


def test_a_card_is_needed_unless_the_session_says_otherwise(shop: Shop, steering: Steering) -> None:
    session = shop.session(shop.monthly, subscription_data={"trial_period_days": 7})
    assert steering.buy(session.id, "without_card", email="ada@example.org") == "A card is needed."


def test_a_trial_can_be_ended_now(client: Any, shop: Shop, steering: Steering) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly, subscription_data={"trial_period_days": 7}))
    client.subscriptions.update(ada.id, {"trial_end": "now"})
    steering.pass_time(hours=2)
    assert (ada.now.status, ada.now.latest_invoice.amount_paid) == ("active", 1000)


# --- changes by the API ---


def test_an_upgrade_is_prorated_on_the_next_invoice_or_at_once(client: Any, shop: Shop, steering: Steering) -> None:
    for behavior, total in (("create_prorations", 4000), ("always_invoice", 3000), ("none", 3000)):
        ada = subscribed(client, steering, shop.session(shop.monthly))
        start, end = ada.item.current_period_start, ada.item.current_period_end
        steering.pass_time_until((start + end) // 2)
        change = {"items": [{"id": ada.item.id, "price": shop.better.id}], "proration_behavior": behavior}
        client.subscriptions.update(ada.id, change)
        assert ada.item.price.id == shop.better.id
        if behavior == "always_invoice":
            lines = ada.now.latest_invoice.lines.data
            assert [line.amount for line in lines] == [-500, 1500]
            assert lines[0].parent.invoice_item_details.proration
            assert (ada.now.latest_invoice.billing_reason, ada.now.latest_invoice.amount_paid) == ("subscription_update", 1000)
        steering.pass_time_until(end + 2 * 3_600)
        assert (ada.now.latest_invoice.total, ada.now.status) == (total, "active")


def test_a_change_from_month_to_year_begins_a_period_and_is_paid_at_once(client: Any, shop: Shop, steering: Steering) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    steering.pass_time_until((ada.item.current_period_start + ada.item.current_period_end) // 2)
    client.subscriptions.update(ada.id, {"items": [{"id": ada.item.id, "price": shop.yearly.id}]})
    assert ada.item.current_period_end - ada.item.current_period_start == 365 * DAY
    assert ada.now.latest_invoice.amount_paid == 10000 - 500


def test_the_api_schedules_an_end_and_takes_it_back(client: Any, shop: Shop, steering: Steering, receiver: Receiver) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    news(receiver, steering)
    client.subscriptions.update(ada.id, {"cancel_at_period_end": True})
    assert (ada.now.cancel_at_period_end, ada.now.cancel_at) == (True, ada.item.current_period_end)
    client.subscriptions.update(ada.id, {"cancel_at_period_end": False})
    assert (ada.now.cancel_at_period_end, ada.now.cancel_at, ada.now.canceled_at) == (False, None, None)
    client.subscriptions.update(ada.id, {"metadata": {"why": "x"}})
    assert news(receiver, steering) == ["customer.subscription.updated"] * 3


def test_a_subscription_is_ended_at_once_and_cannot_be_changed_any_more(
    client: Any, shop: Shop, steering: Steering, receiver: Receiver
) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    assert client.subscriptions.cancel(ada.id).status == "canceled"
    assert (ada.now.ended_at, ada.now.cancellation_details.reason) == (ada.now.canceled_at, "cancellation_requested")
    refusals: Any = (lambda: client.subscriptions.cancel(ada.id), lambda: client.subscriptions.update(ada.id, {"cancel_at": ""}))
    for refused in refusals:
        with pytest.raises(stripe.InvalidRequestError):
            refused()
    assert client.subscriptions.list().data == []
    assert [one.id for one in client.subscriptions.list({"status": "all"}).data] == [ada.id]
    assert news(receiver, steering)[-1] == "customer.subscription.deleted"
    steering.pass_time(days=40)
    assert news(receiver, steering) == []


def test_items_can_be_read_by_themselves(client: Any, shop: Shop, steering: Steering) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    (item,) = client.subscription_items.list({"subscription": ada.id}).data
    assert client.subscription_items.retrieve(item.id).price.id == shop.monthly.id
    assert item.plan.amount == 1000


def test_an_old_price_keeps_its_subscribers(client: Any, shop: Shop, steering: Steering) -> None:
    ada = subscribed(client, steering, shop.session(shop.monthly))
    steering.raise_price(shop.monthly.id, 1500)
    steering.pass_time(days=32)
    assert (ada.item.price.id, ada.now.latest_invoice.amount_paid) == (shop.monthly.id, 1000)
