"""Counting clicks: which links say where they stand, in which mails; and what a click that is told adds, whoever tells it."""

import email
import email.policy
import re
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from email.message import EmailMessage
from typing import cast

import pytest
import sqlalchemy as sa
from flask import Flask
from werkzeug.test import TestResponse

from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing import message as message_module
from courseapp.mailing.blocks import bodies_of
from courseapp.mailing.clicks import Link, clicks_by_day, count_click, links_of
from courseapp.mailing.fields import TRIAL
from courseapp.mailing.letters import kept_letter
from courseapp.mailing.looks import READERS, Look, html_in
from courseapp.mailing.message import outgoing
from courseapp.mailing.models import Letter, LinkClicks, Message
from courseapp.mailing.outbox import sendables
from courseapp.mailing.text import Target
from courseapp.site import change_site, forget_site, present_site
from tests.client import Client
from tests.factories import NOW, lessons_of, make_contact, make_course, make_letter, make_message, make_user
from tests.query_counts import statements
from tests.rows import all_rows, changed_tables

SITE = "https://learn.example"
TARGETS = {
    "lesson:a/b": Target("Sitting <well>", "How & why.", "/lessons/x"),
    "course:a": Target("A course", "", "/courses/a"),
    "page:ask": Target("Ask us", "", "/ask"),
}
KEPT = {reference: {"title": target.title, "words": target.words, "path": target.path} for reference, target in TARGETS.items()}
BODY = """Hello {{ first_name | default("there") }}.

<lesson:a/b>

See [our *help* page](https://learn.example/help-now) or [another site](https://elsewhere.example/), {{ first_name | default("you") }}.

- [Go on]({{ continue_url }}), [for {{ first_name | default("you") }}](course:a)
- [a place on a page](https://learn.example/help-now#crisis)

[Ask us](page:ask)

Stop it [here]({{ unsubscribe_url }}); once more: <https://learn.example/help-now>
"""
WHERE = {1: "/lessons/x", 2: "/help-now", 5: "/courses/a", 7: "/ask", 9: "/help-now"}


@pytest.fixture(autouse=True)
def fresh_skeletons() -> Iterator[None]:
    """What is kept in memory between mails belongs to one application."""
    message_module._skeleton.cache_clear()
    yield
    message_module._skeleton.cache_clear()


def switch(is_on: bool) -> None:
    """Have clicks counted, or not."""
    change_site({"counts_clicks": "on" if is_on else ""}, NOW)
    db.session.commit()
    forget_site()


@pytest.fixture
def counting(app: Flask) -> None:
    """Clicks are counted."""
    switch(True)


@pytest.fixture
def letter(app: Flask) -> Letter:
    """A letter with every kind of link."""
    made = make_letter(body=BODY, purpose=Purpose.MARKETING, targets=KEPT)
    db.session.commit()
    return made


def mail_of(message: Message) -> EmailMessage:
    """The mail of a message, parsed."""
    db.session.flush()
    content = outgoing(sendables([message.id])[message.id], NOW).content
    return cast(EmailMessage, email.message_from_bytes(content, policy=email.policy.default))


def part(mail: EmailMessage, kind: str) -> str:
    """One of its bodies."""
    found = mail.get_body((kind,))
    assert found is not None
    return str(found.get_content())


def marks(mail: EmailMessage) -> list[str]:
    """The addresses in its HTML that say which link they are."""
    return re.findall(r'href="([^"]*#from=[^"]*)"', part(mail, "html"))


# Which links


