"""Where somebody stopped in a film or sound, so that they can go on there, on another device too.

It is as private as a tick: nobody else sees it, nothing counts it, and the journal does not hear of it.
"""

from datetime import datetime

import sqlalchemy as sa

from courseapp.extensions import db, insert_into
from courseapp.learning.models import MediaPosition


def position_of(user_id: int, asset_id: int) -> int:
    """The second at which a person stopped; 0 where there is none."""
    query = sa.select(MediaPosition.seconds).where(MediaPosition.user_id == user_id, MediaPosition.asset_id == asset_id)
    return db.session.scalar(query) or 0


def note_position(user_id: int, asset_id: int, seconds: int, now: datetime) -> None:
    """Remember where a person is, in place of where they were; with 0, which is the beginning or the end, remember nothing."""
    if not seconds:
        db.session.execute(sa.delete(MediaPosition).where(MediaPosition.user_id == user_id, MediaPosition.asset_id == asset_id))
        return
    values = {"seconds": seconds, "at": now}
    statement = insert_into(MediaPosition).values(user_id=user_id, asset_id=asset_id, **values)
    db.session.execute(statement.on_conflict_do_update(index_elements=["user_id", "asset_id"], set_=values))


def join_positions(guest_id: int, account_id: int) -> None:
    """Give the account where the guest stopped; of the same film the later counts."""
    own = {row.asset_id: row for row in _positions(account_id)}
    for row in _positions(guest_id):
        kept = own.get(row.asset_id)
        if kept is None or row.at > kept.at:
            note_position(account_id, row.asset_id, row.seconds, row.at)


def _positions(user_id: int) -> list[MediaPosition]:
    return list(db.session.scalars(sa.select(MediaPosition).where(MediaPosition.user_id == user_id)))
