"""The forms of broadcasts: what is written, and when it is sent."""

from collections.abc import Collection, Iterable, Mapping

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, SelectField, StringField, TextAreaField, TimeField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, Length, ValidationError

from courseapp.campaigns.broadcasts import Draft
from courseapp.campaigns.experiments import HELD, TRIED, WITHIN, WORDS, Design, Words, experiment_of
from courseapp.campaigns.forms import LINE, LONGEST_BODY, NO_CONTROLS, ON_ONE_LINE, TranslationForm
from courseapp.campaigns.models import Broadcast, Experiment, Measure, Segment
from courseapp.campaigns.translations import Translation
from courseapp.contacts.models import Purpose
from courseapp.contacts.windows import Window
from courseapp.mailing.text import LONGEST, name_of_language
from courseapp.site import present_site

NEEDS_TITLE = _l("Please give it a name.")
NEEDS_TIME = _l("Please give a time of day, such as 09:00.")
PURPOSES = {
    Purpose.MARKETING.value: _l("Marketing: to those who agreed to hear of further courses"),
    Purpose.COURSE.value: _l("Course mail: to those who asked for mails with their course; nothing may be offered in it"),
}
MEASURES = {
    Measure.DID: _l("how many people did something in a course"),
    Measure.FINISHED: _l("how many people finished a course"),
    Measure.CLICKS: _l("how often its links were followed"),
}
PERIODS = {1: _l("a day"), 7: _l("a week"), 30: _l("30 days")}
UNTICKED = _l("You have written a second letter. Tick this to have it tried out, or empty its fields.")
SAME = _l("Say in at least one of these three what is other than in the first letter.")
TRIES = ("has_second", "second_subject", "second_preheader", "second_body", "tried_percent", "measure", "within_days", "held_percent")


