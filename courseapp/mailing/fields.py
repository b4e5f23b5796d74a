"""Merge fields: the few names that a letter may fill in, and how they are found in it. Never a template language.

`{{ first_name | default("there") }}` is all there is: a name, and what stands in its place where it is empty.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flask_babel import force_locale, ngettext

FIELD = re.compile(r"\{\{[ \t]*([a-z_]+)[ \t]*(?:\|[ \t]*default\([ \t]*\"([^\"{}\r\n]*)\"[ \t]*\)[ \t]*)?\}\}")
OPEN, CLOSE = "\ue000", "\ue001"  # private-use characters around a field's number while Markdown is rendered
MARK = re.compile(f"{OPEN}([0-9]+){CLOSE}")

TRIAL = "trial_mark"  # filled in where staff try a letter out: what stands before its subject
TRIAL_LANGUAGE = "trial_language"  # likewise: in which of its languages they get it, whatever their own
ADDRESSES = frozenset({"continue_url", "preferences_url", "unsubscribe_url"})
ALLOWED = frozenset({"first_name", "progress_words"}) | ADDRESSES
ALWAYS_FILLED = ALLOWED - {"first_name"}
"""What a mail of a sequence has for everybody; many people have told nobody their name."""


@dataclass(frozen=True)
class Field:
    """A merge field in a text: its name, and the words for when it is empty."""

    name: str
    default: str


def mark(text: str, fields: list[Field]) -> str:
    """A text with a numbered mark in place of each merge field; `fields` is added to."""

    def note(match: re.Match[str]) -> str:
        fields.append(Field(match[1], match[2] or ""))
        return f"{OPEN}{len(fields) - 1}{CLOSE}"

    return FIELD.sub(note, text)


def fields_in(text: str) -> Iterator[tuple[int, Field]]:
    """Every merge field of a text, known or not, with its line (from 1)."""
    for match in FIELD.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, Field(match[1], match[2] or "")


def words_of_progress(done: int, total: int, language: str) -> str:
    """What `progress_words` says in a letter of this language."""
    with force_locale(language.replace("-", "_")):
        return str(ngettext("%(done)d of %(num)d lesson", "%(done)d of %(num)d lessons", total, done=done))


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """A line with its merge fields filled in, for pages that show it; mails are filled in by `message.py`."""
    return FIELD.sub(lambda match: values.get(match[1]) or match[2] or "", text)
