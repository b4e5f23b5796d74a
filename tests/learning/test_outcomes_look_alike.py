"""Nobody is given away: whatever the safety check came to, everything that anyone else can see is the same.

Two ways of looking. First, one learner for each outcome (and one without) does the same things, and what their doing left in
journal, outbox, mails and logs is compared. Then one learner's outcome is changed under the eyes of the staff, who look at
everything they can open each time.
"""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp import clock
from courseapp.accounts.models import LoginSession, User
from courseapp.campaigns.loops import advance_runs, notice, read_news
from courseapp.campaigns.models import SequenceRun
from courseapp.catalog.models import Course, Lesson, Need
from courseapp.contacts.models import Consent, Contact
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.learning.models import Completion, Enrolment, Outcome, SafetyOutcome
from courseapp.mailing.loops import drain
from courseapp.mailing.models import Message
from courseapp.operations.diagnosis import diagnosis
from courseapp.operations.metrics import exposition
from tests.client import Client
from tests.factories import (
    NOW,
    lesson_that_needs,
    lessons_of,
    make_completion,
    make_course,
    make_enrolment,
    make_outcome,
    make_sequence,
    make_user,
)
from tests.learning.addresses import addresses, crawl, same_in_all
from tests.learning.checking import TO, take_check

OUTCOMES = (None, *TO)


def live_through(app: Flask, outcome: str | None, address: str) -> int:
    """Start with an address, confirm it, take the check, read and do every lesson that opens, finish; returns the user's id."""
    client = app.test_client()
    assert isinstance(client, Client)
    client.submit("learning.start", {"address": address, "course_mail": "y"})
    secret = db.session.scalars(sa.select(Message.fields).order_by(Message.id.desc())).first()["secret_url"]  # type: ignore[index]  # it is there
    drain(clock.now)
    client.submit(secret.removeprefix("http://127.0.0.1:8000"))
    if outcome is not None:
        take_check(client, TO[outcome])
        client.visit("learning.safety_outcome")
    work(2)
    for lesson in lessons_of(db.session.query(Course).one()):
        path = f"/lessons/{lesson.public_id}"
        page = client.get(path)
        assert page.status_code == 200
        token = client.csrf_token("learning.start")
        for action in ("opening", "completion"):
            client.post(f"{path}/{action}", data={"csrf_token": token, "done": "1"})
    for endpoint in ("learning.course", "learning.progress", "learning.copy"):
        assert client.visit(endpoint, slug="introduction").status_code == 200
    work(2)
    return db.session.scalars(sa.select(User.id).join(Contact, Contact.id == User.contact_id).where(Contact.address == address)).one()


def work(rounds: int) -> None:
    """What the worker does meanwhile."""
    for _round in range(rounds):
        read_news(clock.now)
        notice(clock.now)
        advance_runs(clock.now)
        drain(clock.now)


def plain(value: Any) -> str:
    """A value without ids, tokens, moments, durations and addresses."""
    text = re.sub(r'"ms": [\d.]+|"request_id": "[0-9a-f]{12}"', "NUMBER", str(value))
    text = re.sub(r"person-\w+@example\.org", "ADDRESS", text)
    text = re.sub(r"\b[0-9a-f]{40,64}\b|(?<=[=<>/:\s'])[\w.~-]{30,}|\b[2-9a-hjkmnp-z]{16}(?:\.[0-9a-f]{8})?\b", "TOKEN", text)
    text = re.sub(r"datetime\.datetime\([^)]*\)|\w{3}, \d\d \w{3} \d{4} [\d:]+ [+-]\d+|\d{4}-\d\d-\d\dT[\d:.]+Z?", "MOMENT", text)
    text = re.sub(r"(?<=user:|tact:)\d+|(?<=user\": )\d+|(?<=_id': )\d+|(?<=sequence:)\d+|(?<=welcome:)\d+", "N", text)
    return re.sub(r"\b\d{6}\b|(?<==_)[\w.]+", "N", text)


