"""The pages of sequences without a browser: written, looked at, published, read with who is where, stopped; what is refused."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from werkzeug.test import TestResponse

from courseapp.accounts.models import User
from courseapp.campaigns.models import Condition, Goal, LatePolicy, RunEnd, Sequence, SequenceRun, SequenceStep, SequenceVersion, Trigger
from courseapp.campaigns.sequence_drafts import draft_of, keep_draft, new_sequence, publish
from courseapp.campaigns.sequence_shapes import LONGEST_TITLE, MOST_DAYS, MOST_GAP_HOURS, MOST_QUIET_DAYS, SequenceDraft, StepDraft
from courseapp.catalog.models import Course
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing.models import Letter, Message
from tests.client import Client
from tests.factories import NOW, lessons_of, make_contact, make_course, make_run, make_sequence, make_user

HEAD = {
    "title": "The first week",
    "purpose": "course",
    "language": "en",
    "trigger": "enrolled",
    "trigger_days": "",
    "course": "",
    "goal": "course_completed",
    "window_start": "09:00",
    "window_end": "20:00",
    "weekdays": ["1", "2", "3", "4", "5"],
    "minimum_gap_hours": "20",
    "late": "send",
}
LETTER = {"delay_days": "0", "condition": "", "subject": "Where to begin", "preheader": "A short lesson", "body": "Hello, it is ready."}


@pytest.fixture
def marketer(client: Client) -> User:
    """A browser in which a marketer is signed in."""
    return client.sign_in(make_user("marketer@example.org", roles=("marketer",)))


@pytest.fixture
def press(client: Client, marketer: User) -> Callable[..., TestResponse]:
    """press(endpoint, sequence, …): send a form of its pages, from the state the draft is in unless told otherwise."""

    def send(endpoint: str, sequence: Sequence | None = None, number: int | None = None, tag: str = "", **data: Any) -> TestResponse:
        place = {"id": sequence.public_id} if sequence is not None else {}
        path = client.path(endpoint, **place, **({"number": number} if number else {}), **({"tag": tag} if tag else {}))
        version = {"version": str(sequence.draft_version)} if sequence is not None else {}
        return client.post(path, data={"csrf_token": client.csrf_token("sequence_drafts.begin"), **version, **data})

    return send


def the_only() -> Sequence:
    """The sequence there is."""
    db.session.expire_all()
    return db.session.scalars(sa.select(Sequence)).one()


def written(*steps: StepDraft, **kw: Any) -> Sequence:
    """A draft with letters, of one each day unless told otherwise."""
    steps = steps or tuple(StepDraft(day, None, f"Letter {day}", "A line", f"Words {day}.") for day in (0, 2, 5))
    values: dict[str, Any] = {"title": "A draft", "purpose": Purpose.COURSE, "language": "en", "trigger": Trigger.ENROLLED}
    values |= {"trigger_days": None, "course_slug": None, "goal": Goal.COURSE_COMPLETED, "steps": steps}
    made = new_sequence(SequenceDraft(**values | kw), None, NOW)
    db.session.commit()
    return made


def subjects() -> list[tuple[int, str]]:
    """The days and subjects of the draft."""
    return [(step.delay_days, step.subject) for step in draft_of(the_only()).steps]


def shown(page: str) -> str:
    """The words of a page, one after the other."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split()).replace(" ,", ",")


