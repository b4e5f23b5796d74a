"""A real browser: the machine's Chromium, driven by Playwright. One browser per run, one profile per test."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from courseapp.extensions import db

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Browser, BrowserContext, Page, Request, Route

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """The machine's Chromium; skips, by name, where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"BROWSER CANNOT RUN HERE: none of {', '.join(NAMES)} is on the PATH (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def context_settings() -> dict[str, Any]:
    """What `page` is opened with (viewport, colour scheme, JavaScript, …); override it in a module or parametrise it."""
    return {"viewport": {"width": 1280, "height": 900}}


@pytest.fixture
def page(browser: "Browser", live_server: Any, context_settings: dict[str, Any]) -> Iterator["Page"]:
    """A fresh profile's page; relative addresses lead to `live_server`.

    At the end the test fails if a request left the origin, a script failed or the Content-Security-Policy was broken. The
    test's own transaction is committed before each request, as the test client does.
    """
    with watched(browser, live_server.url, before=db.session().commit, **context_settings) as opened:
        yield opened


@contextmanager
def watched(
    browser: "Browser", base: str, *, before: Callable[[], None] = lambda: None, beside: str = "", **settings: Any
) -> Iterator["Page"]:
    """A page of a fresh profile on the server at `base`, watched as `page` is.

    Args:
        before: called before each request.
        beside: an origin that pages may lead to besides, such as that of a stand-in for Stripe.
    """
    context = browser.new_context(base_url=base, **settings)
    context.set_default_timeout(10_000)
    complaints: list[str] = []

    def answer(route: "Route", request: "Request") -> None:
        before()
        address = urlsplit(request.url)
        if address.scheme in {"http", "https", "ws", "wss"} and f"{address.scheme}://{address.netloc}" not in {base, beside}:
            complaints.append(f"a request left the origin: {request.url}")
            route.abort()
        else:
            route.continue_()

    context.route("**/*", answer)
    try:
        yield _watched(context, complaints)
    finally:
        context.close()
    assert not complaints, "\n".join(complaints)


def _watched(context: "BrowserContext", complaints: list[str]) -> "Page":
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(f"a script failed: {error}"))
    page.on("console", lambda message: complaints.append(f"the console says: {message.text}") if _is_complaint(message.text) else None)
    return page


def _is_complaint(words: str) -> bool:
    return "Content Security Policy" in words or "Content-Security-Policy" in words
