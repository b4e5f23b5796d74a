"""How mail arrives, by the domain of whom it goes to: counted every few hours, with what to do where a domain is in trouble.

A domain is named only where at least five people of it were written to in the time looked at; all others are one group. The figures are
about mails and are exact as of when they were counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from courseapp.contacts.models import Contact
from courseapp.extensions import db, insert_into, snapshot
from courseapp.mailing.models import HAVE_LEFT, DomainFigures, Message, State
from courseapp.mailing.standing import FEWEST

WINDOWS = (7, 30, 90)  # days
EVERY = timedelta(hours=3)
MOST_NAMED = 20
OTHERS = ""


@dataclass(frozen=True)
class Arrivals:
    """What became of mails to a domain. What was `taken` may have come back or been complained about later."""

    domain: str
    people: int
    taken: int
    confirmed: int
    bounced: int
    complained: int
    refused: int
    unwelcome: int  # of the refused: for what they say, or where they come from
    put_off: int

    @property
    def sent(self) -> int:
        """How many came to an end: what is put off has not."""
        return self.taken + self.refused

    @property
    def arrived(self) -> int:
        """How many did not come back, as far as we know."""
        return self.taken - self.bounced

    @property
    def troubles(self) -> list[LazyString]:
        """What to do, where something is to be done."""
        return [rule.words for rule in RULES if rule.holds(self)]


@dataclass(frozen=True)
class Rule:
    """A domain is in trouble where more than `share` of its mails are counted in `what`, and no fewer than `least`."""

    what: str
    share: float
    least: int
    words: LazyString

    def holds(self, row: Arrivals) -> bool:
        """Whether this domain is in that trouble."""
        count = int(getattr(row, self.what))
        return count >= self.least and count > self.share * (row.sent + row.put_off)


RULES = (
    Rule(
        "complained",
        0.001,
        3,
        _l(
            "More than one reader in a thousand reported our mail as unwanted. Write less, and only to those who asked for it lately; "
            "from three in a thousand on many providers take no more."
        ),
    ),
    Rule(
        "bounced",
        0.05,
        10,
        _l("Many addresses do not exist. Look where they came from, an import or a form; they are not written to again."),
    ),
    Rule(
        "unwelcome",
        0.05,
        10,
        _l(
            "They refuse our mail for what it says or where it comes from. Ask whoever runs the server to look with “flask mail doctor”, "
            "and whether the address we send from stands on a block list."
        ),
    ),
    Rule(
        "put_off",
        0.1,
        10,
        _l("They want mail more slowly. Ask whoever runs the server to set a slower pace for this domain (MAIL_DOMAIN_RATES)."),
    ),
)


def is_due(now: datetime) -> bool:
    """Whether it is time to count anew."""
    last = db.session.scalar(sa.select(sa.func.min(DomainFigures.counted_at)))
    return last is None or last <= now - EVERY


def counted(now: datetime) -> dict[int, list[Arrivals]]:
    """How mail arrives, by domain, for each of WINDOWS. Reads beside the session; a million mails take some seconds."""
    with snapshot() as seen:
        rows = seen.execute(_by_domain(now)).mappings().all()
    return {days: _grouped([_arrivals(row, days) for row in rows]) for days in WINDOWS}


def _arrivals(row: Any, days: int) -> Arrivals:
    values = {name: int(row[f"{name}_{days}"] or 0) for name in NUMBERS}
    return Arrivals(domain=row["domain"], **values)


NUMBERS = tuple(field.name for field in fields(Arrivals) if field.name != "domain")


def _by_domain(now: datetime) -> Any:
    """SQL: first by person, so that people are counted once, then by their domains."""
    kinds = _kinds()
    marks: list[sa.ColumnElement[int]] = []
    for days in WINDOWS:
        is_late = Message.settled_at > now - timedelta(days=days)
        for name, which in kinds.items():
            counts = which if name == "put_off" else sa.and_(is_late, which)  # what is put off has no end yet, so it stands in each
            marks.append(sa.func.sum(sa.case((counts, 1), else_=0)).label(f"{name}_{days}"))
    lately = sa.or_(Message.settled_at > now - timedelta(days=max(WINDOWS)), kinds["put_off"])
    person = sa.select(Message.contact_id, *marks).where(lately).group_by(Message.contact_id).subquery()
    domain = _domain().label("domain")
    sums = []
    for days in WINDOWS:
        has_any = sum((person.c[f"{name}_{days}"] for name in ("taken", "refused", "put_off")), sa.literal(0)) > 0
        sums.append(sa.func.sum(sa.case((has_any, 1), else_=0)).label(f"people_{days}"))
        sums += [sa.func.sum(person.c[f"{name}_{days}"]).label(f"{name}_{days}") for name in kinds]
    return sa.select(domain, *sums).join(Contact, Contact.id == person.c.contact_id).group_by(domain)


def _kinds() -> dict[str, sa.ColumnElement[bool]]:
    reason = sa.func.coalesce(Message.reason, "")
    is_refused = sa.and_(Message.state == State.FAILED, reason.not_like("cannot be built%"))  # that never came so far
    is_put_off = sa.or_(
        sa.and_(Message.state == State.PENDING, Message.attempts > 0, reason.like("4%")),
        sa.and_(Message.state == State.ACCEPTED, reason.like("delayed%")),
    )
    return {
        "taken": Message.state.in_(HAVE_LEFT),
        "confirmed": Message.state == State.DELIVERED,
        "bounced": Message.state == State.BOUNCED,
        "complained": Message.state == State.COMPLAINED,
        "refused": is_refused,
        "unwelcome": sa.and_(is_refused, sa.or_(reason.like("5__ 5.7.%"), reason.like("5__-5.7.%"))),
        "put_off": is_put_off,
    }


def _domain() -> sa.ColumnElement[str]:
    """SQL: what stands behind the @ of a contact's address; nothing for whoever was erased."""
    key = sa.func.coalesce(Contact.address_key, "")
    if db.engine.dialect.name == "sqlite":
        return sa.func.substr(key, sa.func.instr(key, "@") + 1)
    return sa.func.split_part(key, "@", 2)


def _grouped(rows: list[Arrivals]) -> list[Arrivals]:
    """The largest domains, and all others as one; nobody can be found by subtracting, for the others are five or nobody."""
    found = sorted((row for row in rows if row.sent + row.put_off), key=lambda row: (-row.sent - row.put_off, row.domain))
    named = [row for row in found if row.domain and row.people >= FEWEST][:MOST_NAMED]
    others = [row for row in found if row not in named]
    while named and others and sum(row.people for row in others) < FEWEST:
        others.append(named.pop())
    if others:
        named.append(Arrivals(domain=OTHERS, **{name: sum(getattr(row, name) for row in others) for name in NUMBERS}))
    return named


def keep(found: Mapping[int, list[Arrivals]], now: datetime) -> None:
    """Put what was counted in the place of the last count."""
    for days, rows in found.items():
        told = {"rows": [{name: getattr(row, name) for name in ("domain", *NUMBERS)} for row in rows]}
        made = insert_into(DomainFigures).values(days=days, figures=told, counted_at=now)
        news = {"figures": made.excluded.figures, "counted_at": made.excluded.counted_at}
        db.session.execute(made.on_conflict_do_update(index_elements=["days"], set_=news))


def arrivals_of(days: int) -> tuple[list[Arrivals], datetime | None]:
    """How mail arrived in the last days, by domain, the largest first and the others last; and when that was counted."""
    row = db.session.get(DomainFigures, days)
    return ([Arrivals(**told) for told in row.figures["rows"]], row.counted_at) if row is not None else ([], None)
