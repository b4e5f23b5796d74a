"""Addresses that get no mail."""

from datetime import datetime

import sqlalchemy as sa

from courseapp.contacts.models import Suppression, SuppressionReason
from courseapp.extensions import db


def suppress(address_mac: str, reason: SuppressionReason, now: datetime) -> None:
    """Send nothing to the address of this keyed hash any more; saying it twice changes nothing."""
    if not db.session.scalar(sa.select(Suppression.id).where(Suppression.address_mac == address_mac)):
        db.session.add(Suppression(address_mac=address_mac, reason=reason, at=now))


def is_suppressed(address_mac: sa.SQLColumnExpression[str | None]) -> sa.Exists:
    """SQL: the address of this keyed hash is suppressed."""
    return sa.exists().where(Suppression.address_mac == address_mac)
