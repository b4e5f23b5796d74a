"""A broadcast in several languages: written, looked at, refused where it is not whole, and sent to each reader in theirs."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import time
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.campaigns import broadcasts
from courseapp.campaigns import loops as broadcast_loops
from courseapp.campaigns.broadcast_languages import take_out_language, translate
from courseapp.campaigns.experiments import Design, Words, experiment_of
from courseapp.campaigns.models import Arm, Broadcast, BroadcastState, Measure
from courseapp.campaigns.translations import Translation, shares_of
from courseapp.contacts.models import Purpose
from courseapp.contacts.windows import Window
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.mailing import loops
from courseapp.mailing import message as message_module
from courseapp.mailing.clicks import count_click
from courseapp.mailing.letters import kept_letter
from courseapp.mailing.models import Letter, LinkClicks, Message
from courseapp.site import change_site, forget_site
from tests.campaigns.test_broadcast_pages import WORDS
from tests.client import Client, forms_of
from tests.factories import NOW, make_broadcast, make_consent, make_contact, make_user
from tests.recording_smtp import RecordingSmtp

pytestmark = pytest.mark.settings(languages="en,de,fr", base_url="https://learn.example")
TYPED = {"subject": "Was als Nächstes kommt", "preheader": "Zwei Kurse", "body": "Es sind zwei."}
GERMAN = Translation("de", **TYPED)
NO_SECOND = Translation("de", "", "", "")
HELP = "https://learn.example/help-now"


@pytest.fixture
def marketer(client: Client) -> User:
    """A browser in which a marketer is signed in."""
    return client.sign_in(make_user("marketer@example.org", roles=("marketer",)))


@pytest.fixture
def draft(marketer: User) -> Callable[..., Broadcast]:
    """draft(second, …): a draft in English, with a second letter where its words are given."""

    def make(second: Words | None = None, tried: int = 100, **more: Any) -> Broadcast:
        words = {"title": "News", "language": "en", "subject": "What comes next", "preheader": "Two courses", "body": "There are two."}
        tries = Design(second, tried, 0, Measure.DID, 7)
        values = {"purpose": Purpose.MARKETING, "segment": None, "window": Window(time(0), time(0)), "design": tries, **words, **more}
        made = broadcasts.new_broadcast(broadcasts.Draft(**values), marketer.id, NOW)
        db.session.commit()
        return made

    return make


def only() -> Broadcast:
    """The broadcast there is, read anew."""
    db.session.expire_all()
    return db.session.scalars(sa.select(Broadcast)).one()


def say(broadcast: Broadcast, first: Translation = GERMAN, second: Translation = NO_SECOND) -> None:
    """Write it in another language."""
    translate(broadcast, first, second, broadcast.version, broadcast.by_user_id or 0, NOW)
    db.session.commit()


def readers(**languages: int) -> None:
    """So many of each language who agreed to marketing mail; `de_AT` reads `de-AT`."""
    for tag, count in languages.items():
        for number in range(count):
            contact = make_contact(f"{tag}{number}@example.org", language=tag.replace("_", "-"))
            make_consent(contact, Purpose.MARKETING)
    db.session.commit()


# Written


def test_from_the_list_of_languages_to_the_look_and_out_again(client: Client, draft) -> None:
    made = draft()
    page = client.visit("broadcasts.broadcast", id=made.public_id).text
    assert "In other languages" in page
    assert page.count("Its readers get the letter in English.") == 2
    written = client.visit("broadcast_languages.translation", id=made.public_id, tag="de").text
    assert "Subject in English" in written
    assert "There are two." in written
    assert "Take it out" not in written
    where = {"id": made.public_id, "tag": "de"}
    answer = client.submit("broadcast_languages.translation", TYPED | {"then": "look", "body": "Es\r\nsind"}, **where)
    assert answer.location.endswith("/look?language=de")
    assert only().translations == [TYPED | {"language": "de", "body": "Es\nsind"}]
    assert only().version == 2
    look = client.get(answer.location).text
    assert "Was als Nächstes kommt" in look
    assert "Nothing is wrong with it" in look
    page = client.visit("broadcasts.broadcast", id=made.public_id).text
    assert page.count("Its readers get the letter in English.") == 1
    sure = client.visit("broadcast_languages.ask_to_remove", **where).text
    assert "Take German out?" in sure
    assert "Was als Nächstes kommt" in sure
    answer = client.submit("broadcast_languages.ask_to_remove", to="broadcast_languages.remove", **where)
    assert answer.location.endswith("#languages")
    assert (only().translations, only().version) == ([], 3)


@pytest.mark.settings(languages="en")
def test_a_site_with_one_language_sees_nothing_of_it(client: Client, draft) -> None:
    made = draft()
    assert "In other languages" not in client.visit("broadcasts.broadcast", id=made.public_id).text
    assert client.visit("broadcast_languages.translation", id=made.public_id, tag="de").status_code == 404
    say(made)  # while the site had German too: it goes out, so it is shown and can be taken out
    assert "In other languages" in client.visit("broadcasts.broadcast", id=made.public_id).text
    assert client.visit("broadcast_languages.translation", id=made.public_id, tag="de").status_code == 200


@pytest.mark.parametrize("tag", ["en", "es", "DE", "x" * 300])
def test_a_language_that_is_not_the_sites_or_its_own_is_no_page(client: Client, draft, tag: str) -> None:
    where = {"id": draft().public_id, "tag": tag}
    token = client.csrf_token("broadcasts.begin")
    for endpoint in ("translation", "ask_to_remove"):
        assert client.visit(f"broadcast_languages.{endpoint}", **where).status_code == 404
    for endpoint in ("translate", "remove"):
        assert client.post(client.path(f"broadcast_languages.{endpoint}", **where), data=TYPED | {"csrf_token": token}).status_code == 404
    assert only().translations == []


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"subject": "", "preheader": " ", "body": "\n"}, "Nothing is written in this language so far."),
        ({"subject": "zwei\nZeilen"}, "Please leave out line breaks"),
        ({"preheader": "x" * 201}, "Field cannot be longer than 200 characters."),
        ({"body": "x" * 50_001}, "Field cannot be longer than 50000 characters."),
        ({"body": "x\x00"}, "Please leave out control characters."),
    ],
    ids=["nothing", "lines", "preheader", "body", "controls"],
)
def test_what_cannot_be_kept_is_said_at_its_field(client: Client, draft, typed, words) -> None:
    where = {"id": draft().public_id, "tag": "de"}
    answer = client.submit("broadcast_languages.translation", TYPED | typed, **where)
    assert answer.status_code == 422
    assert words in answer.text
    assert only().translations == []


def test_two_who_write_at_once_lose_nothing(client: Client, draft) -> None:
    made = draft()
    where = {"id": made.public_id, "tag": "de"}
    path = client.path("broadcast_languages.translate", **where)
    (form,) = [form for form in forms_of(client.get(path).text, path) if form.action == path]
    say(made, replace(GERMAN, body="Von jemand anderem."))
    answer = client.post(path, data={**form.fields, **TYPED})
    assert answer.status_code == 409
    assert "Somebody else has changed this broadcast meanwhile." in answer.text
    assert "Es sind zwei." in answer.text
    assert only().translations[0]["body"] == "Von jemand anderem."
    answer = client.submit("broadcasts.broadcast", {"version": "1"}, id=made.public_id)
    assert answer.status_code == 409  # writing in another language is a change like any other
    removal = client.path("broadcast_languages.remove", **where)
    client.post(removal, data={"csrf_token": form.fields["csrf_token"], "version": "1"})
    assert len(only().translations) == 1
    assert "Nothing was taken out" in client.visit("broadcasts.broadcast", id=made.public_id).text


def test_only_a_draft_is_written_on(draft) -> None:
    readers(en=1)
    made = draft()
    say(made)
    broadcasts.schedule(made, NOW, None, NOW)
    for change in (lambda: say(made), lambda: take_out_language(made, "de", made.version, 1, NOW)):
        with pytest.raises(Refusal, match="To change it, take it back first"):
            change()
    assert len(made.translations) == 1


def test_its_own_language_cannot_become_one_in_which_it_is_there_already(client: Client, draft) -> None:
    made = draft()
    say(made)
    answer = client.submit("broadcasts.broadcast", {"language": "de", "subject": "Newer"}, id=made.public_id)
    assert answer.status_code == 422
    assert "It is written in German already, below. Nothing was lost." in answer.text
    assert 'value="Newer"' in answer.text
    assert (only().language, len(only().translations)) == ("en", 1)
    assert client.submit("broadcasts.broadcast", {"language": "fr"}, id=made.public_id).status_code == 303
    assert (only().language, len(only().translations)) == ("fr", 1)


def test_what_was_looked_at_before_it_was_translated_is_not_sent(client: Client, draft) -> None:
    readers(en=1)
    made = draft()
    path = client.path("broadcasts.look", id=made.public_id)
    send = client.path("broadcasts.send", id=made.public_id)
    form = next(form for form in forms_of(client.get(path).text, path) if form.action == send)
    say(made)
    client.post(send, data={**form.fields, "when": "now"})
    assert only().state is BroadcastState.DRAFT


# Looked at


def test_what_is_wrong_in_one_language_hinders_all(client: Client, draft) -> None:
    readers(en=1)
    made = draft(body=f"[Help]({HELP})")
    say(made)
    look = client.visit("broadcasts.look", id=made.public_id).text
    assert "It does not have the links of the letter in English, one by one." in look
    assert "It cannot be sent yet" in look
    with pytest.raises(Refusal, match="German, line 1: It does not have the links"):
        broadcasts.schedule(made, NOW, None, NOW)
    say(made, replace(GERMAN, body=f"[Hilfe]({HELP})"))
    assert "It cannot be sent yet" not in client.visit("broadcasts.look", id=made.public_id).text


def test_the_language_that_is_looked_at_stays_through_reader_letter_and_trial(client: Client, draft, marketer) -> None:
    made = draft(Words("Said otherwise", "", ""))
    say(made, second=Translation("de", "Anders gesagt", "", ""))
    page = client.visit("broadcasts.look", id=made.public_id, language="de", letter="second", reader="long").text
    assert "Anders gesagt" in page
    assert "Zwei Kurse" in page
    here = {"language": ["de"], "letter": ["second"], "reader": ["long"]}
    links = [parse_qs(urlsplit(unescape(url)).query) for url in links_in(page)]
    assert len(links) == 8  # two letters, two languages, four readers
    assert all(sum(asked.get(name) != value for name, value in here.items()) <= 1 for asked in links)
    frame = client.visit("broadcasts.letter_html", id=made.public_id, language="de", letter="second").text
    assert 'lang="de"' in frame
    path = client.path("broadcasts.try_out", id=made.public_id, letter="second", language="de")
    answer = client.post(path, data={"csrf_token": client.csrf_token("broadcasts.begin"), "to": marketer.public_id})
    assert set(answer.location.partition("?")[2].split("&")) == {"letter=second", "language=de"}
    trial = db.session.scalars(sa.select(Message)).one()
    assert kept_letter(trial.letter_id or 0).subject == "Said otherwise"
    assert trial.fields["trial_language"] == "de"


def links_in(page: str) -> list[str]:
    """Where a page's lists of letters, languages and readers lead."""
    parts = re.findall(r'<nav class="looks-for".*?</nav>', page, re.DOTALL)
    return [url for part in parts for url in re.findall(r'<a href="([^"]*)"', part)]


