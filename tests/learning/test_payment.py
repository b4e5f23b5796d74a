"""What payment closes to somebody stays closed, by every address and in every form, whoever holds what."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from courseapp import clock, storage
from courseapp.accounts.models import User
from courseapp.authoring.revising import set_needs
from courseapp.billing.models import Closed, Tier, TierGrant
from courseapp.catalog.copies import want_copies
from courseapp.catalog.models import Asset, Copy, CopyKind, Course, Lesson, Need
from courseapp.extensions import db
from courseapp.learning.closing import closed_part
from courseapp.learning.loops import build_copies
from courseapp.learning.models import Completion, Enrolment, MediaPosition, Outcome
from courseapp.learning.reading import known_lesson, lesson_of_learner
from tests.client import Client
from tests.factories import (
    NOW,
    lessons_of,
    make_asset,
    make_completion,
    make_course,
    make_enrolment,
    make_entitlement,
    make_guest,
    make_outcome,
    make_revision,
    make_tier,
    make_user,
    modules_of,
)
from tests.learning.addresses import addresses, text_of

DAY = timedelta(days=1)
SELLS = pytest.mark.settings(stripe_secret_key="sk_test_of_nobody", stripe_url="http://127.0.0.1:9")
PLACES = (0, 1, 2)
HELD: dict[str, dict[str, Any]] = {
    "now": {},
    "until tomorrow": {"ends_at": NOW + DAY},
    "lapsed": {"begins_at": NOW - 9 * DAY, "ends_at": NOW - DAY},
    "taken back": {"begins_at": NOW - 9 * DAY, "closed_at": NOW - DAY, "closed_why": Closed.REFUNDED},
    "to come": {"begins_at": NOW + DAY},
}
OPENING = {"now", "until tomorrow"}


@dataclass
class Scene:
    """A course of three modules with a lesson each. Each lesson shows a picture of its own; the first two share one more."""

    course: Course
    lessons: list[Lesson]
    pictures: list[Asset]
    shared: Asset


def make_scene() -> Scene:
    """The course, with a copy that is built."""
    course = make_course(needs=(("none",),) * len(PLACES))
    lessons, shared = lessons_of(course), make_asset(course, b"<svg>SECRET shared</svg>")
    pictures = [make_asset(course, f"<svg>SECRET picture {place}</svg>".encode()) for place in PLACES]
    for place, lesson in enumerate(lessons):
        shown = [pictures[place], shared] if place < 2 else [pictures[place]]
        images = "".join(f'<img src="/assets/{asset.public_id}.svg">' for asset in shown)
        make_revision(lesson, html=f"<p>SECRET text {place}</p>{images}")
    whole = {"version": 1, "kind": CopyKind.OPEN, "digest": f"{course.id:064}", "size": 11, "asked_at": NOW, "built_at": NOW}
    copy = Copy(course_id=course.id, **whole)
    db.session.add(copy)
    storage.keep(copy.storage_key, b"SECRET copy")
    return Scene(course, lessons, pictures, shared)


def grant(course: Course, place: int | None) -> Tier:
    """A tier that opens one module of a course, or all of it."""
    return make_tier(opens=course if place is None else modules_of(course)[place])


@pytest.fixture
def course(app: Flask) -> Course:
    """The front course: its first module is for everybody, the second belongs to a tier."""
    course = make_course(needs=(("none", "none"), ("none", "touch")))
    make_tier(opens=modules_of(course)[1], key="more", name="The longer way", summary="Two lessons more.")
    return course


def tier_of(course: Course) -> Tier:
    """The tier that opens a part of it."""
    return db.session.scalars(sa.select(Tier).join(TierGrant).where(TierGrant.course_id == course.id)).one()


def take_part(client: Client, course: Course, **held: Any) -> User:
    """Somebody who takes the course, and holds its tier where `held` says how."""
    user = client.sign_in(make_user())
    make_enrolment(user, course)
    if held:
        make_entitlement(user, tier_of(course), **held)
    return user


def page_of(client: Client, lesson: Lesson) -> str:
    """A lesson's page in one line."""
    return " ".join(client.visit("learning.lesson", id=lesson.public_id).text.split())


