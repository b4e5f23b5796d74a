"""Who of staff did what, and when: read from the journal, newest first. What learners do is none of it, nor whom somebody looked up."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask_babel import format_date

from courseapp.accounts.models import User
from courseapp.authoring.models import Upload
from courseapp.billing.models import Plan, Tier
from courseapp.campaigns.contact_exports import words_of_export
from courseapp.campaigns.models import Broadcast, ContactExport, ContactImport, Segment
from courseapp.campaigns.models import Sequence as DripSequence
from courseapp.catalog.models import Course, Lesson
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.journal.models import NOT_OF_LEARNERS, Event
from courseapp.learning.models import Source
from courseapp.mailing.models import Letter, Message
from courseapp.mailing.streams import STREAM_NAMES
from courseapp.operations.audit_words import MATTERS, OF_A_ROLE, Matter, actor_words, words_of
from courseapp.operations.models import Question
from courseapp.operations.questions import KIND_WORDS
from courseapp.organisation.models import Invitation

MOST_EXPORTED = 10_000


@dataclass(frozen=True)
class Entry:
    """One thing that was done: who, when, what in words, and about what, by its name."""

    id: int
    at: datetime
    who: str
    what: str
    about: str


def entries_before(matters: Collection[Matter], by_user_id: int | None, before: int | None, limit: int) -> list[Entry]:
    """The newest acts, or those before one; only of these matters, and of one person where one is named."""
    query = acts_of(matters)
    if by_user_id is not None:
        query = query.where(_actor() == by_user_id)
    if before is not None:
        query = query.where(Event.id < before)
    return _told(db.session.scalars(query.order_by(Event.id.desc()).limit(limit)).all())


def acts_of(matters: Collection[Matter]) -> sa.Select[Event]:
    """Events of these matters."""
    types = [name for matter in matters for name in MATTERS[matter]]
    return sa.select(Event).where(NOT_OF_LEARNERS, Event.type.in_(types))


def _actor() -> sa.ColumnElement[int | None]:
    """SQL: the number of whoever did it; rooms call it by either name."""
    return sa.func.coalesce(Event.data["by"].as_integer(), Event.data["by_user_id"].as_integer())


def _told(events: Sequence[Event]) -> list[Entry]:
    actors = {event.id: event.facts.get("by", event.facts.get("by_user_id")) for event in events}
    addresses, names = addresses_of(number for number in actors.values() if number), _names_of(events)
    return [
        Entry(
            id=event.id,
            at=event.at,
            who=actor_words(event.type, addresses.get(actors[event.id]), actors[event.id] is not None),
            what=words_of(event.type, event.facts),
            about=": ".join(filter(None, (names.get(thing) for thing in _things_of(event)))),
        )
        for event in events
    ]


def addresses_of(user_ids: Iterable[int]) -> dict[Any, str]:
    """The address of each of these people who has one, by number."""
    query = sa.select(User.id, Contact.address).join(Contact, Contact.id == User.contact_id).where(User.id.in_(set(user_ids)))
    return {number: address for number, address in db.session.execute(query) if address is not None}


def user_named(public_id: str) -> User | None:
    """Somebody by their id in addresses."""
    return db.session.scalar(sa.select(User).where(User.public_id == public_id))


def _names_of(events: Sequence[Event]) -> dict[str, str]:
    """What things are called, by how the journal calls them; one query for each kind of thing."""
    asked: dict[str, set[str]] = {}
    for thing in {thing for event in events for thing in _things_of(event)}:
        kind, _colon, number = thing.partition(":")
        asked.setdefault(kind, set()).add(number)
    found: dict[str, str] = {}
    for kind, numbers in asked.items():
        if kind == "stream":
            found |= _streams(numbers)
        elif kind in NAMES:
            found |= {f"{kind}:{number}": name for number, name in NAMES[kind]({int(each) for each in numbers}).items() if name}
    return found


def _things_of(event: Event) -> list[str]:
    """What an event is about, as the journal calls things, the whole before its part. Whom of the learners is not told."""
    kind = event.subject.partition(":")[0]
    whole = [event.subject] if kind != "user" or event.type in OF_A_ROLE else []
    return whole + [f"{part}:{event.facts[f'{part}_id']}" for part in PARTS if f"{part}_id" in event.facts]


def _streams(keys: set[str]) -> dict[str, str]:
    """What kinds of mail are called: that of a broadcast by its title, any other as the page of mail calls it."""
    broadcasts = {int(key.removeprefix(BROADCAST)) for key in keys if key.startswith(BROADCAST)}
    titles = NAMES["broadcast"](broadcasts) if broadcasts else {}
    names = {f"{BROADCAST}{number}": title for number, title in titles.items()} | STREAM_NAMES
    return {f"stream:{key}": str(names.get(key, key)) for key in keys}


Names = Callable[[set[int]], dict[Any, str]]


def _by(model: Any, name: Any) -> Names:
    return lambda numbers: {row[0]: str(row[1]) for row in db.session.execute(sa.select(model.id, name).where(model.id.in_(numbers)))}


def _invited(numbers: set[int]) -> dict[Any, str]:
    query = sa.select(Invitation.id, Contact.address).join(Contact, Contact.id == Invitation.contact_id).where(Invitation.id.in_(numbers))
    return {number: address or "" for number, address in db.session.execute(query)}


def _uploads(numbers: set[int]) -> dict[Any, str]:
    rows = db.session.scalars(sa.select(Upload).where(Upload.id.in_(numbers)))
    return {row.id: ", ".join(row.files)[:120] for row in rows}


def _messages(numbers: set[int]) -> dict[Any, str]:
    """By the letter and not by whom it was for."""
    query = sa.select(Message.id, Letter.subject).join(Letter, Letter.id == Message.letter_id).where(Message.id.in_(numbers))
    return {row.id: row.subject for row in db.session.execute(query)}


def _questions(numbers: set[int]) -> dict[Any, str]:
    """By what kind and when, and not by who asked or what."""
    query = sa.select(Question.id, Question.kind, Question.asked_at).where(Question.id.in_(numbers))
    return {number: f"{KIND_WORDS[kind]}, {format_date(asked_at, 'medium')}" for number, kind, asked_at in db.session.execute(query)}


PARTS = ("lesson", "source", "tier")
BROADCAST = "broadcast-"  # and its number: the key of its stream


def _exports(numbers: set[int]) -> dict[Any, str]:
    rows = db.session.scalars(sa.select(ContactExport).where(ContactExport.id.in_(numbers)))
    return {row.id: words_of_export(row) for row in rows}


NAMES: dict[str, Names] = {
    "broadcast": _by(Broadcast, Broadcast.title),
    "sequence": _by(DripSequence, DripSequence.title),
    "segment": _by(Segment, Segment.name),
    "letter": _by(Letter, Letter.subject),
    "message": _messages,
    "course": _by(Course, Course.title),
    "lesson": _by(Lesson, Lesson.title),
    "source": _by(Source, Source.word),
    "upload": _uploads,
    "invitation": _invited,
    "question": _questions,
    "tier": _by(Tier, Tier.name),
    "plan": _by(Plan, Plan.key),
    "import": _by(ContactImport, ContactImport.name),
    "export": _exports,
    "user": addresses_of,
}