def test_a_look_says_how_many_get_it_in_which_language(client: Client, draft) -> None:
    readers(en=7, de=4, de_AT=2, fr=1)
    made = draft()
    assert "By language" not in client.visit("broadcasts.look", id=made.public_id).text
    say(made)
    page = client.visit("broadcasts.look", id=made.public_id).text
    assert "As things stand it goes to 14 people." in page
    assert "By language: 8 people in English and 6 people in German." in page


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"en": 1100, "de": 184}, "By language: 1,100 people in English, 184 people in German, and nobody in French."),
        ({"en": 100, "de": 4}, "By language: fewer than five people in German, nobody in French, and everybody else in English."),
        (
            {"en": 4, "de": 100, "fr": 50},
            "By language: 50 people in French, fewer than five people in English, and everybody else in German.",
        ),
        ({"en": 3, "es": 2, "de": 50}, "By language: 50 people in German, 5 people in English, and nobody in French."),
        ({"en": 0}, ""),
        ({}, ""),
    ],
)
def test_of_fewer_than_five_no_number_is_told_and_none_from_which_theirs_could_be_reckoned(app: Flask, counts, words) -> None:
    german = GERMAN.text(Purpose.MARKETING)
    text = replace(german, language="en", others=(german, replace(german, language="fr")))
    assert shares_of(text, counts) == words
    assert shares_of(german, counts) == ""


