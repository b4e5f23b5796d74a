"""The forms of gifts: whom to give what, why and until when; until when instead; why it is taken back."""

from collections.abc import Sequence

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import DateField, EmailField, SelectField, StringField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import AnyOf, DataRequired, Length, Optional

from courseapp.billing.models import Tier

ADDRESS = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", "maxlength": "254"}
NO_DATE = _l("Please write a date as 2027-01-31, or leave it empty for no end.")


class UntilField(DateField):
    """A day, or none, with words of ours for what is no day."""

    def process_formdata(self, valuelist: list[str]) -> None:
        """As in the browser's field."""
        if not valuelist or not valuelist[0].strip():
            self.data = None
            return
        try:
            super().process_formdata([valuelist[0].strip()])
        except ValueError as error:
            raise ValueError(NO_DATE) from error


def _readable(typed: str | None) -> str:
    """What was typed, without what no keyboard types and no page or database takes."""
    return "".join(sign for sign in typed or "" if sign.isprintable() and not "\ue000" <= sign <= "\uf8ff").strip()


def _why(missing: object) -> StringField:
    checks = [DataRequired(missing), Length(max=200, message=_l("Please keep it under 200 characters."))]
    return StringField(_l("Why"), checks, filters=[_readable], render_kw={"maxlength": "200"})


class GiftForm(FlaskForm):
    """A gift."""

    address = EmailField(
        _l("Their e-mail address"), [DataRequired(_l("Please type an e-mail address.")), Length(max=254)], [_readable], render_kw=ADDRESS
    )
    tier = SelectField(_l("What"), validate_choice=False)
    until = UntilField(_l("Until the end of"), [Optional()])
    reason = _why(_l("Please write down why it is given."))

    def offer(self, tiers: Sequence[Tier]) -> "GiftForm":
        """Have these tiers to choose from."""
        self.tier.choices = [SelectChoice(tier.public_id, tier.name) for tier in tiers]
        self.tier.validators = (AnyOf([tier.public_id for tier in tiers], message=_("Please choose one of the tiers in the list.")),)
        return self


class UntilForm(FlaskForm):
    """Until when instead."""

    until = UntilField(_l("Until the end of"), [Optional()])


class WithdrawalForm(FlaskForm):
    """Why it is taken back."""

    reason = _why(_l("Please write down why it is taken back. Whoever holds it reads that."))
