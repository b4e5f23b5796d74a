"""The pages about money, for `tests/shots.py`: an installation of its own sells, with play money.

So the other pictures show a site that sells nothing.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parent.parent
SELLING = {"BILLING": "demo", "CURRENCIES": "eur,usd"}
Pages = list[tuple[str, str, list[dict[str, object]]]]
ROWS = """
import json
from courseapp import clock, create_app
from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.extensions import db
from tests.billing.scenes import make_money
with create_app().app_context():
    owner = db.session.query(User).join(RoleGrant).filter(RoleGrant.role == Role.OWNER).first()
    made = make_money(owner, clock.now())
    db.session.commit()
    print(json.dumps(made))
"""
OFFER = """
from courseapp import clock, create_app
from courseapp.extensions import db
from tests.billing.scenes import offer_more
with create_app().app_context():
    offer_more(clock.now())
    db.session.commit()
"""


def walk_money(browser: Browser, base: str, staff_link: str, folder: Path) -> Pages:
    """Buy as a guest, look in as people who stand in every way with money, and as the owner; the pages to take, with whose cookies."""
    run(folder, base, "-c", OFFER)
    run(folder, base, "-m", "flask", "--app", "courseapp", "billing", "sync")
    known: dict[str, str] = json.loads(run(folder, base, "-c", ROWS).splitlines()[-1])
    guest, done = buy(browser, base)
    who = {name: enter(browser, link_for(folder, base, name)) for name in ("subscriber", "cancelled", "late", "lapsed", "buyer")}
    owner = enter(browser, staff_link)
    page = open_page(browser, owner)
    page.goto(f"{base}/staff/people")
    page.fill("main input[type=email]", "subscriber@example.org")
    page.locator("main form:has(input[type=email]) button").click()
    page.wait_for_url("**/staff/people/*")
    person = page.url.removeprefix(base)
    page.context.close()
    learner: Pages = [
        ("plans", "/plans", []),
        ("plans-subscriber", "/plans", who["subscriber"]),
        ("bought", done, guest),
        ("own-plan", "/account/plan", who["subscriber"]),
        ("own-plan-guest", "/account/plan", guest),
        ("own-plan-cancelled", "/account/plan", who["cancelled"]),
        ("own-plan-late", "/account/plan", who["late"]),
        ("own-plan-lapsed", "/account/plan", who["lapsed"]),
        ("account-selling", "/account", who["subscriber"]),
        ("closed-lesson", known["lesson"], who["lapsed"]),
        ("closed-course", "/learn/guided-practice", who["lapsed"]),
        ("sold-course", "/courses/guided-practice", []),
        ("waiting-course", "/learn", who["buyer"]),
        ("begin-course", "/learn/rest-and-recovery", who["buyer"]),
        ("grace", "/learn/guided-practice", who["late"]),
        ("forget-bought", "/forget-device", guest),
    ]
    staff = {
        "tiers": "/staff/tiers",
        "tier": known["tier"],
        "tier-edit": f"{known['tier']}/edit",
        "tier-archive": f"{known['tier']}/archive",
        "tier-plan": known["plan"],
        "tiers-sync": "/staff/tiers/sync",
        "gifts": "/staff/gifts",
        "gift": known["gift"],
        "money": "/staff/money",
        "stripe-events": "/staff/billing/events",
        "stripe-event": known["event"],
        "stripe-findings": known["findings"],
        "stripe-settling": known["settling"],
        "stripe-alike": known["alike"],
        "support-tiers": person,
        "sequence-tier": f"{known['sequence']}/draft/head",
        "segment-tier": known["segment"],
    }
    return [*learner, *((name, path, owner) for name, path in staff.items())]


def run(folder: Path, base: str, *words: str) -> str:
    """What Python says to these words, beside the installation."""
    environment = {**os.environ, **SELLING, "DATA_DIR": str(folder), "PORT": base.rpartition(":")[2]}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def link_for(folder: Path, base: str, name: str) -> str:
    """A link that signs somebody in."""
    return run(folder, base, "-m", "flask", "--app", "courseapp", "user", "signin-link", f"{name}@example.org").split()[-1]


def buy(browser: Browser, base: str) -> tuple[list[dict[str, object]], str]:
    """Somebody without an account pays at the stand-in's page; their cookies, and the address of the page after paying."""
    page = browser.new_context().new_page()
    page.goto(f"{base}/plans")
    page.get_by_role("button", name="Rest and recovery, €29.00 once").click()
    page.get_by_label("E-mail").fill("guest@example.org")
    page.get_by_role("button", name="Pay", exact=True).click()
    page.wait_for_url("**/checkouts/*")
    return cookies_of(page), page.url.removeprefix(base)


def enter(browser: Browser, link: str) -> list[dict[str, object]]:
    """The cookies of whoever a link signs in."""
    page = browser.new_context().new_page()
    page.goto(link)
    page.locator("main form button[type=submit]").last.click()
    page.wait_for_load_state()
    return cookies_of(page)


def open_page(browser: Browser, cookies: list[dict[str, object]]) -> Page:
    """A page of a browser that has these cookies."""
    context = browser.new_context()
    context.add_cookies(cookies)  # type: ignore[arg-type]  # as the browser gave them, a TypedDict
    return context.new_page()


def cookies_of(page: Page) -> list[dict[str, object]]:
    """What the page's browser kept; it is closed."""
    kept = [dict(cookie) for cookie in page.context.cookies()]
    page.context.close()
    return kept
