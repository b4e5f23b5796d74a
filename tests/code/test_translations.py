"""What learners and readers of mail see is there in every language that has a catalogue, whole; which places those are stands in
pyproject.toml (`tool.babel.mappings`)."""

import re
from collections import Counter
from pathlib import Path

import pytest
from babel.messages import Catalog
from babel.messages.catalog import Message
from babel.messages.pofile import read_po
from flask import Flask
from flask_babel import force_locale, get_domain

from tests import translations
from tests.code.matrix import TABLE, rows_of
from tests.code.source import ROOT, expect
from tests.code.stage import Stage

FILLED_IN = re.compile(r"%\(\w+\)[sd]|%%|\{\{.*?\}\}|\{\w*\}|</?[a-z][^>]*>|\]\(|\[\[|\]\]|\n")
MARKED = re.compile(r"\b_l?\(|\b(?:lazy_)?n?gettext\(")
COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
STAFF = (
    "courseapp/authoring/",
    "courseapp/campaigns/",
    "courseapp/insights/",
    "courseapp/organisation/",
    "courseapp/operations/",
    "courseapp/billing/",
    "courseapp/mailing/",
    "templates/authoring/",
    "templates/billing/",
    "templates/campaigns/",
    "templates/insights/",
    "templates/mailing/",
    "templates/operations/",
    "templates/organisation/",
)
"""Folders that hold pages for staff too, so that of these what is gathered is listed file by file."""


def faults_of(message: Message) -> list[str]:
    """What is wrong with a translation: empty, unsure, a form too few, or not the same filled in as in the original."""
    texts = message.string if message.pluralizable else (message.string,)
    if not all(texts):
        return [f"{message.id!r} is not translated"]
    faults = [f"{message.id!r} is marked as unsure"] if message.fuzzy else []
    originals = message.id if message.pluralizable else (message.id,)
    for number, text in enumerate(texts):
        wanted, found = (Counter(FILLED_IN.findall(words)) for words in (originals[min(number, len(originals) - 1)], text))
        if wanted != found:
            faults.append(f"{text!r} differs in what is filled in: {sorted((wanted - found) + (found - wanted))}")
    return faults


@pytest.fixture(scope="module")
def said() -> Catalog:
    """What the source says now."""
    return translations.said_now()


@pytest.mark.parametrize("file", translations.catalogues(), ids=lambda file: file.parent.parent.name)
def test_every_catalogue_is_in_line_with_the_source(file: Path, said: Catalog) -> None:
    catalogue = translations.in_line(file, said)
    assert file.read_bytes() == translations.as_po(catalogue), "run `make translations`, and translate what is new"


@pytest.mark.parametrize("file", translations.catalogues(), ids=lambda file: file.parent.parent.name)
def test_what_the_application_reads_is_no_older_than_what_people_wrote(file: Path, said: Catalog) -> None:
    assert file.with_suffix(".mo").read_bytes() == translations.as_mo(translations.in_line(file, said)), "run `make translations`"


@pytest.mark.parametrize("file", translations.catalogues(), ids=lambda file: file.parent.parent.name)
def test_every_message_is_translated_whole(file: Path) -> None:
    with file.open("rb") as written:
        catalogue = read_po(written, locale=file.parent.parent.name)
    faults = [fault for message in catalogue if message.id for fault in faults_of(message)]
    short = [message.id for message in catalogue if message.pluralizable and len(message.string) != catalogue.num_plurals]
    assert [*faults, *short] == []


def test_german_says_sie_and_never_shouts() -> None:
    with (translations.FOLDER / "de" / "LC_MESSAGES" / "messages.po").open("rb") as written:
        texts = [text for message in read_po(written, locale="de") if message.id for text in _texts(message)]
    assert [text for text in texts if re.search(r"\b(du|dich|dir|deine?[mnrs]?)\b|!", text, re.IGNORECASE)] == []


def _texts(message: Message) -> tuple[str, ...]:
    return tuple(message.string) if message.pluralizable else (str(message.string),)


def test_what_learners_see_is_gathered_without_being_listed_file_by_file(said: Catalog) -> None:
    """A new file is gathered by itself, but in folders that hold pages for staff too."""
    gathered = {place for message in said for place, _line in message.locations}
    files = [
        *(ROOT / "courseapp").rglob("*.py"),
        *(file for file in (ROOT / "templates").rglob("*.*") if file.suffix in {".html", ".md", ".txt"}),
    ]
    names = {file.relative_to(ROOT).as_posix(): file for file in files}
    mails = {name for name in names if "/mail/" in name}
    open_to_all = {name for name in names if not name.startswith(STAFF)} | mails
    assert [name for name in sorted(open_to_all - gathered) if MARKED.search(COMMENT.sub("", names[name].read_text()))] == []


class Missed:
    """Asked by a catalogue for what it does not have; notes it, and gives the original."""

    def __init__(self) -> None:
        self.words: set[str] = set()

    def gettext(self, words: str) -> str:
        """As gettext's own."""
        self.words.add(words)
        return words

    def ngettext(self, one: str, many: str, number: int) -> str:
        """As gettext's own."""
        self.words.add(one)
        return one if number == 1 else many


@pytest.mark.one_database
@pytest.mark.settings(languages="de, en", stripe_secret_key="sk_test_of_nobody", stripe_url="http://127.0.0.1:9")
def test_nothing_that_is_said_to_those_who_learn_is_missing_in_german(app: Flask, tmp_path: Path) -> None:
    """Every page and every form of the table of routes, for everybody who is not staff."""
    missed, stage = Missed(), Stage(app, tmp_path)
    with force_locale("de"):
        get_domain().get_translations().add_fallback(missed)
    for row in rows_of(TABLE.read_text()):
        for person in ("nobody", "guest", "learner", "other"):
            if row.answers[person].startswith(("2", "303")):
                stage.ask(row, person)
    stage.close()
    assert sorted(missed.words) == []


@pytest.mark.parametrize(
    ("id", "string", "found"),
    [
        ("Hello %(name)s,", "Hallo %(name)s,", None),
        ("Hello %(name)s,", "Hallo,", "differs in what is filled in: ['%(name)s']"),
        ("See <a>this</a>", "Sehen Sie <b>das</b>", "differs in what is filled in"),
        ("Go on", "", "is not translated"),
        (("%(num)d day", "%(num)d days"), ("%(num)d Tag", "%(num)d Tage"), None),
        (("%(num)d day", "%(num)d days"), ("%(num)d Tag", ""), "is not translated"),
        (("%(num)d day", "%(num)d days"), ("%(num)d Tag", "Tage"), "differs in what is filled in"),
    ],
)
def test_a_faulty_translation_is_found(id: str | tuple[str, str], string: str | tuple[str, str], found: str | None) -> None:
    expect(faults_of(Message(id, string)), found)
    expect(faults_of(Message(id, string, flags=["fuzzy"])), found or "is marked as unsure")
