"""What guests bought, for whoever reads the mail of the address that was paid with."""

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.billing.joining import join_purchases
from courseapp.billing.models import Checkout, CheckoutState, Entitlement, Kind, Price
from courseapp.billing.selling import is_selling
from courseapp.contacts.models import Contact
from courseapp.extensions import db

PAID = (CheckoutState.WAITING, CheckoutState.FULFILLED)
"""Checkouts whose money is here, or on its way."""


def claim_purchases(contact_id: int, user_id: int) -> int:
    """Give an account what guests bought with its address, of all who still are guests; how many guests that were.

    An address that has no account yet takes the guest over, and with it the purchase: then there is nothing to do here.
    """
    is_guest = (User.contact_id.is_(None), User.id != user_id)
    query = sa.select(User.id).join(Checkout, Checkout.user_id == User.id).where(Checkout.contact_id == contact_id, *is_guest)
    guests = db.session.scalars(query.distinct().order_by(User.id)).all()
    for guest_id in guests:
        join_purchases(guest_id, user_id)
    return len(guests)


def claim_before_the_news(user: User) -> int:
    """The same for somebody who looks at what is theirs right after signing in, while the news of it still waits."""
    if not is_selling() or user.contact is None or not user.contact.is_confirmed:
        return 0
    return claim_purchases(user.contact.id, user.id)


def has_bought() -> sa.ColumnElement[bool]:
    """SQL, about a `User` of the statement around it: what they paid for, or are about to, would go with them."""
    holds = sa.select(Entitlement.id).where(Entitlement.user_id == User.id, Entitlement.kind != Kind.FREE)
    costs = sa.select(Price.id).where(Price.amount > 0)
    pays = sa.select(Checkout.id).where(Checkout.user_id == User.id, Checkout.state.in_(PAID), Checkout.price_id.in_(costs))
    return sa.or_(holds.exists(), pays.exists())


def was_paid_with() -> sa.ColumnElement[bool]:
    """SQL, about a `Contact` of the statement around it: somebody paid with this address, and may come for what they bought."""
    return sa.select(Checkout.id).where(Checkout.contact_id == Contact.id, Checkout.state.in_(PAID)).exists()
