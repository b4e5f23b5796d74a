"""What the tests of learning share."""

from collections.abc import Iterator

import pytest

from courseapp import web
from courseapp.catalog.views import memory


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """The landing page's memory lives as long as the process; another test's course must not show."""
    memory.forget()
    web._pages.clear()
    yield
    memory.forget()
    web._pages.clear()
