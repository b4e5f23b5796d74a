"""The forms of sequences: what begins and ends one, and each of its letters."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import time

from babel.dates import get_day_names
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, IntegerField, SelectField, SelectMultipleField, StringField, TextAreaField, TimeField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, ValidationError
from wtforms.widgets import CheckboxInput, ListWidget, TextInput

from courseapp.billing.models import Tier
from courseapp.campaigns.broadcasting.forms import NEEDS_TIME, NEEDS_TITLE, PURPOSES
from courseapp.campaigns.forms import LINE, LONGEST_BODY, NO_CONTROLS, ON_ONE_LINE
from courseapp.campaigns.models import Condition, Goal, LatePolicy, Trigger
from courseapp.campaigns.sequence_shapes import (
    LONGEST_TITLE,
    MOST_DAYS,
    MOST_GAP_HOURS,
    MOST_QUIET_DAYS,
    SequenceDraft,
    StepDraft,
)
from courseapp.catalog.models import Course
from courseapp.contacts.models import Purpose
from courseapp.contacts.windows import EVERY_DAY, Window
from courseapp.mailing.text import LONGEST, name_of_language

BLANK = SequenceDraft("", Purpose.COURSE, "en", Trigger.ENROLLED, None, None, Goal.COURSE_COMPLETED, Window(time(9), time(20)))
DAYS = {"inputmode": "numeric", "maxlength": "3"}
NEEDS_HOURS = _l("Please give a number of hours from 1 to %(most)s.", most=MOST_GAP_HOURS)
NEEDS_DAYS = _l("Please give a number of days from 0 to %(most)s.", most=MOST_DAYS)
HOW_TO_WRITE = _l(
    'Markdown. A name is put in by {{ first_name | default("there") }}; a link alone in its paragraph, such as '
    "[Continue the course]({{ continue_url }}), becomes the button."
)
TRIGGERS = {
    Trigger.ENROLLED: _l("Somebody begins a course"),
    Trigger.LESSON_COMPLETED: _l("Somebody has done a lesson"),
    Trigger.COURSE_COMPLETED: _l("Somebody finishes a course"),
    Trigger.QUIET: _l("Somebody who takes a course has not been here for some days"),
    Trigger.MODULE_OPENED: _l("A new module opens in a course that somebody has begun"),
}
OF_TIERS = {
    Trigger.TIER_BOUGHT: _l("Somebody buys a paid tier"),
    Trigger.PAYMENT_FAILED: _l("A payment for a paid tier fails"),
}
GOALS = {"": _l("Only when they stop these mails"), Goal.COURSE_COMPLETED: _l("They finish the course")}
CONDITIONS = {
    "": _l("Everybody who is on the way"),
    Condition.NOT_BEGUN: _l("Only those who have not begun a lesson"),
    Condition.BEGUN: _l("Only those who have begun and not finished the course"),
    Condition.NOT_FINISHED: _l("Only those who have not finished the course"),
    Condition.FINISHED: _l("Only those who have finished the course"),
}
BOUGHT = Goal.TIER_BOUGHT.value
LATE = {
    LatePolicy.SEND: _l("It is sent all the same"),
    LatePolicy.SKIP: _l("It is left out"),
    LatePolicy.SHIFT: _l("It is sent, and all that follow come as much later"),
}


class NumberField(IntegerField):
    """A whole number; what is none is said in words, and stays in the field: one of the type “number” would send nothing of it."""

    widget = TextInput()

    def process_formdata(self, valuelist: list[str]) -> None:
        typed = valuelist[0].strip() if valuelist else ""
        if typed and not (typed.isascii() and typed.isdecimal() and len(typed) < 6):
            self.data = None
            raise ValueError(_l("Please give a whole number, such as 3."))
        self.data = int(typed) if typed else None


class HeadForm(FlaskForm):
    """A sequence without its letters. `version` says which state of the draft was shown."""

    translated: Collection[str] = ()  # the other languages in which some of its letters are there
    version = HiddenField(default="1")
    title = StringField(
        _l("Name among staff"),
        [DataRequired(NEEDS_TITLE), Length(max=LONGEST_TITLE), ON_ONE_LINE],
        render_kw={"maxlength": str(LONGEST_TITLE)},
    )
    purpose = SelectField(_l("Purpose"), choices=[SelectChoice(key, words) for key, words in PURPOSES.items()])
    language = SelectField(_l("Language it is written in"))
    trigger = SelectField(_l("It begins when"), choices=[SelectChoice(key, words) for key, words in TRIGGERS.items()])
    trigger_days = NumberField(_l("After how many days away"), render_kw=DAYS)
    course = SelectField(_l("In which course"))
    lesson = SelectField(_l("Which lesson"), default="")
    tier = SelectField(_l("Which tier"), default="", choices=[SelectChoice("", _l("Any tier"))])
    goal = SelectField(_l("It ends early when"), choices=[SelectChoice(key, words) for key, words in GOALS.items()])
    window_start = TimeField(_l("Not before"), [DataRequired(NEEDS_TIME)])
    window_end = TimeField(_l("Not after"), [DataRequired(NEEDS_TIME)])
    weekdays = SelectMultipleField(
        _l("On which days of the week"),
        [DataRequired(_l("Please tick at least one day of the week."))],
        widget=ListWidget(),
        option_widget=CheckboxInput(),
    )
    minimum_gap_hours = NumberField(
        _l("Hours between two letters, at least"),
        [InputRequired(NEEDS_HOURS), NumberRange(1, MOST_GAP_HOURS, NEEDS_HOURS)],
        render_kw=DAYS,
    )
    late = SelectField(
        _l("What becomes of a letter that an outage held up"), choices=[SelectChoice(key, words) for key, words in LATE.items()]
    )

    def offer(self, courses: Iterable[Course], lessons: Iterable[tuple[str, str, str]], languages: Mapping[str, str]) -> None:
        """What there is to choose from; of each lesson its course's title, its name in references and its title."""
        named = [SelectChoice(name, title, optgroup=course) for course, name, title in lessons]
        self.lesson.choices = [SelectChoice("", _("None")), *named]
        names = get_day_names("wide", locale=get_locale())
        self.course.choices = [SelectChoice("", _l("Any course")), *(SelectChoice(course.slug, course.title) for course in courses)]
        self.language.choices = [SelectChoice(tag, words) for tag, words in languages.items()]
        self.weekdays.choices = [SelectChoice(digit, names[int(digit) - 1]) for digit in EVERY_DAY]

    def offer_tiers(self, tiers: Iterable[Tier], draft: SequenceDraft) -> None:
        """The same of tiers, where the site sells any, or the draft is about one already."""
        known = list(tiers)
        if not known and draft.trigger not in OF_TIERS and draft.goal is not Goal.TIER_BOUGHT:
            del self.tier
            return
        self.tier.choices = [SelectChoice("", _l("Any tier")), *(SelectChoice(tier.key, tier.name) for tier in known)]
        self.trigger.choices = [SelectChoice(key, words) for key, words in (TRIGGERS | OF_TIERS).items()]
        bought = [SelectChoice(f"{BOUGHT}:{tier.key}", _("They buy “%(name)s”", name=tier.name)) for tier in known]
        goals = [SelectChoice(key, words) for key, words in GOALS.items()]
        self.goal.choices = [*goals, SelectChoice(BOUGHT, _("They buy a paid tier, whichever it is")), *bought]

    def validate_language(self, field: SelectField) -> None:
        """Two letters in one language could not be told apart, and neither is to be lost."""
        if field.data in self.translated:
            words = _("Some of its letters are written in %(language)s already.", language=name_of_language(field.data))
            raise ValidationError(f"{words} {_('Nothing was lost. Leave the language as it was, or take those translations out first.')}")

    def validate_trigger_days(self, field: NumberField) -> None:
        """Only where people are away for some days it must be said for how many."""
        if self.trigger.data == Trigger.QUIET and not (field.data and field.data <= MOST_QUIET_DAYS):
            raise ValidationError(_("Please give a number of days from 1 to %(most)s.", most=MOST_QUIET_DAYS))

    def validate_lesson(self, field: SelectField) -> None:
        """Only where a lesson begins it one is named, of the course that is chosen."""
        if self.trigger.data == Trigger.LESSON_COMPLETED and not field.data:
            raise ValidationError(_("Please choose the lesson that begins it."))

    def show(self, draft: SequenceDraft, version: int) -> None:
        """Begin from what is there."""
        for name in ("title", "language", "trigger_days", "minimum_gap_hours"):
            getattr(self, name).data = getattr(draft, name)
        self.trigger.data, self.late.data = draft.trigger.value, draft.late.value
        if "purpose" in self:
            self.purpose.data = draft.purpose.value
        self.course.data, self.goal.data = draft.course_slug or "", draft.goal or ""
        if draft.goal_tier_key:
            self.goal.data = f"{BOUGHT}:{draft.goal_tier_key}"
        if "tier" in self:
            self.tier.data = draft.tier_key or ""
        self.lesson.data = f"{draft.course_slug}/{draft.lesson_key}" if draft.lesson_key else ""
        self.window_start.data, self.window_end.data = draft.window.start, draft.window.end
        self.weekdays.data, self.version.data = list(draft.weekdays), str(version)

    def laid_over(self, draft: SequenceDraft) -> SequenceDraft:
        """A draft with what was typed; its letters stay."""
        assert self.window_start.data is not None
        assert self.window_end.data is not None
        trigger = Trigger(self.trigger.data)
        slug, key = self.course.data or None, None
        if trigger is Trigger.LESSON_COMPLETED:  # which says the course as well
            slug, _slash, key = self.lesson.data.partition("/")
        is_of_tier = trigger in OF_TIERS  # which says the course
        goal, _colon, goal_tier = (self.goal.data or "").partition(":")
        return replace(
            draft,
            title=(self.title.data or "").strip(),
            purpose=Purpose(self.purpose.data) if "purpose" in self else draft.purpose,
            language=self.language.data,
            trigger=trigger,
            trigger_days=self.trigger_days.data if trigger is Trigger.QUIET else None,
            course_slug=None if is_of_tier else slug,
            lesson_key=key,
            tier_key=(self.tier.data or None) if is_of_tier and "tier" in self else None,
            goal=Goal(goal) if goal else None,
            goal_tier_key=goal_tier or None,
            window=Window(self.window_start.data, self.window_end.data),
            weekdays="".join(sorted(self.weekdays.data or ())),
            minimum_gap_hours=self.minimum_gap_hours.data or 0,
            late=LatePolicy(self.late.data),
        )


