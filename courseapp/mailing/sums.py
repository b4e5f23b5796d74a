"""Sums over mails of one kind: how many stand where and why, and when they left. They are about mails and are exact."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from courseapp.extensions import db
from courseapp.mailing.models import Message, State
from courseapp.mailing.refusals import KIND_WORDS, Kind, kind_of

HAVE_LEFT = (State.ACCEPTED, State.DELIVERED, State.BOUNCED, State.COMPLAINED)
ON_THEIR_WAY = (State.PENDING, State.LEASED, State.SUBMITTING)
UNSENT = (State.SKIPPED, State.CANCELLED, State.EXPIRED, State.FAILED, State.ABANDONED, State.UNCERTAIN)
STATE_WORDS = {
    State.SKIPPED: _l("kept back"),
    State.CANCELLED: _l("cancelled"),
    State.EXPIRED: _l("came too late"),
    State.FAILED: _l("could not be delivered"),
    State.ABANDONED: _l("given up"),
    State.UNCERTAIN: _l("in doubt"),
}
REASON_WORDS = {
    "unsubscribed": _l("unsubscribed meanwhile"),
    "suppressed": _l("the address takes no mail"),
    "erased": _l("erased meanwhile"),
    "unconfirmed": _l("never confirmed the address"),
    "expired": _l("came too late"),
    "pointless": _l("had become pointless"),
    "cancelled": _l("you cancelled it"),
}
OTHER_REASON = _l("for another reason")
Hours = list[tuple[datetime, int]]
LONGEST_HOURS = 72
"""Beyond so many hours a row of them is told by days."""


@dataclass(frozen=True)
class Sums:
    """Mails by state and, where they did not leave, by why in words."""

    states: dict[State, int]
    unsent: list[tuple[LazyString, LazyString, int]]

    @property
    def made(self) -> int:
        """How many mails there are."""
        return sum(self.states.values())

    def count(self, *states: State) -> int:
        """How many stand in these states."""
        return sum(self.states.get(state, 0) for state in states)

    @property
    def left(self) -> int:
        """How many have left."""
        return self.count(*HAVE_LEFT)

    @property
    def under_way(self) -> int:
        """How many are yet to leave, or leaving."""
        return self.count(*ON_THEIR_WAY)


def of_stream(stream_id: int) -> sa.ColumnElement[bool]:
    """The mails of a stream."""
    return Message.stream_id == stream_id


def of_steps(letter_ids: Sequence[int]) -> sa.ColumnElement[bool]:
    """The mails of steps of sequences: each step has a letter of its own, which is tried out on staff as well."""
    return sa.and_(Message.letter_id.in_(letter_ids), Message.dedupe_key.like("sequence:%"))


def sums_of(which: sa.ColumnElement[bool]) -> Sums:
    """How these mails stand."""
    return _added_up((state, reason, count) for state, reason, _letter_id, count in _counted(which, sa.null()))


def sums_of_steps(letter_ids: Sequence[int]) -> dict[int, Sums]:
    """How the mails of steps stand, by the letter of each."""
    rows = _counted(of_steps(letter_ids), Message.letter_id)
    return {own: _added_up((state, reason, count) for state, reason, letter_id, count in rows if letter_id == own) for own in letter_ids}


def _counted(which: sa.ColumnElement[bool], by: sa.ColumnElement[Any]) -> Sequence[sa.Row[Any]]:
    why = sa.case((Message.state.in_(UNSENT), Message.reason), else_=None)  # of what left, reasons are no matter
    counted = sa.select(Message.state, why.label("why"), by.label("by"), sa.func.count()).where(which)
    return db.session.execute(counted.group_by(sa.text("1, 2, 3"))).all()


def _added_up(rows: Iterable[tuple[State, str | None, int]]) -> Sums:
    found = Counter[tuple[State, str | None]]()
    for state, reason, count in rows:
        found[state, reason] += count
    states = Counter[State]()
    for (state, _reason), count in found.items():
        states[state] += count
    return Sums(dict(states), unsent_of(found))


def unsent_of(states: Mapping[tuple[State, str | None], int]) -> list[tuple[LazyString, LazyString, int]]:
    """What did not leave, in words: what became of it, why, and how many mails; the most frequent first."""
    found = Counter[tuple[State, str]]()
    for (state, reason), count in states.items():
        if state in UNSENT:
            found[state, _class_of(state, reason or "")] += count
    told = sorted(found.items(), key=lambda row: (-row[1], row[0]))
    return [(STATE_WORDS[state], _words_of(reason), count) for (state, reason), count in told]


def _class_of(state: State, reason: str) -> str:
    """Why, without what a server said word for word: that may hold an address."""
    return kind_of(reason).value if state is State.FAILED else reason if reason in REASON_WORDS else ""


def _words_of(reason: str) -> LazyString:
    return KIND_WORDS[Kind(reason)] if reason in list(Kind) else REASON_WORDS.get(reason, OTHER_REASON)


def hours_of(which: sa.ColumnElement[bool]) -> Hours:
    """How many of these mails left in each hour, from the first to the last, hours without any among them."""
    hour = _hour_of(Message.settled_at)
    left = sa.select(hour, sa.func.count()).where(which, Message.state.in_(HAVE_LEFT), Message.settled_at.is_not(None)).group_by(hour)
    counts = {int(number): count for number, count in db.session.execute(left)}
    if not counts:
        return []
    return [(datetime.fromtimestamp(3600 * number, UTC), counts.get(number, 0)) for number in range(min(counts), max(counts) + 1)]


def by_days(hours: Hours) -> Hours:
    """Hours added up to days, as midnights by the clock of whose zone the hours are."""
    days: Counter[datetime] = Counter()
    for moment, count in hours:
        days[moment.replace(hour=0, minute=0)] += count
    first, last = min(days), max(days)
    return [(first + timedelta(days=number), days[first + timedelta(days=number)]) for number in range((last - first).days + 1)]


def _hour_of(moment: sa.SQLColumnExpression[datetime | None]) -> sa.ColumnElement[int]:
    """SQL: hours since 1970, the same on both databases."""
    seconds: sa.ColumnElement[int]
    if db.engine.dialect.name == "sqlite":
        seconds = sa.cast(sa.func.strftime("%s", moment), sa.BigInteger)
    else:
        seconds = sa.cast(sa.func.floor(sa.extract("epoch", moment)), sa.BigInteger)
    return seconds // 3600
