"""Where one stopped in a film: kept for oneself alone, on whatever device, and forgotten with everything else."""

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.catalog.models import Asset, Course, Need
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.learning import privacy
from courseapp.learning.joining import join_guest
from courseapp.learning.models import MediaPosition, Outcome
from tests.client import Client
from tests.factories import (
    NOW,
    days_ago,
    lessons_of,
    make_asset,
    make_course,
    make_enrolment,
    make_guest,
    make_outcome,
    make_position,
    make_user,
)
from tests.query_counts import statements


@pytest.fixture
def film(client: Client) -> Asset:
    """A film in a course that the client's person takes."""
    course = make_course()
    make_enrolment(client.sign_in(make_user("ada@example.org")), course)
    return make_asset(course, b"film", path="m/film.mp4", media_type="video/mp4")


def ada() -> User:
    """The client's person."""
    return db.session.scalars(sa.select(User).order_by(User.id).limit(1)).one()


def stop_at(client: Client, film: Asset, seconds: object, **headers: str) -> int:
    """Say where one stopped, as the page's script does; the status of the answer."""
    token = client.csrf_token("accounts.settings")
    path = f"/assets/{film.public_id}/position"
    return client.post(path, data={"seconds": seconds}, headers={"X-CSRFToken": token, **headers}).status_code


def asked(client: Client, film: Asset) -> int:
    """Where one goes on."""
    found: int = client.get(f"/assets/{film.public_id}/position").json["seconds"]
    return found


def kept() -> list[tuple[int, int]]:
    """Every position there is: whose, and the second."""
    return [(row.user_id, row.seconds) for row in db.session.scalars(sa.select(MediaPosition).order_by(MediaPosition.user_id))]


def test_where_one_stopped_is_known_on_another_device_too(app: Flask, client: Client, film: Asset) -> None:
    assert asked(client, film) == 0
    assert stop_at(client, film, 83) == 204
    phone = app.test_client()
    phone.sign_in(ada())
    assert asked(phone, film) == 83
    assert stop_at(phone, film, 120) == 204
    assert asked(client, film) == 120
    assert client.get(f"/assets/{film.public_id}/position").headers["Cache-Control"] == "no-store"


def test_saying_it_twice_is_saying_it_once_and_the_end_is_forgotten(client: Client, film: Asset) -> None:
    for _ in range(2):
        assert stop_at(client, film, 83) == 204
    assert kept() == [(1, 83)]
    for _ in range(2):
        assert stop_at(client, film, 0) == 204
    assert kept() == []


@pytest.mark.one_database
@pytest.mark.parametrize("seconds", ["", "-1", "1.5", "x", "٣", "1" * 7, "1" * 5000, "1 "])
def test_what_is_no_second_is_refused(client: Client, film: Asset, seconds: str) -> None:
    assert stop_at(client, film, seconds) == 400
    assert kept() == []


@pytest.mark.one_database
def test_a_film_that_is_closed_tells_and_keeps_nothing(app: Flask, client: Client, film: Asset) -> None:
    course, user = db.session.get_one(Course, film.course_id), ada()
    film.need = Need.TOUCH
    make_position(user, film, 83)
    path = f"/assets/{film.public_id}/position"
    assert client.get(path).status_code == 404
    assert stop_at(client, film, 5) == 404
    outcome = make_outcome(user, Outcome.AHEAD)
    assert asked(client, film) == 83
    outcome.outcome = Outcome.PROFESSIONAL
    assert client.get(path).status_code == 404
    film.need = Need.NONE
    course.published_at = None
    assert client.get(path).status_code == 404
    assert stop_at(client, film, 5) == 404
    assert kept() == [(user.id, 83)]


@pytest.mark.one_database
@pytest.mark.parametrize("roles", [(), ("owner",), ("instructor",)])
def test_others_staff_too_learn_nothing_and_change_nothing(app: Flask, client: Client, film: Asset, roles: tuple[str, ...]) -> None:
    stop_at(client, film, 83)
    other = app.test_client()
    someone = other.sign_in(make_user(roles=roles))
    assert other.get(f"/assets/{film.public_id}/position").status_code == 404
    make_enrolment(someone, db.session.get(Course, film.course_id))
    assert asked(other, film) == 0
    assert stop_at(other, film, 7) == 204
    assert asked(client, film) == 83


