"""The safety check's pages: one question at a time, nothing in the address, nothing kept but what it came to."""

import re
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.accounts.models import User
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.learning import safety
from courseapp.learning.models import Outcome, SafetyOutcome
from courseapp.learning.safety_questions import QUESTIONS, SENTENCES, VERSION
from tests.client import Client
from tests.factories import NOW, days_ago, make_course, make_enrolment, make_guest, make_outcome, make_user
from tests.learning.checking import TO, everything_kept, press, take_check


@pytest.fixture(params=["guest", "account"])
def learner(request: pytest.FixtureRequest, client: Client) -> User:
    """Somebody who takes a course, with and without an address."""
    user = make_guest() if request.param == "guest" else make_user()
    make_enrolment(user, make_course())
    return client.sign_in(user)


def kept() -> list[tuple[str, str]]:
    """What is kept of checks."""
    return [
        (row.outcome.value, row.wording) for row in db.session.scalars(sa.select(SafetyOutcome).execution_options(populate_existing=True))
    ]


@pytest.mark.parametrize("outcome", list(TO))
def test_each_way_leads_to_its_outcome_and_its_own_page(learner: User, client: Client, outcome: str) -> None:
    answer = take_check(client, TO[outcome])
    assert (answer.status_code, answer.location) == (303, "/safety-check/outcome")
    assert kept() == [(outcome, VERSION)]
    page = client.get(answer.location).text
    assert str(SENTENCES[Outcome(outcome)]) in page
    assert f"outcome-{outcome}" in page
    assert ("Call your country" in page) == (outcome == "now")


@pytest.mark.one_database
def test_nothing_is_kept_but_outcome_wording_and_date(learner: User, client: Client) -> None:
    before = everything_kept()
    take_check(client, TO["gently"])
    rows = set(everything_kept().split("\n")) - set(before.split("\n"))
    assert len(rows) == 1
    row = db.session.scalars(sa.select(SafetyOutcome)).one()
    assert {column.name for column in SafetyOutcome.__table__.columns} == {"user_id", "outcome", "wording", "decided_at"}
    assert (row.user_id, row.outcome, row.wording) == (learner.id, Outcome.GENTLY, VERSION)
    assert db.session.scalars(sa.select(Event)).all() == []
    with client.session_transaction() as session:
        assert set(session) <= {"_user_id", "_fresh", "csrf_token", "browser", "_id", "_permanent"}


def test_a_canary_among_the_answers_is_kept_nowhere_and_logged_nowhere(
    learner: User, client: Client, app: Flask, capfd: pytest.CaptureFixture[str]
) -> None:
    page = press(client, client.visit("learning.safety_check"))
    canary = "canary-7f3a"
    answers = press(client, page, choice="no", answers=f"now={canary}&{canary}=yes", question=canary)
    press(client, answers, choice=canary, answers=canary)
    take_check(client, TO["ahead"])
    assert canary not in everything_kept()
    written = capfd.readouterr()
    assert canary not in written.out + written.err
    files = [path for path in app.config["SETTINGS"].data_dir.rglob("*") if path.is_file() and ".sqlite" not in path.name]
    assert not [path for path in files if canary.encode() in path.read_bytes()]


@pytest.mark.one_database
def test_no_answer_ever_stands_in_an_address(learner: User, client: Client) -> None:
    page = press(client, client.visit("learning.safety_check"))
    for question in QUESTIONS:
        assert f'name="question" value="{question.key}"' in page.text
        forms = re.findall(r"<form[^>]*>", page.text)
        assert not [form for form in forms if 'method="post"' not in form]
        assert not re.findall(r'(?:href|action)="[^"]*[?&](?:answers|choice|question|now|life)', page.text)
        page = press(client, page, choice="no")
    assert page.location == "/safety-check/outcome"
    assert client.get("/safety-check?answers=now%3Dyes&choice=yes&question=now").status_code == 200
    assert kept() == [("ahead", VERSION)]  # a GET decides nothing


@pytest.mark.one_database
def test_each_screen_says_where_one_is_and_shows_its_signs(learner: User, client: Client) -> None:
    page = press(client, client.visit("learning.safety_check"))
    for number, question in enumerate(QUESTIONS, 1):
        assert f"Question {number} of {len(QUESTIONS)}" in page.text
        assert all(str(sign).replace("’", "&#39;") in page.text or str(sign) in page.text for sign in question.signs)
        assert "Get help now" in page.text
        page = press(client, page, choice="no")


