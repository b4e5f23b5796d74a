"""Checkout Sessions of the fake Stripe: made by the real SDK, clicked through by an HTTP client and by a real browser."""

from typing import TYPE_CHECKING, Any

import pytest
import stripe

from tests.browser import watched
from tests.conftest import NOW
from tests.fakes.clicking import Clicker
from tests.fakes.conftest import HOME, Shop
from tests.fakes.receiving import Receiver
from tests.fakes.stripe_server import FakeStripe, Steering

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAID_ONCE = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "checkout.session.completed"]


def since(receiver: Receiver, type: str) -> list[str]:
    """The types that came, from the first of a type on."""
    return receiver.types[receiver.types.index(type) :]


def test_a_one_off_purchase_is_clicked_through(client: Any, shop: Shop, person: Clicker, steering: Steering, receiver: Receiver) -> None:
    data = {"metadata": {"order": "9"}, "statement_descriptor_suffix": "COURSE"}
    session = shop.session(shop.course, client_reference_id="checkout-7", metadata={"plan": "course"}, payment_intent_data=data)
    assert (session.status, session.payment_status, session.amount_total, session.currency) == ("open", "unpaid", 4900, "eur")
    assert (session.payment_intent, session.customer) == (None, None)
    person.visit(session.url)
    assert "1 × Quiet course: 49.00 EUR" in person.words
    person.press("Pay", email="ada@example.org", name="Ada")
    assert person.url == HOME.replace("{CHECKOUT_SESSION_ID}", session.id)
    bought = client.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge", "line_items"]})
    assert (bought.status, bought.payment_status, bought.url, bought.customer) == ("complete", "paid", None, None)
    assert (bought.customer_details.email, bought.customer_details.name) == ("ada@example.org", "Ada")
    assert bought.client_reference_id == "checkout-7"
    assert bought.payment_intent.metadata.order == "9"
    assert (bought.payment_intent.latest_charge.amount, bought.payment_intent.latest_charge.paid) == (4900, True)
    assert bought.line_items.data[0].price.id == shop.course.id
    assert since(receiver, "payment_intent.created") == PAID_ONCE
    event = receiver.only("checkout.session.completed")
    assert (event["livemode"], event["api_version"], event["data"]["object"]["payment_status"]) == (False, "2026-10-28.endive", "paid")
    assert NOW.timestamp() <= event["created"] < NOW.timestamp() + 60
    assert client.checkout.sessions.list({"payment_intent": bought.payment_intent.id}).data[0].id == session.id


def test_a_subscription_is_clicked_through(client: Any, shop: Shop, person: Clicker, receiver: Receiver) -> None:
    session = shop.session(shop.monthly, subscription_data={"metadata": {"plan": "monthly"}}, customer_email="ada@example.org")
    person.visit(session.url).press("Pay")
    bought = client.checkout.sessions.retrieve(session.id, {"expand": ["subscription.latest_invoice.payments"]})
    subscription = bought.subscription
    assert (bought.payment_status, subscription.status, subscription.metadata.plan) == ("paid", "active", "monthly")
    assert not hasattr(subscription, "current_period_end")
    assert subscription.items.data[0].current_period_end == int(NOW.replace(month=12).timestamp()) + subscription.created - int(
        NOW.timestamp()
    )
    invoice = subscription.latest_invoice
    assert (invoice.status, invoice.amount_paid, invoice.billing_reason) == ("paid", 1000, "subscription_create")
    assert invoice.parent.subscription_details.subscription == subscription.id
    for gone in ("subscription", "payment_intent", "charge"):
        assert not hasattr(invoice, gone)
    intent = client.payment_intents.retrieve(invoice.payments.data[0].payment.payment_intent)
    assert not hasattr(client.charges.retrieve(intent.latest_charge), "invoice")
    payments = client.invoice_payments.list({"payment": {"type": "payment_intent", "payment_intent": intent.id}})
    assert payments.data[0].invoice == invoice.id
    assert since(receiver, "customer.created") == [
        "customer.created", "payment_method.attached", "payment_intent.created", "charge.succeeded", "payment_intent.succeeded",
        "customer.subscription.created", "invoice.created", "invoice.finalized", "invoice.paid", "invoice.payment_succeeded",
        "invoice_payment.paid", "customer.subscription.updated", "checkout.session.completed",
    ]  # fmt: skip
    created, updated = receiver.only("customer.subscription.created"), receiver.only("customer.subscription.updated")
    assert created["data"]["object"]["status"] == "incomplete"
    assert updated["data"]["previous_attributes"] == {"status": "incomplete"}
    assert "previous_attributes" not in created["data"]


