"""The form in which a clinician's review is noted."""

from datetime import date, timedelta

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import DateField, HiddenField, StringField
from wtforms.validators import DataRequired, Length, Optional, Regexp

from courseapp.authoring.reviews import Review
from courseapp.catalog.models import Revision

YEARS_AHEAD = 10
ON_ONE_LINE = Regexp(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z", message=_l("Please leave out line breaks and control characters."))
NEEDS_NAME = _l("Please type the name of the clinician who read it.")
NEEDS_DAY = _l("Please give the day as it stands in the calendar.")


class ReviewForm(FlaskForm):
    """Who read a lesson, in what capacity, when, and when it is to be read again; `base` says which text was shown."""

    base = HiddenField()
    by = StringField(_l("Who reviewed it"), [DataRequired(NEEDS_NAME), Length(max=200), ON_ONE_LINE], render_kw={"maxlength": "200"})
    role = StringField(_l("Their profession or role"), [Optional(), Length(max=200), ON_ONE_LINE], render_kw={"maxlength": "200"})
    on = DateField(_l("When they read it"), [DataRequired(NEEDS_DAY)])
    due = DateField(_l("When it is to be reviewed again"), [Optional()])

    def show(self, revision: Revision, stamp: str, today: date) -> None:
        """Begin from the last review; a year is the usual time until the next."""
        self.base.data = stamp
        self.by.data, self.role.data = revision.reviewed_by, revision.reviewer_role
        self.on.data, self.due.data = today, today + timedelta(days=365)

    def validate_for(self, today: date) -> bool:
        """Whether it can be noted; what cannot is said at its field."""
        is_fine = bool(self.validate())
        if self.on.data and self.on.data > today + timedelta(days=1):  # a reviewer east of here may be a day ahead
            self.on.errors = [_("This day has not come yet.")]
            is_fine = False
        if self.on.data and self.due.data and not self.on.data < self.due.data <= self.on.data + timedelta(days=366 * YEARS_AHEAD):
            self.due.errors = [_("This day must come after the review, and within ten years.")]
            is_fine = False
        return is_fine

    def review(self) -> Review:
        """What was typed."""
        return Review((self.by.data or "").strip(), (self.role.data or "").strip(), self.on.data or date.min, self.due.data)
