"""What money adds up to: each currency by itself, by the months of the site's zone, refunds when they were made; exact to the last cent."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from courseapp.billing.models import CheckoutState, Interval, Kind
from courseapp.billing.standing import GRACE
from courseapp.extensions import db, snapshot
from courseapp.insights.months import Month, month_of, months_between
from courseapp.insights.payment_rows import payment_lines
from courseapp.insights.revenue import Revenue, Sums, revenue_in
from courseapp.insights.subscribers import Moves, Standing, gifts_now, moves_in, standing_now
from tests.factories import NOW, make_entitlement, make_plan, make_tier, make_user
from tests.insights.takings import make_checkout, make_payment, make_refund, make_subscription, on, rows_of, sums_of

BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
YEAR = months_between(Month(2025, 12), Month(2026, 11))


def asked(ask: Callable[..., Any], *arguments: Any) -> Any:
    """What a word says of what was committed."""
    db.session.commit()
    with snapshot() as seen:
        return ask(seen, *arguments)


def revenues(zone: ZoneInfo = UTC_ZONE) -> list[Revenue]:
    """What the last twelve months add up to."""
    found: list[Revenue] = asked(revenue_in, YEAR, zone)
    return found


def moves(now: datetime = NOW) -> dict[Month, Moves]:
    """What happened in the last twelve months."""
    found: dict[Month, Moves] = asked(moves_in, YEAR, UTC_ZONE, now)
    return found


# Months


@given(st.integers(2000, 2100), st.integers(1, 12), st.integers(-600, 600))
def test_months_are_counted_back_and_forth_over_years(year: int, number: int, count: int) -> None:
    month = Month(year, number)
    assert month.before(count).before(-count) == month
    assert month.following.before(1) == month
    assert len(months_between(month, month.before(-abs(count)))) == abs(count) + 1


def test_no_month_lies_between_a_later_one_and_an_earlier() -> None:
    assert months_between(Month(2026, 11), Month(2026, 10)) == []


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)), st.sampled_from([BERLIN, UTC_ZONE]))  # noqa: DTZ001  # hypothesis adds the zone
def test_a_moment_lies_within_its_month(moment: datetime, zone: ZoneInfo) -> None:
    month = month_of(moment, zone)
    assert month.begins_at(zone) <= moment < month.following.begins_at(zone)


# Money


def test_it_is_added_up_by_month_and_by_plan(app: Flask) -> None:
    tier = make_tier(name="More room")
    monthly, once = make_plan(tier, "month", key="room-month"), make_plan(tier, "once", key="room-once", position=1)
    make_payment(monthly, 900, paid_at=on(2026, 10))
    make_payment(monthly, 901, paid_at=on(2026, 10))
    make_payment(once, 4900, paid_at=on(2026, 11))
    make_payment(monthly, 900, paid_at=on(2025, 11))  # before the first of these months
    (found,) = revenues()
    assert (found.months[Month(2026, 10)], found.months[Month(2026, 11)]) == (Sums(1801, 2), Sums(4900, 1))
    assert {plan.key: sums for plan, sums in found.plans.items() if plan} == {"room-month": Sums(1801, 2), "room-once": Sums(4900, 1)}
    assert [plan.interval for plan in found.plans if plan] == [Interval.MONTH, Interval.ONCE]
    assert found.total == Sums(6701, 3)
    assert list(found.months) == YEAR


def test_a_refund_counts_in_the_month_in_which_it_was_made(app: Flask) -> None:
    paid = make_payment(make_plan(), 900, paid_at=on(2026, 8))
    make_refund(paid, 300, made_at=on(2026, 9))
    make_refund(paid, 100, made_at=on(2026, 10), status="pending")
    make_refund(paid, 200, made_at=on(2026, 10), status="failed")
    earlier = make_payment(make_plan(), 500, paid_at=on(2024, 1))
    make_refund(earlier, made_at=on(2026, 11))
    (found,) = revenues()
    nets = [found.months[Month(2026, number)].net for number in (8, 9, 10, 11)]
    assert nets == [900, -300, -100, -500]
    assert found.total == Sums(900, 1, 900, 3)


def test_currencies_are_never_added_up_and_the_usual_one_comes_first(app: Flask) -> None:
    for amount, currency in ((900, "eur"), (900, "eur"), (1200, "jpy"), (700, "aud")):
        make_payment(make_plan(), amount, currency=currency)
    assert [(found.currency, found.total.paid) for found in revenues()] == [("eur", 1800), ("aud", 700), ("jpy", 1200)]


def test_months_begin_by_the_clocks_of_the_site(app: Flask) -> None:
    make_payment(None, 1, paid_at=datetime(2026, 9, 30, 21, 59, 59, 999999, tzinfo=UTC))
    make_payment(None, 10, paid_at=datetime(2026, 9, 30, 22, tzinfo=UTC))  # midnight in Berlin, in summer
    make_payment(None, 100, paid_at=datetime(2026, 10, 31, 22, 59, 59, tzinfo=UTC))
    make_payment(None, 1000, paid_at=datetime(2026, 10, 31, 23, tzinfo=UTC))  # midnight in Berlin, in winter
    by_zone = {zone: [revenues(zone)[0].months[Month(2026, number)].paid for number in (9, 10, 11)] for zone in (BERLIN, UTC_ZONE)}
    assert by_zone == {BERLIN: [1, 110, 1000], UTC_ZONE: [11, 1100, 0]}


def test_of_one_month_alone(app: Flask) -> None:
    make_payment(None, 900)
    assert asked(revenue_in, [Month(2026, 11)], UTC_ZONE)[0].months == {Month(2026, 11): Sums(900, 1)}


def test_a_payment_of_an_unknown_plan_is_counted_and_one_of_nothing_is_not(app: Flask) -> None:
    make_payment(None, 900)
    make_payment(None, 0)
    assert dict(revenues()[0].plans) == {None: Sums(900, 1)}


def test_what_is_disputed_is_told_by_how_it_stands_and_not_taken_off(app: Flask) -> None:
    for amount, status in ((900, "lost"), (800, "lost"), (700, "needs_response"), (600, None)):
        make_payment(make_plan(), amount, disputed=status)
    (found,) = revenues()
    assert dict(found.disputes) == {"lost": Sums(1700, 2), "needs_response": Sums(700, 1)}
    assert found.total.net == 3000


@pytest.mark.one_database
def test_where_nothing_was_paid_there_is_nothing(app: Flask) -> None:
    assert revenues() == []


# People, without names


def test_subscriptions_stand_by_plan_and_what_opens_nothing_is_not_among_them(app: Flask) -> None:
    plan, other = make_plan(key="one"), make_plan(key="two")
    make_subscription(plan)
    make_subscription(plan, cancels_at=NOW + timedelta(days=3))
    make_subscription(plan, status="trialing")
    make_subscription(plan, status="past_due", past_due_since=NOW - GRACE + timedelta(hours=1))
    make_subscription(plan, status="past_due", past_due_since=NOW - GRACE - timedelta(hours=1))
    for status in ("unpaid", "canceled", "incomplete", "paused"):
        make_subscription(other, status=status)
    make_subscription(None)
    found = asked(standing_now, NOW)
    assert {plan.key if plan else None: row for plan, row in found.items()} == {"one": Standing(2, 1, 1, 1), None: Standing(1)}


def test_who_began_and_who_ended_in_each_month(app: Flask) -> None:
    plan = make_plan()
    make_subscription(plan, began_at=on(2026, 9))
    make_subscription(plan, began_at=on(2026, 9), status="canceled", ended_at=on(2026, 10))
    make_subscription(plan, began_at=on(2026, 9), status="incomplete_expired", ended_at=on(2026, 9))
    make_subscription(plan, began_at=on(2026, 10), status="incomplete")
    found = moves()
    assert [(found[Month(2026, number)].begun, found[Month(2026, number)].ended) for number in (9, 10, 11)] == [(2, 0), (0, 1), (0, 0)]


def test_a_trial_became_paid_once_any_money_came_for_it(app: Flask) -> None:
    plan = make_plan()
    paid, free, _late = (make_subscription(plan, trial_ends_at=on(2026, 10)) for _each in range(3))
    make_payment(plan, 900, subscription_id=paid.id, paid_at=on(2026, 11, 1))
    make_payment(plan, 0, subscription_id=free.id, paid_at=on(2026, 9))  # the invoice of the trial itself
    make_subscription(plan, trial_ends_at=on(2026, 11), status="canceled", ended_at=on(2026, 9))  # ended within it
    make_subscription(plan, trial_ends_at=NOW + timedelta(hours=1), status="trialing")
    found = moves()
    assert (found[Month(2026, 10)].trials, found[Month(2026, 10)].converted, found[Month(2026, 10)].percent) == (3, 1, 33)
    assert (found[Month(2026, 9)].trials, found[Month(2026, 9)].converted) == (1, 0)
    assert (found[Month(2026, 11)].trials, found[Month(2026, 11)].percent) == (0, None)
    assert moves(NOW + timedelta(hours=1))[Month(2026, 11)].trials == 1


def test_what_was_bought_once_and_what_was_given(app: Flask) -> None:
    once, monthly = make_plan(interval="once"), make_plan()
    make_checkout(once, state=CheckoutState.FULFILLED, settled_at=on(2026, 10))
    make_checkout(once, state=CheckoutState.WAITING)
    make_checkout(monthly, state=CheckoutState.FULFILLED, settled_at=on(2026, 10))
    ada = make_user()
    for begins_at, ends_at in ((on(2026, 10), on(2026, 10, 20)), (on(2026, 10), None), (on(2026, 9), on(2027, 1))):
        make_entitlement(ada, once.tier, Kind.GIFT, begins_at=begins_at, ends_at=ends_at)
    make_entitlement(ada, once.tier, Kind.PURCHASE, begins_at=on(2026, 10))
    found = moves()
    assert (found[Month(2026, 10)].bought, found[Month(2026, 10)].given, found[Month(2026, 9)].given) == (1, 2, 1)
    assert asked(gifts_now, NOW) == 2


# The file


def content(first: Month = YEAR[0], last: Month = YEAR[-1], zone: ZoneInfo = UTC_ZONE) -> str:
    """The file of these months."""
    db.session.commit()
    return "".join(payment_lines(first, last, zone))


def test_each_payment_and_each_refund_has_a_line(app: Flask) -> None:
    tier = make_tier(name="Pelvic floor", neutral_name="More")
    paid = make_payment(make_plan(tier, key="more-year"), 1190, tax=190, paid_at=on(2026, 10), stripe_id="pi_a", invoice_number="A-1")
    make_refund(paid, 500, made_at=on(2026, 11, 1), stripe_id="re_a")
    make_refund(paid, 600, made_at=on(2026, 11, 1), status="canceled")
    lines = content().removeprefix("\ufeff").splitlines()
    assert lines == [
        "date,kind,plan,tier,currency,amount,tax,invoice,stripe_id",
        "2026-10-15,payment,more-year,More,EUR,11.90,1.90,A-1,pi_a",
        "2026-11-01,refund,more-year,More,EUR,-5.00,,A-1,re_a",
    ]


def test_days_are_those_of_the_site_and_so_are_the_months(app: Flask) -> None:
    make_payment(None, 100, paid_at=datetime(2026, 10, 31, 23, 30, tzinfo=UTC), stripe_id="pi_a")
    make_payment(None, 100, paid_at=datetime(2026, 9, 30, 21, 30, tzinfo=UTC), stripe_id="pi_b")
    assert [row["date"] for row in rows_of(content(Month(2026, 11), Month(2026, 11), BERLIN))] == ["2026-11-01"]
    assert rows_of(content(Month(2026, 10), Month(2026, 10), BERLIN)) == []
    assert [row["date"] for row in rows_of(content(Month(2026, 10), Month(2026, 10)))] == ["2026-10-31"]


@pytest.mark.parametrize(
    ("currency", "amount", "told"),
    [("jpy", 1200, "1200"), ("eur", 1200, "12.00"), ("eur", 5, "0.05"), ("kwd", 1230, "1.230"), ("isk", 120000, "1200.00")],
)
def test_an_amount_has_the_decimals_of_its_currency(app: Flask, currency: str, amount: int, told: str) -> None:
    make_refund(make_payment(None, amount, currency=currency))
    assert {(row["kind"], row["amount"]) for row in rows_of(content())} == {("payment", told), ("refund", f"-{told}")}


def test_what_owners_wrote_cannot_be_a_formula_and_amounts_stay_numbers(app: Flask) -> None:
    make_refund(make_payment(make_plan(make_tier(neutral_name="=HYPERLINK(1)")), 100))
    assert {row["tier"] for row in rows_of(content())} == {"'=HYPERLINK(1)"}
    assert sums_of(rows_of(content())) == {"EUR": Decimal(0)}


def test_a_long_file_comes_in_pieces_and_in_order(app: Flask) -> None:
    for number in range(1203):
        make_payment(None, 1, paid_at=on(2026, 10) + timedelta(seconds=number % 7), stripe_id=f"pi_x{number:04}")
    db.session.commit()
    pieces = list(payment_lines(YEAR[0], YEAR[-1], UTC_ZONE))
    rows = rows_of("".join(pieces))
    assert len(pieces) == 4
    assert len(rows) == len({row["stripe_id"] for row in rows}) == 1203
    order = [(int(row["stripe_id"][4:]) % 7, row["stripe_id"]) for row in rows]
    assert order == sorted(order)


def test_while_it_is_fetched_somebody_else_can_write(app: Flask) -> None:
    for _each in range(600):
        make_payment(None, 1)
    db.session.commit()
    lines = payment_lines(YEAR[0], YEAR[-1], UTC_ZONE)
    begun = next(lines) + next(lines)
    make_payment(None, 1)
    db.session.commit()
    assert len(rows_of(begun + "".join(lines))) == 600
    assert db.session.scalar(sa.text("SELECT count(*) FROM payments")) == 601
