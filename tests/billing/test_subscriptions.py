"""What a subscription opens, whatever becomes of it."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from courseapp import clock
from courseapp.billing import loops, stripe_events
from courseapp.billing import stripe_gateway as gateway
from courseapp.billing.models import Closed, Entitlement, Payment, Price, StripeEvent, Subscription
from courseapp.extensions import db
from courseapp.journal.models import Event
from tests.billing.buying import begun, bought, holds, mails, only, portal_of, synced_plan, the_customer, work
from tests.billing.conftest import Shop
from tests.conftest import NOW
from tests.factories import make_price, make_tier, make_user
from tests.fakes.clicking import Clicker

DAY = timedelta(days=1)
A_MONTH = 30 * DAY  # November has so many


def attention() -> list[str]:
    """What somebody must look at, by its codes."""
    db.session.commit()
    return [event.facts["what"] for event in db.session.scalars(sa.select(Event).where(Event.type == "billing_needs_attention"))]


def noted(type: str) -> list[dict]:
    """What the journal has of a type."""
    db.session.commit()
    return [event.facts for event in db.session.scalars(sa.select(Event).where(Event.type == type).order_by(Event.id))]


def test_updated_may_come_before_created_and_a_stale_created_after_active(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    shop.steering.rule(hold=True)
    checkout = begun(synced_plan(tier), user)
    shop.steering.buy(checkout.stripe_id, email="ada@example.org")
    shop.deliver(order="reversed")
    work(shop)
    assert holds(user, tier)
    assert only(Subscription).status == "active"
    created = [letter["event"] for letter in shop.steering.letters() if letter["type"] == "customer.subscription.created"]
    shop.deliver(created)
    work(shop)
    assert holds(user, tier)
    assert only(Subscription).status == "active"
    assert mails() == ["bought"]


@pytest.mark.parametrize("created_as", ["incomplete", "active"])
def test_however_it_is_announced_it_is_open_once_paid(shop: Shop, created_as: str) -> None:
    shop.steering.set(created_as=created_as)
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier), user)
    assert holds(user, tier)


def test_a_renewal_is_kept_with_its_receipt_and_nothing_changes(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier), user)
    shop.pass_time(days=31)
    work(shop)
    assert holds(user, tier)
    assert [row.amount for row in db.session.scalars(sa.select(Payment))] == [900, 900]
    assert mails() == ["bought", "renewed"]
    only(Entitlement)


def test_a_cancellation_in_the_portal_keeps_it_open_to_the_end_of_the_period(shop: Shop, person: Clicker) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier), user)
    portal = portal_of(shop, person, the_customer(user)).press("Cancel subscription")
    work(shop)
    kept = only(Subscription)
    assert (kept.status, kept.cancels_at) == ("active", kept.period_ends_at)
    assert holds(user, tier)
    assert not holds(user, tier, after=A_MONTH + DAY)  # though nobody should ever tell us that it ended
    portal.press("Don't cancel subscription")
    work(shop)
    assert holds(user, tier, after=A_MONTH + DAY)
    portal.press("Cancel subscription")
    shop.pass_time(days=31)
    work(shop)
    assert not holds(user, tier)
    assert only(Entitlement).closed_why is Closed.LAPSED
    assert only(Subscription).ended_at is not None


def test_a_cancellation_by_the_apis_flag_is_the_same(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier), user)
    gateway.update("subscriptions", only(Subscription).stripe_id, {"cancel_at_period_end": True})
    work(shop)
    assert holds(user, tier)
    assert not holds(user, tier, after=A_MONTH + DAY)


def late(shop: Shop, dunning_end: str = "past_due") -> tuple:
    """Somebody whose renewal cannot be charged."""
    shop.steering.set(dunning_end=dunning_end, retry_days=[3, 5, 7])
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier), user)
    shop.steering.card(the_customer(user).stripe_id, "declines")
    shop.pass_time(days=30, hours=2)
    work(shop)
    return tier, user


def test_a_late_payment_is_open_on_day_13_and_closed_on_day_15(shop: Shop) -> None:
    tier, user = late(shop)
    assert only(Subscription).status == "past_due"
    assert holds(user, tier)
    assert mails() == ["bought", "late"]
    shop.pass_time(days=13)
    work(shop)
    assert holds(user, tier)
    shop.pass_time(days=2)
    work(shop)
    assert only(Subscription).status == "past_due"
    assert not holds(user, tier)
    assert len(noted("payment_failed")) == 1


def test_grace_is_given_once_however_long_stripe_goes_on_billing(shop: Shop) -> None:
    tier, user = late(shop)
    since = only(Subscription).past_due_since
    shop.pass_time(days=33)
    work(shop)
    assert sum(invoice["status"] == "open" for invoice in shop.fake.books.all("invoice")) == 2
    assert only(Subscription).past_due_since == since
    assert not holds(user, tier)


def test_once_grace_is_over_a_mail_says_that_it_is_closed_and_not_that_it_is_open(shop: Shop) -> None:
    tier, user = late(shop)
    shop.pass_time(days=15)
    work(shop)
    assert not holds(user, tier)
    assert mails()[-1] == "late_closed"


def test_grace_runs_from_the_invoice_and_not_from_when_we_heard(shop: Shop) -> None:
    shop.steering.set(dunning_end="past_due")
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier), user)
    shop.steering.card(the_customer(user).stripe_id, "declines")
    shop.steering.rule(lose=True)
    shop.pass_time(days=40)
    loops.refresh_subscription(only(Subscription).stripe_id, clock.now())
    assert abs(only(Subscription).past_due_since - (NOW + A_MONTH)) < DAY
    assert not holds(user, tier, after=5 * DAY)


def test_a_new_card_mends_it(shop: Shop, person: Clicker) -> None:
    tier, user = late(shop)
    portal_of(shop, person, the_customer(user)).press("Add a card")
    shop.pass_time(days=4)
    work(shop)
    assert (only(Subscription).status, only(Subscription).past_due_since) == ("active", None)
    assert holds(user, tier, after=20 * DAY)


@pytest.mark.parametrize(("dunning_end", "status"), [("cancel", "canceled"), ("unpaid", "unpaid")])
def test_when_stripe_gives_up_it_is_closed(shop: Shop, dunning_end: str, status: str) -> None:
    tier, user = late(shop, dunning_end)
    shop.pass_time(days=20)
    work(shop)
    assert only(Subscription).status == status
    assert not holds(user, tier)


def test_a_bank_that_asks_for_the_owner_is_answered_by_a_mail_with_the_invoices_page(shop: Shop) -> None:
    user = make_user("ada@example.org")
    bought(shop, synced_plan(), user)
    shop.steering.card(the_customer(user).stripe_id, "requires_action")
    shop.pass_time(days=30, hours=2)
    work(shop)
    assert mails() == ["bought", "bank_asks"]


def test_free_days_open_at_once_and_their_end_is_told_three_days_before(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier, trial_days=14), user, subscription_data={"trial_period_days": 14})
    assert (only(Subscription).status, holds(user, tier)) == ("trialing", True)
    shop.pass_time(days=11, hours=1)
    work(shop)
    assert mails() == ["bought", "trial_ends"]
    shop.pass_time(days=4)
    work(shop)
    assert only(Subscription).status == "active"
    assert holds(user, tier)
    assert only(Payment).amount == 900


def test_free_days_that_were_cancelled_are_not_warned_of(shop: Shop, person: Clicker) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier, trial_days=14), user, subscription_data={"trial_period_days": 14})
    portal_of(shop, person, the_customer(user)).press("Cancel subscription")
    shop.pass_time(days=11, hours=1)
    work(shop)
    assert mails() == ["bought"]
    shop.pass_time(days=5)
    work(shop)
    assert not holds(user, tier)


def test_an_upgrade_in_the_portal_opens_the_other_tier_at_once(shop: Shop, person: Clicker) -> None:
    small, large, user = make_tier(), make_tier(), make_user("ada@example.org")
    plan, better = synced_plan(small, amount=900), synced_plan(large, amount=1900)
    bought(shop, plan, user)
    portal_of(shop, person, the_customer(user), plan, better).press("Update plan", price=only_price(better))
    work(shop)
    assert holds(user, large)
    assert not holds(user, small)
    assert [facts["tier_id"] for facts in noted("tier_bought")] == [small.id, large.id]
    only(Entitlement)
    assert mails() == ["bought", "changed"]  # who is charged at once gets a receipt at once


def only_price(plan) -> str:
    """The id at Stripe of what a plan costs."""
    return str(db.session.scalars(sa.select(Price.stripe_id).where(Price.plan_id == plan.id, Price.retired_at.is_(None))).one())


def test_a_downgrade_in_the_portal_comes_with_the_end_of_the_period(shop: Shop, person: Clicker) -> None:
    small, large, user = make_tier(), make_tier(), make_user("ada@example.org")
    plan, better = synced_plan(small, amount=900), synced_plan(large, amount=1900)
    bought(shop, better, user)
    portal_of(shop, person, the_customer(user), plan, better).press("Update plan", price=only_price(plan))
    work(shop)
    assert holds(user, large)
    shop.pass_time(days=31)
    work(shop)
    assert holds(user, small)
    assert not holds(user, large)


def test_a_raised_price_leaves_old_subscribers_where_they_are(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    plan = synced_plan(tier, amount=900)
    bought(shop, plan, user)
    old = db.session.scalars(sa.select(Price).where(Price.plan_id == plan.id)).one()
    dearer = shop.steering.raise_price(str(old.stripe_id), 1200)
    old.retired_at = clock.now()
    db.session.flush()
    make_price(plan, amount=1200, stripe_id=dearer["id"])
    shop.pass_time(days=31)
    work(shop)
    assert [row.amount for row in db.session.scalars(sa.select(Payment))] == [900, 900]
    assert (only(Subscription).plan_id, holds(user, tier)) == (plan.id, True)
    assert attention() == []


def test_an_unknown_price_keeps_the_tier_and_is_told(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    plan = synced_plan(tier)
    bought(shop, plan, user)
    db.session.execute(sa.update(Price).values(stripe_id="price_of_another_time"))
    db.session.commit()
    loops.refresh_subscription(only(Subscription).stripe_id, clock.now())
    assert holds(user, tier)
    assert only(Subscription).plan_id == plan.id
    assert attention() == ["unknown_price"]


def test_an_unknown_status_keeps_what_was_and_is_told(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier), user)
    shop.steering.put(only(Subscription).stripe_id, announce="customer.subscription.updated", status="on_the_moon")
    work(shop)
    assert (only(Subscription).status, holds(user, tier)) == ("on_the_moon", True)
    assert attention() == ["unknown_status"]
    shop.steering.put(only(Subscription).stripe_id, announce="customer.subscription.updated", status="active")
    work(shop)
    assert holds(user, tier)


@pytest.mark.parametrize("status", ["paused", "unpaid", "incomplete_expired"])
def test_a_status_that_pays_nothing_closes_it(shop: Shop, status: str) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier), user)
    shop.steering.put(only(Subscription).stripe_id, announce="customer.subscription.updated", status=status)
    work(shop)
    assert not holds(user, tier)


def test_a_subscription_that_nobody_knows_is_told_and_opens_nothing(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier), user)
    kept = only(Subscription)
    db.session.execute(sa.delete(Entitlement))
    db.session.execute(sa.update(Payment).values(subscription_id=None, customer_id=None))
    db.session.delete(kept)
    db.session.delete(the_customer(user))
    shop.steering.put(kept.stripe_id, metadata={})
    db.session.commit()
    assert loops.refresh_subscription(kept.stripe_id, clock.now()) == stripe_events.NOT_OURS
    assert attention() == ["no_owner"]


def test_an_event_is_marked_as_worked_in_the_transaction_of_what_came_of_it(shop: Shop) -> None:
    bought(shop, synced_plan(), make_user("ada@example.org"))
    shop.steering.rule(hold=True)
    row = db.session.scalars(sa.select(StripeEvent).where(StripeEvent.type == "invoice.paid")).one()
    row.processed_at, row.result = None, None
    db.session.commit()
    shop.steering.fail("500", times=None)
    with pytest.raises(gateway.StripeAwayError):
        loops.act_on(row, clock.now())
    db.session.rollback()
    assert only_event(row.id).processed_at is None
    shop.steering.heal()
    loops.act_on(only_event(row.id), clock.now())
    assert only_event(row.id).processed_at is not None


def only_event(number: int) -> StripeEvent:
    """An event by its number, read again."""
    db.session.commit()
    return db.session.get_one(StripeEvent, number)


def test_two_that_were_paid_in_two_windows_are_both_kept_and_somebody_is_told(shop: Shop) -> None:
    user = make_user("ada@example.org")
    windows = [begun(synced_plan(), user) for _window in range(2)]
    for checkout in windows:
        shop.steering.buy(checkout.stripe_id, email="ada@example.org")
    work(shop)
    assert attention() == ["second_subscription"]
    assert all(holds(user, checkout.plan.tier) for checkout in windows)


def test_after_one_has_ended_another_is_nothing_to_tell_of(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier), user)
    gateway.cancel_subscription(only(Subscription).stripe_id)
    work(shop)
    assert not holds(user, tier)
    bought(shop, synced_plan(tier), user)
    assert holds(user, tier)
    assert attention() == []


def test_when_a_customer_is_deleted_at_stripe_what_they_subscribed_to_closes(shop: Shop) -> None:
    tier, user = make_tier(), make_user("ada@example.org")
    bought(shop, synced_plan(tier), user)
    gateway._service("customers").delete(the_customer(user).stripe_id)
    work(shop)
    assert only(Subscription).status == "canceled"
    assert not holds(user, tier)
