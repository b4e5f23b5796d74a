"""Addresses that get no mail."""

from datetime import datetime

import sqlalchemy as sa

from courseapp.contacts.models import Suppression, SuppressionReason
from courseapp.extensions import db, insert_into


def suppress(address_mac: str, reason: SuppressionReason, now: datetime) -> None:
    """Send nothing to the address of this keyed hash any more; saying it twice changes nothing."""
    statement = insert_into(Suppression).values(address_mac=address_mac, reason=reason, at=now)
    db.session.execute(statement.on_conflict_do_nothing(index_elements=["address_mac"]))


def suppression_of(address_mac: str | None) -> Suppression | None:
    """Since when and why the address of this keyed hash gets no mail; None where it may get some."""
    return db.session.scalar(sa.select(Suppression).where(Suppression.address_mac == address_mac))


def lift_bounced(address_mac: str | None) -> bool:
    """Let mail go again to an address from which some came back; False where that is not why it gets none, or it may get some."""
    is_bounced = (Suppression.address_mac == address_mac, Suppression.reason == SuppressionReason.BOUNCED)
    lifted = sa.delete(Suppression).where(*is_bounced).returning(Suppression.id)
    return db.session.execute(lifted.execution_options(synchronize_session=False)).scalar() is not None


def is_suppressed(address_mac: sa.SQLColumnExpression[str | None]) -> sa.Exists:
    """SQL: the address of this keyed hash is suppressed."""
    return sa.select(Suppression.id).where(Suppression.address_mac == address_mac).correlate_except(Suppression).exists()
