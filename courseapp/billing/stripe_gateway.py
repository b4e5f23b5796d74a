"""The one door to Stripe: every call, every error of it, every signature. What comes out are plain dicts as Stripe's API has them.

Written against stripe-python 16 and API 2026-10-28.endive. The package takes 32 MB of memory, so it is loaded when Stripe is
first asked, and a site that sells nothing never loads it.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from types import ModuleType
from typing import Any

import structlog
from flask import current_app

from courseapp.config import Settings

log = structlog.get_logger()
Thing = dict[str, Any]
"""An object of Stripe's."""

TIMEOUT = (3, 10)  # seconds to connect, and to wait for each answer
RETRIES = 2
PAGE = 100
KEYS = 10  # lookup keys that may be asked for at a time (API reference, "List all prices")
TOLERANCE = 300  # seconds that a webhook's signature may be old, or in the future
EVENT_TYPES = (
    *("checkout.session.completed", "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed"),
    *("checkout.session.expired", "customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted"),
    *("customer.subscription.paused", "customer.subscription.resumed", "customer.subscription.trial_will_end"),
    *("invoice.paid", "invoice.payment_failed", "invoice.payment_action_required"),
    *("charge.refunded", "refund.created", "refund.updated", "refund.failed"),
    *("charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed"),
)
"""What the endpoint is to be told of, and what is asked for when events may have been missed."""


class StripeError(Exception):
    """Stripe did not do what was asked. `words` name what was asked and Stripe's code, and nothing of anybody."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class StripeAwayError(StripeError):
    """Stripe could not be reached, was busy, or failed: asking again later helps."""


class StripeRefusedError(StripeError):
    """Stripe understood and said no; asking again does not help. `param` names what it did not like, where it said."""

    def __init__(self, words: str, code: str = "", param: str = "") -> None:
        super().__init__(words)
        self.code, self.param = code, param


class StripeKeyError(StripeError):
    """The key is wrong, or may not do this: nothing helps but another key."""


class StripePermissionError(StripeKeyError):
    """The key is one of ours, and may not do this."""


class ForgedError(ValueError):
    """A webhook that Stripe did not sign, or not just now, or that is none."""


def _stripe() -> ModuleType:
    import stripe  # see above

    return stripe


@lru_cache(maxsize=4)
def _client(key: str, url: str) -> Any:
    stripe = _stripe()
    addresses = {"base_addresses": {"api": url.rstrip("/")}} if url else {}
    http_client = stripe.RequestsClient(timeout=TIMEOUT)
    return stripe.StripeClient(key, max_network_retries=RETRIES, http_client=http_client, **addresses)


def _api() -> Any:
    """`client.v1`; raises StripeKeyError without a key, and for a live one where nobody may be charged."""
    settings: Settings = current_app.config["SETTINGS"]
    if not settings.has_billing:
        raise StripeKeyError("There is no key for Stripe.")
    if settings.is_live and (current_app.debug or current_app.testing):
        raise StripeKeyError("A live key is not used in debug mode or in tests.")
    return _client(settings.stripe_secret_key, settings.stripe_url).v1


@contextlib.contextmanager
def _asking(what: str) -> Iterator[None]:
    """Errors of the package as ours. Stripe's own words may name people, and so go nowhere but to the developer's eye at Stripe."""
    stripe = _stripe()
    try:
        yield
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise StripeAwayError(f"{what}: Stripe could not be reached or was busy") from error
    except stripe.PermissionError as error:
        raise StripePermissionError(f"{what}: the key may not do this") from error
    except stripe.AuthenticationError as error:
        raise StripeKeyError(f"{what}: the key is wrong") from error
    except (stripe.InvalidRequestError, stripe.CardError, stripe.IdempotencyError) as error:
        code, param = str(error.code or ""), str(getattr(error, "param", None) or "")
        raise StripeRefusedError(f"{what}: {code or type(error).__name__} {param}".strip(), code, param) from error
    except stripe.StripeError as error:  # APIError above all: a 500
        raise StripeAwayError(f"{what}: Stripe failed") from error


def api_version() -> str:
    """The version of Stripe's API that the package speaks, and that our endpoint is to be told in."""
    version: str = _stripe().api_version
    return version


def moment(stamp: int | None) -> datetime | None:
    """A moment of Stripe's (seconds since 1970) as ours."""
    return None if stamp is None else datetime.fromtimestamp(stamp, UTC)


def known_moment(stamp: int) -> datetime:
    """The same, where there always is one."""
    return datetime.fromtimestamp(stamp, UTC)


