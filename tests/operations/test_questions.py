"""Asking, and reporting an error: who can, what arrives where, and how long it stays."""

from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_babel import get_locale
from flask_babel.speaklater import LazyString

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.learning.joining import join_guest
from courseapp.mailing import loops
from courseapp.mailing.models import Message, State
from courseapp.operations import questions
from courseapp.operations.models import Question, QuestionKind
from courseapp.operations.tidying import tidy
from tests.accounts.mailbox import mails_to
from tests.client import Client
from tests.conftest import NOW
from tests.factories import lesson_that_needs, make_course, make_enrolment, make_guest, make_outcome, make_user
from tests.rows import all_rows, changed_tables, tables_that_hold

HELP = "help@example.org"
TEXT = "The mail never came.\n\nSecond canary line."
with_address = pytest.mark.settings(support_address=HELP)


def letters(app: Flask) -> list[str]:
    """The mails that have left, whole, oldest first."""
    loops.drain(clock.now)
    loops.close_door()
    names = db.session.scalars(sa.select(Message.public_id).order_by(Message.id)).all()
    files = [app.config["SETTINGS"].data_dir / "mail" / f"{name}.eml" for name in names]
    db.session.commit()
    return [file.read_text().replace("=\n", "") for file in files if file.exists()]


def ask(client: Client, text: str = TEXT, **more: str) -> Any:
    """Send the form."""
    return client.submit("asking.ask", {"kind": "mail", "text": text, **more})


@with_address
def test_a_stranger_asks_and_it_arrives_by_mail_and_in_the_list(client: Client, app: Flask) -> None:
    answer = ask(client, address="ada@example.org")
    assert answer.location == "/ask"
    assert "Your question is with us" in client.visit("asking.ask").text
    [mail] = letters(app)
    assert f"To: {HELP}" in mail
    assert "Subject: A question from your site" in mail
    assert "Second canary line." in mail
    assert "ada@example.org" in mail
    client.sign_in(make_user(roles=["owner"]))
    page = client.visit("support.questions").text
    assert "Second canary line." in page
    assert 'href="mailto:ada@example.org"' in page


@with_address
def test_once_the_mail_has_left_the_text_stands_in_the_list_alone(client: Client, app: Flask) -> None:
    ask(client, address="ada@example.org")
    assert tables_that_hold("canary") == ["messages", "questions"]
    letters(app)
    assert tables_that_hold("canary") == ["questions"]
    assert tables_that_hold("ada@example.org") == ["questions"]
    assert db.session.scalars(sa.select(Message.state)).one() is State.ACCEPTED


@with_address
@pytest.mark.settings(support_address=HELP, log_level="DEBUG")
@pytest.mark.one_database
def test_nothing_of_a_question_is_logged_or_stands_in_the_journal(client: Client, app: Flask, capfd: pytest.CaptureFixture[str]) -> None:
    ask(client, address="ada@example.org")
    letters(app)
    logged = "".join(capfd.readouterr())
    assert "canary" not in logged
    assert "ada@example.org" not in logged
    assert "events" not in tables_that_hold("question")


@with_address
def test_who_is_signed_in_is_answered_at_their_own_address_whatever_is_posted(client: Client, app: Flask) -> None:
    client.sign_in(make_user("ada@example.org"))
    assert "We answer to ada@example.org." in client.visit("asking.ask").text
    ask(client, address="elsewhere@example.org")
    [mail] = letters(app)
    assert "ada@example.org" in mail
    assert tables_that_hold("elsewhere") == []


def test_without_a_support_address_it_stands_in_the_list(client: Client) -> None:
    assert ask(client).status_code == 303
    assert db.session.query(Message).count() == 0
    client.sign_in(make_user(roles=["owner"]))
    page = client.visit("support.questions").text
    assert "Second canary line." in page
    assert "They left no address." in page


