"""A sequence in sentences, as its pages say them: when it begins, when each letter comes and to whom, what ends it."""

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from itertools import chain

import sqlalchemy as sa
from babel.dates import get_day_names
from babel.lists import format_list
from flask_babel import format_decimal, get_locale, ngettext
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from courseapp.billing.sensitivity import tier_of_key
from courseapp.campaigns.models import Condition, Goal, LatePolicy, RunEnd, Trigger
from courseapp.campaigns.sequence_shapes import SequenceDraft, StepDraft
from courseapp.catalog.models import Course, Lesson
from courseapp.contacts.models import Purpose
from courseapp.contacts.windows import EVERY_DAY, words_of_window
from courseapp.extensions import db
from courseapp.mailing.looks import first_words

FEWEST = 5  # people; fewer are never told exactly
CONDITIONS = {
    Condition.NOT_BEGUN: _l("only if they have not begun a lesson"),
    Condition.BEGUN: _l("only if they have begun and not finished the course"),
    Condition.NOT_FINISHED: _l("only if they have not finished the course"),
    Condition.FINISHED: _l("only if they have finished the course"),
}
WHOM = {  # who begins it and how often; whole sentences, for languages put them together in other ways
    (Trigger.ENROLLED, Purpose.COURSE): _l("Everybody who asked for mails with their course, once for each course."),
    (Trigger.ENROLLED, Purpose.MARKETING): _l("Everybody who agreed to hear of further courses, once for each course."),
    (Trigger.LESSON_COMPLETED, Purpose.COURSE): _l("Everybody who asked for mails with their course, once."),
    (Trigger.LESSON_COMPLETED, Purpose.MARKETING): _l("Everybody who agreed to hear of further courses, once."),
    (Trigger.COURSE_COMPLETED, Purpose.COURSE): _l("Everybody who asked for mails with their course, once for each course."),
    (Trigger.COURSE_COMPLETED, Purpose.MARKETING): _l("Everybody who agreed to hear of further courses, once for each course."),
    (Trigger.QUIET, Purpose.COURSE): _l("Everybody who asked for mails with their course, once for each time they are away."),
    (Trigger.QUIET, Purpose.MARKETING): _l("Everybody who agreed to hear of further courses, once for each time they are away."),
    (Trigger.MODULE_OPENED, Purpose.COURSE): _l("Everybody who asked for mails with their course, once for each module."),
    (Trigger.MODULE_OPENED, Purpose.MARKETING): _l("Everybody who agreed to hear of further courses, once for each module."),
    (Trigger.TIER_BOUGHT, Purpose.COURSE): _l("Everybody who asked for mails with their course, once for each tier."),
    (Trigger.TIER_BOUGHT, Purpose.MARKETING): _l("Everybody who agreed to hear of further courses, once for each tier."),
    (Trigger.PAYMENT_FAILED, Purpose.COURSE): _l("Everybody who asked for mails with their course, once for each payment that fails."),
    (Trigger.PAYMENT_FAILED, Purpose.MARKETING): _l("Everybody who agreed to hear of further courses, once for each payment that fails."),
}
ENDS_EARLY = {  # before its last letter; by what begins it, where that can be over again, and by its goal
    (None, None): _l("Ends early when they stop these mails"),
    (None, Goal.COURSE_COMPLETED): _l("Ends early when they finish the course or stop these mails"),
    (None, Goal.TIER_BOUGHT): _l("Ends early when they buy %(tier)s or stop these mails"),
    (Trigger.QUIET, None): _l("Ends early when they come back or stop these mails"),
    (Trigger.QUIET, Goal.COURSE_COMPLETED): _l("Ends early when they come back, finish the course, or stop these mails"),
    (Trigger.QUIET, Goal.TIER_BOUGHT): _l("Ends early when they come back, buy %(tier)s, or stop these mails"),
    (Trigger.PAYMENT_FAILED, None): _l("Ends early when they have paid or stop these mails"),
    (Trigger.PAYMENT_FAILED, Goal.COURSE_COMPLETED): _l("Ends early when they have paid, finish the course, or stop these mails"),
    (Trigger.PAYMENT_FAILED, Goal.TIER_BOUGHT): _l("Ends early when they have paid, buy %(tier)s, or stop these mails"),
}
LATE = {
    LatePolicy.SEND: _l("A letter that an outage held up is sent all the same."),
    LatePolicy.SKIP: _l("A letter that an outage held up is left out."),
    LatePolicy.SHIFT: _l("A letter that an outage held up is sent, and all that follow come as much later."),
}
ENDS = {
    RunEnd.FINISHED: _l("had every letter"),
    RunEnd.GOAL: _l("finished the course before"),
    RunEnd.ACTIVE: _l("came back before"),
    RunEnd.UNSUBSCRIBED: _l("stopped these mails"),
    RunEnd.STOPPED: _l("were taken out by staff"),
    RunEnd.ERASED: _l("were erased"),
}