def test_from_the_first_word_to_a_published_version(client: Client, press) -> None:
    assert "No sequence so far" in client.visit("sequences.listed").text
    answer = press("sequence_drafts.make", **HEAD)
    assert answer.status_code == 303
    page = client.get(answer.location).text
    assert "When somebody begins a course" in page
    assert "Ends early when they finish the course or stop these mails" in page
    assert "There is no step yet" in page
    assert press("sequence_letters.add_letter", the_only(), **LETTER).status_code == 303
    answer = press("sequence_letters.add_letter", the_only(), **LETTER | {"delay_days": "3", "subject": "One thing", "then": "look"})
    assert answer.location.endswith("/letters/2/look")
    page = shown(client.get(answer.location).text)
    assert "Step 2: On day 3, between 9:00" in page
    assert "Monday to Friday" in page
    assert "Nothing is wrong with it" in page
    frame = client.visit("sequence_letters.letter_html", id=the_only().public_id, number=2)
    assert "Hello, it is ready." in frame.text
    assert "sandbox" in frame.headers["Content-Security-Policy"]
    page = client.visit("sequence_drafts.draft", id=the_only().public_id).text
    assert "Whoever this happens to from now on gets these letters, each on its day." in page
    answer = press("sequence_drafts.publish", the_only())
    page = client.get(answer.location).text
    assert "Version 1 is published." in page
    assert "On their way now: nobody." in page
    assert "On the day itself, between 9:00" in shown(page)
    version = db.session.scalars(sa.select(SequenceVersion)).one()
    assert (version.weekdays, version.minimum_gap_hours, version.late) == ("12345", 20, LatePolicy.SEND)
    assert "When somebody begins a course" in client.visit("sequences.listed").text


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"title": ""}, "Please give it a name."),
        ({"title": "two\nlines"}, "Please leave out line breaks"),
        ({"trigger": "quiet"}, "Please give a number of days from 1 to 365."),
        ({"trigger": "quiet", "trigger_days": "soon"}, "Please give a whole number, such as 3."),
        ({"window_end": "late"}, "Please give a time of day"),
        ({"weekdays": []}, "Please tick at least one day of the week."),
        ({"minimum_gap_hours": "-1"}, "Please give a whole number, such as 3."),
        ({"minimum_gap_hours": "721"}, "Please give a number of hours from 1 to 720."),
    ],
    ids=["no name", "name", "no days", "days", "hours", "weekdays", "gap", "long gap"],
)
def test_a_head_that_cannot_be_kept_is_said_at_its_field_and_nothing_is_lost(press, changed, words) -> None:
    answer = press("sequence_drafts.make", **HEAD | {"late": "shift"} | changed)
    assert answer.status_code == 422
    assert words in answer.text
    assert '<option selected value="shift">' in answer.text
    assert f'value="{changed.get("trigger_days", "")}"' in answer.text
    assert db.session.scalars(sa.select(Sequence)).all() == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"delay_days": ""}, "Please give a number of days from 0 to 730."),
        ({"delay_days": "731"}, "Please give a number of days from 0 to 730."),
        ({"delay_days": "two"}, "Please give a whole number, such as 3."),
        ({"subject": "two\nlines"}, "Please leave out line breaks"),
        ({"subject": "x" * 201}, "Field cannot be longer than 200 characters."),
    ],
    ids=["no day", "day", "no number", "subject", "long"],
)
def test_a_letter_that_cannot_be_kept_is_said_at_its_field_and_nothing_is_lost(press, changed, words) -> None:
    made = written()
    answer = press("sequence_letters.change_letter", made, 2, **LETTER | changed)
    assert answer.status_code == 422
    assert words in answer.text
    assert "Hello, it is ready." in answer.text
    assert subjects() == [(0, "Letter 0"), (2, "Letter 2"), (5, "Letter 5")]


def test_what_no_database_takes_is_refused_in_a_letter_too(press) -> None:
    answer = press("sequence_letters.change_letter", written(), 2, **LETTER | {"body": "a\0b"})
    assert answer.status_code == 422
    assert "Please leave out control characters." in answer.text


def test_the_head_of_a_draft_is_shown_as_it_is_and_changed(client: Client, press) -> None:
    make_course(slug="sleep", title="Sleeping well")
    made = written(trigger=Trigger.QUIET, trigger_days=21, goal=None, weekdays="67", course_slug="sleep")
    page = shown(client.visit("sequence_drafts.draft", id=made.public_id).text)
    assert "When somebody who takes “Sleeping well” has not been here for 21 days" in page
    assert "On day 2, Saturday and Sunday" in page
    assert "Ends early when they come back or stop these mails" in page
    assert "Everybody who asked for mails with their course, once for each time they are away." in page
    page = client.visit("sequence_drafts.head", id=made.public_id).text
    assert '<option selected value="sleep">' in page
    assert 'value="21"' in page
    assert page.count("checked") == 2
    assert press("sequence_drafts.change_head", made, **HEAD | {"window_start": "22:00", "window_end": "06:00"}).status_code == 303
    kept = draft_of(the_only())
    assert (kept.trigger, kept.trigger_days, kept.course_slug, kept.goal) == (Trigger.ENROLLED, None, None, Goal.COURSE_COMPLETED)
    assert (kept.weekdays, f"{kept.window.start:%H:%M}", kept.steps[0].subject) == ("12345", "22:00", "Letter 0")


