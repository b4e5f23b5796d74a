"""One's own plan: what is held and how it goes on, what was paid, and the way to Stripe's portal."""

import re
from datetime import timedelta
from typing import Any

import pytest

from courseapp.accounts.models import User
from courseapp.billing.models import Closed, Customer, Interval, Kind, Payment, Refund, Subscription
from courseapp.extensions import db
from tests.billing.buying import bought, only, price_of, synced_plan, work
from tests.billing.conftest import Shop
from tests.billing.subscribed import make_subscription
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_customer, make_entitlement, make_guest, make_tier, make_user
from tests.fakes.clicking import Clicker

DAY = timedelta(days=1)


def signed_in(shop: Shop, user: User) -> Client:
    client = shop.client()
    client.sign_in(user)
    return client


def shown(shop: Shop, user: User) -> str:
    """The words of somebody's page, on one line."""
    answer = signed_in(shop, user).visit("billing.own")
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


def subscribed(shop: Shop, **kw: Any) -> User:
    """Somebody with a subscription of these columns, at €9.00 a month."""
    user, tier = make_user(), make_tier(name="Going further")
    price = price_of(synced_plan(tier))
    told = make_subscription(make_customer(user), price_stripe_id=price.stripe_id, plan_id=price.plan_id, **kw)
    make_entitlement(user, tier, Kind.SUBSCRIPTION, subscription_id=told.id)
    return user


def test_strangers_are_asked_to_sign_in(shop: Shop) -> None:
    assert shop.client().visit("billing.own").location == "/sign-in"


def test_whoever_has_nothing_is_told_that_the_free_part_stays(shop: Shop) -> None:
    page = shown(shop, make_user())
    assert "Nothing beside what is free." in page
    assert "Card, invoices" not in page


def test_money_on_its_way_is_said_to_be(shop: Shop) -> None:
    user, tier = make_user(), make_tier(name="Going further")
    checkout = bought(shop, synced_plan(tier, Interval.ONCE), user, way="later_succeeds")
    page = shown(shop, user)
    assert "Going further" in page
    assert "Your money is on its way" in page
    assert "Nothing beside" not in page
    shop.steering.settle_payment(checkout.stripe_id, succeeds=True)
    work(shop)
    assert "on its way" not in shown(shop, user)


def test_a_subscription_says_when_the_next_payment_is_and_of_what(shop: Shop) -> None:
    page = shown(shop, subscribed(shop, period_ends_at=NOW + 30 * DAY))
    assert "Going further" in page
    assert "It renews itself: €9.00 a month. The next payment is on December 2, 2026." in page


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"status": "trialing", "trial_ends_at": NOW + 14 * DAY}, "Free until November 16, 2026, then €9.00 a month. Cancel before then"),
        ({"cancels_at": NOW + 20 * DAY, "period_ends_at": NOW + 20 * DAY}, "Cancelled: it stays open until November 22, 2026"),
        ({"status": "past_due", "past_due_since": NOW}, "The last payment did not go through. It stays open until November 16, 2026"),
    ],
)
def test_how_a_subscription_stands_is_said_in_words(shop: Shop, facts: dict[str, Any], words: str) -> None:
    assert words in shown(shop, subscribed(shop, **facts))


@pytest.mark.parametrize(
    ("why", "words"),
    [
        (Closed.LAPSED, "Ended on November 2, 2026."),
        (Closed.REFUNDED, "The money went back to you"),
        (Closed.DISPUTED, "Closed while the bank looks into the payment"),
        (Closed.LOST, "The bank took the payment back"),
        (Closed.WITHDRAWN, "Ended on November 2, 2026."),
    ],
)
def test_what_is_closed_says_why_in_neutral_words_and_that_what_was_done_is_kept(shop: Shop, why: Closed, words: str) -> None:
    user = make_user()
    make_entitlement(user, make_tier(), closed_at=NOW, closed_why=why)
    page = shown(shop, user)
    assert words in page
    assert "What you did and wrote is kept." in page


def test_gifts_and_what_is_free_say_until_when(shop: Shop) -> None:
    user = make_user()
    make_entitlement(user, make_tier(), ends_at=NOW + DAY, reason="a reason of staff")
    make_entitlement(user, make_tier(), Kind.FREE)
    page = shown(shop, user)
    assert "Given to you on November 2, 2026. Open until November 3, 2026." in page
    assert "It stays open to you; nothing is renewed." in page
    assert "a reason of staff" not in page


