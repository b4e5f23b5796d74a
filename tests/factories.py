"""Plain functions that make rows. Each adds to the session of the test and flushes; the next request commits.

Times default to `conftest.NOW`, what the application's clock says when a test begins. Every argument is a column's name,
but for the few that a docstring explains.
"""

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import count
from typing import Any

from courseapp import storage
from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.accounts.passwords import set_password
from courseapp.authoring.models import KeptDraft
from courseapp.billing.models import Customer, Entitlement, Interval, Kind, Plan, Price, Tier, TierGrant
from courseapp.campaigns.models import (
    Broadcast,
    BroadcastState,
    Goal,
    LatePolicy,
    Segment,
    SequenceRun,
    SequenceStep,
    SequenceVersion,
    Trigger,
)
from courseapp.campaigns.models import Sequence as DripSequence
from courseapp.catalog.models import Asset, Course, Lesson, Module, Need, Revision, Rule
from courseapp.contacts.address import address_key, address_mac
from courseapp.contacts.models import Consent, ConsentAction, Contact, Purpose, Suppression, SuppressionReason
from courseapp.extensions import db
from courseapp.journal.models import Event, Receipt
from courseapp.learning.models import Completion, Enrolment, MediaPosition, Outcome, SafetyOutcome
from courseapp.learning.safety_questions import VERSION
from courseapp.mailing.models import Letter, Message, State, Stream
from courseapp.mailing.streams import PRIORITY, stream_of

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
_numbers = count(1)  # for what must be unique and does not matter; never for an order


def make_contact(address: str | None = None, *, confirmed: bool = True, **kw: Any) -> Contact:
    """An address; confirmed unless told otherwise."""
    address = address or f"person{next(_numbers)}@example.org"
    values = {"address": address, "address_key": address_key(address), "address_mac": address_mac(address), "zone": "UTC", "language": "en"}
    return _add(Contact(**{**values, "created_at": NOW, "confirmed_at": NOW if confirmed else None, **kw}))


def make_guest(**kw: Any) -> User:
    """A user without a contact."""
    return _add(User(**{"created_at": NOW, "seen_at": NOW, **kw}))


def make_user(address: str | None = None, *, roles: Sequence[Role | str] = (), password: str | None = None, **kw: Any) -> User:
    """A user with a confirmed address; `roles` such as Role.OWNER or "owner"."""
    contact = kw.pop("contact", None) or make_contact(address)
    user = _add(User(**{"contact_id": contact.id, "created_at": NOW, "seen_at": NOW, **kw}))
    if password is not None:
        set_password(user, password)
    for role in roles:
        _add(RoleGrant(user_id=user.id, role=Role(role), granted_at=NOW))
    user.roles = frozenset(Role(role).value for role in roles)
    return user


def make_consent(contact: Contact, purpose: Purpose = Purpose.COURSE, action: ConsentAction = ConsentAction.GIVEN, **kw: Any) -> Consent:
    """One entry of the consent log."""
    return _add(
        Consent(
            **{"contact_id": contact.id, "purpose": purpose, "action": action, "wording": f"{purpose}-1", "source": "test", "at": NOW, **kw}
        )
    )


def make_suppression(address: str, reason: SuppressionReason = SuppressionReason.BOUNCED, **kw: Any) -> Suppression:
    """An address that gets no mail."""
    return _add(Suppression(**{"address_mac": address_mac(address), "reason": reason, "at": NOW, **kw}))


def make_course(*, needs: Sequence[Sequence[Need | str]] = (("none", "none"), ("gentle", "touch")), **kw: Any) -> Course:
    """A published course. `needs` lists, per module, what each lesson's `needs_check` is; by default every kind is there."""
    number = next(_numbers)
    slug = kw.pop("slug", "introduction" if not db.session.query(Course.id).first() else f"course-{number}")
    values = {
        "slug": slug,
        "title": "An introduction",
        "language": "en",
        "edition": "2026-11",
        "summary": "What this course is, in one sentence.",
        "headline": "A course in plain words",
        "article_source": "The article.",
        "article_html": "<p>The article.</p>",
        "front": {
            "for_whom": ["Anyone"],
            "not_for": ["Nobody"],
            "sample": "lesson-1-1",
            "questions": [{"question": "Why?", "answer": "So."}],
            "made_by": "Test",
        },
        "content_hash": _digest(slug),
        "created_at": NOW,
        "changed_at": NOW,
        "published_at": NOW,
    }
    course = _add(Course(**{**values, **kw}))
    for module_number, lessons in enumerate(needs, 1):
        module = make_module(course, position=module_number)
        for lesson_number, need in enumerate(lessons, 1):
            make_lesson(module, key=f"lesson-{module_number}-{lesson_number}", needs_check=Need(need))
    return course


