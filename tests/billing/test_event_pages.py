"""Owners see what Stripe told and have it looked at again; they compare with Stripe, and decide what is brought in line."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.billing import reconciling
from courseapp.billing import stripe_gateway as gateway
from courseapp.billing.models import Entitlement, Payment, Reconciliation, StripeEvent, Subscription
from courseapp.billing.stripe_events import FAILED, LATE, TYPE_WORDS, count_late
from courseapp.billing.stripe_gateway import EVENT_TYPES
from courseapp.billing.watching import loops
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.operations.diagnosis import check_payments
from courseapp.operations.health import Level
from tests.billing.buying import bought, holds, only, synced_plan, work
from tests.billing.conftest import Shop
from tests.client import Client
from tests.conftest import NOW
from tests.factories import make_tier, make_user


def owner_in(shop: Shop) -> Client:
    """An owner, signed in."""
    client = shop.client()
    client.sign_in(make_user("owner@example.org", roles=["owner"]))
    return client


def make_stripe_event(number: int = 1, **kw: Any) -> StripeEvent:
    usual: dict[str, Any] = {"stripe_id": f"evt_{number}", "type": "invoice.paid", "object_id": f"in_{number}", "attempts": 0}
    made = StripeEvent(**{**usual, "made_at": NOW, "received_at": NOW, "due_at": NOW, **kw})
    db.session.add(made)
    db.session.flush()
    return made


def acts(type: str) -> list[dict[str, Any]]:
    db.session.commit()
    return [event.facts for event in db.session.scalars(sa.select(Event).where(Event.type == type))]


def unheard_end(shop: Shop) -> tuple[User, Any]:
    """Somebody's subscription ended at Stripe, and no webhook told of it; the nightly comparison has."""
    user, plan = make_user("ada@example.org"), synced_plan(make_tier())
    bought(shop, plan, user)
    shop.steering.rule(lose=True)
    gateway.cancel_subscription(str(only(Subscription).stripe_id))
    loops.reconcile(clock.now)
    return user, plan.tier


# Events


def test_every_type_that_is_asked_for_has_words() -> None:
    assert set(TYPE_WORDS) == set(EVENT_TYPES)


def test_the_list_says_what_happened_how_it_stands_and_what_went_wrong(shop: Shop) -> None:
    make_stripe_event(1, processed_at=NOW, result="applied", attempts=1)
    make_stripe_event(2, type="charge.refunded", attempts=3, due_at=NOW + timedelta(hours=1), problem="fetching a charge: Stripe failed")
    make_stripe_event(3, type="customer.subscription.deleted", processed_at=NOW, result=FAILED, attempts=15)
    page = owner_in(shop).visit("stripe_events.events").text
    for words in (
        "An invoice was paid",
        "worked",
        "Money went back",
        "is tried again",
        "Stripe failed",
        "A subscription ended",
        "given up",
    ):
        assert words in page
    assert page.index("A subscription ended") < page.index("Money went back") < page.index("An invoice was paid")


@pytest.mark.parametrize(("show", "there", "not_there"), [("open", "Money went back", "An invoice"), ("failed", "A dispute", "Money")])
def test_the_list_can_be_narrowed(shop: Shop, show: str, there: str, not_there: str) -> None:
    make_stripe_event(1, processed_at=NOW, result="applied")
    make_stripe_event(2, type="charge.refunded")
    make_stripe_event(3, type="charge.dispute.closed", processed_at=NOW, result=FAILED)
    page = owner_in(shop).visit("stripe_events.events", show=show).text
    assert there in page
    assert not_there not in page


def test_the_list_goes_on_page_by_page(shop: Shop) -> None:
    for number in range(60):
        make_stripe_event(number, processed_at=NOW, result="applied")
    client = owner_in(shop)
    first = client.visit("stripe_events.events").text
    assert "evt_59" in first
    assert "evt_9/" not in first
    oldest_shown = db.session.scalars(sa.select(StripeEvent.id).where(StripeEvent.stripe_id == "evt_10")).one()
    assert f"before={oldest_shown}" in first
    second = client.visit("stripe_events.events", before=oldest_shown).text
    assert "evt_9/" in second
    assert "evt_10/" not in second


def test_nothing_says_whose_it_is_or_what_was_bought(shop: Shop) -> None:
    user, plan = make_user("ada@example.org"), synced_plan(make_tier(name="Secret course"))
    bought(shop, plan, user)
    client = owner_in(shop)
    event = db.session.scalars(sa.select(StripeEvent)).first()
    assert event is not None
    pages = [client.visit("stripe_events.events").text, client.visit("stripe_events.event", id=event.stripe_id).text]
    for page in pages:
        assert "ada@" not in page
        assert "Secret course" not in page
    assert client.path("support.people") in pages[1]


