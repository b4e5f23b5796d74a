"""Invoices, refunds and disputes of Stripe's lists against our payments, a page at a time; and what our own rows say by themselves."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from courseapp.billing.comparing import customers_named
from courseapp.billing.entitlements import is_live
from courseapp.billing.findings import Finding
from courseapp.billing.holdings import is_under_way
from courseapp.billing.models import Checkout, CheckoutState, Customer, Entitlement, Kind, Payment, Refund, Subscription
from courseapp.billing.standing import GONE_BACK, SHUT, state_of_money
from courseapp.billing.stripe_gateway import Thing, id_of
from courseapp.extensions import db

PAGE = 200


def compare_invoices(things: Sequence[Thing], _now: datetime) -> list[Finding]:
    """Paid invoices of our customers that are no payment here. Without money there is no payment."""
    paid = [thing for thing in things if thing["status"] == "paid" and thing["amount_paid"]]
    known = customers_named({str(id_of(thing["customer"])) for thing in paid})
    ids = {thing["id"]: intents_of(thing) for thing in paid if id_of(thing["customer"]) in known}
    intents = {intent for each in ids.values() for intent in each}
    query = sa.select(Payment.invoice_id, Payment.stripe_id)
    rows = db.session.execute(query.where(sa.or_(Payment.invoice_id.in_(ids), Payment.stripe_id.in_(intents | set(ids)))))
    here = {each for row in rows for each in row if each is not None}
    return [Finding("payment_unknown", {"invoice": name}) for name, own in ids.items() if not here & {name, *own}]


def intents_of(invoice: Thing) -> list[str]:
    """The payment intents that paid an invoice."""
    payments = (invoice.get("payments") or {}).get("data", [])
    found = [id_of(each["payment"].get("payment_intent")) for each in payments]
    return [intent for intent in found if intent is not None]


def compare_refunds(things: Sequence[Thing], _now: datetime) -> list[Finding]:
    """Refunds of our payments that are not here, or stand otherwise."""
    payments = _payments_named({id_of(thing.get("payment_intent")) for thing in things})
    query = sa.select(Refund).where(Refund.payment_id.in_([row.id for row in payments.values()]))
    here: dict[int, dict[str, tuple[int, str]]] = defaultdict(dict)
    for row in db.session.scalars(query):
        here[row.payment_id][row.stripe_id] = (row.amount, row.status)
    found = []
    for intent, payment in payments.items():
        ours = here[payment.id]
        theirs = {thing["id"]: (thing["amount"], str(thing["status"])) for thing in things if id_of(thing.get("payment_intent")) == intent}
        fresh = sorted(name for name, said in theirs.items() if ours.get(name) != said)
        if fresh:
            before = state_of_money(payment.amount, _gone_back(ours), payment.disputed)
            after = state_of_money(payment.amount, _gone_back({**ours, **theirs}), payment.disputed)
            takes = before is None and after is not None
            found.append(Finding("refund_unknown", {"payment": intent, "refund": fresh[0]}, takes_access=takes))
    return found


class Disputes:
    """Comparing disputes: they are listed the newest first, and of each payment the newest counts."""

    def __init__(self) -> None:
        self._newest: dict[int, str] = {}  # by payment

    def compare(self, things: Sequence[Thing], _now: datetime) -> list[Finding]:
        """Disputes of our payments that stand otherwise here."""
        payments = _payments_named({id_of(thing.get("payment_intent")) for thing in things})
        found = []
        for thing in things:
            payment = payments.get(id_of(thing.get("payment_intent")) or "")
            if payment is None or self._newest.setdefault(payment.id, thing["id"]) != thing["id"]:
                continue
            if payment.disputed != thing["status"]:
                gone = sum(row.amount for row in _refunds_of(payment) if row.status in GONE_BACK)
                before, after = (state_of_money(payment.amount, gone, said) for said in (payment.disputed, thing["status"]))
                ids = {"payment": payment.stripe_id, "dispute": thing["id"]}
                takes = before is None and after is not None
                found.append(Finding("dispute_unknown", ids, {"theirs": thing["status"]}, takes_access=takes))
        return found


def _payments_named(intents: set[str | None]) -> dict[str, Payment]:
    return {row.stripe_id: row for row in db.session.scalars(sa.select(Payment).where(Payment.stripe_id.in_(intents - {None})))}


def _refunds_of(payment: Payment) -> Sequence[Refund]:
    return db.session.scalars(sa.select(Refund).where(Refund.payment_id == payment.id)).all()


def _gone_back(refunds: dict[str, tuple[int, str]]) -> int:
    return sum(amount for amount, status in refunds.values() if status in GONE_BACK)


def loose_access(after: int, now: datetime) -> tuple[list[Finding], int | None]:
    """Entitlements that are open and that nothing paid carries, of a page after a number; and the number to go on after."""
    shut = sa.or_(Subscription.id.is_(None), Subscription.status.in_(SHUT))
    unpaid = sa.or_(Checkout.id.is_(None), Checkout.state != CheckoutState.FULFILLED)
    is_loose = sa.or_(sa.and_(Entitlement.kind == Kind.SUBSCRIPTION, shut), sa.and_(Entitlement.kind == Kind.PURCHASE, unpaid))
    query = (
        sa.select(Entitlement.id, Entitlement.public_id, Subscription.stripe_id.label("subscription"), Checkout.stripe_id.label("checkout"))
        .outerjoin(Subscription, Subscription.id == Entitlement.subscription_id)
        .outerjoin(Checkout, Checkout.id == Entitlement.checkout_id)
        .where(is_live(now), is_loose, Entitlement.id > after)
    )
    rows = db.session.execute(query.order_by(Entitlement.id).limit(PAGE)).all()
    found = []
    for row in rows:
        carriers = {"subscription": row.subscription, "checkout": row.checkout}
        ids = {"entitlement": row.public_id, **{name: stripe_id for name, stripe_id in carriers.items() if stripe_id}}
        found.append(Finding("access_loose", ids, takes_access=True))
    return found, rows[-1].id if len(rows) == PAGE else None


def second_customers() -> list[Finding]:
    """People who subscribe as more than one customer. To be two is nothing wrong: whoever buys as a guest and signs in later is."""
    live = sa.select(Customer.id, Customer.user_id, Customer.stripe_id).where(
        Customer.user_id.is_not(None), sa.select(Subscription.id).where(Subscription.customer_id == Customer.id, is_under_way()).exists()
    )
    subscribing = live.subquery()
    several = sa.select(subscribing.c.user_id).group_by(subscribing.c.user_id).having(sa.func.count() > 1)
    query = sa.select(subscribing.c.user_id, subscribing.c.stripe_id).where(subscribing.c.user_id.in_(several.limit(PAGE)))
    theirs: dict[int, list[str]] = defaultdict(list)
    for user_id, stripe_id in db.session.execute(query.order_by(subscribing.c.user_id, subscribing.c.id)):
        theirs[user_id or 0].append(stripe_id)
    return [Finding("second_customer", {"customer": ids[0], "other": ids[1]}, {"count": len(ids)}) for ids in theirs.values()]