@pytest.mark.parametrize(
    ("body", "addresses"),
    [
        ("[Go](https://learn.example/start)", ["/start"]),
        ("[Go](https://learn.example)", [""]),
        ("[Go](https://learn.example/)", ["/"]),
        ("[Go](https://learn.example?from=flyer)", ["?from=flyer"]),
        ("[Go](HTTPS://Learn.Example/start)", ["/start"]),
        ("Please [go](https://learn.example/start) and [go](https://learn.example/start).", ["/start", "/start"]),
        ("<https://learn.example/start>", ["/start"]),
        ("<lesson:a/b>", ["/lessons/x"]),
        ("<course:a>", ["/courses/a"]),
        ("[Sit](lesson:a/b)", ["/lessons/x"]),
        ("In words: <page:ask>.", ["/ask"]),
        ("::: note\n[Sit](lesson:a/b)\n:::\n\n> [Ask](page:ask)\n\n1. [Go](https://learn.example/start)", ["/lessons/x", "/ask", "/start"]),
        ("[Go](https://learn.example/start#place)", []),
        ("[Go](https://learn.example/start#)", []),
        ("[Go](https://learn.example.evil.example/start)", []),
        ("[Go](https://evil.example/https://learn.example/)", []),
        ("[Go](https://learn.example:8443/start)", []),
        ("[Go](https://learn.example@evil.example/start)", []),
        ("[Go](http://learn.example/start)", []),
        ("[Go](http://[::1)", []),
        ("[Write](mailto:ask@learn.example)", []),
        ("[Call](tel:+4912345)", []),
        ("[The copy](https://learn.example/courses/a/copy.pdf)", []),
        ("[Go on](\ue0000\ue001)", []),
        ("[Go on](https://learn.example/\ue0000\ue001)", []),
        ("`https://learn.example/start` and https://learn.example/start", []),
    ],
)
def test_a_link_to_a_page_of_ours_says_where_it_stands_and_no_other_does(body: str, addresses: list[str]) -> None:
    plain, marked = bodies_of(body, TARGETS, SITE), bodies_of(body, TARGETS, SITE, "letter")
    found = re.findall(r'href="([^"]*)#from=letter\.(\d+)"', marked.html)
    assert [(address.lower().removeprefix(SITE), int(number)) for address, number in found] == [
        (address, number) for number, address in enumerate(addresses, 1)
    ]
    assert re.sub(r"#from=letter\.\d+", "", marked.html) == plain.html
    assert marked.text == plain.text
    assert "from=letter" not in re.sub(r'href="[^"]*"', "", marked.html)


@pytest.mark.settings(base_url=SITE)
def test_links_have_their_words_and_where_they_lead(letter: Letter) -> None:
    assert links_of(letter.id) == (
        Link(1, "Sitting <well>", "Sitting <well>", "/lessons/x"),
        Link(2, "our help page", "", "/help-now"),
        Link(5, "for you", "A course", "/courses/a"),
        Link(7, "Ask us", "Ask us", "/ask"),
        Link(9, "https://learn.example/help-now", "", "/help-now"),
    )
    assert links_of(make_letter(body=BODY, purpose=Purpose.SERVICE, targets=KEPT).id) == ()


# Which mails


@pytest.mark.settings(base_url=SITE)
@pytest.mark.usefixtures("counting")
@pytest.mark.parametrize("stream", ["course", "marketing"])
def test_letters_of_course_mail_and_marketing_say_it_in_the_html_alone(letter: Letter, stream: str) -> None:
    letter.purpose = Purpose(stream)
    mail = mail_of(make_message(make_contact(first_name="Ada"), stream=stream, letter=letter))
    assert marks(mail) == [f"{SITE}{path}#from={letter.public_id}.{number}" for number, path in WHERE.items()]
    assert "#from=" not in part(mail, "plain")
    assert "/help-now#crisis" in part(mail, "html")


@pytest.mark.settings(base_url=SITE)
@pytest.mark.usefixtures("counting")
def test_every_reader_gets_the_same_addresses(letter: Letter) -> None:
    first, second = (mail_of(make_message(make_contact(first_name=name), stream="marketing", letter=letter)) for name in ("Ada", None))
    assert marks(first) == marks(second) != []


@pytest.mark.settings(base_url=SITE)
@pytest.mark.usefixtures("counting")
def test_service_mail_and_our_own_mails_never_say_it(app: Flask) -> None:
    link = {"continue_url": f"{SITE}/learn", "account_url": f"{SITE}/account"}
    own = make_message(stream="service", template="accounts/welcome", fields=link)
    course = make_message(stream="course", template="accounts/welcome", fields=link)
    service = make_message(stream="service", letter=make_letter(body=BODY, purpose=Purpose.SERVICE, targets=KEPT))
    for message in (own, course, service):
        assert "#from=" not in part(mail_of(message), "html")


@pytest.mark.settings(base_url=SITE)
@pytest.mark.usefixtures("counting")
def test_what_staff_try_out_and_look_at_does_not_say_it(client: Client, letter: Letter) -> None:
    client.sign_in(make_user("staff@example.org", roles=["marketer"]))
    trial = make_message(stream="service", letter=letter, fields={TRIAL: "[Test] "})
    assert SITE in part(mail_of(trial), "html")
    assert marks(mail_of(trial)) == []
    assert "#from=" not in html_in(kept_letter(letter.id), READERS[0], Look.LIGHT)
    assert "#from=" not in client.visit("letters.letter", id=letter.public_id).text


