"""The forms of broadcasts: what is written, and when it is sent."""

from collections.abc import Iterable, Mapping

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, SelectField, StringField, TextAreaField, TimeField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, Length, Optional, Regexp

from courseapp.campaigns.broadcasts import Draft
from courseapp.campaigns.models import Broadcast, Segment
from courseapp.contacts.models import Purpose
from courseapp.contacts.windows import Window
from courseapp.mailing.text import LONGEST

ON_ONE_LINE = Regexp(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", message=_l("Please leave out line breaks and control characters."))
NEEDS_TITLE = _l("Please give it a name.")
NEEDS_TIME = _l("Please give a time of day, such as 09:00.")
PURPOSES = {
    Purpose.MARKETING.value: _l("Marketing: to those who agreed to hear of further courses"),
    Purpose.COURSE.value: _l("Course mail: to those who asked for mails with their course; nothing may be offered in it"),
}
LONGEST_BODY = 50_000  # letters; Gmail cuts off what weighs twice as much


class BroadcastForm(FlaskForm):
    """What somebody writes of a broadcast. `version` says which state of it was shown."""

    version = HiddenField(default="1")
    title = StringField(_l("Name among staff"), [DataRequired(NEEDS_TITLE), Length(max=120), ON_ONE_LINE], render_kw={"maxlength": "120"})
    purpose = SelectField(_l("Purpose"), choices=[SelectChoice(key, words) for key, words in PURPOSES.items()])
    segment = SelectField(_l("For whom"), validate_choice=False)
    language = SelectField(_l("Language it is written in"))
    subject = StringField(_l("Subject"), [Optional(), Length(max=LONGEST), ON_ONE_LINE], render_kw={"maxlength": str(LONGEST)})
    preheader = StringField(_l("Preheader"), [Optional(), Length(max=LONGEST), ON_ONE_LINE], render_kw={"maxlength": str(LONGEST)})
    body = TextAreaField(_l("Letter"), [Length(max=LONGEST_BODY)], render_kw={"rows": "16"})
    window_start = TimeField(_l("Not before"), [DataRequired(NEEDS_TIME)])
    window_end = TimeField(_l("Not after"), [DataRequired(NEEDS_TIME)])

    def offer(self, segments: Iterable[Segment], languages: Mapping[str, str], *, may_be_course_mail: bool = True) -> None:
        """What there is to choose from."""
        if not may_be_course_mail:
            self.purpose.choices = [SelectChoice(key, words) for key, words in PURPOSES.items() if key != Purpose.COURSE]
        named = [(row.public_id, _("%(name)s (put away)", name=row.name) if row.archived_at else row.name) for row in segments]
        self.segment.choices = [SelectChoice("", _l("Everybody who agreed")), *(SelectChoice(key, words) for key, words in named)]
        self.language.choices = [SelectChoice(tag, words) for tag, words in languages.items()]

    def show(self, broadcast: Broadcast, segment_id: str) -> None:
        """Begin from what is there."""
        for name in ("title", "language", "subject", "preheader", "body", "window_start", "window_end"):
            getattr(self, name).data = getattr(broadcast, name)
        self.purpose.data, self.segment.data, self.version.data = broadcast.purpose.value, segment_id, str(broadcast.version)

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
        )
