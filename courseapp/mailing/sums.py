"""Sums over mails of one kind: how many stand where and why, and when they left. They are about mails and are exact."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from courseapp.extensions import db
from courseapp.mailing.capping import AT_THEIR_PACE, CAPPED, ON_ITS_WAY
from courseapp.mailing.models import HAVE_LEFT, ON_THEIR_WAY, UNSENT, Message, State
from courseapp.mailing.outbox import OVERDUE
from courseapp.mailing.pacing import NOT_PLACED, PACED
from courseapp.mailing.pausing import DROPPED
from courseapp.mailing.refusals import KIND_WORDS, Kind, kind_of
from courseapp.mailing.resting import RESTING

IS_STEP = Message.dedupe_key.like("sequence:%")  # a mail of a sequence, and no trial of the same letter
SEQUENCE_PAUSED = "its sequence is paused"  # reasons that campaigns give: mailing has no way to ask them for words
SEQUENCE_ENDED = "its sequence was put away"
CAME_BACK = "they came back"
HELD_OUT = "held out"
STATE_WORDS = {
    State.PENDING: _l("waiting"),
    State.LEASED: _l("waiting"),
    State.SUBMITTING: _l("leaving now"),
    State.ACCEPTED: _l("taken by the mail server"),
    State.DELIVERED: _l("delivered"),
    State.BOUNCED: _l("came back"),
    State.COMPLAINED: _l("reported as unwanted"),
    State.SKIPPED: _l("kept back"),
    State.CANCELLED: _l("cancelled"),
    State.EXPIRED: _l("came too late"),
    State.FAILED: _l("could not be delivered"),
    State.ABANDONED: _l("given up"),
    State.UNCERTAIN: _l("in doubt"),
}
REASON_WORDS = {
    "unsubscribed": _l("unsubscribed meanwhile"),
    "suppressed": _l("mail to the address came back, was reported, or was stopped"),
    "erased": _l("erased meanwhile"),
    "unconfirmed": _l("never confirmed the address"),
    "expired": _l("came too late"),
    RESTING: _l("asked for no mail for a while"),
    "pointless": _l("had become pointless"),
    "cancelled": _l("it was cancelled"),
    "paused": _l("this kind of mail is paused"),
    DROPPED: _l("it was dropped when this kind of mail was let go again"),
    OVERDUE: _l("it came due between a backup and its restore"),
    PACED: _l("it waits its turn"),
    NOT_PLACED: _l("it waits its turn"),
    CAPPED: _l("enough marketing for this week"),
    AT_THEIR_PACE: _l("they asked for fewer of these"),
    ON_ITS_WAY: _l("other marketing is on its way to them"),
    SEQUENCE_PAUSED: _l("its sequence is paused"),
    SEQUENCE_ENDED: _l("its sequence was put away"),
    CAME_BACK: _l("they came back before"),
    HELD_OUT: _l("held out by lot, to see what people do without it"),
}
OTHER_REASON = _l("for another reason")
Hours = list[tuple[datetime, int]]
Unsent = tuple[LazyString, LazyString, int]
LONGEST_HOURS = 72
"""Beyond so many hours a row of them is told by days."""


@dataclass(frozen=True)
class Sums:
    """Mails by state; where they did not leave, by class of why (`reasons`); and how many left in each hour since 1970."""

    states: dict[State, int]
    reasons: dict[tuple[State, str], int]
    by_hour: dict[int, int]

    @property
    def unsent(self) -> list[Unsent]:
        """What did not leave, in words: what became of it, why, and how many mails; the most frequent first."""
        return _in_words(self.reasons)

    @property
    def hours(self) -> Hours:
        """How many mails left in each hour, from the first to the last, hours without any among them."""
        if not self.by_hour:
            return []
        row = range(min(self.by_hour), max(self.by_hour) + 1)
        return [(datetime.fromtimestamp(3600 * number, UTC), self.by_hour.get(number, 0)) for number in row]

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
    return sa.and_(Message.letter_id.in_(letter_ids), IS_STEP)


def sums_of(which: sa.ColumnElement[bool]) -> Sums:
    """How these mails stand: one look at each of them, a second or less for a million."""
    return _added_up(_counted(which, sa.null()))


def sums_of_steps(letter_ids: Sequence[int]) -> dict[int, Sums]:
    """How the mails of steps stand, by the letter of each."""
    rows = _counted(of_steps(letter_ids), Message.letter_id)
    return {letter_id: _added_up([row for row in rows if row.by == letter_id]) for letter_id in letter_ids}


def _counted(which: sa.ColumnElement[bool], by: sa.SQLColumnExpression[Any]) -> Sequence[Any]:
    why = sa.case((Message.state.in_(UNSENT), Message.reason), else_=None)  # of what left, reasons are no matter
    hour = sa.case((Message.state.in_(HAVE_LEFT), _hour_of(Message.settled_at)), else_=None)
    columns: tuple[Any, ...] = Message.state, why.label("why"), hour.label("hour"), by.label("by")
    return db.session.execute(sa.select(*columns, sa.func.count().label("mails")).where(which).group_by(sa.text("1, 2, 3, 4"))).all()


def _added_up(rows: Sequence[Any]) -> Sums:
    found, states, hours = Counter[tuple[State, str | None]](), Counter[State](), Counter[int]()
    for row in rows:
        found[row.state, row.why] += row.mails
        states[row.state] += row.mails
        if row.hour is not None:
            hours[int(row.hour)] += row.mails
    return Sums(dict(states), _classed(found), dict(hours))


def unsent_of(states: Mapping[tuple[State, str | None], int]) -> list[Unsent]:
    """What did not leave, in words, from mails by state and reason."""
    return _in_words(_classed(states))


def _classed(states: Mapping[tuple[State, str | None], int]) -> dict[tuple[State, str], int]:
    found = Counter[tuple[State, str]]()
    for (state, reason), count in states.items():
        if state in UNSENT:
            found[state, _class_of(state, reason or "")] += count
    return dict(found)


def _in_words(reasons: Mapping[tuple[State, str], int]) -> list[Unsent]:
    told = sorted(reasons.items(), key=lambda row: (-row[1], row[0]))
    return [(STATE_WORDS[state], _words_of(reason), count) for (state, reason), count in told]


def as_kept(sums: Sums) -> dict[str, Any]:
    """Sums as JSON takes them."""
    reasons = [[state, reason, count] for (state, reason), count in sums.reasons.items()]
    return {"states": sums.states, "reasons": reasons, "hours": list(sums.by_hour.items())}


def from_kept(kept: Mapping[str, Any]) -> Sums:
    """Sums that were kept."""
    states = {State(state): count for state, count in kept["states"].items()}
    return Sums(states, {(State(state), reason): count for state, reason, count in kept["reasons"]}, dict(kept["hours"]))


def _class_of(state: State, reason: str) -> str:
    """Why, without what a server said word for word: that may hold an address."""
    return kind_of(reason).value if state is State.FAILED else reason if reason in REASON_WORDS else ""


def _words_of(reason: str) -> LazyString:
    return KIND_WORDS[Kind(reason)] if reason in list(Kind) else REASON_WORDS.get(reason, OTHER_REASON)


def by_days(hours: Hours) -> Hours:
    """Hours added up to days, as midnights by the clock of whose zone the hours are."""
    days: Counter[datetime] = Counter()
    for moment, count in hours:
        days[moment.replace(hour=0, minute=0)] += count
    first, last = min(days), max(days)
    return [(first + timedelta(days=number), days[first + timedelta(days=number)]) for number in range((last - first).days + 1)]


def _hour_of(moment: sa.SQLColumnExpression[datetime | None]) -> sa.ColumnElement[Any]:
    """SQL: whole hours since 1970."""
    if db.engine.dialect.name == "sqlite":
        return sa.cast(sa.func.strftime("%s", moment), sa.BigInteger) // 3600
    return sa.func.floor(sa.func.date_part("epoch", moment) / 3600)  # not EXTRACT, whose numeric takes twice as long
