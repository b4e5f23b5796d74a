"""The start form."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, EmailField
from wtforms.validators import Length, Optional

from courseapp.contacts.consent import WORDING
from courseapp.contacts.models import Purpose

ADDRESS = {"autocomplete": "email", "autocapitalize": "none", "spellcheck": "false", "maxlength": "254"}


class ClaimForm(FlaskForm):
    """A guest's address, to keep the course by; accounts takes it in."""

    address = EmailField(_l("Your e-mail address"), [Length(max=254)], render_kw=ADDRESS)


class StartForm(FlaskForm):
    """Start the course: an address if one likes, and one unticked box for each purpose."""

    address = EmailField(_l("Your e-mail address"), [Optional(), Length(max=254)], render_kw=ADDRESS)
    course_mail = BooleanField(WORDING[Purpose.COURSE][1])
    marketing = BooleanField(WORDING[Purpose.MARKETING][1])

    def purposes(self) -> tuple[Purpose, ...]:
        """What was ticked."""
        ticked = ((Purpose.COURSE, self.course_mail.data), (Purpose.MARKETING, self.marketing.data))
        return tuple(purpose for purpose, wanted in ticked if wanted)

    class Meta:
        """Read by WTForms."""

        csrf = False  # its token is looked at before any page is asked (extensions.py); a second one would cost time alone