# Two letters


def test_what_the_second_letter_has_as_the_first_it_has_so_in_every_language(client: Client, draft) -> None:
    made = draft(Words("Said otherwise", "", ""))
    page = client.visit("broadcast_languages.translation", id=made.public_id, tag="de").text
    assert "Its subject in English" in page
    assert "Said otherwise" in page
    assert "second_body" not in page
    where = {"id": made.public_id, "tag": "de"}
    client.submit("broadcast_languages.translation", TYPED | {"second_subject": " Anders gesagt "}, **where)
    assert experiment_of(only()).translations == [{"language": "de", "subject": "Anders gesagt", "preheader": "", "body": ""}]
    second = broadcasts.texts_of(only())[Arm.SECOND]
    assert (second.subject, second.preheader, second.body) == ("Said otherwise", "Two courses", "There are two.")
    german = second.in_language("de")
    assert (german.subject, german.preheader, german.body) == ("Anders gesagt", "Zwei Kurse", "Es sind zwei.")
    assert 'value="Anders gesagt"' in client.visit("broadcast_languages.translation", **where).text
    client.submit("broadcast_languages.ask_to_remove", to="broadcast_languages.remove", **where)
    assert (only().translations, experiment_of(only()).translations) == ([], [])


@pytest.mark.parametrize("second", [NO_SECOND, Translation("de", GERMAN.subject, "", ""), Translation("de", "", "Anderes", "Anderes.")])
def test_a_second_letter_that_is_not_said_in_a_language_of_the_first_hinders_sending(client: Client, draft, second) -> None:
    readers(en=1, de=1)
    made = draft(Words("Said otherwise", "", ""))
    say(made, second=second)
    words = "In German the second letter does not say what is other in it than in the first."
    look = client.visit("broadcasts.look", id=made.public_id).text
    assert words in look
    assert "Send it to" not in look
    with pytest.raises(Refusal, match=words):
        broadcasts.schedule(made, NOW, None, NOW)
    say(made, second=Translation("de", "Anders gesagt", "", ""))
    assert words not in client.visit("broadcasts.look", id=made.public_id).text
    broadcasts.schedule(made, NOW, None, NOW)
    assert made.state is BroadcastState.SCHEDULED