def test_a_sequence_that_begins_by_a_lesson_names_it_from_the_form_to_the_list(client: Client, press) -> None:
    course = make_course(slug="sleep", title="Sleeping well", needs=(("none", "gentle"),))
    open_one, gentle = lessons_of(course)
    made = written()
    answer = press("sequence_drafts.change_head", made, **HEAD | {"trigger": "lesson_completed", "lesson": ""})
    assert answer.status_code == 422
    assert "Please choose the lesson that begins it." in answer.text
    assert (
        press("sequence_drafts.change_head", made, **HEAD | {"trigger": "lesson_completed", "lesson": f"sleep/{gentle.key}"}).status_code
        == 422
    )
    named = {"trigger": "lesson_completed", "lesson": f"sleep/{open_one.key}", "course": ""}
    assert press("sequence_drafts.change_head", made, **HEAD | named).status_code == 303
    kept = draft_of(the_only())
    assert (kept.course_slug, kept.lesson_key) == ("sleep", open_one.key)
    page = client.visit("sequence_drafts.head", id=made.public_id).text
    assert f'<option selected value="sleep/{open_one.key}">' in page
    assert 'optgroup label="Sleeping well"' in page
    publish(the_only(), None, NOW)
    db.session.commit()
    version = db.session.scalars(sa.select(SequenceVersion)).one()
    assert (version.course_id, version.lesson_id) == (course.id, open_one.id)
    said = f"When somebody has done “{open_one.title}” in “Sleeping well”"
    for shown_page in (client.visit("sequences.listed"), client.visit("sequences.sequence", id=made.public_id)):
        assert said in shown(shown_page.text)
    assert press("sequence_drafts.change_head", made, **HEAD | {"trigger": "enrolled", "lesson": named["lesson"]}).status_code == 303
    assert draft_of(the_only()).lesson_key is None


def test_whatever_may_be_published_can_be_kept_on_its_pages(press) -> None:
    named = "x" * LONGEST_TITLE
    far = StepDraft(MOST_DAYS, None, "At last", "A line", "Words.")
    made = written(far, title=named, trigger=Trigger.QUIET, trigger_days=MOST_QUIET_DAYS, minimum_gap_hours=MOST_GAP_HOURS)
    publish(made, None, NOW)
    db.session.commit()
    most = {"trigger_days": str(MOST_QUIET_DAYS), "minimum_gap_hours": str(MOST_GAP_HOURS)}
    assert press("sequence_drafts.change_head", made, **HEAD | {"title": named, "trigger": "quiet"} | most).status_code == 303
    days = {"delay_days": str(MOST_DAYS)}
    assert press("sequence_letters.change_letter", the_only(), 1, **LETTER | days).status_code == 303
    assert subjects() == [(MOST_DAYS, "Where to begin")]


def test_a_letter_is_put_where_its_day_belongs(press) -> None:
    made = written()
    answer = press(
        "sequence_letters.add_letter", made, **LETTER | {"delay_days": "2", "subject": "Later that day", "condition": "not_begun"}
    )
    assert answer.location.endswith("#letter-3")
    assert subjects() == [(0, "Letter 0"), (2, "Letter 2"), (2, "Later that day"), (5, "Letter 5")]
    assert draft_of(the_only()).steps[2].condition is Condition.NOT_BEGUN


