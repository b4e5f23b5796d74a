"""Payment intents, charges and cards: how money moves, or does not."""

from typing import Literal

import stripe
from stripe import params as shape

from tests.fakes.stripe.books import Books
from tests.fakes.stripe.routing import Given, apply, route
from tests.fakes.stripe.shapes import filled
from tests.fakes.stripe.wire import Thing, within

# What a card does when it is charged. `later`: the money comes days afterwards, or does not.
How = Literal["pays", "declines", "requires_action", "later"]
CARD = {"brand": "visa", "country": "DE", "exp_month": 12, "exp_year": 2040, "funding": "credit", "last4": "4242"}
DECLINED = ("card_declined", "generic_decline", "Your card was declined.")
UNAUTHENTICATED = (
    "payment_intent_authentication_failure",
    None,
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
)


@route(
    "POST /v1/payment_intents",
    shape.PaymentIntentCreateParams,
    "amount automatic_payment_methods currency customer description metadata receipt_email statement_descriptor",
)
def create_intent(books: Books, given: Given) -> Thing:
    """A payment that nobody has paid yet; nothing here confirms it."""
    params = {name: value for name, value in given.params.items() if name not in {"expand", "automatic_payment_methods"}}
    return new_intent(books, **params)


@route("GET /v1/payment_intents/{id}", shape.PaymentIntentRetrieveParams)
def intent_of(books: Books, given: Given) -> Thing:
    """One payment intent."""
    return books.find("payment_intent", given.id)


@route("GET /v1/payment_intents", shape.PaymentIntentListParams, "created customer")
def intents(books: Books, given: Given) -> list[Thing]:
    """Payment intents, by customer."""
    found = books.all("payment_intent", customer=given.params.get("customer"))
    return [intent for intent in found if within(intent["created"], given.params.get("created"))]


@route("GET /v1/charges/{id}", shape.ChargeRetrieveParams)
def charge_of(books: Books, given: Given) -> Thing:
    """One charge."""
    return books.find("charge", given.id)


@route("GET /v1/charges", shape.ChargeListParams, "created customer payment_intent")
def charges(books: Books, given: Given) -> list[Thing]:
    """Charges, by customer or payment intent."""
    params = given.params
    found = books.all("charge", customer=params.get("customer"), payment_intent=params.get("payment_intent"))
    return [charge for charge in found if within(charge["created"], params.get("created"))]


@route("POST /v1/charges/{id}", shape.ChargeUpdateParams, "description metadata")
def update_charge(books: Books, given: Given) -> Thing:
    """Change what is said of a charge."""
    with books.change(books.find("charge", given.id), "charge.updated") as charge:
        apply(charge, given, "description")
    return charge


@route("GET /v1/payment_methods/{id}", shape.PaymentMethodRetrieveParams)
def method_of(books: Books, given: Given) -> Thing:
    """One payment method."""
    return books.find("payment_method", given.id)


@route("GET /v1/payment_methods", shape.PaymentMethodListParams, "customer type")
def methods(books: Books, given: Given) -> list[Thing]:
    """Payment methods of a customer."""
    return books.all("payment_method", customer=given.params.get("customer"), type=given.params.get("type"))


def new_intent(books: Books, **values: object) -> Thing:
    """A payment intent, announced."""
    new_id = books.new_id("pi")
    usual = {"id": new_id, "amount_capturable": 0, "amount_received": 0, "capture_method": "automatic_async"}
    usual |= {"client_secret": f"{new_id}_secret_fake", "confirmation_method": "automatic"}
    more = {"metadata": {}, "payment_method_types": ["card"], "status": "requires_payment_method"}
    return books.make(stripe.PaymentIntent, "pi", {**usual, **more, **values}, "payment_intent.created")


def new_card(books: Books, customer: str | None, how: How, email: str | None = None) -> Thing:
    """A card that behaves as said whenever it is charged."""
    kind = "sepa_debit" if how == "later" else "card"
    card = {**CARD, "last4": "0002" if how == "declines" else CARD["last4"]}
    details = {"card": card} if kind == "card" else {"sepa_debit": {"last4": "3000", "country": "DE"}}
    values: Thing = {"billing_details": {"email": email}, "customer": customer, "livemode": False, "metadata": {}, "type": kind, **details}
    values |= {"created": books.now(), "object": "payment_method", "allow_redisplay": "limited"}
    method = books.make(stripe.PaymentMethod, "pm", values)
    books.note(method["id"])["how"] = how
    if customer is not None:
        books.announce("payment_method.attached", method)
    return method