@pytest.mark.settings(base_url=SITE)
def test_switched_off_mails_are_byte_for_byte_as_if_there_were_no_counting(letter: Letter) -> None:
    message = make_message(make_contact(first_name="Ada"), stream="marketing", letter=letter)
    before = outgoing(sendables([message.id])[message.id], NOW).content
    assert b"#from" not in before
    switch(True)
    while_on = outgoing(sendables([message.id])[message.id], NOW).content
    assert while_on != before
    switch(False)
    assert outgoing(sendables([message.id])[message.id], NOW).content == before


@pytest.mark.settings(base_url=SITE)
@pytest.mark.usefixtures("counting")
def test_two_letters_that_say_the_same_are_kept_apart_and_each_is_built_once(letter: Letter, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(message_module, "bodies_of", lambda marked, *rest: made.append(rest[-1]) or bodies_of(marked, *rest))
    twin = make_letter(body=BODY, purpose=Purpose.MARKETING, targets=KEPT)
    for _time in range(3):
        for one in (letter, twin):
            found = marks(mail_of(make_message(stream="marketing", letter=one)))
            assert found
            assert all(f"#from={one.public_id}." in address for address in found)
    assert made == [letter.public_id, twin.public_id]


@pytest.mark.settings(base_url=SITE)
@pytest.mark.usefixtures("counting")
def test_it_costs_a_mail_no_statement(letter: Letter) -> None:
    messages = [make_message(stream="marketing", letter=letter) for _number in range(3)]
    found = sendables([message.id for message in messages])
    outgoing(found[messages[0].id], NOW)
    with statements() as sent:
        for message in messages:
            outgoing(found[message.id], NOW)
    assert sent == []


# Being told of one


def tell(client: Client, letter: object, link: object, **more: object) -> TestResponse:
    """Post a click as the script does: no cookie, no token."""
    return client.application.test_client().post("/clicks", data={"letter": letter, "link": link}, **more)  # type: ignore[return-value]  # of werkzeug's


def counted() -> dict[tuple[int, date], int]:
    """Every number, by link and day."""
    return {(row.link, row.day): row.count for row in db.session.scalars(sa.select(LinkClicks).execution_options(populate_existing=True))}


@pytest.mark.settings(base_url=SITE)
@pytest.mark.usefixtures("counting")
def test_a_click_adds_one_to_its_link_and_day(client: Client, letter: Letter, pass_time) -> None:
    answers = [tell(client, letter.public_id, number) for number in (1, 1, 9)]
    pass_time(days=1)
    answers.append(tell(client, letter.public_id, 1))
    today = NOW.date()
    assert counted() == {(1, today): 2, (9, today): 1, (1, today + timedelta(days=1)): 1}
    told = clicks_by_day([letter.id, make_letter().id], today + timedelta(days=1))
    assert told == {(letter.id, 1): {today: 2}, (letter.id, 9): {today: 1}}
    for answer in answers:
        assert (answer.status_code, answer.data) == (204, b"")
        assert "Set-Cookie" not in answer.headers


@pytest.mark.settings(base_url=SITE)
@pytest.mark.usefixtures("counting")
@pytest.mark.parametrize("link", ["0", "3", "6", "8", "10", "-1", "", "x", "1.0", "1 ", " 1", "01", "١", "9" * 400, "99999", "1\0", "1;2"])
def test_a_link_that_the_letter_does_not_have_counts_nowhere(client: Client, letter: Letter, link: str) -> None:
    assert tell(client, letter.public_id, link).status_code == 204
    assert counted() == {}


@pytest.mark.settings(base_url=SITE)
@pytest.mark.usefixtures("counting")
def test_a_letter_that_is_not_there_counts_nowhere_and_looks_the_same(client: Client, letter: Letter) -> None:
    service = make_letter(body=BODY, purpose=Purpose.SERVICE, targets=KEPT).public_id
    strange = ["a" * 16, "", "x" * 5000, "%", "a\0b", f"{letter.public_id}\n", letter.public_id.upper(), str(letter.id), service]
    answers = [tell(client, name, 1) for name in strange]
    true = tell(client, letter.public_id, 1)
    assert {answer.status_code for answer in answers} == {204}
    assert {str(answer.headers) for answer in answers} == {str(true.headers)}
    assert counted() == {(1, NOW.date()): 1}
    assert client.application.test_client().post("/clicks", json={"letter": letter.public_id, "link": 1}).status_code == 204
    assert client.application.test_client().post("/clicks").status_code == 204
    assert client.application.test_client().get("/clicks").status_code == 405
    assert counted() == {(1, NOW.date()): 1}


@pytest.mark.settings(base_url=SITE)
def test_switched_off_nothing_is_counted_or_asked(client: Client, letter: Letter) -> None:
    assert present_site().counts_clicks is False
    public_id = letter.public_id
    with statements() as sent:
        assert tell(client, public_id, 1).status_code == 204
    assert sent == []
    assert counted() == {}


@pytest.mark.settings(base_url=SITE)
@pytest.mark.usefixtures("counting")
@pytest.mark.parametrize("header", ["Sec-GPC", "DNT"])
def test_who_asks_not_to_be_followed_is_not_counted(client: Client, letter: Letter, header: str) -> None:
    assert tell(client, letter.public_id, 1, headers={header: "1"}).status_code == 204
    assert counted() == {}
    tell(client, letter.public_id, 1, headers={header: "0"})
    assert counted() == {(1, NOW.date()): 1}


@pytest.mark.settings(base_url=SITE)
@pytest.mark.usefixtures("counting")
def test_a_page_of_another_site_can_count_nothing(client: Client, letter: Letter) -> None:
    for headers in ({"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "cross-site"}):
        assert tell(client, letter.public_id, 1, headers=headers).status_code == 400
    assert counted() == {}


@pytest.mark.settings(base_url=SITE, rate_limits=True)
@pytest.mark.usefixtures("counting")
@pytest.mark.one_database
def test_one_network_is_counted_so_often_and_no_more(client: Client, letter: Letter) -> None:
    answers = [tell(client, letter.public_id, 1).status_code for _number in range(121)]
    assert answers == [204] * 120 + [429]
    assert tell(client, letter.public_id, 1, environ_base={"REMOTE_ADDR": "192.0.2.7"}).status_code == 204
    assert sum(counted().values()) == 121


@pytest.mark.settings(base_url=SITE)
@pytest.mark.usefixtures("counting")
def test_whoever_is_signed_in_is_counted_as_nobody(client: Client, letter: Letter) -> None:
    client.sign_in(make_user("ada@example.org"))
    public_id = letter.public_id
    with statements() as sent:
        answer = client.post("/clicks", data={"letter": public_id, "link": 2})
    assert (answer.status_code, answer.headers.getlist("Set-Cookie")) == (204, [])
    assert not any(table in statement for statement in sent for table in ("users", "sessions", "contacts"))
    assert {column.name for column in LinkClicks.__table__.columns} == {"letter_id", "link", "day", "count"}
    assert {key.column.table.name for key in LinkClicks.__table__.foreign_keys} == {"letters"}


@pytest.mark.settings(base_url=SITE)
@pytest.mark.usefixtures("counting")
def test_clicks_at_the_same_moment_are_all_counted(app: Flask, letter: Letter) -> None:
    at_once, each = 6, 10
    public_id, start = letter.public_id, threading.Barrier(at_once)
    db.session.commit()  # SQLite has one writer

    def click() -> None:
        with app.app_context():
            start.wait()
            for _number in range(each):
                assert count_click(public_id, "5", NOW)
                db.session.commit()
            db.session.remove()

    threads = [threading.Thread(target=click) for _number in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counted() == {(5, NOW.date()): at_once * each}


@pytest.mark.settings(base_url=SITE)
@pytest.mark.usefixtures("counting")
def test_following_a_link_changes_nothing_by_itself(client: Client) -> None:
    lesson = lessons_of(make_course())[0].public_id
    targets = {"lesson:a/b": {"title": "Sitting", "words": "", "path": f"/lessons/{lesson}"}}
    body = "<lesson:a/b> [Ask](https://learn.example/ask) [Begin](https://learn.example/) [Help](https://learn.example/help-now)"
    made = make_letter(body=body, purpose=Purpose.MARKETING, targets=targets)
    before = all_rows()
    for link in links_of(made.id):
        assert client.get(link.path).status_code in {200, 302}, link
    assert [link.number for link in links_of(made.id)] == [1, 2, 3, 4]
    assert changed_tables(before, all_rows()) == []
