"""The form of the preference page."""

from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from flask_wtf import FlaskForm
from wtforms import BooleanField, SelectField
from wtforms.fields.choices import SelectChoice

from courseapp.contacts.consent import WORDING
from courseapp.contacts.models import Purpose
from courseapp.contacts.pace import PACES


class PreferencesForm(FlaskForm):
    """Which mails a contact wants."""

    course_mail = BooleanField(WORDING[Purpose.COURSE][1])
    marketing = BooleanField(WORDING[Purpose.MARKETING][1])
    pace = SelectField(_l("How many mails about further courses, at most"), default="", validate_choice=True)

    def offer(self, most: int) -> None:
        """What there is to choose from, where the site sends so many a week at most."""
        as_they_come = ngettext("Up to %(num)d a week", "Up to %(num)d a week", most)
        self.pace.choices = [SelectChoice("", as_they_come), *(SelectChoice(str(days), PACE_WORDS[days]) for days in PACES)]


PACE_WORDS = {7: _l("One in 7 days"), 30: _l("One in 30 days")}
PURPOSE_WORDS = {
    Purpose.COURSE: _l("the short mails that go with your course"),
    Purpose.MARKETING: _l("mails about further courses"),
}
