"""What the journeys share: the real course on a live server, the worker's work, and a second browser."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask

from courseapp import clock
from courseapp.authoring.importing import import_course
from courseapp.campaigns.loops import advance_runs, read_news
from courseapp.campaigns.publishing import publish_sequence
from courseapp.extensions import db
from courseapp.mailing.loops import drain
from tests.browser import watched
from tests.conftest import LiveServer
from tests.factories import NOW

if TYPE_CHECKING:  # importing Playwright takes 0.3 s, and most runs open no browser
    from playwright.sync_api import Page

CONTENT = Path(__file__).parent.parent.parent / "content"


@pytest.fixture(autouse=True)
def course(app: Flask) -> None:
    """The introduction and its sequence, published."""
    import_course(CONTENT / "introduction", NOW, publish=True, without_review=True)
    publish_sequence(CONTENT / "sequences" / "first-week", NOW)
    db.session.commit()


@pytest.fixture
def live_server(app: Flask) -> Iterator[LiveServer]:
    """The harness's server, whose answers are read whole before they are sent.

    A browser that turns to another page cuts the line; Werkzeug's server then leaves the file it was sending open, and
    Python's complaint about that would fail whichever test comes next.
    """
    server = LiveServer(app)

    def whole(environ: Any, start_response: Any) -> list[bytes]:
        answer = app(environ, start_response)
        try:
            return [b"".join(answer)]
        finally:
            getattr(answer, "close", lambda: None)()

    server._server.app = whole
    yield server
    server.stop()


@pytest.fixture
def page(page: "Page") -> Iterator["Page"]:
    """The harness's page; besides, nothing it asks for may be answered by an error of ours."""
    broken: list[str] = []
    page.on("response", lambda answer: broken.append(f"{answer.status} {answer.url}") if answer.status >= 500 else None)
    yield page
    assert broken == []


@pytest.fixture
def work(app: Flask) -> Callable[[], None]:
    """work(): what the worker does when it is woken."""

    def once() -> None:
        db.session.commit()
        read_news(clock.now)
        advance_runs(clock.now)
        drain(clock.now)
        db.session.commit()

    return once


@pytest.fixture
def other_page(page: "Page", live_server: Any, context_settings: dict[str, Any]) -> Iterator["Page"]:
    """A page of another browser, which knows nothing of the first."""
    assert page.context.browser is not None
    with watched(page.context.browser, live_server.url, before=db.session().commit, **context_settings) as opened:
        yield opened
