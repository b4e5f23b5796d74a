"""How mail arrives by domain: exact, no place of fewer than five people is named, and where something is to be done it says what."""

import re
from datetime import datetime

import pytest
from flask import Flask

from courseapp import clock
from courseapp.extensions import db
from courseapp.mailing.deliverability import MOST_NAMED, NUMBERS, RULES, Arrivals, arrivals_of, counted
from courseapp.mailing.loops import renew_deliverability
from courseapp.mailing.models import State
from tests.client import Client
from tests.factories import NOW, days_ago, make_contact, make_message, make_user
from tests.query_counts import statements

NONE = dict.fromkeys(NUMBERS, 0)


def mails(domain: str, count: int, state: State = State.ACCEPTED, at: datetime | None = None, **kw: object) -> None:
    """So many mails to as many people at a domain."""
    for number in range(count):
        name = f"p{number}-{state}-{(at or NOW):%d%H}@{domain}"
        settled_at = None if state is State.PENDING else at or days_ago(1)
        make_message(make_contact(name), state=state, settled_at=settled_at, **kw)


def by_domain(days: int = 30) -> dict[str, Arrivals]:
    """What the worker would keep."""
    db.session.commit()
    return {row.domain: row for row in counted(NOW)[days]}


def test_what_became_of_mails_by_domain(app: Flask) -> None:
    mails("a.example", 6)
    mails("a.example", 3, State.DELIVERED)
    mails("a.example", 2, State.BOUNCED, reason="bounced 5.1.1")
    mails("a.example", 1, State.COMPLAINED)
    mails("a.example", 4, State.FAILED, reason="550 5.7.1 we do not like it")
    mails("a.example", 1, State.FAILED, reason="exhausted: 451 4.7.0 later", at=days_ago(2))
    mails("a.example", 2, State.PENDING, attempts=2, reason="451 4.7.0 later")
    for state, reason in ((State.SKIPPED, "unsubscribed"), (State.FAILED, "cannot be built: no such field"), (State.PENDING, None)):
        mails("a.example", 5, state, reason=reason, at=days_ago(3))
    mails("B.Example", 5)
    found = by_domain()
    numbers = {"people": 19, "taken": 12, "confirmed": 3, "bounced": 2, "complained": 1, "refused": 5, "unwelcome": 4, "put_off": 2}
    assert found["a.example"] == Arrivals(domain="a.example", **numbers)
    assert found["b.example"] == Arrivals(domain="b.example", **{**NONE, "people": 5, "taken": 5})
    assert (found["a.example"].sent, found["a.example"].arrived) == (17, 10)


def test_what_the_other_side_put_off_after_taking_it(app: Flask) -> None:
    mails("a.example", 5, State.ACCEPTED, reason="delayed 4.4.1")
    assert (by_domain()["a.example"].taken, by_domain()["a.example"].put_off) == (5, 5)


def test_the_times_looked_at(app: Flask) -> None:
    for ago in (1, 6.9, 8, 29, 31, 89, 91):
        mails("a.example", 5, at=days_ago(ago))
    assert [by_domain(days)["a.example"].taken for days in (7, 30, 90)] == [10, 20, 30]


def test_a_person_with_many_mails_is_one(app: Flask) -> None:
    contact = make_contact("one@a.example")
    for _number in range(9):
        make_message(contact, state=State.ACCEPTED, settled_at=days_ago(1))
    mails("b.example", 5)
    mails("c.example", 5)
    found = by_domain()
    assert "a.example" not in found
    assert found[""].people >= 5


@pytest.mark.parametrize("people", [1, 4])
def test_a_place_of_few_is_not_named_nor_found_by_subtracting(app: Flask, people: int) -> None:
    mails("large.example", 9)
    mails("middle.example", 5)
    mails("few.example", people)
    found = by_domain()
    assert set(found) == {"large.example", ""}
    assert (found[""].people, found[""].taken) == (5 + people, 5 + people)


