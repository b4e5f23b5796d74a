"""What differs between our tiers and Stripe's products and prices, as steps with words. `cataloguing/loops.py` takes them.

A price is found by its lookup key, `{plan key}-{currency}`. Where ours was changed, Stripe gets a new price, which takes the key
over, and the old one is switched off: who subscribed at it stays on it. Where the key belongs to another price than the one we
know, that was done in Stripe's dashboard, and ours becomes that one. Nothing is deleted, and what is not known is told, not guessed.
"""

import enum
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa
from flask_babel import gettext as _

from courseapp.billing.amounts import amount_words
from courseapp.billing.models import Interval, Plan, Price, Tier
from courseapp.billing.plans import INTERVAL_WORDS, lookup_key_of
from courseapp.billing.stripe_gateway import Thing, id_of
from courseapp.config import STATEMENT_MAXIMUM
from courseapp.extensions import db

STATEMENT_LEAST = 5  # characters (Stripe, "Statement descriptors")
FORBIDDEN = "<>\\'\"*"


class Doing(enum.StrEnum):
    """What a step does: make or change something at Stripe, note which is ours, take over what was changed there; or only tell."""

    MAKE = "make"
    CHANGE = "change"
    LINK = "link"
    TAKE = "take"
    TELL = "tell"


@dataclass(frozen=True)
class Step:
    """One step. `about` is our row's id: a tier's where `kind` is products, a price's where it is prices.

    Args:
        key: what it is done for; where a step fails, those for the same are left alone.
        stripe_id: what is changed, noted or taken over.
        params: Stripe's parameters; of TAKE, the amount.
    """

    doing: Doing
    kind: str
    about: int
    words: str
    key: str = ""
    stripe_id: str = ""
    params: Thing = field(default_factory=dict)


@dataclass(frozen=True)
class OurTier:
    """A tier, and whether any of it is sold for money."""

    id: int
    key: str
    name: str
    neutral_name: str
    product_id: str | None
    is_sold: bool


@dataclass(frozen=True)
class OurPrice:
    """A price with what is needed of its plan; offered, or only in the books."""

    id: int
    tier_id: int
    plan_key: str
    key: str
    interval: Interval
    currency: str
    amount: int
    stripe_id: str | None
    is_offered: bool
    words: str


@dataclass(frozen=True)
class Ours:
    """All that we sell, read at once, so that no transaction is open while Stripe is asked."""

    tiers: list[OurTier]
    prices: list[OurPrice]
    statement: str


@dataclass(frozen=True)
class Theirs:
    """All products and prices at Stripe."""

    products: dict[str, Thing]
    prices: dict[str, Thing]

    def product_of(self, tier: OurTier) -> Thing | None:
        """The product that we know for a tier, else one that says it is."""
        known = self.products.get(tier.product_id or "")
        return known or next((one for one in self.products.values() if one["metadata"].get("tier") == tier.key), None)

    def holder_of(self, key: str) -> Thing | None:
        """The price that has a lookup key."""
        return next((one for one in self.prices.values() if one["lookup_key"] == key), None)


def what_we_sell(statement: str) -> Ours:
    """Our side of it; what costs nothing never goes to Stripe."""
    query = sa.select(Price, Plan, Tier).join(Plan, Plan.id == Price.plan_id).join(Tier, Tier.id == Plan.tier_id)
    rows = db.session.execute(query.where(Price.amount > 0).order_by(Tier.position, Tier.id, Plan.position, Plan.id, Price.id)).all()
    prices = [
        OurPrice(
            price.id, tier.id, plan.key, lookup_key_of(plan, price.currency), plan.interval, price.currency, price.amount, price.stripe_id,
            price.retired_at is None and plan.archived_at is None and tier.archived_at is None,
            f"{tier.name}, {INTERVAL_WORDS[plan.interval]}, {amount_words(price.amount, price.currency)}",
        )
        for price, plan, tier in rows
    ]  # fmt: skip
    sold = {price.tier_id for price in prices if price.is_offered}
    tiers = [
        OurTier(tier.id, tier.key, tier.name, tier.neutral_name, tier.product_id, tier.id in sold)
        for tier in db.session.scalars(sa.select(Tier).order_by(Tier.position, Tier.id))
    ]
    return Ours(tiers, prices, statement)


def statement_of(words: str, site_name: str) -> str:
    """What stands on card statements: the words that were set, else the site's neutral name, as banks can print it; or nothing."""
    plain = unicodedata.normalize("NFKD", words or site_name).encode("ascii", "ignore").decode()
    fit = "".join(sign for sign in plain if sign.isprintable() and sign not in FORBIDDEN)[:STATEMENT_MAXIMUM].strip()
    return fit if len(fit) >= STATEMENT_LEAST and any(sign.isalpha() for sign in fit) else ""


def steps_between(ours: Ours, theirs: Theirs) -> list[Step]:
    """What is to be done, in the order in which it can be: products, prices, then what is switched off."""
    products = [step for tier in ours.tiers if (step := _product_step(tier, ours.statement, theirs))]
    prices = [step for price in ours.prices if price.is_offered for step in _price_steps(price, ours, theirs)]
    taken = {step.stripe_id for step in prices if step.doing is Doing.TAKE}
    old = [price for price in ours.prices if not price.is_offered and price.stripe_id not in taken]
    away = [_switched_off(price) for price in old if _is_active(price, theirs)]
    return [*products, *prices, *away, *_unknown(ours, theirs)]


# Products


