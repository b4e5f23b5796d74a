"""A payment that did not go through is said calmly, while everything stays open."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from courseapp.accounts.models import User
from courseapp.billing.grace import banner_for
from courseapp.billing.models import Subscription
from courseapp.billing.standing import GRACE
from courseapp.extensions import db
from tests.client import Client
from tests.conftest import NOW
from tests.factories import lessons_of, make_course, make_customer, make_enrolment, make_plan, make_user

DAY = timedelta(days=1)
WORDS = "The last payment did not go through"
SELLS = pytest.mark.settings(stripe_secret_key="sk_test_of_nobody", stripe_url="http://127.0.0.1:9")


def subscribe(user: User, status: str = "past_due", **kw: Any) -> Subscription:
    """Somebody's subscription."""
    customer, plan = make_customer(user), make_plan()
    usual = {"stripe_id": f"sub_{customer.id}", "customer_id": customer.id, "plan_id": plan.id, "price_stripe_id": "price_1"}
    made = Subscription(**{**usual, "status": status, "began_at": NOW - 40 * DAY, "told_at": NOW, **kw})
    db.session.add(made)
    db.session.flush()
    return made


@pytest.mark.parametrize(
    ("kw", "until"),
    [
        ({"past_due_since": NOW - 3 * DAY}, NOW - 3 * DAY + GRACE),
        ({"past_due_since": NOW - 3 * DAY, "cancels_at": NOW + DAY}, NOW + DAY),
        ({"past_due_since": NOW - GRACE}, None),
        ({"past_due_since": NOW - 3 * DAY, "ended_at": NOW}, None),
        ({"status": "active"}, None),
        ({"status": "unpaid", "past_due_since": NOW - 3 * DAY}, None),
    ],
)
def test_it_is_told_while_a_payment_is_late_and_its_time_is_not_over(app: Flask, kw: dict[str, Any], until: Any) -> None:
    user, other = make_user(), make_user()
    subscribe(user, **kw)
    found = banner_for(user.id, NOW)
    assert (found.until if found else None) == until
    assert banner_for(other.id, NOW) is None


@SELLS
def test_it_stands_on_course_pages_and_not_on_lessons(client: Client) -> None:
    user, course = client.sign_in(make_user()), make_course()
    make_enrolment(user, course)
    subscribe(user, past_due_since=NOW - 3 * DAY)
    page = client.visit("learning.course", slug=course.slug).text
    assert WORDS in page
    assert "Everything stays open to you until November 13, 2026." in page
    assert 'href="/account/plan"' in page
    make_enrolment(user, make_course())
    assert WORDS in client.visit("learning.my_courses").text
    assert WORDS not in client.visit("learning.lesson", id=lessons_of(course)[0].public_id).text


@SELLS
def test_who_owes_nothing_reads_nothing_of_it(client: Client) -> None:
    course = make_course()
    make_enrolment(client.sign_in(make_user()), course)
    assert WORDS not in client.visit("learning.course", slug=course.slug).text


def test_where_nothing_is_sold_nothing_is_said(client: Client) -> None:
    user, course = client.sign_in(make_user()), make_course()
    make_enrolment(user, course)
    subscribe(user, past_due_since=NOW - 3 * DAY)
    assert WORDS not in client.visit("learning.course", slug=course.slug).text
