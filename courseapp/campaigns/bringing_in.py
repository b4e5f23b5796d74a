"""Bringing in a page of contacts: who is new, who is known, what they said before; all of it in few statements and one transaction.

The look-through goes the same way and writes nothing of them, so that what it tells is what will be done. Of lines that can be used it
tells sums alone: a file with somebody's address, thrown away again, must not tell whether they are known here and what they said.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from courseapp.campaigns import asking
from courseapp.campaigns.contact_imports import source_of
from courseapp.campaigns.contact_rows import Finding, Row
from courseapp.campaigns.models import ContactImport, ImportFinding, ImportState
from courseapp.columns import random_public_id
from courseapp.contacts.consent import last_words_of
from courseapp.contacts.models import Consent, ConsentAction, Contact, Purpose, Suppression
from courseapp.extensions import db, insert_into
from courseapp.held import table_of
from courseapp.journal import events

WORDING = "import"  # the wording of consents that were given elsewhere; the import says where
MOST_FINDINGS = 5_000  # kept; more are counted


@dataclass
class Page:
    """Rows that follow each other: those that can be read, what is wrong with the others, and how many rows of the file these are."""

    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    wrong: int = 0
    taken: int = 0


@dataclass(frozen=True)
class _Known:
    id: int
    public_id: str
    is_confirmed: bool
    has_name: bool


def take_page(found: ContactImport, page: Page, now: datetime, lease_until: datetime) -> bool:
    """Bring in a page, or only look at it while the file is being checked; False where somebody else has moved on. The caller commits.

    The cursor is moved by the same transaction and only from where this page begins: so a page is done once, whoever is killed.
    """
    if not found.is_working:
        return False
    own = (ContactImport.id == found.id, ContactImport.state == found.state, ContactImport.cursor == found.cursor)
    moved = db.session.execute(
        sa.update(ContactImport)
        .where(*own)
        .values(cursor=found.cursor + page.taken, leased_until=lease_until, attempts=0)
        .execution_options(synchronize_session=False)
    )
    if not moved.rowcount:  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult
        return False
    counts = Counter(found.counts)
    counts["wrong"] += page.wrong
    told = _settle(found, page.rows, counts, now)
    findings = [*page.findings, *(told if found.state is ImportState.RUNNING else ())]
    kept = sorted(findings, key=lambda row: row.line)[: max(0, MOST_FINDINGS - counts["findings"])]
    counts["findings"] += len(findings)
    if kept:
        db.session.execute(
            sa.insert(ImportFinding), [{"import_id": found.id, "line": row.line, "field": row.field, "code": row.code} for row in kept]
        )
    counted = sa.update(ContactImport).where(ContactImport.id == found.id).values(counts=dict(counts))
    db.session.execute(counted.execution_options(synchronize_session=False))
    db.session.refresh(found)
    return True


def _settle(found: ContactImport, rows: Sequence[Row], counts: Counter[str], now: datetime) -> list[Finding]:
    """Do with good rows what is to be done, and count it; what is to be told of them."""
    told = []
    stopped = set(db.session.scalars(sa.select(Suppression.address_mac).where(Suppression.address_mac.in_([row.mac for row in rows]))))
    known = _known(rows)
    said = {who: word.action for who, word in last_words_of([contact.id for contact in known.values()]).items()}
    wanted: list[tuple[Row, list[Purpose]]] = []
    for row in rows:
        contact = known.get(row.key)
        last = {purpose: said.get((contact.id, purpose)) if contact else None for purpose in row.consents}
        fresh = [purpose for purpose in row.consents if last[purpose] is None]
        code = "suppressed" if row.mac in stopped else "" if fresh else "withdrawn" if ConsentAction.WITHDRAWN in last.values() else "known"
        if code:
            told.append(Finding(row.line, "address", code))
            counts[code] += 1
        else:
            told += [Finding(row.line, purpose_field(purpose), "withdrawn") for purpose in last if last[purpose] is ConsentAction.WITHDRAWN]
            wanted.append((row, fresh))
            counts["joined" if contact else "new"] += 1
    if found.state is ImportState.RUNNING and wanted:
        _write(found, wanted, known, counts, now)
    return told


def purpose_field(purpose: Purpose) -> str:
    """The field in which a file says when somebody agreed to a purpose."""
    return "course_mail" if purpose is Purpose.COURSE else "marketing"


def _known(rows: Sequence[Row]) -> dict[str, _Known]:
    """Who of them is there already, by address."""
    query = sa.select(Contact.address_key, Contact.id, Contact.public_id, Contact.confirmed_at, Contact.first_name)
    found = db.session.execute(query.where(Contact.address_key.in_([row.key for row in rows])))
    return {str(row.address_key): _Known(row.id, row.public_id, row.confirmed_at is not None, row.first_name is not None) for row in found}


def _write(
    found: ContactImport, wanted: Sequence[tuple[Row, list[Purpose]]], before: dict[str, _Known], counts: Counter[str], now: datetime
) -> None:
    """Make the contacts that are missing and log what they agreed to; it counts at once, or each is asked once."""
    _make([row for row, _purposes in wanted if row.key not in before], now)
    present = _known([row for row, _purposes in wanted])
    action = ConsentAction.GIVEN if found.is_confirmed else ConsentAction.ASKED
    facts = {"action": action, "wording": WORDING, "source": source_of(found), "network": None}
    said = [(present[row.key].id, purpose, row.consents[purpose]) for row, purposes in wanted for purpose in purposes]
    db.session.execute(
        sa.insert(table_of(Consent)),
        [{"contact_id": contact_id, "purpose": purpose, "at": at, **facts} for contact_id, purpose, at in said],
    )
    _name([(present[row.key], row) for row, _purposes in wanted if row.first_name and not present[row.key].has_name])
    if found.is_confirmed:
        ids = [present[row.key].id for row, _purposes in wanted if not present[row.key].is_confirmed]
        confirmed = sa.update(Contact).where(Contact.id.in_(ids), Contact.confirmed_at.is_(None)).values(confirmed_at=now)
        db.session.execute(confirmed.execution_options(synchronize_session=False))
        given = [(f"contact:{contact_id}", {"contact_id": contact_id, "purpose": purpose.value}) for contact_id, purpose, _at in said]
        events.record_many("consent_given", given, now)
        return
    # An address that was there and that nobody confirmed has had its one mail.
    asked = [(row, purposes) for row, purposes in wanted if row.key not in before or before[row.key].is_confirmed]
    people = [(present[row.key].id, present[row.key].public_id, row.mac, purposes) for row, purposes in asked]
    counts["asked"] += asking.ask_many(found, people, source_of(found), now)


def _make(rows: Sequence[Row], now: datetime) -> None:
    if rows:
        made = [
            {
                "public_id": random_public_id(),
                "address": row.address,
                "address_key": row.key,
                "address_mac": row.mac,
                "first_name": row.first_name,
                "zone": row.zone,
                "language": row.language,
                "created_at": now,
            }
            for row in sorted(rows, key=lambda row: row.key)  # in one order, else two imports might wait for each other
        ]
        db.session.execute(insert_into(Contact).on_conflict_do_nothing(index_elements=["address_key"]), made)


def _name(people: Sequence[tuple[_Known, Row]]) -> None:
    """Tell what to call those of whom nothing is known yet."""
    contacts = table_of(Contact)
    statement = sa.update(contacts).where(contacts.c.id == sa.bindparam("b_id"), contacts.c.first_name.is_(None))
    if people:
        facts = [{"b_id": contact.id, "b_name": row.first_name} for contact, row in people]
        db.session.connection().execute(statement.values(first_name=sa.bindparam("b_name")), facts)