class StepForm(FlaskForm):
    """One letter of a sequence: when it comes, for whom, and its words."""

    version = HiddenField(default="1")
    delay_days = NumberField(
        _l("Days after the beginning"), [InputRequired(NEEDS_DAYS), NumberRange(0, MOST_DAYS, NEEDS_DAYS)], render_kw=DAYS
    )
    condition = SelectField(_l("For whom"), choices=[SelectChoice(key, words) for key, words in CONDITIONS.items()])
    subject = StringField(_l("Subject"), LINE, render_kw={"maxlength": str(LONGEST)})
    preheader = StringField(_l("Preheader"), LINE, render_kw={"maxlength": str(LONGEST)})
    body = TextAreaField(_l("Letter"), [Length(max=LONGEST_BODY), NO_CONTROLS], description=HOW_TO_WRITE, render_kw={"rows": "16"})

    def show(self, step: StepDraft) -> None:
        """Begin from what is there."""
        for name in ("delay_days", "subject", "preheader", "body"):
            getattr(self, name).data = getattr(step, name)
        self.condition.data = step.condition or ""

    def step(self) -> StepDraft:
        """What was typed."""
        return StepDraft(
            delay_days=self.delay_days.data or 0,
            condition=Condition(self.condition.data) if self.condition.data else None,
            subject=(self.subject.data or "").strip(),
            preheader=(self.preheader.data or "").strip(),
            body=(self.body.data or "").replace("\r\n", "\n"),
        )