def test_without_its_second_letter_its_words_in_other_languages_go_too(client: Client, draft) -> None:
    made = draft(Words("Said otherwise", "", ""))
    say(made, second=Translation("de", "Anders gesagt", "", ""))
    without = {"has_second": None, "second_subject": "", "held_percent": "5"}
    assert client.submit("broadcasts.broadcast", without, id=made.public_id).status_code == 303
    assert (len(only().translations), experiment_of(only()).translations) == (1, [])


# Sent


@pytest.fixture
def work(app: Flask, make_app, smtp: RecordingSmtp) -> Iterator[Callable[[], dict[str, Any]]]:
    """work(): what the worker does, over a real SMTP server; what came, by recipient."""
    message_module._skeleton.cache_clear()
    made = make_app(smtp_url=smtp.url, languages="en,de,fr", base_url="https://learn.example")

    def run() -> dict[str, Any]:
        db.session.commit()
        with made.app_context():
            broadcast_loops.work_broadcasts(clock.now)
            loops.drain(clock.now)
            loops.close_door()
            broadcast_loops.work_broadcasts(clock.now)
            db.session.remove()
        db.session.expire_all()
        return {found.recipients[0]: found.message for found in smtp.received}

    yield run
    message_module._skeleton.cache_clear()


def body(mail: Any, kind: str = "html") -> str:
    """One of a mail's bodies."""
    return str(mail.get_body((kind,)).get_content())


