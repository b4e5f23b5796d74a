"""What somebody paid for is theirs once, whatever tells us of it."""

from datetime import timedelta

from courseapp import clock
from courseapp.billing import loops
from courseapp.billing.models import CheckoutState, Entitlement, Interval, Kind, Payment, StripeEvent, Subscription
from courseapp.extensions import db
from tests.billing.buying import begun, bought, holds, mails, only, synced_plan, work
from tests.billing.conftest import Shop
from tests.conftest import NOW
from tests.factories import make_guest, make_tier, make_user


def test_a_one_off_purchase_opens_its_tier(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    plan = synced_plan(tier, Interval.ONCE, 2900)
    checkout = bought(shop, plan, user)
    assert holds(user, tier)
    assert checkout.state is CheckoutState.FULFILLED
    kept = only(Entitlement)
    assert (kept.kind, kept.checkout_id, kept.ends_at) == (Kind.PURCHASE, checkout.id, None)
    paid = only(Payment)
    assert (paid.amount, paid.currency, paid.plan_id) == (2900, "eur", plan.id)
    assert None not in (paid.invoice_id, paid.invoice_number)
    assert mails() == ["bought"]


def test_a_subscription_opens_its_tier_and_its_payment_is_kept(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    plan = synced_plan(tier)
    bought(shop, plan, user)
    assert holds(user, tier)
    kept = only(Subscription)
    assert (kept.status, kept.plan_id, kept.cancels_at) == ("active", plan.id, None)
    assert only(Payment).amount == 900
    assert mails() == ["bought"]


def test_a_guest_gets_what_they_bought_and_a_link_to_keep_it(shop: Shop) -> None:
    tier, guest = make_tier(), make_guest()
    bought(shop, synced_plan(tier, Interval.ONCE), guest, address="new@example.org")
    assert holds(guest, tier)
    assert mails() == ["bought_as_guest"]


def test_the_page_that_people_come_back_to_fulfils_before_any_webhook(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    shop.steering.rule(hold=True)
    checkout = begun(synced_plan(tier), user)
    shop.steering.buy(checkout.stripe_id, email="ada@example.org")
    loops.refresh_checkout(checkout.stripe_id, clock.now())
    assert holds(user, tier)
    shop.deliver()
    work(shop)
    only(Entitlement)
    assert mails() == ["bought"]


def test_what_is_heard_of_late_is_booked_on_the_day_on_which_it_was_paid(shop: Shop) -> None:
    shop.steering.rule(lose=True)
    checkout = bought(shop, synced_plan(interval=Interval.ONCE), make_user("ada@example.org"))
    shop.steering.heal()
    shop.pass_time(days=40)
    loops.refresh_checkout(checkout.stripe_id, clock.now())
    assert abs(only(Payment).paid_at - NOW) < timedelta(hours=1)


def test_every_event_is_worked_and_says_what_came_of_it(shop: Shop) -> None:
    bought(shop, synced_plan(), make_user("ada@example.org"))
    rows = db.session.query(StripeEvent).all()
    assert {row.type for row in rows} >= {"checkout.session.completed", "customer.subscription.created", "invoice.paid"}
    assert all(row.processed_at and row.result == "applied" for row in rows)