@pytest.mark.parametrize("javascript", [True, False])
def test_a_real_browser_buys(browser: "Browser", fake: FakeStripe, client: Any, shop: Shop, javascript: bool) -> None:
    session = shop.session(shop.course, success_url=f"{fake.url}/?{{CHECKOUT_SESSION_ID}}")
    with watched(browser, fake.url, java_script_enabled=javascript) as page:
        page.goto(session.url or "")
        page.get_by_label("E-mail").fill("ada@example.org")
        page.get_by_role("button", name="Pay", exact=True).click()
        page.wait_for_url(f"{fake.url}/?{session.id}")
    assert client.checkout.sessions.retrieve(session.id).payment_status == "paid"


@pytest.mark.parametrize(
    ("button", "words", "code", "events"),
    [
        (
            "Pay with a card that is declined",
            "Your card was declined.",
            "card_declined",
            ["charge.failed", "payment_intent.payment_failed"],
        ),
        (
            "Pay, and fail the bank's check (3-D Secure)",
            "We are unable to authenticate your payment method.",
            "payment_intent_authentication_failure",
            ["payment_intent.requires_action", "payment_intent.payment_failed"],
        ),
    ],
)
def test_who_cannot_pay_may_try_again(
    client: Any, shop: Shop, person: Clicker, steering: Steering, receiver: Receiver, button: str, words: str, code: str, events: list[str]
) -> None:
    session = shop.session(shop.course, customer_email="ada@example.org")
    person.visit(session.url).press(button)
    assert words in person.words
    assert client.checkout.sessions.retrieve(session.id).status == "open"
    steering.settle()
    assert since(receiver, "payment_intent.created")[1:] == events
    assert receiver.only("payment_intent.payment_failed")["data"]["object"]["last_payment_error"]["code"] == code
    person.press("Pay")
    assert client.checkout.sessions.retrieve(session.id).payment_status == "paid"


def test_the_way_back_leads_to_the_cancel_url(shop: Shop, person: Clicker) -> None:
    person.visit(shop.session(shop.course).url)
    assert person.links == {"Back": "http://shop.example/"}
    assert person.press("Pay").words.count("Your e-mail address is missing.") == 1


@pytest.mark.parametrize(("outcome", "status"), [("succeeds", "paid"), ("fails", "unpaid")])
@pytest.mark.parametrize("by", ["clock", "order"])
def test_a_delayed_payment_comes_or_does_not(
    client: Any, shop: Shop, person: Clicker, steering: Steering, receiver: Receiver, outcome: str, status: str, by: str
) -> None:
    session = shop.session(shop.course, customer_email="ada@example.org")
    person.visit(session.url).press(f"Pay by a debit that takes days and {outcome}")
    waiting = client.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent"]})
    assert (waiting.status, waiting.payment_status, waiting.payment_intent.status) == ("complete", "unpaid", "processing")
    if by == "clock":
        steering.pass_time(days=2)
        assert client.checkout.sessions.retrieve(session.id).payment_status == "unpaid"
        steering.pass_time(days=2)
    else:
        steering.settle_payment(session.id, succeeds=outcome == "succeeds")
    assert client.checkout.sessions.retrieve(session.id).payment_status == status
    steering.settle()
    assert receiver.types[-1] == ("checkout.session.async_payment_" + {"succeeds": "succeeded", "fails": "failed"}[outcome])


@pytest.mark.parametrize(
    ("meanwhile", "outcome", "status"),
    [
        ("incomplete", "succeeds", "active"),
        ("incomplete", "fails", "incomplete_expired"),
        ("active", "succeeds", "active"),
        ("active", "fails", "past_due"),
    ],
)
def test_a_subscription_waits_for_its_delayed_payment(
    client: Any, shop: Shop, steering: Steering, meanwhile: str, outcome: str, status: str
) -> None:
    steering.set(while_processing=meanwhile)
    session = shop.session(shop.monthly)
    steering.buy(session.id, f"later_{outcome}", email="ada@example.org")
    assert client.checkout.sessions.retrieve(session.id).payment_status == "unpaid"
    steering.pass_time(days=2)
    (subscription,) = client.subscriptions.list().data
    assert subscription.status == meanwhile
    steering.pass_time(days=2)
    assert client.subscriptions.retrieve(subscription.id).status == status


