"""What happens when somebody pays, or tries to, on the hosted page of a Checkout Session."""

from typing import Literal, get_args

import stripe

from tests.fakes.stripe import checkout, discounts, invoicing, paying, subscribing
from tests.fakes.stripe.books import DAY, Books
from tests.fakes.stripe.customers import new_customer
from tests.fakes.stripe.shapes import filled
from tests.fakes.stripe.wire import ApiError, Thing

# What the person at the page does. `unauthenticated` fails 3-D Secure; `later_…` pays with a debit that takes days.
Way = Literal["pay", "decline", "unauthenticated", "later_succeeds", "later_fails", "without_card"]


def buy(books: Books, session: Thing, way: Way, email: str | None = None, name: str | None = None) -> str | None:
    """Go through with it. Returns what the page says went wrong; None where the session is complete."""
    if way not in get_args(Way):
        raise ApiError(400, f"There is no way {way!r} of paying, but {get_args(Way)}.")
    if session["status"] != "open":
        raise ApiError(400, f"This session is {session['status']}.")
    email = session["customer_email"] or (session["customer_details"] or {}).get("email") or email
    if not email:
        return "Your e-mail address is missing."
    if way == "without_card" and not may_go_without_card(books, session):
        return "A card is needed."
    if way in {"decline", "unauthenticated"}:
        return _refused(books, session, way, email)
    customer = _customer(books, session, email, name)
    details: Thing = {"email": email, "name": name or (customer and customer["name"]), "tax_exempt": "none", "tax_ids": []}
    session.update(
        status="complete", url=None, customer=customer and customer["id"],
        customer_details=filled(stripe.checkout.Session.CustomerDetails, details),
    )  # fmt: skip
    if session["mode"] == "payment":
        _pay_once(books, session, customer, way, email)
    else:
        assert customer is not None
        _subscribe(books, session, customer, way)
    if way.startswith("later") and session["payment_status"] == "unpaid":
        due = books.now() + books.settings["later_days"] * DAY
        books.note(session["id"])["later"] = {"at": due, "succeeds": way == "later_succeeds"}
    books.announce("checkout.session.completed", session)
    return None


def may_go_without_card(books: Books, session: Thing) -> bool:
    """Whether a trial may begin without one."""
    return checkout.trial_end(books, session) is not None and session["payment_method_collection"] == "if_required"


def use_code(books: Books, session: Thing, word: str) -> str | None:
    """Type in a promotion code. Returns what the page says went wrong."""
    if not session["allow_promotion_codes"]:
        return "This session takes no promotion codes."
    code = discounts.usable_code(books, word, session)
    if code is None:
        return "This code is invalid."
    books.note(session["id"])["discounts"] = [{"promotion_code": code["id"]}]
    checkout.reckon(books, session)
    return None


def settle(books: Books, session: Thing, succeeds: bool) -> None:
    """The delayed payment of a completed session comes, or does not."""
    if books.note(session["id"]).pop("later", None) is None:
        raise ApiError(400, "Nothing is on its way for this session.")
    intent = books.kept[books.note(session["id"])["intent"]]
    paying.settle(books, intent, succeeds)
    if session["invoice"] and session["subscription"]:
        invoice, subscription = books.kept[session["invoice"]], books.kept[session["subscription"]]
        books.note(subscription["id"]).pop("processing", None)
        if succeeds:
            invoicing.mark_paid(books, invoice)
            subscribing.paid(books, subscription, invoice)
        else:
            subscribing.failed(books, subscription, invoice)
    if succeeds:
        session["payment_status"] = "paid"
    books.announce(f"checkout.session.async_payment_{'succeeded' if succeeds else 'failed'}", session)


def _refused(books: Books, session: Thing, way: Way, email: str) -> str:
    """The session stays open. A failed attempt leaves no subscription and no invoice behind (changelog, 2025-03-31.basil)."""
    if session["amount_total"] == 0:
        return "This card was declined."
    intent = _intent(books, session, None)
    method = paying.new_card(books, None, "declines", email)
    if way == "decline":
        paying.refuse(books, intent, method, email, paying.DECLINED)
        return paying.DECLINED[2]
    paying.pay(books, intent, paying.new_card(books, None, "requires_action", email), email)
    paying.refuse(books, intent, method, email, paying.UNAUTHENTICATED)
    return paying.UNAUTHENTICATED[2]


def _intent(books: Books, session: Thing, customer: Thing | None) -> Thing:
    """The session's one payment intent, made when somebody first tries to pay."""
    note = books.note(session["id"])
    if "intent" not in note:
        data = note["params"].get("payment_intent_data", {})
        intent = paying.new_intent(books, **{"amount": session["amount_total"], "currency": session["currency"], **data})
        note["intent"] = intent["id"]
    intent = books.kept[note["intent"]]
    intent.update(amount=session["amount_total"], customer=customer and customer["id"])
    return intent


