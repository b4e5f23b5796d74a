"""The forms of setting up, of the site's settings, and of inviting people."""

from typing import Any
from zoneinfo import available_timezones

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from flask_wtf.file import FileField, FileRequired
from wtforms import BooleanField, EmailField, Field, SelectField, StringField, TextAreaField
from wtforms.validators import DataRequired, Length, Optional, Regexp, ValidationError

from courseapp.accounts.models import Role
from courseapp.contacts.address import clean_address
from courseapp.errors import Refusal
from courseapp.organisation.contrast import DARK, LIGHT, Ground, clean_colour, why_unreadable
from courseapp.organisation.history import FIELD_WORDS
from courseapp.organisation.legal import problems_of

# Neither may hold private-use characters: mails mark their fields with them, and readers see empty boxes.
ON_ONE_LINE = Regexp(
    r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ue000-\uf8ff]*\Z", message=_l("Please leave out line breaks and control characters.")
)
NO_CONTROLS = Regexp(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ue000-\uf8ff]*\Z", message=_l("Please leave out control characters."))
ADDRESS = {"autocomplete": "email", "autocapitalize": "none", "spellcheck": "false", "maxlength": "254"}
NEEDS_ADDRESS = _l("Please type an e-mail address.")
ROLE_WORDS = {
    Role.OWNER: _l("Owner: everything, these settings and other people's roles among it"),
    Role.INSTRUCTOR: _l("Instructor: courses and their lessons"),
    Role.MARKETER: _l("Marketer: mails to those who asked for them"),
}
ROLE_ENDS = {
    Role.OWNER: _l("From now on these settings, support and other people's roles are closed to them."),
    Role.INSTRUCTOR: _l("From now on they can change no course. What they made stays."),
    Role.MARKETER: _l("From now on they can write no mails. What they wrote stays."),
}


def is_address(_form: FlaskForm, field: Field) -> None:
    """A validator: the field holds an e-mail address, or nothing."""
    if not field.data:
        return
    try:
        field.data = clean_address(field.data)
    except Refusal as refusal:
        raise ValidationError(refusal.words) from refusal


class SetUpForm(FlaskForm):
    """The first owner's address, and what else they are to be."""

    address = EmailField(_l("Your e-mail address"), [DataRequired(NEEDS_ADDRESS), Length(max=254), is_address], render_kw=ADDRESS)
    instructor = BooleanField(_l("I also look after courses"))
    marketer = BooleanField(_l("I also write mails to those who asked for them"))

    def roles(self) -> list[Role]:
        """Owner, and what was ticked."""
        return [Role.OWNER, *(role for role in (Role.INSTRUCTOR, Role.MARKETER) if self[role.value].data)]


class InvitationForm(FlaskForm):
    """Whom to invite, and as what."""

    address = EmailField(_l("Their e-mail address"), [DataRequired(NEEDS_ADDRESS), Length(max=254), is_address], render_kw=ADDRESS)
    instructor = BooleanField(ROLE_WORDS[Role.INSTRUCTOR])
    marketer = BooleanField(ROLE_WORDS[Role.MARKETER])
    owner = BooleanField(ROLE_WORDS[Role.OWNER])

    def roles(self) -> list[Role]:
        """What was ticked."""
        return [role for role in Role if self[role.value].data]


class NamesForm(FlaskForm):
    """What the site and its mail are called."""

    public_name = StringField(FIELD_WORDS["public_name"], [Optional(), Length(max=80), ON_ONE_LINE])
    site_name = StringField(FIELD_WORDS["site_name"], [Optional(), Length(max=80), ON_ONE_LINE])
    sender_name = StringField(FIELD_WORDS["sender_name"], [Optional(), Length(max=80), ON_ONE_LINE])
    postal_address = StringField(FIELD_WORDS["postal_address"], [Optional(), Length(max=300), ON_ONE_LINE])
    support_address = EmailField(FIELD_WORDS["support_address"], [Optional(), Length(max=254), is_address], render_kw=ADDRESS)


class HelpForm(FlaskForm):
    """What to do in an emergency, where the site's people live."""

    emergency_words = TextAreaField(FIELD_WORDS["emergency_words"], [Optional(), Length(max=1000), NO_CONTROLS], render_kw={"rows": "3"})
    crisis_words = TextAreaField(FIELD_WORDS["crisis_words"], [Optional(), Length(max=1000), NO_CONTROLS], render_kw={"rows": "3"})


class PeopleForm(FlaskForm):
    """Who may take part, and what is assumed of those who have not said."""

    minimum_age = StringField(
        FIELD_WORDS["minimum_age"],
        [Optional(), Regexp(r"[1-9][0-9]?\Z", message=_l("Please type a number from 1 to 99."))],
        render_kw={"inputmode": "numeric", "maxlength": "2"},
    )
    default_zone = SelectField(
        FIELD_WORDS["default_zone"], choices=sorted(name for name in available_timezones() if "/" in name or name == "UTC")
    )
    default_language = SelectField(FIELD_WORDS["default_language"])


class MailForm(FlaskForm):
    """How much marketing one person gets, and whether it is counted how often links are followed."""

    marketing_per_week = StringField(
        FIELD_WORDS["marketing_per_week"],
        [Optional(), Regexp(r"([1-9]|1[0-9]|20)\Z", message=_l("Please type a number from 1 to 20."))],
        render_kw={"inputmode": "numeric", "maxlength": "2"},
    )
    counts_clicks = BooleanField(FIELD_WORDS["counts_clicks"])


class ColourForm(FlaskForm):
    """The accent of links and buttons, for the light and the dark look."""

    accent_light = StringField(FIELD_WORDS["accent_light"], [Optional(), Length(max=20)], render_kw={"placeholder": "#005e5e"})
    accent_dark = StringField(FIELD_WORDS["accent_dark"], [Optional(), Length(max=20)], render_kw={"placeholder": "#76c8c7"})

    def validate_accent_light(self, field: Field) -> None:
        """Read well on light pages."""
        _check_colour(field, LIGHT)

    def validate_accent_dark(self, field: Field) -> None:
        """Read well on dark pages."""
        _check_colour(field, DARK)


class LegalForm(FlaskForm):
    """One of the legal pages; empty for none."""

    text = TextAreaField(_l("Text, in Markdown"), [Optional(), Length(max=60_000), NO_CONTROLS], render_kw={"rows": "26"})

    def validate_text(self, field: Field) -> None:
        """No gaps, no links that would not work."""
        if problems := problems_of(field.data):
            raise ValidationError(" ".join(problems))


class LogoForm(FlaskForm):
    """A picture."""

    picture = FileField(
        _l("SVG or PNG, at most 300 KB"),
        [FileRequired(_l("Please choose a file."))],
        render_kw={"accept": ".svg,.png,image/svg+xml,image/png"},
    )


def _check_colour(field: Any, ground: Ground) -> None:
    colour = clean_colour(field.data)
    if colour is None:
        raise ValidationError(_("Please write it as six digits or letters a to f, such as #005e5e."))
    if why := why_unreadable(colour, ground):
        raise ValidationError(why)
    field.data = colour