def test_letters_are_moved_and_the_days_stay_where_they_are(client: Client, press) -> None:
    made = written()
    page = client.visit("sequence_drafts.draft", id=made.public_id).text
    assert [word for word in ("up:1", "up:2", "down:2", "down:3") if f'value="{word}"' in page] == ["up:2", "down:2"]
    answer = press("sequence_drafts.arrange", made, do="down:1")
    assert answer.location.endswith("#letter-2")
    assert "It is step 2 now, on day 2." in client.get(answer.location).text
    assert subjects() == [(0, "Letter 2"), (2, "Letter 0"), (5, "Letter 5")]
    press("sequence_drafts.arrange", the_only(), do="up:3")
    press("sequence_drafts.arrange", the_only(), do="up:1")
    assert subjects() == [(0, "Letter 2"), (2, "Letter 5"), (5, "Letter 0")]
    for doing, status in (("sideways:1", 400), ("up:x", 400), ("up:4", 404), ("up:0", 404), ("discard", 400)):
        assert press("sequence_drafts.arrange", the_only(), do=doing).status_code == status


def test_taking_a_letter_out_asks_first(client: Client, press) -> None:
    made = written()
    answer = press("sequence_drafts.arrange", made, do="remove:2")
    assert len(subjects()) == 3
    page = client.get(answer.location).text
    assert "Take step 2 out?" in page
    assert "Words 2." in page
    press("sequence_drafts.arrange", made, do="remove:2", sure="1")
    assert subjects() == [(0, "Letter 0"), (5, "Letter 5")]


def test_two_who_write_at_once_lose_nothing(client: Client, press) -> None:
    made = written()
    stale = made.draft_version
    assert press("sequence_letters.change_letter", made, 1, **LETTER | {"body": "The first."}).status_code == 303
    answer = press("sequence_letters.change_letter", the_only(), 1, **LETTER | {"body": "The second.", "version": str(stale)})
    assert answer.status_code == 409
    assert "The second." in answer.text
    assert "Somebody else has changed this sequence meanwhile." in answer.text
    answer = press("sequence_drafts.change_head", the_only(), **HEAD | {"title": "My own name for it", "version": str(stale)})
    assert answer.status_code == 409
    assert "My own name for it" in answer.text
    press("sequence_drafts.arrange", the_only(), do="up:2", version=str(stale))
    answer = press("sequence_drafts.publish", the_only(), version=str(stale))
    assert "nothing was published" in client.get(answer.location).text
    assert draft_of(the_only()).steps[0].body == "The first."
    assert (the_only().title, db.session.scalars(sa.select(SequenceVersion)).all()) == ("A draft", [])


def test_a_letter_that_somebody_took_out_meanwhile_can_be_added_anew(client: Client, press) -> None:
    made = written()
    press("sequence_drafts.arrange", made, do="remove:3", sure="1")
    answer = press("sequence_letters.change_letter", the_only(), 3, **LETTER | {"body": "What I wrote."})
    assert answer.status_code == 409
    assert "What I wrote." in answer.text
    assert "If you keep it, it is added as a new one." in answer.text
    assert f'action="{client.path("sequence_letters.add_letter", id=made.public_id)}"' in answer.text
    assert f'value="{the_only().draft_version}"' in answer.text


def test_what_is_wrong_is_told_by_step_and_line_and_is_not_published(client: Client, press) -> None:
    offer = StepDraft(0, None, "A subject", "A line", "Hello {{ first_name }},\n\n::: offer\nBuy it.\n:::")
    made = written(offer, StepDraft(3, None, "", "A line", "[Somewhere](lesson:nowhere/none)"))
    page = client.visit("sequence_drafts.draft", id=made.public_id).text
    assert "line 3: This offers something that costs money" in page
    assert "subject: The subject is empty." in page
    assert page.count("to mend") == 4
    assert f"{client.path('sequence_letters.letter', id=made.public_id, number=2)}#subject" in page
    assert "Publish version" not in page
    answer = press("sequence_drafts.publish", made)
    page = client.get(answer.location).text
    assert "It cannot be published yet. Step 1: line 1:" in page
    assert "Step 2: subject: The subject is empty." in page
    assert db.session.scalars(sa.select(SequenceVersion)).all() == []
    page = client.visit("sequence_letters.look", id=made.public_id, number=1).text
    assert "then it can be tried out and published" in page
    assert press("sequence_letters.try_out", made, 1, to="x").status_code == 422
    assert db.session.scalars(sa.select(Letter)).all() == []


