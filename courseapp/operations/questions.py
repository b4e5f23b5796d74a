"""Questions to the people who run the site, and errors reported in lessons: asked, mailed, answered, forgotten.

The table stands in operations and not in learning: nothing of learning needs it, and supporting people is done here.
A text may speak of health. It stands in its row until answered and for a while after, and in the mail until that has left.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from flask_babel import force_locale
from flask_babel import lazy_gettext as _l
from sqlalchemy.orm import joinedload

from courseapp.accounts.models import User
from courseapp.catalog.models import Lesson
from courseapp.contacts.address import address_mac, clean_address
from courseapp.contacts.people import confirm, contact_for
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.mailing import privacy as mailing
from courseapp.mailing.links import full_url
from courseapp.mailing.outbox import enqueue
from courseapp.operations.models import Question, QuestionKind
from courseapp.site import present_site

log = structlog.get_logger()
KEPT = timedelta(days=180)  # after the answer
KIND_WORDS = {
    QuestionKind.SIGN_IN: _l("Signing in"),
    QuestionKind.MAIL: _l("Mails"),
    QuestionKind.SITE: _l("How the pages work"),
    QuestionKind.DATA: _l("What is kept about me"),
    QuestionKind.OTHER: _l("Something else"),
    QuestionKind.LESSON: _l("An error in a lesson"),
}


def ask(kind: QuestionKind, text: str, now: datetime, *, user: User | None, typed_address: str = "") -> Question:
    """Keep a question and mail it to the support address.

    Args:
        typed_address: where to answer somebody who has no address with us; ignored for who has one.
    Raises Refusal (400) where `typed_address` is no address.
    """
    is_known = user is not None and not user.is_guest
    address = clean_address(typed_address) if typed_address.strip() and not is_known else None
    mac = address_mac(address) if address else None
    question = _keep(Question(kind=kind, text=text, user_id=user.id if user else None, address=address, address_mac=mac, asked_at=now))
    known = user.contact.address if user is not None and user.contact is not None else None
    _tell_support(question, now, answer_to=address or known or "")
    return question


def report_error(lesson_id: int, title: str, text: str, now: datetime, user: User) -> Question:
    """Keep what is wrong in a lesson, and mail it. Neither the mail nor the list says who reported it."""
    question = _keep(Question(kind=QuestionKind.LESSON, text=text, user_id=user.id, lesson_id=lesson_id, asked_at=now))
    _tell_support(question, now, about=title)
    return question


def questions_before(question_id: int | None, limit: int, *, is_answered: bool) -> Sequence[Question]:
    """Open or answered questions older than one, newest first; with the addresses to answer to and the lessons meant."""
    query = sa.select(Question).options(joinedload(Question.user).joinedload(User.contact), joinedload(Question.lesson))
    query = query.where(Question.answered_at.is_not(None) if is_answered else Question.answered_at.is_(None))
    if question_id is not None:
        query = query.where(Question.id < question_id)
    return db.session.scalars(query.order_by(Question.id.desc()).limit(limit)).all()


def waiting() -> tuple[int, datetime | None]:
    """How many questions nobody has answered, and since when the oldest waits."""
    row = db.session.execute(sa.select(sa.func.count(), sa.func.min(Question.asked_at)).where(Question.answered_at.is_(None))).one()
    return row[0], row[1]


def address_to_answer(question: Question) -> str | None:
    """Where an answer goes; None where there is no way back, and for a reported error, which nobody signs."""
    if question.kind is QuestionKind.LESSON:
        return None
    if question.user is not None and question.user.contact is not None:
        return question.user.contact.address
    return question.address


def mark_answered(public_id: str, now: datetime, by_user_id: int | None = None) -> bool:
    """Note that a question is answered; False where there is none. Saying it twice changes nothing."""
    question = db.session.scalar(sa.select(Question).where(Question.public_id == public_id))
    if question is None:
        return False
    if question.answered_at is None:
        question.answered_at = now
        events.record("question_answered", f"question:{question.id}", now, by_user_id=by_user_id)
    return True


def export_questions(user: User | None, mac: str | None) -> list[dict[str, Any]]:
    """What a person asked and reported, signed in or under the address of this keyed hash, oldest first."""
    rows = db.session.execute(
        sa.select(Question, Lesson.title).outerjoin(Lesson, Lesson.id == Question.lesson_id).where(_is_of(user, mac)).order_by(Question.id)
    )
    return [
        {
            "kind": row.kind.value,
            "text": row.text,
            "lesson": title,
            "address": row.address,
            "asked_at": row.asked_at.isoformat(),
            "answered_at": row.answered_at.isoformat() if row.answered_at else None,
        }
        for row, title in rows
    ]


def forget_questions(user: User | None, mac: str | None, now: datetime, asked_until: datetime | None = None) -> int:
    """Delete what a person asked and reported, signed in or under the address of this keyed hash, with its mails; how many."""
    until = Question.asked_at <= asked_until if asked_until is not None else sa.true()
    return _forget(sa.and_(_is_of(user, mac), until), now)


def forget_questions_of(guests: Sequence[int], now: datetime) -> int:
    """Delete what guests of these ids asked and reported, with its mails; how many."""
    return _forget(Question.user_id.in_(guests), now)


def forget_answered(now: datetime) -> int:
    """Delete questions whose answer is long past, with their mails; how many."""
    return _forget(Question.answered_at < now - KEPT, now)


def rekey_questions() -> None:
    """Give every address of a question its hash under the SECRET_KEY that is set now."""
    for question in db.session.scalars(sa.select(Question).where(Question.address.is_not(None))):
        question.address_mac = address_mac(str(question.address))


def _forget(which: sa.ColumnElement[bool], now: datetime) -> int:
    names = db.session.scalars(sa.select(Question.public_id).where(which)).all()
    mailing.erase_named([_mail_key(name) for name in names], now)
    db.session.execute(sa.delete(Question).where(Question.public_id.in_(names)).execution_options(synchronize_session=False))
    return len(names)


def _keep(question: Question) -> Question:
    db.session.add(question)
    db.session.flush()
    return question


def _tell_support(question: Question, now: datetime, *, answer_to: str = "", about: str = "") -> None:
    site = present_site()
    if not site.support_address:
        return
    try:
        contact = contact_for(site.support_address, now, site.default_zone, site.default_language)
    except Refusal:
        log.warning("support_address_unusable")  # the question stands in the list all the same
        return
    confirm(contact, now)  # whoever set it up has said so
    with force_locale(contact.language.replace("-", "_")):  # not in the language of whoever asks
        kind = str(KIND_WORDS[question.kind])
    fields = {
        "secret_kind": kind,
        "secret_about": about,
        "secret_text": question.text,
        "secret_answer_to": answer_to,
        "list_url": full_url("support.questions"),
    }
    enqueue(
        dedupe_key=_mail_key(question.public_id),
        stream="service",
        contact_id=contact.id,
        template="operations/report" if question.kind is QuestionKind.LESSON else "operations/question",
        fields=fields,
        now=now,
    )


def _mail_key(public_id: str) -> str:
    return f"service:question:{public_id}"


def _is_of(user: User | None, mac: str | None) -> sa.ColumnElement[bool]:
    """SQL: the person asked it, signed in or under the address of this keyed hash."""
    theirs: list[sa.ColumnElement[bool]] = [sa.false()]
    if user is not None:
        theirs.append(Question.user_id == user.id)
    if mac is not None:
        theirs.append(Question.address_mac == mac)
    return sa.or_(*theirs)
