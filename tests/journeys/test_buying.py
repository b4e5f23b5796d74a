"""A guest buys, learns, changes their plan, cancels, gets their money back: in a browser, at the fake Stripe's own pages."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import expect

from courseapp.authoring.importing import import_course
from courseapp.billing import offering, plans, tiers
from courseapp.billing.models import Interval, Payment, Plan, Tier
from courseapp.extensions import db
from courseapp.mailing.models import Message
from tests.billing.buying import work
from tests.billing.conftest import Shop, shop
from tests.browser import watched
from tests.factories import NOW
from tests.journeys.conftest import CONTENT
from tests.journeys.test_every_page import faults_of

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Browser, Page

__all__ = ["shop"]
pytestmark = pytest.mark.one_database
COURSES = ("guided-practice", "rest-and-recovery")


@pytest.fixture
def sold(shop: Shop) -> Shop:
    """The two example courses are sold by the tiers of the example file, and by one that opens both."""
    for slug in COURSES:
        import_course(CONTENT / slug, NOW, publish=True, without_review=True)
    offering.offer(CONTENT / "tiers.yaml", NOW)
    db.session.commit()
    return shop


@pytest.fixture
def buyer(sold: Shop, browser: "Browser", context_settings: dict[str, Any]) -> Iterator["Page"]:
    """Somebody's browser, which knows nothing of the site; it may go to the fake Stripe and nowhere else."""
    with watched(browser, sold.url, before=db.session().commit, beside=sold.fake.url, **context_settings) as page:
        yield page


def in_line(shop: Shop) -> None:
    """Everything is set up at Stripe, by the commands."""
    for words in (["sync"], ["setup", "--yes"]):
        db.session.commit()
        done = shop.app.test_cli_runner().invoke(args=["billing", *words])
        assert done.exit_code == 0, done.output
    db.session.commit()


def pay(page: "Page", plan: str, address: str) -> None:
    """From the plans to Stripe's page, and through it."""
    page.goto("/plans")
    page.get_by_role("button", name=plan).click()
    page.get_by_label("E-mail").fill(address)
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you. It is open.")


def link_in_mail() -> str:
    """The link in the latest mail about a purchase."""
    db.session.commit()
    found = db.session.scalars(sa.select(Message.fields).where(Message.template == "billing/bought_as_guest")).one()
    return str(found["secret_url"])


def open_lesson(page: "Page", course: str) -> None:
    """The first lesson of a course, from its page."""
    page.goto(f"/learn/{course}")
    page.locator("main ol a, main .rows a").first.click()


def test_from_a_guests_purchase_to_the_money_back(sold: Shop, buyer: "Page") -> None:
    page, faults = buyer, []
    courses = frozenset(course.id for course in map(tiers.course_named, COURSES) if course is not None)
    both = tiers.make_tier(tiers.TierFacts("Both together", "Your course, whole", "Both courses.", (), courses, position=9), NOW, None)
    better = plans.make_plan(both, Interval.MONTH, NOW, None)
    plans.set_price(better, "eur", 1900, NOW, None)
    in_line(sold)

    page.goto("/plans")
    faults += faults_of(page, "plans")
    pay(page, "Guided practice, €9.00 a month", "ada@example.org")
    faults += faults_of(page, "after paying")
    page.get_by_role("link", name="Go to what you bought").click()
    page.get_by_role("button", name="Begin Guided practice").click()
    open_lesson(page, "guided-practice")
    expect(page.locator("main")).to_contain_text("Mark as done")
    lesson = page.url

    work(sold)
    page.goto(link_in_mail())
    page.get_by_role("button", name="Keep my course").click()
    page.goto(lesson)
    expect(page.locator("main")).to_contain_text("Mark as done")

    page.goto("/account/plan")
    expect(page.locator("main")).to_contain_text("It renews itself: €9.00 a month")
    faults += faults_of(page, "own plan")
    page.get_by_role("button", name="Card, invoices, change or cancel").click()
    page.get_by_label("Plan").select_option(plans.prices_of(better)["eur"].stripe_id)
    page.get_by_role("button", name="Update plan").click()
    work(sold)
    page.goto("/learn")
    page.get_by_role("button", name="Begin Rest and recovery").click()
    open_lesson(page, "rest-and-recovery")
    expect(page.locator("main")).to_contain_text("Mark as done")

    page.goto("/account/plan")
    page.get_by_role("button", name="Card, invoices, change or cancel").click()
    page.get_by_role("button", name="Cancel subscription").click()
    work(sold)
    page.goto("/account/plan")
    expect(page.locator("main")).to_contain_text("Cancelled: it stays open until")
    page.goto(lesson)
    expect(page.locator("main")).to_contain_text("Mark as done")

    latest = db.session.scalars(sa.select(Payment).order_by(Payment.id.desc()).limit(1)).one()
    sold.steering.refund(payment_intent=latest.stripe_id)
    work(sold)
    page.goto(lesson)
    expect(page.get_by_role("heading", level=1)).to_have_text("This part is closed at the moment")
    faults += faults_of(page, "closed lesson")
    page.get_by_role("link", name="Guided practice").last.click()
    expect(page).to_have_url(f"{sold.url}/plans#guided-practice")
    assert faults == []


def test_a_currency_without_decimals_is_right_everywhere(sold: Shop, buyer: "Page") -> None:
    tier = db.session.scalars(sa.select(Tier).where(Tier.key == "rest-and-recovery")).one()
    plan = db.session.scalars(sa.select(Plan).where(Plan.tier_id == tier.id)).one()
    plans.set_price(plan, "jpy", 4900, NOW, None)
    in_line(sold)
    page = buyer
    page.goto("/plans?currency=jpy")
    expect(page.locator("main")).to_contain_text("¥4,900 once")
    page.get_by_role("button", name="Rest and recovery, ¥4,900 once").click()
    expect(page.locator("body")).to_contain_text("Total: 4900 JPY")
    page.get_by_label("E-mail").fill("ada@example.org")
    page.get_by_role("button", name="Pay", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you. It is open.")
    page.goto("/account/plan")
    expect(page.locator("main")).to_contain_text("¥4,900")
    work(sold)
    db.session.commit()
    paid = db.session.scalars(sa.select(Payment)).one()
    assert (paid.amount, paid.currency) == (4900, "jpy")
    assert db.session.scalars(sa.select(Message.fields).where(Message.template == "billing/bought_as_guest")).one()["amount"] == "¥4,900"


@pytest.mark.parametrize("context_settings", [{"java_script_enabled": False, "viewport": {"width": 320, "height": 640}}])
def test_it_all_goes_without_scripts_on_a_small_screen(sold: Shop, buyer: "Page", work: Callable[[], None]) -> None:
    in_line(sold)
    pay(buyer, "Rest and recovery, €29.00 once", "ada@example.org")
    buyer.get_by_role("link", name="Go to what you bought").click()
    buyer.get_by_role("button", name="Begin Rest and recovery").click()
    open_lesson(buyer, "rest-and-recovery")
    expect(buyer.locator("main")).to_contain_text("Mark as done")