def _product_step(tier: OurTier, statement: str, theirs: Theirs) -> Step | None:
    product = theirs.product_of(tier)
    wanted: Thing = {"name": tier.neutral_name} | ({"statement_descriptor": statement} if statement else {})
    if product is None:
        if not tier.is_sold:
            return None
        words = _("New product for “%(tier)s”, named “%(name)s”", tier=tier.name, name=tier.neutral_name)
        params = {**wanted, "metadata": {"tier": tier.key}}
        return Step(Doing.MAKE, "products", tier.id, words, tier.key, tier.product_id or "", params)
    differs = {name: value for name, value in wanted.items() if product[name] != value}
    if tier.is_sold and not product["active"]:
        differs["active"] = True
    if tier.is_sold and differs:
        words = _("The product of “%(tier)s” is named and described as here: “%(name)s”", tier=tier.name, name=tier.neutral_name)
        return Step(Doing.CHANGE, "products", tier.id, words, tier.key, product["id"], differs)
    if tier.product_id != product["id"]:
        words = _("The product of “%(tier)s” is at Stripe already, and is noted", tier=tier.name)
        return Step(Doing.LINK, "products", tier.id, words, tier.key, product["id"])
    return None


# Prices


def _price_steps(price: OurPrice, ours: Ours, theirs: Theirs) -> Iterator[Step]:
    known, holder = theirs.prices.get(price.stripe_id or ""), theirs.holder_of(price.key)
    tier = next(tier for tier in ours.tiers if tier.id == price.tier_id)
    if known is None:
        yield _new_price(price, tier, ours, holder, theirs)
    elif holder is None or holder["id"] == known["id"] or not holder["active"]:
        if not (known["active"] and holder is not None and holder["id"] == known["id"]):
            words = _("For sale again under its key: %(price)s", price=price.words)
            params = {"active": True, "lookup_key": price.key, "transfer_lookup_key": True}
            yield Step(Doing.CHANGE, "prices", price.id, words, price.key, known["id"], params)
    elif (problem := _unfit(price, tier, holder, theirs)) is not None:
        yield Step(Doing.TELL, "prices", price.id, problem, price.key, holder["id"])
    else:
        amount = holder["unit_amount"]
        facts = {"price": price.words, "amount": amount_words(amount, price.currency)}
        words = _("Changed at Stripe, and so here: %(price)s is %(amount)s now", **facts)
        yield Step(Doing.TAKE, "prices", price.id, words, price.key, holder["id"], {"amount": amount})
        if known["active"]:
            yield _switched_off(price)


def _new_price(price: OurPrice, tier: OurTier, ours: Ours, holder: Thing | None, theirs: Theirs) -> Step:
    """A price that Stripe has not: made, unless just such a one holds the key and is nobody else's."""
    others = {other.stripe_id for other in ours.prices if other.id != price.id}
    is_fit = holder is not None and _unfit(price, tier, holder, theirs) is None
    if holder is not None and holder["active"] and holder["id"] not in others and holder["unit_amount"] == price.amount and is_fit:
        words = _("Is at Stripe already, and is noted: %(price)s", price=price.words)
        return Step(Doing.LINK, "prices", price.id, words, price.key, holder["id"])
    params: Thing = {"currency": price.currency, "unit_amount": price.amount, "lookup_key": price.key, "transfer_lookup_key": True}
    params |= {"metadata": {"plan": price.plan_key}, "tax_behavior": "inclusive"}  # what stands here is what is paid
    if price.interval is not Interval.ONCE:
        params["recurring"] = {"interval": price.interval.value}
    words = _("New price: %(price)s", price=price.words)
    return Step(Doing.MAKE, "prices", price.id, words, price.key, price.stripe_id or "", params)


def _unfit(price: OurPrice, tier: OurTier, holder: Thing, theirs: Theirs) -> str | None:
    """Why a price of Stripe's cannot be this plan's, in words."""
    product, recurring = theirs.product_of(tier), holder["recurring"]
    interval = Interval.ONCE.value if recurring is None else recurring["interval"]
    is_alike = (
        holder["currency"] == price.currency
        and interval == price.interval.value
        and (recurring is None or recurring["interval_count"] == 1)
        and bool(holder["unit_amount"])
        and product is not None
        and id_of(holder["product"]) == product["id"]
    )
    if is_alike:
        return None
    facts = {"id": holder["id"], "key": price.key, "price": price.words}
    return str(
        _(
            "The price %(id)s at Stripe has the key %(key)s, but another currency, interval or product than %(price)s."
            " Nothing was changed: give it another key there.",
            **facts,
        )
    )


def _is_active(price: OurPrice, theirs: Theirs) -> bool:
    known = theirs.prices.get(price.stripe_id or "")
    return known is not None and bool(known["active"])


def _switched_off(price: OurPrice) -> Step:
    words = _("For sale no longer: %(price)s. Who subscribed at it stays on it", price=price.words)
    return Step(Doing.CHANGE, "prices", price.id, words, price.key, price.stripe_id or "", {"active": False})


def _unknown(ours: Ours, theirs: Theirs) -> Iterable[Step]:
    """Prices of our products that are for sale at Stripe, and that no plan of ours has."""
    products = {product["id"]: tier for tier in ours.tiers if (product := theirs.product_of(tier)) is not None}
    known = {price.stripe_id for price in ours.prices}
    keys = {price.key for price in ours.prices if price.is_offered}
    for price in theirs.prices.values():
        tier = products.get(id_of(price["product"]) or "")
        if tier is not None and price["active"] and price["id"] not in known and price["lookup_key"] not in keys:
            facts = {"id": price["id"], "tier": tier.name}
            words = _(
                "The price %(id)s of “%(tier)s” is for sale at Stripe and is of no plan here. Switch it off there, or make a plan here.",
                **facts,
            )
            yield Step(Doing.TELL, "prices", 0, words, stripe_id=price["id"])