@pytest.mark.one_database
def test_a_stranger_is_turned_away_and_so_is_whoever_has_no_token(app: Flask, client: Client, film: Asset) -> None:
    path = f"/assets/{film.public_id}/position"
    stranger = app.test_client()
    assert stranger.get(path).status_code == 302
    assert stranger.post(path, data={"seconds": 5, "csrf_token": stranger.csrf_token()}).status_code in {302, 303, 403}
    assert client.post(path, data={"seconds": 5}).status_code == 400
    assert stop_at(client, film, 5, Origin="https://elsewhere.test") == 400
    assert kept() == []


@pytest.mark.one_database
@pytest.mark.settings(rate_limits=True)
def test_it_may_not_be_said_without_end_and_one_learners_zeal_stops_no_other(app: Flask, client: Client, film: Asset) -> None:
    token = client.csrf_token("accounts.settings")
    path = f"/assets/{film.public_id}/position"
    answers = [client.post(path, data={"seconds": n, "csrf_token": token}).status_code for n in range(1, 43)]
    assert answers == [204] * 40 + [429] * 2
    other = app.test_client()
    make_enrolment(other.sign_in(make_user()), db.session.get(Course, film.course_id))
    assert stop_at(other, film, 5) == 204


@pytest.mark.one_database
def test_nobody_hears_of_it(client: Client, film: Asset, capsys: pytest.CaptureFixture[str]) -> None:
    before = db.session.query(Event).count()
    stop_at(client, film, 83)
    assert db.session.query(Event).count() == before
    assert film.public_id not in capsys.readouterr().err


def test_it_is_in_the_export_and_goes_with_the_person(client: Client, film: Asset) -> None:
    user = ada()
    make_position(make_user(), film, 7)
    stop_at(client, film, 83)
    held = privacy.export(user.id)["media_positions"]
    assert [(row["course"], row["file"], row["seconds"]) for row in held] == [("An introduction", "m/film.mp4", 83)]
    privacy.erase(user.id)
    assert [seconds for _who, seconds in kept()] == [7]


def test_it_goes_with_the_file(client: Client, film: Asset) -> None:
    stop_at(client, film, 83)
    db.session.delete(film)
    db.session.commit()
    assert kept() == []


def test_of_a_guest_who_joins_the_later_position_counts(client: Client, film: Asset) -> None:
    account, guest, course = ada(), make_guest(), db.session.get(Course, film.course_id)
    films = [make_asset(course, path=f"m/{number}.mp4") for number in range(3)]
    make_enrolment(guest, course)
    for who, which, seconds, at in (
        (guest, 0, 10, NOW),
        (guest, 1, 20, NOW),
        (account, 1, 21, days_ago(1)),
        (guest, 2, 30, days_ago(1)),
        (account, 2, 31, NOW),
    ):
        make_position(who, films[which], seconds, at=at)
    join_guest(guest, account, NOW)
    db.session.commit()
    rows = db.session.scalars(sa.select(MediaPosition).order_by(MediaPosition.asset_id)).all()
    assert [(row.user_id, row.seconds) for row in rows] == [(account.id, 10), (account.id, 20), (account.id, 31)]


# The page


@pytest.mark.one_database
def test_a_lesson_with_a_film_gets_its_tools_and_asks_nothing_more_of_the_database(client: Client, film: Asset) -> None:
    with_film, without = lessons_of(db.session.get(Course, film.course_id))[:2]
    with_film.revision.html = '<figure><video controls src="/assets/x.mp4"></video></figure>'
    db.session.flush()
    make_position(ada(), film, 4711)
    pages = []
    for lesson in (with_film, without):
        with statements() as found:
            pages.append(client.visit("learning.lesson", id=lesson.public_id).text)
        assert not any("media_positions" in statement for statement in found)
    assert ["js/player.js" in page for page in pages] == [True, False]
    assert ['id="player-tools"' in page for page in pages] == [True, False]
    assert "4711" not in pages[0]  # the page is kept for others
