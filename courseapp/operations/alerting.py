"""What owners are told of by mail, once: a stream of mails has paused itself, or something about money needs to be looked at."""

from datetime import datetime

import sqlalchemy as sa

from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.billing.attention import ATTENTION_WORDS, NEEDED
from courseapp.billing.selling import is_selling
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing.links import full_url
from courseapp.mailing.models import Stream
from courseapp.mailing.outbox import enqueue

COMPARED = {"reconcile_found", "second_customer", "no_owner", "unknown_price", "unknown_status"}
"""What is seen by comparing with Stripe; of all else the list of events says more."""


def tell_owners(event: Event, now: datetime) -> None:
    """Mail every owner what has happened, where it is still so."""
    if event.type == NEEDED:
        _tell_of_money(event, now)
    else:
        _tell_of_stream(event, now)


def _tell_of_stream(event: Event, now: datetime) -> None:
    """That a stream has paused itself and why; nothing where it runs again already."""
    key = event.subject.partition(":")[2]
    stream = db.session.scalar(sa.select(Stream).where(Stream.key == key, Stream.paused_at.is_not(None)))
    if stream is not None:
        fields = {"why": stream.paused_why or "", "mail_url": full_url("postroom.outbox")}
        _mail(f"stream-paused:{event.id}", "operations/stream_paused", fields, now)


def _tell_of_money(event: Event, now: datetime) -> None:
    """That something about money needs to be looked at: of each kind one mail a day, however often it happens."""
    what = event.facts.get("what", "")
    if is_selling() and what in ATTENTION_WORDS:
        endpoint = "reconciliation" if what in COMPARED else "events"
        fields = {"what": str(ATTENTION_WORDS[what]), "look_url": full_url(f"stripe_events.{endpoint}")}
        _mail(f"money:{what}:{now:%Y-%m-%d}", "operations/money_attention", fields, now)


def _mail(key: str, template: str, fields: dict[str, str], now: datetime) -> None:
    """One service mail to each owner, unless one of this key is there."""
    is_owner = sa.select(RoleGrant.user_id).where(RoleGrant.role == Role.OWNER)
    owners = sa.select(Contact.id).join(User, User.contact_id == Contact.id).where(User.id.in_(is_owner), User.disabled_at.is_(None))
    for contact_id in db.session.scalars(owners.order_by(Contact.id)).all():
        enqueue(
            dedupe_key=f"service:{key}:{contact_id}", stream="service", contact_id=contact_id, template=template, fields=fields, now=now
        )
