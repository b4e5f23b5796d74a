"""Walking through the safety check as a browser does."""

from typing import Any

import sqlalchemy as sa
from werkzeug.test import TestResponse

from courseapp.extensions import db
from tests.client import Client, forms_of

TO = {
    "now": {"now": "yes"},
    "professional": {"now": "no", "life": "no", "pregnancy": "yes"},
    "gently": {"now": "no", "life": "no", "pregnancy": "no", "soon": "no", "healing": "no", "conditions": "no", "gently": "yes"},
    "ahead": {"now": "no", "life": "no", "pregnancy": "no", "soon": "no", "healing": "no", "conditions": "no", "gently": "no"},
}
"""Answers that lead to each outcome."""


def press(client: Client, page: TestResponse, **data: str) -> TestResponse:
    """Fill in and send the check's form as it stands on a page."""
    form = next(form for form in forms_of(page.text, "/safety-check") if form.action == "/safety-check" and form.method == "post")
    return client.post("/safety-check", data={**form.fields, **data})


def take_check(client: Client, answers: dict[str, str]) -> TestResponse:
    """From the first page to the last: what answers the last of these answers."""
    page = press(client, client.visit("learning.safety_check"))
    for value in answers.values():
        page = press(client, page, choice=value)
    return page


def everything_kept() -> str:
    """Every value of every table, as one text."""
    rows: list[Any] = [row for table in db.metadata.sorted_tables for row in db.session.execute(sa.select(table))]
    return "\n".join(repr(tuple(row)) for row in rows)
