"""The forms of tiers, plans and prices."""

from collections.abc import Iterable

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, IntegerField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice
from wtforms.validators import DataRequired, InputRequired, Length, NumberRange, Optional, Regexp, ValidationError
from wtforms.widgets import TextInput

from courseapp.billing.amounts import minor_of, typed_amount
from courseapp.billing.models import Interval, Price
from courseapp.billing.plans import INTERVAL_WORDS, LONGEST_TRIAL
from courseapp.billing.tiers import TierFacts, TierOnOffer
from courseapp.errors import Refusal

ON_ONE_LINE = Regexp(
    r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ue000-\uf8ff]*\Z", message=_l("Please leave out line breaks and control characters.")
)
NO_CONTROLS = Regexp(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ue000-\uf8ff]*\Z", message=_l("Please leave out control characters."))
MOST_FEATURES = 12
LAST_POSITION = 999


def tidied(typed: str | None) -> str:
    """Without spaces around it."""
    return (typed or "").strip()


class NumberField(IntegerField):
    """A whole number; what is none stays in the field (one of the type “number” would send nothing of it), and its validators say so."""

    widget = TextInput()

    def process_formdata(self, valuelist: list[str]) -> None:
        typed = valuelist[0].strip() if valuelist else ""
        self.data = int(typed) if typed.isascii() and typed.isdecimal() and len(typed) < 6 else None


class TierForm(FlaskForm):
    """What a tier is called and says. What it opens is ticked beside it, by `courses` and `modules`."""

    name = StringField(_l("Name"), [DataRequired(_l("Please write what it is called.")), Length(max=80), ON_ONE_LINE], filters=[tidied])
    neutral_name = StringField(
        _l("Neutral name"),
        [DataRequired(_l("Please write a name that others may read.")), Length(max=80), ON_ONE_LINE],
        filters=[tidied],
    )
    summary = TextAreaField(
        _l("Summary"),
        [DataRequired(_l("Please say in a sentence or two what people get.")), Length(max=1000), NO_CONTROLS],
        filters=[tidied],
        render_kw={"rows": "3"},
    )
    features = TextAreaField(_l("What comes with it, one a line"), [Optional(), Length(max=2000), NO_CONTROLS], render_kw={"rows": "4"})
    position = NumberField(
        _l("Place in the order"),
        [InputRequired(_l("Please write a number.")), NumberRange(0, LAST_POSITION, _l("Please write a number from 0 to 999."))],
        render_kw={"inputmode": "numeric", "maxlength": "3"},
        default=0,
    )
    is_sensitive = BooleanField(_l("Sensitive: nobody is chosen for a mail because they hold this tier"))

    def validate_features(self, field: TextAreaField) -> None:
        """Not more lines than a pricing page can show."""
        if len(self.lines()) > MOST_FEATURES:
            raise ValidationError(_("Please write at most %(most)s lines.", most=MOST_FEATURES))

    def lines(self) -> tuple[str, ...]:
        """The feature lines."""
        return tuple(line for typed in (self.features.data or "").splitlines() if (line := typed.strip()))

    def facts(self, courses: Iterable[int], modules: Iterable[int]) -> TierFacts:
        """What was typed, with what was ticked."""
        return TierFacts(
            self.name.data or "",
            self.neutral_name.data or "",
            (self.summary.data or "").replace("\r\n", "\n"),
            self.lines(),
            frozenset(courses),
            frozenset(modules),
            self.position.data or 0,
            bool(self.is_sensitive.data),
        )


def form_of(found: TierOnOffer) -> TierForm:
    """The form as a tier fills it."""
    tier = found.tier
    facts = {"name": tier.name, "neutral_name": tier.neutral_name, "summary": tier.summary, "position": tier.position}
    return TierForm(formdata=None, data={**facts, "features": "\n".join(tier.features), "is_sensitive": tier.sensitive_at is not None})


class IntervalForm(FlaskForm):
    """How a new plan is paid."""

    interval = SelectField(
        _l("A way of paying"), choices=[SelectChoice(interval.value, words) for interval, words in INTERVAL_WORDS.items()]
    )

    def chosen(self) -> Interval:
        """The interval."""
        return Interval(self.interval.data)


class TrialForm(FlaskForm):
    """How many days a subscription begins with that cost nothing."""

    trial_days = NumberField(
        _l("Days that cost nothing at the beginning"),
        [
            InputRequired(_l("Please write a number of days; 0 for none.")),
            NumberRange(0, LONGEST_TRIAL, _l("Please write a number of days from 0 to 730.")),
        ],
        render_kw={"inputmode": "numeric", "maxlength": "3"},
    )


class PricesForm(FlaskForm):
    """What a plan costs; a field for each currency is added by `prices_form`."""

    def amounts(self) -> dict[str, int | None] | None:
        """What was typed for each currency, None where it is empty; no dictionary where some of it is no amount, which the field says."""
        found = dict[str, int | None]()
        for field in self:
            if field.short_name.startswith("price_"):
                currency, typed = field.short_name.removeprefix("price_"), tidied(field.data)
                try:
                    found[currency] = minor_of(typed, currency) if typed else None
                except Refusal as refusal:
                    field.errors = [refusal.words]
        return None if self.errors else found


def prices_form(currencies: Iterable[str], prices: dict[str, Price], *, is_sent: bool) -> PricesForm:
    """The form for these currencies, as it was sent, or as a plan's prices fill it."""
    names = {
        f"price_{currency}": StringField(currency.upper(), render_kw={"inputmode": "decimal", "maxlength": "20"}) for currency in currencies
    }
    kind: type[PricesForm] = type("PricesOfPlan", (PricesForm,), names)
    if is_sent:
        return kind()
    return kind(formdata=None, data={f"price_{currency}": typed_amount(row.amount, currency) for currency, row in prices.items()})
