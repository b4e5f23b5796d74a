"""What follows from what came back: a message's state, a suppression, a consent withdrawn. Once, however often it is told.

A report may be here before the commit that notes its mail as sent: then it is kept, and tried again for a day.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from courseapp.contacts.address import address_mac
from courseapp.contacts.consent import set_consent
from courseapp.contacts.models import Contact, Purpose, SuppressionReason
from courseapp.contacts.suppression import suppress
from courseapp.extensions import db, insert_into
from courseapp.journal import events
from courseapp.mailing.models import ON_THEIR_WAY, Message, Return, ReturnKind, ReturnOutcome, ReturnSource, State, Stream
from courseapp.mailing.reports import Report
from courseapp.mailing.returning import Forged, message_returned, stop_asked

FIRST_REST = timedelta(seconds=20)
LONGEST_REST = timedelta(hours=1)
PATIENCE = timedelta(days=1)
OUR_MESSAGE_ID = re.compile(r"<([2-9a-z]{16})\.[0-9a-f]{8}@[0-9A-Za-z.-]{1,160}>")
CHANGES: dict[ReturnKind, tuple[State, tuple[State, ...]]] = {
    ReturnKind.BOUNCED: (State.BOUNCED, (State.ACCEPTED, State.DELIVERED, State.UNCERTAIN)),
    ReturnKind.SOFT: (State.BOUNCED, (State.ACCEPTED, State.DELIVERED, State.UNCERTAIN)),
    ReturnKind.DELIVERED: (State.DELIVERED, (State.ACCEPTED, State.UNCERTAIN)),
    ReturnKind.COMPLAINED: (State.COMPLAINED, (State.ACCEPTED, State.DELIVERED, State.UNCERTAIN, State.BOUNCED)),
    ReturnKind.DELAYED: (State.ACCEPTED, (State.ACCEPTED,)),
    ReturnKind.PASSED_ON: (State.ACCEPTED, (State.ACCEPTED,)),
}
"""What a message becomes, and from where; a delay is noted beside it."""
SUPPRESSES = {ReturnKind.BOUNCED: SuppressionReason.BOUNCED, ReturnKind.COMPLAINED: SuppressionReason.COMPLAINED}
NEWS = {ReturnKind.BOUNCED: "mail_bounced", ReturnKind.SOFT: "mail_bounced", ReturnKind.COMPLAINED: "mail_complained"}


@dataclass(frozen=True)
class Sent:
    """A message that something came back of, and whom it went to."""

    id: int
    state: State
    message_id: str
    settled_at: datetime | None
    stream: str
    purpose: Purpose
    contact_id: int
    address_mac: str | None
    confirmed_at: datetime | None
    erased_at: datetime | None


def key_of(source: ReturnSource, *facts: str | bytes) -> str:
    """What makes two reports the same: the provider's own id of an event, or every byte of a mail."""
    digest = hashlib.sha256(source.value.encode())
    for fact in facts:
        digest.update(b"\0" + (fact if isinstance(fact, bytes) else fact.encode("utf-8", "backslashreplace")))
    return digest.hexdigest()


def take(report: Report, source: ReturnSource, key: str, now: datetime) -> ReturnOutcome | None:
    """Keep a report and do what follows from it; the caller commits. None: it has to wait for its message."""
    row = {
        "key": key,
        "source": source,
        "kind": report.kind,
        "status": report.status,
        "address_mac": address_mac(report.recipient) if report.recipient and report.recipient.isprintable() else None,
        "tries": 0,
        "received_at": now,
        "due_at": now,
    }
    statement = insert_into(Return).values(row).on_conflict_do_nothing(index_elements=["key"]).returning(sa.column("id"))
    made = db.session.execute(statement).scalar()
    if made is None:
        return ReturnOutcome.REPEATED
    kept = db.session.get_one(Return, made)
    try:
        outcome = _begin(kept, report, now)
    except Forged:
        outcome = _end(kept, ReturnOutcome.FORGED, now)
    return outcome


def try_again(now: datetime, limit: int) -> int:
    """Look once more for the messages of reports that wait; how many had to be looked for. The caller commits."""
    waiting = sa.select(Return).where(Return.settled_at.is_(None), Return.due_at <= now).order_by(Return.due_at).limit(limit)
    rows: Sequence[Return] = db.session.scalars(waiting.with_for_update(skip_locked=True)).all()
    for row in rows:
        _settle(row, now)
    return len(rows)


def returns_by_kind(since: datetime) -> dict[str, int]:
    """How much of each kind came back since."""
    counted = sa.select(Return.kind, sa.func.count()).where(Return.received_at >= since).group_by(Return.kind)
    return {kind.value: count for kind, count in db.session.execute(counted)}