def traces_of(app: Flask, user_id: int) -> dict[str, Any]:
    """Everything one learner's doing left in tables, the safety check's own two apart, and the mails as they left."""
    contact_id = db.session.get_one(User, user_id).contact_id
    subjects = [f"user:{user_id}", f"contact:{contact_id}"]
    counted = sa.select(Completion.lesson_id).join(Lesson, sa.and_(Lesson.id == Completion.lesson_id, Lesson.needs_check == Need.NONE))
    messages = db.session.scalars(sa.select(Message).where(Message.contact_id == contact_id).order_by(Message.id)).all()
    folder = app.config["SETTINGS"].data_dir / "mail"
    columns = [column.name for column in Message.__table__.columns if column.name not in {"id", "contact_id"}]
    consents = db.session.execute(sa.select(Consent.purpose, Consent.action).where(Consent.contact_id == contact_id)).all()
    runs = db.session.execute(sa.select(SequenceRun.position, SequenceRun.end).where(SequenceRun.contact_id == contact_id)).all()
    return {
        "journal": [plain((row.type, row.subject, row.data)) for row in events_of(subjects)],
        "outbox": [plain({name: getattr(message, name) for name in columns}) for message in messages],
        "mails": [plain(words_of(folder / f"{message.public_id}.eml")) for message in messages],
        "completions that count": db.session.scalars(counted.where(Completion.user_id == user_id).order_by(Lesson.id)).all(),
        "enrolment": [bool(row.finished_at) for row in db.session.scalars(sa.select(Enrolment).where(Enrolment.user_id == user_id))],
        "runs": [tuple(row) for row in runs],
        "consents": [tuple(row) for row in consents],
        "sessions": db.session.scalar(sa.select(sa.func.count()).select_from(LoginSession).where(LoginSession.user_id == user_id)),
    }


def words_of(file: Path) -> str:
    """A mail's headers, text and HTML, without what its transport added."""
    mail = cast(EmailMessage, message_from_bytes(file.read_bytes(), policy=policy.default))
    bodies = [mail.get_body((kind,)) for kind in ("plain", "html")]
    return "\n".join([*(f"{name}: {value}" for name, value in mail.items()), *(body.get_content() for body in bodies if body is not None)])


def events_of(subjects: list[str]) -> list[Event]:
    """What the journal says of somebody, in order."""
    return list(db.session.scalars(sa.select(Event).where(Event.subject.in_(subjects)).order_by(Event.id)))


@pytest.mark.settings(log_level="DEBUG")
def test_one_learner_for_each_outcome_leaves_the_same_traces(app: Flask, capfd: pytest.CaptureFixture[str]) -> None:
    make_course(needs=(("none", "gentle"), ("touch", "none")))
    make_sequence(delays=(0, 2))
    db.session.commit()
    found: dict[str | None, dict[str, Any]] = {}
    capfd.readouterr()
    for outcome in OUTCOMES:
        user_id = live_through(app, outcome, f"person-{outcome}@example.org")
        logged = capfd.readouterr()
        found[outcome] = {**traces_of(app, user_id), "logs": plain(logged.out + logged.err)}
    db.session.rollback()
    assert {row.outcome.value for row in db.session.scalars(sa.select(SafetyOutcome))} == set(TO)  # each did take the check
    reference = found[None]
    assert [event.split("'")[1] for event in reference["journal"]].count("lesson_completed") == 2
    assert len(reference["mails"]) == 3  # sign-in, welcome, the first of the sequence
    assert reference["enrolment"] == [True]
    for outcome in TO:
        for what, trace in reference.items():
            assert found[outcome][what] == trace, f"{outcome}: {what}"


# Under the eyes of the staff