@pytest.mark.settings(support_address="no address at all")
def test_a_support_address_that_is_none_costs_nobody_their_question(client: Client) -> None:
    assert ask(client).status_code == 303
    assert db.session.query(Question).count() == 1
    assert db.session.query(Message).count() == 0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"text": "  \n "}, "Please write your question."),
        ({"text": "x" * 4001}, "under 4,000 characters"),
        ({"address": "nonsense"}, "does not look like an e-mail address"),
        ({"kind": "lesson"}, "Not a valid choice"),
        ({"kind": "health"}, "Not a valid choice"),
    ],
)
def test_what_cannot_be_sent_comes_back_with_its_words_and_what_was_typed(client: Client, data: dict[str, str], words: str) -> None:
    answer = client.submit("asking.ask", {"kind": "mail", "text": "My own words", **data})
    assert answer.status_code == 200
    assert words in answer.text
    assert "text" in data or "My own words" in answer.text
    assert db.session.query(Question).count() == 0


def test_what_no_keyboard_types_is_left_out(client: Client) -> None:
    assert ask(client, "a\0b\x1b \ue000c\r\nd").status_code == 303
    assert db.session.scalars(sa.select(Question.text)).one() == "ab c\nd"


@with_address
def test_markup_and_merge_fields_arrive_as_they_were_typed(client: Client, app: Flask) -> None:
    typed = "<script>alert(1)</script> {{ answer_to }} [x](javascript:1)"
    ask(client, typed)
    [mail] = letters(app)
    assert typed in mail
    assert "&lt;script&gt;" in mail
    client.sign_in(make_user(roles=["owner"]))
    assert "<script>alert" not in client.visit("support.questions").text


@pytest.mark.settings(rate_limits=True)
@pytest.mark.one_database
def test_asking_and_reporting_are_limited_together(client: Client) -> None:
    course = make_course()
    make_enrolment(client.sign_in(make_user()), course)
    lesson = lesson_that_needs(course, "none").public_id
    for _ in range(3):
        assert ask(client).status_code == 303
        assert client.submit("asking.report_lesson", {"text": "Wrong."}, id=lesson).status_code == 303
    assert ask(client).status_code == 429
    assert client.submit("asking.report_lesson", {"text": "Wrong."}, id=lesson).status_code == 429
    assert client.visit("asking.ask").status_code == 200
    assert db.session.query(Question).count() == 6


def test_every_page_leads_to_the_form(client: Client) -> None:
    make_course()
    for path in ("/", "/sign-in", "/help-now"):
        assert 'href="/ask"' in client.get(path).text


# Errors in lessons


@with_address
def test_an_error_is_reported_from_the_lesson_and_arrives_without_a_name(client: Client, app: Flask) -> None:
    course = make_course()
    user = client.sign_in(make_user("ada@example.org", name="Ada"))
    make_enrolment(user, course)
    lesson = lesson_that_needs(course, "none")
    assert f'href="/lessons/{lesson.public_id}/report"' in client.visit("learning.lesson", id=lesson.public_id).text
    answer = client.submit("asking.report_lesson", {"text": "A canary is missing."}, id=lesson.public_id)
    assert answer.location == f"/lessons/{lesson.public_id}"
    [mail] = letters(app)
    for words in (f"To: {HELP}", "Subject: A question from your site", lesson.title, "A canary is missing."):
        assert words in mail
    client.sign_in(make_user(roles=["owner"]))
    page = client.visit("support.questions").text
    for words in (lesson.title, "A canary is missing.", "Reported without a name"):
        assert words in page
    for seen in (mail, page):
        assert "ada@example.org" not in seen
        assert user.public_id not in seen


@pytest.mark.parametrize(
    ("need", "outcome", "status"),
    [
        ("none", None, 200),
        ("touch", None, 404),
        ("touch", "professional", 404),
        ("touch", "now", 404),
        ("gentle", "gently", 200),
        ("touch", "ahead", 200),
    ],
)
def test_only_who_can_open_a_lesson_can_report_an_error_in_it(client: Client, need: str, outcome: str | None, status: int) -> None:
    course = make_course()
    user = client.sign_in(make_user())
    make_enrolment(user, course)
    if outcome:
        make_outcome(user, outcome)
    path = client.path("asking.report_lesson", id=lesson_that_needs(course, need).public_id)
    token = client.csrf_token("accounts.settings")
    assert client.get(path).status_code == status
    assert client.post(path, data={"csrf_token": token, "text": "Wrong."}).status_code == (303 if status == 200 else 404)
    assert db.session.query(Question).count() == (1 if status == 200 else 0)


