"""Letters: published Markdown with allow-listed merge fields, never a template language.

`{{ first_name | default("there") }}` is all there is: a name, and what stands in its place where it is empty.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from flask import current_app

from courseapp.extensions import db
from courseapp.mailing.models import Letter

FIELD = re.compile(r"\{\{\s*([a-z_]+)\s*(?:\|\s*default\(\s*\"([^\"{}]*)\"\s*\)\s*)?\}\}")
LETTERS_KEPT = 200
ALLOWED = frozenset({"first_name", "continue_url", "progress_words", "preferences_url", "unsubscribe_url"})


@dataclass(frozen=True)
class Text:
    """What a letter says."""

    language: str
    subject: str
    preheader: str
    body: str


def kept_letter(letter_id: int) -> Text:
    """What a letter says, read once in each process: a letter never changes."""
    memory: dict[int, Text] = current_app.extensions.setdefault("letters", {})
    if letter_id not in memory:
        if len(memory) >= LETTERS_KEPT:
            memory.clear()
        row = db.session.execute(sa.select(Letter.language, Letter.subject, Letter.preheader, Letter.body).where(Letter.id == letter_id))
        memory[letter_id] = Text(*row.one())
    return memory[letter_id]


@dataclass(frozen=True)
class Field:
    """A merge field in a text: its name, and the words for when it is empty."""

    name: str
    default: str


def publish_letter(language: str, subject: str, preheader: str, body: str, now: datetime) -> Letter:
    """Keep an immutable text; raises ValueError naming what cannot be published."""
    if problems := problems_of(subject, preheader, body):
        raise ValueError("; ".join(problems))
    letter = Letter(language=language, subject=subject, preheader=preheader, body=body, created_at=now)
    db.session.add(letter)
    db.session.flush()
    return letter


def problems_of(subject: str, preheader: str, body: str) -> list[str]:
    """What keeps a text from being published, in words."""
    found = [f"the {place} is empty" for place, text in (("subject", subject), ("text", body)) if not text.strip()]
    if any(character in subject + preheader for character in "\r\n"):
        found.append("subject and preheader must stand on one line each")
    if any("\ue000" <= character <= "\uf8ff" for character in subject + preheader + body):
        found.append("private-use characters cannot be sent: mail programs show them as empty boxes")
    for text in (subject, preheader, body):
        found += [f"unknown field “{name}”; known are {', '.join(sorted(ALLOWED))}" for name in unknown_fields(text)]
        if "{{" in FIELD.sub("", text) or "{%" in text:
            found.append("a “{{” opens no field: write it as {{ name }}")
    return found


def unknown_fields(text: str) -> Iterable[str]:
    """Names of fields that are not allowed."""
    return [match.group(1) for match in FIELD.finditer(text) if match.group(1) not in ALLOWED]
