"""Money that takes days, things that happen at once, and a Stripe that does not answer."""

import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.billing import customers, loops, stripe_events
from courseapp.billing import stripe_gateway as gateway
from courseapp.billing.models import CheckoutState, Customer, Entitlement, Interval, Payment, StripeEvent, Subscription
from courseapp.extensions import db
from tests.billing.buying import begun, bought, holds, mails, only, synced_plan, the_customer, work
from tests.billing.conftest import Shop
from tests.billing.test_subscriptions import attention
from tests.factories import make_guest, make_tier, make_user

ONCE, MONTH = Interval.ONCE, Interval.MONTH


@pytest.mark.parametrize("while_processing", ["incomplete", "active"])
@pytest.mark.parametrize("interval", [ONCE, MONTH])
def test_money_on_its_way_opens_when_it_comes(shop: Shop, interval: Interval, while_processing: str) -> None:
    shop.steering.set(while_processing=while_processing)
    tier, user = make_tier(), make_user("ada@example.org")
    checkout = bought(shop, synced_plan(tier, interval), user, way="later_succeeds")
    assert checkout.state is CheckoutState.WAITING
    assert holds(user, tier) is (interval is MONTH and while_processing == "active")  # there Stripe says that it is active
    assert mails() == ["on_its_way"]
    shop.pass_time(days=4)
    work(shop)
    assert only_state(checkout) is CheckoutState.FULFILLED
    assert holds(user, tier)
    assert mails() == ["on_its_way", "bought"]
    assert only(Payment).amount == 900


@pytest.mark.parametrize("while_processing", ["incomplete", "active"])
@pytest.mark.parametrize("interval", [ONCE, MONTH])
def test_money_that_never_comes_opens_nothing(shop: Shop, interval: Interval, while_processing: str) -> None:
    shop.steering.set(while_processing=while_processing)
    tier, user = make_tier(), make_user("ada@example.org")
    checkout = bought(shop, synced_plan(tier, interval), user, way="later_fails")
    shop.pass_time(days=4)
    work(shop)
    assert only_state(checkout) is CheckoutState.FAILED
    if not (interval is MONTH and while_processing == "active"):  # there it is late, and closes with its grace
        assert not holds(user, tier)
    assert "not_arrived" in mails()
    assert "bought" not in mails()


def only_state(checkout) -> CheckoutState:
    """How a checkout stands now."""
    db.session.commit()
    db.session.refresh(checkout)
    state: CheckoutState = checkout.state
    return state


@pytest.mark.parametrize("interval", [ONCE, MONTH])
def test_a_coupon_for_all_of_it_opens_without_money(shop: Shop, interval: Interval) -> None:
    coupon = gateway._api().coupons.create({"percent_off": 100, "duration": "once"})
    tier, user = make_tier(), make_user("ada@example.org")
    more = {"discounts": [{"coupon": coupon.id}]} | ({"customer_creation": "always"} if interval is ONCE else {})
    checkout = bought(shop, synced_plan(tier, interval), user, **more)
    assert checkout.state is CheckoutState.FULFILLED
    assert holds(user, tier)
    assert mails() == ["bought"]
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Payment)) == 0


def test_after_a_coupon_for_the_first_month_the_next_is_paid_and_can_be_given_back(shop: Shop) -> None:
    coupon = gateway._api().coupons.create({"percent_off": 100, "duration": "once"})
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier), user, discounts=[{"coupon": coupon.id}])
    shop.pass_time(days=31)
    work(shop)
    assert mails() == ["bought", "renewed"]
    shop.steering.refund(payment_intent=only(Payment).stripe_id)
    work(shop)
    assert not holds(user, tier)


@pytest.mark.parametrize("way", ["decline", "unauthenticated"])
def test_a_card_that_is_refused_opens_nothing_and_may_be_tried_again(shop: Shop, way: str) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    checkout = begun(synced_plan(tier), user)
    assert shop.steering.buy(checkout.stripe_id, way, email="ada@example.org")
    work(shop)
    assert not holds(user, tier)
    assert checkout.state is CheckoutState.OPEN
    shop.steering.buy(checkout.stripe_id, email="ada@example.org")
    work(shop)
    assert holds(user, tier)


def test_a_checkout_that_nobody_went_through_with_is_over_after_a_day(shop: Shop) -> None:
    checkout = begun(synced_plan(), make_user("ada@example.org"))
    shop.pass_time(days=1, hours=1)
    work(shop)
    assert only_state(checkout) is CheckoutState.EXPIRED


