"""The streams every installation has."""

import sqlalchemy as sa

from courseapp.contacts.models import Purpose
from courseapp.extensions import db, insert_into
from courseapp.mailing.models import Stream

STANDARD = {
    "sign-in": (Purpose.SERVICE, True),
    "service": (Purpose.SERVICE, False),
    "course": (Purpose.COURSE, False),
    "marketing": (Purpose.MARKETING, False),
}
PRIORITY = {Purpose.SERVICE: 0, Purpose.COURSE: 5, Purpose.MARKETING: 9}


def stream_of(key: str) -> Stream:
    """The stream of a key, a standard one made on first use."""
    make_stream(key)
    return db.session.scalars(sa.select(Stream).where(Stream.key == key)).one()


def make_stream(key: str) -> bool:
    """See that a stream is there, a standard one where none is; True when it was not."""
    if db.session.scalar(sa.select(sa.exists().where(Stream.key == key))):
        return False
    purpose, reaches_unconfirmed = STANDARD[key]
    statement = insert_into(Stream).values(key=key, purpose=purpose, reaches_unconfirmed=reaches_unconfirmed)
    db.session.execute(statement.on_conflict_do_nothing(index_elements=["key"]))  # two may need it first at once
    return True