def id_of(thing: Any) -> str | None:
    """The id of what is an id, or an object with one, or none."""
    found: str | None = thing["id"] if isinstance(thing, dict) else thing
    return found


# Webhooks


def verified(body: bytes, signature: str | None, secrets: Sequence[str], now: float | None = None) -> Thing:
    """The event of a webhook, once its signature fits one of the secrets and is of about now (Unix time, of the machine's clock).

    Raises ForgedError. Only the signature is the package's to look at, for it would take a millisecond to make its objects of an
    event that is fetched anew anyway; and it takes signatures of the future.
    """
    now = time.time() if now is None else now
    if not any(_is_signed(body, signature, secret) for secret in secrets):
        raise ForgedError("no secret of ours signed this, or not lately")
    if _signed_at(signature) > now + TOLERANCE:
        raise ForgedError("signed in the future")
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ForgedError("no JSON") from error
    if not isinstance(event, dict) or event.get("object") != "event":
        raise ForgedError("no event")
    return event


def _is_signed(body: bytes, signature: str | None, secret: str) -> bool:
    """The package fails in ways of its own over bytes that are no text, and over signatures that are not ASCII."""
    stripe = _stripe()
    try:
        return bool(stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE))
    except (stripe.SignatureVerificationError, ValueError, TypeError):
        return False


def _signed_at(signature: str | None) -> int:
    return next((int(part.split("=")[1]) for part in (signature or "").split(",") if part.startswith("t=")), 0)


# One object, as it is now


def _fetched(what: str, fetch: Any, id: str, **params: Any) -> Thing | None:
    """One object; None where Stripe has none of this id. Raises StripeError."""
    try:
        with _asking(what):
            found: Thing = fetch(id, params or None).to_dict()
    except StripeRefusedError as error:
        if error.code == "resource_missing":
            return None
        raise
    return found


def checkout_session(id: str) -> Thing | None:
    """A Checkout Session, with its payment intent and invoice."""
    return _fetched("fetching a checkout", _api().checkout.sessions.retrieve, id, expand=["payment_intent", "invoice"])


def subscription(id: str) -> Thing | None:
    """A subscription, with its latest invoice; of a late one that is the first of those that nobody has paid since."""
    found = _fetched("fetching a subscription", _api().subscriptions.retrieve, id, expand=["latest_invoice"])
    if found is not None and found["status"] == "past_due":
        found["latest_invoice"] = _first_unpaid(id) or found["latest_invoice"]
    return found


def _first_unpaid(subscription: str) -> Thing | None:
    """The oldest open invoice that no other state parts from the newest: where Stripe goes on billing, each period adds one."""
    first = None
    for found in invoices(subscription=subscription):
        if found["status"] == "open":
            first = found
        elif found["status"] != "draft":
            break
    return first


def invoice(id: str) -> Thing | None:
    """An invoice, with its payments."""
    return _fetched("fetching an invoice", _api().invoices.retrieve, id, expand=["payments"])


def charge(id: str) -> Thing | None:
    """A charge."""
    return _fetched("fetching a charge", _api().charges.retrieve, id)


def payment_intent(id: str) -> Thing | None:
    """A payment intent."""
    return _fetched("fetching a payment", _api().payment_intents.retrieve, id)


def refund(id: str) -> Thing | None:
    """A refund."""
    return _fetched("fetching a refund", _api().refunds.retrieve, id)


def dispute(id: str) -> Thing | None:
    """A dispute."""
    return _fetched("fetching a dispute", _api().disputes.retrieve, id)


def customer(id: str) -> Thing | None:
    """A customer; one that was deleted says `deleted`."""
    return _fetched("fetching a customer", _api().customers.retrieve, id)


def price(id: str) -> Thing | None:
    """A price."""
    return _fetched("fetching a price", _api().prices.retrieve, id)


def account() -> Thing:
    """The account of the key. Raises StripeError."""
    with _asking("asking for the account"):
        found: Thing = _api().accounts.retrieve_current().to_dict()
    return found


# Lists; each goes on asking for pages while it is read


def _listed(what: str, fetch: Any, **params: Any) -> Iterator[Thing]:
    with _asking(what):
        for found in fetch({"limit": PAGE, **params}).auto_paging_iter():
            yield found.to_dict()


def subscriptions(customer: str | None = None, since: datetime | None = None) -> Iterator[Thing]:
    """Every subscription, ended ones too: all, or a customer's, or those made since."""
    return _listed("listing subscriptions", _api().subscriptions.list, status="all", **_narrow(customer, since))


