"""Webhook endpoints and events, as the API shows them. What is sent, and how, stands in `delivery`."""

import secrets

import stripe
from stripe import params as shape

from tests.fakes.stripe.books import DAY, EVENT_TYPES, Books
from tests.fakes.stripe.routing import Given, apply, route
from tests.fakes.stripe.wire import ApiError, Thing, within

MOST_ENDPOINTS = 16
MOST_TYPES = 20  # that may be listed at a time
KEPT_DAYS = 30  # events are listed for so long


@route("POST /v1/webhook_endpoints", shape.WebhookEndpointCreateParams, "api_version description enabled_events metadata url")
def create_endpoint(books: Books, given: Given) -> Thing:
    """An address that events are sent to. Its secret is told this once."""
    if len(books.all("webhook_endpoint")) >= MOST_ENDPOINTS:
        raise ApiError(400, f"You have reached the maximum of {MOST_ENDPOINTS} test webhook endpoints.")
    params = given.params
    endpoint = new_endpoint(
        books, params["url"], params["enabled_events"], description=params.get("description"), api_version=params.get("api_version"),
        metadata=params.get("metadata", {}),
    )  # fmt: skip
    return {**endpoint, "secret": books.note(endpoint["id"])["secrets"][0][0]}


def new_endpoint(books: Books, url: str, types: list[str], *, secret: str | None = None, **values: object) -> Thing:
    """An endpoint, with a secret of its own unless one is given."""
    _check(url, types)
    usual = {"enabled_events": types, "livemode": False, "metadata": {}, "status": "enabled", "url": url}
    endpoint = books.make(stripe.WebhookEndpoint, "we", {**usual, **values})
    del endpoint["secret"]
    books.note(endpoint["id"])["secrets"] = [(secret or _new_secret(), None)]
    return endpoint


def _check(url: str, types: list[str]) -> None:
    if not url.startswith(("http://", "https://")):
        raise ApiError(400, "Invalid URL: An explicit scheme (such as https) must be provided.", code="url_invalid", param="url")
    if unknown := [name for name in types if name != "*" and name not in EVENT_TYPES]:
        raise ApiError(400, f"Invalid enabled_events: {unknown[0]} is not an event type.", param="enabled_events[0]")


def _new_secret() -> str:
    return f"whsec_{secrets.token_urlsafe(24)}"


def roll(books: Books, endpoint: Thing, hours: float) -> str:
    """A new secret; the old one goes on signing beside it for so long, as the dashboard offers. Returns the new one."""
    note, new = books.note(endpoint["id"]), _new_secret()
    until = books.now() + int(hours * 3_600)
    note["secrets"] = [(new, None), *((secret, until if end is None else end) for secret, end in note["secrets"])]
    return new


def secrets_of(books: Books, endpoint: Thing) -> list[str]:
    """Those that sign now, the newest first."""
    return [secret for secret, end in books.note(endpoint["id"])["secrets"] if end is None or books.now() < end]


@route("POST /v1/webhook_endpoints/{id}", shape.WebhookEndpointUpdateParams, "description disabled enabled_events metadata url")
def update_endpoint(books: Books, given: Given) -> Thing:
    """Change where to, which events, or whether at all."""
    endpoint = books.find("webhook_endpoint", given.id)
    wanted: Thing = {**endpoint, **given.params}
    _check(wanted["url"], wanted["enabled_events"])
    apply(endpoint, given, "description", "enabled_events", "url")
    if "disabled" in given.params:
        endpoint["status"] = "disabled" if given.params["disabled"] else "enabled"
    return endpoint


@route("DELETE /v1/webhook_endpoints/{id}", shape.WebhookEndpointDeleteParams)
def delete_endpoint(books: Books, given: Given) -> Thing:
    """Nothing is sent there any more."""
    endpoint = books.find("webhook_endpoint", given.id)
    books.forget(endpoint)
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


@route("GET /v1/webhook_endpoints/{id}", shape.WebhookEndpointRetrieveParams)
def endpoint_of(books: Books, given: Given) -> Thing:
    """One endpoint, without its secret."""
    return books.find("webhook_endpoint", given.id)


@route("GET /v1/webhook_endpoints", shape.WebhookEndpointListParams)
def endpoints(books: Books, _given: Given) -> list[Thing]:
    """All endpoints."""
    return books.all("webhook_endpoint")


# --- events ---


@route("GET /v1/events/{id}", shape.EventRetrieveParams)
def event_of(books: Books, given: Given) -> Thing:
    """One event, with the object as it was then."""
    for event in books.events:
        if event["id"] == given.id:
            return event
    raise ApiError(404, f"No such event: '{given.id}'", code="resource_missing", param="id")


@route("GET /v1/events", shape.EventListParams, "created delivery_success type types")
def events(books: Books, given: Given) -> list[Thing]:
    """Events of the last 30 days, the newest first; `delivery_success=false`: those that some endpoint has not got."""
    params = given.params
    if "type" in params and "types" in params:
        raise ApiError(400, "You may only specify one of these parameters: type, types.", param="types")
    if len(params.get("types", ())) > MOST_TYPES:
        raise ApiError(400, f"You may only specify up to {MOST_TYPES} types.", param="types")
    wanted = params.get("types") or ([params["type"]] if "type" in params else None)
    oldest = books.now() - KEPT_DAYS * DAY
    return [
        event
        for event in reversed(books.events)
        if event["created"] >= oldest
        and within(event["created"], params.get("created"))
        and (wanted is None or any(_is_of(event["type"], name) for name in wanted))
        and _was_delivered(event, params.get("delivery_success"))
    ]


def _is_of(type: str, name: str) -> bool:
    """`*` stands for any rest: `customer.*`."""
    return type.startswith(name[:-1]) if name.endswith("*") else type == name


def _was_delivered(event: Thing, wanted: bool | None) -> bool:
    return wanted is None or (event["pending_webhooks"] == 0) == wanted
