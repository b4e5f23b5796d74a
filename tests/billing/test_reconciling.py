"""Comparing with Stripe, both ways: what is missing is mended, what would close something is only told."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.billing import comparing, reconciling
from courseapp.billing import stripe_gateway as gateway
from courseapp.billing.attention import NEEDED
from courseapp.billing.findings import FINDING_KINDS, MOST, Finding, words_of_finding
from courseapp.billing.joining import join_purchases
from courseapp.billing.models import (
    Checkout,
    CheckoutState,
    Closed,
    Customer,
    Entitlement,
    Kind,
    Payment,
    Plan,
    Price,
    Reconciliation,
    Refund,
    StripeEvent,
    Subscription,
)
from courseapp.billing.watching import loops
from courseapp.billing.watching.loops import Comparison, compare_all
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.operations.tidying import tidy
from tests.billing.buying import begun, bought, holds, only, price_of, synced_plan, work
from tests.billing.conftest import Shop
from tests.conftest import NOW
from tests.factories import make_course, make_customer, make_entitlement, make_tier, make_user

Paid = tuple[User, Plan, Checkout]


def buy_unheard(shop: Shop, interval: str = "month", user: User | None = None, **more: Any) -> Paid:
    """Somebody buys, and no webhook ever tells of it."""
    shop.steering.rule(lose=True)
    user = user or make_user("ada@example.org")
    plan = synced_plan(make_tier(), interval, **more)
    checkout = begun(plan, user)
    assert shop.steering.buy(checkout.stripe_id, email="ada@example.org") is None
    shop.settle()
    shop.steering.heal()
    return user, plan, checkout


def buy(shop: Shop, interval: str = "month", address: str = "ada@example.org", **more: Any) -> Paid:
    """Somebody buys, and all is told."""
    user, plan = make_user(address), synced_plan(make_tier(), interval, **more)
    return user, plan, bought(shop, plan, user, address=address)


def unheard(shop: Shop) -> None:
    """From now on no webhook tells of anything."""
    shop.steering.rule(lose=True)


def compare(is_fixing: bool = False) -> list[Finding]:
    """One comparison; what it found."""
    begun_now = reconciling.begin(clock.now(), is_fixing=is_fixing)
    assert begun_now is not None
    report = reconciling.claim(clock.now(), begun_now.id)
    assert report is not None
    db.session.commit()
    compare_all(report, clock.now)
    assert report.ended_at is not None
    return reconciling.findings_of(report)


def kinds(found: Sequence[Finding]) -> list[tuple[str, bool]]:
    """Each finding's kind, and whether it was mended."""
    return sorted((finding.kind, finding.is_mended) for finding in found)


def rows(model: Any) -> list[Any]:
    db.session.commit()
    return list(db.session.scalars(sa.select(model)))


def subscription_id() -> str:
    return str(only(Subscription).stripe_id)


def charge_of(payment: Payment) -> str:
    intent = gateway.payment_intent(payment.stripe_id)
    assert intent is not None
    return str(gateway.id_of(intent["latest_charge"]))


# Nothing differs


@pytest.mark.parametrize("interval", ["month", "once"])
def test_where_all_was_told_nothing_differs(shop: Shop, interval: str) -> None:
    buy(shop, interval)
    assert compare() == []
    report = only(Reconciliation)
    assert report.looked_at >= 3
    assert rows(Event)[-1].type != NEEDED


def test_where_nothing_was_ever_sold_nothing_differs(shop: Shop) -> None:
    assert compare(is_fixing=True) == []


def test_years_of_renewals_and_an_end_differ_in_nothing(shop: Shop) -> None:
    buy(shop)
    for _month in range(3):
        shop.pass_time(days=31)
        work(shop)
    gateway.cancel_subscription(subscription_id())
    work(shop)
    assert compare() == []


# What is missing is told, and mended where that is wanted


def test_a_subscription_that_nobody_told_of_is_told_and_not_touched(shop: Shop) -> None:
    user, plan, _checkout = buy_unheard(shop)
    assert ("subscription_unknown", False) in kinds(compare())
    assert rows(Entitlement) == []
    assert not holds(user, plan.tier)


@pytest.mark.parametrize("interval", ["month", "once"])
def test_what_was_paid_and_never_told_is_given(shop: Shop, interval: str) -> None:
    user, plan, _checkout = buy_unheard(shop, interval)
    found = compare(is_fixing=True)
    assert found
    assert all(finding.is_mended for finding in found), kinds(found)
    assert holds(user, plan.tier)
    assert rows(Payment)[0].plan_id == plan.id
    assert only(Checkout).state is CheckoutState.FULFILLED
    assert compare() == []


