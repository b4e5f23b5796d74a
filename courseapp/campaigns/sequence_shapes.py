"""What a sequence says, apart from where it is kept: a draft's words and a published version's alike."""

from dataclasses import asdict, dataclass, replace
from datetime import time
from typing import Any

import sqlalchemy as sa

from courseapp.billing.models import Tier
from courseapp.campaigns.models import Condition, Goal, LatePolicy, Sequence, SequenceStep, SequenceVersion, Trigger
from courseapp.campaigns.translations import Translations, translations_from
from courseapp.catalog.models import Course, Lesson
from courseapp.contacts.models import Purpose
from courseapp.contacts.windows import EVERY_DAY, Window
from courseapp.extensions import db
from courseapp.mailing.models import Letter

ALL_DAY = Window(time(0), time(0))
MOST_STEPS = 30
MOST_DAYS = 730  # from the beginning to a step
MOST_QUIET_DAYS = 365
MOST_GAP_HOURS = 720
LONGEST_TITLE = 200  # characters


@dataclass(frozen=True)
class StepDraft:
    """One letter: how many days after the beginning, for whom, its words, and those in other languages."""

    delay_days: int
    condition: Condition | None
    subject: str
    preheader: str
    body: str
    translations: Translations = ()


@dataclass(frozen=True)
class SequenceDraft:
    """A whole sequence as somebody writes it. `trigger_days` belongs to QUIET, `lesson_key` (of a lesson of the course) to
    LESSON_COMPLETED; without `course_slug` it is about any course. `tier_key` belongs to TIER_BOUGHT and PAYMENT_FAILED, `goal_tier_key`
    to the goal TIER_BOUGHT; without them any tier counts."""

    title: str
    purpose: Purpose
    language: str
    trigger: Trigger
    trigger_days: int | None
    course_slug: str | None
    goal: Goal | None
    window: Window = ALL_DAY
    weekdays: str = EVERY_DAY
    minimum_gap_hours: int = 20
    late: LatePolicy = LatePolicy.SEND
    steps: tuple[StepDraft, ...] = ()
    lesson_key: str | None = None
    tier_key: str | None = None
    goal_tier_key: str | None = None

    def says_the_same_as(self, other: "SequenceDraft") -> bool:
        """Whether people would get the same; what staff call it is not for them."""
        return replace(self, title="") == replace(other, title="")


def kept(draft: SequenceDraft) -> dict[str, Any]:
    """A draft as JSON."""
    return asdict(draft) | {"window": [f"{moment:%H:%M}" for moment in (draft.window.start, draft.window.end)]}


def draft_from(facts: dict[str, Any]) -> SequenceDraft:
    """What `kept` kept."""
    start, end = (time.fromisoformat(moment) for moment in facts["window"])
    return SequenceDraft(
        **facts
        | {
            "purpose": Purpose(facts["purpose"]),
            "trigger": Trigger(facts["trigger"]),
            "goal": Goal(facts["goal"]) if facts["goal"] else None,
            "late": LatePolicy(facts["late"]),
            "window": Window(start, end),
            "steps": tuple(_step(step) for step in facts["steps"]),
        }
    )


def _step(facts: dict[str, Any]) -> StepDraft:
    condition = Condition(facts["condition"]) if facts["condition"] else None
    return StepDraft(**facts | {"condition": condition, "translations": translations_from(facts.get("translations", ()))})


def latest_version(sequence: Sequence) -> SequenceVersion | None:
    """The version new runs begin with."""
    query = sa.select(SequenceVersion).where(SequenceVersion.sequence_id == sequence.id)
    return db.session.scalar(query.order_by(SequenceVersion.number.desc()).limit(1))


def said_by(version: SequenceVersion) -> SequenceDraft:
    """What a version says, as a draft."""
    rows = db.session.execute(
        sa.select(SequenceStep, Letter)
        .join(Letter, Letter.id == SequenceStep.letter_id)
        .where(SequenceStep.version_id == version.id)
        .order_by(SequenceStep.position)
    ).all()
    course = db.session.get_one(Course, version.course_id) if version.course_id else None
    lesson = db.session.get(Lesson, version.lesson_id) if version.lesson_id else None
    tiers = [db.session.get_one(Tier, number).key if number else None for number in (version.tier_id, version.goal_tier_id)]
    return SequenceDraft(
        title=version.sequence.title,
        purpose=version.sequence.purpose,
        language=version.language,
        trigger=version.trigger,
        trigger_days=version.trigger_days,
        course_slug=course.slug if course else None,
        lesson_key=lesson.key if lesson else None,
        goal=version.goal,
        window=Window(version.window_start, version.window_end),
        weekdays=version.weekdays,
        minimum_gap_hours=version.minimum_gap_hours,
        late=version.late,
        tier_key=tiers[0],
        goal_tier_key=tiers[1],
        steps=tuple(_said(step, letter) for step, letter in rows),
    )


def _said(step: SequenceStep, letter: Letter) -> StepDraft:
    translations = translations_from(letter.translations)
    return StepDraft(step.delay_days, step.condition, letter.subject, letter.preheader, letter.body, translations)


def languages_of(draft: SequenceDraft) -> Translations:
    """One of the translations in each of the languages that any of its letters is written in beside its own."""
    found = {each.language: each for step in draft.steps for each in step.translations}
    return tuple(found[tag] for tag in sorted(found))
