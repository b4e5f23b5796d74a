"""The forms of signing in and of the account page."""

from zoneinfo import available_timezones

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import EmailField, PasswordField, SelectField, StringField
from wtforms.validators import DataRequired, Length, Optional, Regexp

NEEDS_ADDRESS = _l("Please type your e-mail address.")
ON_ONE_LINE = Regexp(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", message=_l("Please leave out line breaks and control characters."))
ADDRESS = {"autocomplete": "email", "autocapitalize": "none", "spellcheck": "false", "maxlength": "254"}


class SignInForm(FlaskForm):
    """An address to which a link is mailed."""

    address = EmailField(_l("Your e-mail address"), [DataRequired(NEEDS_ADDRESS), Length(max=254)], render_kw=ADDRESS)


class PasswordSignInForm(FlaskForm):
    """An address and its password."""

    address = EmailField(
        _l("Your e-mail address"), [DataRequired(NEEDS_ADDRESS), Length(max=254)], render_kw={**ADDRESS, "autocomplete": "username"}
    )
    password = PasswordField(
        _l("Your password"), [DataRequired(_l("Please type your password."))], render_kw={"autocomplete": "current-password"}
    )


class CodeForm(FlaskForm):
    """The six digits from the mail."""

    code = StringField(
        _l("The six digits from the mail"),
        [DataRequired(_l("Please type the six digits from the mail.")), Length(max=20)],
        render_kw={"inputmode": "numeric", "autocomplete": "one-time-code", "maxlength": "12"},
    )


class NameForm(FlaskForm):
    """What to call a person."""

    name = StringField(_l("What may we call you?"), [Optional(), Length(max=80), ON_ONE_LINE], render_kw={"autocomplete": "given-name"})


class PasswordForm(FlaskForm):
    """A new password, and the present one where there is one."""

    current = PasswordField(_l("Your present password"), [Optional()], render_kw={"autocomplete": "current-password"})
    new = PasswordField(_l("A new password"), [DataRequired(_l("Please type a new password."))], render_kw={"autocomplete": "new-password"})


class AddressForm(FlaskForm):
    """A new address, and the password where one is set."""

    new_address = EmailField(_l("Your new e-mail address"), [DataRequired(NEEDS_ADDRESS), Length(max=254)], render_kw=ADDRESS)
    password = PasswordField(_l("Your password"), [Optional()], render_kw={"autocomplete": "current-password"})


class ZoneForm(FlaskForm):
    """A person's time zone (IANA)."""

    zone = SelectField(_l("Your time zone"), choices=sorted(name for name in available_timezones() if "/" in name or name == "UTC"))