class BroadcastForm(FlaskForm):
    """What somebody writes of a broadcast. `version` says which state of it was shown."""

    version = HiddenField(default="1")
    title = StringField(_l("Name among staff"), [DataRequired(NEEDS_TITLE), Length(max=120), ON_ONE_LINE], render_kw={"maxlength": "120"})
    purpose = SelectField(_l("Purpose"), choices=[SelectChoice(key, words) for key, words in PURPOSES.items()])
    segment = SelectField(_l("For whom"), validate_choice=False)
    language = SelectField(_l("Language it is written in"))
    subject = StringField(_l("Subject"), LINE, render_kw={"maxlength": str(LONGEST)})
    preheader = StringField(_l("Preheader"), LINE, render_kw={"maxlength": str(LONGEST)})
    body = TextAreaField(_l("Letter"), [Length(max=LONGEST_BODY), NO_CONTROLS], render_kw={"rows": "16"})
    window_start = TimeField(_l("Not before"), [DataRequired(NEEDS_TIME)])
    window_end = TimeField(_l("Not after"), [DataRequired(NEEDS_TIME)])
    has_second = BooleanField(_l("Try a second letter against this one"))
    second_subject = StringField(_l("Its subject"), LINE, render_kw={"maxlength": str(LONGEST)})
    second_preheader = StringField(_l("Its preheader"), LINE, render_kw={"maxlength": str(LONGEST)})
    second_body = TextAreaField(_l("Its words"), [Length(max=LONGEST_BODY), NO_CONTROLS], render_kw={"rows": "10"})
    tried_percent = SelectField(_l("Tried out on"), coerce=int, default=20)
    measure = SelectField(_l("The better letter is told by"), default=Measure.DID.value)
    within_days = SelectField(_l("Within"), coerce=int, default=7)
    held_percent = SelectField(_l("Hold out"), coerce=int, default=0)
    translated: Collection[str] = ()  # the other languages in which it is there

    def validate_language(self, field: SelectField) -> None:
        """Two letters in one language could not be told apart, and neither is to be lost."""
        if field.data in self.translated:
            words = _("It is written in %(language)s already, below.", language=name_of_language(field.data))
            raise ValidationError(f"{words} {_('Nothing was lost. Leave the language as it was, or take that translation out first.')}")

    def validate_has_second(self, field: BooleanField) -> None:
        """A second letter must differ; the error stands where that is written."""
        typed = [second.data for second in (self.second_subject, self.second_preheader, self.second_body) if (second.data or "").strip()]
        if typed and not field.data:
            raise ValidationError(UNTICKED)
        pairs = (self.second_subject, self.subject), (self.second_preheader, self.preheader), (self.second_body, self.body)
        if field.data and all((second.data or "").strip() in {"", (first.data or "").strip()} for second, first in pairs):
            raise ValidationError(SAME)

    def offer(self, segments: Iterable[Segment], languages: Mapping[str, str], *, may_be_course_mail: bool = True) -> None:
        """What there is to choose from."""
        if not may_be_course_mail:
            self.purpose.choices = [SelectChoice(key, words) for key, words in PURPOSES.items() if key != Purpose.COURSE]
        named = [(row.public_id, _("%(name)s (put away)", name=row.name) if row.archived_at else row.name) for row in segments]
        self.segment.choices = [SelectChoice("", _l("Everybody who agreed")), *(SelectChoice(key, words) for key, words in named)]
        self.language.choices = [SelectChoice(tag, words) for tag, words in languages.items()]
        some = [SelectChoice(share, _("%(percent)s %% of the people, half of them each", percent=share)) for share in TRIED if share < 100]
        self.tried_percent.choices = [*some, SelectChoice(100, _("everybody, half of them each; nobody waits"))]
        measures = [measure for measure in MEASURES if measure is not Measure.CLICKS or present_site().counts_clicks]
        self.measure.choices = [SelectChoice(measure.value, MEASURES[measure]) for measure in measures]
        self.within_days.choices = [SelectChoice(days, PERIODS[days]) for days in WITHIN]
        self.held_percent.choices = [SelectChoice(share, _("%(percent)s %%", percent=share) if share else _("nobody")) for share in HELD]

    def show(self, broadcast: Broadcast, segment_id: str) -> None:
        """Begin from what is there."""
        for name in ("title", "language", "subject", "preheader", "body", "window_start", "window_end"):
            getattr(self, name).data = getattr(broadcast, name)
        self.purpose.data, self.segment.data, self.version.data = broadcast.purpose.value, segment_id, str(broadcast.version)
        if (experiment := experiment_of(broadcast)) is not None:
            for name in ("has_second", "tried_percent", "within_days", "held_percent"):
                getattr(self, name).data = getattr(experiment, name)
            for name in ("subject", "preheader", "body"):
                getattr(self, f"second_{name}").data = getattr(experiment, name)
            self.measure.data = experiment.measure.value

    def draft(self, segment: Segment | None) -> Draft:
        """What was typed."""
        assert self.window_start.data is not None
        assert self.window_end.data is not None
        return Draft(
            title=(self.title.data or "").strip(),
            purpose=Purpose(self.purpose.data),
            segment=segment,
            language=self.language.data,
            subject=(self.subject.data or "").strip(),
            preheader=(self.preheader.data or "").strip(),
            body=(self.body.data or "").replace("\r\n", "\n"),
            window=Window(self.window_start.data, self.window_end.data),
            design=self.design(),
        )

    def design(self) -> Design:
        """What is to be tried out."""
        second = Words(
            (self.second_subject.data or "").strip(),
            (self.second_preheader.data or "").strip(),
            (self.second_body.data or "").replace("\r\n", "\n") if (self.second_body.data or "").strip() else "",
        )
        return Design(
            second=second if self.has_second.data else None,
            tried_percent=self.tried_percent.data,
            held_percent=self.held_percent.data,
            measure=Measure(self.measure.data),
            within_days=self.within_days.data,
        )

    @property
    def tries(self) -> bool:
        """Whether the part about trying out is to stand open."""
        return bool(self.has_second.data or self.held_percent.data or self.errors.keys() & set(TRIES))


class BroadcastTranslationForm(TranslationForm):
    """A broadcast in another language; where two letters are tried out, what is other in the second as well."""

    second_subject = StringField(_l("Its subject"), LINE, render_kw={"maxlength": str(LONGEST)})
    second_preheader = StringField(_l("Its preheader"), LINE, render_kw={"maxlength": str(LONGEST)})
    second_body = TextAreaField(_l("Its words"), [Length(max=LONGEST_BODY), NO_CONTROLS], render_kw={"rows": "10"})

    def ask(self, experiment: Experiment | None) -> None:
        """Leave out what the second letter has as in the first."""
        for name in WORDS:
            if experiment is None or not experiment.has_second or not getattr(experiment, name):
                delattr(self, f"second_{name}")

    def show_second(self, translation: Translation) -> None:
        """Begin from what is there."""
        for name, field in self.seconds.items():
            field.data = getattr(translation, name)

    @property
    def seconds(self) -> dict[str, StringField]:
        """The fields of the second letter that are asked, by the part of it that each is about."""
        return {name: self[f"second_{name}"] for name in WORDS if f"second_{name}" in self}

    def second_translation(self, language: str) -> Translation:
        """What was typed of the second letter."""
        typed = {name: (field.data or "").replace("\r\n", "\n").strip() for name, field in self.seconds.items()}
        return Translation(language, *(typed.get(name, "") for name in WORDS))
