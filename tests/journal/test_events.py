"""What happened is written down in the same transaction, with a receipt for each reader, and nothing is told twice or lost."""

import threading

import sqlalchemy as sa
from flask import Flask

from courseapp.extensions import db
from courseapp.journal import events, privacy
from courseapp.journal.models import Event, Receipt
from tests.conftest import NOW
from tests.factories import make_event


def test_an_event_gets_a_receipt_for_each_reader_that_wants_it_and_no_other(app: Flask) -> None:
    events.record("enrolled", "user:1", NOW, user_id=1)
    events.record("lesson_opened", "user:1", NOW)
    db.session.commit()
    assert [row.type for row in db.session.scalars(sa.select(Event).order_by(Event.id))] == ["enrolled", "lesson_opened"]
    assert [(receipt.reader, event.type) for receipt, event in events.unread("campaigns", 9)] == [("campaigns", "enrolled")]
    assert events.unread("nobody", 9) == []


def test_what_is_rolled_back_never_happened(app: Flask) -> None:
    events.record("enrolled", "user:1", NOW)
    db.session.rollback()
    assert db.session.query(Event).count() == db.session.query(Receipt).count() == 0


def test_receipts_come_in_order_within_the_limit_and_once_read_no_more(app: Flask) -> None:
    for number in range(5):
        make_event("enrolled", f"user:{number}", readers=["campaigns"])
    first = events.unread("campaigns", 3)
    assert [event.subject for _receipt, event in first] == ["user:0", "user:1", "user:2"]
    for receipt, _event in first:
        receipt.read_at = NOW
    db.session.commit()
    assert [event.subject for _receipt, event in events.unread("campaigns", 3)] == ["user:3", "user:4"]


def test_two_readers_at_once_share_no_receipt(app: Flask) -> None:
    for number in range(40):
        make_event("enrolled", f"user:{number}", readers=["campaigns"])
    db.session.commit()
    barrier, read = threading.Barrier(3), []

    def act() -> None:
        with app.app_context():
            barrier.wait()
            for _ in range(40):
                batch = events.unread("campaigns", 5)
                for receipt, event in batch:
                    receipt.read_at = NOW
                    read.append(event.subject)
                db.session.commit()

    threads = [threading.Thread(target=act) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(read) == sorted(f"user:{number}" for number in range(40))


def test_one_event_is_one_receipt_for_a_reader(app: Flask) -> None:
    event = make_event(readers=["campaigns"])
    db.session.add(Receipt(event_id=event.id, reader="campaigns"))
    try:
        db.session.flush()
    except sa.exc.IntegrityError:
        return
    raise AssertionError("a second receipt was taken")


def test_has_happened_asks_about_this_type_and_this_subject(app: Flask) -> None:
    make_event("course_completed", "user:1")
    asked = [("course_completed", "user:1"), ("course_completed", "user:2"), ("enrolled", "user:1"), ("course_completed", "user:11")]
    assert [db.session.scalar(sa.select(events.has_happened(*words))) for words in asked] == [True, False, False, False]


def test_forgetting_a_person_keeps_the_fact_and_cuts_the_tie(app: Flask) -> None:
    make_event("enrolled", "user:1", data={"user_id": 1})
    make_event("enrolled", "user:11", data={"user_id": 11})
    privacy.erase(["user:1", "contact:1"])
    rows = db.session.scalars(sa.select(Event).order_by(Event.id)).all()
    db.session.expire_all()
    assert [(row.type, row.subject, row.facts) for row in rows] == [("enrolled", "erased", {}), ("enrolled", "user:11", {"user_id": 11})]


def test_who_of_staff_did_something_with_a_person_outlives_the_person(app: Flask) -> None:
    make_event("staff_replaced_address", "user:1", data={"by": 7, "role": "owner", "reason": "moved to new@example.org"})
    make_event("role_taken", "user:1", data={"by": None, "role": "marketer"})
    make_event("staff_exported", "contact:1", data={"by_user_id": 8})
    make_event("consent_withdrawn", "contact:1", data={"contact_id": 1, "by": 1})
    privacy.erase(["user:1", "contact:1"])
    db.session.expire_all()
    rows = db.session.scalars(sa.select(Event).order_by(Event.id)).all()
    assert {row.subject for row in rows} == {"erased"}
    assert [row.facts for row in rows] == [{"by": 7, "role": "owner"}, {"by": None, "role": "marketer"}, {"by_user_id": 8}, {}]


def test_readers_are_not_told_of_erased_events_whose_facts_are_gone(app: Flask) -> None:
    make_event("course_completed", "user:1", readers=["campaigns"], data={"user_id": 1, "course_id": 1})
    make_event("consent_withdrawn", "contact:1", readers=["campaigns"], data={"contact_id": 1, "purpose": "course"})
    make_event("enrolled", "user:2", readers=["campaigns"], data={"user_id": 2})
    privacy.erase(["user:1", "contact:1"])
    assert [event.subject for _receipt, event in events.unread("campaigns", 9)] == ["user:2"]


def test_everything_about_a_person_is_given_out_oldest_first(app: Flask) -> None:
    make_event("enrolled", "user:1", data={"course_id": 3})
    make_event("consent_given", "contact:4")
    make_event("enrolled", "user:2")
    found = privacy.export(["user:1", "contact:4"])
    assert [(row["type"], row["data"]) for row in found] == [("enrolled", {"course_id": 3}), ("consent_given", {})]