# Whoever holds what


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    is_paid=st.booleans(),
    tiers=st.lists(st.tuples(st.sampled_from([None, *PLACES]), st.sampled_from([None, *HELD])), max_size=4),
)
def test_nothing_closed_ever_leaks_and_nothing_open_is_kept_back(
    app: Flask, is_paid: bool, tiers: list[tuple[int | None, str | None]]
) -> None:
    scene, user, rich = make_scene(), make_user(), make_user()
    scene.course.paid_at = NOW if is_paid else None
    sold, held = set(PLACES if is_paid else ()), set()
    for place, how in tiers:
        tier = grant(scene.course, place)
        make_entitlement(rich, tier)
        sold |= set(PLACES if place is None else [place])
        if how is not None:
            make_entitlement(user, tier, **HELD[how])
        if how in OPENING:
            held |= set(PLACES if place is None else [place])
    is_open = [place not in sold or place in held for place in PLACES]
    for person in (user, rich):
        make_enrolment(person, scene.course)
    db.session.commit()
    for lesson in scene.lessons:
        lesson_of_learner(rich.id, lesson.public_id, NOW)  # this process knows what is open to somebody
    client, visitor = app.test_client(), app.test_client()
    assert isinstance(client, Client)
    client.sign_in(user)
    token = {"csrf_token": client.csrf_token("accounts.settings")}
    for place, lesson in enumerate(scene.lessons):
        page, asset = page_of(client, lesson), f"/assets/{scene.pictures[place].public_id}"
        assert ("SECRET" in page) is is_open[place]
        assert ("This part is closed at the moment" in page) is not is_open[place]
        assert visitor.get(f"{asset}.svg").status_code == 404
        assert {client.get(f"{asset}{end}").status_code for end in (".svg", "/position")} == {200 if is_open[place] else 404}
        posts = ((f"{asset}/position", {"seconds": "7"}), (f"/lessons/{lesson.public_id}/opening", {}))
        for address, data in posts:
            assert (client.post(address, data={**token, **data}).status_code != 404) is is_open[place]
        done = client.post(f"/lessons/{lesson.public_id}/completion", data={**token, "done": "1"})
        assert done.status_code == (303 if is_open[place] else 404)
    assert (client.get(f"/assets/{scene.shared.public_id}.svg").status_code == 200) is any(is_open[:2])
    assert ("SECRET" in client.visit("learning.copy", slug=scene.course.slug).text) is all(is_open)
    assert ("SECRET" in visitor.get(f"/courses/{scene.course.slug}/copy.pdf").text) is not sold
    done_ids = set(db.session.scalars(sa.select(Completion.lesson_id).where(Completion.user_id == user.id)))
    assert done_ids == {lesson.id for place, lesson in enumerate(scene.lessons) if is_open[place]}
    positions = db.session.scalars(sa.select(MediaPosition.asset_id).where(MediaPosition.user_id == user.id)).all()
    assert len(positions) == sum(is_open)
    finished = db.session.scalars(sa.select(Enrolment.finished_at).where(Enrolment.user_id == user.id)).one()
    assert (finished is not None) is any(is_open)  # all that is open to them is done


@pytest.mark.one_database
@pytest.mark.parametrize("who", ["anonymous", "guest", "learner", "lapsed", "told to go ahead", "marketer", "owner"])
def test_no_address_whatever_shows_what_is_closed(app: Flask, client: Client, who: str) -> None:
    course = make_course(needs=(("none", "gentle"),), paid_at=NOW)
    course.front = {**course.front, "sample": ""}  # of which everybody sees the one that it names
    tier = make_tier(opens=course)
    for lesson in lessons_of(course):
        asset = make_asset(course, b"<svg>SECRET</svg>")
        image = f'<img src="/assets/{asset.public_id}.svg">'
        make_revision(lesson, source="SECRET", html=f"<p>SECRET</p>{image}", stop_html="<p>SECRET</p>")
    want_copies(course, NOW)
    db.session.commit()
    build_copies(clock.now)
    if who != "anonymous":
        roles = [who] if who in ("marketer", "owner") else []
        user = client.sign_in(make_guest() if who == "guest" else make_user(roles=roles))
        make_enrolment(user, course)
        if who == "lapsed":
            make_entitlement(user, tier, **HELD["lapsed"])
        if who == "told to go ahead":
            make_outcome(user, Outcome.AHEAD)
        db.session.commit()
    shown = {path for path in addresses(app) if "SECRET" in text_of(client.get(path))}
    assert {path for path in shown if not path.startswith("/staff/")} == set()
    assert bool(shown) is (who == "owner")  # who writes lessons may read them


