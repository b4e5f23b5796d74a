"""Backups: everything an installation holds in one file, looked at without trusting it, and brought back whole or not at all.

Rows are read in one transaction that sees one moment. Files are copied after it began: each is named by its content and never
changes, and is kept before the row that names it is committed, so all that the rows name is there.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import flask_migrate
import sqlalchemy as sa
from flask import current_app

from courseapp import storage
from courseapp.accounts.models import User
from courseapp.authoring.models import Upload, UploadState
from courseapp.catalog.models import Asset, Copy
from courseapp.config import Settings
from courseapp.contacts.models import Contact
from courseapp.contacts.people import rekey_addresses
from courseapp.extensions import db, snapshot
from courseapp.mailing.pausing import doubt_what_was_leaving, pause_everything
from courseapp.operations import erasures
from courseapp.operations.archive import FIRST, LAST, BadBackup, Contents, Hashed, Tell, Writer, key_mark, parts_of, unbroken, verified
from courseapp.operations.diagnosis import HEAD
from courseapp.operations.encryption import readable
from courseapp.operations.numbering import counters_of, set_counters
from courseapp.operations.people import erase_again
from courseapp.operations.questions import rekey_questions
from courseapp.operations.table_rows import MisfitRow, load, pieces_of
from courseapp.site import SiteSetting
from courseapp.typed_values import defaults_of

PASSING = ("health/", "contacts/")  # what is kept for a moment only, and is no part of anything
UPLOADS = "uploads/"  # so are these, but for those that wait for a decision
WHY_PAUSED = "Restored from a backup: what waits here may have been sent since it was made."
WHY_UNCERTAIN = "It was leaving when the backup was made."
OTHER_KEY = (
    "SECRET_KEY is not the one the backup was made under, so it cannot be told whether the file was changed, addresses that must "
    "get no mail would not be known again, and mailed links would not open. Set SECRET_KEY as it was."
)


def create(file: IO[bytes], now: datetime, tell: Tell) -> Contents:
    """Write a backup into an open file; what it holds. Raises BadBackup where the tables are not those of this version."""
    made_at = now.isoformat()
    with Writer(file, Contents(made_at, _head(), key_mark(made_at), settings=settings_named()), tell) as writer:
        with snapshot() as connection:
            if migration_of(connection) != _head():
                raise BadBackup("The tables are not those of this version. Run first: flask --app courseapp db upgrade")
            _add_rows(writer, connection, tell)
            writer.contents.counters = counters_of(connection)
            named = set(_files_named(connection))
            waiting = {Upload(public_id=public_id).folder for public_id in connection.scalars(_waiting(Upload.public_id))}
        _add_files(writer, waiting, tell)
        writer.contents.missing = sorted(key for key in named if f"files/{key}" not in writer.contents.parts) + erasures.unreadable()
    return writer.contents


def _add_rows(writer: Writer, connection: sa.Connection, tell: Tell) -> None:
    for table in db.metadata.sorted_tables:
        writer.contents.tables[table.name] = 0
        for number, (rows, lines) in enumerate(pieces_of(connection, table), 1):
            writer.add(f"tables/{table.name}/{number:06}.jsonl", lines)
            writer.contents.tables[table.name] += rows
            tell(f"{writer.contents.rows} rows, at {table.name}")


def settings_named() -> list[str]:
    """The settings that differ here from what they are of themselves, by name; their values stay where they are."""
    settings: Settings = current_app.config["SETTINGS"]
    return [name.upper() for name, default in defaults_of(Settings).items() if getattr(settings, name) != default]


def _files_named(connection: sa.Connection) -> Iterator[str]:
    """The keys of all files that rows speak of."""
    for of_asset in connection.scalars(sa.select(Asset.digest).distinct()):
        yield Asset(digest=of_asset).storage_key
    for of_copy in connection.scalars(sa.select(Copy.digest).where(Copy.built_at.is_not(None)).distinct()):
        yield Copy(digest=of_copy).storage_key
    if logo := connection.scalar(sa.select(SiteSetting.value).where(SiteSetting.name == "logo")):
        yield logo
    for public_id, files in connection.execute(_waiting(Upload.public_id, Upload.files)):
        yield from (Upload(public_id=public_id).storage_key(index) for index in range(len(files)))


def _waiting(*columns: Any) -> sa.Select[Any]:
    """Of uploads that wait for a decision, for days or for months: a backup holds them too."""
    return sa.select(*columns).where(Upload.state == UploadState.READY)


def _add_files(writer: Writer, waiting: set[str], tell: Tell) -> None:
    copied = 0
    for key in storage.stored_keys():
        if key.startswith(PASSING) or (key.startswith(UPLOADS) and "/".join(key.split("/")[:2]) not in waiting):
            continue
        try:
            with storage.open_stored(key) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
                writer.add_file(f"files/{key}", file, size)
        except FileNotFoundError:
            continue  # it went since the folder was listed; where a row names it, it counts as missing
        copied += size
        tell(f"{writer.contents.rows} rows, {writer.contents.files} files, {copied // 1_000_000} MB of files")


@contextmanager
def new_file(path: Path, replace: bool) -> Iterator[IO[bytes]]:
    """A file that appears under its name when it is whole, readable for its owner alone; raises BadBackup."""
    if path.exists() and not replace:
        raise BadBackup(f"{path} is there already. Choose another name.")
    half = path.with_name(f"{path.name}.part")
    try:
        with open(half, "ab", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600)) as file:
            _hold_alone(file, half)
            try:
                os.fchmod(file.fileno(), 0o600)
                file.truncate(0)  # what a killed process left
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.replace(half, path)
            except BaseException:
                half.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise BadBackup(f"The backup could not be made: {error.strerror or error}.") from error


def _hold_alone(file: IO[bytes], half: Path) -> None:
    """Make sure that no other process writes, or has just finished, the same file; raises BadBackup."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = os.path.samestat(os.fstat(file.fileno()), os.stat(half))
    except (BlockingIOError, FileNotFoundError):
        is_ours = False
    if not is_ours:
        raise BadBackup(f"Another backup is being written to {half}. Wait for it, or choose another name.")


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """A backup's file, open for reading; raises BadBackup."""
    try:
        file = open(path, "rb")  # noqa: SIM115  # closed below; only the opening is to be spoken of here
    except OSError as error:
        raise BadBackup(f"{path} cannot be read: {error.strerror}.") from error
    with file:
        yield file


