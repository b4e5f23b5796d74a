"""Money that goes back closes what it opened; money that comes back opens it again."""

import pytest
import sqlalchemy as sa

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.billing import loops, stripe_events
from courseapp.billing.models import Closed, Entitlement, Interval, Payment, Refund, Subscription, Tier
from courseapp.extensions import db
from tests.billing.buying import bought, holds, mails, only, synced_plan, work
from tests.billing.conftest import Shop
from tests.billing.test_subscriptions import attention, noted
from tests.factories import make_tier, make_user

ONCE, MONTH = Interval.ONCE, Interval.MONTH


def somebody(shop: Shop, interval: Interval = ONCE) -> tuple[Tier, User]:
    """Somebody who has paid 29 euros for a tier."""
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier, interval, 2900), user)
    assert holds(user, tier)
    return tier, user


@pytest.mark.parametrize("interval", [ONCE, MONTH])
def test_a_full_refund_closes_it(shop: Shop, interval: Interval) -> None:
    tier, user = somebody(shop, interval)
    shop.steering.refund(payment_intent=only(Payment).stripe_id)
    work(shop)
    assert not holds(user, tier)
    assert only(Entitlement).closed_why is Closed.REFUNDED
    assert mails() == ["bought", "refunded"]
    assert [facts["why"] for facts in noted("access_revoked")] == ["refunded"]
    assert attention() == []


@pytest.mark.parametrize("interval", [ONCE, MONTH])
def test_a_partial_refund_keeps_it_and_somebody_is_told(shop: Shop, interval: Interval) -> None:
    tier, user = somebody(shop, interval)
    shop.steering.refund(payment_intent=only(Payment).stripe_id, amount=1000)
    work(shop)
    assert holds(user, tier)
    assert only(Refund).amount == 1000
    assert mails() == ["bought", "part_refunded"]
    assert attention() == ["part_refunded"]


def test_two_partial_refunds_that_make_the_whole_close_it(shop: Shop) -> None:
    tier, user = somebody(shop)
    for amount in (1000, 1900):
        shop.steering.refund(payment_intent=only(Payment).stripe_id, amount=amount)
        work(shop)
    assert not holds(user, tier)


@pytest.mark.parametrize("interval", [ONCE, MONTH])
def test_a_refund_that_fails_opens_it_again(shop: Shop, interval: Interval) -> None:
    tier, user = somebody(shop, interval)
    refund = shop.steering.refund(payment_intent=only(Payment).stripe_id)
    work(shop)
    shop.steering.finish_refund(refund["id"], succeeds=False)
    work(shop)
    assert holds(user, tier)
    assert only(Refund).status == "failed"
    assert len(noted("access_granted")) == 2


def test_a_refund_on_its_way_closes_it_already(shop: Shop) -> None:
    shop.steering.set(refunds="pending")
    tier, user = somebody(shop)
    refund = shop.steering.refund(payment_intent=only(Payment).stripe_id)
    work(shop)
    assert not holds(user, tier)
    shop.steering.finish_refund(refund["id"], succeeds=True)
    work(shop)
    assert not holds(user, tier)
    assert mails() == ["bought", "refunded"]


def charge_of(payment: Payment, shop: Shop) -> str:
    """The charge of a payment."""
    return str(shop.fake.books.kept[payment.stripe_id]["latest_charge"])


@pytest.mark.parametrize("interval", [ONCE, MONTH])
def test_a_dispute_closes_it_until_it_is_won(shop: Shop, interval: Interval) -> None:
    tier, user = somebody(shop, interval)
    dispute = shop.steering.dispute(charge_of(only(Payment), shop))
    work(shop)
    assert not holds(user, tier)
    assert only(Entitlement).closed_why is Closed.DISPUTED
    assert attention() == ["dispute_opened"]
    shop.steering.close_dispute(dispute["id"], won=True)
    work(shop)
    assert holds(user, tier)


@pytest.mark.parametrize("interval", [ONCE, MONTH])
def test_a_dispute_that_is_lost_leaves_it_closed(shop: Shop, interval: Interval) -> None:
    tier, user = somebody(shop, interval)
    dispute = shop.steering.dispute(charge_of(only(Payment), shop))
    shop.steering.close_dispute(dispute["id"], won=False)
    work(shop)
    assert not holds(user, tier)
    assert only(Entitlement).closed_why is Closed.LOST


def test_a_refunded_month_closes_and_the_next_paid_one_opens(shop: Shop) -> None:
    tier, user = somebody(shop, MONTH)
    shop.steering.refund(payment_intent=only(Payment).stripe_id)
    work(shop)
    assert not holds(user, tier)
    shop.pass_time(days=31)
    work(shop)
    assert holds(user, tier)
    only(Entitlement)


def test_a_refund_that_is_heard_of_before_its_payment_finds_it(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    shop.steering.rule(lose=True)
    for interval in (ONCE, MONTH):
        checkout = bought(shop, synced_plan(tier, interval, 2900), user)
        assert checkout.settled_at is None
    shop.steering.heal()
    intents = [thing["id"] for thing in shop.fake.books.all("payment_intent")]
    for intent in intents:
        shop.steering.refund(payment_intent=intent)
    work(shop)
    assert {row.stripe_id for row in db.session.scalars(sa.select(Payment))} == set(intents)
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Refund)) == 2
    assert not holds(user, tier)


def test_money_of_somebody_elses_shop_is_none_of_ours(shop: Shop) -> None:
    somebody(shop)
    assert loops.refresh_payment("pi_of_another_shop", clock.now()) == stripe_events.NOT_OURS
    assert loops.refresh_invoice("in_of_another_shop", clock.now()) == stripe_events.NOTHING
    assert loops.refresh_subscription("sub_of_another_shop", clock.now()) == stripe_events.NOT_OURS
    assert loops.refresh_checkout("cs_of_another_shop", clock.now()) == stripe_events.NOT_OURS
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Subscription)) == 0
