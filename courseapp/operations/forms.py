"""The forms of asking, and of support."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, EmailField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, Length, Optional, Regexp

from courseapp.operations.models import QuestionKind
from courseapp.operations.questions import KIND_WORDS

LONGEST = 4000
ADDRESS = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", "maxlength": "254"}
NEEDS_ADDRESS = _l("Please type an e-mail address.")
ON_ONE_LINE = Regexp(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", message=_l("Please leave out line breaks and control characters."))


def _readable(text: str | None) -> str:
    """What was typed, without what no keyboard types and PostgreSQL or a mail would refuse."""
    kept = (sign for sign in (text or "").replace("\r\n", "\n") if sign in "\n\t" or (ord(sign) >= 32 and not "\ue000" <= sign <= "\uf8ff"))
    return "".join(kept).encode("utf-8", "replace").decode().strip()


class ReportForm(FlaskForm):
    """What is wrong in a lesson."""

    text = TextAreaField(
        _l("What is wrong?"),
        [DataRequired(_l("Please write what is wrong.")), Length(max=LONGEST, message=_l("Please keep it under 4,000 characters."))],
        filters=[_readable],
        render_kw={"rows": "6", "maxlength": str(LONGEST)},
    )


class AskForm(FlaskForm):
    """A question of one of a few kinds."""

    kind = SelectField(
        _l("What is it about?"),
        choices=[SelectChoice(kind.value, words) for kind, words in KIND_WORDS.items() if kind is not QuestionKind.LESSON],
        default=QuestionKind.OTHER.value,
    )
    text = TextAreaField(
        _l("Your question"),
        [DataRequired(_l("Please write your question.")), Length(max=LONGEST, message=_l("Please keep it under 4,000 characters."))],
        filters=[_readable],
        render_kw={"rows": "8", "maxlength": str(LONGEST)},
    )
    address = EmailField(
        _l("Your e-mail address, if you want an answer"), [Optional(), Length(max=254)], render_kw={**ADDRESS, "autocomplete": "email"}
    )


class FindForm(FlaskForm):
    """An address, whole."""

    address = EmailField(_l("The whole e-mail address"), [DataRequired(NEEDS_ADDRESS), Length(max=254)], render_kw=ADDRESS)


class MoveForm(FlaskForm):
    """Another address for a learner, and why the old one is not asked."""

    new_address = EmailField(_l("The new e-mail address"), [DataRequired(NEEDS_ADDRESS), Length(max=254)], render_kw=ADDRESS)
    old_is_lost = BooleanField(_l("They can no longer read mail to the old address"))
    reason = StringField(_l("The reason they gave"), [Length(max=200), ON_ONE_LINE], render_kw={"autocomplete": "off", "maxlength": "200"})


class LiftForm(FlaskForm):
    """Why mail goes again to somebody who complained."""

    reason = StringField(
        _l("What they asked for, and when"), [Length(max=200), ON_ONE_LINE], render_kw={"autocomplete": "off", "maxlength": "200"}
    )


class EraseForm(FlaskForm):
    """The address once more, typed."""

    address = EmailField(_l("Type the e-mail address once more"), [DataRequired(NEEDS_ADDRESS), Length(max=254)], render_kw=ADDRESS)
