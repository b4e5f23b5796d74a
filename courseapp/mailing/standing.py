"""How the outbox stands: for whoever watches it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.mailing.models import IN_TROUBLE, LEAVING, Message, State, Stream
from courseapp.mailing.refusals import Kind, kind_of

FAILURES_OF = timedelta(days=7)
FAILURES_READ = 2000
FEWEST = 5  # people of a domain, below which it is not named
GROUPS = {
    "waiting": (State.PENDING,),
    "leaving": LEAVING,
    "left": (State.ACCEPTED, State.DELIVERED),
    "in_doubt": (State.UNCERTAIN,),
    "back": (State.BOUNCED, State.COMPLAINED),
    "refused": (State.FAILED,),
    "unsent": (State.SKIPPED, State.CANCELLED, State.EXPIRED, State.ABANDONED),
}


@dataclass(frozen=True)
class StreamStanding:
    """How the mail of a stream stands: counts by the names of `GROUPS`, and since when the oldest due one waits."""

    stream: Stream
    counts: dict[str, int]
    oldest_due: datetime | None


@dataclass(frozen=True)
class Failures:
    """What was refused or came back lately, by class and by domain; `others`: of domains with few people. `is_all`: or only the newest."""

    kinds: list[tuple[Kind, int]]
    domains: list[tuple[str, int]]
    others: int
    is_all: bool


def standing_of_streams(now: datetime) -> list[StreamStanding]:
    """How every stream stands, in the order they were made. Counts all rows there are."""
    counts: dict[int, dict[str, int]] = {}
    group_of = {state: name for name, states in GROUPS.items() for state in states}
    for stream_id, state, count in db.session.execute(
        sa.select(Message.stream_id, Message.state, sa.func.count()).group_by(Message.stream_id, Message.state)
    ):
        found = counts.setdefault(stream_id, dict.fromkeys(GROUPS, 0))
        found[group_of[state]] += count
    is_due = (Message.state == State.PENDING, Message.due_at <= now)
    asked = sa.select(Message.stream_id, sa.func.min(Message.due_at)).where(*is_due).group_by(Message.stream_id)
    oldest: dict[int, datetime] = {row[0]: row[1] for row in db.session.execute(asked)}
    none = dict.fromkeys(GROUPS, 0)
    streams = db.session.scalars(sa.select(Stream).order_by(Stream.id)).all()
    return [StreamStanding(row, counts.get(row.id, none), oldest.get(row.id)) for row in streams]


def recent_failures(now: datetime) -> Failures:
    """The newest of what went wrong in the last days. Names no domain with fewer than five people, and nobody."""
    troubled = sa.literal_column(f"messages.{IN_TROUBLE}", sa.Boolean)
    query = sa.select(Message.state, Message.reason, Message.contact_id, Contact.address).join(Contact, Contact.id == Message.contact_id)
    query = query.where(troubled, Message.settled_at > now - FAILURES_OF).order_by(Message.settled_at.desc()).limit(FAILURES_READ)
    kinds, domains, people = Counter[Kind](), Counter[str](), dict[str, set[int]]()
    rows = db.session.execute(query).all()
    for state, reason, contact_id, address in rows:
        kinds[Kind.COMPLAINT if state is State.COMPLAINED else kind_of(reason or "")] += 1
        domain = (address or "").rpartition("@")[2].lower()
        domains[domain] += 1
        people.setdefault(domain, set()).add(contact_id)
    named = [(domain, count) for domain, count in domains.most_common() if domain and len(people[domain]) >= FEWEST]
    return Failures(kinds.most_common(), named[:10], len(rows) - sum(count for _domain, count in named[:10]), len(rows) < FAILURES_READ)


def states_of_outbox() -> dict[str, int]:
    """How many messages stand in each state."""
    rows = db.session.execute(sa.select(Message.state, sa.func.count()).group_by(Message.state))
    return {state.value: count for state, count in rows}


def oldest_due(now: datetime) -> datetime | None:
    """Since when the longest-waiting due message has waited; the watchdog's number."""
    return db.session.scalar(sa.select(sa.func.min(Message.due_at)).where(Message.state == State.PENDING, Message.due_at <= now))


def recent_messages(before_id: int | None, limit: int) -> Sequence[Message]:
    """The newest messages older than `before_id`, for the embedded outbox page."""
    query = sa.select(Message).options(joinedload(Message.contact), joinedload(Message.stream), joinedload(Message.letter))
    if before_id is not None:
        query = query.where(Message.id < before_id)
    return db.session.scalars(query.order_by(Message.id.desc()).limit(limit)).all()
