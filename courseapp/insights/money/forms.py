"""From which month to which the list of payments is taken out."""

from collections.abc import Sequence

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import Field, SelectField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import AnyOf, ValidationError

from courseapp.insights.months import Month


class PaymentsForm(FlaskForm):
    """Two months, the first and the last."""

    first = SelectField(_l("From"), validate_choice=False)
    last = SelectField(_l("Until the end of"), validate_choice=False)

    def offer(self, months: Sequence[Month]) -> "PaymentsForm":
        """Have these months to choose from, the latest first."""
        self.first.choices = self.last.choices = [SelectChoice(str(month), month.words) for month in reversed(months)]
        known = AnyOf([str(month) for month in months], message=_("Please choose one of the months in the list."))
        self.first.validators = self.last.validators = (known,)
        return self

    def validate_last(self, last: Field) -> None:
        """Does not come before the first; as text they have the order of the months."""
        if last.data and self.first.data and last.data < self.first.data:
            raise ValidationError(_("This month comes before the first. Please choose the same one or a later one."))

    @property
    def chosen(self) -> tuple[Month, Month]:
        """What was chosen, once it is valid."""
        first, last = (Month(*map(int, field.data.split("-"))) for field in (self.first, self.last))
        return first, last
