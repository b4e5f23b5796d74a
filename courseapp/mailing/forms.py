"""The form of the preference page."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField

from courseapp.contacts.consent import WORDING
from courseapp.contacts.models import Purpose


class PreferencesForm(FlaskForm):
    """Which mails a contact wants."""

    course_mail = BooleanField(WORDING[Purpose.COURSE][1])
    marketing = BooleanField(WORDING[Purpose.MARKETING][1])


PURPOSE_WORDS = {
    Purpose.COURSE: _l("the short mails that go with your course"),
    Purpose.MARKETING: _l("mails about further courses"),
}
