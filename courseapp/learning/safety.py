"""The safety check: from answers to an outcome, and whether an outcome still counts.

Answers are evaluated and thrown away; kept are the outcome, the wording's version and the date.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _

from courseapp.accounts.models import User
from courseapp.extensions import db, insert_into
from courseapp.learning.models import Outcome, SafetyOutcome
from courseapp.learning.safety_questions import QUESTIONS, VERSION, Question
from courseapp.site import Site

GOOD_FOR = timedelta(days=183)
SEVERITY = (None, Outcome.GENTLY, Outcome.PROFESSIONAL, Outcome.NOW)


def answers_of(packed: str) -> dict[str, str]:
    """Answers from the hidden field that carries them from screen to screen (`now=no&life=no`); what is unknown is dropped."""
    pairs = (part.partition("=") for part in packed.split("&"))
    given = {key: value for key, _sign, value in pairs}
    return {question.key: given[question.key] for question in QUESTIONS if is_answer(question, given.get(question.key))}


def packed(answers: Mapping[str, str]) -> str:
    """The hidden field of `answers`."""
    return "&".join(f"{key}={value}" for key, value in answers.items())


def previous_answers(answers: dict[str, str]) -> dict[str, str]:
    """The answers without the last, so that its question is asked again."""
    return dict(list(answers.items())[:-1])


def is_answer(question: Question, value: str | None) -> bool:
    """Whether `value` is one of the question's choices."""
    return any(choice.value == value for choice in question.choices)


def next_question(answers: Mapping[str, str]) -> Question | None:
    """The first question not answered yet; None when the outcome is clear: all answered, or one that decides."""
    for question in QUESTIONS:
        if question.key not in answers:
            return question
        if _leads_to(question, answers[question.key]) in {Outcome.NOW, Outcome.PROFESSIONAL}:
            return None
    return None


def outcome_of(answers: Mapping[str, str]) -> Outcome:
    """The gravest of what the answers mean; raises ValueError while a question is open."""
    if next_question(answers) is not None:
        raise ValueError("the safety check is not finished")
    found = [_leads_to(question, answers[question.key]) for question in QUESTIONS if question.key in answers]
    return max(found, key=SEVERITY.index) or Outcome.AHEAD


def _leads_to(question: Question, value: str) -> Outcome | None:
    return next(choice.leads_to for choice in question.choices if choice.value == value)


def keep_outcome(user: User, outcome: Outcome, now: datetime) -> None:
    """Keep the latest outcome in place of an earlier one. Nothing is written to the journal."""
    values = {"outcome": outcome, "wording": VERSION, "decided_at": now}
    statement = insert_into(SafetyOutcome).values(user_id=user.id, **values)
    db.session.execute(statement.on_conflict_do_update(index_elements=["user_id"], set_=values))


def kept_outcome(user: User) -> SafetyOutcome | None:
    """The last outcome kept, whether it still counts or not."""
    return db.session.scalar(sa.select(SafetyOutcome).where(SafetyOutcome.user_id == user.id))


def is_current(outcome: Outcome | None, wording: str | None, decided_at: datetime | None, now: datetime) -> bool:
    """Whether an outcome still counts: of the present wording, and not older than six months."""
    return outcome is not None and wording == VERSION and decided_at is not None and decided_at > now - GOOD_FOR


def current_outcome(user: User, now: datetime) -> Outcome | None:
    """The outcome that counts now, or None."""
    kept = kept_outcome(user)
    if kept is None or not is_current(kept.outcome, kept.wording, kept.decided_at, now):
        return None
    return kept.outcome


def help_words(site: Site) -> dict[str, Any]:
    """The owner's emergency words, or ones that hold everywhere."""
    return {
        "emergency_words": site.emergency_words or _("Call your country’s emergency number, or go to the nearest emergency department."),
        "crisis_words": site.crisis_words
        or _("Call a crisis line in your country, the emergency number, or someone you trust, and do not stay alone."),
    }
