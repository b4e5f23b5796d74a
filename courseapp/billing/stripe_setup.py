"""What has to be set up at Stripe beside products and prices: the webhook endpoint, and the Customer Portal. Told, made and mended.

The version of an endpoint cannot be changed, so one of another version is followed by a new one; the old one is switched off by the
next run, once the new one's secret is in place. Both at once do no harm: an event is taken once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from courseapp.billing import stripe_gateway
from courseapp.billing.models import Interval
from courseapp.billing.stripe_gateway import EVENT_TYPES, Thing
from courseapp.billing.syncing import Ours
from courseapp.mailing.links import full_url

MARK = {"courseapp": "portal"}
"""By which we know our set-up of the portal."""
MOST_PRODUCTS = 10  # of one set-up of the portal
REPAID = ("create_prorations", "always_invoice")


@dataclass(frozen=True)
class Wish:
    """Something to make or mend, in words, and how; `grant` returns a secret that Stripe tells this once."""

    words: str
    grant: Callable[[], str | None]


def wishes(ours: Ours, now: datetime) -> list[Wish]:
    """What is to be set up. Raises StripeError."""
    return [*_endpoint_wishes(now), *_portal_wishes(ours, now)]


# The webhook endpoint


def webhook_url() -> str:
    """Where Stripe is to tell us what happens."""
    return full_url("stripe.take_event")


def endpoints_here() -> tuple[list[Thing], list[Thing]]:
    """Stripe's endpoints at our address: those of our version, and those of others. Raises StripeError."""
    here = [one for one in stripe_gateway.webhook_endpoints() if one["url"] == webhook_url()]
    ours = [one for one in here if one["api_version"] == stripe_gateway.api_version()]
    return ours, [one for one in here if one not in ours]


def problems_of_endpoint(endpoint: Thing) -> list[str]:
    """What an endpoint lacks."""
    told = set(endpoint["enabled_events"])
    missing = [] if "*" in told else [name for name in EVENT_TYPES if name not in told]
    return [
        *(["it is switched off"] if endpoint["status"] != "enabled" else []),
        *([f"it is not told of {', '.join(missing)}"] if missing else []),
    ]


def _endpoint_wishes(now: datetime) -> Iterable[Wish]:
    right, others = endpoints_here()
    types = list(EVENT_TYPES)
    if not right:
        params = {"url": webhook_url(), "enabled_events": types, "api_version": stripe_gateway.api_version()}
        words = f"Make a webhook endpoint at {webhook_url()}: {len(types)} types of events, version {stripe_gateway.api_version()}"
        yield Wish(words, lambda: str(stripe_gateway.create("webhook_endpoints", params, f"setup-endpoint-{now.timestamp()}")["secret"]))
        return
    for endpoint in right[:1]:
        if problems := problems_of_endpoint(endpoint):
            changes = {"enabled_events": types, "disabled": False}
            yield Wish(f"Mend the webhook endpoint: {'; '.join(problems)}", _changing("webhook_endpoints", endpoint["id"], changes))
    for old in (*right[1:], *others):
        if old["status"] == "enabled":
            version = old["api_version"] or "the version that the account has"
            words = f"Switch off the other endpoint at the same address, {old['id']}, of {version}"
            yield Wish(words, _changing("webhook_endpoints", old["id"], {"disabled": True}))


def _changing(kind: str, id: str, params: Thing) -> Callable[[], None]:
    def change() -> None:
        stripe_gateway.update(kind, id, params)

    return change


# The Customer Portal


def our_portal() -> Thing | None:
    """Our set-up of the portal, else the account's own; its id goes into every portal session. Raises StripeError."""
    found = list(stripe_gateway.portal_configurations())
    marked = (one for one in found if (one["metadata"] or {}).get("courseapp") == MARK["courseapp"])
    return next(marked, None) or next((one for one in found if one["is_default"]), None)


def features_of(ours: Ours) -> Thing:
    """What customers may do at the portal; another plan is one of our recurring prices that are for sale."""
    products = products_of(ours)
    another: Thing = {"enabled": False}
    if products:
        conditions = [{"type": "decreasing_item_amount"}, {"type": "shortening_interval"}]
        another = {
            "enabled": True,
            "default_allowed_updates": ["price"],
            "products": [{"product": product, "prices": prices} for product, prices in products.items()],
            "proration_behavior": "always_invoice",  # more is paid for at once, as it opens at once
            "schedule_at_period_end": {"conditions": conditions},
        }
    return {
        "customer_update": {"enabled": True, "allowed_updates": ["address", "name", "tax_id"]},
        "invoice_history": {"enabled": True},
        "payment_method_update": {"enabled": True},
        "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
        "subscription_update": another,
    }


def products_of(ours: Ours) -> dict[str, list[str]]:
    """The recurring prices for sale, by product; as many products as the portal takes."""
    products = {tier.id: tier.product_id for tier in ours.tiers if tier.product_id}
    found = dict[str, list[str]]()
    for price in ours.prices:
        if price.is_offered and price.stripe_id and price.interval is not Interval.ONCE and price.tier_id in products:
            found.setdefault(products[price.tier_id] or "", []).append(price.stripe_id)
    return dict(list(found.items())[:MOST_PRODUCTS])


def problems_of_portal(portal: Thing, ours: Ours) -> list[str]:
    """What a set-up of the portal lacks."""
    features, wanted = portal["features"], products_of(ours)
    lacks = {"payment_method_update": "changing the card", "invoice_history": "seeing invoices", "subscription_cancel": "cancelling"}
    found = [f"it does not allow {words}" for name, words in lacks.items() if not features[name]["enabled"]]
    if "tax_id" not in (features["customer_update"]["allowed_updates"] or []):
        found.append("it does not allow giving a tax id")
    if features["subscription_cancel"]["enabled"] and features["subscription_cancel"]["mode"] != "at_period_end":
        found.append("cancelling ends a subscription at once, and not at the end of what is paid")
    another = features["subscription_update"]
    offered = {row["product"]: sorted(row["prices"]) for row in another["products"] or []} if another["enabled"] else {}
    if offered != {product: sorted(prices) for product, prices in wanted.items()}:
        found.append("it offers other plans than are for sale here")
    elif wanted and another["proration_behavior"] not in REPAID:
        found.append("a change of plan is not charged for")
    elif wanted and not another["schedule_at_period_end"]["conditions"]:
        found.append("a smaller plan begins at once, and not at the end of what is paid")
    return found


def _portal_wishes(ours: Ours, now: datetime) -> Iterable[Wish]:
    portal, features = our_portal(), features_of(ours)
    if portal is None:
        params = {"features": features, "metadata": MARK, "default_return_url": full_url("billing.own")}

        def make() -> None:
            stripe_gateway.create("billing_portal.configurations", params, f"setup-portal-{now.timestamp()}")

        yield Wish("Set up the Customer Portal: card, invoices, cancelling, another plan, tax id", make)
    elif problems := problems_of_portal(portal, ours):
        yield Wish(
            f"Mend the Customer Portal: {'; '.join(problems)}",
            _changing("billing_portal.configurations", portal["id"], {"features": features}),
        )
