"""How often links were followed: of days that are over, in whole fives, and nothing of what fewer than five people have got."""

import re
from datetime import datetime, timedelta

import pytest
from flask import Flask

from courseapp.campaigns.models import Broadcast, SequenceVersion
from courseapp.campaigns.sequence_lists import steps_of
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.insights.clicks import SHOWN, days_of, link_figures
from courseapp.mailing.models import Letter, LinkClicks, State
from courseapp.site import change_site, forget_site
from tests.client import Client
from tests.factories import NOW, days_ago, make_broadcast, make_contact, make_letter, make_message, make_sequence, make_user
from tests.query_counts import statements

TODAY = NOW.date()
BEGAN = days_ago(20)
BODY = "[Begin](http://127.0.0.1:8000/start), [ask](http://127.0.0.1:8000/ask) or [go](https://elsewhere.example/)."
FEW = "fewer than five"


def switch(is_on: bool) -> None:
    """Have clicks counted, or not."""
    change_site({"counts_clicks": "on" if is_on else ""}, NOW)
    db.session.commit()
    forget_site()


@pytest.fixture
def letter(app: Flask) -> Letter:
    """A letter with two links that are counted, and one that is not."""
    return make_letter(body=BODY, purpose=Purpose.MARKETING)


def click(letter: Letter, link: int, *by_day: tuple[int, int]) -> None:
    """Clicks on a link: so many days ago, and how many."""
    db.session.add_all(LinkClicks(letter_id=letter.id, link=link, day=TODAY - timedelta(days=ago), count=count) for ago, count in by_day)
    db.session.flush()


@pytest.fixture
def broadcast(letter: Letter) -> Broadcast:
    """A broadcast with this letter that began twenty days ago."""
    made = make_broadcast(is_sent=True)
    made.letter_id, made.snapshot_at, made.candidates = letter.id, BEGAN, 8
    return made


def leave(letter: Letter, count: int, at: datetime = BEGAN, state: State = State.ACCEPTED) -> None:
    """So many mails with a letter have arrived, each at somebody else's, or what else the state says."""
    for _number in range(count):
        make_message(make_contact(), letter=letter, stream="marketing", state=state, settled_at=at)
    db.session.flush()


@pytest.fixture
def version(app: Flask) -> SequenceVersion:
    """A sequence of three letters; six people have got the first, two the second, with the same two links each."""
    made = make_sequence(delays=(0, 3, 7), purpose=Purpose.MARKETING)
    for step, mails in zip(steps_of(made.id), (6, 2, 0), strict=True):
        step.letter.body = BODY
        for number in range(mails):
            key = f"sequence:{number}:{step.position}"
            make_message(letter=step.letter, stream="marketing", state=State.ACCEPTED, settled_at=BEGAN, dedupe_key=key)
    db.session.flush()
    return made


