"""A letter in several languages: what a reader gets, what keeps it from being published, how it is kept, looked at and tried out."""

from dataclasses import replace

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.campaigns.trials import send_trial
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing.letters import Unfit, kept_letter, letter_saying, publish_again, publish_letter
from courseapp.mailing.looks import READERS, seen_by
from courseapp.mailing.message import text_of
from courseapp.mailing.models import Message
from courseapp.mailing.outbox import sendables
from courseapp.mailing.problems import Kind, Place, problems_of_letter
from courseapp.mailing.text import Target, Text
from tests.client import Client
from tests.conftest import NOW, forget_kept
from tests.factories import make_user

pytestmark = [pytest.mark.one_database, pytest.mark.settings(base_url="https://learn.example", languages="en,de")]
LESSON = "lesson:introduction/one"
TARGETS = ((LESSON, Target("Sitting well", "How to sit.", "/lessons/abc")),)
GERMAN = Text("de", "Ein Betreff", "Eine Vorschau", "Hallo.", Purpose.MARKETING)
FRENCH = Text("fr", "Un sujet", "Un aperçu", "Bonjour.", Purpose.MARKETING)
TEXT = Text("en", "A subject", "A preheader", "Hello.", Purpose.MARKETING, others=(GERMAN, FRENCH))


@pytest.mark.parametrize(
    ("reads", "gets"),
    [
        ("en", "en"),
        ("de", "de"),
        ("de-AT", "de"),
        ("fr-CA", "fr"),
        ("es", "en"),
        ("", "en"),
        ("d", "en"),
        ("den", "en"),
        ("en-GB", "en"),
    ],
)
def test_each_gets_it_in_their_language_or_its_main_one_else_as_first_written(reads: str, gets: str) -> None:
    assert TEXT.in_language(reads).language == gets


def test_a_region_of_its_own_comes_before_the_main_language() -> None:
    austrian = replace(GERMAN, language="de-AT")
    letter = replace(TEXT, others=(GERMAN, austrian))
    assert [letter.in_language(tag).language for tag in ("de-AT", "de-CH", "de")] == ["de-AT", "de", "de"]
    assert replace(TEXT, others=(austrian,)).in_language("de").language == "en"


def test_each_language_is_looked_through_and_its_problems_say_which_it_is(app: Flask) -> None:
    assert problems_of_letter(TEXT) == []
    (found,) = problems_of_letter(replace(TEXT, others=(replace(GERMAN, preheader=""), FRENCH)))
    assert (found.kind, found.place, found.language) == (Kind.MISSING, Place.PREHEADER, "de")
    assert str(found).startswith("German, preheader: The preheader is empty.")
    with pytest.raises(Unfit):
        publish_letter(replace(TEXT, others=(replace(GERMAN, body="{{ nonsense }}"),)), NOW)


def test_a_language_is_there_once(app: Flask) -> None:
    for others, words in (((GERMAN, GERMAN), "German"), ((replace(GERMAN, language="en"),), "English")):
        (found,) = problems_of_letter(replace(TEXT, others=others))
        assert (found.kind, found.is_warning) == (Kind.LANGUAGE_TWICE, False)
        assert words in found.words


@pytest.mark.parametrize(
    ("first", "second", "line"),
    [
        ("[One](https://learn.example/help-now)", "[Eins](https://learn.example/help-now)", None),
        ("[One](https://elsewhere.example/en)", "[Eins](https://elsewhere.example/de)", None),
        ("<lesson:introduction/one>", "Hier: <lesson:introduction/one>", None),
        ("[Go]({{ continue_url }})", "[Los]({{ continue_url }})", None),
        ('Hi {{ first_name | default("you") }}, [go]({{ continue_url }})', "[Los]({{ continue_url }})", None),
        ("[One](https://learn.example/help-now)", "Nichts.", 1),
        ("None.", "Hier\n\n[Eins](https://learn.example/help-now)", 3),
        ("[One](https://learn.example/help-now)", "[Eins](https://learn.example/ask)", 1),
        ("[One](https://learn.example/ask)", "[Eins](https://elsewhere.example/)", 1),
        ("[a](https://learn.example/ask) [b](https://learn.example/)", "[b](https://learn.example/)\n[a](https://learn.example/ask)", 1),
        ("[Go]({{ continue_url }})", "[Los]({{ preferences_url }})", 1),
    ],
)
def test_a_translation_has_the_links_of_the_letter_one_by_one(app: Flask, first: str, second: str, line: int | None) -> None:
    found = problems_of_letter(replace(TEXT, body=first, targets=TARGETS, others=(replace(GERMAN, body=second, targets=TARGETS),)))
    assert [(problem.kind, problem.language, problem.line) for problem in found] == ([(Kind.LINKS_DIFFER, "de", line)] if line else [])


def test_a_letter_is_kept_in_all_its_languages_with_what_each_leads_to(app: Flask) -> None:
    body = "<lesson:introduction/one>"
    written = replace(TEXT, body=body, targets=TARGETS, others=(replace(GERMAN, body=body, targets=TARGETS),))
    letter = publish_letter(written, NOW)
    again = publish_again(letter.id, NOW)
    db.session.commit()
    forget_kept(app)
    assert kept_letter(letter.id) == written == kept_letter(again.id)
    assert again.public_id != letter.public_id


def test_a_letter_says_just_this_only_where_it_does_in_every_language(app: Flask) -> None:
    letter = publish_letter(TEXT, NOW)
    none = sa.select(sa.literal(0)).where(sa.false())
    found = [letter_saying(text, none) for text in (TEXT, replace(TEXT, others=()), replace(TEXT, others=(GERMAN,)))]
    assert found == [letter, None, None]


def test_it_is_looked_at_in_one_language_and_every_link_of_the_look_stays_with_it(app: Flask) -> None:
    def seen(text: Text, language: str) -> list[object]:
        found = seen_by(text, READERS[0], language, [], lambda key, tag: f"{key}/{tag}", lambda key, tag, look: f"{key}/{tag}/{look}")
        urls = {choice.url.partition("/")[2] for choice in found.choices} | {url.split("/")[1] for url in found.frames.values()}
        return [found.subject, found.language, [(str(choice.words), choice.url, choice.is_here) for choice in found.languages], urls]

    named = [("English", "named/None"), ("German", "named/de"), ("French", "named/fr")]
    assert seen(TEXT, "de") == ["Ein Betreff", "de", [(*each, each[0] == "German") for each in named], {"de"}]
    assert seen(TEXT, "nonsense") == ["A subject", None, [(*each, each[0] == "English") for each in named], {"None"}]
    assert seen(replace(TEXT, others=()), "de") == ["A subject", None, [], {"None"}]


def test_staff_try_it_out_in_the_language_they_look_at_whatever_theirs_is(client: Client) -> None:
    owner = make_user("owner@example.org", roles=("owner",))
    letter = publish_letter(TEXT, NOW)
    for language in ("de", "", "es"):
        send_trial(letter, owner.public_id, owner, NOW, language)
    messages = db.session.scalars(sa.select(Message).order_by(Message.id)).all()
    found = sendables([message.id for message in messages])
    assert [text_of(found[message.id])[0].language for message in messages] == ["de", "en"]  # what falls to the first is the same mail
