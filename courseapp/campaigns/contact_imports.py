"""Bringing in contacts: a file is kept, its columns are named, all of it is looked through, and then brought in page by page.

Nobody is made to agree or taken back by it: who has withdrawn stays withdrawn, a suppressed address stays away, and what is known of
somebody stays. Decision 0013 says when an address counts as confirmed.
"""

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import sqlalchemy as sa
from flask_babel import gettext as _

from courseapp import storage
from courseapp.accounts.models import Role, User
from courseapp.authoring.parts import check_disk
from courseapp.campaigns.contact_files import LARGEST, MOST_COLUMNS, SAMPLE, Head, Unreadable, head_of, rows_of
from courseapp.campaigns.contact_rows import FIELDS, PURPOSE_OF
from courseapp.campaigns.models import ContactExport, ContactImport, ExportState, ImportFinding, ImportState
from courseapp.columns import random_public_id
from courseapp.errors import Refusal
from courseapp.extensions import db, wake
from courseapp.journal import events
from courseapp.web import bytes_words

FILES = "contacts"  # of the storage, where each file has a folder of its own
KEPT = timedelta(days=2)  # how long a file waits for whoever sent it: it is full of addresses
LEASE = timedelta(minutes=2)  # renewed with each page
MOST_ATTEMPTS = 5
MOST_OPEN = 10  # files of one person that are not done
OPEN = (ImportState.SENT, ImportState.CHECKING, ImportState.READY, ImportState.RUNNING)
WORKING = (ImportState.CHECKING, ImportState.RUNNING)
USUAL = {  # how columns are called by what people export from
    "address": ("email", "e-mail", "email address", "e-mail address", "mail", "address", "subscriber"),
    "first_name": ("first name", "firstname", "first_name", "given name", "name"),
    "language": ("language", "lang", "locale"),
    "zone": ("time zone", "timezone", "zone", "tz"),
    "marketing": ("marketing", "consent", "opt-in", "optin_time", "confirm_time", "subscribed at", "signed up on", "agreed", "agreed on"),
    "course_mail": ("course_mail", "course mail", "course"),
}


def key_of(public_id: str) -> str:
    """Where `storage` keeps the file of an import."""
    return f"{FILES}/{public_id}/file"


def source_of(found: ContactImport) -> str:
    """What the log of consents calls it."""
    return f"import:{found.public_id}"


def receive(content: IO[bytes], name: str, user_id: int, language: str, now: datetime) -> ContactImport:
    """Keep a file that was sent and say how it is written; the caller commits. Raises Refusal (400, 409, 413, 507) in words."""
    size = content.seek(0, os.SEEK_END)
    if size > LARGEST:
        raise Refusal(_("The file is too large: at most %(size)s. Please split it.", size=bytes_words(LARGEST)), 413)
    waiting = sa.select(sa.func.count()).where(ContactImport.by_user_id == user_id, ContactImport.state.in_(OPEN))
    if db.session.scalars(waiting).one() >= MOST_OPEN:
        raise Refusal(_("%(count)s lists of yours wait already. Bring them in or throw them away first.", count=MOST_OPEN))
    check_disk(size)
    content.seek(0)
    public_id = random_public_id()
    key = key_of(public_id)
    storage.keep_stream(key, content)
    try:
        head = _fit_head(key)
    except Refusal:
        storage.remove(key)
        raise
    found = ContactImport(
        public_id=public_id,
        by_user_id=user_id,
        name=" ".join(name.split())[:200] or "contacts.csv",
        state=ImportState.SENT,
        encoding=head.encoding,
        delimiter=head.delimiter,
        has_names=head.has_names,
        heads=list(head.names),
        lines=head.lines,
        language=language,
        columns=_guessed(head),
        created_at=now,
    )
    db.session.add(found)
    db.session.flush()
    return found


