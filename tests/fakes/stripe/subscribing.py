"""Subscriptions: how they begin, are paid for, are changed and end.

Status by Stripe's page "How subscriptions work": incomplete until the first payment, trialing, active, past_due while a renewal
is tried again, then canceled or unpaid as the account is set up; paused when a trial ends without a card and is set up so.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import stripe

from tests.fakes.stripe import invoicing, money, paying
from tests.fakes.stripe.books import DAY, Books
from tests.fakes.stripe.shapes import filled
from tests.fakes.stripe.wire import Thing

ENDED = frozenset({"canceled", "incomplete_expired"})
HOUR = 3_600  # a renewal's invoice stays a draft for about so long
TRIAL_WARNING = 3 * DAY


# --- periods ---


def period_after(anchor: int, start: int, recurring: Thing) -> int:
    """The end of the period that begins at `start`, counted from the anchor, so that the 31st comes back after February."""
    count, step = recurring["interval_count"], 0
    while True:
        step += 1
        end = _moved(anchor, recurring["interval"], count * step)
        if end > start:
            return end


def _moved(moment: int, interval: str, count: int) -> int:
    at = datetime.fromtimestamp(moment, UTC)
    if interval in {"day", "week"}:
        return int((at + timedelta(days=count * (7 if interval == "week" else 1))).timestamp())
    months = at.month - 1 + count * (12 if interval == "year" else 1)
    year, month = at.year + months // 12, months % 12 + 1
    for day in range(at.day, 0, -1):
        try:
            return int(at.replace(year=year, month=month, day=day).timestamp())
        except ValueError:
            continue
    raise AssertionError("every month has a first day")


def period_end(subscription: Thing) -> int:
    """When what is paid for ends; it stands on the items alone."""
    return int(min(item["current_period_end"] for item in subscription["items"]["data"]))


# --- beginning ---


def begin(
    books: Books, customer: Thing, wanted: Iterable[tuple[Thing, int]], currency: str, method: Thing | None, *, metadata: Thing,
    trial_end: int | None = None, without_card: str = "create_invoice", tax: bool = False, description: str | None = None,
) -> Thing:  # fmt: skip
    """A subscription, incomplete until it is paid for, or on trial. Announces nothing: discounts may still come to it."""
    now, new_id = books.now(), books.new_id("sub")
    anchor = trial_end or now
    subscription = books.make(stripe.Subscription, "sub", {
        "id": new_id, "automatic_tax": {"enabled": tax}, "billing_cycle_anchor": anchor, "collection_method": "charge_automatically",
        "billing_mode": {"type": "flexible", "flexible": {"proration_discounts": "included"}}, "cancellation_details": {},
        "currency": currency, "customer": customer["id"], "default_payment_method": method and method["id"], "description": description,
        "invoice_settings": {"issuer": {"type": "self"}}, "livemode": False, "metadata": metadata, "start_date": now,
        "payment_settings": {"save_default_payment_method": "off"}, "status": "trialing" if trial_end else "incomplete",
        "latest_invoice": books.new_id("in"), "trial_start": now if trial_end else None, "trial_end": trial_end,
        "trial_settings": {"end_behavior": {"missing_payment_method": without_card}},
    })  # fmt: skip
    items = []
    for price, quantity in wanted:
        period = (now, trial_end or period_after(now, now, price["recurring"]))
        items.append(_item(books, new_id, price, quantity, period))
    subscription["items"] = {"object": "list", "data": items, "has_more": False, "url": f"/v1/subscription_items?subscription={new_id}"}
    return subscription


def _item(books: Books, subscription: str, price: Thing, quantity: int, period: tuple[int, int]) -> Thing:
    return books.make(stripe.SubscriptionItem, "si", {
        "current_period_start": period[0], "current_period_end": period[1], "metadata": {}, "plan": plan_of(price), "price": dict(price),
        "quantity": quantity, "subscription": subscription, "tax_rates": [],
    })  # fmt: skip


def plan_of(price: Thing) -> Thing:
    """The price once more in the shape of old; items still carry it."""
    same = ("id", "active", "billing_scheme", "created", "currency", "livemode", "metadata", "nickname", "product")
    recurring = {name: price["recurring"][name] for name in ("interval", "interval_count", "usage_type")}
    amounts = {"amount": price["unit_amount"], "amount_decimal": price["unit_amount_decimal"]}
    return filled(stripe.Plan, {**{name: price[name] for name in same}, **recurring, **amounts})


def first_invoice(books: Books, subscription: Thing) -> Thing:
    """The invoice a subscription begins with, finalised at once; of nothing while on trial."""
    is_free = subscription["status"] == "trialing"
    lines = [line_for(books, subscription, item, is_free=is_free) for item in subscription["items"]["data"]]
    customer = books.kept[subscription["customer"]]
    return invoicing.draft(books, customer, lines, "subscription_create", subscription, subscription["latest_invoice"])


def line_for(books: Books, subscription: Thing, item: Thing, *, is_free: bool = False) -> Thing:
    """The line of an item for the period it is in."""
    price, currency = item["price"], subscription["currency"]
    whole = {**price, **books.note(price["id"])}
    amount = 0 if is_free else money.amount_of(whole, currency) * item["quantity"]
    period = (item["current_period_start"], item["current_period_end"])
    return invoicing.line(
        books, price, amount, currency, period, quantity=item["quantity"], subscription=subscription["id"], item=item["id"],
        words="Trial period" if is_free else "",
    )  # fmt: skip


# --- paying ---


def collect(books: Books, invoice: Thing) -> str:
    """Finalise an invoice if it is a draft, charge the card, and let the subscription follow: paid, processing, failed."""
    subscription = books.kept[invoicing.subscription_of(invoice) or ""]
    if invoice["status"] == "draft":
        invoicing.finalize(books, invoice)
    outcome = "paid" if invoice["status"] == "paid" else invoicing.attempt(books, invoice, method_of(books, subscription))
    if outcome == "failed":
        failed(books, subscription, invoice)
    else:
        paid(books, subscription, invoice)
    return outcome


def method_of(books: Books, subscription: Thing) -> Thing | None:
    """The card a subscription is charged to: its own, or else the customer's."""
    customer = books.kept[subscription["customer"]]
    method = subscription["default_payment_method"] or customer.get("invoice_settings", {}).get("default_payment_method")
    return books.kept.get(method or "")


