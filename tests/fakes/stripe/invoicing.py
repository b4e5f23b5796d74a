"""Invoices: their lines, what is due, and their payments."""

from decimal import Decimal

import stripe
from stripe import params as shape

from tests.fakes.stripe import discounts as discounting
from tests.fakes.stripe import money, paying
from tests.fakes.stripe.books import Books
from tests.fakes.stripe.routing import Given, route
from tests.fakes.stripe.shapes import filled
from tests.fakes.stripe.wire import Thing, within


@route("GET /v1/invoices/{id}", shape.InvoiceRetrieveParams)
def invoice_of(books: Books, given: Given) -> Thing:
    """One invoice."""
    return books.find("invoice", given.id)


@route("GET /v1/invoices", shape.InvoiceListParams, "created customer status subscription")
def invoices(books: Books, given: Given) -> list[Thing]:
    """Invoices, by customer, status or subscription."""
    params = given.params
    found = books.all("invoice", customer=params.get("customer"), status=params.get("status"))
    wanted = params.get("subscription")
    return [one for one in found if wanted in {None, subscription_of(one)} and within(one["created"], params.get("created"))]


@route("GET /v1/invoice_payments/{id}", shape.InvoicePaymentRetrieveParams)
def payment_of(books: Books, given: Given) -> Thing:
    """One payment of an invoice."""
    return books.find("invoice_payment", given.id)


@route("GET /v1/invoice_payments", shape.InvoicePaymentListParams, "created invoice payment status")
def payments(books: Books, given: Given) -> list[Thing]:
    """Payments of invoices: how one gets from a payment intent to its invoice, and back."""
    params = given.params
    found = books.all("invoice_payment", invoice=params.get("invoice"), status=params.get("status"))
    intent = params.get("payment", {}).get("payment_intent")
    return [one for one in found if intent in {None, one["payment"]["payment_intent"]} and within(one["created"], params.get("created"))]


def subscription_of(invoice: Thing) -> str | None:
    """Which subscription an invoice is of; it stands below `parent` alone."""
    details = (invoice["parent"] or {}).get("subscription_details")
    return details and details["subscription"]


def line(
    books: Books, price: Thing, amount: int, currency: str, period: tuple[int, int], *, quantity: int = 1, words: str = "",
    subscription: str | None = None, item: str | None = None, is_proration: bool = False,
) -> Thing:  # fmt: skip
    """A line of an invoice; `amount` is that of all its quantity."""
    parent: Thing | None = None
    if is_proration:
        details = {"invoice_item": books.new_id("ii"), "proration": True, "subscription": subscription}
        parent = {"type": "invoice_item_details", "invoice_item_details": details}
    elif subscription:
        details = {"proration": False, "subscription": subscription, "subscription_item": item}
        parent = {"type": "subscription_item_details", "subscription_item_details": details}
    product = books.kept.get(price["product"], {"name": "", "id": price["product"]})
    return filled(stripe.InvoiceLineItem, {
        "id": books.new_id("il"), "amount": amount, "subtotal": amount, "currency": currency, "livemode": False, "metadata": {},
        "description": words or f"{quantity} × {product['name']}", "discountable": not is_proration, "parent": parent,
        "period": {"start": period[0], "end": period[1]}, "quantity": quantity, "subscription": subscription,
        "pricing": {
            "type": "price_details", "price_details": {"price": price["id"], "product": product["id"]},
            "unit_amount_decimal": str(Decimal(amount) / quantity),
        },
    })  # fmt: skip


def preview(books: Books, customer: Thing, lines: list[Thing], reason: str, subscription: Thing | None, discounts: list[str]) -> Thing:
    """An invoice that is not kept, as `invoice.upcoming` shows it."""
    currency = lines[0]["currency"]
    subtotal = sum(one["amount"] for one in lines)
    base, off = sum(one["amount"] for one in lines if one["discountable"]), 0
    taken = []
    for discount in discounts:
        amount = money.discount_on(base - off, books.note(discount)["coupon"], currency)
        off += amount
        taken.append({"amount": amount, "discount": discount})
    total, new_id = subtotal - off, books.new_id("upcoming_in")
    for one in lines:
        one["invoice"] = new_id
    return filled(stripe.Invoice, {
        "id": new_id, "amount_due": max(total, 0), "amount_overpaid": 0, "amount_paid": 0, "amount_remaining": max(total, 0),
        "amount_shipping": 0, "attempt_count": 0, "auto_advance": True, "billing_reason": reason, "created": books.now(),
        "collection_method": "charge_automatically", "currency": currency, "customer": customer["id"], "discounts": discounts,
        "customer_email": customer["email"], "customer_name": customer["name"], "customer_tax_exempt": "none", "issuer": {"type": "self"},
        "lines": {"object": "list", "data": lines, "has_more": False, "url": f"/v1/invoices/{new_id}/lines"}, "livemode": False,
        "metadata": {}, "parent": subscription and _parent(subscription), "payment_settings": {}, "period_start": books.now(),
        "period_end": books.now(), "post_payment_credit_notes_amount": 0, "pre_payment_credit_notes_amount": 0, "starting_balance": 0,
        "status": "draft", "subtotal": subtotal, "subtotal_excluding_tax": subtotal, "total": total, "total_excluding_tax": total,
        "total_discount_amounts": taken, "total_taxes": [], "default_payment_method": None,
    })  # fmt: skip


