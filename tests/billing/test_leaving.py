"""Whoever is erased is charged no more: Stripe confirms first, or nobody is erased."""

from typing import Any

import pytest
import sqlalchemy as sa

from courseapp.accounts.models import Role, User
from courseapp.billing import stripe_gateway
from courseapp.billing.leaving import end_subscriptions, what_ends
from courseapp.billing.models import CheckoutState, Entitlement, Kind, Subscription
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.operations.people import erase, erase_again
from courseapp.operations.tidying import tidy
from tests.billing.buying import begun, synced_plan
from tests.billing.conftest import Shop
from tests.billing.paying import checkout_of, subscription_of
from tests.client import Client
from tests.conftest import NOW
from tests.factories import days_ago, make_contact, make_customer, make_entitlement, make_guest, make_plan, make_tier, make_user

HOME = "http://shop.example/"


class Subscriber:
    """Somebody who subscribes at the fake Stripe; our rows say what we know of it."""

    def __init__(self, shop: Shop, user: User) -> None:
        self._shop, self.user = shop, user
        self.plan = make_plan(make_tier())
        self.customer = make_customer(user, stripe_id=self._make("customers", email="ada@example.org")["id"])
        product = self._make("products", name="Your course")["id"]
        wanted = {"product": product, "currency": "eur", "unit_amount": 900, "recurring": {"interval": "month"}}
        self._price = self._make("prices", **wanted)["id"]

    def _make(self, kind: str, **params: Any) -> dict[str, Any]:
        db.session.commit()
        return stripe_gateway.create(kind, params, f"{kind}-{len(self._shop.steering.requests())}")

    def session(self) -> str:
        """A checkout that waits for them."""
        lines = [{"price": self._price, "quantity": 1}]
        wanted = {"mode": "subscription", "line_items": lines, "success_url": HOME, "customer": self.customer.stripe_id}
        return str(self._make("checkout.sessions", **wanted)["id"])

    def subscribe(self, *, is_known: bool = True) -> str:
        """One subscription; `is_known`: we have heard of it."""
        session = self.session()
        self._shop.steering.buy(session)
        found = stripe_gateway.checkout_session(session)
        assert found is not None
        stripe_id = str(stripe_gateway.id_of(found["subscription"]))
        if is_known:
            row = subscription_of(self.customer, self.plan, stripe_id=stripe_id)
            make_entitlement(self.user, self.plan.tier, Kind.SUBSCRIPTION, subscription_id=row.id)
        db.session.commit()
        return stripe_id

    def status(self, stripe_id: str) -> str:
        """What Stripe says of it now."""
        found = stripe_gateway.subscription(stripe_id)
        assert found is not None
        return str(found["status"])


@pytest.fixture
def ada(shop: Shop) -> Subscriber:
    """Ada, who has an account."""
    return Subscriber(shop, make_user("ada@example.org"))


def leave(user: User) -> int:
    found = what_ends(user.id)
    db.session.commit()
    return end_subscriptions(found)


def run(shop: Shop, *options: str) -> Any:
    """The command that erases Ada."""
    db.session.commit()
    return shop.app.test_cli_runner().invoke(args=["privacy", "erase", "ada@example.org", "--yes", *options])


def is_here(user_id: int) -> bool:
    db.session.expire_all()
    return db.session.get(User, user_id) is not None


def test_whoever_subscribes_is_erased_once_stripe_has_ended_it(shop: Shop, ada: Subscriber) -> None:
    stripe_id, user_id = ada.subscribe(), ada.user.id
    assert run(shop).exit_code == 0
    assert ada.status(stripe_id) == "canceled"
    assert not is_here(user_id)
    kept = db.session.scalars(sa.select(Subscription)).one()
    assert (kept.status, kept.customer.user_id) == ("canceled", None)


@pytest.mark.parametrize("fault", ["500", "429", "drop"])
@pytest.mark.one_database
def test_while_stripe_is_down_nobody_is_erased_and_the_words_say_what_to_do(shop: Shop, ada: Subscriber, fault: str) -> None:
    stripe_id, user_id = ada.subscribe(), ada.user.id
    shop.steering.fail(fault, times=None, path="/v1/subscriptions")
    answer = run(shop)
    assert answer.exit_code == 1
    assert "nothing was erased. Please try again in a few minutes" in answer.output
    assert is_here(user_id)
    shop.steering.heal()
    assert ada.status(stripe_id) == "active"
    assert run(shop).exit_code == 0
    assert not is_here(user_id)