def test_an_event_that_was_given_up_is_looked_at_again_and_worked(shop: Shop) -> None:
    user, tier = make_user("ada@example.org"), make_tier()
    bought(shop, synced_plan(tier), user)
    db.session.execute(sa.delete(Entitlement))
    event = db.session.scalars(sa.select(StripeEvent).where(StripeEvent.type == "customer.subscription.created")).one()
    event.result, event.attempts, event.problem = FAILED, 15, "it was broken"
    stripe_id, client = event.stripe_id, owner_in(shop)
    assert "This event was given up" in client.visit("stripe_events.event", id=stripe_id).text
    answer = client.submit("stripe_events.event", to="stripe_events.replay", id=stripe_id)
    assert answer.location == client.path("stripe_events.event", id=stripe_id)
    db.session.refresh(event)
    assert (event.processed_at, event.result, event.problem, event.attempts) == (None, None, None, 0)
    work(shop)
    assert holds(user, tier)
    (act,) = acts("stripe_event_replayed")
    assert act["event"] == stripe_id
    assert act["by"] is not None


def test_looking_at_everything_again_changes_nothing(shop: Shop) -> None:
    user, tier = make_user("ada@example.org"), make_tier()
    bought(shop, synced_plan(tier), user)
    client = owner_in(shop)
    for stripe_id in db.session.scalars(sa.select(StripeEvent.stripe_id)).all():
        client.submit("stripe_events.events", to="stripe_events.replay", id=stripe_id)
    work(shop)
    only(Entitlement)
    only(Payment)
    assert holds(user, tier)


# Comparing


def test_before_the_first_comparison_the_page_says_when_it_comes(shop: Shop) -> None:
    page = owner_in(shop).visit("stripe_events.reconciliation").text
    assert "Nothing was compared so far" in page
    assert "Compare now" in page


def test_comparing_is_begun_on_the_page_and_done_by_the_worker(shop: Shop) -> None:
    client = owner_in(shop)
    client.submit("stripe_events.reconciliation")
    page = client.visit("stripe_events.reconciliation").text
    assert "The worker begins in a moment" in page
    assert "Compare now" not in page
    loops.reconcile(clock.now)
    done = [row for row in db.session.scalars(sa.select(Reconciliation)) if row.ended_at is not None]
    assert len(done) == 1
    assert "things stand alike" in client.visit("stripe_events.reconciliation").text
    assert len(acts("billing_reconciled")) == 1


def test_two_who_press_at_once_have_one_comparison(shop: Shop) -> None:
    client = owner_in(shop)
    token = client.csrf_token("stripe_events.reconciliation")
    for _time in range(2):
        client.post(client.path("stripe_events.compare"), data={"csrf_token": token})
    only(Reconciliation)
    assert "under way already" in client.visit("stripe_events.reconciliation").text


def test_while_it_goes_on_the_page_says_how_far_it_is(shop: Shop) -> None:
    report = reconciling.begin(clock.now(), is_fixing=True)
    assert report is not None
    report.looked_at = 1234
    page = owner_in(shop).visit("stripe_events.reconciliation").text
    assert "1,234 things looked at so far" in page
    assert "data-follow" in page


def test_one_that_never_ended_is_told_and_another_can_begin(shop: Shop) -> None:
    report = reconciling.begin(clock.now() - timedelta(hours=2), is_fixing=True)
    assert report is not None
    report.looked_at = 7
    page = owner_in(shop).visit("stripe_events.reconciliation").text
    assert "did not come to its end" in page
    assert "Compare now" in page


def test_what_would_close_something_asks_before_it_is_done(shop: Shop) -> None:
    user, tier = unheard_end(shop)
    client, report = owner_in(shop), only(Reconciliation)
    page = client.visit("stripe_events.reconciliation").text
    assert "1 difference remains" in page
    assert "would close something" in page
    assert f'action="{client.path("stripe_events.settle", number=report.id, place=0)}"' not in page  # not by one press here
    sure = client.visit("stripe_events.settling", number=report.id, place=0).text
    assert "That may close lessons" in sure
    assert holds(user, tier)
    answer = client.submit("stripe_events.settling", number=report.id, place=0)
    assert answer.status_code == 303
    assert not holds(user, tier)
    after = client.visit("stripe_events.report", number=report.id).text
    assert "Brought in line" in after
    assert "things stand alike" in after
    assert [act["kind"] for act in acts("billing_brought_in_line")] == ["subscription_differs"]


