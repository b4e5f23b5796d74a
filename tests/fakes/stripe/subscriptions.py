"""Subscriptions and their items, as the API shows and changes them."""

from stripe import params as shape

from tests.fakes.stripe import proration, subscribing
from tests.fakes.stripe.books import Books
from tests.fakes.stripe.routing import Given, apply, route
from tests.fakes.stripe.wire import ApiError, Thing, within


@route("GET /v1/subscriptions/{id}", shape.SubscriptionRetrieveParams)
def subscription_of(books: Books, given: Given) -> Thing:
    """One subscription, also one that is over."""
    return books.find("subscription", given.id)


@route("GET /v1/subscriptions", shape.SubscriptionListParams, "created customer price status")
def subscriptions(books: Books, given: Given) -> list[Thing]:
    """Subscriptions; canceled ones only where `status` asks for them."""
    params = given.params
    return [
        one
        for one in books.all("subscription", customer=params.get("customer"))
        if _has_status(one, params.get("status"))
        and within(one["created"], params.get("created"))
        and params.get("price") in {None, *(item["price"]["id"] for item in one["items"]["data"])}
    ]


def _has_status(subscription: Thing, wanted: str | None) -> bool:
    if wanted is None:
        return str(subscription["status"]) != "canceled"
    status = str(subscription["status"])
    return wanted in {"all", status} or (wanted == "ended" and status in subscribing.ENDED)


@route(
    "POST /v1/subscriptions/{id}",
    shape.SubscriptionUpdateParams,
    "cancel_at cancel_at_period_end cancellation_details default_payment_method description items metadata payment_behavior"
    " proration_behavior trial_end",
)
def update_subscription(books: Books, given: Given) -> Thing:
    """Change its plan, its end, its trial, its card, its metadata."""
    subscription, params = books.find("subscription", given.id), given.params
    if subscription["status"] in subscribing.ENDED and params.keys() - {"metadata", "cancellation_details", "expand"}:
        raise ApiError(400, "A canceled subscription can only update its cancellation_details and metadata.")
    if params.get("payment_behavior", "allow_incomplete") != "allow_incomplete":
        raise ApiError(400, "The fake server does allow_incomplete alone.", code="not_in_the_fake", param="payment_behavior")
    _change_end(books, subscription, params)
    if "trial_end" in params:
        _move_trial_end(books, subscription, params["trial_end"])
    for wanted in params.get("items", []):
        _change_item(books, subscription, wanted, params.get("proration_behavior", "create_prorations"))
    with books.change(subscription, "customer.subscription.updated"):
        apply(subscription, given, "description", "default_payment_method")
        subscription["cancellation_details"].update(params.get("cancellation_details") or {})
    return subscription


def _move_trial_end(books: Books, subscription: Thing, wanted: int | str) -> None:
    """A trial ends now, or later than it did."""
    if subscription["status"] != "trialing":
        raise ApiError(400, "The fake server begins no trial in the middle.", code="not_in_the_fake", param="trial_end")
    end = books.now() if wanted == "now" else int(wanted)
    if wanted != "now" and end <= books.now():
        raise ApiError(400, "Invalid timestamp: can't be before the current time.", param="trial_end")
    with books.change(subscription, *(() if wanted == "now" else ("customer.subscription.updated",))):
        for item in subscription["items"]["data"]:
            item["current_period_end"] = end
        subscription.update(trial_end=end, billing_cycle_anchor=end)
    books.note(subscription["id"]).pop("trial_warned", None)
    if wanted == "now":
        subscribing.end_trial(books, subscription)


def _change_end(books: Books, subscription: Thing, params: Thing) -> None:
    if "cancel_at_period_end" in params and "cancel_at" in params:
        raise ApiError(400, "You may only specify one of these parameters: cancel_at, cancel_at_period_end.", param="cancel_at")
    if params.get("cancel_at_period_end"):
        subscribing.schedule_end(books, subscription, subscribing.period_end(subscription), says_period_end=True)
    elif "cancel_at" in params and params["cancel_at"] != "":
        moment = params["cancel_at"] if isinstance(params["cancel_at"], int) else subscribing.period_end(subscription)
        subscribing.schedule_end(books, subscription, moment, says_period_end=False)
    elif "cancel_at_period_end" in params or "cancel_at" in params:
        subscribing.keep(books, subscription)


def _change_item(books: Books, subscription: Thing, wanted: Thing, behavior: str) -> None:
    if unheeded := sorted(wanted.keys() - {"id", "price", "quantity"}):
        raise ApiError(400, f"The fake server does not do items[{unheeded[0]}].", code="not_in_the_fake", param=f"items[0][{unheeded[0]}]")
    if "id" not in wanted:
        raise ApiError(400, "The fake server adds no items to a subscription.", code="not_in_the_fake", param="items[0][id]")
    item = next((item for item in subscription["items"]["data"] if item["id"] == wanted["id"]), None)
    if item is None:
        raise ApiError(400, f"No such subscription item: '{wanted['id']}'", code="resource_missing", param="items[0][id]")
    price = books.find("price", wanted.get("price", item["price"]["id"]), "items[0][price]")
    if not price["active"] and price["id"] != item["price"]["id"]:
        words = f"The price specified is inactive. This field only accepts active prices: {price['id']}"
        raise ApiError(400, words, param="items[0][price]")
    proration.change_plan(books, subscription, item, price, wanted.get("quantity", item["quantity"]), behavior)


@route("DELETE /v1/subscriptions/{id}", shape.SubscriptionCancelParams, "cancellation_details invoice_now prorate")
def cancel_subscription(books: Books, given: Given) -> Thing:
    """End it at once."""
    subscription = books.find("subscription", given.id)
    if subscription["status"] in subscribing.ENDED:
        raise ApiError(404, f"No such subscription: '{given.id}'", code="resource_missing", param="id")
    if given.params.get("prorate") or given.params.get("invoice_now"):
        raise ApiError(400, "The fake server gives nothing back at the end.", code="not_in_the_fake", param="prorate")
    subscription["cancellation_details"].update(given.params.get("cancellation_details") or {})
    subscribing.end(books, subscription, "cancellation_requested")
    return subscription


@route("GET /v1/subscription_items/{id}", shape.SubscriptionItemRetrieveParams)
def item_of(books: Books, given: Given) -> Thing:
    """One item of a subscription."""
    return books.find("subscription_item", given.id)


@route("GET /v1/subscription_items", shape.SubscriptionItemListParams, "subscription")
def items(books: Books, given: Given) -> list[Thing]:
    """The items of one subscription."""
    books.find("subscription", given.params["subscription"], "subscription")
    return books.all("subscription_item", subscription=given.params["subscription"])