def test_where_the_second_cannot_be_ended_the_first_stays_so_and_the_next_attempt_goes_on(shop: Shop, ada: Subscriber) -> None:
    first, second = ada.subscribe(), ada.subscribe()
    shop.steering.fail("500", times=None, path=f"/v1/subscriptions/{second}")
    with pytest.raises(Refusal):
        leave(ada.user)
    shop.steering.heal()
    assert (ada.status(first), ada.status(second)) == ("canceled", "active")
    assert db.session.query(Entitlement).count() == 2, "nothing was erased"
    assert leave(ada.user) == 1
    assert ada.status(second) == "canceled"


def test_what_has_ended_at_stripe_already_is_confirmed_though_we_have_not_heard_of_it(shop: Shop, ada: Subscriber) -> None:
    stripe_id = ada.subscribe()
    stripe_gateway.cancel_subscription(stripe_id)
    assert leave(ada.user) == 0


def test_an_end_whose_answer_was_lost_is_found_to_have_come(shop: Shop, ada: Subscriber) -> None:
    stripe_id = ada.subscribe()
    shop.steering.fail("500", times=1, path=f"/v1/subscriptions/{stripe_id}", method="DELETE", after=True)
    with pytest.raises(Refusal):
        leave(ada.user)
    assert leave(ada.user) == 0
    assert ada.status(stripe_id) == "canceled"


def test_a_subscription_that_this_key_does_not_know_may_go_on_elsewhere_and_keeps_everything(shop: Shop, ada: Subscriber) -> None:
    subscription_of(ada.customer, ada.plan, stripe_id="sub_of_another_account")
    db.session.commit()
    with pytest.raises(Refusal, match="belongs to another account"):
        leave(ada.user)


def test_a_subscription_so_new_that_we_have_not_heard_of_it_ends_too(shop: Shop, ada: Subscriber) -> None:
    stripe_id = ada.subscribe(is_known=False)
    assert leave(ada.user) == 1
    assert ada.status(stripe_id) == "canceled"


def test_a_checkout_that_is_open_is_closed_so_that_nobody_pays_for_whoever_is_gone(shop: Shop, ada: Subscriber) -> None:
    session = ada.session()
    kept = checkout_of(ada.plan, ada.user, stripe_id=session)
    leave(ada.user)
    found = stripe_gateway.checkout_session(session)
    assert found is not None
    assert found["status"] == "expired"
    erase(ada.user, ada.user.contact, NOW)
    db.session.refresh(kept)
    assert (kept.state, kept.user_id) == (CheckoutState.EXPIRED, None)


def test_a_checkout_that_was_paid_meanwhile_is_no_hindrance(shop: Shop, ada: Subscriber) -> None:
    session = ada.session()
    checkout_of(ada.plan, ada.user, stripe_id=session)
    db.session.commit()
    shop.steering.buy(session)
    assert leave(ada.user) == 1


def test_what_a_guest_has_just_begun_to_pay_for_ends_though_no_customer_of_theirs_is_known(shop: Shop) -> None:
    guest = make_guest()
    checkout = begun(synced_plan(), guest)
    assert shop.steering.buy(checkout.stripe_id, email="ada@example.org") is None
    shop.settle()
    assert leave(guest) == 1
    assert [found["status"] for found in stripe_gateway.subscriptions()] == ["canceled"]


def test_of_a_customer_who_is_gone_at_stripe_nothing_goes_on(shop: Shop) -> None:
    user = make_user()
    make_customer(user, stripe_id="cus_deleted_long_ago")
    assert leave(user) == 0


def test_whoever_never_paid_is_erased_without_a_word_to_stripe(shop: Shop) -> None:
    make_user("ada@example.org")
    shop.steering.fail("500", times=None)
    before = len(shop.steering.requests())
    assert run(shop).exit_code == 0
    assert len(shop.steering.requests()) == before


def test_without_a_key_a_subscription_keeps_its_person_until_somebody_says_that_it_is_handled(app: Any) -> None:
    user = make_user("ada@example.org")
    row = subscription_of(make_customer(user), make_plan(), stripe_id="sub_1")
    db.session.commit()
    runner, user_id = app.test_cli_runner(), user.id
    refused = runner.invoke(args=["privacy", "erase", "ada@example.org", "--yes"])
    assert refused.exit_code == 1
    assert "no key for Stripe any more" in refused.output
    assert "--subscriptions-handled" in refused.output
    assert is_here(user_id)
    done = runner.invoke(args=["privacy", "erase", "ada@example.org", "--yes", "--subscriptions-handled"])
    assert done.exit_code == 0
    assert "sub_1 goes on" in done.output
    assert not is_here(user_id)
    db.session.refresh(row)
    assert row.status == "canceled"