def test_a_lesson_that_this_process_knows_is_not_done_by_whom_it_is_closed_to(course: Course, client: Client) -> None:
    lesson = lessons_of(course)[0]
    take_part(client, course)
    token = {"csrf_token": client.csrf_token("learning.lesson", id=lesson.public_id), "done": "1"}
    db.session.execute(sa.delete(TierGrant))
    other = make_user()
    make_enrolment(other, course)
    assert lesson_of_learner(other.id, lesson.public_id, NOW)
    assert known_lesson(lesson.public_id)
    make_tier(opens=course)  # and nobody has raised the course's version
    assert client.post(f"/lessons/{lesson.public_id}/completion", data=token).status_code == 404
    assert db.session.scalars(sa.select(Completion)).all() == []


def test_what_opens_and_closes_shows_at_once(course: Course, client: Client) -> None:
    lesson = lessons_of(course)[2]
    user = take_part(client, course)
    text = "The text of lesson-2-1."
    assert text not in page_of(client, lesson)
    held = make_entitlement(user, tier_of(course))
    assert text in page_of(client, lesson)
    held.closed_at, held.closed_why = NOW, Closed.LAPSED
    assert text not in page_of(client, lesson)


def test_two_people_are_never_shown_each_others_page(app: Flask, course: Course) -> None:
    free, holder = app.test_client(), app.test_client()
    assert isinstance(free, Client)
    assert isinstance(holder, Client)
    take_part(free, course)
    take_part(holder, course, begins_at=NOW)
    first, paid = lessons_of(course)[0], lessons_of(course)[2]
    for _time in range(2):
        assert "not open" in page_of(free, first)  # in the list beside the lesson
        assert "not open" not in page_of(holder, first)
        assert "This part is closed" in page_of(free, paid)
        assert "This part is closed" not in page_of(holder, paid)


# What is said of it


def test_without_a_key_it_is_not_open_and_nothing_speaks_of_money(course: Course, client: Client) -> None:
    take_part(client, course)
    page = page_of(client, lessons_of(course)[2])
    assert "“Module 2” is not open to everybody who takes this course." in page
    assert 'href="/ask"' in page
    own = client.visit("learning.course", slug=course.slug).text
    for word in ("tier", "longer way", "/plans", "plan"):
        assert word not in page.split("<main")[1].split("</main>")[0].lower()
        assert word not in own.split("<main")[1].split("</main>")[0].lower()


@SELLS
def test_it_names_what_opens_it_as_that_is_called_now(course: Course, client: Client) -> None:
    take_part(client, course)
    lesson, tier = lessons_of(course)[2], tier_of(course)
    assert '<a href="/plans#more">The longer way</a>' in page_of(client, lesson)
    page = page_of(client, lessons_of(course)[0])
    assert "part of a plan" in page
    assert not re.search(r"\btiers?\b", page)  # a word of ours alone
    tier.name = "Another name"
    assert "Another name" in page_of(client, lesson)
    tier.archived_at = NOW
    page = page_of(client, lesson)
    assert "Another name" not in page
    assert "It cannot be opened from here." in page


@pytest.mark.parametrize("why", [Closed.LAPSED, Closed.REFUNDED, Closed.DISPUTED, Closed.LOST, Closed.WITHDRAWN])
def test_why_it_closed_is_said_in_neutral_words(course: Course, client: Client, why: Closed) -> None:
    user = take_part(client, course, begins_at=NOW - 9 * DAY, closed_at=NOW - DAY, closed_why=why)
    lesson = lessons_of(course)[2]
    make_completion(user, lesson, completed_at=NOW - 2 * DAY)
    page = page_of(client, lesson)
    assert "“Module 2” was open to you until November 1, 2026." in page
    assert "You marked this lesson as done on October 31, 2026." in page
    assert why.value not in page
    progress = client.visit("learning.progress", slug=course.slug).text
    assert "It is kept, and counts again when they open." in progress


def test_a_gift_to_come_says_from_when(course: Course, client: Client) -> None:
    take_part(client, course, begins_at=NOW + 3 * DAY)
    assert "It opens to you on November 5, 2026." in page_of(client, lessons_of(course)[2])


def test_payment_is_said_before_the_safety_check(course: Course, client: Client) -> None:
    user = take_part(client, course)
    touch = next(lesson for lesson in lessons_of(course) if lesson.needs_check is Need.TOUCH)
    page = page_of(client, touch)
    assert "This part is closed at the moment" in page
    assert "safety check" not in page.split("<main")[1].lower().split("</main>")[0]
    make_entitlement(user, tier_of(course))
    assert "Take the safety check" in page_of(client, touch)


# Progress


def counts(client: Client, course: Course) -> str:
    """What the course's page says of how far one is."""
    return client.visit("learning.course", slug=course.slug).text.split('id="progress-words">')[1].split("<")[0].strip()


