"""No technique lesson opens without an outcome that opens it: by no address, to nobody, in no form."""

import re
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.catalog.copies import want_copies
from courseapp.catalog.models import Asset, CopyKind, Course, Lesson, Need
from courseapp.extensions import db
from courseapp.learning import gate
from courseapp.learning.loops import build_copies
from courseapp.learning.models import Completion, Enrolment, Outcome
from tests.client import Client
from tests.factories import (
    NOW,
    days_ago,
    lesson_that_needs,
    lessons_of,
    make_asset,
    make_course,
    make_enrolment,
    make_guest,
    make_outcome,
    make_revision,
    make_user,
)
from tests.learning.addresses import addresses, text_of

NEEDS = ("gentle", "touch")
SVG = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'><title>SECRET {}</title></svg>"


@pytest.fixture
def course(app: Flask) -> Course:
    """A course whose technique lessons, their gentle versions, stop boxes and drawings each carry a word to look for."""
    course = make_course(needs=(("none",), NEEDS))
    for need in NEEDS:
        lesson = lesson_that_needs(course, need)
        source = f"SECRET full {need}\n\n::: standard\nSECRET standard {need}\n:::\n\n::: adapted\nSECRET adapted {need}\n:::\n"
        html = {"html": f"<p>SECRET standard {need}</p>", "adapted_html": f"<p>SECRET adapted {need}</p>"}
        make_revision(lesson, source=source, stop_html=f"<p>SECRET stop {need}</p>", **html)
        make_asset(course, SVG.format(need).encode(), path=f"01-m/{need}.svg", need=Need(need))
    db.session.commit()
    return course


PEOPLE: dict[str, Any] = {
    "anonymous": None,
    "guest": ("guest", None, {}),
    "guest told to get help": ("guest", Outcome.NOW, {}),
    "learner": ((), None, {}),
    "learner told to get help": ((), Outcome.NOW, {}),
    "learner told to ask first": ((), Outcome.PROFESSIONAL, {}),
    "learner of half a year ago": ((), Outcome.AHEAD, {"decided_at": days_ago(184)}),
    "learner of another wording": ((), Outcome.AHEAD, {"wording": "2025-01"}),
    "instructor": (("instructor",), None, {}),
    "marketer": (("marketer",), None, {}),
    "owner": (("owner",), None, {}),
    "owner told to ask first": (("owner",), Outcome.PROFESSIONAL, {}),
}


def become(client: Client, course: Course, who: str, enrolled: bool = True) -> User | None:
    """Sign in as one of these people."""
    if PEOPLE[who] is None:
        return None
    roles, outcome, dated = PEOPLE[who]
    user = make_guest() if roles == "guest" else make_user(roles=roles)
    if enrolled:
        make_enrolment(user, course)
    if outcome is not None:
        make_outcome(user, outcome, **dated)
    return client.sign_in(user)


WRITING = re.compile(r"/staff/(files/|courses/[\w-]+/(preview/(gently|ahead)/|media/|lessons/|export$))")


@pytest.mark.one_database
@pytest.mark.parametrize("who", PEOPLE)
def test_no_address_whatever_shows_a_technique_lesson(app: Flask, client: Client, course: Course, who: str) -> None:
    want_copies(course, NOW)
    db.session.commit()
    build_copies(clock.now)
    become(client, course, who)
    asked = addresses(app)
    assert len(asked) > 40
    shown = {path: text_of(client.get(path)) for path in asked}
    secret = {path for path, text in shown.items() if "SECRET" in text}
    written = {path for path in secret if WRITING.match(path)}
    assert secret - written == set()
    assert bool(written) == who.startswith(("instructor", "owner"))  # who write the lessons may read them, and nobody else
    assert "The text of lesson-1-1." in shown["/"]  # the crawl reads what it gets


@pytest.mark.parametrize("need", NEEDS)
@pytest.mark.parametrize("who", PEOPLE)
def test_no_post_reaches_a_technique_lesson(client: Client, course: Course, who: str, need: str) -> None:
    become(client, course, who)
    lesson = lesson_that_needs(course, need)
    token = client.csrf_token("learning.start")
    for action in ("completion", "opening"):
        for done in ("1", "0"):
            answer = client.post(f"/lessons/{lesson.public_id}/{action}", data={"csrf_token": token, "done": done})
            assert answer.status_code == (403 if PEOPLE[who] is None else 404)
            assert "SECRET" not in answer.text
    assert db.session.scalars(sa.select(Completion)).all() == []
    assert set(db.session.scalars(sa.select(Enrolment.last_lesson_id))) <= {None}


@pytest.mark.one_database
@pytest.mark.parametrize("who", [who for who in PEOPLE if who != "anonymous"])
def test_the_page_before_it_says_why_kindly_and_leads_to_the_check(client: Client, course: Course, who: str) -> None:
    become(client, course, who)
    answer = client.visit("learning.lesson", id=lesson_that_needs(course, "touch").public_id)
    assert answer.status_code == 200
    assert 'href="/safety-check"' in answer.text
    assert "Lesson number 3" in answer.text


