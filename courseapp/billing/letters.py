"""The mails of billing: service mail, in neutral words, each once. They name a tier by its neutral name and never a course."""

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask import current_app
from flask_babel import force_locale, format_date

from courseapp.accounts.models import User
from courseapp.accounts.sign_in import new_request
from courseapp.billing.amounts import amount_words
from courseapp.billing.models import Checkout, Entitlement, Payment, Plan, Price, Refund, Subscription, Tier
from courseapp.billing.standing import GRACE, LATE, UNPAID
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.mailing.links import full_url
from courseapp.mailing.outbox import enqueue

LINK_HOLDS = timedelta(hours=24)  # the link in the mail about a purchase
GIFT_WAITS = timedelta(days=7)  # for so long the mail about one is news
PRESSING = timedelta(days=3)  # for so long a mail about a late payment is worth reading


def contact_id_of(user_id: int | None) -> int | None:
    """The contact of a user, or None for a guest."""
    return db.session.scalar(sa.select(User.contact_id).where(User.id == user_id)) if user_id is not None else None


def bought(checkout: Checkout, amount: int, currency: str, now: datetime) -> None:
    """That it is open, and what was paid. Somebody who bought without an account gets the link that makes it theirs on any device."""
    contact = _contact_of(checkout.user_id) or checkout.contact
    if contact is None:
        return None
    if checkout.trial_days:
        return _trial_begun(checkout, contact, now)
    is_guest = contact_id_of(checkout.user_id) is None
    fields = {"tier": checkout.plan.tier.neutral_name, "amount": _amount(amount, currency, contact), "page_url": _home()}
    if is_guest:
        guest = db.session.get(User, checkout.user_id) if checkout.user_id is not None else None
        token, _code = new_request(contact.id, checkout.public_id, now, guest, lifetime=LINK_HOLDS)
        fields["secret_url"] = full_url("accounts.sign_in_link", token=token)
    _mail("bought_as_guest" if is_guest else "bought", f"bought:{checkout.public_id}", contact, fields, now)


def _trial_begun(checkout: Checkout, contact: Contact, now: datetime) -> None:
    """That the free days have begun, until when at least, and what it costs then."""
    fields = {
        "tier": checkout.plan.tier.neutral_name,
        "until": _day(checkout.created_at + timedelta(days=checkout.trial_days), contact),
        "amount": _amount(checkout.price.amount, checkout.price.currency, contact),
        "page_url": _home(),
    }
    _mail("trial_begun", f"bought:{checkout.public_id}", contact, fields | _own_plan(), now)


def on_its_way(checkout: Checkout, now: datetime) -> None:
    """That the money takes some days, and that a mail comes when it is there."""
    _of_checkout("on_its_way", checkout, now)


def not_arrived(checkout: Checkout, now: datetime) -> None:
    """That the money never came, and nothing was opened."""
    _of_checkout("not_arrived", checkout, now)


def renewed(user_id: int | None, payment: Payment, subscription: Subscription, now: datetime) -> None:
    """The receipt of a renewal."""
    contact = _contact_of(user_id)
    if contact is None:
        return
    until = _day(subscription.period_ends_at or now, contact)
    fields = {"tier": _tier_name(payment.plan_id), "amount": _amount(payment.amount, payment.currency, contact), "until": until}
    _mail("renewed", f"payment:{payment.stripe_id}", contact, fields | _own_plan(), now)


def changed(user_id: int | None, payment: Payment, subscription: Subscription, now: datetime) -> None:
    """The receipt of what a larger plan cost at once."""
    contact = _contact_of(user_id)
    if contact is None:
        return
    fields = {"tier": _tier_name(subscription.plan_id), "amount": _amount(payment.amount, payment.currency, contact)}
    _mail("changed", f"payment:{payment.stripe_id}", contact, fields | _own_plan(), now)


def late(user_id: int | None, invoice: dict[str, Any], subscription: Subscription, *, needs_bank: bool, now: datetime) -> None:
    """That a payment did not go through, until when all stays open, and how to mend it; or that the bank wants to be asked.

    Where grace is over it says that it is closed. Of a subscription that never began, or that has ended, nothing is late.
    """
    contact = _contact_of(user_id)
    if contact is None or subscription.status not in {LATE, UNPAID}:
        return
    ends_at = (subscription.past_due_since or now) + GRACE
    fields = {"amount": _amount(invoice["amount_due"], invoice["currency"], contact), "tier": _tier_name(subscription.plan_id)}
    template = "late_closed" if subscription.status == UNPAID or ends_at <= now else "late"
    if template == "late":
        fields["until"] = _day(ends_at, contact)
        if needs_bank and invoice.get("hosted_invoice_url"):
            template, fields["secret_url"] = "bank_asks", invoice["hosted_invoice_url"]
    key = f"late:{invoice['id']}:{invoice['attempt_count']}:{'bank' if needs_bank else 'card'}"
    _mail(template, key, contact, fields | _own_plan(), now, expires_at=now + PRESSING)


