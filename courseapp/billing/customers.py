"""Whose a customer of Stripe's is: by our own rows and by the ids we gave along, never by an e-mail address that happens to match.

Whoever asks Stripe about somebody claims their row first by raising its epoch, and commits; only while that epoch stands may
they write what they heard. So what was asked later always wins, however long an answer takes.
"""

from datetime import datetime

import sqlalchemy as sa

from courseapp.accounts.models import User
from courseapp.accounts.people import account_for
from courseapp.billing.models import Checkout, CheckoutState, Customer
from courseapp.billing.stripe_gateway import Thing
from courseapp.contacts.models import Contact
from courseapp.contacts.people import contact_for
from courseapp.errors import Refusal
from courseapp.extensions import db, insert_into
from courseapp.site import present_site


class OvertakenError(Exception):
    """Somebody else has asked Stripe about the same person since: what was heard may be old. Ask again."""


def customer_of(stripe_id: str) -> Customer | None:
    """The row of a customer of Stripe's, or None."""
    return db.session.scalar(sa.select(Customer).where(Customer.stripe_id == stripe_id))


def keep_customer(stripe_id: str, user_id: int | None, now: datetime) -> Customer:
    """The row of a customer of Stripe's, made for a user where there is none. One that is there keeps its user."""
    statement = insert_into(Customer).values(stripe_id=stripe_id, user_id=user_id, epoch=0, created_at=now)
    db.session.execute(statement.on_conflict_do_nothing(index_elements=["stripe_id"]))
    return db.session.scalars(sa.select(Customer).where(Customer.stripe_id == stripe_id)).one()


def claim(customer_id: int) -> int:
    """Announce that Stripe is about to be asked about somebody; the epoch to come back with. The caller commits before it asks."""
    raised = sa.update(Customer).where(Customer.id == customer_id).values(epoch=Customer.epoch + 1).returning(Customer.epoch)
    epoch: int = db.session.scalars(raised.execution_options(synchronize_session=False)).one()
    return epoch


def hold_claim(customer_id: int, epoch: int) -> Customer:
    """The customer, locked, where nobody has asked about them since; raises OvertakenError."""
    query = sa.select(Customer).where(Customer.id == customer_id, Customer.epoch == epoch).with_for_update()
    found = db.session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise OvertakenError
    return found


def owner_of(checkout: Checkout, session: Thing, now: datetime) -> int | None:
    """Who owns what a checkout bought: whoever began it; where they are gone, the account of the address that was paid with.

    What was given already to somebody who has been erased since is nobody's: news of it that comes late brings nobody back.
    """
    if checkout.user_id is not None or checkout.state is CheckoutState.FULFILLED:
        return checkout.user_id
    contact = paying_contact(session, now)
    return account_for(contact, now).id if contact is not None else None


def paying_contact(session: Thing, now: datetime) -> Contact | None:
    """The contact of the address typed at Checkout, made where there is none; None where Stripe has none that is one."""
    address = (session["customer_details"] or {}).get("email")
    if not address:
        return None
    site = present_site()
    try:
        return contact_for(address, now, site.default_zone, site.default_language)
    except Refusal:
        return None


def user_of_public_id(public_id: str | None) -> int | None:
    """The number of a user by the id that we gave to Stripe, or None."""
    return db.session.scalar(sa.select(User.id).where(User.public_id == public_id)) if public_id else None
