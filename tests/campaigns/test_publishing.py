"""Publishing a sequence from its folder: a new version where something changed, and words where something is wrong."""

from dataclasses import replace
from datetime import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from courseapp.campaigns.models import Condition, Goal, LatePolicy, Sequence, SequenceStep, SequenceVersion, Trigger
from courseapp.campaigns.publishing import bring_in, publish_sequence, read_sequence
from courseapp.campaigns.sequence_drafts import draft_of, keep_draft, latest_version, problems_of, publish
from courseapp.contacts.models import Purpose
from courseapp.contacts.windows import Window
from courseapp.extensions import db
from courseapp.site import change_site, forget_site
from tests.factories import NOW

FIRST_WEEK = Path(__file__).parent.parent.parent / "content" / "sequences" / "first-week"
HEAD = "key: small\ntitle: Small\npurpose: course\ntrigger: enrolled\ngoal: course_completed\n"
STEP = "subject: A subject\npreheader: Before\ndelay_days: {}\n"


def folder(place: Path, head: str = HEAD, *steps: str) -> Path:
    """A sequence's folder; each step is its front matter."""
    for old in place.glob("*.md"):
        old.unlink()
    (place / "sequence.md").write_text(f"---\n{head}---\n")
    for number, front in enumerate(steps or (STEP.format(0), STEP.format(2)), 1):
        (place / f"{number}.md").write_text(f"---\n{front}---\n\nHello.\n")
    return place


def test_the_first_week_is_published_as_it_is_written(app: Flask) -> None:
    sequence, is_new = publish_sequence(FIRST_WEEK, NOW)
    assert is_new
    version = db.session.scalars(sa.select(SequenceVersion)).one()
    assert (sequence.key, sequence.purpose, version.trigger, version.goal) == (
        "first-week",
        Purpose.COURSE,
        Trigger.ENROLLED,
        Goal.COURSE_COMPLETED,
    )
    assert (version.number, version.minimum_gap_hours, version.late) == (1, 20, LatePolicy.SEND)
    assert db.session.scalars(sa.select(SequenceStep.delay_days).order_by(SequenceStep.position)).all() == [0, 2, 5]


READY_MADE = sorted(FIRST_WEEK.parent.iterdir())


def with_an_address() -> None:
    """Say where the house is."""
    change_site({"postal_address": "1 Road, Town"}, NOW)
    db.session.commit()
    forget_site()


@pytest.mark.parametrize("place", READY_MADE, ids=lambda place: place.name)
def test_each_ready_made_sequence_can_be_published_and_gives_nothing_to_mend(app: Flask, place: Path) -> None:
    with_an_address()
    key, draft = read_sequence(place)
    assert key == place.name
    assert problems_of(draft) == []
    assert publish_sequence(place, NOW)[1]
    assert not publish_sequence(place, NOW)[1]


@pytest.mark.parametrize("place", READY_MADE, ids=lambda place: place.name)
def test_the_letters_name_no_topic_press_nobody_and_promise_nothing(app: Flask, place: Path) -> None:
    _key, draft = read_sequence(place)
    for step in draft.steps:
        words = f"{step.subject} {step.preheader} {step.body}".lower()
        topic = ("pelvi", "massage", "bladder", "sex", "pain", "health", "symptom", "heal ", "cure")
        pressing = ("hurry", "don't miss", "last chance", "only today!", "guarantee", "!", "discount")
        assert [word for word in (*topic, *pressing) if word in words] == []


def test_a_new_installation_publishes_course_mail_and_keeps_offers_as_drafts(app: Flask) -> None:
    for place in READY_MADE:
        bring_in(place, NOW)
    found = {row.key: row for row in db.session.scalars(sa.select(Sequence))}
    is_published = {key: latest_version(row) is not None for key, row in found.items()}
    assert is_published == {
        **dict.fromkeys(("finished", "first-week", "gentle-nudge", "module-opened"), True),
        **dict.fromkeys(("what-comes-next", "win-back"), False),
    }
    assert {draft_of(row).purpose for key, row in found.items() if not is_published[key]} == {Purpose.MARKETING}


def test_what_staff_changed_stays_at_the_next_start(app: Flask) -> None:
    bring_in(FIRST_WEEK, NOW)
    sequence = db.session.scalars(sa.select(Sequence)).one()
    keep_draft(sequence, replace(draft_of(sequence), title="Ours", weekdays="12345"), sequence.draft_version, None, NOW)
    publish(sequence, None, NOW)
    bring_in(FIRST_WEEK, NOW)
    assert (sequence.title, draft_of(sequence).weekdays) == ("Ours", "12345")
    assert db.session.scalar(sa.select(sa.func.count()).select_from(SequenceVersion)) == 2