def test_what_is_over_without_anybody_closing_it_is_shown_as_closed(shop: Shop) -> None:
    user = make_user()
    make_entitlement(user, make_tier(), begins_at=NOW - 9 * DAY, ends_at=NOW - DAY)
    assert "Ended on November 1, 2026." in shown(shop, user)


def test_payments_are_listed_with_what_went_back(shop: Shop) -> None:
    user = make_user()
    bought(shop, synced_plan(interval=Interval.ONCE, prices={"jpy": 3900}), user, currency="jpy")
    db.session.add(Refund(stripe_id="re_1", payment_id=only(Payment).id, amount=900, status="succeeded", made_at=NOW))
    db.session.add(Refund(stripe_id="re_2", payment_id=only(Payment).id, amount=100, status="failed", made_at=NOW))
    page = shown(shop, user)
    assert "¥3,900" in page
    assert "¥900 went back to you" in page
    assert "November 2, 2026" in page


def test_nobody_sees_what_another_has_or_paid(shop: Shop) -> None:
    bought(shop, synced_plan(make_tier(name="Going further")), make_user())
    page = shown(shop, make_user())
    assert "Going further" not in page
    assert "€9.00" not in page


def test_a_guest_is_reminded_that_only_this_browser_knows(shop: Shop) -> None:
    guest = make_guest()
    bought(shop, synced_plan(), guest, address="new@example.org")
    assert "Only this browser knows what you have" in shown(shop, guest)


# The portal


def to_portal(client: Client) -> Any:
    return client.submit("billing.own", to="billing.portal")


def set_up_portal() -> None:
    from courseapp.billing import stripe_gateway

    features = {"subscription_cancel": {"enabled": True, "mode": "at_period_end"}, "invoice_history": {"enabled": True}}
    stripe_gateway.create("billing_portal.configurations", {"features": features}, "portal")


def test_cancelling_in_the_portal_keeps_it_open_to_the_end(shop: Shop, person: Clicker) -> None:
    set_up_portal()
    user = make_user("ada@example.org")
    bought(shop, synced_plan(), user)
    answer = to_portal(signed_in(shop, user))
    assert answer.status_code == 303
    person.visit(answer.location).press("Cancel subscription")
    work(shop)
    assert only(Subscription).cancels_at is not None
    assert "Cancelled: it stays open until December 2, 2026" in shown(shop, user)
    assert f"{shop.url}/account/plan" in person.visit(answer.location).links.values()


def test_the_portal_is_that_of_the_customer_who_subscribes(shop: Shop) -> None:
    set_up_portal()
    user = make_user()
    bought(shop, synced_plan(), user)
    subscribing = only(Customer).stripe_id
    make_customer(user)
    to_portal(signed_in(shop, user))
    sent = [one["params"] for one in shop.steering.requests() if one["path"] == "/v1/billing_portal/sessions"]
    assert [f"customer={subscribing}" in params for params in sent] == [True]


def test_without_a_customer_there_is_no_button_and_no_portal(shop: Shop) -> None:
    client = signed_in(shop, make_user())
    token = client.csrf_token("asking.ask")
    assert client.post("/account/plan/portal", data={"csrf_token": token}).location == "/account/plan"
    assert shop.client().post("/account/plan/portal", data={"csrf_token": "x"}).status_code == 400
    assert shop.steering.requests() == []


@pytest.mark.parametrize("what", ["500", "429", "403"])
def test_with_stripe_away_the_portal_says_so_and_the_page_still_reads(shop: Shop, what: str) -> None:
    user = make_user()
    bought(shop, synced_plan(), user)
    shop.steering.fail(what, times=None)
    client = signed_in(shop, user)
    answer = to_portal(client)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert "What you have stays open" in answer.text or "what you have stays open" in answer.text
    assert client.visit("billing.own").status_code == 200


def test_a_portal_that_was_never_set_up_is_ours_to_mend(shop: Shop) -> None:
    user = make_user()
    bought(shop, synced_plan(), user)
    answer = to_portal(signed_in(shop, user))
    assert answer.status_code == 503
    assert "It is for us to mend" in answer.text