def _begin(row: Return, report: Report, now: datetime) -> ReturnOutcome | None:
    if report.kind is ReturnKind.STOP:
        return _end(row, _stop(report, now), now)
    if report.kind not in CHANGES:
        return _end(row, ReturnOutcome.IGNORED, now)
    row.public_id = message_returned(report.places)
    if row.public_id is None:
        ours = next((match for text in report.message_ids if (match := OUR_MESSAGE_ID.search(text[:400]))), None)
        if ours is None:
            return _end(row, ReturnOutcome.UNMATCHED, now)
        row.public_id, row.header_id = ours[1], ours[0]
    return _settle(row, now)


def _stop(report: Report, now: datetime) -> ReturnOutcome:
    """Withdraw the consent, as the one-click POST does (RFC 2369, 3.2)."""
    asked, source = stop_asked(report.places), "unsubscribe mail"
    if asked is None:
        asked, source = _purpose_returned(report.places), "unsubscribe"
    found = sa.select(Contact).where(Contact.public_id == asked[0], Contact.erased_at.is_(None)) if asked else None
    contact = db.session.scalar(found) if found is not None else None
    if asked is None or contact is None:
        return ReturnOutcome.UNMATCHED
    has_changed = set_consent(contact, asked[1], False, now, source)
    return ReturnOutcome.APPLIED if has_changed else ReturnOutcome.REPEATED


def _purpose_returned(places: tuple[str, ...]) -> tuple[str, Purpose] | None:
    """Whose mail of which purpose it was that a provider's own link to stop stood in; service mail cannot be stopped. Raises Forged."""
    facts = sa.select(Contact.public_id, Stream.purpose).join(Message, Message.contact_id == Contact.id)
    joined = facts.join(Stream, Stream.id == Message.stream_id).where(Stream.purpose != Purpose.SERVICE)
    found = db.session.execute(joined.where(Message.public_id == message_returned(places))).one_or_none()
    return (found.public_id, found.purpose) if found is not None else None


def _settle(row: Return, now: datetime) -> ReturnOutcome | None:
    sent = _sent(row.public_id)
    if sent is not None and row.header_id is not None and sent.message_id != row.header_id:
        return _end(row, ReturnOutcome.FORGED, now)
    if sent is not None and sent.state not in ON_THEIR_WAY:
        return _end(row, _apply(row, sent, now), now)
    if now - row.received_at >= PATIENCE:
        return _end(row, ReturnOutcome.UNMATCHED, now)
    row.due_at = now + min(LONGEST_REST, FIRST_REST * 2 ** min(row.tries, 10))
    row.tries += 1
    return None


def _sent(public_id: str | None) -> Sent | None:
    facts = sa.select(
        Message.id,
        Message.state,
        Message.message_id,
        Message.settled_at,
        Stream.key.label("stream"),
        Stream.purpose,
        Contact.id.label("contact_id"),
        Contact.address_mac,
        Contact.confirmed_at,
        Contact.erased_at,
    )
    joined = facts.join(Stream, Stream.id == Message.stream_id).join(Contact, Contact.id == Message.contact_id)
    found = db.session.execute(joined.where(Message.public_id == public_id)).one_or_none()
    return Sent(**found._mapping) if found else None


def _apply(row: Return, sent: Sent, now: datetime) -> ReturnOutcome:
    """Move the message, if it may still move, and whoever reads of it is told once; see that nothing more is sent where nothing may be."""
    if row.kind in SUPPRESSES and _is_still_theirs(row, sent):
        assert sent.address_mac is not None
        suppress(sent.address_mac, SUPPRESSES[row.kind], now)
    state, before = CHANGES[row.kind]
    reason = " ".join(word for word in (row.kind.value, row.status) if word)
    moved = (
        sa.update(Message)
        .where(Message.id == sent.id, Message.state.in_(before), sa.func.coalesce(Message.reason, "") != reason)
        .values(state=state, reason=None if state is State.DELIVERED else reason)
        .returning(Message.id)
        .execution_options(synchronize_session=False)
    )
    if db.session.execute(moved).scalar() is None:
        return ReturnOutcome.REPEATED
    if row.kind in NEWS and sent.erased_at is None:
        events.record(
            NEWS[row.kind],
            f"contact:{sent.contact_id}",
            now,
            message_id=sent.id,
            stream=sent.stream,
            purpose=sent.purpose.value,
            status=row.status,
            is_hard=row.kind is ReturnKind.BOUNCED,
        )
    return ReturnOutcome.APPLIED


def _is_still_theirs(row: Return, sent: Sent) -> bool:
    """Whether the contact has the address yet that the message went to: where it is not named, not if theirs is younger than the mail."""
    if sent.address_mac is None or row.address_mac == sent.address_mac:
        return sent.address_mac is not None
    return sent.confirmed_at is None or sent.settled_at is None or sent.confirmed_at <= sent.settled_at


def _end(row: Return, outcome: ReturnOutcome, now: datetime) -> ReturnOutcome:
    row.settled_at, row.outcome = now, outcome
    row.header_id = row.address_mac = None  # what it was found by is needed no more
    return outcome
