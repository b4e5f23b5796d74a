"""Supporting a learner: what staff may see, what they may do, and the learner's own list of what they did.

Closed by default: what is shown and given out is named here one by one. Notes, answers, the outcome of the safety check,
single lessons and errors reported in lessons are not among it, so what a room comes to keep later is not shown either.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString
from sqlalchemy.orm import joinedload

from courseapp.accounts.addresses import LIFETIME as MOVE_LIFETIME
from courseapp.accounts.addresses import OBJECTION, ask_to_move
from courseapp.accounts.models import LoginSession, Role, RoleGrant, User
from courseapp.accounts.people import user_of_contact
from courseapp.accounts.sessions import end_sessions, hash_of_token, sessions_of
from courseapp.accounts.sign_in import LIFETIME, new_request
from courseapp.billing.entitlements import entitlements_of, is_open
from courseapp.billing.models import Entitlement, Kind
from courseapp.billing.selling import is_selling
from courseapp.contacts.address import address_key
from courseapp.contacts.consent import PURPOSE_NAMES, consent_history
from courseapp.contacts.models import Consent, Contact, Suppression, SuppressionReason
from courseapp.contacts.people import contact_of_address
from courseapp.contacts.suppression import lift, suppression_of
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.journal.models import Event
from courseapp.learning.enrolment import CoarseEnrolment, coarse_enrolments_of
from courseapp.mailing.links import full_url
from courseapp.mailing.models import Message
from courseapp.mailing.outbox import enqueue
from courseapp.mailing.streams import STREAM_NAMES
from courseapp.mailing.sums import REASON_WORDS, STATE_WORDS
from courseapp.operations.people import erase, export, subjects_of

MAILS_SHOWN = 20
HELD_BY = {Kind.FREE: _l("open to everybody"), Kind.PURCHASE: _l("bought"), Kind.SUBSCRIPTION: _l("subscribed to"), Kind.GIFT: _l("given")}
WORDS = {"states": STATE_WORDS, "reasons": REASON_WORDS, "streams": STREAM_NAMES, "purposes": PURPOSE_NAMES, "held_by": HELD_BY}
"""Of what stands in rows."""
LOOKING = timedelta(hours=1)  # how long a page opens after its person was found
ACTIONS: dict[str, LazyString] = {
    "staff_found": _l("Looked up your account by its e-mail address."),
    "staff_sent_link": _l("Sent you a link to sign in."),
    "staff_asked_address": _l("Asked the old and the new address whether your account may move."),
    "staff_replaced_address": _l("Began to move your account to another address, because the old one is no longer read."),
    "role_taken": _l("Took a role on this site from you."),
    "operator_made_link": _l("Made a link on the server that signs in as you."),
    "operator_exported": _l("Took out on the server everything that is held about you."),
    "staff_ended_sessions": _l("Signed you out on every device."),
    "staff_lifted_suppression": _l("Let mail go to your address again, after some had come back."),
    "staff_lifted_complaint": _l("Let all mail go to your address again, after one had been reported as unwanted."),
    "staff_exported": _l("Downloaded what staff may see of your data."),
    "staff_exported_consents": _l("Downloaded what you agreed to and when, as proof."),
    "access_given": _l("Gave you something that is otherwise paid for."),
    "access_end_changed": _l("Changed until when something that was given to you is open."),
    "access_withdrawn": _l("Took back something that was given to you."),
}
ROLE_WORDS = {Role.OWNER.value: _l("an owner of this site")}
MAIL_CHOICES = {"consent_given", "consent_withdrawn", "mail_paused", "mail_pause_ended"}
# What staff may read of the journal: nothing of single lessons.
EVENTS_SHOWN = {"enrolled", "course_completed", "account_claimed", "address_changed", *MAIL_CHOICES, *ACTIONS}

CONTACT_SHOWN = ("address", "first_name", "time_zone", "language", "confirmed_at")
CONSENT_SHOWN = ("purpose", "action", "wording", "source", "at")  # and not from which network
MAIL_SHOWN = ("kind", "at", "state")  # and not what it says


@dataclass(frozen=True)
class Person:
    """Somebody with an address, and the account behind it where there is one."""

    contact: Contact
    user: User | None

    @property
    def subject(self) -> str:
        """What the journal calls them."""
        return f"user:{self.user.id}" if self.user is not None else f"contact:{self.contact.id}"


@dataclass(frozen=True)
class Sight:
    """All that a staff page shows of a person. `tiers`: what they hold now; None where nothing is sold."""

    roles: Sequence[Role]
    enrolments: Sequence[CoarseEnrolment]
    tiers: Sequence[Entitlement] | None
    mails: Sequence[Message]
    consents: Sequence[Consent]
    suppression: Suppression | None
    sessions: Sequence[LoginSession]
    actions: Sequence["Action"]


@dataclass(frozen=True)
class Action:
    """Something staff did with an account, in words; `by` is a role, never a person."""

    at: datetime
    words: LazyString
    by: LazyString
    reason: str


def person_of_address(typed: str, staff: User, now: datetime) -> Person | None:
    """Whoever has exactly this address, in whatever case. That they were looked up is written down for them."""
    contact = contact_of_address(typed)
    if contact is None:
        return None
    person = Person(contact, user_of_contact(contact))
    note_act(person, "staff_found", staff, now)
    return person


def person_of(public_id: str) -> Person | None:
    """The person of a staff page's address; None where there is none, or no more."""
    contact = db.session.scalar(sa.select(Contact).where(Contact.public_id == public_id, Contact.erased_at.is_(None)))
    return Person(contact, user_of_contact(contact)) if contact is not None else None