def _customer(books: Books, session: Thing, email: str, name: str | None) -> Thing | None:
    if session["customer"]:
        return books.kept[session["customer"]]
    is_needed = session["mode"] == "subscription" or session["customer_creation"] == "always"
    return new_customer(books, email=email, name=name) if is_needed else None


def _card(books: Books, customer: Thing | None, way: Way, email: str) -> Thing:
    owner = None if customer is None else customer["id"]
    return paying.new_card(books, owner, "later" if way.startswith("later") else "pays", email)


def _pay_once(books: Books, session: Thing, customer: Thing | None, way: Way, email: str) -> None:
    for one in books.note(session["id"])["discounts"]:
        discounts.redeem(books, one, None if customer is None else customer["id"], checkout_session=session["id"])
    if session["amount_total"] == 0:
        session["payment_status"] = "no_payment_required"
        return
    intent = _intent(books, session, customer)
    session["payment_intent"] = intent["id"]
    status = paying.pay(books, intent, _card(books, customer, way, email), email)
    session["payment_status"] = "paid" if status == "succeeded" else "unpaid"
    if (session["invoice_creation"] or {}).get("enabled") and customer is not None and status == "succeeded":
        session["invoice"] = _receipt(books, session, customer, intent)["id"]


def _receipt(books: Books, session: Thing, customer: Thing, intent: Thing) -> Thing:
    """The invoice of a one-off purchase: made when it is paid already."""
    lines = [
        invoicing.line(
            books, one["price"], one["amount_total"], one["currency"], (books.now(), books.now()),
            quantity=one["quantity"], words=one["description"],
        )
        for one in books.note(session["id"])["line_items"]["data"]
    ]  # fmt: skip
    invoice = invoicing.draft(books, customer, lines, "manual")
    invoicing.finalize(books, invoice)
    invoicing.ask_for(books, invoice, intent)
    invoicing.mark_paid(books, invoice)
    return invoice


def _subscribe(books: Books, session: Thing, customer: Thing, way: Way) -> None:
    note = books.note(session["id"])
    data = note["params"].get("subscription_data", {})
    trial = checkout.trial_end(books, session)
    method = None if way == "without_card" else _card(books, customer, way, session["customer_details"]["email"])
    behavior = data.get("trial_settings", {}).get("end_behavior", {}).get("missing_payment_method", "create_invoice")
    paid = _pay_first(books, session, customer, method)
    subscription = subscribing.begin(
        books, customer, [(books.kept[price], count) for price, count in note["prices"]], session["currency"], method, trial_end=trial,
        metadata=data.get("metadata", {}), without_card=behavior, tax=session["automatic_tax"]["enabled"],
        description=data.get("description"),
    )  # fmt: skip
    subscription["discounts"] = [
        discounts.redeem(books, one, customer["id"], subscription=subscription["id"])["id"] for one in note["discounts"]
    ]
    session["subscription"] = subscription["id"]
    if paid == "succeeded" and books.settings["created_as"] == "active":
        subscription["status"] = "active"
    books.announce("customer.subscription.created", subscription)
    session["invoice"] = _first_invoice(books, session, subscription, paid)["id"]
    session["payment_status"] = {"succeeded": "paid", "processing": "unpaid", "": "no_payment_required"}[paid]
    if trial and trial - books.now() <= subscribing.TRIAL_WARNING:
        subscribing.warn_of_trial_end(books, subscription)


def _pay_first(books: Books, session: Thing, customer: Thing, method: Thing | None) -> str:
    """Take the money: only then there is a subscription and an invoice. Empty where there is nothing to pay."""
    if session["amount_total"] == 0:
        return ""
    intent = _intent(books, session, customer)
    intent["setup_future_usage"] = "off_session"
    return paying.pay(books, intent, method, session["customer_details"]["email"])


def _first_invoice(books: Books, session: Thing, subscription: Thing, paid: str) -> Thing:
    invoice = subscribing.first_invoice(books, subscription)
    invoicing.finalize(books, invoice)
    if paid:
        invoicing.ask_for(books, invoice, _intent(books, session, books.kept[subscription["customer"]]))
        invoice.update(attempted=True, attempt_count=1)
    if paid == "succeeded" and invoice["status"] == "open":
        invoicing.mark_paid(books, invoice)
    if paid == "processing":
        books.note(subscription["id"])["processing"] = True
    if paid != "processing" or books.settings["while_processing"] == "active":
        subscribing.paid(books, subscription, invoice)
    return invoice