def test_marketing_needs_a_postal_address(client: Client, press) -> None:
    made = written(purpose=Purpose.MARKETING)
    assert "must carry a postal address" in client.visit("sequence_drafts.draft", id=made.public_id).text
    assert "must carry a postal address" in client.get(press("sequence_drafts.publish", made).location).text
    assert db.session.scalars(sa.select(SequenceVersion)).all() == []


def test_a_trial_goes_to_staff_alone_and_publishes_a_letter_once(client: Client, press, marketer: User) -> None:
    made = written()
    for _time in range(2):
        assert press("sequence_letters.try_out", made, 2, to=marketer.public_id).status_code == 303
    assert press("sequence_letters.try_out", made, 2, to="0" * 16).status_code == 422
    (trial,) = db.session.scalars(sa.select(Message)).all()
    assert (trial.contact.address, trial.letter.subject) == ("marketer@example.org", "Letter 2")
    assert len(db.session.scalars(sa.select(Letter)).all()) == 1
    press("sequence_letters.change_letter", made, 2, **LETTER)
    assert press("sequence_letters.try_out", the_only(), 2, to=marketer.public_id).status_code == 303
    assert [letter.subject for letter in db.session.scalars(sa.select(Letter).order_by(Letter.id))] == ["Letter 2", "Where to begin"]


def test_a_trial_is_no_mail_of_the_sequence(press, marketer: User, running: Sequence) -> None:
    for _time in range(2):
        assert press("sequence_letters.try_out", running, 2, to=marketer.public_id).status_code == 303
    (trial,) = db.session.scalars(sa.select(Message)).all()
    assert trial.letter.subject == "Letter 2"
    assert db.session.scalars(sa.select(SequenceStep).where(SequenceStep.letter_id == trial.letter_id)).all() == []


@pytest.fixture
def running(app: Flask, marketer: User) -> Sequence:
    """A sequence with two versions: 12 people at the second step of the first, 7 at the first step of the second; some have left."""
    made = written()
    first = publish(made, marketer.id, NOW)
    course = make_course()

    def walk(version: SequenceVersion, count: int, **facts: Any) -> None:
        for _number in range(count):
            make_run(version, make_contact(), course, **facts)

    walk(first, 12, position=1)
    walk(first, 6, position=3, ended_at=NOW, end=RunEnd.FINISHED, next_run_at=None)
    second = publish_changed(made)
    walk(second, 7, position=0)
    walk(second, 2, position=2)
    walk(second, 5, position=1, ended_at=NOW, end=RunEnd.GOAL, next_run_at=None)
    walk(second, 3, position=1, ended_at=NOW, end=RunEnd.UNSUBSCRIBED, next_run_at=None)
    db.session.commit()
    return made


def publish_changed(sequence: Sequence) -> SequenceVersion:
    """One version more, with other words."""
    draft = draft_of(sequence)
    steps = (replace(draft.steps[0], body=f"{draft.steps[0].body} More."), *draft.steps[1:])
    keep_draft(sequence, replace(draft, steps=steps), sequence.draft_version, None, NOW)
    return publish(sequence, None, NOW)


def test_a_sequence_is_read_from_top_to_bottom_with_who_is_where(client: Client, running: Sequence) -> None:
    page = shown(client.visit("sequences.sequence", id=running.public_id).text)
    assert "On their way now: at least 19 people." in page
    assert "Course mail, version 2" in page
    parts = [
        "When somebody begins a course",
        "On the day itself",
        "Letter 0",
        "On day 2",
        "Letter 2",
        "On day 5",
        "Letter 5",
        "Ends early when",
    ]
    assert sorted(parts, key=page.index) == parts
    before, _day_two, after = page.partition("On day 2")
    assert "wait for it 7" in before
    assert "wait for it fewer than five" in after
    assert "had every letter" not in page
    assert "finished the course before 5 stopped these mails fewer than five" in after
    assert re.search(r"Version 2 Nov 2, 2026, \S+ AM the site, its command line, or somebody erased since at least 7 Version 1 Nov 2", page)
    assert re.search(r"Version 1 Nov 2, 2026, \S+ AM you 12", page)
    page = shown(client.get(client.path("sequences.sequence", id=running.public_id, version=1)).text)
    assert "This is version 1" in page
    assert "wait for it 12" in page
    assert "had every letter 6" in page
    assert client.visit("sequences.sequence", id=running.public_id, version=9).status_code == 404
    assert "at least 19 people on their way" in client.visit("sequences.listed").text


