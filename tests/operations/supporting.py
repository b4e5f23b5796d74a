"""What tests of support share: whom it is about, pressing its buttons, and what the journal and the learner read of it."""

from typing import Any

import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.extensions import db
from courseapp.journal.models import Event
from tests.client import Client

ADA = "ada.lovelace@example.org"


def find(client: Client, address: str) -> None:
    """Find somebody, without which their page does not open."""
    assert client.submit("support.people", {"address": address}).status_code == 303


def page_of(client: Client, user: User) -> str:
    """The staff page of a person, as it stands."""
    find_once(client, user)
    answer = client.visit("support.person", id=user.contact.public_id)
    assert answer.status_code == 200
    return str(answer.text)


def do(client: Client, user: User, to: str, data: dict[str, Any] | None = None) -> Any:
    """Press a button on the staff page of a person."""
    find_once(client, user)
    return client.submit("support.person", data, to=f"support.{to}", id=user.contact.public_id)


def find_once(client: Client, user: User) -> None:
    """Find them, unless they were found before."""
    if "staff_found" not in events_about(user):
        find(client, user.contact.address)


def events_about(user: User) -> list[str]:
    """What the journal has of staff's doing with somebody."""
    query = sa.select(Event.type).where(Event.subject == f"user:{user.id}", Event.type.startswith("staff_"))
    return list(db.session.scalars(query.order_by(Event.id)))


def own_page(app: Flask, user: User) -> str:
    """What the learner reads of staff's doing."""
    browser: Any = app.test_client()
    browser.sign_in(user)
    assert 'href="/account/staff"' in browser.visit("accounts.settings").text
    return str(browser.visit("operations.staff_actions").text)
