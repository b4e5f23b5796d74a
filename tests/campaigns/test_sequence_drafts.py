"""A sequence as staff keep it: written, published, changed, paused, put away, and its people moved to a newer version."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.campaigns import noticing
from courseapp.campaigns.catching_up import catch_up
from courseapp.campaigns.loops import advance_runs, read_news
from courseapp.campaigns.models import Condition, Goal, LatePolicy, RunEnd, Sequence, SequenceRun, SequenceStep, SequenceVersion, Trigger
from courseapp.campaigns.runs import begin, begun_by
from courseapp.campaigns.sequence_drafts import (
    SequenceDraft,
    StepDraft,
    archive,
    bring_back,
    draft_of,
    keep_draft,
    migrate_runs,
    new_sequence,
    pause,
    problems_of,
    publish,
    resume,
)
from courseapp.catalog.models import Course
from courseapp.contacts.models import Purpose
from courseapp.contacts.windows import Window
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal.models import Event, Receipt
from courseapp.mailing import outbox, pausing
from courseapp.mailing.models import Message, State
from courseapp.site import change_site, forget_site
from tests.campaigns.people import at, learner_of, run_of, steps, tick
from tests.factories import NOW, make_consent, make_contact, make_course, make_message, make_run, make_sequence, make_user
from tests.query_counts import statements

DAY = timedelta(days=1)
LETTER = StepDraft(0, None, "Where to begin", "In short", "Hello.")
DRAFT = SequenceDraft("Welcome", Purpose.COURSE, "en", Trigger.ENROLLED, None, None, Goal.COURSE_COMPLETED, steps=(LETTER,))
WHOLE = replace(
    DRAFT,
    trigger=Trigger.QUIET,
    trigger_days=10,
    course_slug="introduction",
    window=Window(time(22), time(6, 30)),
    weekdays="12345",
    minimum_gap_hours=30,
    late=LatePolicy.SHIFT,
    steps=(LETTER, replace(LETTER, delay_days=7, condition=Condition.NOT_BEGUN, body='Hello {{ first_name | default("you") }}.')),
)


def published(draft: SequenceDraft = DRAFT) -> SequenceVersion:
    """A sequence, published."""
    version = publish(new_sequence(draft, None, NOW), None, NOW)
    db.session.commit()
    return version


def change(sequence: Sequence, **columns: object) -> None:
    """Write on the draft."""
    keep_draft(sequence, replace(draft_of(sequence), **columns), sequence.draft_version, None, NOW)  # type: ignore[arg-type]  # columns of it


def told_of(sequence: Sequence) -> list[str]:
    """What the journal says of it, in order."""
    return list(db.session.scalars(sa.select(Event.type).where(Event.subject == f"sequence:{sequence.id}").order_by(Event.id)))


@pytest.mark.parametrize("draft", [DRAFT, WHOLE])
def test_a_draft_is_kept_published_and_read_back_as_it_was_written(app: Flask, draft: SequenceDraft) -> None:
    make_course()
    sequence = new_sequence(draft, None, NOW)
    db.session.commit()
    db.session.expire_all()
    assert draft_of(sequence) == draft
    version = publish(sequence, None, NOW)
    db.session.commit()
    db.session.expire_all()
    assert sequence.draft is None
    assert draft_of(sequence) == draft
    assert (version.number, version.trigger, version.trigger_days) == (1, draft.trigger, draft.trigger_days)
    assert told_of(sequence) == ["sequence_published"]


def test_nobody_undoes_what_they_have_not_seen(app: Flask) -> None:
    sequence = new_sequence(DRAFT, None, NOW)
    keep_draft(sequence, replace(DRAFT, title="Theirs"), 1, make_user().id, NOW)
    with pytest.raises(Refusal, match="Somebody else"):
        keep_draft(sequence, replace(DRAFT, title="Mine"), 1, None, NOW)
    assert (draft_of(sequence).title, sequence.draft_version) == ("Theirs", 2)


def test_a_draft_that_says_what_is_published_is_none(app: Flask) -> None:
    sequence = published().sequence
    change(sequence, weekdays="1")
    assert sequence.draft is not None
    change(sequence, weekdays="1234567")
    assert sequence.draft is None


def test_the_same_again_makes_no_version_and_says_so_and_a_new_name_alone_is_taken_over(app: Flask) -> None:
    version = published()
    with pytest.raises(Refusal, match="Nothing has changed since version 1"):
        publish(version.sequence, None, NOW)
    change(version.sequence, title="Another name")
    assert publish(version.sequence, None, NOW).id == version.id
    assert (version.sequence.title, version.sequence.draft) == ("Another name", None)


def test_a_change_is_a_version_beside_the_old_one_whose_steps_stay(app: Flask) -> None:
    version = published()
    change(version.sequence, steps=(LETTER, replace(LETTER, delay_days=2)))
    newer = publish(version.sequence, None, NOW)
    counts = sa.select(SequenceStep.version_id, sa.func.count()).group_by(SequenceStep.version_id).order_by(SequenceStep.version_id)
    assert [tuple(row) for row in db.session.execute(counts)] == [(version.id, 1), (newer.id, 2)]


WRONG = [
    ("title", {"title": " "}),
    ("purpose", {"purpose": Purpose.SERVICE}),
    ("purpose", {"purpose": Purpose.MARKETING}),
    ("language", {"language": "xx"}),
    ("course_slug", {"course_slug": "nowhere"}),
    ("trigger_days", {"trigger": Trigger.QUIET}),
    ("trigger_days", {"trigger": Trigger.QUIET, "trigger_days": 0}),
    ("trigger_days", {"trigger": Trigger.QUIET, "trigger_days": 400}),
    ("trigger_days", {"trigger_days": 10}),
    ("lesson_key", {"trigger": Trigger.LESSON_COMPLETED}),
    ("lesson_key", {"trigger": Trigger.LESSON_COMPLETED, "lesson_key": "nowhere"}),
    ("lesson_key", {"lesson_key": "lesson-1"}),
    ("goal", {"trigger": Trigger.COURSE_COMPLETED}),
    ("weekdays", {"weekdays": ""}),
    ("weekdays", {"weekdays": "18"}),
    ("weekdays", {"weekdays": "11"}),
    ("minimum_gap_hours", {"minimum_gap_hours": 0}),
    ("minimum_gap_hours", {"minimum_gap_hours": 721}),
    ("steps", {"steps": ()}),
    ("steps", {"steps": (LETTER,) * 31}),
]


@pytest.mark.parametrize(("field", "columns"), WRONG)
def test_what_is_wrong_with_a_sequence_is_named_by_its_field_and_refused(app: Flask, field: str, columns: dict[str, object]) -> None:
    draft = replace(DRAFT, **columns)  # type: ignore[arg-type]  # as above
    assert [problem.field for problem in problems_of(draft) if not problem.is_warning] == [field]
    with pytest.raises(Refusal):
        publish(new_sequence(draft, None, NOW), None, NOW)


@pytest.mark.parametrize(
    ("steps", "found", "is_warning"),
    [
        ((replace(LETTER, delay_days=-1),), (1, "delay_days"), False),
        ((replace(LETTER, delay_days=3), LETTER), (2, "delay_days"), False),
        ((LETTER, LETTER), (2, "delay_days"), True),
        ((LETTER, replace(LETTER, delay_days=2, condition=Condition.FINISHED)), (2, "condition"), True),
        ((replace(LETTER, subject=""),), (1, "subject"), False),
        ((replace(LETTER, body="One\n\n{{ config }}"),), (1, "body"), False),
        ((replace(LETTER, body="[Buy](tier:gold)"),), (1, "body"), False),
        ((replace(LETTER, body="::: offer\nBuy\n:::"),), (1, "body"), False),
    ],
)
def test_what_is_wrong_with_a_step_is_named_by_its_number(
    app: Flask, steps: tuple[StepDraft, ...], found: tuple[int, str], is_warning: bool
) -> None:
    problems = problems_of(replace(DRAFT, steps=steps))
    assert {(problem.step, problem.field, problem.is_warning) for problem in problems} == {(*found, is_warning)}
    assert all(str(problem).startswith(f"Step {found[0]}: ") for problem in problems)


def test_everything_that_is_wrong_is_said_at_once(app: Flask) -> None:
    draft = replace(DRAFT, title="", steps=(LETTER, replace(LETTER, delay_days=2, body="A\n{{ nothing }}")))
    with pytest.raises(Refusal) as refused:
        publish(new_sequence(draft, None, NOW), None, NOW)
    assert "Please give it a name." in refused.value.words
    assert "Step 2: line 2: There is no merge field “nothing”" in refused.value.words


def test_the_purpose_people_agreed_to_stays(app: Flask) -> None:
    change_site({"postal_address": "1 Road, Town"}, NOW)
    db.session.commit()
    forget_site()
    sequence = published().sequence
    change(sequence, purpose=Purpose.MARKETING)
    with pytest.raises(Refusal, match="people agreed to it"):
        publish(sequence, None, NOW)


# Pausing, putting away


@pytest.fixture
def course(app: Flask) -> Course:
    """A course."""
    return make_course()


def test_pausing_holds_back_what_waits_also_what_a_worker_has_leased_and_resuming_sends_it_once(course: Course) -> None:
    version = make_sequence(delays=(0, 2))
    learner_of(course)
    learner_of(course)
    tick(NOW - timedelta(seconds=1))  # nothing can leave yet
    db.session.execute(sa.update(Message).values(state=State.PENDING, settled_at=None, due_at=NOW))
    leased = outbox.claim(NOW, 1)
    db.session.commit()
    pause(version.sequence, None, NOW)
    db.session.commit()
    assert not outbox.begin_submitting(*leased[0], NOW)
    for day in range(9):
        tick(NOW + day * DAY)
    assert {state for _subject, state in steps()} == {"pending"}
    resume(version.sequence, None, NOW + 9 * DAY)
    db.session.commit()
    for hours in range(0, 96, 4):
        tick(NOW + 9 * DAY + timedelta(hours=hours))
    assert sorted(steps()) == [("Step 0", "accepted")] * 2 + [("Step 1", "accepted")] * 2
    assert told_of(version.sequence) == ["sequence_paused", "sequence_resumed"]


def test_what_was_held_back_leaves_in_the_window_of_each_person(course: Course) -> None:
    version = make_sequence(delays=(0,), window_start=time(9), window_end=time(10))
    user = learner_of(course)
    assert user.contact is not None
    tick(NOW)
    db.session.execute(sa.update(Message).values(state=State.PENDING, settled_at=None))
    pause(version.sequence, None, NOW)
    user.contact.zone = "Asia/Kathmandu"
    db.session.commit()
    resume(version.sequence, None, NOW + DAY)
    db.session.commit()
    advance_runs(at(NOW + DAY))
    due = db.session.scalars(sa.select(Message.due_at)).one()
    assert due == datetime(2026, 11, 5, 3, 15, tzinfo=UTC)  # a gap later it is past ten there; nine o'clock is the day after


def on_the_wire(course: Course) -> tuple[SequenceVersion, tuple[int, int]]:
    """A sequence whose first letter a worker is handing over to the mail server."""
    version = make_sequence(delays=(0,))
    learner_of(course)
    read_news(at(NOW))
    (leased,) = outbox.claim(NOW, 5)
    assert outbox.begin_submitting(*leased, NOW)
    db.session.commit()
    return version, leased


def refuse_for_now(leased: tuple[int, int], moment: datetime) -> None:
    """The mail server says: later."""
    outbox.note_transient(*leased, moment, "451 later")
    db.session.commit()


@pytest.mark.parametrize("is_back_first", [True, False])
def test_a_letter_that_was_leaving_and_is_refused_for_now_waits_until_the_sequence_goes_on(course: Course, is_back_first: bool) -> None:
    version, leased = on_the_wire(course)
    pause(version.sequence, None, NOW)
    db.session.commit()
    if is_back_first:
        refuse_for_now(leased, NOW)
        for hours in range(1, 60, 6):
            tick(NOW + timedelta(hours=hours))
        assert steps() == [("Step 0", "pending")]
    resume(version.sequence, None, NOW + 3 * DAY)
    db.session.commit()
    if not is_back_first:
        refuse_for_now(leased, NOW + 3 * DAY)
    tick(NOW + 3 * DAY + timedelta(hours=6))
    assert steps() == [("Step 0", "pending")]
    for hours in range(20, 60, 6):
        tick(NOW + 3 * DAY + timedelta(hours=hours))
    assert steps() == [("Step 0", "accepted")]


def test_a_letter_that_was_leaving_when_its_sequence_was_paused_has_left_where_the_server_took_it(course: Course) -> None:
    version, (message_id, epoch) = on_the_wire(course)
    pause(version.sequence, None, NOW)
    outbox.note_accepted(outbox.Accepted(message_id, epoch, NOW, {}))
    resume(version.sequence, None, NOW)
    db.session.commit()
    tick(NOW + 9 * DAY)
    assert steps() == [("Step 0", "accepted")]


@pytest.mark.parametrize("is_paused", [True, False])
def test_a_letter_that_was_leaving_is_not_tried_again_once_its_sequence_is_put_away(course: Course, is_paused: bool) -> None:
    version, leased = on_the_wire(course)
    if is_paused:
        pause(version.sequence, None, NOW)
    archive(version.sequence, None, NOW)
    db.session.commit()
    refuse_for_now(leased, NOW)
    tick(NOW + DAY)
    assert steps() == [("Step 0", "expired")]


def test_two_sequences_that_are_let_go_together_come_a_gap_apart(course: Course) -> None:
    versions = [make_sequence(delays=(0,), gap_hours=gap) for gap in (20, 30)]
    user = learner_of(course)
    assert user.contact is not None
    for version in versions:
        for step in db.session.scalars(sa.select(SequenceStep).where(SequenceStep.version_id == version.id)):
            make_message(user.contact, letter=step.letter, dedupe_key=f"sequence:{version.id}:0")
        pause(version.sequence, None, NOW)
    db.session.execute(sa.delete(Receipt))
    db.session.commit()
    for version in versions:
        resume(version.sequence, None, NOW + DAY)
    db.session.commit()
    advance_runs(at(NOW + DAY))
    due = db.session.scalars(sa.select(Message.due_at).order_by(Message.id)).all()
    assert [moment - NOW - DAY for moment in due] == [timedelta(hours=20), timedelta(hours=50)]


def test_letting_go_asks_no_more_of_the_page_for_many_zones(course: Course) -> None:
    version = make_sequence(delays=(0,))
    (letter,) = [step.letter for step in db.session.scalars(sa.select(SequenceStep))]
    for number, zone in enumerate(("UTC", "Asia/Kathmandu", "Europe/Berlin", "America/Lima", "Asia/Tokyo", "Africa/Lagos")):
        make_message(make_contact(zone=zone), letter=letter, dedupe_key=f"sequence:{number}:0")
    pause(version.sequence, None, NOW)
    db.session.commit()
    with statements() as asked:
        resume(version.sequence, None, NOW)
        db.session.commit()
    assert sum("UPDATE messages" in statement for statement in asked) == 1
    advance_runs(at(NOW))
    assert {message.due_at for message in db.session.scalars(sa.select(Message))} == {NOW + timedelta(hours=20)}


def test_what_a_restore_found_overdue_can_still_be_dropped_after_its_sequence_was_paused(course: Course) -> None:
    version = make_sequence(delays=(0, 2))
    learner_of(course)
    tick(NOW)
    pausing.pause_everything("restored", NOW + 3 * DAY)
    assert catch_up(NOW + 3 * DAY) == 1
    pause(version.sequence, None, NOW + 3 * DAY)
    streams = pausing.paused_streams()
    assert pausing.waiting_in(streams, NOW + 3 * DAY) == pausing.drop_waiting(streams, NOW + 3 * DAY) == 1
    pausing.resume(streams, NOW + 3 * DAY)
    resume(version.sequence, None, NOW + 3 * DAY)
    db.session.commit()
    for day in range(3, 9):
        tick(NOW + day * DAY)
    assert steps() == [("Step 0", "accepted"), ("Step 1", "skipped")]


def test_what_was_overdue_is_sent_when_its_sequence_goes_on_and_not_before(course: Course) -> None:
    version = make_sequence(delays=(0, 2))
    learner_of(course)
    tick(NOW)
    pausing.pause_everything("restored", NOW + 3 * DAY)
    catch_up(NOW + 3 * DAY)
    pause(version.sequence, None, NOW + 3 * DAY)
    pausing.resume(pausing.paused_streams(), NOW + 3 * DAY)
    db.session.commit()
    tick(NOW + 5 * DAY)
    assert steps() == [("Step 0", "accepted"), ("Step 1", "pending")]
    resume(version.sequence, None, NOW + 5 * DAY)
    db.session.commit()
    for day in range(5, 9):
        tick(NOW + day * DAY)
    assert steps() == [("Step 0", "accepted"), ("Step 1", "accepted")]


def test_whoever_is_to_begin_a_paused_sequence_begins_it_and_waits(course: Course) -> None:
    version = make_sequence(delays=(0,))
    pause(version.sequence, None, NOW)
    db.session.commit()
    learner_of(course)
    tick(NOW)
    assert (steps(), run_of().ended_at) == ([], None)
    resume(version.sequence, None, NOW + DAY)
    db.session.commit()
    tick(NOW + DAY)
    assert len(steps()) == 1


def test_putting_away_stops_everybody_and_cancels_what_waits_and_bringing_back_sends_nothing_by_itself(course: Course) -> None:
    version = make_sequence(delays=(0, 2))
    learner_of(course)
    tick(NOW)
    db.session.execute(sa.update(Message).values(state=State.PENDING, settled_at=None, due_at=NOW + DAY))
    assert archive(version.sequence, None, NOW) == 1
    db.session.commit()
    learner_of(course, now=NOW + DAY)
    for day in range(1, 5):
        tick(NOW + day * DAY)
    assert run_of().end is RunEnd.STOPPED
    assert steps() == [("Step 0", "cancelled")]
    for refused in (resume, publish):
        with pytest.raises(Refusal, match="put away"):
            refused(version.sequence, None, NOW)
    bring_back(version.sequence, None, NOW + 5 * DAY)
    db.session.commit()
    tick(NOW + 5 * DAY)
    assert len(steps()) == 1
    assert version.sequence.paused_at is not None
    assert told_of(version.sequence) == ["sequence_archived", "sequence_brought_back"]


def test_nobody_begins_what_was_put_away_after_it_was_read(course: Course) -> None:
    version = make_sequence(delays=(0,))
    user = learner_of(course)
    (read,) = begun_by(Trigger.ENROLLED)
    archive(version.sequence, None, NOW)
    db.session.commit()
    begin(read, [{"contact_id": user.contact_id, "course_id": course.id, "zone": "UTC"}], NOW)
    assert db.session.scalars(sa.select(SequenceRun)).all() == []


def test_whoever_is_in_one_that_was_put_away_all_the_same_is_stopped(course: Course) -> None:
    version = make_sequence(delays=(0,))
    archive(version.sequence, None, NOW)
    make_run(version, learner_of(course).contact, course)
    db.session.commit()
    tick(NOW)
    assert (run_of().end, steps()) == (RunEnd.STOPPED, [])


def test_pages_of_people_who_went_quiet_begin_nothing_more_once_it_is_put_away(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noticing, "PAGE", 2)
    version = make_sequence(delays=(0,), trigger=Trigger.QUIET, trigger_days=10)
    for _person in range(5):
        learner_of(course)
    pages = noticing.notice(NOW + 10 * DAY)
    assert next(pages) == 2
    db.session.commit()
    assert archive(version.sequence, None, NOW + 10 * DAY) == 2
    db.session.commit()
    assert list(pages) == [2, 1]
    assert set(db.session.scalars(sa.select(SequenceRun.end))) == {RunEnd.STOPPED}


# Moving people to a newer version


def test_people_under_way_are_moved_at_their_step_and_get_none_twice(course: Course) -> None:
    version = make_sequence(delays=(0, 2, 5))
    learner_of(course)
    tick(NOW)
    said = draft_of(version.sequence)
    change(version.sequence, steps=tuple(replace(step, subject=f"New {number}") for number, step in enumerate(said.steps)))
    newer = publish(version.sequence, None, NOW + DAY)
    assert migrate_runs(version.sequence, None, NOW + DAY) == 1
    assert migrate_runs(version.sequence, None, NOW + DAY) == 0
    db.session.commit()
    for hours in range(24, 24 * 9, 6):
        tick(NOW + timedelta(hours=hours))
    assert [subject for subject, _state in steps()] == ["Step 0", "New 1", "New 2"]
    sent = db.session.scalars(sa.select(Message.created_at).order_by(Message.id)).all()
    assert [moment - NOW for moment in sent] == [0 * DAY, 2 * DAY, 5 * DAY]
    assert run_of(newer).end is RunEnd.FINISHED
    assert told_of(version.sequence) == ["sequence_published", "sequence_migrated"]


def moved_while_paused(late: LatePolicy) -> None:
    """Somebody got the first letter of days 0, 20 and 40; on day 5 the sequence is paused, and they are moved to a newer version."""
    version = make_sequence(delays=(0, 20, 40), late=late)
    learner_of(make_course())
    tick(NOW)
    pause(version.sequence, None, NOW + 5 * DAY)
    change(version.sequence, minimum_gap_hours=21)
    publish(version.sequence, None, NOW + 5 * DAY)
    migrate_runs(version.sequence, None, NOW + 5 * DAY)
    db.session.commit()


@pytest.mark.parametrize("late", list(LatePolicy))
def test_moved_while_their_sequence_is_paused_people_get_each_letter_on_its_day(app: Flask, late: LatePolicy) -> None:
    moved_while_paused(late)
    resume(run_of().version.sequence, None, NOW + 6 * DAY)
    db.session.commit()
    for day in range(6, 63):
        tick(NOW + day * DAY)
    sent = db.session.scalars(sa.select(Message.created_at).order_by(Message.id)).all()
    assert [(moment - NOW).days for moment in sent] == [0, 20, 40]


@pytest.mark.parametrize("late", list(LatePolicy))
def test_a_restore_puts_off_who_was_moved_to_the_day_of_their_step(app: Flask, late: LatePolicy) -> None:
    moved_while_paused(late)
    run_of().version.sequence.paused_at = None
    db.session.commit()
    assert catch_up(NOW + 6 * DAY) == 0
    assert (len(steps()), run_of().next_run_at) == (1, NOW + 20 * DAY)
    assert catch_up(NOW + 21 * DAY) == 1
    db.session.commit()
    assert len(steps()) == (1 if late is LatePolicy.SKIP else 2)
    for day in range(21, 63):
        tick(NOW + day * DAY)
    assert len(steps()) == (2 if late is LatePolicy.SKIP else 3)


def test_whoever_is_past_the_end_of_the_newer_version_has_finished(course: Course) -> None:
    version = make_sequence(delays=(0, 2, 5))
    learner_of(course)
    for day in (0, 2):
        tick(NOW + day * DAY)
    change(version.sequence, steps=draft_of(version.sequence).steps[:1])
    publish(version.sequence, None, NOW + 3 * DAY)
    assert migrate_runs(version.sequence, None, NOW + 3 * DAY) == 1
    db.session.commit()
    assert (run_of().end, run_of().next_run_at) == (RunEnd.FINISHED, None)


def test_a_course_marked_as_sensitive_begins_no_marketing_and_ends_what_it_began(app: Flask) -> None:
    course = make_course()
    make_sequence(delays=(0, 2), purpose=Purpose.MARKETING, goal=None)
    user = learner_of(course)
    make_consent(user.contact, Purpose.MARKETING)
    tick(NOW)
    assert [state for _subject, state in steps()] == ["accepted"]
    course.sensitive_at = NOW
    db.session.commit()
    tick(NOW + 3 * DAY)
    assert (len(steps()), run_of().end) == (1, RunEnd.STOPPED)
    make_consent(learner_of(course).contact, Purpose.MARKETING)
    tick(NOW + 4 * DAY)
    assert len(steps()) == 1
    offer = replace(DRAFT, purpose=Purpose.MARKETING, course_slug=course.slug, goal=None)
    assert [problem.field for problem in problems_of(offer)] == ["purpose", "course_slug"]
    assert problems_of(replace(offer, purpose=Purpose.COURSE)) == []