def test_money_that_took_long_and_was_never_told_is_found_however_old_its_checkout(shop: Shop) -> None:
    user, plan = make_user("ada@example.org"), synced_plan(make_tier(), "once")
    bought(shop, plan, user, way="later_succeeds")
    compare(is_fixing=True)
    unheard(shop)
    shop.steering.pass_time(days=20)
    shop.pass_time()
    compare()  # one that mends nothing: the next looks no further back than its window
    assert ("checkout_unfulfilled", True) in kinds(compare(is_fixing=True))
    assert holds(user, plan.tier)


@pytest.mark.parametrize(
    ("last", "since"),
    [(None, 120), (timedelta(hours=20), 7), (timedelta(days=6), 7), (timedelta(days=30), 31), (timedelta(days=300), 120)],
)
def test_it_looks_back_over_all_that_nobody_has_compared_yet(last: timedelta | None, since: int) -> None:
    assert reconciling.reaching_back(timedelta(days=7), NOW - last if last else None, NOW) == NOW - timedelta(days=since)


def test_a_purchase_that_was_lost_during_a_long_outage_is_found(shop: Shop) -> None:
    compare()
    user, plan, _checkout = buy_unheard(shop, "once")
    unheard(shop)
    shop.pass_time(days=40)
    compare(is_fixing=True)
    assert holds(user, plan.tier)


def test_a_renewal_that_nobody_told_of_is_mended(shop: Shop) -> None:
    user, plan, _checkout = buy(shop)
    unheard(shop)
    shop.pass_time(days=32)
    assert ("payment_unknown", False) in kinds(compare())
    assert len(rows(Payment)) == 1
    assert all(finding.is_mended for finding in compare(is_fixing=True))
    assert len(rows(Payment)) == 2
    assert only(Subscription).period_ends_at > clock.now()
    assert holds(user, plan.tier)


@pytest.mark.parametrize("interval", ["month", "once"])
def test_access_that_was_lost_here_is_given_again(shop: Shop, interval: str) -> None:
    user, plan, _checkout = buy(shop, interval)
    db.session.execute(sa.delete(Entitlement))
    assert kinds(compare()) == [("access_missing", False)]
    assert kinds(compare(is_fixing=True)) == [("access_missing", True)]
    assert holds(user, plan.tier)


def test_a_subscription_that_lapsed_here_by_mistake_opens_again(shop: Shop) -> None:
    user, plan, _checkout = buy(shop)
    only(Entitlement).closed_at, only(Entitlement).closed_why = NOW, Closed.LAPSED
    only(Subscription).status = "unpaid"
    assert kinds(compare(is_fixing=True)) == [("subscription_differs", True)]
    assert holds(user, plan.tier)


def test_a_small_refund_that_nobody_told_of_is_kept(shop: Shop) -> None:
    user, plan, _checkout = buy(shop, "once", amount=2000)
    unheard(shop)
    shop.steering.refund(payment_intent=only(Payment).stripe_id, amount=500)
    assert kinds(compare(is_fixing=True)) == [("refund_unknown", True)]
    assert only(Refund).amount == 500
    assert holds(user, plan.tier)
    assert compare() == []


# What would close something is told, and left for a person


def test_an_end_that_nobody_told_of_closes_nothing_by_itself(shop: Shop) -> None:
    user, plan, _checkout = buy(shop)
    unheard(shop)
    gateway.cancel_subscription(subscription_id())
    (finding,) = compare(is_fixing=True)
    assert (finding.kind, finding.takes_access, finding.is_mended) == ("subscription_differs", True, False)
    assert "its status" in words_of_finding(finding)
    assert holds(user, plan.tier)
    assert loops.bring_in_line(finding, clock.now())
    assert not holds(user, plan.tier)
    assert compare() == []


@pytest.mark.parametrize("interval", ["month", "once"])
def test_a_whole_refund_that_nobody_told_of_closes_nothing_by_itself(shop: Shop, interval: str) -> None:
    user, plan, _checkout = buy(shop, interval)
    unheard(shop)
    shop.steering.refund(payment_intent=only(Payment).stripe_id)
    (finding,) = compare(is_fixing=True)
    assert (finding.kind, finding.takes_access, finding.is_mended) == ("refund_unknown", True, False)
    assert holds(user, plan.tier)
    loops.bring_in_line(finding, clock.now())
    assert not holds(user, plan.tier)
    assert compare() == []


