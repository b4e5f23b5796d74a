"""Every page about money, as a browser shows it, with more than a year of purchases: as `test_every_page` looks at the others."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.accounts.people import user_of_contact
from courseapp.authoring.importing import import_course
from courseapp.billing import offering
from courseapp.billing.models import CheckoutState, Kind, Plan
from courseapp.contacts.people import contact_of_address
from courseapp.extensions import db
from courseapp.operations.support import person_of_address
from tests.billing.conftest import Shop, shop
from tests.billing.scenes import make_money, offer_more
from tests.browser import watched
from tests.factories import NOW, make_contact, make_entitlement, make_guest, make_user
from tests.insights.takings import make_checkout
from tests.journeys.conftest import CONTENT
from tests.journeys.test_every_page import faults_at, faults_of

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Browser, Page

__all__ = ["shop"]
pytestmark = pytest.mark.one_database
Enter = Callable[[User | str], None]


@pytest.fixture
def sold(shop: Shop) -> Shop:
    """The two example courses are sold, each alone and both together; the prices are at the fake Stripe."""
    for slug in ("guided-practice", "rest-and-recovery"):
        import_course(CONTENT / slug, NOW, publish=True, without_review=True)
    offering.offer(CONTENT / "tiers.yaml", NOW)
    offer_more(NOW)
    db.session.commit()
    done = shop.app.test_cli_runner().invoke(args=["billing", "sync"])
    assert done.exit_code == 0, done.output
    db.session.commit()
    return shop


@pytest.fixture
def page(sold: Shop, browser: "Browser", context_settings: dict[str, Any]) -> Iterator["Page"]:
    """A browser that knows nothing of the site, and goes nowhere else."""
    with watched(browser, sold.url, before=db.session().commit, **context_settings) as opened:
        yield opened


@pytest.fixture
def enter(sold: Shop, page: "Page") -> Enter:
    """enter(user, or who has an address of example.org): the browser is signed in as somebody."""

    def as_user(who: User | str) -> None:
        if isinstance(who, str):
            contact = contact_of_address(f"{who}@example.org")
            found = user_of_contact(contact) if contact is not None else None
            assert found is not None
            who = found
        client = sold.client()
        client.sign_in(who)
        cookie = client.get_cookie("session")
        assert cookie is not None
        page.context.add_cookies([{"name": "session", "value": cookie.value, "url": sold.url}])

    return as_user


@pytest.fixture
def owner(sold: Shop) -> User:
    """The owner of the site."""
    return make_user("owner@example.org", roles=["owner"])


def test_what_anyone_sees_of_what_is_sold(page: "Page", owner: User, enter: Enter) -> None:
    lesson = make_money(owner, NOW)["lesson"]
    db.session.commit()
    found = faults_at(page, {"/plans": "Both together", "/courses/guided-practice": "Part of a plan"})
    enter("subscriber")
    found += faults_at(page, {"/plans": "You have a plan already", "/account/plan": "It renews itself", "/account": "Your plan"})
    enter("cancelled")
    found += faults_at(page, {"/account/plan": "or keep it after all"})
    enter("late")
    found += faults_at(page, {"/account/plan": "with another card", "/learn/guided-practice": "The last payment did not go through"})
    enter("lapsed")
    found += faults_at(page, {lesson: "What opens it", "/learn/guided-practice": "closed to you", "/account/plan": "Card and invoices"})
    enter("buyer")
    found += faults_at(page, {"/learn": "Yours, and not begun yet", "/learn/rest-and-recovery": "Begin"})
    assert found == []


def test_what_a_guest_sees_of_an_order(page: "Page", enter: Enter) -> None:
    guest, plan = make_guest(), db.session.scalars(sa.select(Plan).where(Plan.key == "rest-and-recovery")).one()
    paid = {"user_id": guest.id, "contact_id": make_contact("guest@example.org").id, "settled_at": NOW}
    orders = {state: make_checkout(plan, **paid, state=state).public_id for state in CheckoutState if state is not CheckoutState.OPEN}
    bought = orders[CheckoutState.FULFILLED]
    make_entitlement(guest, plan.tier, Kind.PURCHASE)
    db.session.commit()
    enter(guest)
    paths = {
        f"/checkouts/{bought}": "Keep it on every device",
        f"/checkouts/{orders[CheckoutState.WAITING]}": "Your money is on its way",
        f"/checkouts/{orders[CheckoutState.FAILED]}": "did not go through",
        f"/checkouts/{orders[CheckoutState.EXPIRED]}": "Nothing was paid",
        "/account/plan": "Only this browser knows",
        "/forget-device": "I know that what I bought goes",
    }
    assert faults_at(page, paths) == []


def test_what_owners_see_before_anything_was_sold(page: "Page", owner: User, enter: Enter) -> None:
    db.session.commit()
    enter(owner)
    paths = {
        "/staff/money": "Nothing has been sold or given yet",
        "/staff/gifts": "Nothing was given yet",
        "/staff/billing/events": "No event so far",
        "/staff/billing/events?show=failed": "No such event",
        "/staff/billing/reconciliation": "Nothing was compared so far",
        "/staff/tiers/sync": "Nothing differs",
        "/staff/tiers/new": "A new tier",
    }
    assert faults_at(page, paths) == []


def test_what_owners_see_of_tiers_and_prices(page: "Page", owner: User, enter: Enter) -> None:
    known = make_money(owner, NOW)
    person = person_of_address("subscriber@example.org", owner, NOW)
    assert person is not None
    db.session.commit()
    enter(owner)
    tier, plan = known["tier"], known["plan"]
    paths = {
        "/staff/tiers": "Not for sale yet",
        tier: "A way of paying",
        f"{tier}/edit": "What it opens",
        f"{tier}/archive": "away?",
        plan: "Days that cost nothing",
        "/staff/tiers/sync": "New price",
        "/staff/tiers/courses/guided-practice/opening": "to everybody?",
        known["segment"]: "Paid tier",
        f"{known['sequence']}/draft/head": "Somebody buys a paid tier",
        f"/staff/people/{person.contact.public_id}": "What they hold",
    }
    found = faults_at(page, paths)
    page.goto(plan)
    page.fill("main input[type=text]", "a lot")
    page.click("main form.flow button")
    page.wait_for_load_state()
    assert found + faults_of(page, "a price refused") == []


def test_what_owners_see_of_money(page: "Page", owner: User, enter: Enter) -> None:
    known = make_money(owner, NOW)
    db.session.commit()
    enter(owner)
    paths = {
        "/staff/money": "Paid in USD",
        "/staff/gifts": "Scholarship of the autumn",
        known["gift"]: "Take it back",
        known["gift-over"]: "nothing to change any more",
        "/staff/billing/events": "given up",
        known["event"]: "This event was given up",
        known["event-open"]: "Next attempt",
        known["findings"]: "4 differences remain",
        known["alike"]: "things stand alike",
        known["settling"]: "That may close lessons",
    }
    found = faults_at(page, paths)
    page.goto("/staff/gifts")
    page.click("main form button")
    page.wait_for_load_state()
    assert found + faults_of(page, "a gift refused") == []