def how_of(books: Books, method: str | None) -> How:
    """What a card does; none cannot pay."""
    how: How = books.note(method)["how"] if method else "declines"
    return how


def pay(books: Books, intent: Thing, method: Thing | None, email: str | None = None) -> str:
    """Try to take the money, and say what came of it, which is the intent's status: succeeded, processing, …"""
    how = how_of(books, None if method is None else method["id"])
    intent["payment_method"] = None if method is None else method["id"]
    if how == "requires_action":
        return _ask_to_authenticate(books, intent, method)
    if how == "declines":
        return refuse(books, intent, method, email, DECLINED)
    charge = _charge(books, intent, method, email, "pending" if how == "later" else "succeeded")
    if how == "later":
        intent["status"] = "processing"
        books.announce("charge.pending", charge)
        books.announce("payment_intent.processing", intent)
    else:
        _succeed(books, intent, charge)
    return str(intent["status"])


def refuse(books: Books, intent: Thing, method: Thing | None, email: str | None, why: tuple[str, str | None, str]) -> str:
    """The bank, or the check with the bank, says no."""
    code, decline_code, words = why
    charge = _charge(books, intent, method, email, "failed", code, words) if why is DECLINED else None
    error = {"type": "card_error" if why is DECLINED else "invalid_request_error", "code": code, "message": words}
    whole = filled(stripe.PaymentIntent.LastPaymentError, {**error, "decline_code": decline_code, "charge": charge and charge["id"]})
    intent.update(status="requires_payment_method", last_payment_error=whole, payment_method=None, next_action=None)
    if charge is not None:
        books.announce("charge.failed", charge)
    books.announce("payment_intent.payment_failed", intent)
    return str(intent["status"])


def settle(books: Books, intent: Thing, succeeds: bool) -> None:
    """A delayed payment comes, or does not."""
    charge = books.kept[intent["latest_charge"]]
    if succeeds:
        charge.update(status="succeeded", paid=True, captured=True, amount_captured=charge["amount"])
        _succeed(books, intent, charge)
        return
    words = "The customer's bank account has insufficient funds."
    charge.update(status="failed", paid=False, failure_code="insufficient_funds", failure_message=words)
    error = filled(stripe.PaymentIntent.LastPaymentError, {"type": "card_error", "code": "insufficient_funds", "message": words})
    intent.update(status="requires_payment_method", last_payment_error=error)
    books.announce("charge.failed", charge)
    books.announce("payment_intent.payment_failed", intent)


def _ask_to_authenticate(books: Books, intent: Thing, method: Thing | None) -> str:
    redirect = {"return_url": None, "url": f"{books.url}/3ds/{intent['id']}"}
    action = filled(stripe.PaymentIntent.NextAction, {"type": "redirect_to_url", "redirect_to_url": redirect})
    intent.update(status="requires_action", next_action=action)
    books.announce("payment_intent.requires_action", intent)
    return str(intent["status"])


def _succeed(books: Books, intent: Thing, charge: Thing) -> None:
    intent.update(status="succeeded", amount_received=intent["amount"], last_payment_error=None, next_action=None)
    books.announce("charge.succeeded", charge)
    books.announce("payment_intent.succeeded", intent)


def _charge(
    books: Books, intent: Thing, method: Thing | None, email: str | None, status: str, code: str | None = None, words: str | None = None
) -> Thing:
    is_paid = status == "succeeded"
    kind = "card" if method is None else method["type"]
    paid_with = dict(CARD) if kind == "card" else {"last4": "3000"}
    charge = books.make(stripe.Charge, "ch", {
        "amount": intent["amount"], "amount_captured": intent["amount"] if is_paid else 0, "amount_refunded": 0,
        "billing_details": {"email": email}, "captured": is_paid, "currency": intent["currency"], "customer": intent["customer"],
        "failure_code": code, "failure_message": words, "metadata": dict(intent["metadata"]), "paid": status != "failed",
        "payment_intent": intent["id"], "payment_method": method and method["id"],
        "payment_method_details": {"type": kind, kind: paid_with},
        "description": intent["description"], "status": status, "statement_descriptor": intent["statement_descriptor"],
        "receipt_email": intent["receipt_email"], "receipt_url": f"{books.url}/r/{intent['id']}", "livemode": False,
    })  # fmt: skip
    intent["latest_charge"] = charge["id"]
    return charge