def test_a_dispute_that_nobody_told_of_closes_nothing_and_one_that_was_won_opens_again(shop: Shop) -> None:
    user, plan, _checkout = buy(shop, "once")
    unheard(shop)
    dispute = shop.steering.dispute(charge_of(only(Payment)))
    (finding,) = compare(is_fixing=True)
    assert (finding.kind, finding.takes_access) == ("dispute_unknown", True)
    assert holds(user, plan.tier)
    loops.bring_in_line(finding, clock.now())
    assert not holds(user, plan.tier)
    shop.steering.close_dispute(dispute["id"], won=True)
    assert kinds(compare(is_fixing=True)) == [("dispute_unknown", True)]
    assert holds(user, plan.tier)


@pytest.mark.parametrize(("opens", "kind"), [("more", True), ("other", False)])
def test_another_tier_is_brought_in_line_only_where_it_opens_all_that_was_open(shop: Shop, opens: str, kind: bool) -> None:
    course = make_course()
    user, tier = make_user("ada@example.org"), make_tier(opens=course)
    bought(shop, synced_plan(tier), user)
    better = synced_plan(make_tier(opens=course if opens == "more" else make_course()))
    unheard(shop)
    thing = gateway.subscription(subscription_id())
    assert thing is not None
    item = {"id": thing["items"]["data"][0]["id"], "price": price_of(better).stripe_id}
    gateway.update("subscriptions", thing["id"], {"items": [item], "proration_behavior": "none"})
    found = compare(is_fixing=True)
    assert kinds(found) == [("subscription_differs", kind)]
    assert "its price" in words_of_finding(found[0])
    assert holds(user, better.tier) is kind


def test_a_subscription_that_stripe_does_not_list_stays_open(shop: Shop) -> None:
    user, plan, _checkout = buy(shop)
    row = Subscription(stripe_id="sub_gone", customer_id=only(Customer).id, price_stripe_id="price_1", status="active")
    row.began_at = row.told_at = NOW - timedelta(days=1)
    db.session.add(row)
    (finding,) = compare(is_fixing=True)
    assert (finding.kind, finding.ids["subscription"], finding.takes_access) == ("subscription_gone", "sub_gone", True)
    assert holds(user, plan.tier)


def test_what_was_handed_out_and_never_paid_is_told(shop: Shop) -> None:
    user, plan = make_user("ada@example.org"), synced_plan(make_tier(), "once")
    checkout = bought(shop, plan, user, way="later_succeeds")
    checkout.state = CheckoutState.FULFILLED
    make_entitlement(user, plan.tier, Kind.PURCHASE, checkout_id=checkout.id)
    found = compare(is_fixing=True)
    assert kinds(found) == [("checkout_unpaid", False)]
    assert holds(user, plan.tier)


@pytest.mark.parametrize("kind", ["purchase", "subscription"])
def test_access_that_nothing_carries_is_told_and_stays(shop: Shop, kind: str) -> None:
    user, tier = make_user("ada@example.org"), make_tier()
    make_entitlement(user, tier, kind)
    (finding,) = compare(is_fixing=True)
    assert (finding.kind, finding.refresh) == ("access_loose", None)
    assert holds(user, tier)


def test_a_gift_needs_nothing_to_carry_it(shop: Shop) -> None:
    make_entitlement(make_user("ada@example.org"), make_tier(), "gift")
    make_entitlement(make_user("bob@example.org"), make_tier(), "free")
    assert compare() == []


# What nobody can mend from here


def test_an_unknown_price_keeps_the_tier_and_is_told(shop: Shop) -> None:
    user, plan, _checkout = buy(shop)
    only(Price).stripe_id = "price_of_before"
    found = compare(is_fixing=True)
    assert ("unknown_price", False) in kinds(found)
    assert holds(user, plan.tier)


def test_an_unknown_status_keeps_what_was_and_is_told(shop: Shop) -> None:
    user, plan, _checkout = buy(shop)
    shop.steering.put(subscription_id(), status="resting")
    assert ("unknown_status", False) in kinds(compare(is_fixing=True))
    assert holds(user, plan.tier)


def test_a_subscription_of_nobody_is_told(shop: Shop) -> None:
    buy(shop)
    only(Customer).user_id = None
    assert kinds(compare(is_fixing=True)) == [("no_owner", False)]


def test_whoever_subscribes_as_two_customers_is_told_of_and_whoever_only_is_two_is_not(shop: Shop) -> None:
    user, _plan, _checkout = buy(shop)
    make_customer(user)
    assert compare(is_fixing=True) == []  # they bought something as a guest once, and pay once
    guest, _plan, _checkout = buy(shop, address="also@example.org")
    join_purchases(guest.id, user.id)
    (finding,) = compare(is_fixing=True)
    assert (finding.kind, finding.facts) == ("second_customer", {"count": 2})


