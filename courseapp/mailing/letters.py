"""Letters: published texts. A letter never changes once it is published; what its references lead to is kept with it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from flask import current_app

from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing.models import Letter
from courseapp.mailing.text import Target, Text

if TYPE_CHECKING:  # what reads letters is large, and a web process reads none until somebody looks at one
    from courseapp.mailing.problems import Problem

LETTERS_KEPT = 200
WORDS = ("language", "subject", "preheader", "body")
_facts_of = sa.select(Letter.public_id, Letter.purpose, *(getattr(Letter, name) for name in WORDS), Letter.targets, Letter.translations)


class Unfit(ValueError):
    """A letter that cannot be published; `problems` says why."""

    def __init__(self, problems: "list[Problem]") -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class _Kept(NamedTuple):
    """A letter as it is kept in memory."""

    public_id: str
    text: Text


def publish_letter(text: Text, now: datetime) -> Letter:
    """Keep an immutable text; raises Unfit, a ValueError that says what is wrong and how to mend it."""
    from courseapp.mailing.problems import hindering, problems_of_letter  # as above

    if problems := hindering(problems_of_letter(text)):
        raise Unfit(problems)
    translations = [_facts(other) for other in text.others]
    letter = Letter(**_facts(text), purpose=text.purpose, translations=translations, created_at=now)
    db.session.add(letter)
    db.session.flush()
    return letter


def publish_again(letter_id: int, now: datetime) -> Letter:
    """The same letter under a number of its own, so that what comes of it is counted apart. What it leads to stays as it was."""
    found = db.session.get_one(Letter, letter_id)
    names = (*WORDS, "purpose", "targets", "translations")
    letter = Letter(**{name: getattr(found, name) for name in names}, created_at=now)
    db.session.add(letter)
    db.session.flush()
    return letter


def kept_letter(letter_id: int) -> Text:
    """What a letter says, read once in each process: a letter never changes."""
    return _kept(letter_id).text


def public_id_of(letter_id: int) -> str:
    """A letter's id in addresses, read together with what it says."""
    return _kept(letter_id).public_id


def _kept(letter_id: int) -> _Kept:
    memory: dict[int, _Kept] = current_app.extensions.setdefault("letters", {})
    if letter_id not in memory:
        if len(memory) >= LETTERS_KEPT:
            memory.clear()
        facts = dict(db.session.execute(_facts_of.where(Letter.id == letter_id)).one()._mapping)
        public_id, purpose, translations = (facts.pop(name) for name in ("public_id", "purpose", "translations"))
        others = tuple(_text(other, purpose) for other in translations)
        memory[letter_id] = _Kept(public_id, replace(_text(facts, purpose), others=others))
    return memory[letter_id]


def letter_saying(text: Text, besides: sa.Select[int]) -> Letter | None:
    """The newest published letter that says just this, its references and other languages too, and whose id is none of some; or None."""
    columns = {name: getattr(text, name) for name in (*WORDS, "purpose")}
    query = sa.select(Letter).filter_by(**columns).where(Letter.id.not_in(besides))
    found = db.session.scalar(query.order_by(Letter.id.desc()).limit(1))
    return found if found is not None and kept_letter(found.id) == text else None


def letter_of(public_id: str) -> Letter | None:
    """A published letter by its id in addresses, or None."""
    return db.session.scalar(sa.select(Letter).where(Letter.public_id == public_id))


def letters_published(before_id: int | None, limit: int) -> Sequence[Letter]:
    """The newest letters older than `before_id`."""
    query = sa.select(Letter).order_by(Letter.id.desc()).limit(limit)
    return db.session.scalars(query if before_id is None else query.where(Letter.id < before_id)).all()


def _facts(text: Text) -> dict[str, Any]:
    """What is kept of a text in one language."""
    return {name: getattr(text, name) for name in WORDS} | {"targets": {reference: asdict(target) for reference, target in text.targets}}


def _text(facts: Mapping[str, Any], purpose: Purpose) -> Text:
    """What `_facts` kept."""
    targets = tuple((reference, Target(**found)) for reference, found in sorted(facts["targets"].items()))
    return Text(**{name: facts[name] for name in WORDS}, purpose=purpose, targets=targets)
