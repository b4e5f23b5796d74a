"""The outbox: what is to leave, who has claimed it, and how each attempt ended.

    pending → leased → submitting → accepted → delivered | bounced | complained
    pending → skipped(reason) | cancelled | expired
    leased → pending                     the lease was lost, nothing was sent
    submitting → uncertain → accepted | pending | abandoned
    any attempt → pending (transient) | failed (permanent or exhausted)

Exactly one row per `dedupe_key`; at most one message per process in doubt, because the commit that records one answer
also moves the next row to `submitting`.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from flask import current_app

from courseapp.columns import random_public_id
from courseapp.contacts.consent import is_consented
from courseapp.contacts.models import Contact, Purpose
from courseapp.contacts.suppression import is_suppressed
from courseapp.contacts.windows import EVERY_DAY, Window, as_columns
from courseapp.extensions import db, insert_later, wake
from courseapp.held import HeldRow
from courseapp.journal.events import has_happened
from courseapp.journal.models import Event
from courseapp.mailing.models import Letter, Message, State, Stream
from courseapp.mailing.streams import ASKED_FOR, PRIORITY, stream_facts

LEASE = timedelta(minutes=4)  # longer than the door's patience added up
PAUSED_FOR = timedelta(minutes=5)
PAUSED = "paused"  # the reason of what waits for its stream to run again
OVERDUE = "overdue"  # the reason of what came due between a backup and its restore: whether it was sent, somebody has to say
VOID_IF_SAME = ("course_id", "tier_id")  # of a mail that has such a field, events make pointless only what is about the same
VOID_IF_LATER = "after_event"  # of a mail that has this field, only events with a higher number do
MOST_ATTEMPTS = 8
BACK_OFF = timedelta(minutes=1)
BACK_OFF_MOST = timedelta(hours=4)
Claimed = list[tuple[int, int]]
"""Ids and lease epochs of claimed messages."""


def _fixed(word: str) -> sa.ColumnClause[str]:
    """A word of ours as part of a statement: a parameter would be put together and sent anew for every mail."""
    return sa.literal_column(f"'{word}'", sa.String)


def _verdict() -> sa.CTE:
    """Why a message may not go at this moment, or NULL: everything that can change while it waits, asked once."""
    now: sa.BindParameter[datetime] = sa.bindparam("b_now", type_=Message.due_at.type)
    is_asked_for = Stream.key.in_([_fixed(key) for key in ASKED_FOR])
    own = {name: Message.fields[name].as_integer() for name in (*VOID_IF_SAME, VOID_IF_LATER)}
    is_about_it = [sa.or_(own[name].is_(None), own[name] == Event.data[name].as_integer()) for name in VOID_IF_SAME]
    is_later = sa.or_(own[VOID_IF_LATER].is_(None), Event.id > own[VOID_IF_LATER])
    happened = has_happened(Message.void_if_type, Message.void_if_subject, *is_about_it, is_later)
    is_void = sa.and_(Message.void_if_type.is_not(None), happened)
    why = sa.case(
        (sa.or_(Contact.erased_at.is_not(None), Contact.address.is_(None)), _fixed("erased")),
        (Message.expires_at <= now, _fixed("expired")),
        (Stream.paused_at.is_not(None), _fixed(PAUSED)),
        (is_suppressed(Contact.address_mac, is_asked_for), _fixed("suppressed")),
        (sa.and_(Contact.confirmed_at.is_(None), Stream.reaches_unconfirmed.is_(False)), _fixed("unconfirmed")),
        (
            sa.and_(sa.cast(Stream.purpose, sa.String) != _fixed(Purpose.SERVICE), sa.not_(is_consented(Contact.id, Stream.purpose))),
            _fixed("unsubscribed"),
        ),
        (is_void, _fixed("pointless")),
        else_=sa.null(),
    )
    tables = (Message.id == sa.bindparam("b_id"), Stream.id == Message.stream_id, Contact.id == Message.contact_id)
    verdict = sa.select(Message.id, why.label("why")).where(*tables).cte("verdict")
    return verdict.prefix_with("MATERIALIZED")  # else all of it is asked anew wherever the statement names it, seven times


def _submission() -> sa.UpdateBase:
    """The statement behind `begin_submitting`."""
    verdict = _verdict()
    why = verdict.c.why
    own = (Message.id == sa.bindparam("b_id"), Message.id == verdict.c.id)  # both: else PostgreSQL looks through all that is leased
    # not as `state = 'leased'`: then PostgreSQL goes by the index of leases, through what is leased and all that lately was
    is_leased = sa.cast(Message.state, sa.String).concat("") == _fixed(State.LEASED)
    held = (*own, Message.lease_epoch == sa.bindparam("b_epoch"), is_leased)
    now = sa.bindparam("b_now", type_=Message.due_at.type)
    is_paused = why == _fixed(PAUSED)
    changes = {
        "state": sa.case(
            (why.is_(None), _fixed(State.SUBMITTING)),
            (why == _fixed("expired"), _fixed(State.EXPIRED)),
            (is_paused, _fixed(State.PENDING)),
            else_=_fixed(State.SKIPPED),
        ),
        "reason": why,
        "due_at": sa.case((is_paused, sa.bindparam("b_later", type_=Message.due_at.type)), else_=Message.due_at),
        "attempts": sa.case((is_paused, Message.attempts - 1), else_=Message.attempts),
        "settled_at": sa.case((sa.or_(why.is_(None), is_paused), sa.null()), else_=now),
        "leased_until": sa.bindparam("b_until", type_=Message.due_at.type),
    }
    return sa.update(Message).where(*held).values(**changes).returning(Message.state).execution_options(synchronize_session=False)


# Built once, for they are asked for every mail.
_begin_submitting = _submission()
_sendable = (
    sa.select(
        Message.id,
        Message.public_id,
        Message.message_id,
        Message.template,
        Message.letter_id,
        Message.fields,
        Stream.key.label("stream"),
        Stream.purpose,
        Stream.paused_at.is_not(None).label("is_paused"),
        Contact.id.label("contact_id"),
        Contact.public_id.label("contact_public_id"),
        *(Contact.address, Contact.address_mac, Contact.first_name, Contact.language, Contact.zone),
        *(Message.window_start, Message.window_end, Message.weekdays),
        Contact.mail_paused_until.label("paused_until"),
        Contact.marketing_days,
    )
    .join(Stream, Stream.id == Message.stream_id)
    .join(Contact, Contact.id == Message.contact_id)
    .where(Message.id.in_(sa.bindparam("b_ids", expanding=True)))
)


def _claiming(service_only: bool) -> Any:
    """The statement behind `claim`."""
    moment = Message.due_at.type
    due = sa.select(Message.id).where(Message.state == State.PENDING, Message.due_at <= sa.bindparam("b_now", type_=moment))
    if service_only:
        due = due.where(Message.priority == PRIORITY[Purpose.SERVICE])
    ordered = due.order_by(Message.priority, Message.due_at, Message.id).limit(sa.bindparam("b_limit", type_=sa.Integer))
    chosen = ordered.with_for_update(skip_locked=True).cte("chosen")
    leased = {"state": State.LEASED, "lease_epoch": Message.lease_epoch + 1, "attempts": Message.attempts + 1}
    statement = sa.update(Message).where(Message.id == chosen.c.id)
    statement = statement.values(**leased, leased_until=sa.bindparam("b_until", type_=moment))
    return statement.returning(Message.id, Message.lease_epoch, Message.priority, Message.due_at)


_claim_all, _claim_service = _claiming(False), _claiming(True)
_fields = Message.fields.type
_accepted = (
    sa.update(Message)
    .where(Message.id == sa.bindparam("b_done_id"), Message.lease_epoch == sa.bindparam("b_done_epoch"))
    .values(
        state=_fixed(State.ACCEPTED),
        settled_at=sa.bindparam("b_done_at", type_=Message.due_at.type),
        leased_until=sa.null(),
        reason=sa.null(),
        # what an erasure emptied while the mail was on its way stays empty
        fields=sa.case(
            (sa.cast(Message.fields, sa.Text) == _fixed("{}"), Message.fields), else_=sa.bindparam("b_done_fields", type_=_fields)
        ),
    )
    .execution_options(synchronize_session=False)
)
_accepted_and_begin_submitting = _begin_submitting.add_cte(_accepted.cte("accepted"))


@dataclass(frozen=True)
class Sendable:
    """All that a message's mail is made of; the text is `template`'s or the letter's."""

    id: int
    public_id: str
    message_id: str
    template: str | None
    letter_id: int | None
    fields: dict[str, Any]
    stream: str
    purpose: Purpose
    is_paused: bool
    contact_id: int
    contact_public_id: str
    address: str
    address_mac: str | None
    first_name: str | None
    language: str
    zone: str
    window_start: time | None
    window_end: time | None
    weekdays: str | None
    paused_until: datetime | None
    marketing_days: int | None


