"""Publishing at a time: chosen in the organisation's zone, changed, called off, done once, and told where it could not be."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.authoring import loops, publications, uploads
from courseapp.authoring.models import Import, Problem, Publication, Upload, UploadState
from courseapp.authoring.releasing import publish_course
from courseapp.catalog.models import Course
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.operations import backups
from courseapp.operations.tidying import tidy
from tests.authoring.folders import lesson, small_course
from tests.authoring.test_uploads import decide, only_upload, packed, public_page, send, shown, work
from tests.client import Client
from tests.factories import make_user

BERLIN = "Europe/Berlin"
pytestmark = pytest.mark.settings(default_zone=BERLIN)
TOMORROW = {"day": "2026-11-03", "time": "09:30"}  # 08:30 UTC, a day after the test's now


@pytest.fixture
def instructor(client: Client) -> Client:
    """A browser in which an instructor is signed in."""
    client.sign_in(make_user(roles=("instructor",)))
    return client


@pytest.fixture
def ready(instructor: Client, tmp_path: Path) -> Upload:
    """An upload of the small course, looked through."""
    send(instructor, ("course.zip", packed(small_course(tmp_path / "course"))))
    work()
    return only_upload()


def only_publication() -> Publication:
    """The one publication, as the database has it."""
    return db.session.scalars(sa.select(Publication).execution_options(populate_existing=True)).one()


def noted(*types: str) -> list[tuple[str, Any]]:
    """What the journal holds of some types, in order, and by whom."""
    rows = db.session.scalars(sa.select(Event).where(Event.type.in_(types)).order_by(Event.id))
    return [(row.type, row.data.get("by_user_id")) for row in rows]


def courses() -> list[Course]:
    """Every course."""
    return list(db.session.scalars(sa.select(Course).execution_options(populate_existing=True)))


def test_an_upload_is_published_at_its_time_and_not_before(
    app: Flask, instructor: Client, ready: Upload, pass_time: Callable[..., datetime]
) -> None:
    decide(instructor, "plan", **TOMORROW)
    text = shown(instructor)
    assert "It will be published on November 3, 2026, 9:30" in text
    assert "(Europe/Berlin, UTC+01:00)" in text
    assert "9:30" in instructor.visit("authoring.list_uploads").text
    assert (only_publication().at, only_upload().state) == (datetime(2026, 11, 3, 8, 30, tzinfo=UTC), UploadState.READY)
    pass_time(hours=23)
    assert (work(), courses()) == (0, [])
    pass_time(hours=1)
    assert (work(), len(courses())) == (1, 1)
    assert public_page(app) == 200
    assert only_upload().state is UploadState.COMMITTED
    assert (work(), len(list(db.session.scalars(sa.select(Import))))) == (0, 1)
    user_id = only_upload().by_user_id
    assert noted("publication_planned", "upload_accepted") == [("publication_planned", user_id), ("upload_accepted", user_id)]


def test_two_workers_publish_it_once(instructor: Client, ready: Upload, pass_time: Callable[..., datetime]) -> None:
    decide(instructor, "plan", **TOMORROW)
    now = pass_time(days=2, hours=-12)
    db.session.commit()
    first = publications.claim_due(now)
    assert first is not None
    if db.engine.dialect.name == "postgresql":  # SQLite has one writer: there the second waits until the first is done
        with db.engine.connect() as other:
            due = sa.select(Publication.id).where(Publication.ended_at.is_(None)).with_for_update(skip_locked=True)
            assert other.execute(due).all() == []
    loops._publish(first, now)
    db.session.commit()
    assert publications.claim_due(now) is None
    db.session.rollback()
    work()
    assert len(list(db.session.scalars(sa.select(Import)))) == 1


def test_the_time_can_be_changed_and_called_off(instructor: Client, ready: Upload, pass_time: Callable[..., datetime]) -> None:
    decide(instructor, "plan", **TOMORROW)
    decide(instructor, "plan", day="2026-11-05", time="12:00")
    assert only_publication().at == datetime(2026, 11, 5, 11, 0, tzinfo=UTC)
    pass_time(days=2)
    assert work() == 0
    instructor.sign_in(make_user(roles=("instructor",)))  # the session of staff has ended meanwhile
    decide(instructor, "unplan")
    pass_time(days=2)
    assert (work(), only_upload().state, courses()) == (0, UploadState.READY, [])
    instructor.sign_in(make_user(roles=("instructor",)))
    assert "It will be published" not in shown(instructor)
    assert [name for name, _who in noted("publication_planned", "publication_called_off")] == [
        "publication_planned",
        "publication_planned",
        "publication_called_off",
    ]
    answer = decide(instructor, "unplan")
    assert "too late" in instructor.get(answer.location).text


def test_a_time_that_has_passed_is_now(instructor: Client, ready: Upload) -> None:
    answer = decide(instructor, "plan", day="2026-11-01", time="09:00")
    assert "That time has passed already" in instructor.get(answer.location).text
    work()
    assert (only_upload().state, courses()[0].is_published) == (UploadState.COMMITTED, True)
    assert db.session.scalars(sa.select(Publication)).all() == []


@pytest.mark.parametrize(
    ("day", "time"),
    [
        ("", ""),
        ("2026-11-03", ""),
        ("soon", "09:00"),
        ("2026-02-30", "09:00"),
        ("2026-11-03", "25:00"),
        ("9999-12-31", "23:59"),
        ("0001-01-01", "00:00"),
        ("2030-01-01", "09:00"),
    ],
)
def test_a_time_that_is_none_changes_nothing(instructor: Client, ready: Upload, day: str, time: str) -> None:
    answer = decide(instructor, "plan", day=day, time=time)
    said = instructor.get(answer.location).text
    if day == "0001-01-01":  # it has passed
        return
    assert "Nothing was changed" in said
    assert (only_upload().state, db.session.scalars(sa.select(Publication)).all()) == (UploadState.READY, [])


def test_a_time_the_clocks_leave_out_is_said_to_be_another(instructor: Client, ready: Upload) -> None:
    answer = decide(instructor, "plan", day="2027-03-28", time="02:30")
    said = instructor.get(answer.location).text
    assert "put forward" in said
    assert "3:30" in said


def test_where_the_course_changed_meanwhile_it_stays_and_says_so(
    instructor: Client, ready: Upload, tmp_path: Path, pass_time: Callable[..., datetime]
) -> None:
    decide(instructor, "draft")
    work()
    db.session.execute(sa.delete(Upload))
    folder = small_course(tmp_path / "b", **{"01-beginning/02-two.md": lesson("two", "Other words.\n")})
    send(instructor, ("b.zip", packed(folder)))
    work()
    decide(instructor, "plan", **TOMORROW)
    course = courses()[0]
    publish_course(course, clock.now(), None)  # somebody else does something with it
    db.session.commit()
    assert "The course has changed since this was looked through" in shown(instructor)
    pass_time(days=1)
    assert work() == 1  # looked through again, not brought in
    assert (only_upload().state, only_upload().problem) == (UploadState.READY, Problem.CHANGED)
    text = shown(instructor)
    assert "It was to be published on November 3, 2026" in text
    assert "Read what changes now" in text
    assert "has changed since this was looked through</" not in text  # the difference is a fresh one
    assert "not published" in instructor.visit("authoring.list_uploads").text
    assert len(list(db.session.scalars(sa.select(Import)))) == 1
    decide(instructor, "publish")
    work()
    assert (only_upload().state, only_upload().problem) == (UploadState.COMMITTED, None)


def test_a_difference_that_is_stale_is_made_anew_before_anything_is_accepted(instructor: Client, ready: Upload, tmp_path: Path) -> None:
    decide(instructor, "publish")
    work()
    first = only_upload().public_id
    send(instructor, ("b.zip", packed(small_course(tmp_path / "b", **{"01-beginning/02-two.md": lesson("two", "Other words.\n")}))))
    work()
    second = db.session.scalars(sa.select(Upload).where(Upload.public_id != first)).one()
    instructor.submit("authoring.ask_to_undo", to="authoring.undo_import", slug="small")
    token = instructor.csrf_token("authoring.list_uploads")
    for choice in ("publish", "draft", "plan"):
        path = instructor.path("authoring.decide", id=second.public_id)
        said = instructor.post(path, data={"csrf_token": token, "choice": choice, **TOMORROW}, follow_redirects=True).text
        assert "The course has changed meanwhile" in said or choice != "publish"
        db.session.refresh(second)
        if choice == "publish":
            assert second.state is UploadState.WAITING
            work()
            db.session.refresh(second)
            assert second.state is UploadState.READY
            course = courses()[0]
            course.version += 1
        else:
            work()
            course = courses()[0]
            course.version += 1
    assert len(list(db.session.scalars(sa.select(Import)))) == 1
    assert db.session.scalars(sa.select(Publication)).all() == []


def test_a_change_between_the_decision_and_the_worker_is_noticed_too(instructor: Client, ready: Upload, tmp_path: Path) -> None:
    decide(instructor, "draft")
    work()
    db.session.execute(sa.delete(Upload))
    send(instructor, ("b.zip", packed(small_course(tmp_path / "b", **{"01-beginning/02-two.md": lesson("two", "Other words.\n")}))))
    work()
    decide(instructor, "publish")
    course = courses()[0]
    course.version += 1
    assert work() == 2  # found to be another course, then looked through again
    assert (only_upload().state, only_upload().problem) == (UploadState.READY, Problem.CHANGED)
    assert not courses()[0].is_published
    assert "It was not brought in" in shown(instructor)


@pytest.mark.settings(
    mode="production",
    secret_key="a-long-secret-for-this-test-alone",
    postal_address="1 Example Street",
    sender_address="course@example.org",
    smtp_url="smtp://127.0.0.1:9",
    allow_sqlite=True,
    base_url="http://localhost",
    default_zone=BERLIN,
)
def test_touch_without_review_is_not_planned_and_not_published_unless_said(
    instructor: Client, ready: Upload, pass_time: Callable[..., datetime]
) -> None:
    decide(instructor, "plan", **TOMORROW)
    assert db.session.scalars(sa.select(Publication)).all() == []
    decide(instructor, "plan", without_review="1", **TOMORROW)
    only_publication().without_review = False  # as if the rule had come later
    pass_time(days=1)
    work()
    assert (only_upload().state, only_upload().problem) == (UploadState.READY, Problem.REFUSED)
    text = shown(instructor)
    assert "It was to be published" in text
    assert "teaches touch" in text
    decide(instructor, "publish", without_review="1")
    work()
    assert only_upload().state is UploadState.COMMITTED


def test_a_server_that_was_away_for_more_than_a_day_asks_anew(
    instructor: Client, ready: Upload, pass_time: Callable[..., datetime]
) -> None:
    decide(instructor, "plan", **TOMORROW)
    pass_time(days=3)
    assert (work(), courses()) == (0, [])
    assert (only_upload().state, only_upload().problem) == (UploadState.READY, Problem.MISSED)
    instructor.sign_in(make_user(roles=("instructor",)))  # the session of staff has ended meanwhile
    assert "away for more than a day" in shown(instructor)


def test_one_that_breaks_does_not_keep_the_others(
    instructor: Client, ready: Upload, pass_time: Callable[..., datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(instructor, "plan", **TOMORROW)

    def breaks(_upload: Upload) -> bool:
        raise RuntimeError

    monkeypatch.setattr(uploads, "is_stale", breaks)
    pass_time(days=1)
    work()
    assert (only_publication().problem, only_upload().state) == (Problem.BROKE, UploadState.READY)


def test_a_draft_course_is_published_at_its_time(app: Flask, instructor: Client, ready: Upload, pass_time: Callable[..., datetime]) -> None:
    decide(instructor, "draft")
    work()
    instructor.submit("authoring.ask_to_publish", {"choice": "plan", **TOMORROW}, to="authoring.publish", slug="small")
    assert "It will be published on November 3, 2026" in instructor.visit("authoring.course", slug="small").text
    instructor.submit("authoring.ask_to_publish", {"choice": "unplan"}, to="authoring.publish", slug="small")
    assert "It will be published" not in instructor.visit("authoring.course", slug="small").text
    instructor.submit("authoring.ask_to_publish", {"choice": "plan", **TOMORROW}, to="authoring.publish", slug="small")
    work()
    assert public_page(app) == 404
    pass_time(days=1)
    work()
    assert public_page(app) == 200
    version = courses()[0].version
    work()
    assert courses()[0].version == version
    assert noted("course_published") == [("course_published", only_upload().by_user_id)]


def test_publishing_by_hand_calls_the_time_off(instructor: Client, ready: Upload, pass_time: Callable[..., datetime]) -> None:
    decide(instructor, "draft")
    work()
    instructor.submit("authoring.ask_to_publish", {"choice": "plan", **TOMORROW}, to="authoring.publish", slug="small")
    instructor.submit("authoring.ask_to_publish", {"choice": "publish"}, to="authoring.publish", slug="small")
    instructor.submit("authoring.ask_to_withdraw", to="authoring.withdraw", slug="small")
    pass_time(days=1)
    work()
    assert not courses()[0].is_published  # what was withdrawn since does not come back by itself


def test_what_was_taken_out_of_sight_is_not_brought_back_by_an_older_plan(
    instructor: Client, ready: Upload, tmp_path: Path, pass_time: Callable[..., datetime]
) -> None:
    decide(instructor, "draft")
    work()
    instructor.submit("authoring.ask_to_publish", {"choice": "plan", **TOMORROW}, to="authoring.publish", slug="small")
    db.session.execute(sa.delete(Upload))
    send(instructor, ("b.zip", packed(small_course(tmp_path / "b", **{"01-beginning/02-two.md": lesson("two", "Other words.\n")}))))
    work()
    decide(instructor, "publish")
    work()
    assert "It will be published" not in instructor.visit("authoring.course", slug="small").text  # it is
    instructor.submit("authoring.ask_to_withdraw", to="authoring.withdraw", slug="small")
    pass_time(days=1)
    work()
    assert not courses()[0].is_published


def test_what_is_thrown_away_is_not_published(instructor: Client, ready: Upload, pass_time: Callable[..., datetime]) -> None:
    decide(instructor, "plan", **TOMORROW)
    decide(instructor, "cancel")
    pass_time(days=1)
    assert (work(), courses(), only_upload().state) == (0, [], UploadState.CANCELLED)


def test_withdrawing_asks_first_and_says_whom_it_concerns(app: Flask, instructor: Client, ready: Upload) -> None:
    decide(instructor, "publish")
    work()
    page = instructor.visit("authoring.ask_to_withdraw", slug="small").text
    assert "out of learners’ sight?" in page
    assert public_page(app) == 200  # asking changes nothing
    instructor.submit("authoring.ask_to_withdraw", to="authoring.withdraw", slug="small")
    assert public_page(app) == 404


def test_what_is_ready_waits_for_as_long_as_wanted(instructor: Client, ready: Upload, pass_time: Callable[..., datetime]) -> None:
    pass_time(days=400)
    tidy(clock.now())
    assert only_upload().state is UploadState.READY
    instructor.sign_in(make_user(roles=("instructor",)))  # the session of staff has ended meanwhile
    decide(instructor, "again")
    tidy(clock.now())
    assert only_upload().state is UploadState.WAITING  # though it was sent a year ago
    work()
    assert only_upload().state is UploadState.READY
    assert "course.zip" in instructor.visit("authoring.list_uploads").text
    assert only_upload().size > 0


def test_what_the_worker_could_not_bring_in_stays_ready(instructor: Client, ready: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    decide(instructor, "publish")

    def full(*_words: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loops, "unpack", full)
    work()
    assert (only_upload().state, only_upload().problem) == (UploadState.READY, Problem.BROKE)
    monkeypatch.undo()
    decide(instructor, "publish")
    work()
    assert only_upload().state is UploadState.COMMITTED


def test_whoever_decides_is_named_as_the_one_who_brought_it_in(app: Flask, instructor: Client, ready: Upload) -> None:
    other = app.test_client()
    assert isinstance(other, Client)
    colleague = other.sign_in(make_user(roles=("instructor",)))
    decide(other, "publish")
    work()
    assert db.session.scalars(sa.select(Import)).one().by_user_id == colleague.id


def test_what_waits_is_in_a_backup_and_what_does_not_is_not(instructor: Client, ready: Upload, tmp_path: Path) -> None:
    send(instructor, ("thrown.zip", packed(small_course(tmp_path / "thrown"))))
    work()
    thrown = db.session.scalars(sa.select(Upload).where(Upload.id != ready.id)).one()
    uploads.cancel(thrown, clock.now())
    db.session.commit()
    file = io.BytesIO()
    contents = backups.create(file, clock.now(), lambda _words: None)
    assert f"files/{ready.storage_key(0)}" in contents.parts
    assert f"files/{ready.folder}/draft/outline.json" in contents.parts
    assert not [name for name in contents.parts if thrown.folder in name]
    assert contents.missing == []
