"""The streams every installation has."""

import sqlalchemy as sa
from flask import current_app
from flask_babel import lazy_gettext as _l

from courseapp.contacts.consent import PURPOSE_NAMES
from courseapp.contacts.models import Purpose
from courseapp.extensions import db, insert_into
from courseapp.mailing.models import Stream

STANDARD = {
    "sign-in": (Purpose.SERVICE, True),
    "service": (Purpose.SERVICE, False),
    "course": (Purpose.COURSE, False),
    "marketing": (Purpose.MARKETING, False),
}
STREAM_NAMES = {
    "sign-in": _l("Signing in"),
    "service": _l("About the account"),
    "course": PURPOSE_NAMES[Purpose.COURSE],
    "marketing": PURPOSE_NAMES[Purpose.MARKETING],
}
ASKED_FOR = [key for key, (purpose, _reaches) in STANDARD.items() if purpose is Purpose.SERVICE]
"""The streams of service mail that follows from what somebody does here: also to those who complained of a mail."""
PRIORITY = {Purpose.SERVICE: 0, Purpose.COURSE: 5, Purpose.MARKETING: 9}


def is_urgent(key: str, purpose: Purpose) -> bool:
    """Whether somebody waits for the mail of a stream: service mail, but for what many are asked by a stream of its own."""
    return purpose is Purpose.SERVICE and key in ASKED_FOR


def stream_of(key: str) -> Stream:
    """The stream of a key, a standard one made on first use."""
    make_stream(key)
    return db.session.scalars(sa.select(Stream).where(Stream.key == key)).one()


def stream_facts(key: str) -> tuple[int, Purpose]:
    """The id and the purpose of a stream, a standard one made on first use; from memory, for neither ever changes."""
    kept: dict[str, tuple[int, Purpose]] = current_app.extensions.setdefault("streams", {})
    if key in kept:
        return kept[key]
    stream = stream_of(key)
    facts = stream.id, stream.purpose
    if key not in db.session.info.get("made_streams", ()):  # what this session made may be rolled back yet
        kept[key] = facts
    return facts


def make_stream(key: str) -> bool:
    """See that a stream is there, a standard one where none is; True when it was not."""
    if db.session.scalar(sa.select(sa.exists().where(Stream.key == key))):
        return False
    purpose, reaches_unconfirmed = STANDARD[key]
    statement = insert_into(Stream).values(key=key, purpose=purpose, reaches_unconfirmed=reaches_unconfirmed)
    db.session.execute(statement.on_conflict_do_nothing(index_elements=["key"]))  # two may need it first at once
    db.session.info.setdefault("made_streams", set()).add(key)
    return True