def rows_of(page: str, table: str = "link-table") -> list[list[str]]:
    """The rows of a table."""
    inside = page.partition(f'id="{table}-caption"')[2].partition("</tbody>")[0].partition("<tbody>")[2]
    return [
        [re.sub(r"<[^>]*>|\s+", " ", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in re.findall(r"<tr>(.*?)</tr>", inside, re.DOTALL)
    ]


def page_of(client: Client, shown: Broadcast | SequenceVersion, role: str = "marketer") -> str:
    """The page of what came of it."""
    db.session.commit()
    client.sign_in(make_user(roles=[role]))
    if isinstance(shown, Broadcast):
        return client.visit("results.broadcast", id=shown.public_id).text
    return client.visit("results.sequence", id=shown.sequence.public_id).text


def test_days_are_told_in_fives_with_the_rest_carried_on_and_today_not_at_all(letter: Letter) -> None:
    leave(letter, 5, days_ago(40))
    click(letter, 1, (40, 3), (20, 3), (19, 2), (3, 4), (1, 5), (0, 50))
    click(letter, 2, (3, 4))
    first, second = link_figures([letter.id], TODAY)[letter.id]
    assert {(TODAY - day).days: count for day, count in first.by_day.items()} == {20: 5, 3: 5, 1: 5}  # of 17, two are left over
    assert (first.total, second.total) == (15, 0)
    assert (first.link.words, second.link.path) == ("Begin", "/ask")


@pytest.mark.parametrize(("left", "total"), [(0, 0), (1, 0), (4, 0), (5, 30), (12, 30)])
def test_of_what_fewer_than_five_people_have_got_nothing_is_told(letter: Letter, left: int, total: int) -> None:
    leave(letter, left)
    click(letter, 1, (2, 30))
    assert [row.total for row in link_figures([letter.id], TODAY)[letter.id]] == [total, 0]


def test_what_came_back_what_was_kept_back_and_what_one_person_got_twice_is_of_nobody_more(letter: Letter) -> None:
    leave(letter, 3)
    leave(letter, 2, state=State.BOUNCED)
    leave(letter, 9, state=State.SKIPPED)
    contact = make_contact()
    for number in range(5):
        make_message(contact, letter=letter, stream="course", state=State.ACCEPTED, settled_at=BEGAN, dedupe_key=f"sequence:{number}:0")
    tried = make_message(make_contact(), letter=letter, stream="service", state=State.ACCEPTED, settled_at=BEGAN)
    tried.dedupe_key = f"trial:{letter.id}:1"
    click(letter, 1, (2, 30))
    assert link_figures([letter.id], TODAY)[letter.id][0].total == 0
    leave(letter, 1)
    assert link_figures([letter.id], TODAY)[letter.id][0].total == 30


def test_clicks_of_days_before_the_fifth_had_it_are_told_with_that_day(letter: Letter) -> None:
    leave(letter, 1, days_ago(20))
    leave(letter, 7, days_ago(18))
    click(letter, 1, (20, 5), (19, 5), (18, 1), (17, 4))
    assert {(TODAY - day).days: count for day, count in link_figures([letter.id], TODAY)[letter.id][0].by_day.items()} == {18: 10, 17: 5}


def test_days_of_all_links_are_the_sum_of_what_is_told_of_each(letter: Letter) -> None:
    leave(letter, 5)
    click(letter, 1, (20, 4), (19, 4), (2, 3))
    click(letter, 2, (20, 4), (19, 4), (2, 3))
    rows = link_figures([letter.id], TODAY)[letter.id]
    assert [row.total for row in rows] == [10, 10]
    points = days_of(rows, BEGAN.date(), TODAY)
    assert [count for _name, count in points] == [0, 10, *[0] * 16, 10, 0]
    assert len(days_of(rows, TODAY - timedelta(days=90), TODAY)) in {0, SHOWN}
    assert days_of(rows, TODAY, TODAY) == []


@pytest.mark.parametrize("more", [0, 1, 4])
def test_twins_of_whom_one_has_up_to_four_clicks_more_are_told_alike(letter: Letter, more: int) -> None:
    leave(letter, 5)
    click(letter, 1, (2, 10 + more))
    (first, second) = link_figures([letter.id], TODAY)[letter.id]
    assert (first.total, second.total) == (10, 0)


def test_the_page_of_a_broadcast_has_its_links_and_its_days(client: Client, broadcast: Broadcast, letter: Letter) -> None:
    switch(True)
    leave(letter, 6)
    click(letter, 1, (20, 12), (18, 4))
    click(letter, 2, (20, 4))
    page = page_of(client, broadcast)
    assert rows_of(page) == [["Begin", "15", "/start"], ["ask", FEW, "/ask"]]
    assert [row[1] for row in rows_of(page, "click-table")] == ["10", "5"]
    chart = page.partition('aria-labelledby="click-chart-title')[2].partition("</svg>")[0]
    assert re.findall(r"<text[^>]*>([^<]*)</text>", chart)[0] == "10"
    assert chart.count('class="chart-bar"') == 20
    assert "It is not a person" in page
    assert "Clicks on links are not counted" not in page


def test_the_page_of_a_sequence_has_the_links_of_each_step(client: Client, version: SequenceVersion) -> None:
    switch(True)
    first, second, _third = (step.letter for step in steps_of(version.id))
    click(first, 2, (3, 7))
    click(second, 1, (3, 70))
    assert rows_of(page_of(client, version)) == [
        *(["1", "Begin", FEW, "/start"], ["1", "ask", "5", "/ask"]),
        *(["2", "Begin", FEW, "/start"], ["2", "ask", FEW, "/ask"]),
        *(["3", "Begin", FEW, "/start"], ["3", "ask", FEW, "/ask"]),
    ]


def test_where_it_is_off_one_sentence_says_so_and_owners_are_led_to_the_settings(client: Client, broadcast: Broadcast, version) -> None:
    for shown in (broadcast, version):
        for role in ("marketer", "owner"):
            page = page_of(client, shown, role)
            assert "Links in it" not in page
            assert page.count("Clicks on links are not counted.") == 1
            assert "It is not a person" not in page
            assert ('href="/staff/settings#mail"' in page) is (role == "owner")


def test_while_it_is_off_nothing_is_told_of_what_was_counted_before(client: Client, broadcast: Broadcast, letter: Letter) -> None:
    leave(letter, 6)
    click(letter, 1, (2, 50))
    assert "Links in it" not in page_of(client, broadcast)
    switch(True)
    assert rows_of(page_of(client, broadcast))[0] == ["Begin", "50", "/start"]


def test_a_letter_without_such_a_link_says_so(client: Client, broadcast: Broadcast, letter: Letter) -> None:
    switch(True)
    letter.body = "[Go](https://elsewhere.example/)."
    page = page_of(client, broadcast)
    assert "There is no link whose clicks can be counted" in page
    assert rows_of(page) == []


def test_hostile_words_of_a_link_are_words(client: Client, broadcast: Broadcast, letter: Letter) -> None:
    switch(True)
    letter.body = '[<script>alert(1)</script>](http://127.0.0.1:8000/ask?x=%3Cb%3E"&y=<i>)'
    page = page_of(client, broadcast)
    assert "<script>alert" not in page
    assert "<i>" not in page


def test_it_costs_the_pages_one_question(client: Client, broadcast: Broadcast, letter: Letter, version: SequenceVersion) -> None:
    switch(True)
    leave(letter, 5)
    public_ids = {"results.broadcast": broadcast.public_id, "results.sequence": version.sequence.public_id}
    for shown, endpoint in ((broadcast, "results.broadcast"), (version, "results.sequence")):
        page_of(client, shown)
        with statements() as sent:
            client.visit(endpoint, id=public_ids[endpoint])
        assert len([statement for statement in sent if "link_clicks" in statement]) == 1
        assert all(statement.startswith("SELECT") for statement in sent)