def paid(books: Books, subscription: Thing, invoice: Thing) -> None:
    """The latest invoice is paid (or on its way): the subscription lives."""
    if subscription["latest_invoice"] != invoice["id"] or subscription["status"] not in {"incomplete", "past_due", "unpaid"}:
        return
    with books.change(subscription, "customer.subscription.updated"):
        subscription["status"] = "active"
    _mark_delinquent(books, subscription, False)


def failed(books: Books, subscription: Thing, invoice: Thing) -> None:
    """An attempt failed: say so, try again as the account is set up, and let the subscription be late."""
    note, days = books.note(invoice["id"]), books.settings["retry_days"]
    tries = note.get("tries", 0)
    is_last = tries >= len(days) or subscription["status"] in ENDED
    if is_last:
        invoice["auto_advance"] = False
        note.pop("retry_at", None)
    else:
        invoice["next_payment_attempt"] = note["retry_at"] = books.now() + days[tries] * DAY
        note["tries"] = tries + 1
    invoicing.mark_failed(books, invoice)
    _mark_delinquent(books, subscription, True)
    if subscription["status"] in {"active", "trialing"}:
        with books.change(subscription, "customer.subscription.updated"):
            subscription["status"] = "past_due"
    if is_last and subscription["status"] == "past_due":
        _give_up(books, subscription)


def _give_up(books: Books, subscription: Thing) -> None:
    match books.settings["dunning_end"]:
        case "cancel":
            end(books, subscription, "payment_failed")
        case "unpaid":
            with books.change(subscription, "customer.subscription.updated"):
                subscription["status"] = "unpaid"


def _mark_delinquent(books: Books, subscription: Thing, is_late: bool) -> None:
    customer = books.kept[subscription["customer"]]
    if "delinquent" in customer:
        with books.change(customer, "customer.updated"):
            customer["delinquent"] = is_late


# --- the course of time ---


def renew(books: Books, subscription: Thing) -> None:
    """A period is over: the next begins, and its invoice is a draft for an hour."""
    with books.change(subscription, "customer.subscription.updated"):
        _roll(books, subscription)
        subscription["discounts"] = invoicing.live_discounts(books, subscription)
        invoice = _next_invoice(books, subscription, "subscription_cycle")
        if subscription["status"] == "unpaid":
            invoice["auto_advance"] = False
        else:
            books.note(invoice["id"])["finalize_at"] = books.now() + HOUR


