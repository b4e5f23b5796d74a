"""Recording what happened, and reading it later."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask import Flask, current_app

from courseapp.extensions import db, insert_later, wake
from courseapp.held import HeldRow
from courseapp.journal.models import NOT_OF_LEARNERS, Event, Receipt

Readers = dict[str, frozenset[str]]
"""Reader name → the event types it wants."""
OF_STAFF = ("by", "by_user_id", "role")
"""What an act says of who did it."""


def init_journal(app: Flask, readers: Readers) -> None:
    """Hand over who reads which types; `create_app` knows, the journal does not."""
    app.extensions["journal_readers"] = readers


def record(type: str, subject: str, now: datetime, given: HeldRow | None = None, **data: Any) -> None:
    """Append one event and a receipt for each reader that wants it, in the caller's transaction.

    Args:
        given: a row without which it did not happen (`insert_later`).
        type: a past participle in snake_case, such as `lesson_completed`.
        subject: whom or what it is about, as `kind:id`.
        data: JSON-ready facts; ids rather than words, and nothing about health.
    """
    event = insert_later(Event, given=given, type=type, subject=subject, data=data, at=now)
    for name, types in current_app.extensions["journal_readers"].items():
        if type in types:
            insert_later(Receipt, event_id=event, reader=name)
            wake(f"news.{name}")


def record_many(type: str, happened: Sequence[tuple[str, dict[str, Any]]], now: datetime) -> None:
    """Append many events of one type, (subject, data) each, with their receipts, as `record` does one."""
    readers = [name for name, types in current_app.extensions["journal_readers"].items() if type in types]
    if happened:
        rows = [{"type": type, "subject": subject, "data": data, "at": now} for subject, data in happened]
        ids = db.session.scalars(sa.insert(Event).returning(Event.id), rows).all()
        for name in readers:
            db.session.execute(sa.insert(Receipt), [{"event_id": event_id, "reader": name} for event_id in ids])
            wake(f"news.{name}")


def unread(reader: str, limit: int) -> Sequence[tuple[Receipt, Event]]:
    """The next receipts of `reader` with their events, locked until the caller commits; other readers' workers skip them."""
    rows = db.session.execute(
        sa.select(Receipt, Event)
        .join(Event, Event.id == Receipt.event_id)
        .where(Receipt.reader == reader, Receipt.read_at.is_(None))
        .order_by(Receipt.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=Receipt)
    )
    return [(receipt, event) for receipt, event in rows]


def history_of(subjects: Sequence[str], types: Collection[str]) -> Sequence[Event]:
    """What happened of some types about some subjects, newest first."""
    return db.session.scalars(sa.select(Event).where(Event.subject.in_(subjects), Event.type.in_(types)).order_by(Event.id.desc())).all()


def cut(subjects: Sequence[str]) -> None:
    """Cut the tie between events and a person: the fact stays countable, whom it was about is gone.

    Of what staff did with them stays who did it, and as what: that is about staff, and no erasure may cover it up.

    To be done whenever a person's row goes: the database may give its number to the next one, and so their past.
    Readers who have not been told of the events are told no more: without its facts an event is no news.
    """
    theirs = sa.select(Event.id).where(Event.subject.in_(subjects))
    db.session.execute(sa.delete(Receipt).where(Receipt.event_id.in_(theirs), Receipt.read_at.is_(None)))
    acts = sa.select(Event).where(Event.subject.in_(subjects), NOT_OF_LEARNERS)  # few; what learners do is many, and keeps nothing
    for act in db.session.scalars(acts):
        act.subject, act.data = "erased", {name: act.facts[name] for name in OF_STAFF if name in act.facts}
    db.session.flush()
    db.session.execute(sa.update(Event).where(Event.subject.in_(subjects)).values(subject="erased", data={}))


def has_happened(type: Any, subject: Any, *also: sa.ColumnElement[bool]) -> sa.Exists:
    """An EXISTS over the journal, for use inside other statements; arguments may be columns of any of them.

    `also` narrows down which of these events count; the index has found those of this type and subject before it is asked.

    Said expressly: of itself SQLAlchemy looks one statement out and no further, and would ask about every row of a table
    that stands two out instead of about this one.
    """
    return sa.select(Event.id).where(Event.subject == subject, Event.type == type, *also).correlate_except(Event).exists()