def test_strangers_and_who_does_not_take_the_course_cannot_report(client: Client) -> None:
    course = make_course()
    path = client.path("asking.report_lesson", id=lesson_that_needs(course, "none").public_id)
    assert client.get(path).location == "/sign-in"
    assert client.post(path, data={"csrf_token": client.csrf_token(), "text": "Wrong."}).status_code == 403
    client.sign_in(make_user())
    assert client.get(path).status_code == 404
    assert client.get("/lessons/nothing/report").status_code == 404
    assert db.session.query(Question).count() == 0


def test_a_report_with_nothing_in_it_comes_back(client: Client) -> None:
    course = make_course()
    make_enrolment(client.sign_in(make_guest()), course)
    answer = client.submit("asking.report_lesson", {"text": " "}, id=lesson_that_needs(course, "none").public_id)
    assert "Please write what is wrong." in answer.text
    assert db.session.query(Question).count() == 0


def test_looking_at_the_forms_changes_nothing(client: Client) -> None:
    course = make_course()
    make_enrolment(client.sign_in(make_user()), course)
    before = all_rows()
    assert client.visit("asking.ask").status_code == 200
    assert client.visit("asking.report_lesson", id=lesson_that_needs(course, "none").public_id).status_code == 200
    assert changed_tables(before, all_rows()) == []


# The list


def test_an_empty_list_says_so(client: Client, owner: User) -> None:
    assert "No open questions" in client.visit("support.questions").text
    assert "Nothing answered yet" in client.get("/staff/questions?show=answered").text


def test_the_list_is_paged_by_key_newest_first(client: Client, owner: User) -> None:
    for number in range(65):
        questions.ask(QuestionKind.OTHER, f"number-{number:02}.", NOW, user=None)
    path, found, sizes = "/staff/questions", [], []
    while path:
        page = client.get(path).text
        here = [number for number in range(64, -1, -1) if f"number-{number:02}." in page]
        assert here == sorted(here, key=lambda number: page.index(f"number-{number:02}."))
        found, sizes = found + here, [*sizes, len(here)]
        path = page.partition('href="/staff/questions?before=')[2].partition('"')[0]
        path = f"/staff/questions?before={path}" if path else ""
    assert found == list(range(64, -1, -1))
    assert sizes == [30, 30, 5]
    assert client.get("/staff/questions?before=abc").status_code == 200


def test_marking_as_answered_moves_it_to_the_other_list(client: Client, owner: User) -> None:
    kept = questions.ask(QuestionKind.OTHER, "First one.", NOW, user=None)
    questions.ask(QuestionKind.OTHER, "Second one.", NOW, user=None)
    client.submit("support.questions", to="support.answer_question", id=kept.public_id)
    still_open, answered = client.visit("support.questions").text, client.get("/staff/questions?show=answered").text
    assert ("First one." in still_open, "Second one." in still_open) == (False, True)
    assert ("First one." in answered, "Second one." in answered) == (True, False)
    assert client.post("/staff/questions/nothing/answered", data={"csrf_token": client.csrf_token("support.people")}).status_code == 404


# How long it stays


def test_an_answered_question_goes_after_180_days_and_an_open_one_stays(client: Client, pass_time) -> None:
    answered = questions.ask(QuestionKind.OTHER, "Answered.", NOW, user=None)
    questions.ask(QuestionKind.OTHER, "Open.", NOW, user=None)
    questions.mark_answered(answered.public_id, NOW)
    assert tidy(pass_time(days=179))["questions"] == 0
    assert tidy(pass_time(days=2))["questions"] == 1
    assert list(db.session.scalars(sa.select(Question.text))) == ["Open."]


