"""Grace: a payment did not go through, and everything stays open for a while."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from courseapp.billing.models import Customer, Subscription
from courseapp.billing.standing import LATE, access_by_subscription
from courseapp.extensions import db


@dataclass(frozen=True)
class Grace:
    """Until when everything stays open."""

    until: datetime


def banner_for(user_id: int, now: datetime) -> Grace | None:
    """What a page tells somebody whose last payment did not go through; None where nothing is late, or the time is over. One query."""
    query = sa.select(Subscription).join(Customer, Customer.id == Subscription.customer_id)
    late = db.session.scalars(query.where(Customer.user_id == user_id, Subscription.status == LATE, Subscription.ended_at.is_(None)))
    ends = [until for each in late if (until := _open_until(each)) is not None and until > now]
    return Grace(min(ends)) if ends else None


def _open_until(late: Subscription) -> datetime | None:
    access = access_by_subscription(late.status, past_due_since=late.past_due_since, cancels_at=late.cancels_at, money=None)
    return access.until if access is not None else None