@dataclass(frozen=True)
class LetterSaid:
    """One letter of a column: its place from 1, on which day, at which hours and to whom it comes, and how it begins."""

    number: int
    day: str
    hours: str
    condition: str
    subject: str
    words: str


@dataclass(frozen=True)
class Column:
    """A sequence from top to bottom, in sentences."""

    begins: str
    whom: str
    letters: tuple[LetterSaid, ...]
    ends: str
    holds: str


def ends_of(trigger: Trigger, goal: Goal | None) -> dict[RunEnd, LazyString]:
    """Why people leave a sequence, in words, by what begins and ends it."""
    found = dict(ENDS)
    if goal is Goal.TIER_BOUGHT:
        found[RunEnd.GOAL] = _l("bought a tier before")
    if trigger is Trigger.PAYMENT_FAILED:
        found[RunEnd.ACTIVE] = _l("paid before")
    return found


def column_of(draft: SequenceDraft) -> Column:
    """All that a page says of a sequence."""
    return Column(
        begins=begins_of(draft),
        whom=str(WHOM[draft.trigger, draft.purpose]),
        letters=tuple(_said(draft, number, step) for number, step in enumerate(draft.steps, 1)),
        ends=_ends_early(draft),
        holds=f"{apart(draft.minimum_gap_hours)} {LATE[draft.late]}",
    )


def _ends_early(draft: SequenceDraft) -> str:
    over = draft.trigger if draft.trigger in {Trigger.QUIET, Trigger.PAYMENT_FAILED} else None
    tier = _tier_name(draft.goal_tier_key)
    return str(ENDS_EARLY[over, draft.goal]) % {"tier": _("“%(name)s”", name=tier) if tier else _("a paid tier")}


def _tier_name(key: str | None) -> str | None:
    tier = tier_of_key(key)
    return tier.name if tier is not None else key


def _said(draft: SequenceDraft, number: int, step: StepDraft) -> LetterSaid:
    condition = str(CONDITIONS[step.condition]) if step.condition is not None else ""
    day = _("On day %(number)s", number=step.delay_days) if step.delay_days else _("On the day itself")
    hours = ", ".join(filter(None, (words_of_window(draft.window), days_of_week(draft.weekdays))))
    return LetterSaid(number, str(day), hours, condition, step.subject, first_words(step.body, draft.language))


def begins_of(draft: SequenceDraft) -> str:
    """What begins it, in words."""
    title = db.session.scalar(sa.select(Course.title).where(Course.slug == draft.course_slug)) if draft.course_slug else None
    return begins(draft.trigger, draft.trigger_days, title or draft.course_slug, _lesson_title(draft), _tier_name(draft.tier_key))


def _lesson_title(draft: SequenceDraft) -> str | None:
    query = sa.select(Lesson.title).join(Course, Course.id == Lesson.course_id)
    own = (Course.slug == draft.course_slug, Lesson.key == draft.lesson_key)
    return (db.session.scalar(query.where(*own)) or draft.lesson_key) if draft.lesson_key is not None else None


def number_of(count: int) -> str:
    """How many people as a number, never exactly where they are few."""
    return str(_("fewer than five") if 0 < count < FEWEST else format_decimal(count))


def number_in(parts: Iterable[int]) -> str:
    """How many people all parts together are, as a number. Where one of them is few, its people are in no sum: nobody can subtract them."""
    known, has_few = _summed(parts)
    if has_few:
        return str(_("at least %(amount)s", amount=format_decimal(known)) if known else _("a few"))
    return str(format_decimal(known))


def people(parts: Iterable[int]) -> str:
    """How many people all parts together are, in words; as above."""
    known, has_few = _summed(parts)
    if not known:
        return str(_("a few people") if has_few else _("nobody"))
    words = ngettext("%(amount)s person", "%(amount)s people", known, amount=format_decimal(known))
    return str(_("at least %(people)s", people=words) if has_few else words)