def is_found(person: Person, staff: User, now: datetime) -> bool:
    """Whether this member of staff found the person within the last hour.

    Else a kept address would show for years, unwritten, when somebody was last here: what is written down lets in.
    """
    found = events.history_of(subjects_of(person.user, person.contact), ["staff_found"])
    return any(row.facts.get("by") == staff.id and row.at > now - LOOKING for row in found)


def sight_of(person: Person, now: datetime) -> Sight:
    """What staff may see."""
    user, contact = person.user, person.contact
    mails = sa.select(Message).options(joinedload(Message.stream)).where(Message.contact_id == contact.id)
    return Sight(
        roles=roles_of(user),
        enrolments=coarse_enrolments_of(user) if user is not None else [],
        tiers=[row for row in entitlements_of(user.id) if is_open(row, now)] if user is not None and is_selling() else None,
        mails=db.session.scalars(mails.order_by(Message.id.desc()).limit(MAILS_SHOWN)).all(),
        consents=consent_history(contact),
        suppression=suppression_of(contact.address_mac),
        sessions=sessions_of(user) if user is not None else [],
        actions=actions_on(user, contact),
    )


def roles_of(user: User | None) -> Sequence[Role]:
    """The staff roles a person holds."""
    if user is None:
        return []
    return db.session.scalars(sa.select(RoleGrant.role).where(RoleGrant.user_id == user.id).order_by(RoleGrant.role)).all()


def actions_on(user: User | None, contact: Contact | None) -> list[Action]:
    """What staff did with an account, newest first."""
    found = events.history_of(subjects_of(user, contact), ACTIONS)
    return [Action(row.at, ACTIONS[row.type], by_words(row), row.facts.get("reason", "")) for row in found]


def by_words(row: Event) -> LazyString:
    """As what somebody did it; of a role that was taken the journal's `role` is that one, and only owners take any."""
    if row.type.startswith("operator_"):
        return _l("somebody who runs the server")
    role = Role.OWNER.value if row.type == "role_taken" else row.facts.get("role", "")
    return ROLE_WORDS.get(role, _l("somebody who runs this site"))


def send_link(person: Person, staff: User, now: datetime) -> None:
    """Mail a link to sign in. It has no code: that would count only in a browser that asked."""
    token, _code = new_request(person.contact.id, secrets.token_urlsafe(24), now)
    enqueue(
        dedupe_key=f"service:sign-in:{hash_of_token(token)[:40]}",
        stream="sign-in",
        contact_id=person.contact.id,
        template="operations/sign_in_link",
        fields={"secret_url": full_url("accounts.sign_in_link", token=token), "sign_in_url": full_url("accounts.sign_in")},
        now=now,
        expires_at=now + LIFETIME,
    )
    note_act(person, "staff_sent_link", staff, now)


