"""What a guest bought becomes the account's, once their person says that both are theirs."""

import sqlalchemy as sa

from courseapp.billing.models import Checkout, Customer, Entitlement
from courseapp.extensions import db


def join_purchases(guest_id: int, account_id: int) -> None:
    """Give an account the customers, checkouts and entitlements of a guest.

    Nothing is granted anew: what each opens, and until when, stays as it was. An account may hold a tier twice after it, and have
    two customers at Stripe; both go on being followed by their ids.
    """
    for model in (Customer, Checkout, Entitlement):
        db.session.execute(sa.update(model).where(model.user_id == guest_id).values(user_id=account_id))
