"""The forms of contacts: a file, what its columns are, whom to take out, and what a form for another site asks."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from flask_wtf.file import FileField, FileRequired
from wtforms import BooleanField, EmailField, HiddenField, RadioField, SelectField, SelectMultipleField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, Length, Regexp
from wtforms.widgets import CheckboxInput, ListWidget

from courseapp.contacts.consent import WORDING
from courseapp.contacts.models import Purpose

ON_ONE_LINE = Regexp(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", message=_l("Please leave out line breaks and control characters."))
ADDRESS = {"autocomplete": "email", "autocapitalize": "none", "spellcheck": "false", "maxlength": "254"}
ASKED, ELSEWHERE = "ask", "elsewhere"


class FileForm(FlaskForm):
    """A file of contacts."""

    file = FileField(_l("File"), [FileRequired(_l("Please choose a file."))], render_kw={"accept": ".csv,.txt,.tsv,text/csv"})


class ColumnsForm(FlaskForm):
    """Where the people of a file agreed. What stands in its columns is asked beside it, a choice for each (`column-N`)."""

    columns = HiddenField(_l("Columns"))
    language = SelectField(_l("Language of those of whom the file says none"))
    source = StringField(
        _l("Where and how they agreed"),
        [DataRequired(_l("Please say where and how they agreed. It stands in the log of each of them.")), Length(max=200), ON_ONE_LINE],
        render_kw={"maxlength": "200"},
    )
    way = RadioField(
        _l("Have they confirmed their address?"),
        choices=[
            SelectChoice(ASKED, _l("Ask each of them once, by mail")),
            SelectChoice(ELSEWHERE, _l("They did so where they agreed, by a link in a mail, and I can prove it")),
        ],
        default=ASKED,
    )
    stated = BooleanField(
        _l("All of them agreed to get these mails from us, and I can prove it."),
        [DataRequired(_l("Without this nobody may be written to. Please tick it only if it is so."))],
    )


class ExportForm(FlaskForm):
    """Whom to take out."""

    segment = SelectField(_l("Whom"), validate_choice=False)


class SnippetForm(FlaskForm):
    """What a form for another site asks; it changes nothing, so it comes by the address."""

    class Meta:
        csrf = False

    purpose = SelectMultipleField(
        _l("What people can ask for"),
        choices=[SelectChoice(purpose.value, words) for purpose, (_version, words) in WORDING.items()],
        default=[Purpose.MARKETING.value],
        widget=ListWidget(prefix_label=False),
        option_widget=CheckboxInput(),
    )
    language = SelectField(_l("Language"))
    source = StringField(
        _l("A word for where it stands"),
        [
            DataRequired(_l("Please give it a word, such as “blog”.")),
            Regexp(r"[a-z0-9-]{1,24}\Z", message=_l("Please use small letters, digits and hyphens, 24 at the most.")),
        ],
        render_kw={"maxlength": "24"},
    )


class SignUpForm(FlaskForm):
    """An address, and what it wants to get. It comes from other sites, where nobody can have a token of ours."""

    class Meta:
        csrf = False

    address = EmailField(
        _l("Your e-mail address"), [DataRequired(_l("Please type your e-mail address.")), Length(max=254)], render_kw=ADDRESS
    )