@pytest.fixture
def learner(app: Flask) -> User:
    """Somebody half-way through a course, beside another who is at its beginning."""
    course = make_course(needs=(("none", "gentle"), ("touch", "none")))
    make_enrolment(make_user(), course)
    user = make_user("somebody@example.org", name="Somebody")
    make_enrolment(user, course)
    make_completion(user, lessons_of(course)[0])
    db.session.commit()
    return user


def set_outcome(user: User, outcome: str | None) -> None:
    """What a check of that outcome, and doing what it opens, leaves behind."""
    course = db.session.query(Course).one()
    techniques = [lesson_that_needs(course, need) for need in ("gentle", "touch")]
    enrolment = db.session.query(Enrolment).filter_by(user_id=user.id).one()
    db.session.execute(sa.delete(SafetyOutcome).where(SafetyOutcome.user_id == user.id))
    db.session.execute(sa.delete(Completion).where(Completion.lesson_id.in_([lesson.id for lesson in techniques])))
    enrolment.last_lesson_id = None
    if outcome is not None:
        make_outcome(user, outcome)
    if outcome in ("gently", "ahead"):
        for lesson in techniques:
            make_completion(user, lesson)
        enrolment.last_lesson_id = techniques[-1].id
    db.session.commit()


def compare_pages(app: Flask, client: Client, learner: User, roles: tuple[str, ...]) -> dict[str, str]:
    """Look at everything that staff of these roles can open, for each outcome; returns what there is to see."""
    client.sign_in(make_user("staff@example.org", roles=roles))
    starts = [path for path in addresses(app, with_ids=False) if path != "/account/data.json"]
    pages: dict[str | None, dict[str, str]] = {}
    for outcome in OUTCOMES:
        set_outcome(learner, outcome)
        pages[outcome] = crawl(client, starts)
    for outcome in TO:
        assert pages[outcome] == pages[None], outcome
    return pages[None]


def test_no_page_that_the_owner_can_open_tells_outcomes_apart(app: Flask, client: Client, learner: User) -> None:
    seen = compare_pages(app, client, learner, ("owner",))
    assert seen["/staff/courses"].startswith("200")
    assert seen["/staff/courses/introduction"].startswith("200")


@pytest.mark.one_database
@pytest.mark.parametrize(("role", "status"), [("instructor", "200"), ("marketer", "404")])
def test_no_page_that_other_staff_can_open_tells_outcomes_apart(app: Flask, client: Client, learner: User, role: str, status: str) -> None:
    assert compare_pages(app, client, learner, (role,))["/staff/courses"].startswith(status)


@pytest.mark.settings(metrics_token="token-of-the-metrics")
def test_no_number_and_no_command_tells_outcomes_apart(app: Flask, client: Client, learner: User) -> None:
    found: dict[str | None, list[str]] = {}
    for outcome in OUTCOMES:
        set_outcome(learner, outcome)
        asked = client.get("/metrics", headers={"Authorization": "Bearer token-of-the-metrics"})
        assert asked.status_code == 200
        commands = [app.test_cli_runner().invoke(args=words).output for words in (["doctor", "--json"], ["mail", "status", "--json"])]
        health = [f"{check.name} {check.ok} {check.words}" for check in diagnosis(NOW)]
        found[outcome] = [same_in_all(text) for text in (asked.text, exposition(NOW).decode(), *commands, *health)]
        db.session.rollback()
    assert "courseapp_enrolments 2.0" in found[None][0]
    for outcome in TO:
        assert found[outcome] == found[None], outcome


def test_the_learner_alone_finds_the_outcome_in_their_own_data(client: Client, learner: User) -> None:
    set_outcome(learner, "gently")
    client.sign_in(learner)
    held = client.visit("operations.export_data").json
    assert held["learning"]["safety_check"]["outcome"] == Outcome.GENTLY  # type: ignore[index]  # it is JSON
    assert "gently" not in str({name: part for name, part in held.items() if name != "learning"})  # type: ignore[union-attr]  # as above
