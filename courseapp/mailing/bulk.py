"""Mail to many: rows of the outbox by the thousand, in few statements; and what is done with all mail of one stream at once."""

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask import current_app

from courseapp.columns import random_public_id, random_public_ids
from courseapp.contacts.models import Purpose
from courseapp.contacts.windows import Window, as_columns
from courseapp.extensions import db, insert_into, wake
from courseapp.mailing.models import HAVE_LEFT, UNDER_WAY, Message, State, Stream
from courseapp.mailing.streams import PRIORITY

CANCELLED = "cancelled"
"""Why a stream is paused of which nothing more is to leave, and why its mails do not."""
SLICE = 10_000
"""How many mails are changed at once, where there may be a million of them."""


def new_stream(key: str, purpose: Purpose, *, reaches_unconfirmed: bool = False) -> Stream:
    """A stream of its own, for mail that is to be paused and counted as one."""
    stream = Stream(key=key, purpose=purpose, reaches_unconfirmed=reaches_unconfirmed)
    db.session.add(stream)
    db.session.flush()
    return stream


def enqueue_many(
    stream: Stream,
    letter_id: int,
    prefix: str,
    people: sa.Select[Any],
    count: int,
    now: datetime,
    window: Window | None = None,
    *,
    skipped: str | None = None,
) -> None:
    """Put the same letter to many into the outbox, in the caller's transaction. Whoever it is there for already makes it fail:
    looking for each cost a seventh of it, and a page whose mails are in the outbox is gone with the same commit.

    Args:
        prefix: of the `dedupe_key`; a contact's number follows it.
        people: finds contacts and when the mail to each is due, `count` of them at most. On PostgreSQL they stay in the database.
        window: at which hours of their own day it may come, however late it leaves; None where at any.
        skipped: why none of them leaves, where they are written down only to be counted.
    """
    common = {
        **as_columns(window),
        **({"state": State.SKIPPED, "reason": skipped, "settled_at": now} if skipped else {"state": State.PENDING}),
        "stream_id": stream.id,
        "letter_id": letter_id,
        "fields": {},
        "priority": PRIORITY[stream.purpose],
        "lease_epoch": 0,
        "attempts": 0,
        "created_at": now,
    }
    if db.engine.dialect.name == "postgresql":
        _insert_found(people.subquery(), count, prefix, common)
    else:
        rows = [{**common, **_own_of(f"{prefix}{contact_id}", contact_id, due_at)} for contact_id, due_at in db.session.execute(people)]
        db.session.execute(sa.insert(Message), rows)
    wake("outbox")


def enqueue_filled(
    stream: Stream, template: str, mails: Sequence[tuple[str, int, dict[str, Any]]], now: datetime, expires_at: datetime
) -> None:
    """Put a mail of ours to many into the outbox, each with its `dedupe_key`, contact and fields; behind other mail of any purpose."""
    common = {
        "stream_id": stream.id,
        "template": template,
        "priority": PRIORITY[Purpose.MARKETING],
        "state": State.PENDING,
        "expires_at": expires_at,
        "lease_epoch": 0,
        "attempts": 0,
        "created_at": now,
    }
    rows = [{**common, **_own_of(key, contact_id, now), "fields": fields} for key, contact_id, fields in mails]
    db.session.execute(insert_into(Message).on_conflict_do_nothing(index_elements=["dedupe_key"]), rows)
    wake("outbox")


def _own_of(key: str, contact_id: int, due_at: datetime) -> dict[str, Any]:
    """What is another for each mail."""
    public_id = random_public_id()
    message_id = f"<{public_id}.{secrets.token_hex(4)}@{current_app.config['MAIL_DOMAIN']}>"
    return {
        "public_id": public_id,
        "dedupe_key": key,
        "contact_id": contact_id,
        "message_id": message_id,
        "due_at": due_at,
    }


