"""Numbering: how far the numbers of a table went, so that a restored one goes on behind them and gives none again.

The journal names people by number, also those who are gone since; whoever got one of these numbers would get their past.
"""

import sqlalchemy as sa

from courseapp.extensions import db

FIRST_ROW = "INSERT INTO sqlite_sequence (name, seq) SELECT :name, 0 WHERE :name NOT IN (SELECT name FROM sqlite_sequence)"


def counters_of(connection: sa.Connection) -> dict[str, int]:
    """How far numbers went, by table, where none is given again: not what the rows say, for the last of them may be gone."""
    if connection.dialect.name == "postgresql":
        query = sa.text("SELECT last_value FROM pg_sequences WHERE schemaname || '.' || sequencename = pg_get_serial_sequence(:name, 'id')")
    else:
        query = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name")
    return {table.name: connection.scalar(query, {"name": table.name}) or 0 for table in _counted_on()}


def set_counters(connection: sa.Connection, counters: dict[str, int]) -> None:
    """Let numbers go on behind the last row there is, and behind `counters`."""
    if connection.dialect.name == "postgresql":
        for table in db.metadata.sorted_tables:
            _set_postgresql(connection, table, counters.get(table.name) or None)
    else:
        for table in _counted_on():  # for the others SQLite looks at the rows each time
            facts = {"name": table.name, "last": counters.get(table.name, 0)}
            connection.execute(sa.text(FIRST_ROW), facts)
            connection.execute(sa.text("UPDATE sqlite_sequence SET seq = max(seq, :last) WHERE name = :name"), facts)


def _counted_on() -> list[sa.Table]:
    return [table for table in db.metadata.sorted_tables if table.dialect_options["sqlite"]["autoincrement"]]


def _set_postgresql(connection: sa.Connection, table: sa.Table, given: int | None) -> None:
    counted = table.autoincrement_column
    if counted is not None:
        last = sa.func.greatest(sa.select(sa.func.max(counted)).scalar_subquery(), sa.literal(given, sa.BigInteger()))
        counter = sa.func.pg_get_serial_sequence(f'"{table.name}"', counted.name)
        connection.execute(sa.select(sa.func.setval(counter, sa.func.coalesce(last, 1), last.is_not(None))))