def test_what_only_gives_is_done_by_one_press(shop: Shop) -> None:
    user, tier = make_user("ada@example.org"), make_tier()
    bought(shop, synced_plan(tier), user)
    db.session.execute(sa.delete(Entitlement))
    report = reconciling.begin(clock.now(), is_fixing=False)
    assert report is not None
    reconciling.claim(clock.now(), report.id)
    db.session.commit()
    loops.compare_all(report, clock.now)
    number, client = report.id, owner_in(shop)
    client.submit("stripe_events.reconciliation", to="stripe_events.settle", number=number, place=0)
    assert holds(user, tier)


def test_with_stripe_away_nothing_is_changed_and_the_page_says_so(shop: Shop) -> None:
    user, tier = unheard_end(shop)
    client, number = owner_in(shop), only(Reconciliation).id
    token = client.csrf_token("stripe_events.settling", number=number, place=0)
    shop.steering.fail("503", times=None)
    answer = client.post(client.path("stripe_events.settle", number=number, place=0), data={"csrf_token": token})
    assert answer.status_code == 503
    assert "Stripe cannot be reached just now" in answer.text
    assert holds(user, tier)
    assert acts("billing_brought_in_line") == []


@pytest.mark.parametrize("place", ["1", "-1", "x", "99999999999999999999", "²"])
def test_a_finding_that_is_not_there_is_nowhere(shop: Shop, place: str) -> None:
    unheard_end(shop)
    client, number = owner_in(shop), only(Reconciliation).id
    assert client.get(f"/staff/billing/reconciliation/{number}/{place}").status_code == 404
    assert client.get(f"/staff/billing/reconciliation/{place}99").status_code == 404


def test_earlier_comparisons_can_be_read(shop: Shop) -> None:
    unheard_end(shop)
    first = only(Reconciliation).id
    user = db.session.scalars(sa.select(Subscription)).one()
    loops.bring_in_line(reconciling.findings_of(only(Reconciliation))[0], clock.now())
    shop.pass_time(days=1)
    loops.reconcile(clock.now)
    client = owner_in(shop)
    assert "things stand alike" in client.visit("stripe_events.reconciliation").text
    assert "difference remains" in client.visit("stripe_events.report", number=first).text
    assert user.status == "canceled"


# Who may


@pytest.mark.parametrize("page", ["stripe_events.events", "stripe_events.reconciliation"])
def test_only_owners_come_here(shop: Shop, page: str) -> None:
    for role, answer in (("marketer", 404), ("instructor", 404), ("owner", 200)):
        client = shop.client()
        client.sign_in(make_user(f"{role}@example.org", roles=[role]))
        assert client.visit(page).status_code == answer


OF_MONEY = ("stripe_events.events", "stripe_events.reconciliation", "tiers.listed", "tiers.ask_to_sync", "gifts.listed", "money.figures")


@pytest.mark.parametrize("page", OF_MONEY)
def test_where_nothing_is_sold_there_is_no_such_page(app: Flask, client: Client, page: str) -> None:
    assert client.visit(page).status_code == 404  # and nobody is asked to sign in for it
    client.sign_in(make_user("owner@example.org", roles=["owner"]))
    assert client.visit(page).status_code == 404
    assert "Paid tiers" not in client.visit("auditing.acts").text


def test_where_something_is_sold_the_record_can_be_narrowed_to_it(shop: Shop) -> None:
    client = shop.client()
    client.sign_in(make_user("owner@example.org", roles=["owner"]))
    assert "Paid tiers</option>" in client.visit("auditing.acts").text


# The doctor


def test_the_doctor_warns_of_events_that_wait_and_of_a_comparison_that_did_not_come(shop: Shop) -> None:
    assert check_payments(NOW).words == "compared with Stripe never"
    loops.reconcile(clock.now)
    assert check_payments(clock.now()).level is Level.OK
    make_stripe_event(1)
    assert count_late(NOW + LATE) == 0
    late = check_payments(NOW + LATE + timedelta(seconds=1))
    assert late.level is Level.WARN
    assert late.words.startswith("1 events of Stripe's")
    db.session.execute(sa.delete(StripeEvent))
    assert check_payments(NOW + timedelta(hours=51)).level is Level.WARN
