"""Rows held back: written in the order they came, before anything is asked, and never where their transaction was undone."""

from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.extensions import db, insert, insert_later
from courseapp.held import MOST, HeldRow, _together
from courseapp.journal.models import Event, Receipt
from courseapp.learning.models import Enrolment
from tests.conftest import NOW
from tests.factories import make_course, make_user


def hold_event(name: str, given: HeldRow | None = None) -> HeldRow:
    return insert_later(Event, given=given, type=name, subject="user:1", data={}, at=NOW)


def types() -> list[str]:
    return list(db.session.scalars(sa.select(Event.type).order_by(Event.id)))


def hold_enrolment() -> HeldRow:
    user_id, course_id = db.session.info["ids"]
    return insert_later(Enrolment, once=("user_id", "course_id"), user_id=user_id, course_id=course_id, started_at=NOW)


@pytest.fixture
def ids(app: Flask) -> None:
    db.session.info["ids"] = make_user().id, make_course().id


def statements(act: Any) -> list[str]:
    found: list[str] = []
    listen = (
        db.engine,
        "before_cursor_execute",
        lambda _c, _u, text, *_rest: found.append(text) if text.startswith(("INSERT", "WITH")) else None,
    )
    sa.event.listen(*listen)
    try:
        act()
    finally:
        sa.event.remove(*listen)
    return found


def test_rows_are_written_with_the_commit_in_the_order_they_came(app: Flask) -> None:
    wanted = [f"type-{number}" for number in range(5)]
    rows = [hold_event(name) for name in wanted]
    assert [row.id for row in rows] == [None] * 5
    db.session.commit()
    assert types() == wanted
    assert [row.id for row in rows] == list(db.session.scalars(sa.select(Event.id).order_by(Event.id)))


def test_on_postgresql_they_are_one_statement(app: Flask) -> None:
    def act() -> None:
        event = hold_event("one")
        insert_later(Receipt, event_id=event, reader="campaigns")
        hold_event("two")
        db.session.commit()

    assert len(statements(act)) == (1 if db.engine.dialect.name == "postgresql" else 3)
    assert db.session.execute(sa.select(Receipt.event_id, Event.type).join(Event, Event.id == Receipt.event_id)).one().type == "one"


def test_more_than_fit_into_one_statement_are_all_written(app: Flask) -> None:
    wanted = [f"type-{number}" for number in range(3 * MOST + 1)]
    for name in wanted:
        insert_later(Receipt, event_id=hold_event(name), reader="campaigns")
    db.session.commit()
    assert types() == wanted
    assert db.session.query(Receipt).count() == len(wanted)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: db.session.execute(sa.select(Event.type)).all(),
        lambda: db.session.scalars(sa.select(Event.type)).all(),
        lambda: db.session.scalar(sa.select(Event.type)),
        lambda: db.session.connection().execute(sa.select(Event.type)).all(),
        lambda: db.session.query(Event).all(),
        lambda: insert(Event, type="asked", subject="user:1", data={}, at=NOW),
        lambda: db.session.add(Event(type="asked", subject="user:1", data={}, at=NOW)) or db.session.flush(),
    ],
)
def test_whoever_asks_sees_them(app: Flask, ask: Any) -> None:
    row = hold_event("held")
    ask()
    assert row.id is not None
    assert types()[0] == "held"


def test_what_is_rolled_back_or_closed_is_gone(app: Flask) -> None:
    for end in (db.session.rollback, db.session.close, db.session.remove):
        hold_event("held")
        end()
        db.session.commit()
        assert types() == []


def test_a_savepoint_undoes_what_was_held_in_it_alone(app: Flask) -> None:
    hold_event("before")
    savepoint = db.session.begin_nested()
    hold_event("within")
    savepoint.rollback()
    hold_event("after")
    db.session.commit()
    assert types() == ["before", "after"]


def test_a_row_there_already_is_not_written_nor_what_hangs_on_it(ids: None) -> None:
    for _time in range(2):
        made = hold_enrolment()
        event = hold_event("enrolled", given=made)
        insert_later(Receipt, event_id=event, reader="campaigns")
        db.session.commit()
    assert made.id is None
    assert event.id is None
    assert types() == ["enrolled"]
    assert db.session.query(Receipt).count() == db.session.query(Enrolment).count() == 1


def test_what_hangs_on_a_row_written_meanwhile_still_knows_it(ids: None) -> None:
    for _time in range(2):
        made = hold_enrolment()
        types()  # somebody asks, and so the row is written
        event = hold_event("enrolled", given=made)
        insert_later(Receipt, event_id=event, reader="campaigns")
        types()
        insert_later(Receipt, event_id=event, reader="insights")
        db.session.commit()
    assert types() == ["enrolled"]
    assert sorted(db.session.scalars(sa.select(Receipt.reader))) == ["campaigns", "insights"]


def test_a_failure_is_that_of_the_commit_and_leaves_nothing(app: Flask) -> None:
    hold_event("good")
    insert_later(Receipt, event_id=987654, reader="campaigns")
    with pytest.raises(sa.exc.IntegrityError):
        db.session.commit()
    db.session.rollback()
    assert types() == []


def test_a_shape_is_built_once(app: Flask) -> None:
    before = _together.cache_info().misses
    for _time in range(3):
        hold_event("a", given=hold_event("b"))
        db.session.commit()
    assert _together.cache_info().misses <= before + 1
