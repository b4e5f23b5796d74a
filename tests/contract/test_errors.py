"""What Stripe says no to, and as which of our errors it arrives."""

import pytest

from courseapp.billing import stripe_gateway
from courseapp.billing.stripe_gateway import StripeAwayError, StripeKeyError, StripeRefusedError
from tests.contract.conftest import Side, selling, test_key

ONES = ("subscription", "invoice", "charge", "payment_intent", "refund", "dispute", "customer", "price", "checkout_session")
BEGINNINGS = {"subscription": "sub", "invoice": "in", "charge": "ch", "payment_intent": "pi", "refund": "re", "dispute": "du"}


@pytest.mark.parametrize("kind", ONES)
@pytest.mark.usefixtures("stripe_side")
def test_what_is_not_there_is_none(kind: str) -> None:
    beginning = BEGINNINGS.get(kind, {"customer": "cus", "price": "price", "checkout_session": "cs_test"}.get(kind))
    assert getattr(stripe_gateway, kind)(f"{beginning}_0000000000000nobody") is None


def test_a_misspelt_parameter_is_refused_and_named(stripe_side: Side) -> None:
    with pytest.raises(StripeRefusedError) as refused:
        stripe_side.make("customers", {"emial": "ada@example.org"})
    assert (refused.value.code, refused.value.param) == ("parameter_unknown", "emial")
    assert "ada" not in str(refused.value)


def test_a_price_that_is_not_there_cannot_be_sold(stripe_side: Side) -> None:
    with pytest.raises(StripeRefusedError) as refused:
        stripe_side.session({"id": "price_0000000000000nothing", "recurring": None})
    assert (refused.value.code, refused.value.param) == ("resource_missing", "line_items[0][price]")


def test_what_is_not_there_cannot_be_changed_or_ended(stripe_side: Side) -> None:
    for change in (
        lambda: stripe_gateway.update("subscriptions", "sub_0000000000000nobody", {"cancel_at_period_end": True}),
        lambda: stripe_gateway.cancel_subscription("sub_0000000000000nobody"),
        lambda: stripe_gateway.expire_checkout("cs_test_0000000000000nobody"),
    ):
        with pytest.raises(StripeRefusedError) as refused:
            change()
        assert refused.value.code == "resource_missing"
    assert stripe_side.prefix


def test_a_wrong_key_is_an_error_of_its_own(stripe_side: Side) -> None:
    url = stripe_side.fake.url if stripe_side.fake else ""
    with selling("sk_test_0000000000000000000000nobody", url):
        for ask in (stripe_gateway.account, lambda: stripe_gateway.customer("cus_nobody"), lambda: list(stripe_gateway.products())):
            with pytest.raises(StripeKeyError):
                ask()


def test_the_account_of_the_key_is_told(stripe_side: Side) -> None:
    account = stripe_gateway.account()
    assert account["object"] == "account"
    assert {"id", "country", "default_currency", "charges_enabled", "settings"} <= account.keys()
    assert stripe_side.prefix


@pytest.mark.usefixtures("stripe_side")
def test_a_key_that_moves_money_is_never_used_here() -> None:
    with selling("sk_live_0000000000000000000000nobody"), pytest.raises(StripeKeyError):
        stripe_gateway.account()


def test_a_sandbox_is_asked_with_a_key_for_tests_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_TEST_KEY", "sk_live_0000000000000000000000nobody")
    with pytest.raises(pytest.fail.Exception, match="must begin with sk_test_ or rk_test_"):
        test_key()


@pytest.mark.parametrize("what", ["500", "503", "429", "drop"])
def test_what_passes_by_itself_is_said_to(clicked_side: Side, what: str) -> None:
    clicked_side.steering.fail(what, times=None)
    listed = lambda: list(stripe_gateway.products())  # noqa: E731  # one of three ways of asking
    for ask in (stripe_gateway.account, lambda: stripe_gateway.create("customers", {}, clicked_side.name()), listed):
        with pytest.raises(StripeAwayError):
            ask()
    clicked_side.steering.heal()


def test_a_key_with_too_few_rights_is_a_wrong_key(clicked_side: Side) -> None:
    clicked_side.steering.fail("403", times=None)
    with pytest.raises(StripeKeyError):
        stripe_gateway.customer("cus_nobody")
    clicked_side.steering.heal()


def test_an_answer_that_was_lost_is_asked_for_again_and_nothing_is_made_twice(clicked_side: Side) -> None:
    clicked_side.steering.fail("drop", after=True)
    made = clicked_side.customer()
    assert [one.id for one in clicked_side.client.customers.list().data] == [made["id"]]


def test_nothing_is_asked_without_a_key() -> None:
    with selling(""), pytest.raises(StripeKeyError):
        stripe_gateway.customer("cus_nobody")