def test_answering_twice_keeps_the_first_day(app: Flask, pass_time) -> None:
    question = questions.ask(QuestionKind.OTHER, "Hello?", NOW, user=None)
    questions.mark_answered(question.public_id, NOW)
    questions.mark_answered(question.public_id, pass_time(days=9))
    assert question.answered_at == NOW


def test_the_learner_takes_their_questions_and_reports_away(client: Client) -> None:
    course = make_course()
    make_enrolment(client.sign_in(make_user("ada@example.org")), course)
    lesson = lesson_that_needs(course, "none")
    ask(client, "Mine.")
    client.submit("asking.report_lesson", {"text": "Also mine."}, id=lesson.public_id)
    outside: Any = client.application.test_client()
    ask(outside, "Mine from outside.", address="ADA@example.org")
    ask(outside, "Not mine.", address="bob@example.org")
    data: Any = client.visit("operations.export_data").json
    assert [(row["text"], row["lesson"]) for row in data["questions"]] == [
        ("Mine.", None),
        ("Also mine.", lesson.title),
        ("Mine from outside.", None),
    ]


@with_address
def test_a_guest_who_is_forgotten_takes_question_and_waiting_mail_along(client: Client, app: Flask) -> None:
    client.sign_in(make_guest())
    ask(client)
    client.submit("operations.forget_device")
    assert tables_that_hold("canary") == []
    assert letters(app) == []
    assert db.session.scalars(sa.select(Message.state)).one() is State.SKIPPED


def test_a_guest_who_joins_an_account_leaves_no_question_without_an_owner(app: Flask) -> None:
    guest, account = make_guest(), make_user()
    questions.ask(QuestionKind.OTHER, "A guest's.", NOW, user=guest)
    db.session.commit()
    join_guest(guest, account, NOW)
    db.session.commit()
    assert db.session.query(Question).count() == 0


@with_address
def test_the_support_address_is_no_unconfirmed_one_to_be_tidied_away(client: Client, app: Flask, pass_time) -> None:
    ask(client)
    tidy(pass_time(days=30))
    db.session.commit()
    assert db.session.scalars(sa.select(Contact.address)).all() == [HELP]
    ask(client)
    assert len(mails_to(HELP)) == 2


# Where it goes, and what stands in its links


def test_the_help_address_of_the_settings_gets_them(client: Client, app: Flask, owner: User) -> None:
    names = {"names-support_address": HELP}
    client.submit("organisation.settings", names, to="organisation.change_settings", section="names")
    ask(app.test_client())
    [mail] = letters(app)
    assert f"To: {HELP}" in mail


@pytest.mark.settings(support_address="old@example.org")
def test_the_help_address_of_the_settings_goes_before_the_servers(client: Client, app: Flask, owner: User) -> None:
    names = {"names-support_address": HELP}
    client.submit("organisation.settings", names, to="organisation.change_settings", section="names")
    ask(app.test_client())
    assert [len(mails_to(address)) for address in (HELP, "old@example.org")] == [1, 0]


def test_an_address_adds_no_recipient_and_no_words_to_the_answer(client: Client, owner: User) -> None:
    ask(client.application.test_client(), address="x?bcc=eve%40evil.test&body=hi@example.org")
    page = client.visit("support.questions").text
    assert 'href="mailto:x%3Fbcc%3Deve%2540evil.test%26body%3Dhi@example.org"' in page


@pytest.mark.settings(languages="en, de", support_address=HELP)
@pytest.mark.one_database
def test_the_kind_is_said_in_the_language_of_the_site_and_not_of_who_asks(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "KIND_WORDS", dict.fromkeys(QuestionKind, LazyString(lambda: str(get_locale()))))
    token = client.csrf_token()
    client.post("/ask", data={"csrf_token": token, "kind": "mail", "text": "Hallo?"}, headers={"Accept-Language": "de"})
    assert db.session.scalars(sa.select(Message)).one().fields["secret_kind"] == "en"


@pytest.mark.parametrize("before", ["9" * 30, "-1", "0"])
def test_an_odd_place_in_the_list_breaks_nothing(client: Client, owner: User, before: str) -> None:
    assert client.get(f"/staff/questions?before={before}").status_code == 200
