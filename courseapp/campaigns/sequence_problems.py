"""What is wrong with a sequence before anybody gets it: each with its step, its line, and how to mend it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import sqlalchemy as sa
from flask import current_app
from flask_babel import gettext as _

from courseapp.billing.sensitivity import tier_of_key
from courseapp.campaigns.models import Condition, Goal, Trigger
from courseapp.campaigns.references import targets_of
from courseapp.campaigns.runs import BY_TIER
from courseapp.campaigns.sequence_shapes import (
    LONGEST_TITLE,
    MOST_DAYS,
    MOST_GAP_HOURS,
    MOST_QUIET_DAYS,
    MOST_STEPS,
    SequenceDraft,
    StepDraft,
    languages_of,
)
from courseapp.campaigns.translations import translation_in
from courseapp.catalog.models import Course, Lesson, Need
from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing.text import Text, name_of_language
from courseapp.site import present_site

if TYPE_CHECKING:  # what reads letters is large, and a web process reads none until somebody looks at one
    from courseapp.mailing.problems import Problem

NEVER = {
    (Trigger.LESSON_COMPLETED, Condition.NOT_BEGUN),
    (Trigger.COURSE_COMPLETED, Condition.NOT_BEGUN),
    (Trigger.COURSE_COMPLETED, Condition.BEGUN),
    (Trigger.COURSE_COMPLETED, Condition.NOT_FINISHED),
}


@dataclass(frozen=True)
class SequenceProblem:
    """One thing that is wrong. `step` counts from 1, None is the sequence itself; `field` is of its draft; `letter` has the line."""

    step: int | None
    field: str
    words: str
    is_warning: bool = False
    letter: "Problem | None" = None

    def __str__(self) -> str:
        return self.words if self.step is None else _("Step %(number)s: %(words)s", number=self.step, words=self.words)


def problems_of(draft: SequenceDraft) -> list[SequenceProblem]:
    """What is wrong with a draft, the sequence first, then step by step. All but warnings keep it from being published."""
    found = [*_of_words(draft), *_of_times(draft), *_of_steps(draft), *_of_languages(draft)]
    can_be_made = all(problem.field != "language" for problem in found)
    for number, step in enumerate(draft.steps, 1):
        found += [*_of_step(draft, number, step), *(_of_letter(draft, number, step) if can_be_made else ())]
    return found


def _of_words(draft: SequenceDraft) -> Iterator[SequenceProblem]:
    if not draft.title.strip():
        yield SequenceProblem(None, "title", _("Please give it a name."))
    if len(draft.title) > LONGEST_TITLE:
        yield SequenceProblem(None, "title", _("Its name is too long. Shorten it to %(most)s characters at most.", most=LONGEST_TITLE))
    if draft.purpose is Purpose.SERVICE:
        words = _("A sequence is course mail or marketing. What people need in order to use the site is sent by the site itself.")
        yield SequenceProblem(None, "purpose", words)
    if draft.purpose is Purpose.MARKETING and not present_site().postal_address:
        words = _("What offers something must carry a postal address, and none is set. An owner can enter it among the settings.")
        yield SequenceProblem(None, "purpose", words)
    if draft.language not in current_app.config["SETTINGS"].language_list:
        yield SequenceProblem(None, "language", _("This site has no pages in that language. Please choose another."))
    if draft.course_slug:
        course = db.session.scalar(sa.select(Course).where(Course.slug == draft.course_slug))
        if course is None:
            yield SequenceProblem(None, "course_slug", _("There is no course “%(slug)s”. Please choose another.", slug=draft.course_slug))
        elif course.sensitive_at is not None and draft.purpose is Purpose.MARKETING:
            words = _(
                "“%(title)s” is marked as sensitive: that somebody takes it begins no marketing. Please choose another.", title=course.title
            )
            yield SequenceProblem(None, "course_slug", words)
    yield from _of_lesson(draft)
    yield from _of_tiers(draft)


def _of_tiers(draft: SequenceDraft) -> Iterator[SequenceProblem]:
    is_by_tier = draft.trigger in BY_TIER.values()
    if draft.tier_key is not None and not is_by_tier:
        words = _("Only what begins when a tier is bought, or a payment for it fails, names a tier. Take the tier out.")
        yield SequenceProblem(None, "tier_key", words)
    if is_by_tier and draft.course_slug:
        yield SequenceProblem(None, "course_slug", _("It is the tier that says which course it is about. Choose “Any course”."))
    if draft.trigger is Trigger.PAYMENT_FAILED and draft.purpose is not Purpose.MARKETING:
        words = _("Whoever could not pay is told so by the site itself. What goes beyond that is marketing; choose that purpose.")
        yield SequenceProblem(None, "purpose", words)
    if draft.goal_tier_key is not None and draft.goal is not Goal.TIER_BOUGHT:
        yield SequenceProblem(None, "goal", _("Only what ends when a tier is bought names a tier for that. Take the tier out."))
    if draft.goal is Goal.TIER_BOUGHT and draft.goal_tier_key == draft.tier_key and draft.trigger is Trigger.TIER_BOUGHT and draft.tier_key:
        yield SequenceProblem(None, "goal", _("It begins when somebody buys this tier, so buying it cannot end it. Choose another goal."))
    for field, key in (("tier_key", draft.tier_key), ("goal", draft.goal_tier_key)):
        tier = tier_of_key(key)
        if key is not None and tier is None:
            yield SequenceProblem(None, field, _("There is no tier “%(key)s”. Please choose another.", key=key))
        elif field == "tier_key" and tier is not None and tier.sensitive_at is not None and draft.purpose is Purpose.MARKETING:
            words = _("“%(name)s” is marked as sensitive: that somebody holds it begins no marketing. Choose another.", name=tier.name)
            yield SequenceProblem(None, field, words)


def _of_lesson(draft: SequenceDraft) -> Iterator[SequenceProblem]:
    if (draft.trigger is Trigger.LESSON_COMPLETED) != (draft.lesson_key is not None):
        words = _("Say by which lesson it begins. Only a sequence that begins when a lesson was done names one.")
        yield SequenceProblem(None, "lesson_key", words)
    elif draft.lesson_key is not None and lesson_id_of(draft) is None:
        words = _("That course has no lesson “%(key)s” without the safety check. Please choose another.", key=draft.lesson_key)
        yield SequenceProblem(None, "lesson_key", words)


def lesson_id_of(draft: SequenceDraft) -> int | None:
    """The lesson a draft begins by: what people did of those that need the safety check begins nothing."""
    query = sa.select(Lesson.id).join(Course, Course.id == Lesson.course_id)
    own = (Course.slug == draft.course_slug, Lesson.key == draft.lesson_key, Lesson.needs_check == Need.NONE, Lesson.retired_at.is_(None))
    return db.session.scalar(query.where(*own)) if draft.lesson_key is not None else None


def _of_times(draft: SequenceDraft) -> Iterator[SequenceProblem]:
    if (draft.trigger is Trigger.QUIET) != (draft.trigger_days is not None):
        words = _("Say after how many days without a visit it begins. Only a sequence for quiet people has such a number.")
        yield SequenceProblem(None, "trigger_days", words)
    elif draft.trigger_days is not None and not 1 <= draft.trigger_days <= MOST_QUIET_DAYS:
        words = _("The days without a visit must be a number from 1 to %(most)s.", most=MOST_QUIET_DAYS)
        yield SequenceProblem(None, "trigger_days", words)
    if draft.trigger is Trigger.COURSE_COMPLETED and draft.goal is Goal.COURSE_COMPLETED:
        words = _("It begins when somebody finishes the course, so finishing cannot end it. Take that goal out.")
        yield SequenceProblem(None, "goal", words)
    if not draft.weekdays or set(draft.weekdays) - set("1234567") or len(set(draft.weekdays)) < len(draft.weekdays):
        yield SequenceProblem(None, "weekdays", _("Please choose at least one day of the week."))
    if not 1 <= draft.minimum_gap_hours <= MOST_GAP_HOURS:
        words = _("The least gap between two mails must be a number of hours from 1 to %(most)s.", most=MOST_GAP_HOURS)
        yield SequenceProblem(None, "minimum_gap_hours", words)


def _of_steps(draft: SequenceDraft) -> Iterator[SequenceProblem]:
    if not draft.steps:
        yield SequenceProblem(None, "steps", _("There is no step yet. Add the first letter."))
    if len(draft.steps) > MOST_STEPS:
        yield SequenceProblem(None, "steps", _("There are too many steps; at most %(most)s.", most=MOST_STEPS))
    for number, (before, step) in enumerate(pairwise(draft.steps), 2):
        if step.delay_days < before.delay_days:
            words = _("It is planned before the step above it. Put the steps in the order of their days.")
            yield SequenceProblem(number, "delay_days", words)
        elif 24 * (step.delay_days - before.delay_days) < draft.minimum_gap_hours:
            words = _("It is planned closer to the step above it than the least gap, and so will come later than its day.")
            yield SequenceProblem(number, "delay_days", words, is_warning=True)
    if draft.purpose is Purpose.COURSE and draft.trigger is Trigger.COURSE_COMPLETED and len(draft.steps) > 1:
        words = _("Whoever agreed to course mail was told that it stops when they finish. One closing letter is what they expect.")
        yield SequenceProblem(None, "steps", words, is_warning=True)


def _of_languages(draft: SequenceDraft) -> Iterator[SequenceProblem]:
    for tag in (each.language for each in languages_of(draft)):
        for number, step in enumerate(draft.steps, 1):
            if tag != draft.language and translation_in(step.translations, tag) is None:
                words = _(
                    "It is not written in %(language)s, as others are. Whoever reads that gets it in %(original)s.",
                    language=name_of_language(tag),
                    original=name_of_language(draft.language),
                )
                yield SequenceProblem(number, "languages", words, is_warning=True)


def _of_step(draft: SequenceDraft, number: int, step: StepDraft) -> Iterator[SequenceProblem]:
    if not 0 <= step.delay_days <= MOST_DAYS:
        words = _("The days count from the beginning, and must be a number from 0 to %(most)s.", most=MOST_DAYS)
        yield SequenceProblem(number, "delay_days", words)
    is_over = draft.goal is Goal.COURSE_COMPLETED and step.condition is Condition.FINISHED
    if step.condition is not None and (is_over or (draft.trigger, step.condition) in NEVER):
        words = _("Its condition is true of nobody who is in this sequence at that time, so the step is never sent.")
        yield SequenceProblem(number, "condition", words, is_warning=True)


def _of_letter(draft: SequenceDraft, number: int, step: StepDraft) -> Iterator[SequenceProblem]:
    from courseapp.mailing.problems import problems_of_letter  # as above

    for problem in problems_of_letter(text_of(draft, step)):
        yield SequenceProblem(number, problem.place.value, str(problem), problem.is_warning, problem)


def text_of(draft: SequenceDraft, step: StepDraft) -> Text:
    """A step's letter as it would be published now."""
    others = tuple(each.text(draft.purpose) for each in step.translations)
    return Text(draft.language, step.subject, step.preheader, step.body, draft.purpose, targets_of(step.body), others)
