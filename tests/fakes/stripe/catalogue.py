"""Products and prices; and the account itself."""

import stripe
from stripe import params as shape

from tests.fakes.stripe import money
from tests.fakes.stripe.books import Books
from tests.fakes.stripe.routing import Given, apply, route, without_expand
from tests.fakes.stripe.shapes import filled
from tests.fakes.stripe.wire import ApiError, Thing, within

ACCOUNT = "acct_fake0000000000"
MOST_KEYS = 10  # lookup keys that may be listed at a time


@route("GET /v1/account", shape.AccountRetrieveCurrentParams)
def account(books: Books, _given: Given) -> Thing:
    """The account whose key was used."""
    facts = {"id": ACCOUNT, "country": "DE", "default_currency": "eur", "charges_enabled": True, "details_submitted": True}
    return filled(stripe.Account, {**facts, "payouts_enabled": True, "type": "standard", "created": books.now()})


@route("GET /v1/balance", shape.BalanceRetrieveParams)
def balance(_books: Books, _given: Given) -> Thing:
    """An empty balance; what it is good for is `livemode`, which no account says."""
    return filled(stripe.Balance, {"livemode": False})


# --- products ---

PRODUCT = "active description images marketing_features metadata name statement_descriptor tax_code unit_label url"


@route("POST /v1/products", shape.ProductCreateParams, f"{PRODUCT} id")
def create_product(books: Books, given: Given) -> Thing:
    """A product, active unless said otherwise."""
    params = given.params
    if params.get("id") in books.kept:
        raise ApiError(400, f"Product already exists with ID: {params['id']}", code="resource_already_exists")
    values = {"active": True, "updated": books.now(), "type": "service", "metadata": {}, **params}
    return books.make(stripe.Product, "prod", without_expand(values), "product.created")


@route("POST /v1/products/{id}", shape.ProductUpdateParams, f"{PRODUCT} default_price")
def update_product(books: Books, given: Given) -> Thing:
    """Change what is given."""
    with books.change(books.find("product", given.id), "product.updated") as product:
        apply(product, given, *f"{PRODUCT} default_price".replace("metadata", "").split())
        product["updated"] = books.now()
    return product


@route("DELETE /v1/products/{id}", shape.ProductDeleteParams)
def delete_product(books: Books, given: Given) -> Thing:
    """Only a product without prices can be deleted."""
    product = books.find("product", given.id)
    if books.all("price", product=given.id):
        raise ApiError(400, "This product cannot be deleted because it has one or more user-created prices.")
    return books.remove(product, "product.deleted")


@route("GET /v1/products/{id}", shape.ProductRetrieveParams)
def product_of(books: Books, given: Given) -> Thing:
    """One product."""
    return books.find("product", given.id)


@route("GET /v1/products", shape.ProductListParams, "active created ids")
def products(books: Books, given: Given) -> list[Thing]:
    """Products, by whether they are active, by ids."""
    found, ids = books.all("product", active=given.params.get("active")), given.params.get("ids")
    return [one for one in found if (ids is None or one["id"] in ids) and within(one["created"], given.params.get("created"))]


# --- prices ---


@route(
    "POST /v1/prices",
    shape.PriceCreateParams,
    "active currency currency_options lookup_key metadata nickname product product_data recurring tax_behavior transfer_lookup_key"
    " unit_amount",
)
def create_price(books: Books, given: Given) -> Thing:
    """A price; its amount, currency and interval can never be changed afterwards."""
    params = given.params
    if "unit_amount" not in params:
        raise ApiError(400, "Missing required param: unit_amount.", code="parameter_missing", param="unit_amount")
    product = _product_for(books, params)
    currency = params["currency"].lower()
    _take_lookup_key(books, params)
    price = books.make(stripe.Price, "price", {
        "active": params.get("active", True), "billing_scheme": "per_unit", "currency": currency, "lookup_key": params.get("lookup_key"),
        "metadata": params.get("metadata", {}), "nickname": params.get("nickname"), "product": product["id"],
        "recurring": _recurring(params.get("recurring")), "tax_behavior": params.get("tax_behavior", "unspecified"),
        "type": "recurring" if "recurring" in params else "one_time",
        "unit_amount": params["unit_amount"], "unit_amount_decimal": str(params["unit_amount"]),
    })  # fmt: skip
    books.note(price["id"])["currency_options"] = _options(price, params.get("currency_options", {}))
    books.announce("price.created", price)
    return price


