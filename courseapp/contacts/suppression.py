"""Addresses that get no mail."""

from datetime import datetime

import sqlalchemy as sa

from courseapp.contacts.models import Suppression, SuppressionReason
from courseapp.extensions import db, insert_into


def suppress(address_mac: str, reason: SuppressionReason, now: datetime) -> None:
    """Send nothing to the address of this keyed hash any more; saying it twice changes nothing."""
    statement = insert_into(Suppression).values(address_mac=address_mac, reason=reason, at=now)
    db.session.execute(statement.on_conflict_do_nothing(index_elements=["address_mac"]))


def is_suppressed(address_mac: sa.SQLColumnExpression[str | None]) -> sa.Exists:
    """SQL: the address of this keyed hash is suppressed."""
    return sa.select(Suppression.id).where(Suppression.address_mac == address_mac).correlate_except(Suppression).exists()