@pytest.mark.one_database
@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("roles", [(), ("owner",)])
def test_who_does_not_take_the_course_sees_nothing_of_it_whatever_the_outcome(
    client: Client, course: Course, outcome: Outcome, roles: tuple[str, ...]
) -> None:
    user = client.sign_in(make_user(roles=roles))
    make_outcome(user, outcome)
    for lesson in lessons_of(course):
        assert client.visit("learning.lesson", id=lesson.public_id).status_code == 404
    for asset in db.session.scalars(sa.select(Asset)):
        assert client.get(f"/assets/{asset.public_id}.svg").status_code == 404
    assert client.visit("learning.copy", slug=course.slug).status_code == 404


def words_at(client: Client, lesson: Lesson) -> set[str]:
    """Which of the words to look for a lesson's page shows."""
    page = client.visit("learning.lesson", id=lesson.public_id).text
    return {word for word in ("standard", "adapted", "stop") if f"SECRET {word}" in page}


@pytest.mark.parametrize("need", NEEDS)
@pytest.mark.parametrize(("outcome", "word"), [(Outcome.AHEAD, "standard"), (Outcome.GENTLY, "adapted")])
def test_each_outcome_that_opens_shows_its_own_version_and_how_to_stop(
    client: Client, course: Course, need: str, outcome: Outcome, word: str
) -> None:
    user = client.sign_in(make_user())
    make_enrolment(user, course)
    make_outcome(user, outcome)
    lesson = lesson_that_needs(course, need)
    assert words_at(client, lesson) == {word, "stop"}
    asset = db.session.scalars(sa.select(Asset).where(Asset.need == Need(need))).one()
    answer = client.get(f"/assets/{asset.public_id}.svg")
    assert f"SECRET {need}" in answer.text
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert client.submit("learning.lesson", {"done": "1"}, to="learning.completion", id=lesson.public_id).status_code == 303


def test_a_lesson_that_opened_closes_again_with_the_next_outcome(client: Client, course: Course) -> None:
    user = client.sign_in(make_user())
    make_enrolment(user, course)
    kept = make_outcome(user, Outcome.AHEAD)
    lesson = lesson_that_needs(course, "touch")
    assert words_at(client, lesson)
    kept.outcome = Outcome.PROFESSIONAL
    assert not words_at(client, lesson)


def test_a_file_is_not_given_from_the_browsers_memory_once_the_gate_is_shut(client: Client, course: Course) -> None:
    user = client.sign_in(make_user())
    make_enrolment(user, course)
    kept = make_outcome(user, Outcome.AHEAD)
    address = f"/assets/{db.session.scalars(sa.select(Asset.public_id).where(Asset.need == Need.TOUCH)).one()}.svg"
    tag = client.get(address).headers["ETag"]
    assert client.get(address, headers={"If-None-Match": tag}).status_code == 304
    kept.outcome = Outcome.NOW
    assert client.get(address, headers={"If-None-Match": tag}).status_code == 404


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (None, set()),
        (Outcome.NOW, set()),
        (Outcome.PROFESSIONAL, set()),
        (Outcome.GENTLY, {"full", "adapted"}),
        (Outcome.AHEAD, {"full", "standard"}),
    ],
)
def test_the_copy_holds_what_the_outcome_opens_under_one_name(
    client: Client, course: Course, outcome: Outcome | None, words: set[str]
) -> None:
    want_copies(course, NOW)
    db.session.commit()
    assert build_copies(clock.now) == 3
    user = client.sign_in(make_user())
    make_enrolment(user, course)
    if outcome is not None:
        make_outcome(user, outcome)
    answer = client.visit("learning.copy", slug=course.slug)
    assert answer.headers["Content-Disposition"] == "attachment; filename=your-course-v1.pdf"
    text = text_of(answer)
    assert {word for word in ("full", "standard", "adapted") if f"SECRET {word} touch" in text} == words
    assert ("Lessons that need the safety check are not in this copy" in " ".join(text.split())) == (not words)
    assert "Are you pregnant, or might you be?" in text  # the check on paper comes first
    assert "If you ticked the second: Please get help now" in " ".join(text.split())


@pytest.mark.parametrize("need", list(Need))
@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_the_gate_itself(need: Need, outcome: Outcome | None) -> None:
    opens = outcome in {Outcome.GENTLY, Outcome.AHEAD}
    assert gate.can_open(need, outcome) is (need is Need.NONE or opens)
    assert gate.is_adapted(outcome) is (outcome is not Outcome.AHEAD)
    assert (gate.copy_kind(outcome) is CopyKind.OPEN) is not opens