def at_once(app: Flask, *calls: Callable[[], object]) -> None:
    """Several things at the same moment, each as a process of its own would do it."""
    db.session.commit()
    gate = threading.Barrier(len(calls))
    wrong: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        with app.app_context():
            gate.wait()
            try:
                call()
            except customers.OvertakenError:
                pass
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("is_guest", [False, True])
@pytest.mark.parametrize("interval", [ONCE, MONTH])
def test_the_page_and_the_webhook_at_once_give_it_once(shop: Shop, interval: Interval, is_guest: bool) -> None:
    tier, user = make_tier(), make_guest() if is_guest else make_user("ada@example.org")
    checkout = begun(synced_plan(tier, interval), user)
    shop.steering.buy(checkout.stripe_id, email="ada@example.org")
    shop.settle()
    stripe_id = checkout.stripe_id

    def page() -> None:
        loops.refresh_checkout(stripe_id, clock.now())

    def worker() -> None:
        loops.work_events(clock.now)

    at_once(shop.app, page, worker, page, worker, page)
    work(shop)
    assert holds(user, tier)
    only(Entitlement)
    only(Customer)
    assert mails() == ["bought_as_guest" if is_guest else "bought"]


def test_events_a_hundred_times_over_at_once_change_nothing_more(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    shop.steering.rule(copies=100)
    bought(shop, synced_plan(tier), user)
    assert holds(user, tier)
    only(Entitlement)
    only(Subscription)
    assert only(Payment).amount == 900
    assert mails() == ["bought"]


def test_who_asked_before_another_did_keeps_nothing(shop: Shop) -> None:
    user = make_user("ada@example.org")
    bought(shop, synced_plan(), user)
    customer = the_customer(user)
    first = customers.claim(customer.id)
    second = customers.claim(customer.id)
    db.session.commit()
    with pytest.raises(customers.OvertakenError):
        customers.hold_claim(customer.id, first)
    assert customers.hold_claim(customer.id, second)


FAULTS = [("500", {}), ("503", {}), ("429", {}), ("403", {}), ("drop", {}), ("500", {"after": True})]


@pytest.mark.parametrize(("what", "more"), FAULTS)
def test_while_stripe_does_not_answer_nothing_is_lost(shop: Shop, what: str, more: dict) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    checkout = begun(synced_plan(tier), user)
    shop.steering.buy(checkout.stripe_id, email="ada@example.org")
    shop.settle()
    shop.steering.fail(what, times=None, path="/v1/", method="GET", **more)
    assert set(loops.work_events(clock.now)) == {"again"}
    assert not holds(user, tier)
    waiting = db.session.scalars(sa.select(StripeEvent).where(StripeEvent.processed_at.is_(None))).all()
    assert waiting
    assert all(row.problem and row.due_at > clock.now() for row in waiting)
    shop.steering.heal()
    work(shop)
    assert holds(user, tier)
    assert mails() == ["bought"]
    assert attention() == (["key_refused"] if what == "403" else [])


def test_a_stripe_that_hangs_is_not_waited_for_long(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "TIMEOUT", (1, 0.3))
    monkeypatch.setattr(gateway, "RETRIES", 0)
    gateway._client.cache_clear()
    checkout = begun(synced_plan(), make_user("ada@example.org"))
    shop.steering.fail("hang", times=None, seconds=3)
    with pytest.raises(gateway.StripeAwayError):
        loops.refresh_checkout(checkout.stripe_id, clock.now())
    gateway._client.cache_clear()


def test_no_transaction_is_open_while_stripe_is_asked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def asked(*args: object, **kw: object) -> object:
        seen.append(db.session().in_transaction())
        return fetched(*args, **kw)

    fetched = gateway._fetched
    monkeypatch.setattr(gateway, "_fetched", asked)
    bought(shop, synced_plan(), make_user("ada@example.org"))
    bought(shop, synced_plan(interval=ONCE), make_guest())
    assert len(seen) > 5
    assert not any(seen)


def test_an_event_that_fails_for_hours_is_given_up_and_told(shop: Shop) -> None:
    bought(shop, synced_plan(), make_user("ada@example.org"))
    row = db.session.scalars(sa.select(StripeEvent).where(StripeEvent.type == "invoice.paid")).one()
    row.processed_at, row.attempts, row.due_at = None, loops.MOST_ATTEMPTS - 1, clock.now()
    db.session.commit()
    shop.steering.fail("500", times=None)
    loops.work_events(clock.now)
    db.session.refresh(row)
    assert (row.result, row.processed_at is not None) == (stripe_events.FAILED, True)
    assert attention() == ["event_failed"]


def test_a_guest_whose_row_is_gone_leaves_what_was_paid_to_the_address(shop: Shop) -> None:
    tier, guest = make_tier(), make_guest()
    checkout = begun(synced_plan(tier, ONCE), guest)
    db.session.delete(guest)
    db.session.commit()
    shop.steering.buy(checkout.stripe_id, email="new@example.org")
    work(shop)
    kept = only(Entitlement)
    assert kept.user.contact.address == "new@example.org"
    assert not kept.user.contact.is_confirmed


@pytest.mark.parametrize("interval", [ONCE, MONTH])
def test_a_session_whose_id_was_never_stored_is_known_by_what_we_gave_along(shop: Shop, interval: Interval) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    checkout = begun(synced_plan(tier, interval), user)
    stripe_id, checkout.stripe_id, checkout.state = checkout.stripe_id, None, CheckoutState.EXPIRED
    db.session.commit()
    shop.steering.buy(stripe_id, email="ada@example.org")
    work(shop)
    assert only_state(checkout) is CheckoutState.FULFILLED
    assert holds(user, tier)
