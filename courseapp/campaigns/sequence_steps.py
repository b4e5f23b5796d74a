"""The steps of a sequence's draft: added, changed, moved, taken out, tried out. Each gives a new draft; who asks keeps it."""

from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa
from flask_babel import gettext as _

from courseapp.campaigns.models import SequenceStep
from courseapp.campaigns.sequence_problems import text_of
from courseapp.campaigns.sequence_shapes import SequenceDraft, StepDraft
from courseapp.campaigns.translations import Translation, with_translation, without_language
from courseapp.errors import Refusal
from courseapp.mailing.letters import letter_saying, publish_letter
from courseapp.mailing.models import Letter


def with_step(draft: SequenceDraft, step: StepDraft) -> tuple[SequenceDraft, int]:
    """A draft with one step more, behind those of its day and earlier; and its number from 1."""
    place = sum(other.delay_days <= step.delay_days for other in draft.steps)
    return replace(draft, steps=(*draft.steps[:place], step, *draft.steps[place:])), place + 1


def with_words(draft: SequenceDraft, number: int, step: StepDraft) -> SequenceDraft:
    """A draft whose step of a number is another."""
    return replace(draft, steps=(*draft.steps[: number - 1], step, *draft.steps[number:]))


def with_language(draft: SequenceDraft, number: int, translation: Translation) -> SequenceDraft:
    """A draft whose step of a number says this in another language."""
    step = draft.steps[number - 1]
    return with_words(draft, number, replace(step, translations=with_translation(step.translations, translation)))


def without_language_in(draft: SequenceDraft, number: int, language: str) -> SequenceDraft:
    """A draft whose step of a number says nothing in another language."""
    step = draft.steps[number - 1]
    return with_words(draft, number, replace(step, translations=without_language(step.translations, language)))


def without_step(draft: SequenceDraft, number: int) -> SequenceDraft:
    """A draft without one of its steps."""
    return replace(draft, steps=(*draft.steps[: number - 1], *draft.steps[number:]))


def with_step_moved(draft: SequenceDraft, number: int, by: int) -> tuple[SequenceDraft, int]:
    """A draft whose step changes places with the one above (`by` −1) or below (1) it; and its number then.

    The days stay where they are: a letter that moves up comes on the day of the one whose place it takes.
    """
    place, other = number - 1, number - 1 + by
    if not 0 <= other < len(draft.steps):
        return draft, number
    steps = list(draft.steps)
    days = steps[place].delay_days, steps[other].delay_days
    steps[other], steps[place] = replace(steps[place], delay_days=days[1]), replace(steps[other], delay_days=days[0])
    return replace(draft, steps=tuple(steps)), other + 1


def letter_of_step(draft: SequenceDraft, step: StepDraft, now: datetime) -> Letter:
    """A step's letter as it is now, to be tried out: one that says the same, or else a new one. Raises Refusal in words.

    Never the letter of a published step: what goes out with that is held, counted and spaced out as mail of its sequence.
    """
    from courseapp.mailing.problems import hindering, problems_of_letter  # what reads letters is large, and few processes do

    text = text_of(draft, step)
    if found := hindering(problems_of_letter(text)):
        raise Refusal(_("It cannot be sent yet. %(words)s", words=" ".join(map(str, found))))
    return letter_saying(text, sa.select(SequenceStep.letter_id)) or publish_letter(text, now)