@dataclass(frozen=True)
class VoidIf:
    """A journal event that makes a message pointless: where its fields name a course or a tier (`VOID_IF_SAME`), one about that;
    where they name an earlier event (`VOID_IF_LATER`), one that came after it."""

    type: str
    subject: str


def enqueue(
    *,
    dedupe_key: str,
    stream: str,
    contact_id: int | HeldRow,
    now: datetime,
    template: str | None = None,
    letter: Letter | None = None,
    fields: dict[str, Any] | None = None,
    due_at: datetime | None = None,
    expires_at: datetime | None = None,
    void_if: VoidIf | None = None,
    reason: str | None = None,
    window: Window | None = None,
    weekdays: str = EVERY_DAY,
) -> None:
    """Put a mail into the outbox, in the caller's transaction; nothing, where its `dedupe_key` is there already.

    Args:
        template: a mail body of ours, as `<room>/<name>`; or `letter`, a published text. Exactly one of them.
        fields: merge fields, strings; one named `secret_…` is wiped once the mail was accepted.
        reason: why it waits, where that is known beforehand.
        window: at which hours of their own day it may come, however late it leaves, and on which `weekdays`; None where at any.
    """
    public_id = random_public_id()
    stream_id, purpose = stream_facts(stream)
    insert_later(
        Message,
        once=("dedupe_key",),
        public_id=public_id,
        dedupe_key=dedupe_key,
        stream_id=stream_id,
        contact_id=contact_id,
        template=template,
        letter_id=letter.id if letter else None,
        fields=fields or {},
        message_id=f"<{public_id}.{secrets.token_hex(4)}@{current_app.config['MAIL_DOMAIN']}>",
        priority=PRIORITY[purpose],
        state=State.PENDING,
        reason=reason,
        due_at=due_at or now,
        expires_at=expires_at,
        void_if_type=void_if.type if void_if else None,
        void_if_subject=void_if.subject if void_if else None,
        **as_columns(window, weekdays),
        lease_epoch=0,
        attempts=0,
        created_at=now,
    )
    if (due_at or now) <= now:
        wake("outbox.service" if purpose is Purpose.SERVICE else "outbox")


