"""The streams every installation has."""

import sqlalchemy as sa

from courseapp.contacts.models import Purpose
from courseapp.extensions import db
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
    found = db.session.scalar(sa.select(Stream).where(Stream.key == key))
    if found is None:
        purpose, reaches_unconfirmed = STANDARD[key]
        found = Stream(key=key, purpose=purpose, reaches_unconfirmed=reaches_unconfirmed)
        db.session.add(found)
        db.session.flush()
    return found