def test_each_reader_gets_it_in_their_language(client: Client, draft, work) -> None:
    readers(en=2, de=2, de_AT=1, fr=1)
    made = draft()
    say(made)
    broadcasts.schedule(made, NOW, None, NOW)
    page = client.visit("broadcasts.broadcast", id=made.public_id).text
    assert "It is written in English and German." in page
    mails = work()
    german = {"de0@example.org", "de1@example.org", "de_AT0@example.org"}
    assert {address for address, mail in mails.items() if mail["Subject"] == "Was als Nächstes kommt"} == german
    assert {mail["Subject"] for address, mail in mails.items() if address not in german} == {"What comes next"}
    for address, mail in mails.items():
        assert f'lang="{"de" if address in german else "en"}"' in body(mail)
        assert ("Es sind zwei." in body(mail, "plain")) == (address in german)
        assert ("Zwei Kurse" in body(mail)) == (address in german)
        assert "unsubscribe" in mail["List-Unsubscribe"]
    assert len(mails) == 6
    assert broadcasts.account_of(only()).left == 6
    assert len(db.session.scalars(sa.select(Letter)).all()) == 1
    page = client.visit("broadcasts.broadcast", id=made.public_id).text
    assert "It is written in English and German." in page
    assert "in English and German" in client.visit("letters.published").text


def test_each_arm_gets_its_letter_in_the_readers_language_and_the_rest_the_better_one(draft, work) -> None:
    readers(en=40, de=40)
    made = draft(Words("Said otherwise", "", ""), tried=50)
    say(made, second=Translation("de", "Anders gesagt", "", ""))
    broadcasts.schedule(made, NOW, None, NOW)
    mails = work()
    subjects = Counter((address[:2], mail["Subject"]) for address, mail in mails.items())
    english, german = {"What comes next", "Said otherwise"}, {"Was als Nächstes kommt", "Anders gesagt"}
    assert subjects.keys() == {*(("en", words) for words in english), *(("de", words) for words in german)}
    broadcasts.choose_letter(only(), Arm.SECOND, 1, NOW)
    rest = {address: mail for address, mail in work().items() if address not in mails}
    assert {(address[:2], mail["Subject"]) for address, mail in rest.items()} == {("en", "Said otherwise"), ("de", "Anders gesagt")}
    assert len(mails) + len(rest) == 80


def test_clicks_in_any_language_are_counted_with_the_links_of_the_letter(client: Client, draft, work) -> None:
    change_site({"counts_clicks": "on"}, NOW)
    db.session.commit()
    forget_site()
    readers(en=1, de=1)
    links = "[{}](https://elsewhere.example/{}) [{}](" + HELP + ")"
    made = draft(body=links.format("There", "en", "Help"))
    say(made, replace(GERMAN, body=links.format("Dort", "de", "Hilfe")))
    broadcasts.schedule(made, NOW, None, NOW)
    marks = {address: re.findall(r'href="[^"]*#from=([^"]*)"', body(mail)) for address, mail in work().items()}
    letter = db.session.scalars(sa.select(Letter)).one()
    place = f"{letter.public_id}.2"
    assert marks == {"en0@example.org": [place], "de0@example.org": [place]}
    for (mark,) in marks.values():
        assert count_click(*mark.split("."), NOW)
    assert [(row.letter_id, row.link, row.count) for row in db.session.scalars(sa.select(LinkClicks))] == [(letter.id, 2, 2)]


def test_a_new_broadcast_shows_no_other_languages_before_there_is_a_draft(client: Client, marketer) -> None:
    assert "In other languages" not in client.visit("broadcasts.begin").text
    assert client.submit("broadcasts.begin", {**WORDS, "title": ""}).status_code == 422
    assert make_broadcast().translations == []
