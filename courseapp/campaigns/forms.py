"""The forms of marketers' pages."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import SelectField


class TrialForm(FlaskForm):
    """To whom of staff a letter is sent to be tried out."""

    to = SelectField(_l("To"), validate_choice=False)  # whoever has lost the role since is refused in words