def change_address(person: Person, staff: User, typed: str, now: datetime, *, old_is_lost: bool, reason: str = "") -> None:
    """Ask both addresses; or, for a reason, tell the old one and two days later ask the new one alone. Raises Refusal (400)."""
    if person.user is None:
        raise Refusal(_("There is no account behind this address yet."), 400)
    if not old_is_lost:
        ask_to_move(person.user, typed, now)
        note_act(person, "staff_asked_address", staff, now)
        return
    if not reason.strip():
        raise Refusal(_("Please write down why the old address is not asked. The learner will read it."), 400)
    if roles_of(person.user):
        raise Refusal(_("This account has a staff role: its address changes only with the old address’s consent."), 400)
    token = ask_to_move(person.user, typed, now, old_is_lost=True)
    enqueue(
        dedupe_key=f"service:address-told:{hash_of_token(token)[:40]}",
        stream="service",
        contact_id=person.contact.id,
        template="operations/address_told",
        fields={"secret_url": full_url("accounts.address_change_link", token=token)},
        now=now,
        expires_at=now + OBJECTION + MOVE_LIFETIME,
    )
    note_act(person, "staff_replaced_address", staff, now, reason=reason.strip())


def end_all_sessions(person: Person, staff: User, now: datetime) -> None:
    """Sign a person out everywhere."""
    if person.user is not None:
        end_sessions(person.user)
    note_act(person, "staff_ended_sessions", staff, now)


def lift_suppression(person: Person, staff: User, now: datetime, reason: str = "") -> None:
    """Let mail go again to an address from which some came back, or for a reason to one that complained.

    Raises Refusal where neither is so, and where there is no reason for what a complaint stopped.
    """
    mac, found = person.contact.address_mac, suppression_of(person.contact.address_mac)
    if found is not None and found.reason is SuppressionReason.COMPLAINED:
        if not reason.strip():
            raise Refusal(_("Please write down what they asked for, and when. The learner will read it."), 400)
        lift(mac, SuppressionReason.COMPLAINED)
        note_act(person, "staff_lifted_complaint", staff, now, reason=reason.strip())
        return
    if not lift(mac, SuppressionReason.BOUNCED):
        raise Refusal(_("No mail came back from this address, so nothing was changed."), 409)
    note_act(person, "staff_lifted_suppression", staff, now)


def export_for_staff(person: Person, staff: User, now: datetime) -> dict[str, Any]:
    """What is held about a person, without what staff may not see; the person alone can take all of it away."""
    note_act(person, "staff_exported", staff, now)
    whole = export(person.user, person.contact)
    given: dict[str, Any] = {name: whole[name] for name in ("account", "sequences") if name in whole}
    given["contact"] = {name: whole["contact"][name] for name in CONTACT_SHOWN}
    given["contact"]["consents"] = [{name: row[name] for name in CONSENT_SHOWN} for row in whole["contact"]["consents"]]
    given["mails"] = [{name: row[name] for name in MAIL_SHOWN} for row in whole["mails"]]
    if person.user is not None:
        given["courses"] = [
            {"title": row.title, "started_at": row.started_at.isoformat(), "standing": row.standing.value}
            for row in coarse_enrolments_of(person.user)
        ]
    given["questions"] = [row for row in whole["questions"] if row["kind"] != "lesson"]
    given["events"] = [row for row in whole["events"] if row["type"] in EVENTS_SHOWN]
    given["left_out"] = _("Lessons, the safety check and the like are for the person alone, who finds everything under Account.")
    return given


def check_erasable(person: Person, typed: str) -> None:
    """Raise Refusal (400) unless the address was typed again, and is that of somebody whom an owner may erase."""
    if address_key(typed.strip()) != person.contact.address_key:
        raise Refusal(_("That is not the address of this account. Nothing was erased."), 400)
    if roles_of(person.user):
        raise Refusal(_("This account has a staff role. Whoever runs the server can erase it by the command line."), 400)


def erase_person(person: Person, staff: User, typed: str, now: datetime) -> None:
    """Forget a person everywhere, once the address was typed again and what they paid for has ended. Raises Refusal (400)."""
    check_erasable(person, typed)
    erase(person.user, person.contact, now)
    events.record("staff_erased", "erased", now, by=staff.id, role=Role.OWNER.value)


def note_act(person: Person, type: str, staff: User, now: datetime, **facts: Any) -> None:
    """Write down for them what was done, and by whom."""
    events.record(type, person.subject, now, by=staff.id, role=Role.OWNER.value, **facts)
