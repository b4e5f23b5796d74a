"""From answers to an outcome: every way through the questions, against a table of our own, written from the course's brief."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from itertools import product

import pytest

from courseapp.learning import safety
from courseapp.learning.models import Outcome
from courseapp.learning.safety_questions import QUESTIONS, SENTENCES, VERSION, WHAT_NOW
from tests.factories import NOW

# What each answer means by the brief: emergency → now; contraindication → professional, unless a professional has cleared it;
# what asks for care → gently. Written down here apart from the code.
NOW_IS, PROFESSIONAL, GENTLY, NOTHING = "now", "professional", "gently", ""
MEANING = {
    "now": {"yes": NOW_IS, "no": NOTHING},
    "life": {"yes": NOW_IS, "no": NOTHING},
    "pregnancy": {"no": NOTHING, "yes": PROFESSIONAL, "urgent": NOW_IS},
    "soon": {"yes": PROFESSIONAL, "no": NOTHING},
    "healing": {"yes": PROFESSIONAL, "cleared": GENTLY, "no": NOTHING},
    "conditions": {"yes": PROFESSIONAL, "cleared": GENTLY, "no": NOTHING},
    "gently": {"yes": GENTLY, "no": NOTHING},
}
GRAVITY = [NOTHING, GENTLY, PROFESSIONAL, NOW_IS]


def paths() -> Iterator[tuple[dict[str, str], str]]:
    """Every combination of answers as far as it is asked for, and what it must come to."""
    seen = set()
    for values in product(*(choices for choices in MEANING.values())):
        given: dict[str, str] = {}
        gravest = NOTHING
        for key, value in zip(MEANING, values, strict=True):
            given[key] = value
            gravest = max(gravest, MEANING[key][value], key=GRAVITY.index)
            if gravest in (NOW_IS, PROFESSIONAL):
                break
        if (path := tuple(given.items())) not in seen:
            seen.add(path)
            yield given, gravest or "ahead"


PATHS = list(paths())


def test_the_table_asks_what_the_check_asks() -> None:
    assert {question.key: {choice.value for choice in question.choices} for question in QUESTIONS} == {
        key: set(choices) for key, choices in MEANING.items()
    }
    assert [question.key for question in QUESTIONS] == list(MEANING)
    assert {outcome for _answers, outcome in PATHS} == {outcome.value for outcome in Outcome}


def test_every_way_through_the_questions_comes_to_what_the_brief_says() -> None:
    wrong = [(answers, safety.outcome_of(answers)) for answers, expected in PATHS if safety.outcome_of(answers) != expected]
    assert wrong == []


def test_every_way_asks_one_question_after_another_and_stops_once_it_is_decided() -> None:
    for answers, _outcome in PATHS:
        given: dict[str, str] = {}
        for key, value in answers.items():
            asked = safety.next_question(given)
            assert asked is not None
            assert asked.key == key
            with pytest.raises(ValueError, match="not finished"):
                safety.outcome_of(given)
            given[key] = value
        assert safety.next_question(given) is None


def test_every_combination_of_all_answers_gives_the_gravest_of_what_they_mean() -> None:
    """Also of answers that would not have been asked for: a form put together by hand is no way around."""
    for values in product(*MEANING.values()):
        answers = dict(zip(MEANING, values, strict=True))
        gravest = max((MEANING[key][value] for key, value in answers.items()), key=GRAVITY.index)
        assert safety.outcome_of(answers) == (gravest or "ahead"), answers


def test_answers_travel_from_screen_to_screen_unchanged() -> None:
    for answers, _outcome in PATHS:
        assert safety.answers_of(safety.packed(answers)) == answers


@pytest.mark.parametrize("text", ["", "x", "=", "now=perhaps", "now=yes=no", "other=yes", "&&&", "now", "\0", "now=NO"])
def test_answers_nobody_could_give_are_dropped(text: str) -> None:
    assert safety.answers_of(text) == {}


SIGNS = {
    "now": ["numbness", "bladder or bowel", "weakness in the legs", "severe pain", "heavy bleeding", "fever", "calf", "breathlessness"],
    "life": ["ending your life"],
    "pregnancy": ["pregnant", "bleeding, fainting or severe pain"],
    "soon": ["blood in your urine", "blood in your stool", "fever that comes and goes", "lump", "weight", "the menopause", "after sex"],
    "healing": ["pelvic inflammatory", "sexually transmitted", "bladder", "birth", "caesarean", "surgery", "broken bone", "hernia"],
    "conditions": ["blood clot now", "clotting disorder", "cancer in the pelvic region", "nobody has explained", "advised you against"],
    "gently": ["blood thinners", "intrauterine device", "bowel disease", "irritable bowel", "when you are touched", "makes touch hard"],
}


@pytest.mark.parametrize("key", SIGNS)
def test_every_sign_of_the_brief_is_asked_about_on_its_screen(key: str) -> None:
    question = next(question for question in QUESTIONS if question.key == key)
    words = " ".join(map(str, (question.title, question.intro, *question.signs, *(choice.label for choice in question.choices)))).lower()
    assert [sign for sign in SIGNS[key] if sign not in words] == []


def test_a_changed_wording_has_a_new_version() -> None:
    """Whoever changes a word of the check raises VERSION, so that everyone is asked again; then this digest changes with it."""
    words = [
        f"{question.key}|{question.title}|{question.intro}|{[str(sign) for sign in question.signs]}|"
        f"{[(choice.value, str(choice.label), choice.leads_to, str(choice.hint or '')) for choice in question.choices]}"
        for question in QUESTIONS
    ]
    digest = hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
    assert (VERSION, digest) == ("2026-11", "c2d132f0d4db59ad")


def test_every_outcome_has_a_sentence_and_what_to_do_now() -> None:
    assert set(SENTENCES) == set(WHAT_NOW) == set(Outcome)
    assert all(len(steps) >= 3 for steps in WHAT_NOW.values())


@pytest.mark.parametrize(
    ("outcome", "wording", "age", "counts"),
    [
        (Outcome.AHEAD, VERSION, timedelta(0), True),
        (Outcome.NOW, VERSION, timedelta(days=182, hours=23), True),
        (Outcome.AHEAD, VERSION, timedelta(days=183), False),
        (Outcome.AHEAD, VERSION, timedelta(days=400), False),
        (Outcome.AHEAD, "2025-01", timedelta(0), False),
        (Outcome.AHEAD, None, timedelta(0), False),
        (None, None, timedelta(0), False),
    ],
)
def test_an_outcome_counts_for_six_months_and_for_its_own_wording(
    outcome: Outcome | None, wording: str | None, age: timedelta, counts: bool
) -> None:
    assert safety.is_current(outcome, wording, NOW - age, NOW) is counts
    assert safety.is_current(outcome, wording, None, NOW) is False
