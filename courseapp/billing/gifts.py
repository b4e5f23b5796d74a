"""Tiers that staff give: gifts and scholarships. To whom, why and until when; and who of staff sees whose address.

That somebody is here at all is theirs to tell. So in a list of gifts an address stands whole only for whoever has typed it within the
hour, to give something or to find its owner; everybody else sees enough of it for somebody who knows it.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import joinedload

from courseapp.accounts.models import User
from courseapp.accounts.people import user_of_contact
from courseapp.billing import letters
from courseapp.billing.entitlements import give, is_live
from courseapp.billing.models import Entitlement, Kind, Tier
from courseapp.contacts.address import address_hint
from courseapp.contacts.models import Contact
from courseapp.contacts.people import contact_of_address
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal.models import Event
from courseapp.mailing.links import full_url

KNOWN_FOR = timedelta(hours=1)  # as a learner's page is open to whoever found them
LONGEST = timedelta(days=10 * 366)


def tiers_to_give() -> Sequence[Tier]:
    """The tiers on offer, in their order."""
    return db.session.scalars(sa.select(Tier).where(Tier.archived_at.is_(None)).order_by(Tier.position, Tier.id)).all()


def person_to_give(typed: str) -> User:
    """Whose account has exactly this address. Raises Refusal (400) where there is none, or it is closed."""
    contact = contact_of_address(typed)
    user = user_of_contact(contact) if contact is not None else None
    if user is None:
        words = _(
            "Nobody has an account with exactly this address. Send them this link to start first: %(url)s", url=full_url("catalog.landing")
        )
        raise Refusal(words, 400)
    if user.disabled_at is not None:
        raise Refusal(_("The account with this address is closed, so nothing can be given to it."), 400)
    return user


def end_of(day: date | None, zone: ZoneInfo, now: datetime) -> datetime | None:
    """The last second of a day by the clocks of a zone; None for no day, which is no end. Raises Refusal (400) for what is over or far."""
    if day is None:
        return None
    if day > (now + LONGEST).date():
        raise Refusal(_("That is more than ten years away. Leave the date empty where there is no end."), 400)
    end = datetime.combine(day, time(23, 59, 59), tzinfo=zone)
    if end <= now:
        raise Refusal(_("This day is over. Please choose today or a later day, or leave the date empty for no end."), 400)
    return end


def make_gift(user: User, tier: Tier, now: datetime, *, ends_at: datetime | None, reason: str, by_user_id: int) -> Entitlement:
    """Give somebody a tier and tell them by a mail that does not say which, nor why. Raises Refusal (409) where they have it as a gift.

    Of two members of staff at once the second is told so: the account is locked meanwhile.
    """
    db.session.execute(sa.select(User.id).where(User.id == user.id).with_for_update())
    held = sa.select(Entitlement.id).where(Entitlement.user_id == user.id, Entitlement.tier_id == tier.id, Entitlement.kind == Kind.GIFT)
    if db.session.scalar(held.where(is_live(now)).limit(1)) is not None:
        raise Refusal(_("They have this tier as a gift already. It is in the list: change there until when."), 409)
    gift = give(user.id, tier.id, now, ends_at=ends_at, reason=reason, by_user_id=by_user_id)
    letters.given(gift, now)
    return gift


def gifts_before(before: int | None, limit: int) -> Sequence[Entitlement]:
    """The newest gifts, or those before one."""
    query = sa.select(Entitlement).options(joinedload(Entitlement.tier), joinedload(Entitlement.user).joinedload(User.contact))
    query = query.where(Entitlement.kind == Kind.GIFT).order_by(Entitlement.id.desc()).limit(limit)
    return db.session.scalars(query if before is None else query.where(Entitlement.id < before)).all()


def gift_named(public_id: str) -> Entitlement | None:
    """A gift by its id in addresses."""
    return db.session.scalar(sa.select(Entitlement).where(Entitlement.public_id == public_id, Entitlement.kind == Kind.GIFT))


def people_shown(gifts: Sequence[Entitlement], staff_id: int, now: datetime) -> dict[int, str]:
    """How a member of staff sees each person who was given something: the whole address, or a hint of it."""
    subjects = {f"user:{gift.user_id}" for gift in gifts}
    acts = sa.select(Event.subject, Event.data).where(Event.subject.in_(subjects), Event.type.in_(("staff_found", "access_given")))
    acts = acts.where(Event.at > now - KNOWN_FOR)
    known = {subject for subject, facts in db.session.execute(acts) if (facts or {}).get("by") == staff_id}
    addresses = {gift.user_id: gift.user.contact.address if gift.user.contact is not None else None for gift in gifts}
    return {
        user_id: address if address and f"user:{user_id}" in known else address_hint(address) or str(_("somebody who has left"))
        for user_id, address in addresses.items()
    }


def givers_of(gifts: Sequence[Entitlement]) -> dict[int | None, str]:
    """The address of each member of staff who gave one of these; nobody stands here who has left."""
    ids = {gift.given_by_user_id for gift in gifts}
    query = sa.select(User.id, Contact.address).join(Contact, Contact.id == User.contact_id).where(User.id.in_(ids))
    return {number: address for number, address in db.session.execute(query) if address is not None}