def make_module(course: Course, **kw: Any) -> Module:
    """A module; `position` from 1."""
    position = kw.setdefault("position", 1 + len(modules_of(course)))
    values = {
        "course_id": course.id,
        "key": f"module-{position}",
        "title": f"Module {position}",
        "summary": f"What module {position} is about.",
    }
    return _add(Module(**{**values, **kw}))


def make_lesson(module: Module, *, html: str | None = None, revised: dict[str, Any] | None = None, **kw: Any) -> Lesson:
    """A published lesson with one revision, at the end of its module; `revised` are columns of the revision."""
    position = kw.setdefault("position", 1 + db.session.query(Lesson).filter_by(course_id=module.course_id).count())
    values = {
        "course_id": module.course_id,
        "module_id": module.id,
        "key": f"lesson-{position}",
        "title": f"Lesson number {position}",
        "minutes": 5,
        "shows": f"What lesson {position} shows.",
        "needs_check": Need.NONE,
        "rule": Rule.MARK,
        "published_at": NOW,
    }
    lesson = _add(Lesson(**{**values, **kw}))
    make_revision(lesson, html=html or f"<p>The text of {lesson.key}.</p>", **(revised or {}))
    return lesson


def make_revision(lesson: Lesson, **kw: Any) -> Revision:
    """A new state of a lesson's text, which becomes the present one."""
    number = kw.setdefault("number", 1 + db.session.query(Revision).filter_by(lesson_id=lesson.id).count())
    values = {
        "lesson_id": lesson.id,
        "source": "The text.",
        "folder": "",
        "html": "<p>The text.</p>",
        "stop_html": "" if lesson.needs_check is Need.NONE else "<ul><li>sharp pain</li></ul>",
        "content_hash": _digest(f"{lesson.key}:{number}"),
        "sources": [],
        "created_at": NOW,
    }
    revision = _add(Revision(**{**values, **kw}))
    lesson.revision_number = number
    db.session.flush()
    return revision


def make_asset(course: Course, content: bytes = b"<svg xmlns='http://www.w3.org/2000/svg'/>", *, kept: bool = True, **kw: Any) -> Asset:
    """A file beside the lessons; its content is put into the storage unless `kept` is False."""
    digest = hashlib.sha256(content).hexdigest()
    values = {
        "course_id": course.id,
        "path": f"figure-{next(_numbers)}.svg",
        "source_digest": digest,
        "digest": digest,
        "media_type": "image/svg+xml",
        "size": len(content),
    }
    asset = _add(Asset(**{**values, "need": Need.NONE, "is_shown": True, **kw}))
    if kept:
        storage.keep(asset.storage_key, content)
    return asset


def make_enrolment(user: User | None = None, course: Course | None = None, **kw: Any) -> Enrolment:
    """That somebody takes a course; both are made where they are not given."""
    user, course = user or make_user(), course or make_course()
    return _add(Enrolment(**{"user_id": user.id, "course_id": course.id, "started_at": NOW, **kw}))


def make_completion(user: User, lesson: Lesson, **kw: Any) -> Completion:
    """That somebody has done a lesson."""
    return _add(Completion(**{"user_id": user.id, "lesson_id": lesson.id, "completed_at": NOW, **kw}))


def make_position(user: User, asset: Asset, seconds: int = 83, **kw: Any) -> MediaPosition:
    """That somebody stopped a film or sound at a second."""
    return _add(MediaPosition(**{"user_id": user.id, "asset_id": asset.id, "seconds": seconds, "at": NOW, **kw}))