def _insert_found(found: sa.FromClause, count: int, prefix: str, common: dict[str, Any]) -> None:
    """One statement, with one text for what is drawn by lot alone: lists would be looked through for what is to be quoted, one by one."""
    tails = secrets.token_hex(4 * count)
    tokens = " ".join(f"{public_id}{tails[8 * n : 8 * n + 8]}" for n, public_id in enumerate(random_public_ids(count)))
    drawn = sa.func.string_to_table(sa.literal(tokens, sa.Text), " ")
    lots = drawn.table_valued(sa.column("token", sa.Text), with_ordinality="number").render_derived()
    numbered = sa.select(*found.c, sa.func.row_number().over().label("number")).subquery()
    table, contact_id, public_id = Message.__table__, numbered.c.contact_id, sa.func.left(lots.c.token, 16)
    message_id = sa.literal("<").concat(public_id).concat(".").concat(sa.func.right(lots.c.token, 8))
    values = {
        "public_id": public_id,
        "dedupe_key": sa.literal(prefix).concat(sa.cast(contact_id, sa.Text)),
        "contact_id": contact_id,
        "message_id": message_id.concat(f"@{current_app.config['MAIL_DOMAIN']}>"),
        "due_at": numbered.c.due_at,
        **{name: sa.literal(value, table.c[name].type) for name, value in common.items()},
    }
    chosen = sa.select(*(value.label(name) for name, value in values.items())).join_from(numbered, lots, lots.c.number == numbered.c.number)
    db.session.connection().execute(sa.insert(Message).from_select([*values], chosen))


def cancel_pending(stream_id: int, reason: str, now: datetime) -> int:
    """Cancel a slice of what of a stream has not begun to leave; how many. What a worker holds is given back to be cancelled next time."""
    own = (Message.stream_id == stream_id, Message.state == State.PENDING, UNDER_WAY)
    return change_slice(own, {"state": State.CANCELLED, "reason": reason, "settled_at": now}, SLICE)


def note_reason(stream_id: int, reason: str, made_at: datetime) -> None:
    """Say of what waits of a stream and was made at this moment why it waits."""
    own = sa.and_(Message.stream_id == stream_id, Message.state == State.PENDING, Message.created_at == made_at)
    _settle(own, {"reason": reason})


def change_slice(which: Sequence[sa.ColumnElement[bool]], changes: dict[str, object], most: int) -> int:
    """Change so many mails at most, for who waits for it must not wait long; how many. What somebody else holds is passed over."""
    chosen = sa.select(Message.id).where(*which).order_by(Message.due_at).limit(most).with_for_update(skip_locked=True).cte("chosen")
    statement = sa.update(Message).where(Message.id == chosen.c.id).values(**changes).returning(Message.id)
    # counted by what comes back: of a statement that begins with WITH Python's sqlite3 gives no number
    return len(db.session.execute(statement.execution_options(synchronize_session=False)).all())


def retry_failed(stream_id: int, now: datetime) -> int:
    """Let what of a stream could not be delivered try once more, from the beginning; how many. Nothing bounced is tried again."""
    own = sa.and_(Message.stream_id == stream_id, Message.state == State.FAILED)
    count = _settle(own, {"state": State.PENDING, "reason": None, "settled_at": None, "attempts": 0, "due_at": now})
    if count:
        wake("outbox")
    return count


def is_under_way(stream_id: int, but_for: Collection[str] = ()) -> bool:
    """Whether any mail of a stream is yet to leave, or leaving, but for those that wait for one of some reasons."""
    counts = sa.or_(Message.reason.is_(None), Message.reason.not_in(but_for)) if but_for else sa.true()
    return bool(db.session.scalar(sa.select(sa.exists().where(Message.stream_id == stream_id, UNDER_WAY, counts))))


def has_any(stream_id: int, letter_id: int) -> bool:
    """Whether there is any mail of a stream with this letter."""
    return bool(db.session.scalar(sa.select(sa.exists().where(Message.stream_id == stream_id, Message.letter_id == letter_id))))


def first_left(stream_id: int, letter_id: int) -> datetime | None:
    """When the first mail of a stream with this letter has left; None where none has."""
    own = (Message.stream_id == stream_id, Message.letter_id == letter_id, Message.state.in_(HAVE_LEFT))
    return db.session.scalar(sa.select(sa.func.min(Message.settled_at)).where(*own))


def states_of_stream(stream_id: int) -> dict[tuple[State, str | None], int]:
    """How many mails of a stream stand in each state, by reason."""
    query = sa.select(Message.state, Message.reason, sa.func.count()).where(Message.stream_id == stream_id)
    return {(state, reason): count for state, reason, count in db.session.execute(query.group_by(Message.state, Message.reason))}


def _settle(which: sa.ColumnElement[bool], values: dict[str, object]) -> int:
    done = db.session.execute(sa.update(Message).where(which).values(**values).execution_options(synchronize_session=False))
    return int(getattr(done, "rowcount", 0))
