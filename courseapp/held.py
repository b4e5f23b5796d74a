"""Rows that may wait: handed over one by one, written together before anything is asked of the database, and at the commit.

PostgreSQL takes several INSERTs as one statement, and a statement costs more than the row it writes: five rows together cost
a third of what they cost one after the other. On SQLite they are written in turn.

On PostgreSQL a page's questions stand in no transaction; the first statement that may write begins one. Where the rows held
at the commit are all that is to be written, their one statement commits itself, and BEGIN and COMMIT are spared.
"""

from datetime import datetime
from functools import lru_cache
from typing import Any, cast

import sqlalchemy as sa
from flask_sqlalchemy.session import Session as FlaskSession
from sqlalchemy.orm import DeclarativeBase

MOST = 12  # rows of one statement; psycopg remembers none that is longer than 4096 characters or has more than 50 parameters
APART = "apart"  # in the facts of a connection: it was lent to a page, and no transaction has begun


Condition = tuple[sa.ColumnElement[bool], dict[str, Any]]
"""An expression, which is the same object each time, and its parameters."""


class HeldRow:
    """A row that is not written yet. As a value of a later row it stands for its id; without it, that one is not written either.

    Args:
        once: the columns of a unique constraint; where a row with the same values is there already, none is written.
        or_find: a unique column; where a row with the same value is there already, its id is this row's.
        adding: a column that, where `once` finds such a row already, is raised by this row's value instead.
        given: an earlier row, without which this one is not written either.
        provided: what must be true when it is written, else it is not.
    """

    def __init__(
        self,
        model: type[DeclarativeBase],
        values: dict[str, Any],
        *,
        once: tuple[str, ...] = (),
        or_find: str = "",
        adding: str = "",
        given: "HeldRow | None" = None,
        provided: Condition | None = None,
    ) -> None:
        self.model, self.values, self.once, self.or_find, self.adding = model, values, once, or_find, adding
        self.given, self.provided = given, provided
        self.is_past = False  # whether its turn has come
        self.id: int | None = None  # where it was written

    @property
    def needs(self) -> list["HeldRow"]:
        """The rows without which it is not written."""
        needed = [value for value in self.values.values() if isinstance(value, HeldRow)]
        return needed if self.given is None else [self.given, *needed]

    def settle(self) -> bool:
        """Put ids in for rows that have come to be written before this one; False where one of them was not, and so this is not."""
        if any(row.is_past and row.id is None for row in self.needs):
            return False
        self.given = None if self.given is None or self.given.is_past else self.given
        past = {name: value.id for name, value in self.values.items() if isinstance(value, HeldRow) and value.is_past}
        self.values |= past
        return True


class HoldingSession(FlaskSession):
    """The session, which holds rows back. Whoever asks the database for anything sees them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._held: list[HeldRow] = []
        self._is_writing = False

    def hold(self, row: HeldRow) -> None:
        """Have a row written with the next ones."""
        if len(self._held) >= MOST and not row.needs:
            self.write_held()
        if not self.in_transaction():
            self.begin()  # else there would be nothing yet that a rollback could undo
        self._held.append(row)

    def write_held(self) -> None:
        """Write what is held."""
        if self._held:
            self._begin_writing()
            self._write()

    def asking(self) -> sa.Connection:
        """The connection, for plain questions: no transaction begins by them. What was held is written before."""
        return self.connection(bind_arguments={"asks": True})

    def get_bind(self, mapper: Any = None, clause: Any = None, bind: Any = None, asks: bool = False, **kwargs: Any) -> Any:
        """There is one database. Everything that asks it comes by here, and is to see what was held."""
        if not (asks or _only_asks(clause)):
            self._begin_writing()
        if self._held:
            self.write_held()
        return bind if bind is not None else self._db.engine

    def begin_nested(self) -> Any:
        """A savepoint; what was held before it is not undone with it."""
        self.write_held()
        self._begin_writing()
        return super().begin_nested()

    def close(self) -> None:
        """End the session's work; what is held was never committed."""
        self._forget()
        super().close()

    def write_last(self) -> None:
        """Write what is held as the last thing before a commit: where it is also the first, the statement commits itself."""
        if self._held:
            if self._is_writing or self.new or self.dirty or self.deleted:
                self.write_held()
            else:
                self._write()

    def _write(self) -> None:
        rows, self._held = self._held, []
        connection = self._connection_of_page()
        write = _write_together if connection.dialect.name == "postgresql" else _write_in_turn
        write(connection, rows)

    def _begin_writing(self) -> None:
        """From here on there is a transaction until the commit."""
        if not self._is_writing:
            self._is_writing = True
            connection = self._connection_of_page()
            if connection.info.get(APART):
                connection.info[APART] = False
                driver: Any = connection.connection.driver_connection
                driver.autocommit = False

    def _connection_of_page(self) -> sa.Connection:
        return self.connection(bind_arguments={"bind": self._db.engine})

    def _forget(self) -> None:
        self._held, self._is_writing = [], False