def checkout_sessions(since: datetime | None = None, customer: str | None = None) -> Iterator[Thing]:
    """Checkout Sessions, the newest first."""
    return _listed("listing checkouts", _api().checkout.sessions.list, **_narrow(customer, since))


def invoices(subscription: str | None = None, customer: str | None = None, since: datetime | None = None) -> Iterator[Thing]:
    """Invoices, with their payments, the newest first."""
    narrow = _narrow(customer, since) | ({"subscription": subscription} if subscription else {})
    return _listed("listing invoices", _api().invoices.list, expand=["data.payments"], **narrow)


def refunds(payment_intent: str | None = None, charge: str | None = None, since: datetime | None = None) -> Iterator[Thing]:
    """Refunds, of one payment or all."""
    narrow = _narrow(None, since) | ({"payment_intent": payment_intent} if payment_intent else {}) | ({"charge": charge} if charge else {})
    return _listed("listing refunds", _api().refunds.list, **narrow)


def disputes(payment_intent: str | None = None, since: datetime | None = None) -> Iterator[Thing]:
    """Disputes, of one payment or all."""
    narrow = _narrow(None, since) | ({"payment_intent": payment_intent} if payment_intent else {})
    return _listed("listing disputes", _api().disputes.list, **narrow)


def invoice_of_payment(payment_intent: str) -> str | None:
    """The id of the invoice that a payment intent paid; None where it paid none."""
    params = {"payment": {"type": "payment_intent", "payment_intent": payment_intent}}
    found = next(_listed("looking for an invoice", _api().invoice_payments.list, **params), None)
    return None if found is None else id_of(found["invoice"])


def events(since: datetime, undelivered: bool = False) -> Iterator[Thing]:
    """Events that billing reads, the newest first; only those that some endpoint has not got."""
    params: Thing = {"types": list(EVENT_TYPES), "created": {"gte": int(since.timestamp())}}
    return _listed("listing events", _api().events.list, **params, **({"delivery_success": False} if undelivered else {}))


def prices(lookup_keys: Sequence[str] | None = None, product: str | None = None) -> Iterator[Thing]:
    """Prices, switched off ones too: those that hold one of these lookup keys (of none: none), or all of a product."""
    narrow: Thing = {"product": product} if product else {}
    some: list[Thing] = [{}]
    if lookup_keys is not None:
        some = [{"lookup_keys": list(lookup_keys[place : place + KEYS])} for place in range(0, len(lookup_keys), KEYS)]
    for keys in some:
        yield from _listed("listing prices", _api().prices.list, **keys, **narrow)


def products() -> Iterator[Thing]:
    """All products."""
    return _listed("listing products", _api().products.list)


def webhook_endpoints() -> Iterator[Thing]:
    """All webhook endpoints."""
    return _listed("listing webhook endpoints", _api().webhook_endpoints.list)


def portal_configurations() -> Iterator[Thing]:
    """The set-ups of the Customer Portal, the active ones."""
    return _listed("listing portal configurations", _api().billing_portal.configurations.list, active=True)


def _narrow(customer: str | None, since: datetime | None) -> Thing:
    return ({"customer": customer} if customer else {}) | ({"created": {"gte": int(since.timestamp())}} if since else {})


# Changes. `key`: the idempotency key, by which the same wish sent twice comes true once


def create(kind: str, params: Thing, key: str) -> Thing:
    """Make an object of a kind: `customers`, `products`, `prices`, `checkout.sessions`, `billing_portal.sessions`,
    `billing_portal.configurations`, `webhook_endpoints`, `refunds`. Raises StripeError.
    """
    with _asking(f"making one of {kind}"):
        made: Thing = _service(kind).create(params, {"idempotency_key": key}).to_dict()
    return made


def update(kind: str, id: str, params: Thing) -> Thing:
    """Change an object of one of these kinds, or of `subscriptions`. Raises StripeError."""
    with _asking(f"changing one of {kind}"):
        changed: Thing = _service(kind).update(id, params).to_dict()
    return changed


def cancel_subscription(id: str) -> Thing:
    """End a subscription at once, giving nothing back. Raises StripeError; StripeRefusedError where it has ended."""
    with _asking("cancelling a subscription"):
        ended: Thing = _api().subscriptions.cancel(id).to_dict()
    return ended


def expire_checkout(id: str) -> Thing:
    """Let nobody go through with an open Checkout Session any more. Raises StripeError."""
    with _asking("ending a checkout"):
        ended: Thing = _api().checkout.sessions.expire(id).to_dict()
    return ended


def _service(kind: str) -> Any:
    service = _api()
    for name in kind.split("."):
        service = getattr(service, name)
    return service
