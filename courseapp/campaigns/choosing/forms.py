"""The name of a segment; its tree is read by `segment_drafts.py`."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import StringField
from wtforms.validators import DataRequired, Length, Regexp


class NameForm(FlaskForm):
    """What a segment is called among staff."""

    name = StringField(
        _l("Name"),
        [
            DataRequired(_l("Please give it a name.")),
            Length(max=120, message=_l("Please use 120 letters at the most.")),
            Regexp(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", message=_l("Please leave out line breaks and control characters.")),
        ],
        filters=[lambda typed: (typed or "").strip()],
        render_kw={"maxlength": "120"},
    )