def trial_ends(user_id: int | None, subscription: Subscription, now: datetime) -> None:
    """That the free days end soon, what it costs then, and how to stop."""
    contact = _contact_of(user_id)
    if contact is None or subscription.trial_ends_at is None:
        return
    fields = {
        "tier": _tier_name(subscription.plan_id),
        "until": _day(subscription.trial_ends_at, contact),
        "amount": _price_of(subscription, contact),
    }
    key = f"trial:{subscription.stripe_id}:{subscription.trial_ends_at:%Y-%m-%d}"
    _mail("trial_ends", key, contact, fields | _own_plan(), now, expires_at=subscription.trial_ends_at)


def refunded(user_id: int | None, payment: Payment, refund: Refund, now: datetime) -> None:
    """That money is on its way back, and whether what it opened is closed by that."""
    contact = _contact_of(user_id) or (payment.checkout.contact if payment.checkout is not None else None)
    if contact is None:
        return
    fields = {"tier": _tier_name(payment.plan_id), "amount": _amount(refund.amount, payment.currency, contact)}
    is_whole = refund.amount >= payment.amount
    _mail("refunded" if is_whole else "part_refunded", f"refund:{refund.stripe_id}", contact, fields | _own_plan(), now)


def given(gift: Entitlement, now: datetime) -> None:
    """That something was opened. It says neither what nor why: that is for the page of one's own plan."""
    contact = _contact_of(gift.user_id)
    if contact is not None:
        ends = min(filter(None, (gift.ends_at, now + GIFT_WAITS)))
        _mail("gift", f"gift:{gift.public_id}", contact, {"page_url": _home()} | _own_plan(), now, expires_at=ends)


def _of_checkout(template: str, checkout: Checkout, now: datetime) -> None:
    contact = _contact_of(checkout.user_id) or checkout.contact
    if contact is not None:
        fields = {"tier": checkout.plan.tier.neutral_name, "page_url": full_url("billing.plans")}
        _mail(template, f"{template}:{checkout.public_id}", contact, fields | _own_plan(), now)


def _mail(template: str, key: str, contact: Contact, fields: dict[str, str], now: datetime, expires_at: datetime | None = None) -> None:
    """One service mail. Whoever paid with an address that is not confirmed yet gets it too: it is about their money."""
    enqueue(
        dedupe_key=f"service:{key}"[:120],
        stream="service" if contact.is_confirmed else "sign-in",
        contact_id=contact.id,
        template=f"billing/{template}",
        fields=fields,
        now=now,
        expires_at=expires_at,
    )


def _contact_of(user_id: int | None) -> Contact | None:
    """Where to write to a user: their own address; of a guest, the one that they paid with last."""
    if user_id is None:
        return None
    own = db.session.scalar(sa.select(Contact).join(User, User.contact_id == Contact.id).where(User.id == user_id))
    if own is not None:
        return own
    paid = sa.select(Contact).join(Checkout, Checkout.contact_id == Contact.id).where(Checkout.user_id == user_id)
    return db.session.scalar(paid.order_by(Checkout.id.desc()).limit(1))


def _tier_name(plan_id: int | None) -> str:
    found = sa.select(Tier.neutral_name).join(Plan, Plan.tier_id == Tier.id).where(Plan.id == plan_id)
    return db.session.scalar(found) or ""


def _price_of(subscription: Subscription, contact: Contact) -> str:
    price = db.session.scalar(sa.select(Price).where(Price.stripe_id == subscription.price_stripe_id))
    return _amount(price.amount, price.currency, contact) if price is not None else ""


def _amount(amount: int, currency: str, contact: Contact) -> str:
    return amount_words(amount, currency, contact.language)


def _day(moment: datetime, contact: Contact) -> str:
    with force_locale(contact.language.replace("-", "_")):
        return str(format_date(moment, "long"))


def _home() -> str:
    return full_url(current_app.config["HOME_ENDPOINT"])


def _own_plan() -> dict[str, str]:
    return {"plan_url": full_url("billing.own")}