def test_without_a_key_what_has_ended_hinders_nobody(app: Any) -> None:
    user = make_user()
    subscription_of(make_customer(user), make_plan(), stripe_id="sub_1", status="canceled", ended_at=NOW)
    assert leave(user) == 0


def test_a_restore_erases_again_whatever_stripe_says(app: Any) -> None:
    user = make_user("ada@example.org")
    customer = make_customer(user)
    erase(user, user.contact, NOW)
    db.session.commit()
    again = make_user("ada@example.org", contact=make_contact("ada@example.org", created_at=days_ago(9)))
    customer.user_id = again.id
    row = subscription_of(customer, make_plan(), stripe_id="sub_1")
    db.session.commit()
    assert erase_again(NOW) == 1
    db.session.commit()
    assert not is_here(again.id)
    assert (row.status, row.customer.user_id) == ("canceled", None)


# By page


def test_the_owner_reads_on_the_page_that_stripe_is_down_and_nothing_was_erased(shop: Shop, ada: Subscriber) -> None:
    ada.subscribe()
    user_id = ada.user.id
    browser, page = shop.client(), {"id": ada.user.contact.public_id}
    browser.sign_in(make_user("owner@example.org", roles=[Role.OWNER]))
    browser.submit("support.people", {"address": "ada@example.org"})
    shop.steering.fail("500", times=None, path="/v1/subscriptions")
    refused = browser.submit("support.erasure", {"address": "ada@example.org"}, **page)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "120")
    assert "Stripe could not confirm" in refused.text
    assert is_here(user_id)
    shop.steering.heal()
    assert browser.submit("support.erasure", {"address": "somebody@example.org"}, **page).status_code == 200
    assert is_here(user_id), "a mistyped address ends no subscription"
    assert browser.submit("support.erasure", {"address": "ada@example.org"}, **page).status_code == 303
    assert not is_here(user_id)


def paying_guest(shop: Shop) -> tuple[Client, Subscriber, str]:
    """A guest's browser, and their subscription."""
    browser, guest = shop.client(), Subscriber(shop, make_guest())
    browser.sign_in(guest.user)
    return browser, guest, guest.subscribe()


def test_a_guest_who_paid_is_told_what_goes_and_says_so_first(shop: Shop) -> None:
    browser, guest, stripe_id = paying_guest(shop)
    name, user_id = guest.plan.tier.name, guest.user.id
    assert f"What you bought: {name}" in browser.visit("operations.forget_device").text
    refused = browser.submit("operations.forget_device")
    assert refused.status_code == 422
    assert "Nothing was forgotten" in refused.text
    assert (is_here(user_id), guest.status(stripe_id)) == (True, "active")
    assert browser.submit("operations.forget_device", {"sure": "y"}).status_code == 303
    assert (is_here(user_id), guest.status(stripe_id)) == (False, "canceled")


def test_a_guest_is_not_forgotten_while_stripe_cannot_end_what_they_pay_for(shop: Shop) -> None:
    browser, guest, _stripe_id = paying_guest(shop)
    user_id = guest.user.id
    shop.steering.fail("500", times=None, path="/v1/subscriptions")
    refused = browser.submit("operations.forget_device", {"sure": "y"})
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "120")
    assert "Stripe could not confirm" in refused.text
    assert is_here(user_id)


def test_a_guest_who_bought_nothing_is_asked_nothing_more(shop: Shop) -> None:
    browser = shop.client()
    browser.sign_in(make_guest())
    assert "What you bought" not in browser.visit("operations.forget_device").text
    assert browser.submit("operations.forget_device").status_code == 303


# Tidying


@pytest.mark.parametrize(("state", "is_kept"), [("fulfilled", True), ("waiting", True), ("open", False), ("expired", False)])
def test_a_guest_who_paid_and_the_address_they_paid_with_are_not_tidied_away(app: Any, state: str, is_kept: bool) -> None:
    guest = make_guest(created_at=days_ago(200))
    contact = make_contact("paid@example.org", confirmed=False, created_at=days_ago(200))
    checkout_of(make_plan(interval="once"), guest, contact_id=contact.id, state=CheckoutState(state))
    db.session.commit()
    guest_id = guest.id
    tidy(NOW)
    db.session.commit()
    db.session.expire_all()
    assert is_here(guest_id) is (contact.erased_at is None) is is_kept
