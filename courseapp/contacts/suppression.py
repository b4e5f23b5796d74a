"""Addresses that get no mail."""

from datetime import datetime

import sqlalchemy as sa

from courseapp.contacts.models import Suppression, SuppressionReason
from courseapp.extensions import db, insert_into


def suppress(address_mac: str, reason: SuppressionReason, now: datetime) -> None:
    """Send nothing to the address of this keyed hash any more, after a complaint nothing but what is asked for there.

    Saying it twice changes nothing, but that a bounce takes the place of a complaint: it stops more.
    """
    statement = insert_into(Suppression).values(address_mac=address_mac, reason=reason, at=now)
    if reason is SuppressionReason.BOUNCED:
        is_less = Suppression.reason == SuppressionReason.COMPLAINED
        changed = {"reason": reason, "at": now}
        statement = statement.on_conflict_do_update(index_elements=["address_mac"], set_=changed, where=is_less)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=["address_mac"])
    db.session.execute(statement)


def suppression_of(address_mac: str | None) -> Suppression | None:
    """Since when and why the address of this keyed hash gets no mail, or only what is asked for there; None where it may get all."""
    return db.session.scalar(sa.select(Suppression).where(Suppression.address_mac == address_mac))


def lift(address_mac: str | None, reason: SuppressionReason) -> bool:
    """Let mail go again to an address that gets none for this reason; False where that is not why, or it may get some."""
    is_so = (Suppression.address_mac == address_mac, Suppression.reason == reason)
    lifted = sa.delete(Suppression).where(*is_so).returning(Suppression.id)
    return db.session.execute(lifted.execution_options(synchronize_session=False)).scalar() is not None


def is_suppressed(address_mac: sa.SQLColumnExpression[str | None], is_asked_for: sa.ColumnElement[bool] | None = None) -> sa.Exists:
    """SQL: the address of this keyed hash is suppressed; by a complaint not for a mail of which `is_asked_for` holds.

    Else whoever types an address of somebody else's, who then says that what comes is spam, would lock them out for ever.
    """
    found = sa.select(Suppression.id).where(Suppression.address_mac == address_mac)
    if is_asked_for is not None:
        word = sa.literal_column(f"'{SuppressionReason.COMPLAINED}'", sa.String)  # no parameter: it is asked for every mail
        found = found.where(sa.or_(sa.cast(Suppression.reason, sa.String) != word, sa.not_(is_asked_for)))
    return found.correlate_except(Suppression).exists()
