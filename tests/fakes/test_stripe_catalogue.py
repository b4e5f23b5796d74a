"""The fake Stripe's products, prices, customers, coupons and promotion codes, through the real SDK."""

from decimal import Decimal
from typing import Any

import pytest
import stripe

from tests.fakes.conftest import Shop
from tests.fakes.receiving import Receiver
from tests.fakes.stripe_server import Steering


def test_a_product_is_made_changed_and_deleted(client: Any, steering: Steering, receiver: Receiver) -> None:
    product = client.products.create({"name": "Course", "metadata": {"tier": "plus"}})
    changed = client.products.update(product.id, {"name": "Better course", "active": False, "description": "All of it"})
    assert (changed.name, changed.active, changed.metadata.tier) == ("Better course", False, "plus")
    assert [one.id for one in client.products.list({"active": False}).data] == [product.id]
    assert client.products.delete(product.id).deleted is True
    steering.settle()
    assert receiver.types == ["product.created", "product.updated", "product.deleted"]
    previous = receiver.only("product.updated")["data"]["previous_attributes"]
    assert {name: previous[name] for name in ("name", "active", "description")} == {"name": "Course", "active": True, "description": None}


def test_a_product_with_prices_stays(client: Any, shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="cannot be deleted"):
        client.products.delete(shop.product.id)


def test_prices_are_found_by_their_lookup_keys(client: Any, shop: Shop) -> None:
    found = client.prices.list({"lookup_keys": ["monthly", "yearly"], "active": True})
    assert {price.id for price in found.data} == {shop.monthly.id, shop.yearly.id}
    assert shop.monthly.recurring is not None
    assert shop.monthly.recurring.interval == "month"
    assert (shop.course.type, shop.course.unit_amount, shop.course.unit_amount_decimal) == ("one_time", 4900, Decimal(4900))


def test_a_lookup_key_goes_over_to_a_new_price(client: Any, shop: Shop, steering: Steering, receiver: Receiver) -> None:
    values = {
        "product": shop.product.id,
        "currency": "eur",
        "unit_amount": 1200,
        "lookup_key": "monthly",
        "recurring": {"interval": "month"},
    }
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        client.prices.create(values)
    new = client.prices.create({**values, "transfer_lookup_key": True})
    assert client.prices.list({"lookup_keys": ["monthly"]}).data[0].id == new.id
    assert client.prices.retrieve(shop.monthly.id).lookup_key is None
    steering.settle()
    assert receiver.only("price.updated")["data"]["previous_attributes"] == {"lookup_key": "monthly"}


def test_staff_may_raise_a_price(client: Any, shop: Shop, steering: Steering) -> None:
    new = steering.raise_price(shop.monthly.id, 1500)
    assert client.prices.list({"lookup_keys": ["monthly"]}).data[0].id == new["id"]
    assert client.prices.retrieve(shop.monthly.id).active


def test_a_price_has_other_currencies_also_without_cents(client: Any, shop: Shop) -> None:
    options = {"jpy": {"unit_amount": 1800}, "usd": {"unit_amount": 1100}}
    price = shop.price(1000, "three", "month", currency_options=options)
    assert not hasattr(price, "currency_options")
    whole = client.prices.retrieve(price.id, {"expand": ["currency_options"]})
    assert {name: whole.currency_options[name].unit_amount for name in ("eur", "jpy", "usd")} == {"eur": 1000, "jpy": 1800, "usd": 1100}
    assert shop.session(price, currency="jpy").amount_total == 1800
    with pytest.raises(stripe.InvalidRequestError, match="only supports `eur`"):
        shop.session(price, currency="chf")


def test_a_price_is_switched_off_and_sells_no_more(client: Any, shop: Shop) -> None:
    client.prices.update(shop.course.id, {"active": False})
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        shop.session(shop.course)


def test_a_customer_is_made_changed_and_deleted(client: Any, steering: Steering, receiver: Receiver) -> None:
    customer = client.customers.create({"email": "a@example.org", "name": "Ada", "metadata": {"user": "7"}})
    client.customers.update(customer.id, {"email": "b@example.org"})
    assert client.customers.list({"email": "b@example.org"}).data[0].metadata.user == "7"
    assert client.customers.delete(customer.id).deleted is True
    assert client.customers.retrieve(customer.id).deleted is True
    assert client.customers.list().data == []
    steering.settle()
    assert receiver.types == ["customer.created", "customer.updated", "customer.deleted"]


def test_a_deleted_customers_subscription_is_over(client: Any, shop: Shop, steering: Steering) -> None:
    session = shop.session(shop.monthly)
    steering.buy(session.id, email="a@example.org")
    subscription = client.subscriptions.list().data[0]
    client.customers.delete(subscription.customer)
    assert client.subscriptions.retrieve(subscription.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        shop.session(shop.monthly, customer=subscription.customer)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "exactly one of"),
        ({"amount_off": 100}, "currency"),
        ({"percent_off": 10, "duration": "repeating"}, "duration_in_months"),
        ({"percent_off": 10, "applies_to": {"products": ["x"]}}, "does not do 'applies_to'"),
    ],
)
def test_a_coupon_that_cannot_be_is_refused(client: Any, params: Any, words: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=words):
        client.coupons.create(params)


def test_a_promotion_code_leads_to_its_coupon_by_promotion(client: Any) -> None:
    coupon = client.coupons.create({"percent_off": 25.5, "duration": "forever", "id": "QUARTER"})
    code = client.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "SPRING"})
    assert (code.promotion.type, code.promotion.coupon) == ("coupon", "QUARTER")
    assert not hasattr(code, "coupon")
    whole = client.promotion_codes.list({"code": "SPRING", "expand": ["data.promotion.coupon"]}).data[0]
    assert whole.promotion.coupon.percent_off == 25.5
    with pytest.raises(stripe.InvalidRequestError, match="already exists"):
        client.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "spring"})
    client.promotion_codes.update(code.id, {"active": False})
    assert client.promotion_codes.list({"active": True}).data == []
    assert client.coupons.delete("QUARTER").deleted is True
