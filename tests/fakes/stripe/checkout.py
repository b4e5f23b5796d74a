"""Checkout Sessions, as the API makes, shows and expires them."""

from typing import Any

import stripe
from stripe.params import checkout as shape

from tests.fakes.stripe import discounts, money
from tests.fakes.stripe.books import DAY, Books
from tests.fakes.stripe.catalogue import price_in
from tests.fakes.stripe.routing import Given, apply, route
from tests.fakes.stripe.shapes import filled
from tests.fakes.stripe.wire import ApiError, Thing, within

KEPT = (
    "allow_promotion_codes",
    "automatic_tax",
    "billing_address_collection",
    "client_reference_id",
    "consent_collection",
    "customer",
    "customer_creation",
    "customer_email",
    "custom_text",
    "invoice_creation",
    "locale",
    "metadata",
    "payment_method_collection",
    "submit_type",
    "success_url",
    "tax_id_collection",
    "cancel_url",
    "phone_number_collection",
)
TAKES = " ".join(KEPT) + " currency customer_update discounts expires_at line_items mode payment_intent_data subscription_data ui_mode"
ONLY_IN = {
    "payment_intent_data": "payment",
    "invoice_creation": "payment",
    "customer_creation": "payment",
    "subscription_data": "subscription",
}
OF_SUBSCRIPTIONS = frozenset({"billing_mode", "description", "metadata", "trial_end", "trial_period_days", "trial_settings"})
OF_PAYMENTS = frozenset(
    {"description", "metadata", "receipt_email", "setup_future_usage", "statement_descriptor", "statement_descriptor_suffix"}
)


@route("POST /v1/checkout/sessions", shape.SessionCreateParams, TAKES)
def create_session(books: Books, given: Given) -> Thing:
    """A session, open for a day unless said otherwise."""
    params = given.params
    _refuse_contradictions(books, params)
    prices = _prices(books, params)
    currency = params.get("currency") or prices[0][0]["currency"]
    _refuse_useless_coupons(books, params, currency)
    new_id = books.new_id("cs_test")
    sold = [(price["id"], count) for price, count in prices]
    books.note(new_id).update(params=params, prices=sold, currency=currency, discounts=params.get("discounts", []))
    values: Thing = {name: params[name] for name in KEPT if name in params}
    if "tax_id_collection" in values:
        values["tax_id_collection"] = {"required": "never", **values["tax_id_collection"]}
    customer = books.kept.get(params.get("customer", ""))
    session = books.make(stripe.checkout.Session, "", {
        "id": new_id, "automatic_tax": {"enabled": False}, "currency": currency, "custom_text": {}, "expires_at": _expiry(books, params),
        "livemode": False, "metadata": {}, "mode": params["mode"], "payment_status": "unpaid", "status": "open", "ui_mode": "hosted_page",
        "customer_details": customer and {"email": customer["email"], "name": customer["name"], "tax_exempt": "none"},
        "payment_method_types": ["card", "sepa_debit"], "total_details": {"amount_discount": 0, "amount_tax": 0, "amount_shipping": 0},
        "url": f"{books.url}/c/pay/{new_id}", **values,
        "customer_creation": params.get("customer_creation", "if_required") if params["mode"] == "payment" else None,
        "payment_method_collection": params.get("payment_method_collection", "if_required" if params["mode"] == "payment" else "always"),
    })  # fmt: skip
    reckon(books, session)
    return session


def _refuse_useless_coupons(books: Books, params: Thing, currency: str) -> None:
    for one in params.get("discounts", []):
        coupon = discounts.coupon_in(books, one)
        if coupon is None or not discounts.is_redeemable(books, coupon):
            raise ApiError(400, "This coupon cannot be redeemed.", code="coupon_expired", param="discounts[0]")
        if coupon["currency"] not in {None, currency}:
            raise ApiError(400, f"The coupon is in `{coupon['currency']}`, not in `{currency}`.", param="discounts[0]")


