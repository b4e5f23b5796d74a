"""Every row of every table, for tests that ask whether anything changed or whether a word is still kept anywhere."""

from typing import Any

import sqlalchemy as sa

from courseapp.extensions import db

Rows = dict[str, list[tuple[Any, ...]]]


def all_rows() -> Rows:
    """Table name → its rows in the order of their keys, as they stand now."""
    db.session.commit()
    found = {
        table.name: [tuple(row) for row in db.session.execute(sa.select(table).order_by(*table.primary_key.columns))]
        for table in db.metadata.sorted_tables
    }
    db.session.commit()
    return found


def tables_that_hold(word: str) -> list[str]:
    """The tables in any row of which the word stands, in whatever case."""
    return [name for name, rows in all_rows().items() if word.casefold() in repr(rows).casefold()]


def changed_tables(before: Rows, after: Rows) -> list[str]:
    """The tables that differ."""
    return [name for name in before if before[name] != after[name]]