def make_outcome(user: User, outcome: Outcome | str = Outcome.AHEAD, **kw: Any) -> SafetyOutcome:
    """What somebody's safety check came to, under the wording that counts now."""
    return _add(SafetyOutcome(**{"user_id": user.id, "outcome": Outcome(outcome), "wording": VERSION, "decided_at": NOW, **kw}))


def make_letter(**kw: Any) -> Letter:
    """A published mail text."""
    words = {"language": "en", "subject": "A subject", "preheader": "A preheader", "body": "Hello."}
    return _add(Letter(**{**words, "purpose": Purpose.COURSE, "targets": {}, "created_at": NOW, **kw}))


def make_broadcast(*, is_sent: bool = False, **kw: Any) -> Broadcast:
    """A broadcast to everybody who agreed to marketing mail: a draft, or one that is being sent."""
    broadcast = Broadcast(
        **{
            "title": "News",
            "purpose": Purpose.MARKETING,
            "tree": {"all": []},
            "language": "en",
            "subject": "What comes next",
            "preheader": "Two courses",
            "body": "There are two.",
            "window_start": time(9),
            "window_end": time(18),
            "created_at": NOW,
            "changed_at": NOW,
            **kw,
        }
    )
    _add(broadcast)
    if is_sent:
        stream = _add(Stream(key=f"broadcast-{broadcast.id}", purpose=broadcast.purpose))
        broadcast.stream_id, broadcast.state, broadcast.snapshot_at = stream.id, BroadcastState.SENDING, NOW
        broadcast.letter_id = make_letter(subject=broadcast.subject).id
        db.session.flush()
    return broadcast


def make_message(contact: Contact | None = None, *, stream: str = "course", letter: Letter | None = None, **kw: Any) -> Message:
    """A row of the outbox, due now; without `template` it carries a letter."""
    contact, row, number = contact or make_contact(), stream_of(stream), next(_numbers)
    if "template" not in kw:
        kw["letter_id"] = (letter or make_letter(purpose=row.purpose)).id
    values = {
        "dedupe_key": f"test:{os.getpid()}:{number}",  # several processes make rows of one database for the pictures
        "stream_id": row.id,
        "contact_id": contact.id,
        "fields": {},
        "message_id": f"<test.{number}@example.org>",
        "state": State.PENDING,
        "priority": PRIORITY[row.purpose],
        "due_at": NOW,
        "created_at": NOW,
    }
    return _add(Message(**{**values, **kw}))


def make_event(
    type: str = "enrolled", subject: str = "user:1", *, readers: Sequence[str] = (), data: dict[str, Any] | None = None, at: datetime = NOW
) -> Event:
    """A journal event, with an unread receipt for each of `readers`."""
    event = _add(Event(type=type, subject=subject, data=data or {}, at=at))
    for reader in readers:
        _add(Receipt(event_id=event.id, reader=reader))
    return event


def make_sequence(
    *, delays: Sequence[int] = (0, 3, 7), late: LatePolicy = LatePolicy.SEND, gap_hours: int = 20, **kw: Any
) -> SequenceVersion:
    """A sequence with one version and a step per delay in days; returns the version (`.sequence` is the sequence).

    Arguments are columns of the version, or else of the sequence; `conditions` are those of the steps, in their order.
    """
    key = kw.pop("key", f"sequence-{next(_numbers)}")
    conditions = kw.pop("conditions", [None] * len(delays))
    values = {"key": key, "title": "A sequence", "purpose": Purpose.COURSE, "created_at": NOW, "changed_at": NOW}
    of_version = {
        "number": 1,
        "content_hash": _digest(key),
        "language": "en",
        "trigger": Trigger.ENROLLED,
        "goal": Goal.COURSE_COMPLETED,
        "window_start": time(0),
        "window_end": time(0),
        "weekdays": "1234567",
        "published_at": NOW,
    }
    of_version |= {name: kw.pop(name) for name in list(kw) if name in SequenceVersion.__table__.columns and name != "by_user_id"}
    sequence = _add(DripSequence(**{**values, **kw}))
    version = _add(SequenceVersion(sequence_id=sequence.id, minimum_gap_hours=gap_hours, late=late, **of_version))
    for position, (days, condition) in enumerate(zip(delays, conditions, strict=True)):
        letter = make_letter(subject=f"Step {position}", purpose=sequence.purpose)
        _add(SequenceStep(version_id=version.id, position=position, delay_days=days, condition=condition, letter_id=letter.id))
    return version