def sample_of(found: ContactImport) -> list[list[str]]:
    """The first rows of a file, with a cell for each of its columns; none where it is not there any more."""
    try:
        with TemporaryDirectory() as folder, storage.lying_at(key_of(found.public_id), Path(folder)) as path:
            rows = [cells for _line, cells in islice(rows_of(path, found.encoding, found.delimiter, found.has_names), SAMPLE)]
    except (FileNotFoundError, Unreadable):
        return []
    return [[*cells, *[""] * len(found.heads)][: len(found.heads)] for cells in rows]


def _fit_head(key: str) -> Head:
    try:
        with TemporaryDirectory() as folder, storage.lying_at(key, Path(folder)) as path:
            head = head_of(path)
    except Unreadable as error:
        raise Refusal(unreadable_words(error.line), 400) from error
    if head is None:
        raise Refusal(_("There is no line in this file. Save the list as CSV and choose that file."), 400)
    if len(head.names) > MOST_COLUMNS:
        raise Refusal(_("The file has more than %(count)s columns. Please remove what is not needed.", count=MOST_COLUMNS), 400)
    return head


def unreadable_words(line: int) -> str:
    """What is said of a file that cannot be read from a line on."""
    words = _(
        "From line %(line)s on it cannot be read: a quotation mark opens there that never closes, or the line is far too long.", line=line
    )
    return f"{words} {_('Please mend it.')}"


def _guessed(head: Head) -> dict[str, int]:
    """Which field is probably in which column."""
    found: dict[str, int] = {}
    for field, usual in USUAL.items():
        place = next((place for place, name in enumerate(head.names) if name.lower() in usual and place not in found.values()), None)
        if place is not None:
            found[field] = place
    with_addresses = [place for row in head.sample for place, cell in enumerate(row) if "@" in cell]
    if "address" not in found and with_addresses:
        found["address"] = with_addresses[0]
    return found


def describe(
    found: ContactImport, fields: Sequence[str], language: str, source: str, *, is_confirmed: bool, by_user_id: int, now: datetime
) -> None:
    """Say what stands in the columns and where the people agreed, and have all of it looked through. Raises Refusal in words.

    Whoever calls this has asked for the statement that they did agree, and where `is_confirmed`, that an owner says so.

    Args:
        fields: what stands in each column, in their order; anything else for a column that is not taken over.
    """
    _lock(found, ImportState.SENT, ImportState.READY)
    known = {field: place for place, field in enumerate(fields) if field in FIELDS}
    if len(known) < sum(field in FIELDS for field in fields):
        raise Refusal(_("Two columns are said to be the same. Please choose again."))
    if "address" not in known:
        raise Refusal(_("Please say which column has the addresses."))
    if not set(known) & set(PURPOSE_OF):
        raise Refusal(_("Please say which column has the day on which they agreed: without it nobody may be written to."))
    found.columns, found.language, found.source = known, language, source.strip()[:200]
    found.stated_at, found.is_confirmed = now, is_confirmed
    events.record("contacts_import_looked", f"import:{found.id}", now, by_user_id=by_user_id, lines=found.lines)
    if is_confirmed:
        events.record("contacts_import_vouched", f"import:{found.id}", now, by_user_id=by_user_id)
    _begin(found, ImportState.CHECKING)


def accept(found: ContactImport, by: User, now: datetime) -> None:
    """Have it brought in. Raises Refusal where it is not waiting for that, or where it takes an owner."""
    _lock(found, ImportState.READY)
    if found.is_confirmed and not by.has_role(Role.OWNER):
        raise Refusal(_("An owner has vouched for this list, so it is for an owner to bring it in."))
    events.record("contacts_import_begun", f"import:{found.id}", now, by_user_id=by.id, is_confirmed=found.is_confirmed)
    _begin(found, ImportState.RUNNING)


def change_columns(found: ContactImport) -> None:
    """Back to naming the columns. Raises Refusal as above."""
    _lock(found, ImportState.READY)
    found.state = ImportState.SENT


def cancel(found: ContactImport, by_user_id: int, now: datetime) -> None:
    """Throw the file away; who was brought in by then stays. Raises Refusal as above."""
    _lock(found, *OPEN)
    if found.state is ImportState.RUNNING:
        events.record("contacts_import_stopped", f"import:{found.id}", now, by_user_id=by_user_id, counts=found.counts)
    finish(found, ImportState.CANCELLED, now)