def _roll(books: Books, subscription: Thing) -> None:
    scheduled = books.note(subscription["id"]).pop("at_period_end", None)
    for item in subscription["items"]["data"]:
        if scheduled:
            price = books.kept[scheduled["price"]]
            item.update(price=dict(price), plan=plan_of(price))
            subscription["schedule"] = None
        start = item["current_period_end"]
        anchor = subscription["billing_cycle_anchor"]
        item.update(current_period_start=start, current_period_end=period_after(anchor, start, item["price"]["recurring"]))


def _next_invoice(books: Books, subscription: Thing, reason: str) -> Thing:
    pending = books.note(subscription["id"]).pop("pending_lines", [])
    lines = [*pending, *(line_for(books, subscription, item) for item in subscription["items"]["data"])]
    invoice = invoicing.draft(books, books.kept[subscription["customer"]], lines, reason, subscription)
    subscription["latest_invoice"] = invoice["id"]
    return invoice


def end_trial(books: Books, subscription: Thing) -> None:
    """The first paid period begins, or what was set up for a trial without a card happens."""
    behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    has_card = method_of(books, subscription) is not None
    if not has_card and behavior == "cancel":
        end(books, subscription, None)
    elif not has_card and behavior == "pause":
        with books.change(subscription, "customer.subscription.updated", "customer.subscription.paused"):
            subscription["status"] = "paused"
    else:
        with books.change(subscription, "customer.subscription.updated"):
            subscription["status"] = "active"
            _roll(books, subscription)
            invoice = _next_invoice(books, subscription, "subscription_cycle")
            books.note(invoice["id"])["finalize_at"] = books.now() + HOUR


def upcoming(books: Books, subscription: Thing) -> None:
    """Announce what the next invoice will be."""
    books.note(subscription["id"])["upcoming_for"] = period_end(subscription)
    pending = books.note(subscription["id"]).get("pending_lines", [])
    lines = [dict(one) for one in [*pending, *(line_for(books, subscription, item) for item in subscription["items"]["data"])]]
    discounts = invoicing.live_discounts(books, subscription)
    shown = invoicing.preview(books, books.kept[subscription["customer"]], lines, "upcoming", subscription, discounts)
    books.announce("invoice.upcoming", {**shown, "next_payment_attempt": period_end(subscription) + HOUR})


def warn_of_trial_end(books: Books, subscription: Thing) -> None:
    """Three days before a trial ends, or at once where it is shorter."""
    books.note(subscription["id"])["trial_warned"] = True
    books.announce("customer.subscription.trial_will_end", subscription)


# --- ending ---


def schedule_end(books: Books, subscription: Thing, moment: int, *, says_period_end: bool) -> None:
    """Let it end later. `says_period_end`: the API's flag; the portal sets `cancel_at` alone."""
    with books.change(subscription, "customer.subscription.updated"):
        subscription.update(cancel_at=moment, cancel_at_period_end=says_period_end, canceled_at=books.now())
        subscription["cancellation_details"]["reason"] = "cancellation_requested"


def keep(books: Books, subscription: Thing) -> None:
    """Take a scheduled end back."""
    with books.change(subscription, "customer.subscription.updated"):
        subscription.update(cancel_at=None, cancel_at_period_end=False, canceled_at=None)
        subscription["cancellation_details"]["reason"] = None


def end(books: Books, subscription: Thing, reason: str | None) -> None:
    """It is over, for good. Announces customer.subscription.deleted."""
    now = books.now()
    subscription.update(status="canceled", canceled_at=subscription["canceled_at"] or now, ended_at=now)
    subscription["cancellation_details"]["reason"] = subscription["cancellation_details"]["reason"] or reason
    for invoice in books.all("invoice", status="draft"):
        if invoicing.subscription_of(invoice) == subscription["id"]:
            books.note(invoice["id"]).pop("finalize_at", None)
            invoice["auto_advance"] = False
    for invoice in books.all("invoice", status="open"):
        if invoicing.subscription_of(invoice) == subscription["id"]:
            books.note(invoice["id"]).pop("retry_at", None)
            invoice["auto_advance"] = False
    books.announce("customer.subscription.deleted", subscription)


def card_changed(books: Books, customer: Thing, how: paying.How) -> Thing:
    """The customer gave another card: it is the one that subscriptions are charged to from now on."""
    method = paying.new_card(books, customer["id"], how, customer["email"])
    with books.change(customer, "customer.updated"):
        customer["invoice_settings"]["default_payment_method"] = method["id"]
    for subscription in books.all("subscription", customer=customer["id"]):
        if subscription["status"] not in ENDED:
            with books.change(subscription, "customer.subscription.updated"):
                subscription["default_payment_method"] = method["id"]
    return method