def _summed(parts: Iterable[int]) -> tuple[int, bool]:
    all_parts = list(parts)
    return sum(part for part in all_parts if part >= FEWEST), any(0 < part < FEWEST for part in all_parts)


def moving(parts: Iterable[int]) -> str:
    """What the button says that moves people to the newest version."""
    known, has_few = _summed(parts)
    if has_few:
        return str(_("Move those on older versions to the newest"))
    return str(_("Move the %(people)s on older versions to the newest", people=people([known])))


def begins(trigger: Trigger, days: int | None, course: str | None, lesson: str | None = None, tier: str | None = None) -> str:
    """What begins it, in words; `course` is the title of the one it is about, or None for any; `lesson` that of the lesson; so `tier`."""
    if trigger is Trigger.TIER_BOUGHT:
        return str(_("When somebody buys “%(tier)s”", tier=tier) if tier else _("When somebody buys a paid tier"))
    if trigger is Trigger.PAYMENT_FAILED:
        return str(_("When a payment for “%(tier)s” fails", tier=tier) if tier else _("When a payment for a paid tier fails"))
    if trigger is Trigger.LESSON_COMPLETED:
        return str(_("When somebody has done “%(lesson)s” in “%(course)s”", lesson=lesson or "…", course=course or "…"))
    if trigger is Trigger.ENROLLED:
        return str(_("When somebody begins “%(course)s”", course=course) if course else _("When somebody begins a course"))
    if trigger is Trigger.COURSE_COMPLETED:
        return str(_("When somebody finishes “%(course)s”", course=course) if course else _("When somebody finishes a course"))
    if trigger is Trigger.MODULE_OPENED:
        if course:
            return str(_("When a new module opens in “%(course)s”", course=course))
        return str(_("When a new module opens in a course that somebody has begun"))
    spell = ngettext("%(num)d day", "%(num)d days", days or 0)
    if course:
        return str(_("When somebody who takes “%(course)s” has not been here for %(days)s", course=course, days=spell))
    return str(_("When somebody who takes a course has not been here for %(days)s", days=spell))


def days_of_week(weekdays: str) -> str:
    """Days of the week, of digits from 1 for Monday, in words; empty where it may be any."""
    chosen = sorted(set(weekdays) & set(EVERY_DAY))
    if len(chosen) == len(EVERY_DAY) or not chosen:
        return ""
    names = get_day_names("wide", locale=get_locale())
    if len(chosen) > 2 and "".join(chosen) in EVERY_DAY:
        return str(_("%(first)s to %(last)s", first=names[int(chosen[0]) - 1], last=names[int(chosen[-1]) - 1]))
    return format_list([names[int(digit) - 1] for digit in chosen], locale=get_locale())


def apart(hours_apart: int) -> str:
    """How far apart two letters are at least."""
    return str(_("Two letters are never closer than %(hours)s.", hours=ngettext("%(num)d hour", "%(num)d hours", hours_apart)))


def publishing(on_way: Mapping[int, Rows[int]], draft: SequenceDraft, present: SequenceDraft | None, *, is_paused: bool) -> str:
    """What publishing a draft means, in a sentence or two.

    Args:
        on_way: how many people are under way with each version, by its number, at each step apart; empty before the first.
        present: what the newest version says, if there is one.
    """
    if present is not None and draft.says_the_same_as(present):
        return str(_("Only its name is another. Everybody gets what they got before, and no new version is made."))
    number = max(on_way, default=0) + 1
    still = {version: parts for version, parts in on_way.items() if any(parts)}
    if not on_way:
        words = _("Whoever this happens to from now on gets these letters, each on its day.")
    elif not still:
        words = _("New people get version %(number)s from now. Nobody is under way with an older one.", number=number)
    elif len(still) == 1:
        ((older, parts),) = still.items()
        words = _(
            "New people get version %(number)s from now; %(people)s go on with version %(older)s.",
            number=number,
            people=people(parts),
            older=older,
        )
    else:
        words = _(
            "New people get version %(number)s from now; %(people)s go on with the versions they began with.",
            number=number,
            people=people(chain.from_iterable(still.values())),
        )
    paused = _("It is paused: nothing leaves before you let it go on.") if is_paused else ""
    return " ".join(filter(None, (str(words), str(paused))))
