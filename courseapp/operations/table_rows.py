"""Rows as JSON lines that either database can take up again: a moment with its zone, an enum by value, bytes in base64."""

import base64
import enum
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

AT_ONCE = 1000  # rows
PIECE = 4 * 1024 * 1024  # bytes of one part
READERS: dict[type, Callable[[Any], Any]] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    bytes: base64.b64decode,
    Decimal: Decimal,
    uuid.UUID: uuid.UUID,
}


class MisfitRow(Exception):
    """A row that does not fit its table; the message names the table."""


def pieces_of(connection: sa.Connection, table: sa.Table) -> Iterator[tuple[int, bytes]]:
    """All rows of a table as JSON lines, some megabytes at a time: (rows, lines)."""
    query = sa.select(table).order_by(*table.primary_key.columns)
    rows = connection.execute(query, execution_options={"yield_per": AT_ONCE})
    lines: list[bytes] = []
    size = 0
    for row in rows.mappings():
        lines.append(line_of(row))
        size += len(lines[-1])
        if size >= PIECE:
            yield len(lines), b"".join(lines)
            lines, size = [], 0
    if lines:
        yield len(lines), b"".join(lines)


def line_of(row: Any) -> bytes:
    """One row, by column name."""
    line = json.dumps(dict(row), ensure_ascii=False, default=_plain, separators=(",", ":"))
    return line.encode("utf-8", "surrogatepass") + b"\n"  # a column of JSON may hold half a letter, and json.loads takes it so


def load(connection: sa.Connection, table: sa.Table, lines: Iterable[bytes]) -> int:
    """Insert rows from JSON lines; how many. Raises MisfitRow where they are not of this table."""
    statement, readers, count, size = _insert_into(table), _readers_of(table), 0, 0
    batch: list[dict[str, Any]] = []
    for line in lines:
        batch.append(_row_of(line, table, readers))
        size += len(line)
        if len(batch) >= AT_ONCE or size >= PIECE:
            count, size = count + _insert(connection, table, statement, batch), 0
    return count + _insert(connection, table, statement, batch)


def _insert(connection: sa.Connection, table: sa.Table, statement: sa.Insert, batch: list[dict[str, Any]]) -> int:
    if not batch:
        return 0
    try:
        connection.execute(statement, batch)
    except (sa.exc.StatementError, OverflowError, UnicodeError) as error:
        # Most of the database's own words quote the row, and so would say in a terminal or a log what is in it.
        why = str(error.orig) if isinstance(error, sa.exc.OperationalError) else type(error).__name__
        raise MisfitRow(f"This database does not take rows of the table {table.name} ({why}).") from None
    made = len(batch)
    batch.clear()
    return made


def _insert_into(table: sa.Table) -> sa.Insert:
    # JSON knows a null of its own; in a column that may be empty, empty is what is meant.
    empties = {
        column.key: sa.bindparam(column.key, type_=sa.JSON(none_as_null=True))
        for column in table.columns
        if isinstance(column.type, sa.JSON) and column.nullable
    }
    return table.insert().values({column.key: empties.get(column.key, sa.bindparam(column.key)) for column in table.columns})


def _readers_of(table: sa.Table) -> dict[str, Callable[[Any], Any] | None]:
    found: dict[str, Callable[[Any], Any] | None] = {}
    for column in table.columns:
        plain = column.type.impl_instance if isinstance(column.type, sa.types.TypeDecorator) else column.type
        kind = plain.python_type
        found[column.key] = kind if issubclass(kind, enum.Enum) else READERS.get(kind)
    return found


def _row_of(line: bytes, table: sa.Table, readers: dict[str, Callable[[Any], Any] | None]) -> dict[str, Any]:
    try:
        row: dict[str, Any] = json.loads(line)
        if row.keys() != readers.keys():
            raise MisfitRow(f"The table {table.name} has other columns here than in the backup.")
        return {name: value if value is None or (read := readers[name]) is None else read(value) for name, value in row.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise MisfitRow(f"A row of the table {table.name} cannot be read.") from None


def _plain(value: object) -> object:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Decimal | uuid.UUID):
        return str(value)
    raise TypeError(f"no backup of a {type(value).__name__} is known")