@pytest.mark.one_database
def test_one_can_go_back_and_answer_otherwise(learner: User, client: Client) -> None:
    page = press(client, client.visit("learning.safety_check"))
    page = press(client, press(client, page, choice="no"), choice="no")
    assert "Question 3 of" in page.text
    page = press(client, page, back="1")
    assert "Question 2 of" in page.text
    page = press(client, press(client, page, back="1"), back="1")
    assert "Question 1 of" in page.text  # and no further
    assert press(client, page, choice="yes").location == "/safety-check/outcome"
    assert kept() == [("now", VERSION)]


@pytest.mark.one_database
def test_going_on_without_an_answer_asks_again_in_words_and_loses_nothing(learner: User, client: Client) -> None:
    page = press(client, press(client, client.visit("learning.safety_check")), choice="no")
    again = press(client, page)
    assert "Question 2 of" in again.text
    assert "Please choose one answer. If you are not sure, choose yes." in again.text
    assert "Question 3 of" in press(client, again, choice="no").text


@pytest.mark.parametrize(
    "data",
    [
        {"answers": "now=yes", "question": "now"},
        {"answers": "now=yes", "question": "life", "back": "1"},
        {"answers": "now=yes&life=no", "back": "1"},
        {"answers": "now=yes", "question": "gently", "choice": "perhaps"},
        {"answers": "x" * 50_000, "question": "now", "choice": "no"},
        {"question": "nothing", "choice": "no"},
        {"answers": "now=no&life=no&pregnancy=no&soon=no&healing=no&conditions=no&gently=no", "question": "soon"},
    ],
)
@pytest.mark.one_database
def test_a_form_put_together_by_hand_gets_a_question_and_decides_nothing(learner: User, client: Client, data: dict[str, Any]) -> None:
    answer = client.post("/safety-check", data={"csrf_token": client.csrf_token("learning.safety_check"), **data})
    assert answer.status_code == 200
    assert "Question" in answer.text
    assert kept() == []


@pytest.mark.one_database
def test_a_later_answer_alone_cannot_skip_the_questions_before_it(learner: User, client: Client) -> None:
    token = client.csrf_token("learning.safety_check")
    for key in ("gently", "conditions", "healing"):
        answer = client.post("/safety-check", data={"csrf_token": token, "question": key, "choice": "no", "answers": f"{key}=no"})
        assert "Question 1 of" in answer.text
    assert kept() == []


def test_taking_it_again_keeps_the_latest_alone(learner: User, client: Client) -> None:
    for outcome in ("now", "ahead", "professional", "gently"):
        take_check(client, TO[outcome])
        assert kept() == [(outcome, VERSION)]


@pytest.mark.one_database
def test_taking_it_again_begins_with_nothing_filled_in(learner: User, client: Client) -> None:
    take_check(client, TO["gently"])
    page = press(client, client.visit("learning.safety_outcome"), reason="cleared")
    assert "Question 1 of" in page.text
    assert " checked" not in page.text
    assert kept() == [("gently", VERSION)]  # until it is through


@pytest.mark.one_database
def test_what_it_said_and_when_it_is_asked_again_can_be_read(learner: User, client: Client) -> None:
    assert client.visit("learning.safety_outcome").location == "/safety-check"
    take_check(client, TO["gently"])
    page = client.visit("learning.safety_check").text
    assert str(SENTENCES[Outcome.GENTLY]) in page
    assert "November 2, 2026" in page
    assert "May 4, 2027" in page


def test_after_six_months_it_is_asked_again(learner: User, client: Client) -> None:
    make_outcome(learner, decided_at=days_ago(183))
    assert client.visit("learning.safety_outcome").location == "/safety-check"
    assert "please take it again" in client.visit("learning.safety_check").text
    assert safety.current_outcome(learner, NOW) is None


def test_a_new_wording_asks_everyone_again(learner: User, client: Client) -> None:
    make_outcome(learner, wording="2025-01")
    assert safety.current_outcome(learner, NOW) is None
    assert client.visit("learning.safety_outcome").location == "/safety-check"
    take_check(client, TO["ahead"])
    assert kept() == [("ahead", VERSION)]


@pytest.mark.one_database
def test_nobody_without_a_session_is_asked(client: Client) -> None:
    make_course()
    assert client.visit("learning.safety_check").location == "/sign-in"
    assert client.post("/safety-check", data={"csrf_token": client.csrf_token()}).status_code == 403


@pytest.mark.one_database
def test_a_form_from_elsewhere_decides_nothing(learner: User, client: Client) -> None:
    assert client.post("/safety-check", data={"question": "now", "choice": "yes"}).status_code == 400
    assert kept() == []