def test_a_declined_card_leaves_no_subscription_and_no_invoice(client: Any, shop: Shop, steering: Steering) -> None:
    session = shop.session(shop.monthly)
    assert steering.buy(session.id, "decline", email="ada@example.org") == "Your card was declined."
    assert client.subscriptions.list({"status": "all"}).data == client.invoices.list().data == client.customers.list().data == []


def test_a_subscription_may_be_announced_as_active_from_the_start(client: Any, shop: Shop, steering: Steering, receiver: Receiver) -> None:
    steering.set(created_as="active")
    steering.buy(shop.session(shop.monthly).id, email="ada@example.org")
    steering.settle()
    assert receiver.only("customer.subscription.created")["data"]["object"]["status"] == "active"
    assert "customer.subscription.updated" not in receiver.types


def test_a_promotion_code_is_typed_in(client: Any, shop: Shop, person: Clicker) -> None:
    coupon = client.coupons.create({"percent_off": 33.3, "duration": "once"})
    promotion = client.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "THIRD", "max_redemptions": 1})
    session = shop.session(shop.course, allow_promotion_codes=True)
    person.visit(session.url).press("Apply", code="nothing")
    assert "This code is invalid." in person.words
    person.press("Apply", code="third")
    assert "Discount: −16.32 EUR" in person.words
    person.press("Pay", email="ada@example.org")
    bought = client.checkout.sessions.retrieve(session.id)
    assert (bought.amount_subtotal, bought.amount_total, bought.total_details.amount_discount) == (4900, 3268, 1632)
    assert bought.discounts[0].promotion_code == promotion.id
    person.visit(shop.session(shop.course, allow_promotion_codes=True).url).press("Apply", code="THIRD")
    assert "This code is invalid." in person.words


@pytest.mark.parametrize(
    ("restrictions", "is_taken"),
    [
        ({}, True),
        ({"minimum_amount": 4901, "minimum_amount_currency": "eur"}, False),
        ({"minimum_amount": 4900, "minimum_amount_currency": "eur"}, True),
        ({"minimum_amount": 1, "minimum_amount_currency": "usd"}, False),
        ({"first_time_transaction": True}, False),
    ],
)
def test_a_promotion_code_has_its_limits(
    client: Any, shop: Shop, steering: Steering, person: Clicker, restrictions: Any, is_taken: bool
) -> None:
    customer = client.customers.create({"email": "ada@example.org"})
    steering.buy(shop.session(shop.course, customer=customer.id).id)
    coupon = client.coupons.create({"amount_off": 900, "currency": "eur"})
    promotion = {"type": "coupon", "coupon": coupon.id}
    client.promotion_codes.create({"promotion": promotion, "code": "LIMITED", "restrictions": restrictions})
    person.visit(shop.session(shop.course, customer=customer.id, allow_promotion_codes=True).url).press("Apply", code="limited")
    assert ("Total: 40.00 EUR" in person.words) == is_taken
    assert ("This code is invalid." in person.words) != is_taken


def test_a_coupon_of_another_currency_or_that_is_used_up_is_refused(client: Any, shop: Shop, steering: Steering) -> None:
    dollars = client.coupons.create({"amount_off": 100, "currency": "usd"})
    once = client.coupons.create({"percent_off": 10, "max_redemptions": 1})
    steering.buy(shop.session(shop.course, discounts=[{"coupon": once.id}]).id, email="ada@example.org")
    for coupon in (dollars, once):
        with pytest.raises(stripe.InvalidRequestError, match="coupon"):
            shop.session(shop.course, discounts=[{"coupon": coupon.id}])


def test_a_discount_is_shared_out_over_the_line_items(client: Any, shop: Shop, steering: Steering) -> None:
    coupon = client.coupons.create({"amount_off": 1000, "currency": "eur", "duration": "forever"})
    lines = [{"price": shop.monthly.id, "quantity": 1}, {"price": shop.better.id, "quantity": 2}]
    session = shop.session(shop.monthly, line_items=lines, discounts=[{"coupon": coupon.id}])
    assert [line.amount_discount for line in client.checkout.sessions.line_items.list(session.id).data] == [143, 857]
    steering.buy(session.id, email="ada@example.org")
    (invoice,) = client.invoices.list().data
    assert (invoice.total, invoice.amount_paid, client.charges.list().data[0].amount) == (6000, 6000, 6000)


