"""How fast mail may leave: token buckets for the sender and for domains of recipients, rows that survive every restart.

Tokens are taken per lease, in the transaction of the claim. Without a limit nothing here asks the database anything. Service
mail is counted and never held back, so others may have to wait a little longer for it.

A bucket holds the mails of one second, one at least, and is kept as one number, the moment at which all that was taken from it
is paid for (the generic cell rate algorithm of ITU-T I.371, which is a token bucket read backwards).

What the sender's bucket has no token for is not claimed. What a domain's bucket has none for goes back with a due time: a place
in its queue, if there is one within `AHEAD`; else it comes back after that and asks again, for what is dropped or less urgent
must not keep others waiting for hours.
"""

import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import floor

import sqlalchemy as sa

from courseapp.config import Settings
from courseapp.contacts.address import keyed_hash
from courseapp.extensions import db, insert_into
from courseapp.mailing import outbox, resting
from courseapp.mailing.capping import within_cap
from courseapp.mailing.hours import within_hours
from courseapp.mailing.leases import give_back, give_back_all
from courseapp.mailing.models import Bucket, Message, State
from courseapp.mailing.streams import is_urgent
from courseapp.setting_words import rate_of, rates_of

SENDER = "sender"
ANY = "*"
PACED = "paced"  # the reason of a mail that waits for the place it has in its domain's queue
NOT_PLACED = "paced, not placed yet"
AHEAD = timedelta(minutes=10)
PLACE_HELD = timedelta(minutes=1)  # how late a mail may come for its place: after an outage all of them are late
SPENT = timedelta(days=1)
GRAIN = 1e-6  # seconds; moments are floating-point numbers here


@dataclass(frozen=True)
class Limits:
    """Mails per second: of all, and by domain. None, or none: no limit."""

    sender: float | None = None
    domains: dict[str, float] = field(default_factory=dict)

    def of(self, domain: str) -> float | None:
        """What holds for a domain; `*` is each that is not named, by itself."""
        return self.domains.get(domain, self.domains.get(ANY))


@dataclass(frozen=True)
class Lot:
    """What a claim brought: leases, and what their mails are made of.

    `wait` is in how many seconds to claim again, None where nothing is due; `paused` are mails of paused streams that were due and have
    gone back.
    """

    claimed: outbox.Claimed
    found: dict[int, outbox.Sendable]
    wait: float | None = None
    paused: Sequence[int] = ()


def limits_of(settings: Settings) -> Limits:
    """The limits that are set."""
    return Limits(rate_of(settings.mail_rate) if settings.mail_rate else None, rates_of(settings.mail_domain_rates))


def claim(now: datetime, limit: int, service_only: bool, limits: Limits) -> Lot:
    """Lease due mail as `outbox.claim` does, as much of it as the limits allow. The caller commits."""
    paid_at, most, only_service = 0.0, limit, service_only
    if limits.sender is not None:
        paid_at = _locked(SENDER, now, limits.sender)
        tokens = _tokens(paid_at, now, limits.sender)
        most, only_service = (min(limit, tokens), service_only) if tokens and not service_only else (limit, True)
    claimed = outbox.claim(now, most, only_service)
    found = outbox.sendables([message_id for message_id, _epoch in claimed]) if claimed else {}
    leased, paused = len(claimed), [lease for lease in claimed if found[lease[0]].is_paused]
    if paused:
        give_back_all(paused, now + outbox.PAUSED_FOR, outbox.PAUSED)
        claimed = [lease for lease in claimed if lease not in paused]
    claimed = within_cap(within_hours(resting.let_rest(claimed, found, now), found, now), found, now)
    if limits.domains:
        claimed = _within_domains(claimed, found, now, limits)
    has_put_off = len(claimed) < leased
    if limits.sender is not None and claimed:
        paid_at += len(claimed) / limits.sender
        _pay(SENDER, paid_at)
    if claimed or has_put_off:
        return Lot(claimed, found, 0.0, [message_id for message_id, _epoch in paused])
    is_held = only_service and not service_only and is_due(now)
    return Lot([], {}, _seconds_to_token(paid_at, now, limits.sender) if is_held else None)


