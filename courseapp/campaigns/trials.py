"""Trying a letter out: sent as it is, to people of staff alone."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from flask_babel import gettext as _

from courseapp.accounts.models import RoleGrant, User
from courseapp.contacts.models import Contact
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.mailing.fields import TRIAL, TRIAL_LANGUAGE
from courseapp.mailing.letters import kept_letter
from courseapp.mailing.looks import Reader, values_of
from courseapp.mailing.models import Letter
from courseapp.mailing.outbox import enqueue


def staff_who_read_mail() -> Sequence[tuple[str, str]]:
    """(Id in addresses, address) of everyone with a role whose address is confirmed, by address."""
    query = _staff().with_only_columns(User.public_id, Contact.address).order_by(Contact.address_key)
    return [(public_id, str(address)) for public_id, address in db.session.execute(query)]


def send_trial(letter: Letter, public_id: str, by: User, now: datetime, language: str = "") -> str:
    """Put a letter into the outbox for one person of staff; the address it goes to. The caller commits.

    It needs no consent, for it goes by a stream of service mail; the same within a minute is one mail. Raises Refusal (400)
    for anybody else.

    Args:
        language: in which of its languages, whatever theirs is; one it has not falls to that in which it was first written.
    """
    contact = db.session.scalar(_staff().where(User.public_id == public_id))
    if contact is None:
        raise Refusal(_("A letter can be tried out only on people with a role here whose address is confirmed."), 400)
    tag = kept_letter(letter.id).in_language(language).language
    example = values_of(Reader("", "", ""), tag)
    enqueue(
        dedupe_key=f"trial:{letter.id}:{tag}:{contact.id}:{now:%Y%m%d%H%M}",
        stream="service",
        contact_id=contact.id,
        letter=letter,
        fields={name: example[name] for name in ("continue_url", "progress_words")} | {TRIAL: _("[Test] "), TRIAL_LANGUAGE: tag},
        now=now,
    )
    events.record("letter_tried", f"letter:{letter.id}", now, by=by.id, contact_id=contact.id)
    return str(contact.address)


def _staff() -> sa.Select[Contact]:
    grants = sa.select(RoleGrant.id).where(RoleGrant.user_id == User.id).exists()
    query = sa.select(Contact).join(User, User.contact_id == Contact.id)
    return query.where(grants, User.disabled_at.is_(None), Contact.confirmed_at.is_not(None), Contact.erased_at.is_(None))