def test_people_on_older_versions_are_moved_only_when_one_is_sure(client: Client, press, running: Sequence) -> None:
    page = client.visit("sequences.sequence", id=running.public_id).text
    assert "Move the 12 people on older versions to the newest" in page
    page = client.visit("sequences.ask_to_move", id=running.public_id).text
    assert "Under way on older versions: 12 people. They go on with version 2" in page
    answer = press("sequences.move", running)
    page = shown(client.get(answer.location).text)
    assert "Moved to the newest version: 12 people." in page
    assert "wait for it 12" in page
    assert client.visit("sequences.ask_to_move", id=running.public_id).status_code == 303
    assert [event.facts["runs"] for event in db.session.scalars(sa.select(Event).where(Event.type == "sequence_migrated"))] == [12]


def test_publishing_says_what_it_means_for_those_under_way(client: Client, press, running: Sequence) -> None:
    page = client.visit("sequence_drafts.draft", id=running.public_id).text
    assert "Nothing is changed since version 2." in page
    assert "Publish version" not in page
    assert "Nothing has changed since version 2" in client.get(press("sequence_drafts.publish", running).location).text
    press("sequence_drafts.change_head", running, **HEAD | {"title": "Another name"})
    press("sequence_letters.change_letter", the_only(), 1, **LETTER)
    page = client.visit("sequence_drafts.draft", id=running.public_id).text
    assert "New people get version 3 from now; at least 19 people go on with the versions they began with." in page
    press("sequences.act", running, choice="pause")
    press("sequences.move", running)
    page = client.visit("sequence_drafts.draft", id=running.public_id).text
    assert "New people get version 3 from now; at least 19 people go on with version 2. It is paused" in page
    page = client.get(press("sequence_drafts.publish", the_only()).location).text
    assert "Version 3 is published." in page
    assert "Another name" in page
    assert "Move those on older versions to the newest" in page


def test_a_new_name_alone_makes_no_new_version(client: Client, press, running: Sequence) -> None:
    draft = draft_of(running)
    keep_draft(running, replace(draft, title="Another name"), running.draft_version, None, NOW)
    db.session.commit()
    assert "Only its name is another." in client.visit("sequence_drafts.draft", id=running.public_id).text
    page = client.get(press("sequence_drafts.publish", the_only()).location).text
    assert "Another name" in page
    assert "Its new name is kept" in page
    assert len(db.session.scalars(sa.select(SequenceVersion)).all()) == 2


def test_a_published_sequence_keeps_its_purpose(client: Client, press, running: Sequence) -> None:
    assert 'name="purpose"' not in client.visit("sequence_drafts.head", id=running.public_id).text
    press("sequence_drafts.change_head", running, **HEAD | {"purpose": "marketing"})
    assert draft_of(the_only()).purpose is Purpose.COURSE


def test_changes_are_thrown_away_only_when_one_is_sure(client: Client, press, running: Sequence) -> None:
    press("sequence_letters.change_letter", running, 1, **LETTER)
    answer = press("sequence_drafts.arrange", the_only(), do="discard")
    assert "Throw the changes away?" in client.get(answer.location).text
    assert subjects()[0] == (0, "Where to begin")
    press("sequence_drafts.arrange", the_only(), do="discard", sure="1")
    assert (subjects()[0], the_only().draft) == ((0, "Letter 0"), None)


