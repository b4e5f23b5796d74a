"""How a letter looks: its blocks in HTML and in plain text, its frame as mail programs need it, its colours."""

import html.parser
import re
from dataclasses import replace

import pytest
from flask import Flask

from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing import message as message_module
from courseapp.mailing.blocks import Target, bodies_of
from courseapp.mailing.message import built
from courseapp.mailing.text import Text
from courseapp.organisation.contrast import DARK, LEAST, LIGHT, contrast, why_unreadable
from courseapp.site import change_site, forget_site
from tests.code.markup import faults_in
from tests.conftest import NOW
from tests.mailing.standard import EVERY_BLOCK, VALUES, standard_mails

pytestmark = pytest.mark.one_database
TARGETS = {"lesson:a/b": Target("Sitting <well>", "How & why.", "/lessons/x"), "page:ask": Target("Ask us", "", "/ask")}
SITE = "https://learn.example"


def text_of(body: str) -> str:
    """A body as plain text."""
    return bodies_of(body, TARGETS, SITE).text


def html_of(body: str) -> str:
    """A body as HTML."""
    return bodies_of(body, TARGETS, SITE).html


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("One\ntwo.\n\nThree.", "One\ntwo.\n\nThree.\n"),
        ("## Head\n\nText", "Head\n\nText\n"),
        ("- one\n- two\n\nAfter", "- one\n- two\n\nAfter\n"),
        ("3. three\n4. four\n\nAfter", "3. three\n4. four\n\nAfter\n"),
        ("- one\n  - inner\n- two\n\nAfter", "- one\n  - inner\n- two\n\nAfter\n"),
        ("One\n\n---\n\nTwo", "One\n\n* * *\n\nTwo\n"),
        ("::: note\nGood to know.\n:::\n\nAfter", "Good to know.\n\nAfter\n"),
        ("    typed\n      as it is\n\nAfter", "typed\n  as it is\n\nAfter\n"),
        ("[Go](https://x.example/)", "Go:\nhttps://x.example/\n"),
        ("Please [go](https://x.example/) now", "Please go (https://x.example/) now\n"),
        ("[a](https://x.example/) [b](https://y.example/)", "a (https://x.example/) b (https://y.example/)\n"),
        ("See <https://x.example/>.", "See https://x.example/.\n"),
        ("<lesson:a/b>", "Sitting <well>\nHow & why.\nhttps://learn.example/lessons/x\n"),
        ("[Sit](lesson:a/b)", "Sit:\nhttps://learn.example/lessons/x\n"),
        ("If so, <page:ask>.", "If so, Ask us (https://learn.example/ask).\n"),
    ],
)
def test_each_block_as_plain_text(body: str, words: str) -> None:
    assert text_of(body) == words


def test_a_link_alone_is_a_button_and_a_reference_alone_a_card() -> None:
    assert 'class="button-cell"><a href="https://x.example/">Go</a>' in html_of("[Go](https://x.example/)")
    assert "button-cell" not in html_of("[Go](https://x.example/) and [stay](https://y.example/)")
    assert "button-cell" not in html_of("- [Go](https://x.example/)")
    card = html_of("<lesson:a/b>")
    assert '<a href="https://learn.example/lessons/x">Sitting &lt;well&gt;</a>' in card
    assert "How &amp; why." in card
    assert "button-cell" in html_of("[Sit](lesson:a/b)")


def test_what_is_no_block_of_ours_is_words() -> None:
    for body in ("<b onclick=x>bold</b>", "![x](https://elsewhere.example/t.png)", "[x](javascript:alert(1))", "<javascript:alert(1)>"):
        found = html_of(body)
        assert not re.search(r"<(b|img|script)\b|href=\"javascript", found), body


