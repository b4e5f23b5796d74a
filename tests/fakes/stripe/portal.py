"""The Customer Portal, as the API sets it up and opens it."""

import stripe
from stripe.params import billing_portal as shape

from tests.fakes.stripe.books import Books
from tests.fakes.stripe.routing import Given, apply, route, without_expand
from tests.fakes.stripe.shapes import filled
from tests.fakes.stripe.wire import ApiError, Thing

OFF: Thing = {
    "customer_update": {"enabled": False, "allowed_updates": []},
    "invoice_history": {"enabled": False},
    "payment_method_update": {"enabled": False},
    "subscription_cancel": {
        "enabled": False,
        "mode": "at_period_end",
        "proration_behavior": "none",
        "cancellation_reason": {"enabled": False, "options": []},
    },
    "subscription_pause": {"enabled": False, "duration": {"type": "indefinite", "interval_options": []}},
    "subscription_update": {
        "enabled": False,
        "default_allowed_updates": [],
        "products": None,
        "proration_behavior": "none",
        "schedule_at_period_end": {"conditions": []},
        "trial_update_behavior": "end_trial",
    },
}
DEFAULTS = "business_profile default_return_url features metadata name"


@route("POST /v1/billing_portal/configurations", shape.ConfigurationCreateParams, DEFAULTS)
def create_configuration(books: Books, given: Given) -> Thing:
    """What customers may do at the portal; the first one becomes the default (with Stripe the dashboard chooses it)."""
    params = without_expand(given.params)
    is_first = not books.all("billing_portal.configuration")
    usual = {"active": True, "business_profile": {}, "is_default": is_first, "livemode": False, "metadata": {}, "updated": books.now()}
    values = {**usual, **params, "features": _features(OFF, params["features"])}
    return books.make(stripe.billing_portal.Configuration, "bpc", values, "billing_portal.configuration.created")


@route("POST /v1/billing_portal/configurations/{id}", shape.ConfigurationUpdateParams, f"{DEFAULTS} active")
def update_configuration(books: Books, given: Given) -> Thing:
    """Change what is given."""
    configuration = books.find("billing_portal.configuration", given.id)
    with books.change(configuration, "billing_portal.configuration.updated"):
        apply(configuration, given, "active", "default_return_url", "name")
        configuration["features"] = _features(configuration["features"], given.params.get("features", {}))
        configuration["business_profile"].update(given.params.get("business_profile", {}))
        configuration["updated"] = books.now()
    return configuration


def _features(before: Thing, given: Thing) -> Thing:
    merged = {name: _merged(part, given.get(name, {})) for name, part in before.items()}
    if merged["subscription_pause"]["enabled"]:
        raise ApiError(400, "The fake server pauses nothing.", code="not_in_the_fake", param="features[subscription_pause]")
    for product in merged["subscription_update"]["products"] or []:
        product["adjustable_quantity"] = {"enabled": False, "minimum": 1, **product.get("adjustable_quantity", {})}
    return filled(stripe.billing_portal.Configuration.Features, merged)


def _merged(before: Thing, given: Thing) -> Thing:
    made = dict(before)
    for name, value in given.items():
        made[name] = _merged(made.get(name) or {}, value) if isinstance(value, dict) else [] if value == "" else value
    return made


@route("GET /v1/billing_portal/configurations/{id}", shape.ConfigurationRetrieveParams)
def configuration_of(books: Books, given: Given) -> Thing:
    """One configuration."""
    return books.find("billing_portal.configuration", given.id)


@route("GET /v1/billing_portal/configurations", shape.ConfigurationListParams, "active is_default")
def configurations(books: Books, given: Given) -> list[Thing]:
    """Configurations, by whether they are the default."""
    return books.all("billing_portal.configuration", active=given.params.get("active"), is_default=given.params.get("is_default"))


@route("POST /v1/billing_portal/sessions", shape.SessionCreateParams, "configuration customer flow_data locale return_url")
def create_portal_session(books: Books, given: Given) -> Thing:
    """A customer's way into the portal."""
    params = given.params
    if "customer" not in params:
        raise ApiError(400, "Missing required param: customer.", code="parameter_missing", param="customer")
    if books.find("customer", params["customer"], "customer").get("deleted"):
        raise ApiError(400, f"No such customer: '{params['customer']}'", code="resource_missing", param="customer")
    configuration = _configuration_for(books, params)
    new_id = books.new_id("bps")
    return books.make(stripe.billing_portal.Session, "", {
        "id": new_id, "configuration": configuration["id"], "customer": params["customer"], "flow": _flow(books, params),
        "livemode": False, "locale": params.get("locale"), "url": f"{books.url}/p/session/{new_id}",
        "return_url": params.get("return_url") or configuration["default_return_url"],
    })  # fmt: skip


def _configuration_for(books: Books, params: Thing) -> Thing:
    if "configuration" in params:
        return books.find("billing_portal.configuration", params["configuration"], "configuration")
    for configuration in books.all("billing_portal.configuration", is_default=True, active=True):
        return configuration
    words = "No configuration provided and your test mode default configuration has not been created."
    raise ApiError(400, f"{words} Provide a configuration or create your default by saving your customer portal settings in test mode.")


def _flow(books: Books, params: Thing) -> Thing | None:
    flow = params.get("flow_data")
    if not flow:
        return None
    if flow["type"] not in {"payment_method_update", "subscription_cancel", "subscription_update"}:
        raise ApiError(400, f"The fake server has no flow {flow['type']}.", code="not_in_the_fake", param="flow_data[type]")
    if flow["type"] in flow:
        books.find("subscription", flow[flow["type"]]["subscription"], f"flow_data[{flow['type']}][subscription]")
    return {"after_completion": {"type": "portal_homepage"}, **flow}
