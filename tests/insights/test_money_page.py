"""The page about money: who opens it and where, what it says, that a year can be chosen, and the list of payments as a file."""

import re
import typing
from decimal import Decimal

import pytest
import stripe
from flask import Flask

from courseapp.extensions import db
from courseapp.insights.money.views import DISPUTE_WORDS
from courseapp.journal.models import Event
from courseapp.site import change_site, forget_site
from tests.client import Client
from tests.code.markup import faults_in
from tests.conftest import NOW, set_clock
from tests.factories import make_entitlement, make_plan, make_tier, make_user
from tests.insights.takings import make_payment, make_refund, make_subscription, on, rows_of, sums_of

pytestmark = pytest.mark.settings(
    stripe_secret_key="sk_test_nobody_answers", stripe_url="http://127.0.0.1:9", stripe_webhook_secrets="whsec_of_our_own_endpoint"
)
"""A site that sells; nobody answers at Stripe's address, and no page of this asks."""


@pytest.fixture
def owner(app: Flask) -> Client:
    """An owner's browser."""
    client = app.test_client()
    assert isinstance(client, Client)
    client.sign_in(make_user("owner@example.org", roles=["owner"]), NOW)
    return client


def cells(page: str, caption: str) -> list[list[str]]:
    """The rows of the table with this caption, tags left out."""
    table = re.search(rf"<caption[^>]*>{re.escape(caption)}</caption>(.*?)</table>", page, re.DOTALL)
    assert table, f"no table called {caption}"
    rows = re.findall(r"<tr>(.*?)</tr>", table[1], re.DOTALL)[1:]
    return [
        [" ".join(re.sub("<[^>]*>", "", cell).split()) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows
    ]


@pytest.mark.parametrize("role", ["instructor", "marketer", None])
def test_only_owners_open_it(app: Flask, role: str | None) -> None:
    client = app.test_client()
    assert isinstance(client, Client)
    client.sign_in(make_user(roles=[role] if role else []), NOW)
    assert client.visit("money.figures").status_code == 404
    assert client.post("/staff/money/payments", data={"csrf_token": client.csrf_token()}).status_code == 404


@pytest.mark.settings
@pytest.mark.one_database
def test_where_nothing_is_sold_there_is_no_such_page(client: Client) -> None:
    client.sign_in(make_user(roles=["owner"]))
    assert client.visit("money.figures").status_code == 404
    assert "/staff/money" not in client.visit("support.people").text


def test_before_anything_is_sold_it_says_what_will_be_there(owner: Client) -> None:
    page = owner.visit("money.figures")
    assert page.status_code == 200
    assert "Nothing has been sold or given yet" in page.text
    assert 'class="chart"' not in page.text


def test_what_it_says(owner: Client) -> None:
    tier = make_tier(name="More room")
    monthly, once = make_plan(tier, "month", key="room-month"), make_plan(tier, "once", key="room-once", position=1)
    paid = make_payment(monthly, 900, paid_at=on(2026, 9))
    make_refund(paid, 250, made_at=on(2026, 10))
    make_payment(once, 123456, disputed="lost")
    make_payment(None, 1200, currency="jpy")
    make_subscription(monthly, began_at=on(2026, 9))
    make_entitlement(make_user("ada@example.org", name="Ada"), tier)
    page = owner.visit("money.figures").text
    months = {row[0]: row[1:] for row in cells(page, "Month by month, EUR")}
    assert list(months)[0::11] == ["December 2025", "November 2026"]
    assert months["September 2026"] == ["1", "€9.00", "€0.00", "€9.00"]
    assert months["October 2026"] == ["0", "€0.00", "€2.50", "-€2.50"]
    assert months["Together"] == ["2", "€1,243.56", "€2.50", "€1,241.06"]
    assert cells(page, "By plan, December 2025 to November 2026, EUR") == [
        ["More room, paid monthly room-month", "1", "€9.00", "€2.50", "€6.50"],
        ["More room, paid once room-once", "1", "€1,234.56", "€0.00", "€1,234.56"],
    ]
    assert cells(page, "By plan, December 2025 to November 2026, JPY") == [["A plan that is not known here", "1", "¥1,200", "¥0", "¥1,200"]]
    assert cells(page, "Payments of these months that were disputed, EUR") == [["lost: the money went back", "1", "€1,234.56"]]
    assert cells(page, "Subscriptions by plan, as of this moment") == [["More room, paid monthly room-month", "1", "0", "0", "0"]]
    assert {row[0]: row[1:] for row in cells(page, "What happened in each month")}["November 2026"] == ["0", "0", "0", "0", "0", "1"]
    assert re.findall(r'stat-number">([^<]*)<', page) == ["1", "0", "0", "1"]
    assert "ada" not in page.casefold()
    assert faults_in(page) == []


def test_each_chart_has_its_words_and_its_table(owner: Client) -> None:
    make_payment(make_plan(), 900, paid_at=on(2026, 9))
    page = owner.visit("money.figures").text
    assert re.findall(r'<desc id="paid-chart-eur-words">([^<]*)<', page) == [
        "December 2025 to November 2026: €9.00 in all, at most €9.00 in one month. The table has every number."
    ]
    assert re.findall(r'<text x="0" y="9%">([^<]*)</text>', page) == ["€9.00", "1"]


def test_a_year_can_be_chosen_and_no_month_of_it_is_still_to_come(owner: Client) -> None:
    make_payment(make_plan(), 900, paid_at=on(2024, 12))
    make_payment(make_plan(), 800, paid_at=on(2026, 1))
    page = owner.visit("money.figures", year=2024).text
    assert [row[0] for row in cells(page, "Month by month, EUR")][-2:] == ["December 2024", "Together"]
    assert cells(page, "Month by month, EUR")[-1][2] == "€9.00"
    assert re.findall(r'<a href="[^"]*year=(\d+)"( aria-current="true")?>', page) == [
        ("2026", ""),
        ("2025", ""),
        ("2024", ' aria-current="true"'),
    ]
    present = [row[0] for row in cells(owner.visit("money.figures", year=2026).text, "Month by month, EUR")]
    assert (present[0], present[-2], len(present)) == ("January 2026", "November 2026", 12)
    assert "Nothing was paid from January 2025 to December 2025." in owner.visit("money.figures", year=2025).text


@pytest.mark.parametrize("year", ["1999", "2027", "x", "99999999999999999999", "-1"])
def test_a_year_that_is_none_shows_the_last_twelve_months(owner: Client, year: str) -> None:
    make_payment(make_plan(), 900)
    assert cells(owner.visit("money.figures", year=year).text, "Month by month, EUR")[0][0] == "December 2025"


def test_in_january_the_year_has_one_month(app: Flask, owner: Client) -> None:
    make_payment(make_plan(), 900, paid_at=on(2027, 1, 2))
    set_clock(app, on(2027, 1, 3))
    owner.sign_in(make_user(roles=["owner"]), on(2027, 1, 3))
    assert [row[0] for row in cells(owner.visit("money.figures", year=2027).text, "Month by month, EUR")] == ["January 2027", "Together"]


def test_months_are_those_of_the_site(owner: Client) -> None:
    change_site({"default_zone": "Pacific/Kiritimati"}, NOW)
    db.session.commit()
    forget_site()
    make_payment(make_plan(), 900, paid_at=on(2026, 9, 30))  # two in the night of October 1 there
    months = {row[0]: row[1] for row in cells(owner.visit("money.figures").text, "Month by month, EUR")}
    assert (months["September 2026"], months["October 2026"]) == ("0", "1")


@pytest.mark.one_database
def test_every_word_of_stripes_about_disputes_is_known() -> None:
    literal, _str = typing.get_args(stripe.Dispute.__annotations__["status"])
    assert set(typing.get_args(literal)) <= set(DISPUTE_WORDS)


# The file


def taken_out(client: Client, first: str, last: str) -> str:
    """The file of some months."""
    answer = client.submit("money.figures", {"first": first, "last": last}, to="money.export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == f"attachment; filename=payments-{first}-{last}.csv"
    assert "no-store" in answer.headers["Cache-Control"]
    return answer.get_data(as_text=True)


def test_the_file_is_of_the_chosen_months_and_that_it_was_taken_is_written_down(owner: Client) -> None:
    plan = make_plan()
    for month in (8, 9, 10, 11):
        make_payment(plan, 100 * month, paid_at=on(2026, month, 2, 1))
    rows = rows_of(taken_out(owner, "2026-09", "2026-10"))
    assert [row["amount"] for row in rows] == ["9.00", "10.00"]
    (event,) = db.session.query(Event).filter_by(type="payments_exported").all()
    assert (event.subject, event.data["first"], event.data["last"]) == ("billing:0", "2026-09", "2026-10")
    audit = owner.visit("auditing.acts").text
    assert "Downloaded the list of payments" in audit


def test_the_file_says_what_the_page_says(owner: Client) -> None:
    plan = make_plan()
    for number in range(1, 40):
        paid = make_payment(plan, 37 * number, paid_at=on(2026, 1 + number % 11, 1 + number % 27), currency=("eur", "jpy")[number % 2])
        if number % 5 == 0:
            make_refund(paid, 11, made_at=on(2026, 1 + (number + 3) % 11))
    sums = sums_of(rows_of(taken_out(owner, "2026-01", "2026-11")))
    page = owner.visit("money.figures", year=2026).text
    told = {code: cells(page, f"Month by month, {code}")[-1][-1] for code in ("EUR", "JPY")}
    assert {code: Decimal(re.sub(r"[^\d.]", "", words)) for code, words in told.items()} == sums


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2026-10", "2026-09", "This month comes before the first."),
        ("2026-13", "2026-11", "Please choose one of the months in the list."),
        ("1999-01", "2026-11", "Please choose one of the months in the list."),
        ("2026-10", "2026-12", "Please choose one of the months in the list."),
        ("", "x\0", "Please choose one of the months in the list."),
        (None, None, "Please choose one of the months in the list."),
    ],
)
def test_months_that_are_none_are_refused_in_words(owner: Client, first: str | None, last: str | None, words: str) -> None:
    make_payment(make_plan(), 900, paid_at=on(2026, 8))
    answer = owner.submit("money.figures", {"first": first, "last": last}, to="money.export")
    assert answer.status_code == 422
    assert words in answer.text
    assert faults_in(answer.text) == []
    assert db.session.query(Event).filter_by(type="payments_exported").count() == 0