def claim(now: datetime, limit: int, service_only: bool = False) -> list[tuple[int, int]]:
    """Lease due messages to the caller, by priority and due time: their ids and epochs. The caller commits.

    The locking CTE keeps to its LIMIT on PostgreSQL (inside IN (…) it may lock more rows); SQLite serialises writers. How fast
    mail may leave is settled around this (`pacing.py`), never in it.
    """
    facts = {"b_now": now, "b_limit": limit, "b_until": now + LEASE}
    db.session.flush()
    found = db.session.connection().execute(_claim_service if service_only else _claim_all, facts)
    return [(row.id, row.lease_epoch) for row in sorted(found, key=lambda row: (row.priority, row.due_at, row.id))]


@dataclass(frozen=True)
class Accepted:
    """A mail the server took: 250 after the dot. What filled it in is cut to `fields_kept`, without its secrets."""

    message_id: int
    epoch: int
    at: datetime
    fields_kept: dict[str, Any]

    def _facts(self) -> dict[str, Any]:
        return {"b_done_id": self.message_id, "b_done_epoch": self.epoch, "b_done_at": self.at, "b_done_fields": self.fields_kept}


def begin_submitting(message_id: int, epoch: int, now: datetime, accepted: Accepted | None = None) -> bool:
    """Move a leased message to `submitting` if, at this moment, it may still go; the caller commits before sending.

    One statement asks everything that can change while a message waits: suppression, consent, a paused stream, expiry,
    an event that makes it pointless, erasure. What may not go is marked with its reason; False. PostgreSQL notes the mail
    `accepted` before it in the same statement.
    """
    facts = {"b_id": message_id, "b_epoch": epoch, "b_now": now, "b_later": now + PAUSED_FOR, "b_until": now + LEASE}
    db.session.flush()
    connection = db.session.connection()
    if accepted is None or connection.dialect.name != "postgresql":
        note_accepted(accepted)
        return connection.scalar(_begin_submitting, facts) is State.SUBMITTING
    facts |= {**accepted._facts(), "b_done_fields": json.dumps(accepted.fields_kept)}
    return _asked_of_driver(connection, facts) == State.SUBMITTING