def test_it_is_paused_goes_on_and_is_put_away_only_when_one_is_sure(client: Client, press, running: Sequence) -> None:
    press("sequences.act", running, choice="pause")
    page = client.visit("sequences.sequence", id=running.public_id).text
    assert "Paused since" in page
    assert "Let it go on" in page
    assert "paused" in client.visit("sequences.listed").text
    press("sequences.act", running, choice="resume")
    assert the_only().paused_at is None
    answer = press("sequences.act", running, choice="archive")
    assert "On their way now: at least 19 people." in client.get(answer.location).text
    assert the_only().archived_at is None
    press("sequences.act", running, choice="archive", sure="1")
    assert {run.end for run in db.session.scalars(sa.select(SequenceRun))} == {
        RunEnd.FINISHED,
        RunEnd.GOAL,
        RunEnd.UNSUBSCRIBED,
        RunEnd.STOPPED,
    }
    assert "No sequence so far" in client.visit("sequences.listed").text
    assert "put away" in client.visit("sequences.listed", show="archived").text
    for endpoint in ("sequence_drafts.draft", "sequences.ask_to_archive"):
        assert client.visit(endpoint, id=running.public_id).status_code == 303
    for endpoint in ("sequence_drafts.head", "sequence_letters.new_letter"):
        assert client.visit(endpoint, id=running.public_id).status_code == 404
    assert press("sequence_letters.change_letter", the_only(), 1, **LETTER).status_code == 409
    press("sequences.act", running, choice="bring_back")
    assert (the_only().archived_at, the_only().paused_at is None) == (None, False)
    assert press("sequences.act", running, choice="jump").status_code == 400


def test_a_draft_that_was_never_published_can_be_put_away_and_read(client: Client, press) -> None:
    made = written()
    assert client.visit("sequences.sequence", id=made.public_id).location.endswith("/draft")
    assert "Nobody is on their way." in client.visit("sequences.ask_to_archive", id=made.public_id).text
    press("sequences.act", made, choice="archive", sure="1")
    page = client.visit("sequences.sequence", id=made.public_id).text
    assert "It is put away." in page
    assert "Letter 5" in page


def test_the_list_goes_on_behind_thirty(client: Client, marketer: User) -> None:
    for number in range(31):
        make_sequence(title=f"Sequence {number}", delays=(0,))
    db.session.commit()
    page = client.visit("sequences.listed").text
    assert "Sequence 30" in page
    assert ">Sequence 0<" not in page
    older = re.search(r'href="([^"]+)"\s+rel="next"', page)
    assert older is not None
    assert ">Sequence 0<" in client.get(older[1]).text


@pytest.mark.parametrize("named_by", ["draft", "version", "older version"])
def test_a_sequence_on_a_marked_course_is_the_owners_alone(client: Client, marketer: User, press, named_by: str) -> None:
    course = make_course(slug="marked", title="A delicate matter", sensitive_at=NOW)
    if named_by == "draft":
        made = written(course_slug="marked")
    else:
        made = make_sequence(title="A draft", course_id=course.id).sequence
        if named_by == "older version":
            keep_draft(made, replace(draft_of(made), course_slug=None), made.draft_version, None, NOW)
            publish(made, None, NOW)
    db.session.commit()
    pages = ("sequences.sequence", "sequence_drafts.draft", "sequence_drafts.head", "results.sequence", "sequences.ask_to_archive")
    assert {client.visit(page, id=made.public_id).status_code for page in pages} == {404}
    assert client.visit("sequence_letters.letter", id=made.public_id, number=1).status_code == 404
    assert press("sequences.act", made, choice="pause").status_code == 404
    assert "No sequence so far" in client.visit("sequences.listed").text
    assert "A delicate matter" not in client.visit("sequence_drafts.begin").text
    assert press("sequence_drafts.make", **HEAD | {"course": "marked"}).status_code == 422
    client.sign_in(make_user("owner@example.org", roles=("owner",)))
    assert "A draft" in client.visit("sequences.listed").text
    assert "A delicate matter" in client.visit("sequence_drafts.head", id=made.public_id).text
    assert client.visit("results.sequence", id=made.public_id).status_code == 200
    course = db.session.get_one(Course, course.id)
    course.sensitive_at = None
    client.sign_in(db.session.get_one(User, marketer.id))
    assert client.visit("sequence_drafts.draft", id=made.public_id).status_code == 200