def _product_for(books: Books, params: Thing) -> Thing:
    if ("product" in params) == ("product_data" in params):
        raise ApiError(400, "You must specify exactly one of product and product_data.", code="parameter_missing", param="product")
    if "product" in params:
        return books.find("product", params["product"], "product")
    made: Thing = create_product(books, Given("", dict(params["product_data"])))
    return made


def _recurring(given: Thing | None) -> Thing | None:
    return None if given is None else {"interval_count": 1, "usage_type": "licensed", **given}


def _options(price: Thing, given: Thing) -> Thing:
    own = {price["currency"]: {"unit_amount": price["unit_amount"]}}
    return {
        currency: filled(stripe.Price.CurrencyOptions, {
            "tax_behavior": "unspecified", **option, "unit_amount_decimal": str(option["unit_amount"]),
        })
        for currency, option in {**own, **given}.items()
    }  # fmt: skip


def _take_lookup_key(books: Books, params: Thing, own: str = "") -> None:
    """A lookup key belongs to one price; `transfer_lookup_key` takes it away from the one that has it."""
    key = params.get("lookup_key")
    for holder in books.all("price", lookup_key=key) if key else []:
        if holder["id"] == own:
            continue
        if not params.get("transfer_lookup_key"):
            words = f"A price (`{holder['id']}`) already uses that lookup key."
            raise ApiError(400, words, code="resource_already_exists", param="lookup_key")
        with books.change(holder, "price.updated"):
            holder["lookup_key"] = None


@route(
    "POST /v1/prices/{id}",
    shape.PriceUpdateParams,
    "active currency_options lookup_key metadata nickname tax_behavior transfer_lookup_key",
)
def update_price(books: Books, given: Given) -> Thing:
    """Change what may be changed of a price."""
    price = books.find("price", given.id)
    _take_lookup_key(books, given.params, given.id)
    with books.change(price, "price.updated"):
        apply(price, given, "active", "lookup_key", "nickname", "tax_behavior")
    if given.params.get("currency_options"):
        more = {name: value for name, value in given.params["currency_options"].items() if name != price["currency"]}
        books.note(given.id)["currency_options"].update(_options(price, more))
    return price


@route("GET /v1/prices/{id}", shape.PriceRetrieveParams)
def price_of(books: Books, given: Given) -> Thing:
    """One price."""
    return books.find("price", given.id)


@route("GET /v1/prices", shape.PriceListParams, "active created currency lookup_keys product recurring type")
def prices(books: Books, given: Given) -> list[Thing]:
    """Prices, by lookup keys among others."""
    params = given.params
    if len(params.get("lookup_keys", ())) > MOST_KEYS:
        raise ApiError(400, f"You may only specify up to {MOST_KEYS} lookup keys.", param="lookup_keys")
    match = {name: params.get(name) for name in ("active", "currency", "product", "type")}
    return [
        price
        for price in books.all("price", **match)
        if ("lookup_keys" not in params or price["lookup_key"] in params["lookup_keys"])
        and within(price["created"], params.get("created"))
        and all((price["recurring"] or {}).get(name) == value for name, value in params.get("recurring", {}).items())
    ]


def price_in(books: Books, price: Thing, currency: str) -> int | None:
    """What a price is in a currency; None where it has no amount in it."""
    try:
        return money.amount_of({**price, **books.note(price["id"])}, currency)
    except KeyError:
        return None


def new_price(books: Books, old: Thing, unit_amount: int) -> Thing:
    """What staff do when a price is raised: a new price under the same lookup key; the old one lives on without it."""
    params: Thing = {name: old[name] for name in ("currency", "product", "nickname", "metadata") if old[name]}
    if old["recurring"]:
        params["recurring"] = {name: old["recurring"][name] for name in ("interval", "interval_count")}
    if old["lookup_key"]:
        params |= {"lookup_key": old["lookup_key"], "transfer_lookup_key": True}
    made: Thing = create_price(books, Given("", {**params, "unit_amount": unit_amount}))
    return made