def test_a_paid_checkout_that_a_restored_backup_does_not_know_is_told(shop: Shop) -> None:
    _user, _plan, checkout = buy_unheard(shop, "once")
    db.session.delete(checkout)
    assert kinds(compare(is_fixing=True)) == [("checkout_unknown", False)]


def test_what_another_shop_sells_at_the_same_account_is_none_of_ours(shop: Shop) -> None:
    buy_unheard(shop)
    for model in (Checkout, Price, Plan):
        db.session.execute(sa.delete(model))
    assert "subscription_unknown" not in {finding.kind for finding in compare(is_fixing=True)}


# Keys and outages


def test_a_key_of_another_account_changes_nothing(shop: Shop) -> None:
    user, plan, _checkout = buy(shop)
    buy_unheard(shop, user=make_user("bob@example.org"))
    only_row = rows(Customer)[0]
    only_row.stripe_id = "cus_of_another_account"
    (finding,) = compare(is_fixing=True)
    assert finding.kind == "wrong_key"
    assert "wrong key" in words_of_finding(finding)
    assert holds(user, plan.tier)
    assert len(rows(Subscription)) == 1


def test_an_empty_list_changes_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    user, plan, _checkout = buy(shop)
    buy_unheard(shop, "once", user=make_user("bob@example.org"))
    monkeypatch.setattr(gateway, "subscriptions", lambda: iter(()))
    assert kinds(compare(is_fixing=True)) == [("wrong_key", False)]
    assert holds(user, plan.tier)
    assert len(rows(Entitlement)) == 1


@pytest.mark.parametrize(("what", "kind"), [("403", "key_refused"), ("503", "stripe_away"), ("drop", "stripe_away")])
def test_where_stripe_does_not_answer_it_breaks_off_and_keeps_what_it_found(shop: Shop, what: str, kind: str) -> None:
    user, plan, _checkout = buy(shop)
    unheard(shop)
    gateway.cancel_subscription(subscription_id())
    shop.steering.fail(what, times=None, path="/v1/checkout/sessions")
    assert kinds(compare(is_fixing=True)) == sorted([("subscription_differs", False), (kind, False)])
    assert reconciling.last_success() is None
    assert holds(user, plan.tier)


def test_no_transaction_is_open_while_stripe_is_asked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    buy(shop)
    buy_unheard(shop, "once", user=make_user("bob@example.org"))
    asked, api = [], gateway._api

    def watched() -> Any:
        asked.append(db.session().in_transaction())
        return api()

    monkeypatch.setattr(gateway, "_api", watched)
    db.session.commit()
    loops.reconcile(clock.now)
    assert len(asked) > 6
    assert not any(asked)


def test_more_than_one_page_is_compared(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "PAGE", 2)
    monkeypatch.setattr(loops, "PAGE", 2)
    monkeypatch.setattr(comparing, "PAGE", 2)
    plan, people = synced_plan(make_tier()), [make_user(f"one{number}@example.org") for number in range(5)]
    unheard(shop)
    for number, user in enumerate(people):
        checkout = begun(plan, user)
        assert shop.steering.buy(checkout.stripe_id, email=f"one{number}@example.org") is None
    assert len([1 for kind, _is_mended in kinds(compare()) if kind == "subscription_unknown"]) == 5
    assert all(finding.is_mended for finding in compare(is_fixing=True))
    assert all(holds(user, plan.tier) for user in people)
    db.session.execute(sa.update(Subscription).values(stripe_id=sa.cast(Subscription.id, sa.String), told_at=NOW - timedelta(days=1)))
    gone = [finding for finding in compare() if finding.kind == "subscription_gone"]
    assert len(gone) == 5


# One at a time, and what is said of it


def test_a_second_one_is_refused_while_one_is_under_way_for_an_hour(shop: Shop) -> None:
    first = reconciling.begin(NOW, is_fixing=False)
    assert first is not None
    assert reconciling.begin(NOW + timedelta(minutes=59), is_fixing=False) is None
    assert reconciling.begin(NOW + timedelta(minutes=61), is_fixing=False) is not None


def test_what_was_begun_is_carried_out_once(shop: Shop) -> None:
    reconciling.begin(NOW, is_fixing=False)
    assert reconciling.claim(NOW) is not None
    assert reconciling.claim(NOW) is None


def test_the_nightly_one_comes_once_a_night_and_mends(shop: Shop) -> None:
    user, plan, _checkout = buy_unheard(shop)
    loops.reconcile(clock.now)
    assert holds(user, plan.tier)
    loops.reconcile(clock.now)
    assert len(rows(Reconciliation)) == 1
    shop.pass_time(hours=17)
    loops.reconcile(clock.now)
    assert len(rows(Reconciliation)) == 1
    shop.pass_time(hours=2)
    loops.reconcile(clock.now)
    assert [row.is_fixing for row in rows(Reconciliation)] == [True, True]


