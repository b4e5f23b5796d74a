"""The safety check's wording. `VERSION` names it: a test holds the two together, and everyone is asked again when it changes.

The signs are those of the course's brief. Nobody's answers are kept.
"""

from dataclasses import dataclass

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from courseapp.learning.models import Outcome

VERSION = "2026-11"


@dataclass(frozen=True)
class Choice:
    """One answer; `leads_to` is the least that it means, None for nothing."""

    value: str
    label: LazyString
    leads_to: Outcome | None
    hint: LazyString | None = None


@dataclass(frozen=True)
class Question:
    """One screen of the check."""

    key: str
    title: LazyString
    intro: LazyString
    signs: tuple[LazyString, ...]
    choices: tuple[Choice, ...]


NONE = Choice("no", _l("No, none of these"), None)
CLEARED = Choice(
    "cleared", _l("Yes, and a professional who knows this has cleared me"), Outcome.GENTLY, _l("You will get the gentle versions.")
)

QUESTIONS = (
    Question(
        "now",
        _l("Is any of this happening now?"),
        _l("These signs need help at once, before any course. If you are not sure, choose yes."),
        (
            _l("New numbness between the legs, around the genitals or the bottom"),
            _l("New loss of control over bladder or bowel, or you cannot pass urine"),
            _l("New weakness in the legs"),
            _l("Sudden, severe pain in the belly, the pelvis or a testicle"),
            _l("Heavy bleeding"),
            _l("A fever together with pelvic pain, or shaking"),
            _l("A hot, swollen calf, or sudden breathlessness"),
        ),
        (Choice("yes", _l("Yes, one or more"), Outcome.NOW), NONE),
    ),
    Question(
        "life",
        _l("Are you thinking of ending your life?"),
        _l("Living with pain or worry can wear anyone down. If this is where you are, you deserve help today."),
        (),
        (Choice("yes", _l("Yes"), Outcome.NOW), Choice("no", _l("No"), None)),
    ),
    Question(
        "pregnancy",
        _l("Are you pregnant, or might you be?"),
        _l("In pregnancy what is right depends on you and your pregnancy, so someone who knows both should say."),
        (),
        (
            Choice("no", _l("No, or this cannot be"), None),
            Choice("yes", _l("Yes, or perhaps"), Outcome.PROFESSIONAL),
            Choice("urgent", _l("Yes or perhaps, with bleeding, fainting or severe pain"), Outcome.NOW),
        ),
    ),
    Question(
        "soon",
        _l("Have you noticed any of this lately?"),
        _l("These signs should be looked at by your own doctor, today or within days. If you are not sure, choose yes."),
        (
            _l("Blood in your urine"),
            _l("Blood in your stool that goes on"),
            _l("Pain with a fever that comes and goes"),
            _l("A new lump"),
            _l("Losing weight without knowing why"),
            _l("Bleeding after the menopause, or after sex"),
        ),
        (Choice("yes", _l("Yes, one or more"), Outcome.PROFESSIONAL), NONE),
    ),
    Question(
        "healing",
        _l("Is your body healing from any of this?"),
        _l("Each of these is a reason to ask a professional before you stretch, strengthen or massage."),
        (
            _l("An infection now: pelvic inflammatory disease, a sexually transmitted infection, or one of the bladder or kidneys"),
            _l("A birth or a caesarean in the last weeks"),
            _l("Surgery that your surgeon has not cleared yet"),
            _l("A broken bone not long ago"),
            _l("A hernia"),
        ),
        (Choice("yes", _l("Yes, one or more"), Outcome.PROFESSIONAL), CLEARED, NONE),
    ),
    Question(
        "conditions",
        _l("Does any of this apply to you?"),
        _l("Each of these is a reason to ask a professional first."),
        (
            _l("A blood clot now, or a clotting disorder"),
            _l("Active cancer in the pelvic region"),
            _l("Bleeding that nobody has explained yet"),
            _l("A doctor has advised you against exercise or massage"),
        ),
        (Choice("yes", _l("Yes, one or more"), Outcome.PROFESSIONAL), CLEARED, NONE),
    ),
    Question(
        "gently",
        _l("And lastly: does any of this sound like you?"),
        _l("None of these stands in the way. They only mean that the gentle versions suit you better."),
        (
            _l("You take blood thinners, without a clot"),
            _l("An intrauterine device was fitted lately"),
            _l("A flare of bowel disease, or a painful irritable bowel"),
            _l("Pain that rises when you are touched"),
            _l("Something in your past makes touch hard"),
        ),
        (Choice("yes", _l("Yes, one or more"), Outcome.GENTLY), NONE),
    ),
)

SENTENCES = {
    Outcome.NOW: _l("Please get help now, before anything else."),
    Outcome.PROFESSIONAL: _l("Please see a professional first; the practical lessons wait for you."),
    Outcome.GENTLY: _l("You can go on, gently: you will see the gentle versions."),
    Outcome.AHEAD: _l("Nothing you said stands in the way: you can go ahead."),
}

WHAT_NOW = {
    Outcome.NOW: (
        _l("Call the emergency number or go to an emergency department, and say which sign you noticed."),
        _l("If it is about ending your life, call a crisis line or someone you trust, and do not stay alone."),
        _l("The course will be here when you are well. You can take this check again at any time."),
    ),
    Outcome.PROFESSIONAL: (
        _l(
            "Ask your doctor or a pelvic-health physiotherapist whether the practical lessons suit you. "
            "The course has a letter that helps to ask."
        ),
        _l(
            "If you noticed blood, a fever that comes and goes, a new lump, unexplained weight loss, "
            "or bleeding after the menopause or after sex: see your own doctor today or within days."
        ),
        _l("All other lessons are open to you: what this is about, your rights, finding someone, breathing and letting go."),
    ),
    Outcome.GENTLY: (
        _l("The practical lessons are open in their gentle versions."),
        _l("Stop whenever something hurts or feels wrong. “Stop if” is always one tap away."),
        _l("If anything changes, take the check again."),
    ),
    Outcome.AHEAD: (
        _l("All practical lessons are open."),
        _l("Stop whenever something hurts or feels wrong. “Stop if” is always one tap away."),
        _l("If anything changes, take the check again."),
    ),
}