def _asked_of_driver(connection: sa.Connection, facts: dict[str, Any]) -> str | None:
    text, fixed = _for_driver(connection.dialect)
    driver: Any = connection.connection.driver_connection
    try:
        row = driver.execute(text, fixed | facts).fetchone()
    except connection.dialect.loaded_dbapi.Error as error:  # as it would have come by the usual way
        raise sa.exc.OperationalError("begin_submitting", None, error) from error
    return row and str(row[0])


@lru_cache
def _for_driver(dialect: sa.Dialect) -> tuple[str, dict[str, Any]]:
    """The statement of every mail as the driver takes it, and what is always the same: SQLAlchemy's part costs more than the rest."""
    compiled = _accepted_and_begin_submitting.compile(dialect=dialect)
    always = ((name, value) for name, value in compiled.params.items() if not name.startswith("b_"))
    return str(compiled), {name: str(value) if isinstance(value, str) else value for name, value in always}  # no enums


def sendables(message_ids: Sequence[int]) -> dict[int, Sendable]:
    """What the mails of messages are made of, whether they may go or not, by id; one query for a whole batch."""
    db.session.flush()
    rows = db.session.connection().execute(_sendable, {"b_ids": list(message_ids)})
    return {row.id: Sendable(**row._mapping) for row in rows}


def note_accepted(accepted: Accepted | None) -> None:
    """Note what the server took, if it took something."""
    if accepted is not None:
        db.session.connection().execute(_accepted, accepted._facts())


def fields_to_keep(fields: dict[str, Any]) -> dict[str, Any]:
    """A message's fields without those that let someone in."""
    return {name: value for name, value in fields.items() if not name.startswith("secret_")}


def note_transient(message_id: int, epoch: int, now: datetime, why: str, spend_attempt: bool = True) -> None:
    """Not now: back to `pending` with full jitter (AWS Architecture Blog, 2015), or `failed` once attempts are spent.

    Whoever put the mail off to a later time while it was leaving, as pausing its sequence does, has their time and their reason.
    """
    attempts = db.session.scalar(sa.select(Message.attempts).where(Message.id == message_id)) or 1
    if spend_attempt and attempts >= MOST_ATTEMPTS:
        _settle(message_id, epoch, State.FAILED, now, reason=f"exhausted: {why}"[:200])
        return
    ceiling = min(BACK_OFF_MOST, BACK_OFF * 2 ** (attempts - 1))
    wait = timedelta(seconds=1 + secrets.randbelow(int(ceiling.total_seconds())))
    was_put_off = Message.due_at > now + wait
    changes = {
        "state": State.PENDING,
        "due_at": sa.case((was_put_off, Message.due_at), else_=now + wait),
        "reason": sa.case((was_put_off, Message.reason), else_=why[:200]),
        "attempts": attempts if spend_attempt else attempts - 1,
    }
    _write(message_id, epoch, changes)


def note_failed(message_id: int, epoch: int, now: datetime, why: str) -> None:
    """The server will never take it."""
    _settle(message_id, epoch, State.FAILED, now, reason=why[:200])


def note_bounced(message_id: int, epoch: int, now: datetime, why: str) -> None:
    """The address takes no mail; the caller suppresses it."""
    _settle(message_id, epoch, State.BOUNCED, now, reason=why[:200])


def note_skipped(message_id: int, epoch: int, now: datetime, why: str) -> None:
    """It is not to be sent; nobody has tried."""
    _settle(message_id, epoch, State.SKIPPED, now, reason=why)


def note_uncertain(message_id: int, epoch: int, now: datetime, why: str) -> None:
    """The line broke after the dot: it may or may not have been sent (RFC 1047)."""
    _settle(message_id, epoch, State.UNCERTAIN, now, reason=why[:200])


def _settle(message_id: int, epoch: int, state: State, now: datetime, **changes: Any) -> None:
    _write(message_id, epoch, {"state": state, "settled_at": now, "leased_until": None, **changes})


def _write(message_id: int, epoch: int, changes: dict[str, Any]) -> None:
    db.session.execute(
        sa.update(Message)
        .where(Message.id == message_id, Message.lease_epoch == epoch)
        .values(**changes)
        .execution_options(synchronize_session=False)
    )