def finish_what_is_open(client: Client, course: Course) -> None:
    """Do both lessons that are for everybody."""
    for lesson in lessons_of(course)[:2]:
        client.submit("learning.lesson", {"done": "1"}, to="learning.completion", id=lesson.public_id)


def test_who_pays_nothing_can_finish_and_counts_on_once_they_hold_the_tier(course: Course, client: Client) -> None:
    user = take_part(client, course)
    finish_what_is_open(client, course)
    assert counts(client, course) == "All 2 lessons done"
    finished_at = db.session.scalars(sa.select(Enrolment.finished_at)).one()
    assert finished_at is not None
    assert "You have been through all that is open to you" in client.visit("learning.course", slug=course.slug).text
    held = make_entitlement(user, tier_of(course))
    assert counts(client, course).startswith("2 of 3 lessons")
    third = lessons_of(course)[2]
    client.submit("learning.lesson", {"done": "1"}, to="learning.completion", id=third.public_id)
    assert counts(client, course) == "All 3 lessons done"
    held.closed_at, held.closed_why = NOW, Closed.LAPSED
    assert counts(client, course) == "All 2 lessons done"
    assert db.session.scalars(sa.select(Enrolment.finished_at)).one() == finished_at
    assert len(db.session.scalars(sa.select(Completion)).all()) == 3  # a lapse takes nothing


def test_marking_the_last_open_lesson_leads_past_what_is_closed(course: Course, client: Client) -> None:
    take_part(client, course)
    third, page = lessons_of(course)[2].public_id, page_of(client, lessons_of(course)[1])
    assert f'name="next" value="{third}"' not in page
    assert f'href="/lessons/{third}" rel="next"' not in page
    assert f'href="/lessons/{third}"' in page  # in the list it stands, with a lock


# The public page


def test_what_opens_between_the_gate_and_its_words_is_no_error(app: Flask) -> None:
    course, user = make_course(), make_user()
    make_entitlement(user, make_tier(opens=course))
    part = closed_part(user.id, modules_of(course)[0].id, NOW)
    assert (part.opens_at, part.closed_at) == (None, None)


@pytest.mark.parametrize("closed", [0, 1, None])
def test_the_public_page_shows_its_sample_in_any_case_and_its_copy_only_where_all_is_open(client: Client, closed: int | None) -> None:
    course = make_course(needs=(("none",), ("none",)))
    if closed is not None:
        make_tier(opens=modules_of(course)[closed])
    page = client.visit("catalog.landing").text
    assert "The text of lesson-1-1." in page  # nobody is to buy unread
    assert "The text of lesson-2-1." not in page
    assert ("copy.pdf" in page) is (closed is None)
    assert (">Free<" in page) is (closed is None)
    assert ("There is no copy for you here" in client.visit("catalog.open_copy", slug=course.slug).text) is (closed is not None)


def test_of_a_closed_course_the_pictures_of_its_sample_and_its_page_alone_are_public(client: Client) -> None:
    course = make_course(needs=(("none", "none"),), paid_at=NOW)
    make_tier(opens=course)
    seen, article, unseen = (make_asset(course) for _file in range(3))
    sample, closed = lessons_of(course)
    make_revision(sample, html=f'<img src="/assets/{seen.public_id}.svg">')
    make_revision(closed, html=f'<img src="/assets/{unseen.public_id}.svg">')
    course.article_html = f'<img src="/assets/{article.public_id}.svg">'
    set_needs(course)
    assert [client.get(f"/assets/{asset.public_id}.svg").status_code for asset in (seen, article, unseen)] == [200, 200, 404]
    assert client.get(f"/lessons/{sample.public_id}").status_code != 200  # as a lesson, with what was done in it, it stays closed
    course.front = {**course.front, "sample": closed.key}
    set_needs(course)
    assert [client.get(f"/assets/{asset.public_id}.svg").status_code for asset in (seen, article, unseen)] == [404, 200, 200]


def test_a_sample_that_was_withdrawn_is_shown_no_more(client: Client) -> None:
    course = make_course(needs=(("none", "none"),), paid_at=NOW)
    lessons_of(course)[0].retired_at = NOW
    assert "The text of lesson-1-1." not in client.visit("catalog.landing").text


def test_a_closed_front_course_is_nothing_to_start_with(client: Client) -> None:
    course = make_course(paid_at=NOW)
    assert 'action="/start"' not in client.visit("catalog.landing").text
    assert client.visit("learning.start").status_code == 404
    assert client.post("/start", data={"csrf_token": client.csrf_token("accounts.sign_in")}).status_code == 404
    assert db.session.scalars(sa.select(Enrolment).where(Enrolment.course_id == course.id)).all() == []