def test_nobody_is_named_where_all_are_few(app: Flask) -> None:
    mails("few.example", 4)
    mails("other.example", 4)
    assert set(by_domain()) == {""}


def test_who_was_erased_is_in_the_sums_and_in_no_domain(app: Flask) -> None:
    mails("a.example", 9)
    gone = make_contact("gone@a.example")
    make_message(gone, state=State.ACCEPTED, settled_at=days_ago(1))
    gone.address = gone.address_key = gone.address_mac = None
    gone.erased_at = NOW
    assert by_domain()[""].taken == 10


def test_only_the_largest_are_named(app: Flask) -> None:
    for number in range(MOST_NAMED + 3):
        mails(f"d{number}.example", 5)
    found = by_domain()
    assert len(found) == MOST_NAMED + 1
    assert found[""].people == 15


@pytest.mark.parametrize(
    ("numbers", "troubles"),
    [
        ({"taken": 1000, "complained": 1}, []),
        ({"taken": 2000, "complained": 3}, ["complained"]),
        ({"taken": 4000, "complained": 4}, []),
        ({"taken": 100, "bounced": 9}, []),
        ({"taken": 100, "bounced": 10}, ["bounced"]),
        ({"taken": 200, "bounced": 10}, []),
        ({"taken": 80, "refused": 20, "unwelcome": 20}, ["unwelcome"]),
        ({"taken": 80, "refused": 20}, []),
        ({"put_off": 30}, ["put_off"]),
    ],
)
def test_what_to_do_is_said_where_there_is_trouble(numbers: dict[str, int], troubles: list[str]) -> None:
    row = Arrivals(domain="a.example", **{**NONE, **numbers})
    assert row.troubles == [rule.words for rule in RULES if rule.what in troubles]


def test_it_is_counted_every_few_hours(app: Flask, pass_time) -> None:
    mails("a.example", 5)
    db.session.commit()
    assert [renew_deliverability(clock.now()) for _tick in range(2)] == [True, False]
    pass_time(hours=2)
    assert not renew_deliverability(clock.now())
    later = pass_time(hours=2)
    mails("a.example", 5, State.DELIVERED)
    db.session.commit()
    assert renew_deliverability(later)
    rows, counted_at = arrivals_of(7)
    assert ([row.taken for row in rows], counted_at) == ([10], later)


def page_of(client: Client, **asked: object) -> str:
    """The page as a marketer sees it."""
    db.session.commit()
    client.sign_in(make_user(roles=["marketer"]))
    return client.visit("arrivals.by_domain", **asked).text


def test_the_page(client: Client) -> None:
    assert "Nothing to tell yet" in page_of(client)
    mails("a.example", 90)
    mails("a.example", 10, State.BOUNCED, reason="bounced 5.1.1")
    mails("b.example", 5, at=days_ago(40))
    db.session.commit()
    renew_deliverability(clock.now())
    page = page_of(client)
    rows = re.findall(r'<th scope="row">([^<]*)</th>(.*?)</tr>', page, re.DOTALL)
    told = {name: re.findall(r'amount">(.*?)</td>', cells) for name, cells in rows}
    plain = [re.sub(r"<[^>]*>", "", cell) for cell in told["a.example"]]
    assert plain == ["100", "100", "0", "10 (10 %)", "0", "0", "0"]
    assert "Trouble at a.example" in page
    assert "b.example" not in page
    chart = page.partition('aria-labelledby="share-chart-title')[2].partition("</svg>")[0]
    assert re.findall(r"<text[^>]*>([^<]*)</text>", chart) == ["a.example", "90 %"]
    assert "b.example" in page_of(client, days=90)


def test_only_marketers_and_owners_open_it_and_it_asks_little(client: Client) -> None:
    page_of(client)
    with statements() as sent:
        client.visit("arrivals.by_domain")
    assert len(sent) <= 3, sent
    for roles, status in ((["owner"], 200), (["instructor"], 404), ([], 404)):
        client.sign_in(make_user(roles=roles))
        assert client.visit("arrivals.by_domain").status_code == status