def _parent(subscription: Thing) -> Thing:
    details = {"subscription": subscription["id"], "metadata": dict(subscription["metadata"])}
    return {"type": "subscription_details", "subscription_details": details}


def draft(
    books: Books, customer: Thing, lines: list[Thing], reason: str, subscription: Thing | None = None, id: str | None = None
) -> Thing:
    """A new invoice. Announces invoice.created."""
    discounts = subscription["discounts"] if subscription else []
    invoice = preview(books, customer, lines, reason, subscription, discounts)
    invoice["id"] = id or books.new_id("in")
    for one in lines:
        one["invoice"] = invoice["id"]
    invoice["lines"]["url"] = f"/v1/invoices/{invoice['id']}/lines"
    books.keep(invoice)
    books.announce("invoice.created", invoice)
    return invoice


def finalize(books: Books, invoice: Thing) -> None:
    """Give it a number, use the customer's credit, and ask for what is left."""
    customer = books.kept[invoice["customer"]]
    number = customer["next_invoice_sequence"]
    balance = int(customer["balance"])
    due = max(invoice["total"] + balance, 0)
    ending = invoice["total"] + balance - due
    invoice.update(
        status="open", number=f"{customer['invoice_prefix']}-{number:04}", starting_balance=balance, ending_balance=ending,
        amount_due=due, amount_remaining=due, effective_at=books.now(), hosted_invoice_url=f"{books.url}/i/{invoice['id']}",
        invoice_pdf=f"{books.url}/i/{invoice['id']}/pdf",
    )  # fmt: skip
    invoice["status_transitions"]["finalized_at"] = books.now()
    customer["next_invoice_sequence"] = number + 1
    if ending != balance:
        with books.change(customer, "customer.updated"):
            customer["balance"] = ending
    books.announce("invoice.finalized", invoice)
    if due == 0:
        mark_paid(books, invoice)


def ask_for(books: Books, invoice: Thing, intent: Thing | None = None) -> Thing:
    """The payment intent of an open invoice; made once."""
    note = books.note(invoice["id"])
    if "intent" not in note:
        words = "Subscription creation" if invoice["billing_reason"] == "subscription_create" else "Subscription update"
        intent = intent or paying.new_intent(
            books, amount=invoice["amount_due"], currency=invoice["currency"], customer=invoice["customer"], description=words,
            setup_future_usage="off_session",
        )  # fmt: skip
        note["intent"] = intent["id"]
        books.make(stripe.InvoicePayment, "inpay", {
            "amount_requested": invoice["amount_due"], "currency": invoice["currency"], "invoice": invoice["id"], "is_default": True,
            "livemode": False, "payment": {"type": "payment_intent", "payment_intent": intent["id"]}, "status": "open",
        })  # fmt: skip
    return books.kept[note["intent"]]


def attempt(books: Books, invoice: Thing, method: Thing | None) -> str:
    """Try to collect an open invoice with a card, and say what came of it: paid, processing, failed."""
    intent = ask_for(books, invoice)
    invoice.update(attempted=True, attempt_count=invoice["attempt_count"] + 1, next_payment_attempt=None)
    status = paying.pay(books, intent, method, invoice["customer_email"]) if method else _without_card(books, intent)
    if status == "succeeded":
        mark_paid(books, invoice)
        return "paid"
    return "processing" if status == "processing" else "failed"


def _without_card(books: Books, intent: Thing) -> str:
    return paying.refuse(books, intent, None, None, ("missing", None, "There is no payment method to charge."))


def mark_failed(books: Books, invoice: Thing) -> None:
    """Announce that an attempt failed, and that the customer is needed where the bank asks for them."""
    intent = books.kept[books.note(invoice["id"])["intent"]]
    if intent["status"] == "requires_action":
        books.announce("invoice.payment_action_required", invoice)
    books.announce("invoice.payment_failed", invoice)


def mark_paid(books: Books, invoice: Thing) -> None:
    """The money is there, or there was nothing to pay."""
    invoice.update(
        status="paid", attempted=True, amount_paid=invoice["amount_due"], amount_remaining=0, auto_advance=False, next_payment_attempt=None
    )
    invoice["status_transitions"]["paid_at"] = books.now()
    books.note(invoice["id"]).pop("retry_at", None)
    books.announce("invoice.paid", invoice)
    books.announce("invoice.payment_succeeded", invoice)
    for payment in books.all("invoice_payment", invoice=invoice["id"]):
        payment.update(status="paid", amount_paid=payment["amount_requested"])
        payment["status_transitions"]["paid_at"] = books.now()
        books.announce("invoice_payment.paid", payment)


def live_discounts(books: Books, subscription: Thing) -> list[str]:
    """Of a subscription's discounts, those that are left for a next invoice."""
    return [one["id"] for one in discounting.holding(books, subscription["discounts"])]
