"""What owners are told of by mail, once: a stream of mails has paused itself."""

from datetime import datetime

import sqlalchemy as sa

from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.contacts.models import Contact
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing.links import full_url
from courseapp.mailing.models import Stream
from courseapp.mailing.outbox import enqueue


def tell_owners(event: Event, now: datetime) -> None:
    """Mail every owner that a stream has paused itself and why; nothing where it runs again already."""
    key = event.subject.partition(":")[2]
    stream = db.session.scalar(sa.select(Stream).where(Stream.key == key, Stream.paused_at.is_not(None)))
    if stream is None:
        return
    is_owner = sa.select(RoleGrant.user_id).where(RoleGrant.role == Role.OWNER)
    owners = sa.select(Contact.id).join(User, User.contact_id == Contact.id).where(User.id.in_(is_owner), User.disabled_at.is_(None))
    for contact_id in db.session.scalars(owners.order_by(Contact.id)).all():
        enqueue(
            dedupe_key=f"service:stream-paused:{event.id}:{contact_id}",
            stream="service",
            contact_id=contact_id,
            template="operations/stream_paused",
            fields={"why": stream.paused_why or "", "mail_url": full_url("postroom.outbox")},
            now=now,
        )