@pytest.mark.parametrize("name", ["course", "monthly"])
def test_with_a_coupon_over_everything_nothing_is_paid(client: Any, shop: Shop, steering: Steering, name: str) -> None:
    coupon = client.coupons.create({"percent_off": 100, "duration": "forever"})
    session = shop.session(getattr(shop, name), discounts=[{"coupon": coupon.id}])
    steering.buy(session.id, email="ada@example.org")
    bought = client.checkout.sessions.retrieve(session.id)
    assert (bought.amount_total, bought.payment_status, bought.payment_intent) == (0, "no_payment_required", None)
    steering.pass_time(days=40)
    assert all(one.status == "active" for one in client.subscriptions.list().data)


def test_a_session_is_over_after_its_time_or_when_it_is_ended(
    client: Any, shop: Shop, person: Clicker, steering: Steering, receiver: Receiver
) -> None:
    ended, left = shop.session(shop.course), shop.session(shop.course)
    client.checkout.sessions.expire(ended.id)
    with pytest.raises(stripe.InvalidRequestError, match="status of expired"):
        client.checkout.sessions.expire(ended.id)
    assert "expired" in person.visit(f"{ended.url}").words
    steering.pass_time(hours=25)
    assert client.checkout.sessions.retrieve(left.id).status == "expired"
    steering.settle()
    assert receiver.types.count("checkout.session.expired") == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"mode": "subscription"}, "at least one recurring price"),
        ({"customer_email": "a@example.org", "customer": "?"}, "only specify one"),
        ({"allow_promotion_codes": True, "discounts": [{"coupon": "x"}]}, "only specify one"),
        ({"subscription_data": {"trial_period_days": 7}}, "can not pass `subscription_data`"),
        ({"expires_at": 1}, "at least 30 minutes"),
        ({"line_items": [{"quantity": 1}]}, "Missing required param: line_items"),
        ({"payment_intent_data": {"capture_method": "manual"}}, "does not do 'payment_intent_data"),
        ({"ui_mode": "embedded_page"}, "hosted pages"),
        ({"discounts": [{"coupon": "nothing"}]}, "No such coupon"),
    ],
)
def test_contradictions_are_refused(client: Any, shop: Shop, more: Any, words: str) -> None:
    if more.get("customer"):
        more = {**more, "customer": client.customers.create().id}
    with pytest.raises(stripe.InvalidRequestError, match=words):
        shop.session(shop.course, **more)


def test_a_one_off_purchase_may_have_a_customer_and_an_invoice(client: Any, shop: Shop, steering: Steering) -> None:
    session = shop.session(shop.course, customer_creation="always", invoice_creation={"enabled": True})
    steering.buy(session.id, email="ada@example.org", name="Ada")
    bought = client.checkout.sessions.retrieve(session.id, {"expand": ["customer", "invoice"]})
    assert bought.customer.email == "ada@example.org"
    assert (bought.invoice.status, bought.invoice.amount_paid, bought.invoice.parent) == ("paid", 4900, None)


def test_a_session_of_a_known_customer_asks_for_no_address(client: Any, shop: Shop, steering: Steering, person: Clicker) -> None:
    customer = client.customers.create({"email": "ada@example.org"})
    session = shop.session(shop.monthly, customer=customer.id, automatic_tax={"enabled": True})
    person.visit(session.url)
    person.press("Pay")
    assert client.subscriptions.list({"customer": customer.id}).data[0].automatic_tax.enabled
    assert len(client.customers.list().data) == 1
    assert client.checkout.sessions.list({"customer": customer.id}).data[0].id == session.id
    assert "You're all done here" in person.visit(f"{session.url}").words


def test_the_browser_goes_on_when_the_webhook_was_answered(shop: Shop, person: Clicker, receiver: Receiver) -> None:
    receiver.pause = 0.1
    person.visit(shop.session(shop.course).url).press("Pay", email="ada@example.org")
    assert receiver.types[-1] == "checkout.session.completed"


def test_amounts_without_cents_are_shown_so(shop: Shop, person: Clicker) -> None:
    price = shop.price(1800, "yen", "month", currency="jpy")
    assert "1800 JPY" in person.visit(shop.session(price).url).words
