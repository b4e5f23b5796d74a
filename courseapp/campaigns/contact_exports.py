"""Taking out contacts: whom one may write to, as a file in pieces, for whoever asked for it, for a day.

What stands in it is named here one by one: who they are, what they agreed to and when, whether they get mail. Nothing of what they
learn is in it, and whom a segment cannot choose it cannot take out. Owners take out whomever a segment chooses; marketers those who
may be written to, and not by the courses they take. Who may what is asked anew for each piece. While a course is marked as sensitive,
nothing is in it that no segment asks for then.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _
from flask_babel import ngettext

from courseapp import storage
from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.campaigns.contact_imports import FILES
from courseapp.campaigns.models import ContactExport, ExportState, Segment
from courseapp.campaigns.segment_values import known_courses
from courseapp.campaigns.segments import asks_for_courses, contacts_in
from courseapp.columns import random_public_id
from courseapp.contacts.consent import has_last_said, last_words_of
from courseapp.contacts.models import ConsentAction, Contact, Purpose
from courseapp.contacts.resting import is_resting
from courseapp.contacts.spreadsheets import csv_of
from courseapp.contacts.suppression import is_suppressed
from courseapp.errors import Refusal
from courseapp.extensions import db, wake
from courseapp.journal import events

KEPT = timedelta(days=1)
PIECE = 5_000  # contacts
BLOCK = 64 * 1024  # bytes
EVERYBODY: dict[str, Any] = {"all": []}
COLUMNS = ("address", "first_name", "language", "zone", "known_since", "gets_mail", "paused_until")
SAID = ("", "_at", "_source")  # behind a purpose's name


def count_for(segment: Segment | None, user: User, now: datetime) -> int:
    """How many people of a segment, or of everybody, somebody may take out. Raises Refusal where they may not, or it cannot be used."""
    people = _people_for(user.id, segment.tree if segment is not None else EVERYBODY, now)
    return int(db.session.scalar(sa.select(sa.func.count()).select_from(people.subquery())) or 0)


def _people_for(user_id: int | None, tree: dict[str, Any], now: datetime) -> sa.Select[int]:
    people = contacts_in(tree, now)
    if db.session.scalar(sa.select(RoleGrant.id).where(RoleGrant.user_id == user_id, RoleGrant.role == Role.OWNER)) is not None:
        return people
    if asks_for_courses(tree):
        raise Refusal(
            _("This segment asks for courses or tiers. Who takes which can be taken out by an owner alone; ask them, or choose others.")
        )
    agree = sa.or_(*(has_last_said(Contact.id, purpose, ConsentAction.GIVEN) for purpose in _purposes()))
    return people.where(agree, sa.not_(is_suppressed(Contact.address_mac)))


def ask_for_file(segment: Segment | None, user: User, now: datetime) -> ContactExport:
    """Have a segment, or everybody, written out for one person; the caller commits. Raises Refusal as `count_for`."""
    tree = segment.tree if segment is not None else EVERYBODY
    found = ContactExport(
        public_id=random_public_id(),
        by_user_id=user.id,
        segment_name=segment.name if segment is not None else None,
        tree=tree,
        state=ExportState.WRITING,
        names=[],
        total=count_for(segment, user, now),
        created_at=now,
    )
    db.session.add(found)
    db.session.flush()
    events.record("contacts_export_asked", f"export:{found.id}", now, by_user_id=user.id, contacts=found.total)
    wake("contacts")
    return found


@dataclass(frozen=True)
class Piece:
    """The next piece of a file: what is in it, and how the row stands once it counts. `content` is None where nothing can be written."""

    public_id: str
    name: str
    content: bytes | None
    own: tuple[sa.ColumnElement[bool], ...]
    changes: dict[str, object]

    @property
    def key(self) -> str:
        """Where `storage` keeps it."""
        return f"{FILES}/{self.public_id}/{self.name}"


def next_piece(now: datetime) -> Piece | None:
    """The next piece of the oldest file that is not finished, not kept yet; None where there is none.

    It is to be kept first, with no transaction open, and counts once `count_piece` has moved the cursor from where it was: whoever is
    killed in between leaves a piece that no row names, and of two workers at the same one the second is too late.
    """
    query = sa.select(ContactExport).where(ContactExport.state == ExportState.WRITING).order_by(ContactExport.id).limit(1)
    found = db.session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        return None
    own = (ContactExport.id == found.id, ContactExport.state == ExportState.WRITING, ContactExport.cursor == found.cursor)
    name = secrets.token_hex(8)
    try:
        people = _page(found, now)
    except Refusal:  # its segment cannot be used any more, or not by whoever asked
        return Piece(found.public_id, name, None, own, {"state": ExportState.FAILED, "finished_at": now})
    head = [] if found.names else [_head()]
    content = csv_of([*head, *_rows(people, now)], with_mark=not found.names).encode()
    changes: dict[str, object] = {
        "cursor": people[-1].id if people else found.cursor,
        "count": found.count + len(people),
        "size": found.size + len(content),
        "names": [*found.names, name],
    }
    if len(people) < PIECE:
        changes |= {"state": ExportState.READY, "finished_at": now, "expires_at": now + KEPT}
    return Piece(found.public_id, name, content, own, changes)


def count_piece(piece: Piece, now: datetime) -> bool:
    """Have a kept piece count; False where another worker was faster. The caller commits."""
    moved = db.session.execute(
        sa.update(ContactExport).where(*piece.own).values(**piece.changes).execution_options(synchronize_session=False)
    )
    if not moved.rowcount:  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult
        return False
    if piece.changes.get("state") is ExportState.READY:
        found = export_of(piece.public_id)
        assert found is not None
        events.record("contacts_exported", f"export:{found.id}", now, by_user_id=found.by_user_id, contacts=piece.changes["count"])
    return True


def _page(found: ContactExport, now: datetime) -> Sequence[sa.Row[tuple[Contact, bool]]]:
    chosen = _people_for(found.by_user_id, found.tree, now).where(Contact.id > found.cursor).order_by(Contact.id).limit(PIECE).subquery()
    query = sa.select(Contact.id, Contact, is_suppressed(Contact.address_mac).label("stopped"))
    return db.session.execute(query.where(Contact.id.in_(sa.select(chosen.c.id))).order_by(Contact.id)).all()  # type: ignore[return-value]  # id first


def _head() -> list[str]:
    return [*COLUMNS, *(f"{purpose.value}{part}" for purpose in _purposes() for part in SAID)]


def _purposes() -> tuple[Purpose, ...]:
    return Purpose.COURSE, Purpose.MARKETING


def _rows(people: Sequence[sa.Row[tuple[Contact, bool]]], now: datetime) -> Iterator[list[object]]:
    said = last_words_of([row.id for row in people])
    if known_courses().is_walled:
        said = {key: word._replace(source="") for key, word in said.items() if key[1] is Purpose.MARKETING}
    for row in people:
        contact: Contact = row.Contact
        paused = contact.mail_paused_until.date() if is_resting(contact, now) and contact.mail_paused_until else None
        words = [said.get((contact.id, purpose)) for purpose in _purposes()]
        yield [
            *(contact.address, contact.first_name, contact.language, contact.zone, contact.created_at.date()),
            *("no" if row.stopped else "yes", paused),
            *(cell for word in words for cell in ((word.action.value, word.at.isoformat(), word.source) if word else ("", "", ""))),
        ]


def file_of(public_id: str, user: User, now: datetime) -> ContactExport | None:
    """A file that is there for this person; None for anybody else, and once its day is over."""
    found = export_of(public_id)
    is_there = found is not None and found.state is ExportState.READY and found.expires_at is not None and found.expires_at > now
    return found if is_there and found is not None and found.by_user_id == user.id else None


def note_download(found: ContactExport, now: datetime) -> None:
    """Write down that it was fetched."""
    events.record("contacts_downloaded", f"export:{found.id}", now, by_user_id=found.by_user_id)


def content_of(public_id: str, names: Sequence[str]) -> Iterator[bytes]:
    """A file's pieces one after the other, some bytes at a time."""
    for name in names:
        with storage.open_stored(f"{FILES}/{public_id}/{name}") as piece:
            while block := piece.read(BLOCK):
                yield block