def test_all_that_a_file_can_say_is_read(app: Flask, tmp_path: Path) -> None:
    head = "trigger: quiet\ntrigger_days: 12\nwindow: 22:00-06:30\nweekdays: 76\nlate: shift\ncourse: one\nlanguage: de\n"
    place = folder(tmp_path, HEAD.replace("trigger: enrolled\n", head), STEP.format(0) + "condition: not_begun\n")
    _key, draft = read_sequence(place)
    assert (draft.trigger_days, draft.window, draft.weekdays) == (12, Window(time(22), time(6, 30)), "67")
    assert (draft.late, draft.course_slug, draft.language) == (LatePolicy.SHIFT, "one", "de")
    assert draft.steps[0].condition is Condition.NOT_BEGUN


def test_the_same_files_again_publish_nothing(app: Flask, tmp_path: Path) -> None:
    folder(tmp_path)
    assert [publish_sequence(tmp_path, NOW)[1] for _time in range(3)] == [True, False, False]
    assert db.session.scalar(sa.select(sa.func.count()).select_from(SequenceVersion)) == 1


def test_a_changed_letter_is_a_new_version_beside_the_old(app: Flask, tmp_path: Path) -> None:
    publish_sequence(folder(tmp_path), NOW)
    (tmp_path / "2.md").write_text(f"---\n{STEP.format(3)}---\n\nOther words.\n")
    assert publish_sequence(tmp_path, NOW)[1]
    steps = sa.select(SequenceVersion.number, SequenceStep.delay_days).join(SequenceStep, SequenceStep.version_id == SequenceVersion.id)
    assert sorted(tuple(row) for row in db.session.execute(steps)) == [(1, 0), (1, 2), (2, 0), (2, 3)]


def test_ten_steps_stand_in_the_order_of_their_numbers(app: Flask, tmp_path: Path) -> None:
    publish_sequence(folder(tmp_path, HEAD, *(STEP.format(day) for day in range(11))), NOW)
    assert db.session.scalars(sa.select(SequenceStep.delay_days).order_by(SequenceStep.position)).all() == list(range(11))


@pytest.mark.parametrize(
    ("head", "steps"),
    [
        (HEAD.replace("enrolled", "birthday"), ()),
        (HEAD.replace("course_completed", "bought"), ()),
        (HEAD.replace("key: small\n", ""), ()),
        (HEAD.replace("title: Small\n", ""), ()),
        (HEAD.replace("purpose: course", "purpose: gossip"), ()),
        (HEAD + "late: perhaps\n", ()),
        (HEAD + "minimum_gap_hours: soon\n", ()),
        ("key: [a\n", ()),
        ("just words\n", ()),
        (HEAD, ("preheader: x\ndelay_days: 0\n",)),
        (HEAD, ("subject: x\n",)),
        (HEAD, ("subject: x\ndelay_days: later\n",)),
        (HEAD, ("subject: x\ndelay_days: -1\n",)),
        (HEAD, ("subject: x {{ config }}\ndelay_days: 0\n",)),
    ],
)
def test_what_is_wrong_is_refused_in_words_that_name_the_file(app: Flask, tmp_path: Path, head: str, steps: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"1\.md" if steps else r"sequence\.md"):
        publish_sequence(folder(tmp_path, head, *steps), NOW)


def test_a_mistake_in_a_letter_is_named_with_its_line_in_the_file(app: Flask, tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "2.md").write_text(f"---\n{STEP.format(2)}---\n\nHello.\n\n{{{{ config }}}}\n\n[Buy](tier:gold)\n")
    with pytest.raises(ValueError, match=r"2\.md: line 9: There is no merge field “config”\..*; line 11: .*costs money") as refused:
        publish_sequence(tmp_path, NOW)
    assert "line 11: “tier:gold” is nothing" in str(refused.value)


def test_a_sequence_without_a_step_and_a_file_of_another_name_are_refused(app: Flask, tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "1.md").rename(tmp_path / "1-first.md")
    with pytest.raises(ValueError, match=r"1-first\.md"):
        publish_sequence(tmp_path, NOW)
    for path in tmp_path.glob("[0-9]*.md"):
        path.unlink()
    with pytest.raises(ValueError, match="no step"):
        publish_sequence(tmp_path, NOW)


def test_the_command_says_what_it_did_and_fails_in_words(app: Flask, tmp_path: Path) -> None:
    runner = app.test_cli_runner()
    folder(tmp_path)
    assert "a new version is published" in runner.invoke(args=["sequence", "import", str(tmp_path)]).output
    assert "nothing has changed" in runner.invoke(args=["sequence", "import", str(tmp_path)]).output
    folder(tmp_path, HEAD.replace("enrolled", "birthday"))
    failed = runner.invoke(args=["sequence", "import", str(tmp_path)])
    assert failed.exit_code == 1
    assert "trigger must be one of" in failed.output
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Sequence)) == 1


def test_what_offers_something_is_not_published_without_a_postal_address(app: Flask, tmp_path: Path) -> None:
    place = folder(tmp_path, HEAD.replace("purpose: course", "purpose: marketing"))
    with pytest.raises(ValueError, match="postal address"):
        publish_sequence(place, NOW)
    db.session.rollback()
    with_an_address()
    assert publish_sequence(place, NOW)[1]
