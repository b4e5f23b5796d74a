"""What comparing with Stripe may find: each kind in words, what to do about it, and what brings it in line."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

MOST = 500
"""So many findings a report keeps; of more it says how many."""


@dataclass(frozen=True)
class FindingKind:
    """A kind of finding.

    Attributes:
        refresh: the ids by which one is brought in line, the first that it has; none where nothing can be done from here.
    """

    title: LazyString
    words: LazyString
    advice: LazyString
    refresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One difference. `ids` are Stripe's, `facts` fill the words, `takes_access`: bringing it in line may close something to somebody."""

    kind: str
    ids: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    takes_access: bool = False
    is_mended: bool = False

    @property
    def refresh(self) -> tuple[str, str] | None:
        """What brings it in line: a kind of thing at Stripe, and its id."""
        return next(((name, self.ids[name]) for name in FINDING_KINDS[self.kind].refresh if name in self.ids), None)

    @property
    def is_missing(self) -> bool:
        """Whether something is only missing here, so that it may be brought in line by itself."""
        return self.refresh is not None and not self.takes_access

    def as_row(self) -> dict[str, Any]:
        """As a report keeps it."""
        return asdict(self)


def finding_of(row: Mapping[str, Any]) -> Finding:
    """A finding that a report has kept."""
    return Finding(**row)


_ASK_STRIPE = _l("Look at it at Stripe. If Stripe is right, bring it in line here; that may close something to somebody.")
_BY_ITSELF = _l("It is brought in line by itself each night, or now by the button.")
FINDING_KINDS: dict[str, FindingKind] = {
    "wrong_key": FindingKind(
        _l("The key"),
        _l("This looks like the wrong key: nothing of what is here is known at Stripe."),
        _l("Nothing was changed. See that STRIPE_SECRET_KEY is of the account that has sold so far, and of the same mode (live or test)."),
    ),
    "key_refused": FindingKind(
        _l("The key"),
        _l("Stripe refused the key."),
        _l("Nothing more was compared. See that STRIPE_SECRET_KEY is right, and may read all that is compared."),
    ),
    "stripe_away": FindingKind(
        _l("Stripe"),
        _l("Stripe did not answer as it should, and the comparison broke off (%(said)s)."),
        _l("Compare again later. What was found until then stands here."),
    ),
    "subscription_unknown": FindingKind(
        _l("Subscriptions that are missing here"),
        _l("Somebody has a subscription at Stripe (%(theirs)s) that is not known here."),
        _BY_ITSELF,
        ("subscription",),
    ),
    "subscription_differs": FindingKind(
        _l("Subscriptions that stand otherwise"),
        _l("A subscription stands otherwise at Stripe: %(what)s."),
        _l("What opens something is brought in line by itself. Where it would close something, that is for you to decide."),
        ("subscription",),
    ),
    "subscription_gone": FindingKind(
        _l("Subscriptions that Stripe does not list"),
        _l("A subscription that is open here (%(ours)s) is not in Stripe’s list."),
        _l("See that the key is of the right account and mode. If it is, ask Stripe what has become of the subscription."),
    ),
    "access_missing": FindingKind(
        _l("Paid, and not open"),
        _l("Somebody has paid, and what they paid for is not open to them."),
        _BY_ITSELF,
        ("subscription", "payment"),
    ),
    "no_owner": FindingKind(
        _l("Subscriptions of nobody"),
        _l("Somebody pays for a subscription (%(theirs)s), and it is not known who."),
        _l("Look at the customer at Stripe. If nobody here is meant, end the subscription there."),
    ),
    "unknown_price": FindingKind(
        _l("Unknown prices"),
        _l("A subscription has a price that is none of ours (%(price)s). Its tier stays as it was."),
        _l("Choose one of our prices for it at Stripe, or end it there."),
    ),
    "unknown_status": FindingKind(
        _l("Unknown statuses"),
        _l("A subscription has a status that this version does not know (%(theirs)s). What it opened stays open."),
        _l("Update this application; then compare again."),
    ),
    "checkout_unfulfilled": FindingKind(
        _l("Paid, and not handed out"), _l("Somebody paid for a checkout, and has not got what they paid for."), _BY_ITSELF, ("checkout",)
    ),
    "checkout_unknown": FindingKind(
        _l("Unknown checkouts"),
        _l("Somebody paid for a checkout that is not known here."),
        _l("If it is of this site (a backup was restored, say), give the person their tier and keep this in mind for refunds."),
    ),
    "checkout_unpaid": FindingKind(
        _l("Handed out, and not paid"), _l("A checkout was fulfilled here, and Stripe says that it is not paid."), _ASK_STRIPE
    ),
    "payment_unknown": FindingKind(
        _l("Payments that are missing here"), _l("A paid invoice is not in the list of payments."), _BY_ITSELF, ("invoice",)
    ),
    "refund_unknown": FindingKind(
        _l("Refunds that are missing here"), _l("Money went back, and that is not known here."), _ASK_STRIPE, ("payment",)
    ),
    "dispute_unknown": FindingKind(_l("Disputes"), _l("A dispute stands otherwise at Stripe (%(theirs)s)."), _ASK_STRIPE, ("payment",)),
    "access_loose": FindingKind(
        _l("Open, and not paid"),
        _l("Somebody holds a tier, and nothing that was paid carries it."),
        _l("Look at it at Stripe, if there is anything to look at. Bringing it in line may close something to somebody."),
        ("subscription", "checkout"),
    ),
    "second_customer": FindingKind(
        _l("People who subscribe twice"),
        _l("One person subscribes as %(count)s customers at Stripe."),
        _l("They pay more than once. Ask them which they want, and end the others at Stripe."),
    ),
    "more": FindingKind(_l("More"), _l("And %(count)s more that were not kept."), _l("Mend these first, then compare again.")),
}
FIELD_WORDS: dict[str, LazyString] = {
    "status": _l("its status"),
    "price": _l("its price"),
    "period": _l("the end of its period"),
    "cancel": _l("whether and when it ends"),
}
"""What may differ about a subscription."""


def words_of_finding(finding: Finding) -> str:
    """What was found, in words."""
    named = finding.facts.get("what")
    facts = {**finding.facts, **({"what": ", ".join(str(FIELD_WORDS[name]) for name in named)} if named else {})}
    return str(FINDING_KINDS[finding.kind].words) % facts
