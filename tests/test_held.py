"""Rows held back: written in the order they came, before anything is asked, and never where their transaction was undone."""

from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.extensions import DRAWN_AT_ONCE, asking, db, insert, insert_known, insert_later
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


# What commits itself


def modes(app: Flask, act: Any) -> list[bool]:
    """Of each INSERT, UPDATE and question that locks, sent while a page is made: whether it commits itself."""
    found: list[bool] = []

    def note(connection: sa.Connection, _cursor: Any, text: str, *_rest: Any) -> None:
        if text.startswith(("INSERT", "WITH", "UPDATE")) or "FOR UPDATE" in text:
            found.append(getattr(connection.connection.driver_connection, "autocommit", False))  # SQLite has transactions alone

    sa.event.listen(db.engine, "before_cursor_execute", note)
    try:
        with app.test_request_context(method="POST"):
            act()
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", note)
    return found


def rename(user_id: int) -> None:
    db.session.execute(sa.update(User).where(User.id == user_id).values(name="Someone"))


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        (lambda _user: None, [True]),
        (lambda user: db.session.scalar(sa.select(User.name).where(User.id == user)), [True]),
        (lambda _user: asking().scalar(sa.select(1)), [True]),
        (rename, [False, False]),
        (lambda user: setattr(db.session.get_one(User, user), "name", "Someone"), [False, False]),
        (lambda user: db.session.get_one(User, user, with_for_update=True), [False, False]),
        (lambda user: db.session.connection().scalar(sa.select(User.name).where(User.id == user)), [False]),
        (lambda _user: db.session.begin_nested(), [False]),
    ],
)
def test_rows_that_are_all_a_page_writes_commit_themselves(app: Flask, before: Any, wanted: list[bool]) -> None:
    user_id = make_user(name="Nobody").id
    db.session.commit()

    def act() -> None:
        before(user_id)
        hold_event("one", given=hold_event("two"))
        db.session.commit()

    found = modes(app, act)
    assert found == (wanted if db.engine.dialect.name == "postgresql" else [False] * len(found))
    assert types() == ["two", "one"]


def test_what_a_page_wrote_before_it_failed_is_undone(app: Flask) -> None:
    user_id = make_user(name="Nobody").id
    db.session.commit()
    with app.test_request_context(method="POST"):
        hold_event("first")
        rename(user_id)
        insert_later(Receipt, event_id=987654, reader="campaigns")
        with pytest.raises(sa.exc.IntegrityError):
            db.session.commit()
    db.session.rollback()
    assert types() == []
    assert db.session.scalar(sa.select(User.name)) == "Nobody"


def test_a_row_is_written_only_where_what_it_needs_is_true(app: Flask) -> None:
    wanted = sa.bindparam("wanted", type_=sa.Boolean).is_(True)
    for answer in (True, False):
        row = insert_later(Event, provided=(wanted, {"wanted": answer}), type=f"is {answer}", subject="user:1", data={}, at=NOW)
        hold_event("after", given=row)
        db.session.commit()
        assert (row.id is not None) is answer
    assert types() == ["is True", "after"]


def test_ids_known_ahead_are_those_of_the_rows(app: Flask) -> None:
    made = [insert_known(User, public_id=f"guest-{number}", created_at=NOW) for number in range(DRAWN_AT_ONCE + 2)]
    assert len(set(made)) == len(made)
    db.session.commit()
    assert {user.public_id: user.id for user in db.session.scalars(sa.select(User))} == {
        f"guest-{number}": made[number] for number in range(len(made))
    }
