"""Whether all is set up so that people can buy: the key and what it may do, the webhook, the portal, prices; and how to mend it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from courseapp.billing import stripe_gateway, stripe_setup
from courseapp.billing.stripe_gateway import StripeAwayError, StripeError, StripeKeyError, StripePermissionError, Thing
from courseapp.billing.syncing import Ours, Theirs, steps_between
from courseapp.config import Settings

SETUP = "flask --app courseapp billing setup"
SYNC = "flask --app courseapp billing sync"
LATELY = datetime(2026, 1, 1, tzinfo=UTC)  # any moment does: it is asked whether asking is allowed


@dataclass(frozen=True)
class Finding:
    """What was found. `mend`: what to do about it; empty where nothing is wrong."""

    is_wrong: bool
    what: str
    mend: str = ""


@dataclass(frozen=True)
class _Need:
    """Something billing reads at Stripe, and what that is called where permissions of a restricted key are given."""

    what: str
    permission: str
    ask: Callable[[], Iterable[Thing]]


NEEDS = (
    _Need("products", "Products: Write", stripe_gateway.products),
    _Need("prices", "Prices: Write", stripe_gateway.prices),
    _Need("subscriptions", "Subscriptions: Write", stripe_gateway.subscriptions),
    _Need("checkout sessions", "Checkout Sessions: Write", stripe_gateway.checkout_sessions),
    _Need("invoices", "Invoices: Read", stripe_gateway.invoices),
    _Need("refunds", "Charges and Refunds: Read", stripe_gateway.refunds),
    _Need("disputes", "Disputes: Read", stripe_gateway.disputes),
    _Need("events", "Events: Read", lambda: stripe_gateway.events(LATELY)),
    _Need("webhook endpoints", "Webhook Endpoints: Write", stripe_gateway.webhook_endpoints),
    _Need("portal configurations", "Customer portal: Write", stripe_gateway.portal_configurations),
)


def findings(settings: Settings, ours: Ours) -> Iterator[Finding]:
    """Everything that was looked at, in the order in which it is mended. No transaction needs to be open. Never raises StripeError."""
    yield from _of_settings(settings, ours)
    try:
        yield from _of_account(settings)
    except StripeAwayError as error:
        yield Finding(True, error.words, "Look at status.stripe.com, and try again in a few minutes.")
        return
    except StripeError as error:
        yield Finding(True, error.words, "Set STRIPE_SECRET_KEY to a key of your account (Stripe, Developers, API keys).")
        return
    refused = set[str]()
    for need in NEEDS:
        if (finding := _of_permission(need)) is not None:
            refused.add(need.what)
            yield finding
    if not refused:
        yield Finding(False, "The key may read all that billing reads. What it may write shows when it is first written.")
    parts = (("webhook endpoints", _of_webhook), ("portal configurations", lambda: _of_portal(ours)), ("prices", lambda: _of_prices(ours)))
    for what, look in parts:
        if what not in refused:
            yield from _kept_from_failing(look)


def _kept_from_failing(look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except StripeError as error:
        yield Finding(True, error.words, "Try again in a few minutes.")


def _of_settings(settings: Settings, ours: Ours) -> Iterator[Finding]:
    mode = "live: money moves" if settings.is_live else "of test mode: no money moves"
    if settings.stripe_secret_key.startswith("rk_"):
        yield Finding(False, f"The key is restricted, and {mode}.")
    else:
        yield Finding(False, f"The key is {mode}. It may do everything at Stripe; a restricted key, which begins with rk_, is safer.")
    if settings.webhook_secrets:
        yield Finding(False, "A signing secret for webhooks is set.")
    else:
        yield Finding(
            True,
            "No signing secret is set, so nothing that Stripe tells is taken.",
            f"Run {SETUP}, and put the secret it prints into STRIPE_WEBHOOK_SECRETS.",
        )
    if ours.statement:
        yield Finding(False, f"Card statements say “{ours.statement}”.")
    else:
        yield Finding(True, "Nothing fit for card statements is set.", "Set STATEMENT_WORDS to 5 to 22 neutral letters.")
    strange = sorted({price.currency for price in ours.prices if price.is_offered} - set(settings.currency_list))
    if strange:
        names = ", ".join(strange)
        yield Finding(True, f"Something is sold in {names}, which CURRENCIES does not name.", "Add it there, or empty these prices.")


def _of_account(settings: Settings) -> Iterator[Finding]:
    try:
        account = stripe_gateway.account()
    except StripePermissionError:
        return  # a restricted key need not read it
    if settings.is_live and not account["charges_enabled"]:
        yield Finding(True, "The account cannot take money yet.", "Activate it (Stripe, Settings, Business).")
    else:
        yield Finding(False, f"The account answers: {account['id']}.")


def _of_permission(need: _Need) -> Finding | None:
    try:
        next(iter(need.ask()), None)
    except StripeKeyError:
        mend = f"Give the key the permission “{need.permission}” (Stripe, Developers, API keys, Edit key)."
        return Finding(True, f"The key may not read {need.what}.", mend)
    except StripeError as error:
        return Finding(True, error.words, "Try again in a few minutes.")
    return None


def _of_webhook() -> Iterator[Finding]:
    right, others = stripe_setup.endpoints_here()
    if not right:
        what = f"There is no webhook endpoint of version {stripe_gateway.api_version()} at {stripe_setup.webhook_url()}"
        other = f", but one of {others[0]['api_version'] or 'the version that the account has'}" if others else ""
        yield Finding(True, f"{what}{other}.", f"Run {SETUP}.")
        return
    if problems := stripe_setup.problems_of_endpoint(right[0]):
        yield Finding(True, f"The webhook endpoint is not right: {'; '.join(problems)}.", f"Run {SETUP}.")
    else:
        yield Finding(False, f"The webhook endpoint is told of all that billing reads: {right[0]['url']}.")
    if any(one["status"] == "enabled" for one in (*right[1:], *others)):
        yield Finding(True, "Another endpoint at the same address is switched on too.", f"Run {SETUP} once the new secret is in place.")


def _of_portal(ours: Ours) -> Iterator[Finding]:
    portal: Any = stripe_setup.our_portal()
    if portal is None:
        yield Finding(True, "The Customer Portal is not set up.", f"Run {SETUP}.")
    elif problems := stripe_setup.problems_of_portal(portal, ours):
        yield Finding(True, f"The Customer Portal is not right: {'; '.join(problems)}.", f"Run {SETUP}.")
    else:
        yield Finding(False, "The Customer Portal allows card, invoices, cancelling, another plan and a tax id.")


def _of_prices(ours: Ours) -> Iterator[Finding]:
    theirs = Theirs({one["id"]: one for one in stripe_gateway.products()}, {one["id"]: one for one in stripe_gateway.prices()})
    steps = steps_between(ours, theirs)
    for step in steps:
        yield Finding(True, f"Not in line with Stripe: {step.words}.", f"Run {SYNC}.")
    if not any(price.is_offered for price in ours.prices):
        yield Finding(False, "Nothing is for sale for money so far.")
    elif not steps:
        yield Finding(False, "Every price that is for sale is at Stripe.")