def make_run(version: SequenceVersion, contact: Contact, course: Course, **kw: Any) -> SequenceRun:
    """Somebody's way through a sequence, the first step due now."""
    values = {
        "sequence_id": version.sequence_id,
        "version_id": version.id,
        "contact_id": contact.id,
        "course_id": course.id,
        "started_at": NOW,
        "next_run_at": NOW,
    }
    return _add(SequenceRun(**{**values, **kw}))


def make_segment(tree: dict[str, Any] | None = None, **kw: Any) -> Segment:
    """People chosen by a tree of conditions; everybody unless told otherwise."""
    values = {"name": f"Segment {next(_numbers)}", "tree": tree or {"all": []}, "created_at": NOW, "changed_at": NOW}
    return _add(Segment(**{**values, **kw}))


def make_tier(*, opens: Course | Module | None = None, **kw: Any) -> Tier:
    """A tier on offer; `opens` a course, or one module of it."""
    number = next(_numbers)
    usual = {"key": f"tier{number}", "name": f"Tier {number}", "neutral_name": "Your course", "summary": "More of it.", "features": []}
    tier = _add(Tier(**{**usual, "created_at": NOW, "changed_at": NOW, **kw}))
    if opens is not None:
        module = opens if isinstance(opens, Module) else None
        course_id = opens.course_id if isinstance(opens, Module) else opens.id
        _add(TierGrant(tier_id=tier.id, course_id=course_id, module_id=module.id if module is not None else None))
    return tier


def make_plan(tier: Tier | None = None, interval: Interval | str = Interval.MONTH, *, amount: int = 900, **kw: Any) -> Plan:
    """A plan with its one price in euros; `prices`: others by currency."""
    tier = tier or make_tier()
    prices = kw.pop("prices", {"eur": amount})
    plan = _add(Plan(**{"tier_id": tier.id, "key": f"plan{next(_numbers)}", "interval": Interval(interval), **kw}))
    for currency, minor in prices.items():
        make_price(plan, currency=currency, amount=minor)
    return plan


def make_price(plan: Plan, **kw: Any) -> Price:
    """A price that is not synced yet."""
    return _add(Price(**{"plan_id": plan.id, "currency": "eur", "amount": 900, "created_at": NOW, **kw}))


def make_entitlement(user: User, tier: Tier, kind: Kind | str = Kind.GIFT, **kw: Any) -> Entitlement:
    """That somebody holds a tier."""
    return _add(Entitlement(**{"user_id": user.id, "tier_id": tier.id, "kind": Kind(kind), "begins_at": NOW, **kw}))


def make_customer(user: User | None = None, **kw: Any) -> Customer:
    """Somebody's customer at Stripe."""
    usual = {"user_id": user.id if user is not None else None, "stripe_id": f"cus_{next(_numbers)}", "created_at": NOW}
    return _add(Customer(**{**usual, **kw}))


def modules_of(course: Course) -> list[Module]:
    """A course's modules in order."""
    return db.session.query(Module).filter_by(course_id=course.id).order_by(Module.position).all()


def lessons_of(course: Course) -> list[Lesson]:
    """A course's lessons in order."""
    return db.session.query(Lesson).filter_by(course_id=course.id).order_by(Lesson.position).all()


def lesson_that_needs(course: Course, need: Need | str) -> Lesson:
    """The first lesson of a course whose `needs_check` is so."""
    return next(lesson for lesson in lessons_of(course) if lesson.needs_check is Need(need))


def days_ago(days: float) -> datetime:
    """So many days before the test's now."""
    return NOW - timedelta(days=days)


def _add(row: Any) -> Any:
    db.session.add(row)
    db.session.flush()
    return row


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def draft_of(user: User, lesson: Lesson) -> KeptDraft:
    """What somebody has typed into a lesson's editor, not added yet."""
    return KeptDraft(
        lesson_id=lesson.id, user_id=user.id, seq=1, typed={"body": "canary draft"}, base_number=1, base_stamp="a" * 16, at=NOW
    )
