"""Consents: an append-only log, one purpose at a time, and the question whether we may write."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from babel import Locale
from flask_babel import force_locale, get_locale
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString
from sqlalchemy.orm import aliased

from courseapp.contacts.models import Consent, ConsentAction, Contact, Purpose
from courseapp.extensions import db, insert_later
from courseapp.held import HeldRow
from courseapp.journal import events

SOURCE = "en"  # the language in which the sentences are written
# The wording a person agrees to, by purpose. A changed sentence needs a new version beside it: a test compares them.
WORDING: dict[Purpose, tuple[str, LazyString]] = {
    Purpose.COURSE: (
        "course-1",
        _l("Send me a few short mails while I take this course: where to begin, and where I left off. They stop when I finish."),
    ),
    Purpose.MARKETING: ("marketing-1", _l("Write to me now and then about further courses and what they cost.")),
}

PURPOSE_NAMES = {Purpose.SERVICE: _l("Service mail"), Purpose.COURSE: _l("Course mail"), Purpose.MARKETING: _l("Marketing")}
"""What staff call the purposes; people read the sentences above."""


def words_of(version: str) -> str | None:
    """The sentence of a version as it was read, in its language; None for one that is no longer shown to anybody, or was not ours."""
    name, _colon, tag = version.partition(":")
    with force_locale(tag.replace("-", "_") or SOURCE):
        return next((str(words) for known, words in WORDING.values() if known == name), None)


def wording_shown(purpose: Purpose) -> str:
    """The version of the sentence that people read now; with the language behind it where that is a translation (`course-1:de`)."""
    version, _words = WORDING[purpose]
    locale = get_locale() or Locale(SOURCE)
    return version if locale.language == SOURCE else f"{version}:{str(locale).replace('_', '-')}"


def log_consent(
    contact_id: int | HeldRow, purpose: Purpose, action: ConsentAction, now: datetime, source: str, network: str | None = None
) -> None:
    """Append what was said. `asked` waits for the address to be confirmed; `given` and `withdrawn` count at once."""
    said: dict[str, Any] = {
        "purpose": purpose,
        "action": action,
        "wording": wording_shown(purpose),
        "source": source,
        "network": network,
        "at": now,
    }
    insert_later(Consent, contact_id=contact_id, **said)
    if action is not ConsentAction.ASKED:
        events.record(f"consent_{action.value}", f"contact:{contact_id}", now, contact_id=contact_id, purpose=purpose.value)


def set_consent(contact: Contact, purpose: Purpose, wanted: bool, now: datetime, source: str, network: str | None = None) -> bool:
    """Give or withdraw, and say nothing where that was the last word already; True when it was not.

    A no to what nobody ever agreed to is kept as well: else a list that is brought in later would make it a yes.
    """
    action = ConsentAction.GIVEN if wanted else ConsentAction.WITHDRAWN
    last = last_words_of([contact.id]).get((contact.id, purpose))
    if last is not None and last.action is action:
        return False
    log_consent(contact.id, purpose, action, now, source, network)
    return True


def holds_consent(contact: Contact, purpose: Purpose) -> bool:
    """Whether this contact's last word on the purpose was yes."""
    return bool(db.session.scalar(sa.select(is_consented(sa.literal(contact.id), sa.literal(purpose.value)))))


def is_consented(contact_id: sa.SQLColumnExpression[int], purpose: sa.SQLColumnExpression[Any]) -> sa.ColumnElement[bool]:
    """SQL: the contact's last word on the purpose is `given`. Both arguments may be columns of an outer statement."""
    last = (
        sa.select(Consent.action)
        .where(
            Consent.contact_id == contact_id,
            sa.cast(Consent.purpose, sa.String) == sa.cast(purpose, sa.String),
            Consent.action != ConsentAction.ASKED,
        )
        .order_by(Consent.id.desc())
        .limit(1)
        .correlate_except(Consent)
        .scalar_subquery()
    )
    return sa.func.coalesce(sa.cast(last, sa.String) == ConsentAction.GIVEN.value, sa.false())


def has_last_said(
    contact_id: sa.SQLColumnExpression[int], purpose: Purpose, action: ConsentAction, *also: sa.ColumnElement[bool]
) -> sa.Exists:
    """SQL for looking through many contacts: the last word on the purpose is `action`, and `also` holds of that `Consent`.

    Says the same as `is_consented`, as a join that a database can begin at either end.
    """
    later = aliased(Consent)
    is_later = (
        later.contact_id == Consent.contact_id,
        later.purpose == purpose,
        later.action != ConsentAction.ASKED,
        later.id > Consent.id,
    )
    has_later = sa.select(later.id).where(*is_later).correlate(Consent).exists()
    said = (Consent.contact_id == contact_id, Consent.purpose == purpose, Consent.action == action)
    return sa.select(Consent.id).where(*said, ~has_later, *also).correlate_except(Consent).exists()


class Said(NamedTuple):
    """The last word of a contact on a purpose."""

    action: ConsentAction
    at: datetime
    source: str


def last_words_of(contact_ids: Sequence[int]) -> dict[tuple[int, Purpose], Said]:
    """What many contacts said last, by purpose, in one query; what waits for being confirmed is no word."""
    query = sa.select(Consent.contact_id, Consent.purpose, Consent.action, Consent.at, Consent.source)
    spoken = query.where(Consent.contact_id.in_(contact_ids), Consent.action != ConsentAction.ASKED).order_by(Consent.id)
    return {(row.contact_id, row.purpose): Said(row.action, row.at, row.source) for row in db.session.execute(spoken)}


def consent_history(contact: Contact) -> list[Consent]:
    """Everything this contact ever said, newest first."""
    return list(db.session.scalars(sa.select(Consent).where(Consent.contact_id == contact.id).order_by(Consent.id.desc())))