def _only_asks(clause: Any) -> bool:
    """Whether a statement is a question that locks nothing. (A SELECT around an INSERT would be taken for one; ours go other ways.)"""
    return isinstance(clause, sa.Select) and clause._for_update_arg is None


@sa.event.listens_for(HoldingSession, "before_commit")
def _write_before_commit(session: HoldingSession) -> None:
    session.write_last()


@sa.event.listens_for(HoldingSession, "after_commit")
def _rest_after_commit(session: HoldingSession) -> None:
    session._forget()


@sa.event.listens_for(HoldingSession, "after_soft_rollback")
def _forget_after_rollback(session: HoldingSession, _transaction: object) -> None:
    session._forget()


def table_of(model: type[DeclarativeBase]) -> sa.Table:
    """A model's table, for statements that need no entities and so cost less."""
    return cast(sa.Table, model.__table__)


def insert_of(dialect: str, table: sa.Table) -> Any:
    """An INSERT that knows ON CONFLICT."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


@lru_cache
def insertion(
    dialect: str,
    model: type[DeclarativeBase],
    once: tuple[str, ...] = (),
    or_find: str = "",
    adding: str = "",
    names: tuple[str, ...] = (),
    condition: Any = None,
) -> Any:
    """An INSERT of one row, built once; it gives the row's id. With a condition the `names` of its columns must be given too."""
    table = table_of(model)
    statement = insert_of(dialect, table)
    if condition is not None:
        values = sa.select(*(sa.bindparam(name, type_=table.c[name].type) for name in names)).where(condition)
        statement = statement.from_select(names, values, include_defaults=False)
    return _finished(statement, once, or_find, adding)


def _finished(statement: Any, once: tuple[str, ...], or_find: str, adding: str) -> Any:
    if adding:
        raised = statement.table.c[adding] + statement.excluded[adding]
        statement = statement.on_conflict_do_update(index_elements=once, set_={adding: raised})
    elif once:
        statement = statement.on_conflict_do_nothing(index_elements=once)
    if or_find:
        statement = statement.on_conflict_do_update(index_elements=[or_find], set_={or_find: statement.excluded[or_find]})
    return statement.returning(statement.table.c.id)


def _write_in_turn(connection: sa.Connection, rows: list[HeldRow]) -> None:
    for row in rows:
        if row.settle():
            condition, facts = row.provided or (None, {})
            names = tuple(row.values) if condition is not None else ()
            statement = insertion("sqlite", row.model, row.once, row.or_find, row.adding, names, condition)
            row.id = connection.scalar(statement, {**row.values, **facts})
        row.is_past = True


def _write_together(connection: sa.Connection, rows: list[HeldRow]) -> None:
    places: dict[HeldRow, int] = {}
    shape: list[Shape] = []
    facts: dict[str, Any] = {}
    moments: dict[datetime, str] = {}  # one parameter for what happened at one moment
    for row in rows:
        if not row.settle():
            row.is_past = True
            continue
        place = places[row] = len(places)
        sources: list[tuple[str, int | str]] = []
        for name, value in row.values.items():
            if isinstance(value, HeldRow):
                sources.append((name, places[value]))
            elif value is not None:  # what is not given is NULL
                fact = f"p{len(facts)}"
                if isinstance(value, datetime):
                    fact = moments.setdefault(value, fact)
                facts[fact] = value
                sources.append((name, fact))
        condition, more_facts = row.provided or (None, {})
        facts |= more_facts
        given = places[row.given] if row.given is not None else None
        shape.append((row.model, tuple(sources), row.once, row.or_find, row.adding, given, condition))
    found: dict[int, int] = dict(connection.execute(_together(tuple(shape)), facts).all()) if shape else {}
    for row, place in places.items():
        row.is_past = True
        row.id = found.get(place)


Shape = tuple[type[DeclarativeBase], tuple[tuple[str, int | str], ...], tuple[str, ...], str, str, int | None, Any]
"""Of a row: its model; its columns, and of which row before it each is the id, or which parameter; `once`; `or_find`; `adding`; which
row is `given`; what must be true."""


@lru_cache(maxsize=256)
def _together(rows: tuple[Shape, ...]) -> Any:
    """One statement that writes rows of such shapes, and gives the place and the id of each that was written."""
    written: list[Any] = []
    for place, (model, columns, once, or_find, adding, given, condition) in enumerate(rows):
        table = table_of(model)
        values = sa.select(
            *(
                sa.bindparam(source, type_=table.c[name].type) if isinstance(source, str) else written[source].c.id
                for name, source in columns
            )
        )
        if given is not None:
            values = values.select_from(written[given])
        if condition is not None:
            values = values.where(condition)
        row = insert_of("postgresql", table).from_select([name for name, _source in columns], values, include_defaults=False)
        written.append(_finished(row, once, or_find, adding).cte(f"r{place}"))
    # asked for in this order, they are written in this order, which a WITH alone does not promise
    return sa.union_all(*(sa.select(sa.literal_column(str(place)), row.c.id) for place, row in enumerate(written)))
