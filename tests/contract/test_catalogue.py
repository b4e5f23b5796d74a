"""Products, prices and their lookup keys."""

import pytest

from courseapp.billing import stripe_gateway
from courseapp.billing.stripe_gateway import StripeRefusedError
from tests.contract.conftest import Side


def test_a_product_has_its_name_and_our_words_and_can_be_renamed(stripe_side: Side) -> None:
    product = stripe_side.product()
    changed = stripe_gateway.update("products", product["id"], {"name": stripe_side.name(" renamed")})
    assert (changed["id"], changed["metadata"]["tier"]) == (product["id"], "quiet")
    assert changed["name"] != product["name"]
    assert product["id"] in {one["id"] for one in stripe_gateway.products()}


def test_a_price_is_found_by_its_lookup_key(stripe_side: Side) -> None:
    product = stripe_side.product()
    once, monthly = stripe_side.price(product, 4900), stripe_side.price(product, 1000, "month")
    keys = [once["lookup_key"], monthly["lookup_key"], stripe_side.name("_of_nothing")]
    found = {price["id"]: price for price in stripe_gateway.prices(keys)}
    assert found.keys() == {once["id"], monthly["id"]}
    assert (found[once["id"]]["unit_amount"], found[once["id"]]["currency"], found[once["id"]]["recurring"]) == (4900, "eur", None)
    assert (found[monthly["id"]]["recurring"]["interval"], found[monthly["id"]]["recurring"]["interval_count"]) == ("month", 1)
    assert {price["id"] for price in stripe_gateway.prices(product=product["id"])} == {once["id"], monthly["id"]}


def test_any_number_of_lookup_keys_is_found_in_one_asking(stripe_side: Side) -> None:
    product = stripe_side.product()
    made = {price["lookup_key"]: price["id"] for price in (stripe_side.price(product, 100 + n) for n in range(12))}
    assert {price["lookup_key"]: price["id"] for price in stripe_gateway.prices(list(made))} == made


def test_no_lookup_keys_are_no_prices(stripe_side: Side) -> None:
    stripe_side.price(stripe_side.product())
    assert list(stripe_gateway.prices([])) == []


def test_a_lookup_key_goes_over_to_a_new_price(stripe_side: Side) -> None:
    product = stripe_side.product()
    old = stripe_side.price(product, 4900)
    with pytest.raises(StripeRefusedError):
        stripe_side.price(product, 5900, lookup_key=old["lookup_key"])
    new = stripe_side.price(product, 5900, lookup_key=old["lookup_key"], transfer_lookup_key=True)
    assert [price["id"] for price in stripe_gateway.prices([old["lookup_key"]])] == [new["id"]]
    kept = stripe_gateway.price(old["id"])
    assert kept is not None
    assert (kept["lookup_key"], kept["active"], kept["unit_amount"]) == (None, True, 4900)


def test_an_amount_never_changes(stripe_side: Side) -> None:
    with pytest.raises(StripeRefusedError) as refused:
        stripe_gateway.update("prices", stripe_side.price(stripe_side.product())["id"], {"unit_amount": 1})
    assert refused.value.param == "unit_amount"


def test_a_price_that_was_switched_off_can_be_read_and_not_sold(stripe_side: Side) -> None:
    price = stripe_side.price(stripe_side.product())
    assert stripe_gateway.update("prices", price["id"], {"active": False})["active"] is False
    found = stripe_gateway.price(price["id"])
    assert found is not None
    assert (found["active"], found["unit_amount"], found["lookup_key"]) == (False, 4900, price["lookup_key"])
    assert [one["id"] for one in stripe_gateway.prices([price["lookup_key"]])] == [price["id"]]
    with pytest.raises(StripeRefusedError):
        stripe_side.session(price)


def test_an_amount_without_cents_is_whole(stripe_side: Side) -> None:
    assert stripe_side.price(stripe_side.product(), 6000, currency="jpy")["unit_amount"] == 6000