def test_how_far_it_is_stands_there_while_it_goes_on(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    buy(shop)
    seen = []
    settle = Comparison._settle

    def look(self: Comparison, *given: Any) -> None:
        settle(self, *given)
        seen.append(only(Reconciliation).looked_at)

    monkeypatch.setattr(Comparison, "_settle", look)
    compare()
    assert seen == sorted(seen)
    assert seen[0] == 2
    assert seen[-1] > 3


def test_owners_are_told_of_what_is_new_and_not_each_night_again(shop: Shop) -> None:
    make_entitlement(make_user("ada@example.org"), make_tier(), "purchase")
    told = []
    for night in range(3):
        if night == 2:
            make_entitlement(make_user("bob@example.org"), make_tier(), "subscription")
            buyer, _plan, _checkout = buy(shop, address="cy@example.org")
            guest, _plan, _checkout = buy(shop, address="also@example.org")
            join_purchases(guest.id, buyer.id)
        compare(is_fixing=True)
        told.append([event.facts["what"] for event in rows(Event) if event.type == NEEDED])
        shop.pass_time(days=2)
    assert told == [["reconcile_found"], ["reconcile_found"], ["reconcile_found", "second_customer", "reconcile_found"]]


def test_very_many_findings_are_counted_and_not_all_kept(shop: Shop) -> None:
    report = reconciling.begin(NOW, is_fixing=False)
    assert report is not None
    comparison = Comparison(report, clock.now)
    for number in range(MOST + 7):
        comparison.add(Finding("payment_unknown", {"invoice": f"in_{number}"}))
    comparison.end()
    assert len(only(Reconciliation).findings) == MOST + 1
    assert "7 more" in words_of_finding(reconciling.findings_of(only(Reconciliation))[-1])


def test_every_kind_of_finding_can_be_said(shop: Shop) -> None:
    facts = {
        "theirs": "active",
        "ours": "active",
        "what": ["status", "price", "period", "cancel"],
        "price": "price_1",
        "count": 2,
        "said": "No.",
    }
    for kind in FINDING_KINDS:
        assert "%(" not in words_of_finding(Finding(kind, facts=facts))


# The command


def test_the_command_ends_with_1_where_something_remains_and_with_0_once_it_is_mended(shop: Shop) -> None:
    user, plan, _checkout = buy_unheard(shop)
    run = shop.app.test_cli_runner().invoke
    db.session.commit()
    first = run(args=["billing", "reconcile"])
    assert first.exit_code == 1
    assert "Somebody has a subscription at Stripe (active) that is not known here." in first.output
    second = run(args=["billing", "reconcile", "--fix", "--json"])
    assert second.exit_code == 0, second.output
    told = json.loads(second.output)
    assert told["remaining"] == 0
    assert {finding["kind"] for finding in told["findings"]} >= {"subscription_unknown"}
    assert all(finding["is_mended"] and finding["words"] for finding in told["findings"])
    db.session.rollback()
    assert holds(user, plan.tier)
    db.session.commit()
    assert run(args=["billing", "reconcile"]).exit_code == 0


def test_the_command_refuses_while_another_comparison_is_under_way(shop: Shop) -> None:
    reconciling.begin(clock.now(), is_fixing=False)
    db.session.commit()
    ended = shop.app.test_cli_runner().invoke(args=["billing", "reconcile"])
    assert ended.exit_code == 1
    assert "under way" in ended.output


def test_without_a_key_the_command_says_that_nothing_is_sold(app: Any) -> None:
    ended = app.test_cli_runner().invoke(args=["billing", "reconcile"])
    assert ended.exit_code == 1
    assert "STRIPE_SECRET_KEY" in ended.output


# Keeping


def test_events_go_after_90_days_and_reports_after_a_year(shop: Shop) -> None:
    buy(shop)
    assert compare() == []
    count = len(rows(StripeEvent))
    rows(StripeEvent)[0].processed_at = None
    db.session.commit()
    tidy(NOW + timedelta(days=89))
    assert (len(rows(StripeEvent)), len(rows(Reconciliation))) == (count, 1)
    tidy(NOW + timedelta(days=91))
    assert (len(rows(StripeEvent)), len(rows(Reconciliation))) == (1, 1)  # one that was never worked stays
    tidy(NOW + timedelta(days=366))
    assert len(rows(Reconciliation)) == 0
