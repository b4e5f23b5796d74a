"""The forms of marketers' pages."""

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import SelectField


class TrialForm(FlaskForm):
    """To whom of staff a letter is sent to be tried out."""

    to = SelectField(_l("To"), validate_choice=False)  # whoever has lost the role since is refused in words


def version_in(form: Mapping[str, str]) -> int:
    """The state of a draft that a form had seen, by its `version`; 0, which none has, for what is no number."""
    typed = form.get("version", "")
    return int(typed) if typed.isascii() and typed.isdecimal() and len(typed) < 10 else 0
