"""The clock: what becomes due while time is let go by, in the order in which it is due."""

from collections.abc import Callable, Iterator

from tests.fakes.stripe import buying, checkout, subscribing
from tests.fakes.stripe.books import DAY, Books
from tests.fakes.stripe.wire import Thing

Due = tuple[int, int, Callable[[], None]]  # when, which comes first of two at one moment, what
MOST = 100_000


def advance(books: Books, until: int) -> int:
    """Let time go by until then, and do all that becomes due, each at its own moment. Returns how much was done."""
    done = 0
    if until <= books.now() and all(due[0] > until for due in _all_due(books)):
        return 0  # and the clock runs on: holding it takes the rest of a second away
    try:
        while done < MOST:
            due = min(_all_due(books), key=lambda one: one[:2], default=None)
            if due is None or due[0] > until:
                break
            books.hold_clock(max(due[0], books.now()))
            due[2]()
            done += 1
        books.hold_clock(max(until, books.now()))
    finally:
        books.hold_clock(None)
    return done


def _all_due(books: Books) -> Iterator[Due]:
    for subscription in books.all("subscription"):
        if subscription["status"] not in subscribing.ENDED:
            yield from _of_subscription(books, subscription)
    for invoice in books.all("invoice"):
        yield from _of_invoice(books, invoice)
    for session in books.all("checkout.session"):
        yield from _of_session(books, session)


def _of_subscription(books: Books, subscription: Thing) -> Iterator[Due]:
    note, end = books.note(subscription["id"]), subscribing.period_end(subscription)
    if subscription["cancel_at"] is not None:
        yield subscription["cancel_at"], 0, lambda: subscribing.end(books, subscription, "cancellation_requested")
    match subscription["status"]:
        case "trialing":
            if not note.get("trial_warned"):
                warning = subscription["trial_end"] - subscribing.TRIAL_WARNING
                yield warning, 1, lambda: subscribing.warn_of_trial_end(books, subscription)
            yield subscription["trial_end"], 2, lambda: subscribing.end_trial(books, subscription)
        case "active" | "past_due" | "unpaid":
            is_renewed = subscription["cancel_at"] is None or subscription["cancel_at"] > end
            if is_renewed and note.get("upcoming_for") != end and subscription["status"] == "active":
                yield end - books.settings["upcoming_days"] * DAY, 1, lambda: subscribing.upcoming(books, subscription)
            yield end, 2, lambda: subscribing.renew(books, subscription)
        case "incomplete" if not note.get("processing"):
            yield subscription["created"] + 23 * 3_600, 2, lambda: _give_up_incomplete(books, subscription)


def _of_invoice(books: Books, invoice: Thing) -> Iterator[Due]:
    note = books.note(invoice["id"])
    if invoice["status"] == "draft" and "finalize_at" in note:
        yield note["finalize_at"], 3, lambda: _collect(books, invoice, "finalize_at")
    if invoice["status"] == "open" and "retry_at" in note:
        yield note["retry_at"], 3, lambda: _collect(books, invoice, "retry_at")


def _of_session(books: Books, session: Thing) -> Iterator[Due]:
    if session["status"] == "open":
        yield session["expires_at"], 4, lambda: _expire(books, session)
    later = books.note(session["id"]).get("later")
    if later:
        yield later["at"], 4, lambda: buying.settle(books, session, later["succeeds"])


def _collect(books: Books, invoice: Thing, why: str) -> None:
    books.note(invoice["id"]).pop(why)
    subscribing.collect(books, invoice)


def _expire(books: Books, session: Thing) -> None:
    checkout.expire(books, session)


def _give_up_incomplete(books: Books, subscription: Thing) -> None:
    with books.change(subscription, "customer.subscription.updated"):
        subscription["status"] = "incomplete_expired"
    invoice = books.kept[subscription["latest_invoice"]]
    if invoice["status"] == "open":
        invoice["status"] = "void"
        books.announce("invoice.voided", invoice)
