"""What filled mails in goes: at once when somebody is forgotten, and by itself when mails are old. The times stand in docs/privacy.md."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask import current_app

from courseapp.contacts.models import Purpose
from courseapp.extensions import db
from courseapp.mailing import pacing
from courseapp.mailing.models import ON_THEIR_WAY, Message, Return, State, Stream

FILLING_KEPT = timedelta(days=30)  # after a mail has ended
SERVICE_KEPT = timedelta(days=180)  # likewise; then nothing tells any more when somebody signed in
RETURNS_KEPT = timedelta(days=30)  # so long a repetition is known as one
AT_ONCE = 5000  # rows


def wipe(theirs: sa.ColumnElement[bool], now: datetime) -> None:
    """Wipe what fills these mails in, and files they were written to; what has not left is skipped. The rows stay, for the sums."""
    _remove_files(db.session.scalars(sa.select(Message.public_id).where(theirs)))
    came_back = Return.public_id.in_(sa.select(Message.public_id).where(theirs))
    db.session.execute(sa.delete(Return).where(came_back).execution_options(synchronize_session=False))
    waiting = Message.state.in_((State.PENDING, State.LEASED))
    # A key may name a row that goes with the person, and the database may give its number to a new one: whose mail would
    # then count as enqueued already.
    spent_key = Message.dedupe_key + ":" + Message.public_id
    is_spent = Message.dedupe_key.like("%:" + Message.public_id)
    db.session.execute(
        sa.update(Message)
        .where(theirs)
        .values(
            fields={},
            dedupe_key=sa.case((is_spent, Message.dedupe_key), else_=spent_key),
            void_if_type=None,
            void_if_subject=None,
            settled_at=sa.case((waiting, now), else_=Message.settled_at),
            reason=sa.case((waiting, "erased"), else_=None),
            state=sa.case((waiting, State.SKIPPED.value), else_=Message.state),
        )
        .execution_options(synchronize_session=False)
    )


def forget_old(now: datetime) -> int:
    """Wipe what filled in mails that ended long ago, and their files; forget service mails altogether. How many rows changed.

    Rows of course mail and marketing stay, for each broadcast and each step must add up; nothing is counted of service mail.
    """
    has_ended = Message.state.not_in(ON_THEIR_WAY)
    _remove_files(_ended_among_files(sa.and_(has_ended, Message.settled_at < now - FILLING_KEPT)))
    of_service = sa.select(Stream.id).where(Stream.purpose == Purpose.SERVICE)
    filled = sa.cast(Message.fields, sa.Text) != "{}"
    old = sa.select(Message.id).where(has_ended).limit(AT_ONCE)
    gone = sa.delete(Message).where(
        Message.id.in_(old.where(Message.settled_at < now - SERVICE_KEPT, Message.stream_id.in_(of_service)).scalar_subquery())
    )
    wiped = sa.update(Message).where(Message.id.in_(old.where(Message.settled_at < now - FILLING_KEPT, filled).scalar_subquery()))
    pacing.forget_spent(now)
    changed = 0
    known_long_enough = sa.select(Return.id).where(Return.settled_at < now - RETURNS_KEPT).limit(AT_ONCE)
    returns = sa.delete(Return).where(Return.id.in_(known_long_enough.scalar_subquery()))
    for statement in (gone, wiped.values(fields={}), returns):
        done = db.session.execute(statement.execution_options(synchronize_session=False))
        changed += int(done.rowcount)  # type: ignore[attr-defined]  # a DELETE or UPDATE gives a CursorResult
    return changed


def _ended_among_files(has_ended: sa.ColumnElement[bool]) -> list[str]:
    """Of which messages that ended a file is there: in the embedded mode mails become files."""
    from courseapp.mailing.smtp import file_of_mail  # what sends is large, and a web process sends nothing

    folder = file_of_mail(current_app.config["SETTINGS"], "").parent
    names = sorted({path.name.strip(".").partition(".")[0] for path in folder.iterdir()}) if folder.is_dir() else []
    found: list[str] = []
    for first in range(0, len(names), AT_ONCE):
        found += db.session.scalars(sa.select(Message.public_id).where(has_ended, Message.public_id.in_(names[first : first + AT_ONCE])))
    return found


def _remove_files(names: Iterable[str]) -> None:
    from courseapp.mailing.smtp import file_of_mail, half_of_mail  # as above

    for name in names:
        whole = file_of_mail(current_app.config["SETTINGS"], name)
        for path in (whole, half_of_mail(whole)):
            path.unlink(missing_ok=True)