@pytest.mark.usefixtures("app")
def test_every_mail_is_whole_html_of_tables_that_read_as_nothing_and_asks_no_other_machine() -> None:
    for name, mail in standard_mails():
        assert faults_in(mail.html) == [], name
        assert len(re.findall("<table", mail.html)) == mail.html.count('role="presentation"'), name
        assert not re.search(r"<(img|script|link|iframe|object|base|form)\b|\bsrc=|@import|url\(", mail.html), name
        assert re.search(r'<html lang="en" dir="ltr">', mail.html), name
        assert '<meta name="color-scheme" content="light dark">' in mail.html, name
        assert max(len(line) for line in mail.html.split("\n")) <= 998, name
        assert len(mail.html.encode()) < 12_000, name


@pytest.mark.usefixtures("app")
def test_styles_stand_in_the_elements_and_only_those_for_dark_and_narrow_in_the_head() -> None:
    mail = built(EVERY_BLOCK, VALUES).html
    (sheet,) = re.findall(r"<style>(.*?)</style>", mail, re.DOTALL)
    assert re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*\s*\}", "", sheet).strip() == ""
    assert len(re.findall("@media", sheet)) == 2

    class Reader(html.parser.HTMLParser):
        bare: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag in {"p", "a", "ul", "ol", "li", "h2", "code"} and "style" not in dict(attrs):
                self.bare.append(tag)

    Reader().feed(mail)
    assert Reader.bare == []


@pytest.mark.usefixtures("app")
def test_the_preheader_is_hidden_before_everything_else() -> None:
    mail = built(EVERY_BLOCK, VALUES).html
    inside = re.search(r'<body[^>]*>\s*<div class="preheader" style="([^"]*)">([^<]*)</div>', mail)
    assert inside is not None
    assert inside[2] == EVERY_BLOCK.preheader
    for rule in ("display: none", "mso-hide: all", "max-height: 0", "overflow: hidden"):
        assert rule in inside[1]


@pytest.mark.settings(languages="en,ar")
def test_a_letter_that_is_read_from_the_right_says_so(app: Flask) -> None:
    mail = built(replace(EVERY_BLOCK, language="ar"), VALUES).html
    assert '<html lang="ar" dir="rtl">' in mail
    assert re.search(r'<table class="column"[^>]*dir="rtl"', mail)
    assert "border-right: 3px" in mail
    assert "border-left: 3px" not in mail
    assert "text-align: left" not in mail


ACCENTS = {"standard": (None, None), "own": ("#7a1f5c", "#f0a6d8"), "barely": ("#1767a8", "#6f9bd1")}


@pytest.mark.parametrize("name", ACCENTS)
def test_every_pair_of_colours_can_be_read_in_the_light_and_in_the_dark(app: Flask, name: str) -> None:
    for accent, ground, field in zip(ACCENTS[name], (LIGHT, DARK), ("accent_light", "accent_dark"), strict=True):
        assert accent is None or why_unreadable(accent, ground) is None
        change_site({field: accent or ""}, NOW)
    db.session.commit()
    forget_site()
    mail = built(EVERY_BLOCK, VALUES).html
    dark = mail[mail.index("prefers-color-scheme: dark") :]
    for ground, accent, ink, soft, sheet in (
        (LIGHT, ACCENTS[name][0] or LIGHT.standard[0], "#1c222b", "#4f5661", mail),
        (DARK, ACCENTS[name][1] or DARK.standard[0], "#e8e4dd", "#b4b1a9", dark),
    ):
        paper, raised, _sunk = ground.backgrounds
        assert {paper, raised, ground.on_accent, accent, ink, soft} <= set(re.findall(r"#[0-9a-f]{6}", sheet))
        for background in (paper, raised, *([ground.backgrounds[2]] if ground is LIGHT else [])):
            assert contrast(ink, background) >= 7
            assert min(contrast(soft, background), contrast(accent, background)) >= LEAST
        assert contrast(ground.on_accent, accent) >= LEAST


def test_bodies_are_made_once_for_a_text_and_filled_in_for_each_person(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(message_module, "bodies_of", lambda marked, *rest: made.append(marked) or bodies_of(marked, *rest))
    text = Text("en", "Once", "Before", 'Hello {{ first_name | default("there") }}.', Purpose.COURSE)
    found = {built(text, {**VALUES, "first_name": f"Person {number}"}).text for number in range(20)}
    assert (len(found), len(made)) == (20, 1)