def export_of(public_id: str) -> ContactExport | None:
    """One by its public id."""
    return db.session.scalar(sa.select(ContactExport).where(ContactExport.public_id == public_id))


def exports_before(before: int | None, limit: int) -> Sequence[sa.Row[tuple[ContactExport, str | None]]]:
    """The newest, or those before one, each with the address of whoever asked; None for somebody who has left."""
    who = sa.select(Contact.address).join(User, User.contact_id == Contact.id).where(User.id == ContactExport.by_user_id)
    query = sa.select(ContactExport, who.scalar_subquery().label("address")).order_by(ContactExport.id.desc()).limit(limit)
    return db.session.execute(query if before is None else query.where(ContactExport.id < before)).all()


def words_of_choice(found: ContactExport) -> str:
    """Whom it is of, in words."""
    return found.segment_name or str(_("Everybody"))


def words_of_export(found: ContactExport) -> str:
    """The same, with how many people are in it."""
    count = found.total if found.finished_at is None else found.count
    return str(ngettext("%(whom)s, %(num)d person", "%(whom)s, %(num)d people", count, whom=words_of_choice(found)))


def sweep(now: datetime) -> int:
    """End files whose day is over; how many. What lies of them and of nobody goes with `sweep_files`."""
    over = sa.update(ContactExport).where(ContactExport.state == ExportState.READY, ContactExport.expires_at < now)
    ended = db.session.execute(over.values(state=ExportState.EXPIRED, names=[]).execution_options(synchronize_session=False))
    return int(ended.rowcount)  # type: ignore[attr-defined]  # as above