def _refuse_contradictions(books: Books, params: Thing) -> None:
    if "mode" not in params:
        raise ApiError(400, "Missing required param: mode.", code="parameter_missing", param="mode")
    if params["mode"] == "setup" or params.get("ui_mode", "hosted_page") != "hosted_page":
        raise ApiError(400, "The fake server has hosted pages for payments and subscriptions alone.", code="not_in_the_fake", param="mode")
    _refuse_what_does_not_go_together(params)
    if "customer" in params and books.find("customer", params["customer"], "customer").get("deleted"):
        raise ApiError(400, f"No such customer: '{params['customer']}'", code="resource_missing", param="customer")
    data = params.get("subscription_data", {})
    if data.get("billing_mode", {}).get("type", "flexible") != "flexible":
        raise ApiError(400, "The fake server does flexible billing alone.", code="not_in_the_fake", param="subscription_data[billing_mode]")
    days = data.get("trial_period_days", 1)
    if not 1 <= days <= 730:
        raise ApiError(400, "The minimum number of trial period days is 1.", param="subscription_data[trial_period_days]")


def _refuse_what_does_not_go_together(params: Thing) -> None:
    for name in ("success_url", "line_items"):
        if not params.get(name):
            raise ApiError(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
    for pair in (("customer", "customer_email"), ("allow_promotion_codes", "discounts"), ("customer", "customer_creation")):
        if all(params.get(name) for name in pair):
            raise ApiError(400, f"You may only specify one of these parameters: {', '.join(pair)}.", param=pair[0])
    for name, mode in ONLY_IN.items():
        if name in params and params["mode"] != mode:
            raise ApiError(400, f"You can not pass `{name}` in `{params['mode']}` mode.", param=name)
    for name, done in (("subscription_data", OF_SUBSCRIPTIONS), ("payment_intent_data", OF_PAYMENTS)):
        if unheeded := sorted(params.get(name, {}).keys() - done):
            place = f"{name}[{unheeded[0]}]"
            raise ApiError(400, f"The fake server does not do '{place}'. Stripe does.", code="not_in_the_fake", param=place)


def _expiry(books: Books, params: Thing) -> int:
    moment = int(params.get("expires_at", books.now() + DAY))
    if not books.now() + 1_740 <= moment <= books.now() + DAY + 60:  # a minute for clocks that differ
        words = "The `expires_at` timestamp must be at least 30 minutes and less than 24 hours from Checkout Session creation."
        raise ApiError(400, words, param="expires_at")
    return moment


def _prices(books: Books, params: Thing) -> list[tuple[Thing, int]]:
    found = []
    for place, item in enumerate(params["line_items"]):
        where = f"line_items[{place}]"
        if unheeded := sorted(item.keys() - {"price", "quantity"}):
            words = f"The fake server does not do {where}[{unheeded[0]}]. Stripe does."
            raise ApiError(400, words, code="not_in_the_fake", param=f"{where}[{unheeded[0]}]")
        if "price" not in item:
            raise ApiError(400, f"Missing required param: {where}[price].", code="parameter_missing", param=f"{where}[price]")
        price = books.find("price", item["price"], f"{where}[price]")
        if not price["active"]:
            words = f"The price specified is inactive. This field only accepts active prices: {price['id']}"
            raise ApiError(400, words, param=f"{where}[price]")
        if "quantity" not in item:
            raise ApiError(400, f"Missing required param: {where}[quantity].", code="parameter_missing", param=f"{where}[quantity]")
        found.append((price, item["quantity"]))
    _refuse_mixture(books, params, found)
    return found


def _refuse_mixture(books: Books, params: Thing, prices: list[tuple[Thing, int]]) -> None:
    are_recurring = [price["recurring"] is not None for price, _count in prices]
    if params["mode"] == "subscription" and not any(are_recurring):
        words = "You must provide at least one recurring price in `subscription` mode when using prices."
        raise ApiError(400, words, param="line_items[0][price]")
    if params["mode"] == "payment" and any(are_recurring):
        words = "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use one-time prices."
        raise ApiError(400, words, param="line_items[0][price]")
    if not all(are_recurring) and any(are_recurring):
        raise ApiError(400, "The fake server does not mix one-time and recurring prices.", code="not_in_the_fake", param="line_items")
    currency = params.get("currency") or prices[0][0]["currency"]
    for place, (price, _count) in enumerate(prices):
        if price_in(books, price, currency) is None:
            words = f"The price specified only supports `{price['currency']}`. This doesn't match the expected currency: `{currency}`."
            raise ApiError(400, words, param=f"line_items[{place}][price]")


def reckon(books: Books, session: Thing) -> None:
    """Work out the amounts anew: line items, discounts, totals. A trial costs nothing now."""
    note, currency = books.note(session["id"]), session["currency"]
    coupon = next((discounts.coupon_in(books, one) for one in note["discounts"]), None)
    is_free = trial_end(books, session) is not None
    amounts = [0 if is_free else (price_in(books, books.kept[sold], currency) or 0) * count for sold, count in note["prices"]]
    lines = []
    shares = money.shared_out(money.discount_on(sum(amounts), coupon, currency), amounts)
    for (sold, count), subtotal, off in zip(note["prices"], amounts, shares, strict=True):
        price = books.kept[sold]
        lines.append(filled(stripe.LineItem, {
            "id": books.new_id("li"), "amount_discount": off, "amount_subtotal": subtotal, "amount_tax": 0, "amount_total": subtotal - off,
            "currency": currency, "description": books.kept[price["product"]]["name"], "price": dict(price), "quantity": count,
        }))  # fmt: skip
    note["line_items"] = {"object": "list", "data": lines, "has_more": False, "url": f"/v1/checkout/sessions/{session['id']}/line_items"}
    session.update(amount_subtotal=sum(one["amount_subtotal"] for one in lines), amount_total=sum(one["amount_total"] for one in lines))
    session["total_details"]["amount_discount"] = sum(one["amount_discount"] for one in lines)
    session["discounts"] = [{"coupon": one.get("coupon"), "promotion_code": one.get("promotion_code")} for one in note["discounts"]]


def trial_end(books: Books, session: Thing) -> int | None:
    """When the trial that this session sells would end; None without one."""
    data = books.note(session["id"])["params"].get("subscription_data", {})
    if "trial_period_days" in data:
        return books.now() + int(data["trial_period_days"]) * DAY
    return int(data["trial_end"]) if "trial_end" in data else None


@route("GET /v1/checkout/sessions/{id}", shape.SessionRetrieveParams)
def session_of(books: Books, given: Given) -> Thing:
    """One session."""
    return books.find("checkout.session", given.id)


@route("POST /v1/checkout/sessions/{id}", shape.SessionUpdateParams, "metadata")
def update_session(books: Books, given: Given) -> Thing:
    """Metadata alone."""
    session = books.find("checkout.session", given.id)
    apply(session, given)
    return session


@route("GET /v1/checkout/sessions", shape.SessionListParams, "created customer payment_intent status subscription")
def sessions(books: Books, given: Given) -> list[Thing]:
    """Sessions, by customer, payment intent, subscription or status."""
    match: dict[str, Any] = {name: given.params.get(name) for name in ("customer", "payment_intent", "status", "subscription")}
    return [one for one in books.all("checkout.session", **match) if within(one["created"], given.params.get("created"))]


@route("GET /v1/checkout/sessions/{id}/line_items", shape.SessionListLineItemsParams)
def line_items(books: Books, given: Given) -> list[Thing]:
    """What a session sells."""
    books.find("checkout.session", given.id)
    found: list[Thing] = books.note(given.id)["line_items"]["data"]
    return found


@route("POST /v1/checkout/sessions/{id}/expire", shape.SessionExpireParams)
def expire_session(books: Books, given: Given) -> Thing:
    """Nobody can pay it any more."""
    session = books.find("checkout.session", given.id)
    if session["status"] != "open":
        words = 'Only Checkout Sessions with a status in ["open"] can be expired.'
        raise ApiError(400, f"{words} This Checkout Session has a status of {session['status']}.")
    return expire(books, session)


def expire(books: Books, session: Thing) -> Thing:
    """Its time is over, or the API ended it."""
    session.update(status="expired", url=None)
    books.announce("checkout.session.expired", session)
    return session
