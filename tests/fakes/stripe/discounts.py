"""Coupons, promotion codes, and the discounts that come of them."""

import stripe
from stripe import params as shape

from tests.fakes.stripe.books import Books
from tests.fakes.stripe.routing import Given, apply, route, without_expand
from tests.fakes.stripe.wire import ApiError, Thing, within

MONTH = 30 * 86_400 + 10 * 3_600  # a twelfth of a year, good enough for coupons of so many months


@route(
    "POST /v1/coupons",
    shape.CouponCreateParams,
    "amount_off currency duration duration_in_months id max_redemptions metadata name percent_off redeem_by",
)
def create_coupon(books: Books, given: Given) -> Thing:
    """So much off, or so many percent."""
    params = without_expand(given.params)
    if ("amount_off" in params) == ("percent_off" in params):
        raise ApiError(400, "Must specify exactly one of: percent_off, amount_off", code="parameter_missing", param="percent_off")
    if "amount_off" in params and "currency" not in params:
        raise ApiError(400, "Missing required param: currency.", code="parameter_missing", param="currency")
    if params.get("duration") == "repeating" and "duration_in_months" not in params:
        raise ApiError(400, "Missing required param: duration_in_months.", code="parameter_missing", param="duration_in_months")
    if params.get("id") in books.kept:
        raise ApiError(400, "Coupon already exists.", code="resource_already_exists", param="id")
    usual = {"id": books.new_id("c")[2:10], "duration": "once", "metadata": {}, "times_redeemed": 0, "valid": True}
    return books.make(stripe.Coupon, "", {**usual, **params}, "coupon.created")


@route("GET /v1/coupons/{id}", shape.CouponRetrieveParams)
def coupon_of(books: Books, given: Given) -> Thing:
    """One coupon."""
    return books.find("coupon", given.id)


@route("GET /v1/coupons", shape.CouponListParams, "created")
def coupons(books: Books, given: Given) -> list[Thing]:
    """All coupons."""
    return [coupon for coupon in books.all("coupon") if within(coupon["created"], given.params.get("created"))]


@route("DELETE /v1/coupons/{id}", shape.CouponDeleteParams)
def delete_coupon(books: Books, given: Given) -> Thing:
    """Nobody can redeem it any more; discounts that came of it stay."""
    return books.remove(books.find("coupon", given.id), "coupon.deleted")


@route(
    "POST /v1/promotion_codes",
    shape.PromotionCodeCreateParams,
    "active code customer expires_at max_redemptions metadata promotion restrictions",
)
def create_promotion_code(books: Books, given: Given) -> Thing:
    """A word that customers type in for a coupon."""
    params = without_expand(given.params)
    if "coupon" not in params["promotion"]:
        raise ApiError(400, "Missing required param: promotion[coupon].", code="parameter_missing", param="promotion[coupon]")
    books.find("coupon", params["promotion"]["coupon"], "promotion[coupon]")
    code = params.pop("code", None) or books.new_id("")[1:9].upper()
    if any(other["active"] for other in books.all("promotion_code") if other["code"].lower() == code.lower()):
        raise ApiError(400, "An active promotion code with `code` already exists.", code="resource_already_exists", param="code")
    restrictions = {"first_time_transaction": False, **params.pop("restrictions", {})}
    usual = {"active": True, "code": code, "metadata": {}, "restrictions": restrictions, "times_redeemed": 0}
    return books.make(stripe.PromotionCode, "promo", {**usual, **params}, "promotion_code.created")


@route("POST /v1/promotion_codes/{id}", shape.PromotionCodeUpdateParams, "active metadata")
def update_promotion_code(books: Books, given: Given) -> Thing:
    """Switch it off or on."""
    with books.change(books.find("promotion_code", given.id), "promotion_code.updated") as code:
        apply(code, given, "active")
    return code


