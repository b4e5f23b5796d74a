"""Money of more than a year, and people of whom each stands otherwise with it: for pictures and for axe."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.billing import plans, tiers
from courseapp.billing.entitlements import give, withdraw
from courseapp.billing.findings import Finding
from courseapp.billing.models import (
    CheckoutState,
    Closed,
    Customer,
    Entitlement,
    Interval,
    Kind,
    Plan,
    Reconciliation,
    StripeEvent,
    Subscription,
    Tier,
)
from courseapp.billing.stripe_events import FAILED
from courseapp.campaigns.models import Trigger
from courseapp.catalog.models import Course
from courseapp.extensions import db
from tests.campaigns.crowd import is_
from tests.factories import lessons_of, make_completion, make_customer, make_enrolment, make_segment, make_sequence, make_user
from tests.insights.takings import make_checkout, make_payment, make_refund
from tests.insights.takings import make_subscription as told

DAY = timedelta(days=1)
ADDRESS = "{}@example.org"
DISPUTES = {31: "under_review", 47: "won", 58: "lost"}


def offer_more(now: datetime) -> None:
    """Beside the two tiers of the example file: one that opens both, with a trial and in dollars too, and one that was put away."""
    courses = [course for name in ("guided-practice", "rest-and-recovery") if (course := tiers.course_named(name)) is not None]
    words = ("Both together", "Your course, whole", "Both courses, for as long as you like, with whatever comes to them later.")
    both = tiers.make_tier(tiers.TierFacts(*words, (), frozenset(course.id for course in courses), position=9), now, None)
    for interval, amount in ((Interval.MONTH, 1200), (Interval.YEAR, 12000)):
        plan = plans.make_plan(both, interval, now, None)
        plans.set_price(plan, "eur", amount, now, None)
        plans.set_price(plan, "usd", amount + amount // 10, now, None)
        plan.trial_days = 7
    for plan in db.session.scalars(sa.select(Plan).where(Plan.tier_id != both.id)).all():
        plans.set_price(plan, "usd", plans.prices_of(plan)["eur"].amount * 11 // 10, now, None)
    old = tiers.make_tier(
        tiers.TierFacts("The winter series", "Your course, winter", "Sold until spring.", (), frozenset(), position=10), now, None
    )
    old.archived_at = now


def make_money(owner: User, now: datetime) -> dict[str, str]:
    """All of it, worked long ago; addresses of what can be looked at, by a word for each."""
    year = [
        _plan_of("guided-practice", Interval.MONTH),
        _plan_of("guided-practice", Interval.YEAR),
        _plan_of("rest-and-recovery", Interval.ONCE),
    ]
    make_months(year, now)
    make_people(year[0], year[2], now)
    found = make_gifts(owner, year[2].tier, now) | make_told(now)
    sequence = make_sequence(
        trigger=Trigger.TIER_BOUGHT, tier_id=year[0].tier_id, goal=None, delays=(0, 3), title="After a purchase"
    ).sequence
    condition = is_("tier", "holds", tier="guided-practice")
    segment = make_segment({"all": [condition, {"not": is_("tier", "held", tier="rest-and-recovery")}]}, name="Subscribers")
    closed = lessons_of(_course("guided-practice"))[0].public_id
    both = db.session.scalars(sa.select(Tier).where(Tier.name == "Both together")).one()
    monthly = db.session.scalars(sa.select(Plan).where(Plan.tier_id == both.id, Plan.interval == Interval.MONTH)).one()
    yearly = db.session.scalars(sa.select(Plan).where(Plan.tier_id == both.id, Plan.interval == Interval.YEAR)).one()
    plans.set_price(yearly, "usd", 12_900, now, None)
    return found | {
        "tier": f"/staff/tiers/{both.public_id}",
        "plan": f"/staff/tiers/{both.public_id}/plans/{monthly.public_id}",
        "sequence": f"/staff/mail/sequences/{sequence.public_id}",
        "segment": f"/staff/mail/segments/{segment.public_id}",
        "lesson": f"/lessons/{closed}",
    }


def make_months(sold: list[Plan], now: datetime) -> None:
    """Sixteen months of purchases, some of them refunded or disputed, a few in dollars; with the subscriptions that they are of."""
    number = 0
    for ago in range(15, -1, -1):
        for each in range(3 + (15 - ago) % 6):
            number += 1
            at = now - timedelta(days=30 * ago + each)
            plan = sold[number % 3]
            currency, amount = ("usd", 990) if number % 11 == 5 else ("eur", plans.prices_of(plan)["eur"].amount)
            facts: dict[str, Any] = {
                "paid_at": at,
                "currency": currency,
                "disputed": DISPUTES.get(number),
                "invoice_number": f"A-{number:04}",
            }
            if plan.is_recurring:
                facts["subscription_id"] = one_who_came(plan, number, at, now).id
            else:
                user = make_user()
                facts["checkout_id"] = make_checkout(plan, user_id=user.id, state=CheckoutState.FULFILLED, created_at=at, settled_at=at).id
            payment = make_payment(plan, amount, **facts)
            if number % 14 == 9:
                make_refund(payment, amount if number % 2 else amount // 3, made_at=min(at + 5 * DAY, now))


def one_who_came(plan: Plan, number: int, at: datetime, now: datetime) -> Subscription:
    """A subscription of somebody: most go on, some ended, are on trial or late."""
    facts: dict[str, Any] = {"began_at": at, "period_ends_at": now + 20 * DAY}
    if number % 7 == 3:
        ended = min(at + 45 * DAY, now)
        facts |= {"status": "canceled", "ended_at": ended, "trial_ends_at": at + 7 * DAY}
    elif number % 17 == 4:
        facts |= {"status": "past_due", "past_due_since": now - 3 * DAY}
    elif now - at < 6 * DAY:
        facts |= {"status": "trialing", "trial_ends_at": at + 7 * DAY}
    elif number % 9 == 1:
        facts |= {"cancels_at": now + 20 * DAY}
    return told(plan, customer_id=make_customer(make_user()).id, **facts)


def make_people(monthly: Plan, once: Plan, now: datetime) -> None:
    """subscriber@, cancelled@, late@ and lapsed@ have the monthly plan, buyer@ bought the other tier and has not begun it."""
    subscribe("subscriber", monthly, now, began=95)
    subscribe("cancelled", monthly, now, began=40, cancels_at=now + 12 * DAY)
    subscribe("late", monthly, now, began=62, status="past_due", past_due_since=now - 3 * DAY)
    held = subscribe("lapsed", monthly, now, began=150, status="canceled", ended_at=now - 9 * DAY)
    held.closed_at, held.closed_why = now - 9 * DAY, Closed.LAPSED
    user = make_user(ADDRESS.format("buyer"))
    make_enrolment(user, _course("introduction"), started_at=now - 30 * DAY)
    customer = make_customer(user)
    checkout = make_checkout(once, user_id=user.id, state=CheckoutState.FULFILLED, created_at=now - DAY, settled_at=now - DAY)
    make_payment(once, 2900, customer_id=customer.id, checkout_id=checkout.id, paid_at=now - DAY, invoice_number="B-0001")
    db.session.add(Entitlement(user_id=user.id, tier_id=once.tier_id, kind=Kind.PURCHASE, begins_at=now - DAY, checkout_id=checkout.id))
    db.session.flush()


def subscribe(name: str, plan: Plan, now: datetime, *, began: int, **facts: Any) -> Entitlement:
    """Somebody who took the course by a subscription so many days ago, and paid each month."""
    user, at, course = make_user(ADDRESS.format(name)), now - timedelta(days=began), _course("guided-practice")
    customer: Customer = make_customer(user)
    make_enrolment(user, course, started_at=at)
    for lesson in lessons_of(course)[:1]:
        make_completion(user, lesson, completed_at=at + DAY)
    price = plans.prices_of(plan)["eur"]
    usual = {"customer_id": customer.id, "began_at": at, "period_ends_at": now + 21 * DAY}
    subscription = told(plan, **{**usual, "price_stripe_id": price.stripe_id or "price_1", **facts})
    for month in range(min(began // 30, 4)):
        number = f"{name[0].upper()}-{month + 1:04}"
        paid = {"customer_id": customer.id, "subscription_id": subscription.id, "paid_at": at + timedelta(days=30 * month)}
        payment = make_payment(plan, price.amount, invoice_number=number, **paid)
        if name == "subscriber" and month == 1:
            make_refund(payment, 300, made_at=payment.paid_at + 2 * DAY)
    held = {"user_id": user.id, "tier_id": plan.tier_id, "kind": Kind.SUBSCRIPTION, "begins_at": at, "subscription_id": subscription.id}
    made = Entitlement(**held, ends_at=facts.get("cancels_at"))
    db.session.add(made)
    db.session.flush()
    return made


def make_gifts(owner: User, tier: Tier, now: datetime) -> dict[str, str]:
    """Three that staff gave: one open without an end, one until a day, one taken back."""
    made = []
    for name, reason, ends_at in (
        ("a.student.with.a.rather.long.address", "Scholarship of the autumn", None),
        ("ada", "Wrote three of the reviews", now + 60 * DAY),
        ("former", "Was charged twice, and waited long for the money", None),
    ):
        made.append(give(make_user(ADDRESS.format(name)).id, tier.id, now - 20 * DAY, ends_at=ends_at, reason=reason, by_user_id=owner.id))
    withdraw(made[-1], now - 2 * DAY, owner.id, "Has the money now")
    return {"gift": f"/staff/gifts/{made[0].public_id}", "gift-over": f"/staff/gifts/{made[-1].public_id}"}


def make_told(now: datetime) -> dict[str, str]:
    """Events of Stripe's that stand in every way, a comparison that found nothing, and one that found something of several kinds."""
    problem = "refreshing a subscription: Stripe failed (503, request req_8YxkZ1VQm2)"
    rows: list[dict[str, Any]] = [
        {"type": "invoice.paid"},
        {"type": "customer.subscription.updated", "result": "nothing to do"},
        {"type": "checkout.session.async_payment_succeeded", "result": "not ours", "is_listed": True},
        {"type": "charge.dispute.created"},
        {"type": "invoice.payment_action_required"},
        {"type": "customer.subscription.deleted", "result": FAILED, "attempts": 15, "problem": problem},
        {"type": "charge.refunded", "processed_at": None, "result": None, "attempts": 4, "problem": problem, "due_at": now + DAY},
    ]
    events = []
    for number, facts in enumerate(rows):
        at = now - timedelta(hours=5 * (len(rows) - number))
        usual = {
            "stripe_id": f"evt_1TQvM2Lx9bDa4cE{number}",
            "object_id": f"in_1TQvM2Lx9bDa4cE{number}",
        }
        usual |= {"made_at": at, "received_at": at, "due_at": at, "processed_at": at, "result": "applied", "attempts": 1}
        events.append(StripeEvent(**(usual | facts)))
    ids = {"subscription": "sub_1TQvM2Lx9bDa4cE7hK2nP"}
    findings = [
        Finding("subscription_unknown", ids, {"theirs": "active"}, is_mended=True),
        Finding("subscription_differs", ids, {"what": ["status", "cancel"]}, takes_access=True),
        Finding("checkout_unfulfilled", {"checkout": "cs_test_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"}),
        Finding("unknown_price", ids, {"price": "price_1TQvM2Lx9bDa"}),
        Finding("second_customer", {"first": "cus_U8sK3nBv", "second": "cus_U8sK3nBw"}, {"count": 2}),
    ]
    reports = [
        Reconciliation(
            began_at=now - ago, ended_at=now - ago + DAY / 400, is_fixing=True, looked_at=1_284, findings=[one.as_row() for one in rows_of]
        )
        for ago, rows_of in ((26 * DAY / 24, list[Finding]()), (2 * DAY / 24, findings))
    ]
    db.session.add_all([*events, *reports])
    db.session.flush()
    base = "/staff/billing/reconciliation"
    return {
        "event": f"/staff/billing/events/{events[-2].stripe_id}",
        "event-open": f"/staff/billing/events/{events[-1].stripe_id}",
        "alike": f"{base}/{reports[0].id}",
        "findings": f"{base}/{reports[1].id}",
        "settling": f"{base}/{reports[1].id}/1",
    }


def _course(slug: str) -> Course:
    return db.session.scalars(sa.select(Course).where(Course.slug == slug)).one()


def _plan_of(key: str, interval: Interval) -> Plan:
    return db.session.scalars(sa.select(Plan).join(Plan.tier).where(Tier.key == key, Plan.interval == interval)).one()