def is_due(now: datetime) -> bool:
    """Whether any mail is due."""
    return db.session.scalar(sa.select(Message.id).where(Message.state == State.PENDING, Message.due_at <= now).limit(1)) is not None


def forget_spent(now: datetime) -> None:
    """Delete buckets that have long been full: of a domain nothing is to be kept that is not needed."""
    full = sa.delete(Bucket).where(Bucket.paid_at < (now - SPENT).timestamp())
    db.session.execute(full.execution_options(synchronize_session=False))


def _within_domains(claimed: outbox.Claimed, found: dict[int, outbox.Sendable], now: datetime, limits: Limits) -> outbox.Claimed:
    """The leases that their domains' buckets have tokens for, in their order; the others go back."""
    queues: dict[str, outbox.Claimed] = defaultdict(list)
    placed = _placed([message_id for message_id, _epoch in claimed], now)
    for message_id, epoch in claimed:
        domain = found[message_id].address.rpartition("@")[2].lower() if found[message_id].address else ""
        if limits.of(domain) is not None and message_id not in placed:
            queues[domain].append((message_id, epoch))
    back: set[int] = set()
    for domain, queue in sorted(queues.items()):  # in one order, else two claims might wait for each other
        rate = limits.of(domain)
        assert rate is not None
        back |= _queue_up(f"domain:{keyed_hash('domain', domain)[:40]}", queue, found, now, rate)
    return [lease for lease in claimed if lease[0] not in back]


def _queue_up(key: str, queue: outbox.Claimed, found: dict[int, outbox.Sendable], now: datetime, rate: float) -> set[int]:
    """Give each of these mails to one domain its place; those whose turn is not now go back, and their ids are returned."""
    paid_at, moment = _locked(key, now, rate), now.timestamp()
    back = set()
    for message_id, epoch in queue:
        place = paid_at + 1 / rate
        if is_urgent(found[message_id].stream, found[message_id].purpose) or place <= moment + GRAIN:
            paid_at = place
        elif place <= moment + AHEAD.total_seconds():
            paid_at = place
            give_back(message_id, epoch, now + timedelta(seconds=place - moment), PACED)
            back.add(message_id)
        else:
            later = AHEAD * (1 + secrets.randbelow(1000) / 1000)
            give_back(message_id, epoch, now + later, NOT_PLACED)
            back.add(message_id)
    _pay(key, paid_at)
    return back


def _placed(message_ids: Sequence[int], now: datetime) -> set[int]:
    """Which of these mails had a place in their domain's queue, and come for it in time."""
    has_place = (Message.reason == PACED, Message.due_at > now - PLACE_HELD)
    return set(db.session.scalars(sa.select(Message.id).where(Message.id.in_(message_ids), *has_place)))


def _locked(key: str, now: datetime, rate: float) -> float:
    """When a bucket is paid for, no earlier than what makes it full; nobody else changes it before the caller's commit."""
    ask = sa.select(Bucket.paid_at).where(Bucket.key == key).with_for_update()
    found = db.session.scalar(ask)
    if found is None:
        db.session.execute(insert_into(Bucket).values(key=key, paid_at=0.0).on_conflict_do_nothing(index_elements=["key"]))
        found = db.session.scalar(ask) or 0.0
    return max(found, now.timestamp() - max(1.0, 1 / rate))


def _tokens(paid_at: float, now: datetime, rate: float) -> int:
    return max(0, floor((now.timestamp() - paid_at) * rate + GRAIN))


def _seconds_to_token(paid_at: float, now: datetime, rate: float | None) -> float:
    return max(0.0, paid_at + 1 / rate - now.timestamp()) if rate else 0.0


def _pay(key: str, paid_at: float) -> None:
    db.session.execute(sa.update(Bucket).where(Bucket.key == key).values(paid_at=paid_at).execution_options(synchronize_session=False))
