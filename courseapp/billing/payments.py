"""Money that came and went, as Stripe tells it; and what that opens. In the caller's transaction, with the customer's claim held."""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from courseapp.billing import letters
from courseapp.billing.attention import need_attention
from courseapp.billing.entitlements import hold
from courseapp.billing.models import Checkout, Entitlement, Kind, Payment, Refund, Subscription
from courseapp.billing.standing import GONE_BACK, SUSPENDING, Access
from courseapp.billing.stripe_gateway import Thing, id_of, known_moment, moment
from courseapp.billing.subscriptions import money_of_payment, plan_of_price, settle_access
from courseapp.extensions import db

OPEN = "open"
RENEWAL, CHANGE = "subscription_cycle", "subscription_update"


def payment_of(stripe_id: str) -> Payment | None:
    """The payment of a payment intent, or None."""
    return db.session.scalar(sa.select(Payment).where(Payment.stripe_id == stripe_id))


def keep_invoice(told: Thing, subscription: Subscription, now: datetime) -> Payment | None:
    """Keep the payment of a subscription's invoice, once it is paid; None where it is not, or came to nothing.

    A renewal and a change of plan get their receipt by mail; a first payment's stands in the mail about the purchase.
    """
    if told["status"] != "paid" or not told["amount_paid"]:
        return None
    intent = intent_of_invoice(told)
    kept = db.session.scalar(
        sa.select(Payment).where(sa.or_(Payment.invoice_id == told["id"], Payment.stripe_id == (intent or told["id"])))
    )
    if kept is None:
        kept = Payment(stripe_id=intent or told["id"], amount=told["amount_paid"], currency=told["currency"])
        db.session.add(kept)
        kept.paid_at = known_moment(told["status_transitions"]["paid_at"] or told["created"])
        kept.tax = sum(tax["amount"] for tax in told["total_taxes"] or ())
    kept.invoice_id, kept.invoice_number = told["id"], told["number"]
    kept.customer_id, kept.subscription_id, kept.plan_id = subscription.customer_id, subscription.id, _plan_of_invoice(told, subscription)
    db.session.flush()
    if told["billing_reason"] == RENEWAL:
        letters.renewed(subscription.customer.user_id, kept, subscription, now)
    elif told["billing_reason"] == CHANGE:
        letters.changed(subscription.customer.user_id, kept, subscription, now)
    return kept


def keep_purchase(session: Thing, checkout: Checkout, customer_id: int | None, now: datetime) -> Payment | None:
    """Keep the payment of a one-off purchase; None where it cost nothing."""
    intent = id_of(session["payment_intent"])
    if not session["amount_total"] or intent is None:
        return None
    kept = payment_of(intent)
    if kept is None:
        kept = Payment(stripe_id=intent, amount=session["amount_total"], currency=session["currency"], paid_at=_paid_at(session) or now)
        kept.tax = (session["total_details"] or {}).get("amount_tax") or 0
        db.session.add(kept)
    kept.checkout_id, kept.customer_id, kept.plan_id = checkout.id, customer_id, checkout.plan_id
    if isinstance(session["invoice"], dict):
        kept.invoice_id, kept.invoice_number = session["invoice"]["id"], session["invoice"]["number"]
    db.session.flush()
    return kept


def _paid_at(session: Thing) -> datetime | None:
    """When a one-off was paid, as its invoice says; None while it says nothing. Hearing of it late must not move it to another month."""
    invoice = session["invoice"]
    return moment(invoice["status_transitions"]["paid_at"]) if isinstance(invoice, dict) else None


def note_number(told: Thing) -> bool:
    """Put the number of a one-off's invoice to its payment; False where there is none of it."""
    intent = intent_of_invoice(told)
    kept = payment_of(intent) if intent else None
    if kept is None:
        return False
    kept.invoice_id, kept.invoice_number = told["id"], told["number"]
    return True


def intent_of_invoice(told: Thing) -> str | None:
    """The payment intent that paid an invoice, or that last tried to; None where none was needed."""
    payments = (told.get("payments") or {}).get("data", ())
    found = sorted(payments, key=lambda one: one["status"] == "paid", reverse=True)
    return id_of(found[0]["payment"].get("payment_intent")) if found else None


def keep_refunds(payment: Payment, refunds: Iterable[Thing], disputes: Iterable[Thing], now: datetime) -> None:
    """Keep what went back of a payment, and whether it is disputed; and let that open or close what was bought."""
    for told in refunds:
        kept = db.session.scalar(sa.select(Refund).where(Refund.stripe_id == told["id"]))
        if kept is None:
            kept = Refund(stripe_id=told["id"], payment_id=payment.id, amount=told["amount"], made_at=known_moment(told["created"]))
            kept.status = ""
            db.session.add(kept)
        is_news, kept.status = kept.status not in GONE_BACK and told["status"] in GONE_BACK, told["status"]
        if is_news:
            letters.refunded(owner_of_payment(payment), payment, kept, now)
            if kept.amount < payment.amount:
                need_attention("part_refunded", now, payment=payment.id, refund=kept.stripe_id)
    latest = max(disputes, key=lambda told: told["created"], default=None)
    before, payment.disputed = payment.disputed, latest["status"] if latest is not None else None
    if payment.disputed in SUSPENDING and before not in SUSPENDING:
        need_attention("dispute_opened", now, payment=payment.id)
    db.session.flush()
    settle_payment(payment, now)


def settle_payment(payment: Payment, now: datetime) -> None:
    """Let the owner of a payment hold what it opens now."""
    if payment.subscription is not None:
        settle_access(payment.subscription, now)
    elif payment.checkout is not None:
        settle_purchase(payment.checkout, now)


def settle_purchase(checkout: Checkout, now: datetime, user_id: int | None = None) -> bool:
    """Let the owner of a fulfilled one-off hold what it opens now; whether anything changed.

    Who holds it already goes on: what a guest bought may have gone to an account since.
    """
    holder = db.session.scalar(sa.select(Entitlement.user_id).where(Entitlement.checkout_id == checkout.id)) or user_id or checkout.user_id
    if holder is None:
        need_attention("no_owner", now, checkout=checkout.public_id)
        return False
    paid = db.session.scalar(sa.select(Payment).where(Payment.checkout_id == checkout.id))
    access = Access(money_of_payment(paid) if paid is not None else None)
    return hold(holder, checkout.plan.tier_id, Kind.PURCHASE, access, now, checkout_id=checkout.id)


def owner_of_payment(payment: Payment) -> int | None:
    """Whose a payment is."""
    if payment.customer is not None:
        return payment.customer.user_id
    return payment.checkout.user_id if payment.checkout is not None else None


def _plan_of_invoice(told: Thing, subscription: Subscription) -> int | None:
    """The plan that an invoice is mostly of: that of its last line, for what goes before it settles what was before."""
    for line in reversed(told["lines"]["data"]):
        details = (line["pricing"] or {}).get("price_details") or {}
        if details.get("price") and (plan := plan_of_price(id_of(details["price"]) or "")) is not None:
            return plan.id
    return subscription.plan_id