def verify(path: Path, tell: Tell, key: Path | None = None) -> Contents:
    """Read a whole backup, decrypted with a key's file; what it holds. Raises BadBackup where anything is not as it was written."""
    with opened(path) as file, readable(file, key) as plain:
        return verified(plain, tell)


def restore(
    path: Path, records: Path | None, now: datetime, tell: Tell, any_key: bool = False, key: Path | None = None
) -> tuple[Contents, int]:
    """Bring a backup back into an empty installation: what it held, and how many people were erased again. The caller commits.

    Args:
        path: the backup's file.
        records: a folder with further records of erasures, such as the old installation's `files/erasures`.
        any_key: also where SECRET_KEY is another; the seal is not asked then, and known addresses get their hash anew.
        key: the file of the key it was encrypted to.

    Raises BadBackup where the file or the database is not fit for it; then nothing is changed.
    """
    with opened(path) as file:
        with readable(file, key) as plain:
            contents = verified(plain, tell)
        _check_fit(contents, any_key)
        _prepare_tables()
        connection = db.session.connection()
        _empty(connection)
        file.seek(0)
        try:
            with readable(file, key) as plain:
                _take_in(plain, contents, connection, tell)
            set_counters(connection, contents.counters)
            if records is not None:
                erasures.adopt(records)
            pause_everything(WHY_PAUSED, now)
            doubt_what_was_leaving(WHY_UNCERTAIN, now)
            erased = erase_again(now)
            if not contents.has_own_key:
                rekey_addresses()  # after the erasures, whose records hold hashes under the old key
                rekey_questions()
            return contents, erased
        except (MisfitRow, erasures.UnreadableRecord) as error:
            raise BadBackup(f"{error} The database is as it was.") from error


def migration_of(connection: sa.Connection) -> str | None:
    """At which migration the tables are; None where there are none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def _head() -> str:
    return HEAD.read_text().strip()


def _check_fit(contents: Contents, any_key: bool) -> None:
    if contents.migration > _head():
        raise BadBackup(f"The backup is of a newer version (tables {contents.migration}, here {_head()}). Install that version first.")
    if contents.migration < _head():
        raise BadBackup(
            f"The backup is of an older version (tables {contents.migration}, here {_head()}). Install the version it was made with, "
            "restore there, then install this one and run: flask --app courseapp db upgrade"
        )
    if not (contents.has_own_key or any_key):
        raise BadBackup(OTHER_KEY)


def _prepare_tables() -> None:
    """Make the tables where there are none at all; raises BadBackup where there are others."""
    with db.engine.connect() as connection:
        tables, migration = set(sa.inspect(connection).get_table_names()), migration_of(connection)
    if not tables:
        flask_migrate.upgrade()
    elif migration != _head():
        raise BadBackup(f"The database is not empty, and its tables (at {migration}) are not those of this version. Choose an empty one.")


def _empty(connection: sa.Connection) -> None:
    """Clear the tables of what an installation without people holds; nobody can write into them until the commit."""
    tables = db.metadata.sorted_tables
    if connection.dialect.name == "postgresql":
        names = ", ".join(f'"{table.name}"' for table in tables)
        connection.exec_driver_sql(f"LOCK TABLE {names} IN EXCLUSIVE MODE")
    for model, words in ((User, "users"), (Contact, "addresses")):
        if count := connection.scalar(sa.select(sa.func.count()).select_from(model)):
            raise BadBackup(f"The database is not empty: it holds {count} {words}. Nothing was changed; choose an empty database.")
    for table in reversed(tables):
        connection.execute(table.delete())


def _take_in(file: BufferedReader, contents: Contents, connection: sa.Connection, tell: Tell) -> None:
    rows = files = 0
    with unbroken():
        for name, part in parts_of(file, tell):
            folder, _, rest = name.partition("/")
            if folder == "tables":
                rows += load(connection, _table(rest.partition("/")[0]), part)
            elif folder == "files":
                _take_file(rest, part)
                files += 1
            elif name not in {FIRST, LAST}:
                raise BadBackup(f"The backup holds something unknown: {name!r}.")
            if name != LAST and part.finish() != contents.parts.get(name):
                raise BadBackup("The backup changed while it was read. The database is as it was.")
            tell(f"{rows} of {contents.rows} rows, {files} of {contents.files} files")


def _table(name: str) -> sa.Table:
    table = db.metadata.tables.get(name)
    if table is None:
        raise BadBackup(f"The backup holds a table that this version does not know: {name!r}.")
    return table


def _take_file(key: str, part: Hashed) -> None:
    try:
        storage.keep_stream(key, part)  # type: ignore[arg-type]  # it is only read from
    except (ValueError, RecursionError) as error:
        raise BadBackup(f"The backup holds a file under a name that is none: {key!r}.") from error
    except OSError as error:
        raise BadBackup(
            f"A file could not be stored: {error.strerror or error}. The database is as it was; files that were stored already "
            "do no harm, and the next attempt takes them up."
        ) from error