def _lock(found: ContactImport, *allowed: ImportState) -> None:
    db.session.refresh(found, with_for_update=True)
    if found.state not in allowed:
        raise Refusal(_("This file has moved on meanwhile. Please look at it again."))


def _begin(found: ContactImport, state: ImportState) -> None:
    db.session.execute(sa.delete(ImportFinding).where(ImportFinding.import_id == found.id))
    found.state, found.cursor, found.counts, found.attempts, found.leased_until, found.problem = state, 0, {}, 0, None, None
    wake("contacts")


def finish(found: ContactImport, state: ImportState, now: datetime, problem: str | None = None) -> None:
    """Note how it ended. What a look-through counted goes where nothing was brought in: nothing of it has happened."""
    if found.state is not ImportState.RUNNING:
        found.counts = {}
    found.state, found.finished_at, found.leased_until, found.problem = state, now, None, problem


def claim(now: datetime) -> ContactImport | None:
    """The next one for the worker, leased; None where there is none. One whose worker died is taken again, some times."""
    is_free = sa.or_(ContactImport.leased_until.is_(None), ContactImport.leased_until < now)
    due = sa.select(ContactImport).where(ContactImport.state.in_(WORKING), is_free).order_by(ContactImport.id).limit(1)
    found = db.session.scalar(due.with_for_update(skip_locked=True).execution_options(populate_existing=True))
    if found is None:
        return None
    found.attempts += 1
    found.leased_until = now + LEASE
    if found.attempts > MOST_ATTEMPTS:
        finish(found, ImportState.FAILED, now, "broke")
    return found


def import_of(public_id: str) -> ContactImport | None:
    """One by its public id."""
    return db.session.scalar(sa.select(ContactImport).where(ContactImport.public_id == public_id))


def imports_before(before: int | None, limit: int) -> Sequence[ContactImport]:
    """The newest, or those before one."""
    query = sa.select(ContactImport).order_by(ContactImport.id.desc()).limit(limit)
    return db.session.scalars(query if before is None else query.where(ContactImport.id < before)).all()


def findings_after(found: ContactImport, after: int, limit: int) -> Sequence[ImportFinding]:
    """What was found of its lines, in their order."""
    query = sa.select(ImportFinding).where(ImportFinding.import_id == found.id, ImportFinding.id > after)
    return db.session.scalars(query.order_by(ImportFinding.id).limit(limit)).all()


def words_of_source(source: str) -> str | None:
    """What was stated of a source of consents; None for one that is no import."""
    kind, _colon, public_id = source.partition(":")
    found = import_of(public_id) if kind == "import" else None
    return found.source if found is not None else None


def sweep(now: datetime) -> int:
    """Give up files that were left lying; how many."""
    left = (ContactImport.state.in_((ImportState.SENT, ImportState.READY)), ContactImport.created_at < now - KEPT)
    waiting = db.session.scalars(sa.select(ContactImport).where(*left).limit(100)).all()
    for found in waiting:
        finish(found, ImportState.CANCELLED, now)
    return len(waiting)


def sweep_files() -> int:
    """Remove what is stored and not needed: files that came in and are done, files that went out a day ago, what nobody names; how many."""
    folders: dict[str, list[str]] = {}
    for key in storage.stored_keys(FILES):
        folders.setdefault(key.split("/")[1], []).append(key)
    open_imports = sa.select(ContactImport.public_id).where(ContactImport.state.in_(OPEN))
    open_exports = sa.select(ContactExport.public_id).where(ContactExport.state.in_((ExportState.WRITING, ExportState.READY)))
    needed = set(db.session.scalars(open_imports)) | set(db.session.scalars(open_exports))
    gone = [key for public_id, keys in folders.items() if public_id not in needed for key in keys if _is_old(key)]
    for key in gone:
        storage.remove(key)
    return len(gone)


def _is_old(key: str) -> bool:
    """Whether a file was not just kept: of one that arrives there is no row yet."""
    return storage.age_of(key) > LEASE.total_seconds()
