"""Rows that may wait: handed over one by one, written together before anything is asked of the database, and at the commit.

PostgreSQL takes several INSERTs as one statement, and a statement costs more than the row it writes: five rows together cost
a third of what they cost one after the other. On SQLite they are written in turn.
"""

from functools import lru_cache
from typing import Any, cast

import sqlalchemy as sa
from flask_sqlalchemy.session import Session as FlaskSession
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase

MOST = 8  # rows of one statement; psycopg remembers no statement that is much longer


Telling = tuple[sa.ColumnElement[Any], dict[str, Any]]
"""An expression and its parameters."""


class HeldRow:
    """A row that is not written yet. As a value of a later row it stands for its id; without it, that one is not written either.

    Args:
        once: the columns of a unique constraint; where a row with the same values is there already, none is written.
        or_find: a unique column; where a row with the same value is there already, its id is this row's.
        adding: a column that, where `once` finds such a row already, is raised by this row's value instead.
        given: an earlier row, without which this one is not written either.
        telling: what to ask when the row is written; `told` is the answer.
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
        telling: Telling | None = None,
    ) -> None:
        self.model, self.values, self.once, self.or_find, self.adding = model, values, once, or_find, adding
        self.given, self.telling = given, telling
        self.is_past = False  # whether its turn has come
        self.id: int | None = None  # where it was written
        self.told: Any = None

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

    def hold(self, row: HeldRow) -> None:
        """Have a row written with the next ones."""
        if (len(self._held) >= MOST and not row.needs) or row.telling is not None:  # one that tells comes first, and alone
            self.write_held()
        if not self.in_transaction():
            self.begin()  # else there would be nothing yet that a rollback could undo
        self._held.append(row)

    def write_held(self) -> None:
        """Write what is held."""
        rows, self._held = self._held, []
        if rows:
            connection = self.connection()
            write = _write_together if connection.dialect.name == "postgresql" else _write_in_turn
            write(connection, rows)

    def get_bind(self, mapper: Any = None, clause: Any = None, bind: Any = None, **kwargs: Any) -> Any:
        """There is one database. Everything that asks it comes by here, and is to see what was held."""
        if self._held:
            self.write_held()
        return bind if bind is not None else self._db.engine

    def begin_nested(self) -> Any:
        """A savepoint; what was held before it is not undone with it."""
        self.write_held()
        return super().begin_nested()

    def close(self) -> None:
        """End the session's work; what is held was never committed."""
        self._held = []
        super().close()


@sa.event.listens_for(HoldingSession, "before_commit")
def _write_before_commit(session: HoldingSession) -> None:
    session.write_held()


@sa.event.listens_for(HoldingSession, "after_soft_rollback")
def _forget_after_rollback(session: HoldingSession, _transaction: object) -> None:
    session._held = []


def table_of(model: type[DeclarativeBase]) -> sa.Table:
    """A model's table, for statements that need no entities and so cost less."""
    return cast(sa.Table, model.__table__)


def insert_of(dialect: str, table: sa.Table) -> Any:
    """An INSERT that knows ON CONFLICT."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


@lru_cache
def insertion(
    dialect: str, model: type[DeclarativeBase], once: tuple[str, ...] = (), or_find: str = "", adding: str = "", telling: Any = None
) -> Any:
    """An INSERT of one row, built once; it gives the row's id and what it tells."""
    return _finished(insert_of(dialect, table_of(model)), once, or_find, adding, telling)


def _finished(statement: Any, once: tuple[str, ...], or_find: str, adding: str, telling: Any) -> Any:
    if adding:
        raised = statement.table.c[adding] + statement.excluded[adding]
        statement = statement.on_conflict_do_update(index_elements=once, set_={adding: raised})
    elif once:
        statement = statement.on_conflict_do_nothing(index_elements=once)
    if or_find:
        statement = statement.on_conflict_do_update(index_elements=[or_find], set_={or_find: statement.excluded[or_find]})
    return statement.returning(statement.table.c.id, (sa.null() if telling is None else telling).label("told"))


def _write_in_turn(connection: sa.Connection, rows: list[HeldRow]) -> None:
    for row in rows:
        if row.settle():
            asked, facts = row.telling or (None, {})
            statement = insertion("sqlite", row.model, row.once, row.or_find, row.adding, asked)
            if (found := connection.execute(statement, {**row.values, **facts}).one_or_none()) is not None:
                row.id, row.told = found
        row.is_past = True


def _write_together(connection: sa.Connection, rows: list[HeldRow]) -> None:
    places: dict[HeldRow, int] = {}
    shape: list[Shape] = []
    facts: dict[str, Any] = {}
    for row in rows:
        if not row.settle():
            row.is_past = True
            continue
        place = places[row] = len(places)
        sources = {name: places[value] if isinstance(value, HeldRow) else None for name, value in row.values.items()}
        facts |= {f"{name}_{place}": row.values[name] for name, source in sources.items() if source is None}
        asked, more_facts = row.telling or (None, {})
        facts |= more_facts
        given = places[row.given] if row.given is not None else None
        shape.append((row.model, tuple(sources.items()), row.once, row.or_find, row.adding, given, asked))
    found = {place: rest for place, *rest in connection.execute(_together(tuple(shape)), facts)} if shape else {}
    for row, place in places.items():
        row.is_past = True
        row.id, row.told = found.get(place, (None, None))


Shape = tuple[type[DeclarativeBase], tuple[tuple[str, int | None], ...], tuple[str, ...], str, str, int | None, Any]
"""Of a row: its model; its columns, and of which row before it each is the id; `once`; `or_find`; `adding`; which row is `given`;
what it tells."""


@lru_cache(maxsize=256)
def _together(rows: tuple[Shape, ...]) -> Any:
    """One statement that writes rows of such shapes, and gives the place, the id and what is told of each that was written."""
    written: list[Any] = []
    for place, (model, columns, once, or_find, adding, given, telling) in enumerate(rows):
        table = table_of(model)
        values = sa.select(
            *(
                sa.bindparam(f"{name}_{place}", type_=table.c[name].type) if source is None else written[source].c.id
                for name, source in columns
            )
        )
        if given is not None:
            values = values.select_from(written[given])
        row = insert_of("postgresql", table).from_select([name for name, _source in columns], values, include_defaults=False)
        written.append(_finished(row, once, or_find, adding, telling).cte(f"row_{place}"))
    # asked for in this order, they are written in this order, which a WITH alone does not promise
    # and what is told has a type of its own, which a NULL takes on and a column of NULLs does not
    told = [row.c.told if shape[-1] is not None else sa.null() for row, shape in zip(written, rows, strict=True)]
    return sa.union_all(*(sa.select(sa.literal_column(str(place)), row.c.id, told[place]) for place, row in enumerate(written)))
