"""Templates: every word through gettext, every form with its token, nothing inline, nothing from elsewhere."""

import re
from pathlib import Path

import pytest
from jinja2 import nodes

from tests.code.markup import GETTEXT, LETTER, Spoken, environment, faults_in, line_of, literals, templates, without_jinja
from tests.code.source import assert_clean, expect

ORIGIN = re.compile(r"""(?:\bsrc|\bsrcset|\bposter|<link[^>]*\bhref)\s*=\s*["']?(?:https?:)?//""")
CLEANED = re.compile(r"\b(\w*html|body)\s*\|\s*safe\b")  # what was cleaned when it was imported or built is so named
PARTS = {"subject", "preheader", "because"}  # the heads of a mail's text

# What may stand as it is, and why.
LITERALS = {
    ("templates/mailing/mail/letter.html", "style"): "a mail brings its style along; css-inline writes it into the elements",
}


def words_past_gettext(root: Path) -> list[str]:
    """Text, spoken attributes and string literals that people read and no translator sees."""
    found = []
    for name, text in templates(root, ".html"):
        found += [f"{name}:{line}: {words!r} is not translated" for line, words in Spoken(without_jinja(text)).found]
    for name, text in [*templates(root, ".md"), *templates(root, ".txt")]:
        for number, line in enumerate(without_jinja(text).splitlines(), 1):
            head, _colon, rest = line.partition(":")
            if LETTER.search(rest if head in PARTS else line):
                found.append(f"{name}:{number}: {line.strip()!r} is not translated")
    for name, text in templates(root, ".html", ".md", ".txt"):
        found += [f"{name}:{line}: {words!r} is not translated" for line, words in literals(text)]
    return found


def texts_not_whole(root: Path) -> list[str]:
    """gettext called with anything but plain strings."""
    found = []
    for name, text in templates(root, ".html", ".md", ".txt"):
        for call in environment().parse(text).find_all(nodes.Call):
            called = call.node.name if isinstance(call.node, nodes.Name) else ""
            if called in GETTEXT and not all(isinstance(text, nodes.Const) for text in call.args[: 2 if called == "ngettext" else 1]):
                found.append(f"{name}:{call.lineno}: {called}() takes a plain string")
    return found


def forms_without_a_token(root: Path) -> list[str]:
    """POST forms without csrf_field()."""
    found = []
    for name, text in templates(root, ".html"):
        for form in re.finditer(r"<form\b(.*?)</form\s*>", text, re.DOTALL | re.IGNORECASE):
            if re.search(r"""method\s*=\s*["']?post""", form[1], re.IGNORECASE) and "csrf_field()" not in form[1]:
                found.append(f"{name}:{line_of(text, form.start())}: a POST form without csrf_field()")
    return found


def inline_or_foreign(root: Path) -> list[str]:
    """What the Content-Security-Policy forbids: inline script and style, handlers, other origins; and unwarranted `|safe`."""
    found = []
    for name, text in templates(root, ".html"):
        plain, text = without_jinja(text), re.sub(r"\{#.*?#\}", lambda hit: "\n" * hit[0].count("\n"), text, flags=re.DOTALL)
        for what, pattern in {
            "style": r"<style\b",
            "script": r"<script\b(?![^>]*\bsrc\s*=)",
            "style attribute": r"<[^>]*\sstyle\s*=",
            "handler": r"<[^>]*\son[a-z]+\s*=",
            "script address": r"javascript:",
        }.items():
            if (name, what) not in LITERALS:
                found += [f"{name}:{line_of(plain, hit.start())}: inline {what}" for hit in re.finditer(pattern, plain, re.IGNORECASE)]
        found += [f"{name}:{line_of(plain, hit.start())}: from another origin" for hit in ORIGIN.finditer(text)]
        found += [
            f"{name}:{line_of(text, hit.start())}: |safe on what was not cleaned"
            for hit in re.finditer(r"\S+\s*\|\s*safe\b", text)
            if not CLEANED.search(hit[0])
        ]
    return found


CHECKERS = (words_past_gettext, texts_not_whole, forms_without_a_token, inline_or_foreign)


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_templates_are_in_order(checker):
    assert_clean(checker)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<p>Hello</p>", "not translated"),
        ('<img alt="A tree" src="{{ x }}">', "not translated"),
        ('<input type="submit" value="Send">', "not translated"),
        ('<meta name="description" content="A course">', "not translated"),
        ('{{ button("Start now") }}', "not translated"),
        ('{% set x = "Saved" %}', "not translated"),
        ("<p>{% if x %}Yes{% endif %}</p>", "not translated"),
        ("{{ _(name) }}", "plain string"),
        ('{{ _("a" ~ b) }}', "plain string"),
        ('<form method="post"><button>{{ x }}</button></form>', "csrf_field"),
        ("<style>p { color: red }</style>", "inline style"),
        ('<p style="color: red">', "inline style attribute"),
        ("<script>1</script>", "inline script"),
        ('<button onclick="x()">', "inline handler"),
        ('<a href="javascript:x()">', "script address"),
        ('<img src="https://elsewhere.test/x.png">', "another origin"),
        ('<link rel="stylesheet" href="//elsewhere.test/x.css">', "another origin"),
        ("{{ user.name|safe }}", "not cleaned"),
        ('<p>{{ _("Hello") }}, {% trans %}you{% endtrans %} · 12</p>', None),
        ("{% block body_class %}wide{% endblock %}<code>flask up</code>{# x|safe #}", None),
        ('<form method="post">{{ csrf_field() }}</form><form method="get"></form>', None),
        ('<img alt="{{ asset.alt }}"><p class="button quiet" title="{{ _("Why") }}">{{ lesson.html|safe }}</p>', None),
        ('<script type="module" src="{{ static_url("js/x.js") }}"></script><a href="https://elsewhere.test">{{ x }}</a>', None),
    ],
)
def test_a_planted_template_is_judged_rightly(tmp_path, text, words):
    (tmp_path / "templates" / "learning").mkdir(parents=True)
    (tmp_path / "templates" / "learning" / "x.html").write_text(text)
    expect([finding for checker in CHECKERS for finding in checker(tmp_path)], words)


@pytest.mark.parametrize(
    ("text", "words"), [("subject: Hello\n---\n", "not translated"), ('subject: {{ _("Hello") }}\n---\n{{ _("x") }}', None)]
)
def test_a_planted_mail_is_judged_rightly(tmp_path, text, words):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "x.md").write_text(text)
    expect(words_past_gettext(tmp_path), words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<p><div></p>", "unexpected-end-tag"),
        ('<p id="a"></p><p id="a"></p>', "the id a stands twice"),
        ('<input type="date" placeholder="2027-01-31">', "an input of type date has no placeholder"),
        ('<input type="checkbox" maxlength="3">', "an input of type checkbox has no maxlength"),
        ('<p id="a"></p><input type="date" min="2027-01-31" autocomplete="off"><input placeholder="#005e5e" maxlength="20">', None),
    ],
)
def test_a_planted_page_is_judged_rightly(body, words):
    expect(faults_in(f"<!DOCTYPE html><html><head><title>x</title></head><body>{body}</body></html>"), words)
