"""The hosted page of a Checkout Session, and that of an open invoice."""

from tests.fakes.stripe import buying, checkout, invoicing, paying, subscribing
from tests.fakes.stripe.books import Books
from tests.fakes.stripe.money import in_words
from tests.fakes.stripe.pages import Page, alert, button, entry, form, link, not_found, sent_to, shown, words
from tests.fakes.stripe.wire import Thing

WAYS: list[tuple[buying.Way, str]] = [
    ("pay", "Pay"),
    ("decline", "Pay with a card that is declined"),
    ("unauthenticated", "Pay, and fail the bank's check (3-D Secure)"),
    ("later_succeeds", "Pay by a debit that takes days and succeeds"),
    ("later_fails", "Pay by a debit that takes days and fails"),
]


def checkout_page(books: Books, id: str, problem: str | None = None) -> Page:
    """What is bought, and the buttons for it."""
    session = books.kept.get(id)
    if session is None or session["object"] != "checkout.session":
        return not_found()
    if session["status"] == "complete":
        return shown("You're all done here", words("This session was completed."), link("Go on", after(session)))
    if session["status"] == "expired":
        return shown("This session has expired", link("Back", session["cancel_url"] or "/"))
    trial = checkout.trial_end(books, session)
    return shown(
        "Checkout", alert(problem), _sold(books, session),
        words("There is a free trial; nothing is paid today.") if trial else "", _code(session),
        form(
            f"/c/pay/{id}", "" if _email(session) else entry("E-mail", "email", type="email"), entry("Name", "name"),
            *(button(label, "way", way) for way, label in WAYS), _without_card(books, session),
        ),
        link("Back", session["cancel_url"]) if session["cancel_url"] else "",
    )  # fmt: skip


def _email(session: Thing) -> str | None:
    return session["customer_email"] or (session["customer_details"] or {}).get("email")


def _sold(books: Books, session: Thing) -> str:
    currency = session["currency"]
    lines = [
        f"{one['quantity']} × {one['description']}: {in_words(one['amount_subtotal'], currency)}"
        for one in books.note(session["id"])["line_items"]["data"]
    ]
    off = session["total_details"]["amount_discount"]
    lines += [f"Discount: −{in_words(off, currency)}"] if off else []
    return "".join(map(words, [*lines, f"Total: {in_words(session['amount_total'], currency)}"]))


def _code(session: Thing) -> str:
    if not session["allow_promotion_codes"]:
        return ""
    return form(f"/c/pay/{session['id']}/code", entry("Promotion code", "code"), button("Apply"))


def _without_card(books: Books, session: Thing) -> str:
    return button("Start the trial without a card", "way", "without_card") if buying.may_go_without_card(books, session) else ""


def after(session: Thing) -> str:
    """Where the browser goes when it is done, with the session's id where the address has a place for it."""
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def pay(books: Books, id: str, given: dict[str, str]) -> Page:
    """Somebody pressed one of the buttons."""
    session = books.kept.get(id)
    if session is None or session["object"] != "checkout.session" or session["status"] != "open":
        return checkout_page(books, id)
    way = given.get("way", "pay")
    if way not in {"without_card", *(way for way, _label in WAYS)}:
        return not_found()
    problem = buying.buy(books, session, way, given.get("email"), given.get("name") or None)
    return checkout_page(books, id, problem) if problem else sent_to(after(session))


def use_code(books: Books, id: str, given: dict[str, str]) -> Page:
    """Somebody typed in a promotion code."""
    session = books.kept.get(id)
    if session is None or session["object"] != "checkout.session" or session["status"] != "open":
        return checkout_page(books, id)
    problem = buying.use_code(books, session, given.get("code", ""))
    return checkout_page(books, id, problem) if problem else sent_to(f"/c/pay/{id}")


# --- invoices ---


def invoice_page(books: Books, id: str, problem: str | None = None) -> Page:
    """The hosted page of an invoice: paid, or with buttons to pay it."""
    invoice = books.kept.get(id)
    if invoice is None or invoice["object"] != "invoice" or invoice["status"] == "draft":
        return not_found()
    amount = in_words(invoice["amount_due"], invoice["currency"])
    if invoice["status"] != "open":
        return shown(f"Invoice {invoice['number']}", words(f"{amount}, {invoice['status']}"))
    buttons = (button("Pay", "way", "pays"), button("Pay with a card that is declined", "way", "declines"))
    return shown(f"Invoice {invoice['number']}", alert(problem), words(f"{amount} to pay"), form(f"/i/{id}", *buttons))


def pay_invoice(books: Books, id: str, given: dict[str, str]) -> Page:
    """Somebody pays an open invoice with another card, which the subscription keeps."""
    invoice = books.kept.get(id)
    if invoice is None or invoice["object"] != "invoice" or invoice["status"] != "open":
        return invoice_page(books, id)
    how: paying.How = "declines" if given.get("way") == "declines" else "pays"
    subscription = books.kept[invoicing.subscription_of(invoice) or ""]
    if how == "declines":
        method = paying.new_card(books, None, how, invoice["customer_email"])
        paying.refuse(books, invoicing.ask_for(books, invoice), method, invoice["customer_email"], paying.DECLINED)
        books.announce("invoice.payment_failed", invoice)
        return invoice_page(books, id, paying.DECLINED[2])
    with books.change(subscription, "customer.subscription.updated"):
        method = paying.new_card(books, invoice["customer"], how, invoice["customer_email"])
        subscription["default_payment_method"] = method["id"]
    subscribing.collect(books, invoice)
    return sent_to(f"/i/{id}")


def receipt_page(books: Books, id: str) -> Page:
    """The receipt of a payment."""
    intent = books.kept.get(id)
    if intent is None or intent["object"] != "payment_intent":
        return not_found()
    return shown("Receipt", words(in_words(intent["amount"], intent["currency"])), words(f"The payment is {intent['status']}."))
