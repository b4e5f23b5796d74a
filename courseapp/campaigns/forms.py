"""The forms of marketers' pages."""

from collections.abc import Mapping

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import HiddenField, SelectField, StringField, TextAreaField
from wtforms.validators import Length, Optional, Regexp, ValidationError

from courseapp.campaigns.translations import Translation
from courseapp.mailing.text import LONGEST

NO_CONTROLS = Regexp(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*\Z", message=_l("Please leave out control characters."))
ON_ONE_LINE = Regexp(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", message=_l("Please leave out line breaks and control characters."))
LINE = [Optional(), Length(max=LONGEST), ON_ONE_LINE]
LONGEST_BODY = 50_000  # letters; Gmail cuts off what weighs twice as much


class TrialForm(FlaskForm):
    """To whom of staff a letter is sent to be tried out."""

    to = SelectField(_l("To"), validate_choice=False)  # whoever has lost the role since is refused in words


class TranslationForm(FlaskForm):
    """The words of a letter in another language. `version` says which state of the draft was shown."""

    version = HiddenField(default="1")
    subject = StringField(_l("Subject"), LINE, render_kw={"maxlength": str(LONGEST)})
    preheader = StringField(_l("Preheader"), LINE, render_kw={"maxlength": str(LONGEST)})
    body = TextAreaField(_l("Letter"), [Length(max=LONGEST_BODY), NO_CONTROLS], render_kw={"rows": "16"})

    def validate_body(self, field: TextAreaField) -> None:
        """Of a letter that is to be there something is written."""
        if not any((each.data or "").strip() for each in (self.subject, self.preheader, field)):
            raise ValidationError(_("Nothing is written in this language so far. Write some of it, or go back without keeping it."))

    def show(self, translation: Translation) -> None:
        """Begin from what is there."""
        for name in ("subject", "preheader", "body"):
            getattr(self, name).data = getattr(translation, name)

    def translation(self, language: str) -> Translation:
        """What was typed."""
        return Translation(
            language=language,
            subject=(self.subject.data or "").strip(),
            preheader=(self.preheader.data or "").strip(),
            body=(self.body.data or "").replace("\r\n", "\n"),
        )


def version_in(form: Mapping[str, str]) -> int:
    """The state of a draft that a form had seen, by its `version`; 0, which none has, for what is no number."""
    typed = form.get("version", "")
    return int(typed) if typed.isascii() and typed.isdecimal() and len(typed) < 10 else 0
