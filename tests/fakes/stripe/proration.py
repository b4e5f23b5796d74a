"""What a change of plan costs, by Stripe's page "Prorations": credit for the time that was paid and is not used, and the new
plan for what is left of the period; another interval begins a period of its own at once, and is invoiced at once."""

from tests.fakes.stripe import invoicing, money, subscribing
from tests.fakes.stripe.books import Books
from tests.fakes.stripe.wire import ApiError, Thing


def change_plan(books: Books, subscription: Thing, item: Thing, price: Thing, quantity: int, behavior: str) -> None:
    """Put an item on another price now.

    Args:
        behavior: `none`, `create_prorations` (on the next invoice) or `always_invoice` (at once).
    """
    if subscription["status"] in subscribing.ENDED:
        raise ApiError(400, "A canceled subscription can only update its cancellation_details and metadata.")
    old, now = item["price"], books.now()
    lines: list[Thing] = []
    is_other_interval = _interval(old) != _interval(price)
    is_paid = subscription["status"] not in {"trialing", "incomplete"}
    with books.change(subscription, "customer.subscription.updated"):
        if is_paid and behavior != "none":
            lines = _prorations(books, subscription, item, price, quantity, is_other_interval)
        item.update(price=dict(price), plan=subscribing.plan_of(price), quantity=quantity)
        _forget_schedule(books, subscription)
        if is_paid and is_other_interval:
            subscription["billing_cycle_anchor"] = now
            item.update(current_period_start=now, current_period_end=subscribing.period_after(now, now, price["recurring"]))
            lines.append(subscribing.line_for(books, subscription, item))
        if lines and (is_other_interval or behavior == "always_invoice"):
            _invoice(books, subscription, lines)
            lines = []
    if lines:
        books.note(subscription["id"]).setdefault("pending_lines", []).extend(lines)
    latest = books.kept[subscription["latest_invoice"]]
    if latest["status"] == "draft" and latest["billing_reason"] == "subscription_update":
        subscribing.collect(books, latest)


def change_at_period_end(books: Books, subscription: Thing, price: Thing) -> None:
    """A downgrade as the portal schedules it: the plan stays as it is until what is paid for is over."""
    with books.change(subscription, "customer.subscription.updated"):
        subscription["schedule"] = subscription["schedule"] or books.new_id("sub_sched")
    books.note(subscription["id"])["at_period_end"] = {"price": price["id"]}


def is_shorter(old: Thing, new: Thing) -> bool:
    """Whether a change goes to a shorter interval."""
    lengths = {"day": 1, "week": 7, "month": 30, "year": 365}
    before, after = (lengths[price["recurring"]["interval"]] * price["recurring"]["interval_count"] for price in (old, new))
    return bool(after < before)


def is_cheaper(books: Books, old: Thing, new: Thing, currency: str) -> bool:
    """Whether a change goes to less money, within one interval."""
    before, after = (money.amount_of({**price, **books.note(price["id"])}, currency) for price in (old, new))
    return _interval(old) == _interval(new) and after < before


def _interval(price: Thing) -> tuple[str, int]:
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def _forget_schedule(books: Books, subscription: Thing) -> None:
    subscription["schedule"] = None
    books.note(subscription["id"]).pop("at_period_end", None)


def _invoice(books: Books, subscription: Thing, lines: list[Thing]) -> None:
    customer = books.kept[subscription["customer"]]
    invoice = invoicing.draft(books, customer, lines, "subscription_update", subscription)
    subscription["latest_invoice"] = invoice["id"]


def _prorations(books: Books, subscription: Thing, item: Thing, price: Thing, quantity: int, is_other_interval: bool) -> list[Thing]:
    start, end, now = item["current_period_start"], item["current_period_end"], books.now()
    left, whole, currency = max(end - now, 0), end - start, subscription["currency"]

    def part(of: Thing, count: int, sign: int, words: str) -> Thing:
        full = money.amount_of({**of, **books.note(of["id"])}, currency) * count
        return invoicing.line(
            books, of, sign * money.share(full, left, whole), currency, (now, end), quantity=count, words=words,
            subscription=subscription["id"], item=item["id"], is_proration=True,
        )  # fmt: skip

    unused = part(item["price"], item["quantity"], -1, "Unused time")
    return [unused] if is_other_interval else [unused, part(price, quantity, 1, "Remaining time")]