@route("GET /v1/promotion_codes/{id}", shape.PromotionCodeRetrieveParams)
def promotion_code_of(books: Books, given: Given) -> Thing:
    """One promotion code."""
    return books.find("promotion_code", given.id)


@route("GET /v1/promotion_codes", shape.PromotionCodeListParams, "active code coupon created customer")
def promotion_codes(books: Books, given: Given) -> list[Thing]:
    """Promotion codes, by the word or the coupon."""
    params = given.params
    found = books.all("promotion_code", active=params.get("active"), code=params.get("code"), customer=params.get("customer"))
    coupon = params.get("coupon")
    return [code for code in found if coupon in {None, code["promotion"]["coupon"]} and within(code["created"], params.get("created"))]


def usable_code(books: Books, word: str, session: Thing) -> Thing | None:
    """The promotion code somebody typed in, if it can be used now for a session."""
    for code in books.all("promotion_code", active=True):
        if code["code"].lower() == word.strip().lower():
            coupon = books.kept.get(code["promotion"]["coupon"])
            is_alive = coupon is not None and is_redeemable(books, coupon) and coupon["currency"] in {None, session["currency"]}
            return code if is_alive and _is_for(books, code, session) else None
    return None


def _is_for(books: Books, code: Thing, session: Thing) -> bool:
    limits, customer = code["restrictions"], session["customer"]
    if limits["minimum_amount"] is not None:
        is_other = limits["minimum_amount_currency"] != session["currency"]
        if is_other or session["amount_subtotal"] < limits["minimum_amount"]:
            return False
    if limits["first_time_transaction"] and customer and books.all("charge", customer=customer, status="succeeded"):
        return False
    is_early = code["expires_at"] is None or books.now() < code["expires_at"]
    is_left = code["max_redemptions"] is None or code["times_redeemed"] < code["max_redemptions"]
    return is_early and is_left and code["customer"] in {None, customer}


def is_redeemable(books: Books, coupon: Thing) -> bool:
    """Whether a coupon is neither over nor used up."""
    is_early = coupon["redeem_by"] is None or books.now() < coupon["redeem_by"]
    return is_early and (coupon["max_redemptions"] is None or coupon["times_redeemed"] < coupon["max_redemptions"])


def coupon_in(books: Books, given: Thing) -> Thing | None:
    """The coupon of a `discounts[]` entry: a coupon, or a promotion code with one."""
    if promotion_code := given.get("promotion_code"):
        code = books.find("promotion_code", promotion_code, "discounts[0][promotion_code]")
        return books.find("coupon", code["promotion"]["coupon"], "discounts[0][promotion_code]")
    return books.find("coupon", given["coupon"], "discounts[0][coupon]") if given.get("coupon") else None


def redeem(books: Books, given: Thing, customer: str | None, **about: str) -> Thing:
    """Make a discount of a `discounts[]` entry, and count that it was used."""
    coupon = coupon_in(books, given)
    assert coupon is not None
    for used in filter(None, (coupon, books.kept.get(given.get("promotion_code") or ""))):
        used["times_redeemed"] += 1
    coupon["valid"] = is_redeemable(books, coupon)
    end = books.now() + coupon["duration_in_months"] * MONTH if coupon["duration"] == "repeating" else None
    source = {"type": "coupon", "coupon": coupon["id"]}
    values = {"customer": customer, "promotion_code": given.get("promotion_code"), "source": source, "start": books.now(), "end": end}
    discount = books.make(stripe.Discount, "di", {**values, **about})
    books.note(discount["id"])["coupon"] = coupon  # a coupon may be deleted, and what it gave stays
    return discount


def holding(books: Books, discounts: list[str]) -> list[Thing]:
    """Those discounts of a subscription that still count for its next invoice."""
    found = [books.kept[discount] for discount in discounts]
    return [one for one in found if _duration(books, one) != "once" and (one["end"] is None or books.now() < one["end"])]


def _duration(books: Books, discount: Thing) -> str:
    return str(books.note(discount["id"])["coupon"]["duration"])
