"""Drafts: what somebody has typed into a lesson's editor and not saved yet. Nothing here ever throws a newer text away for an older."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from courseapp.authoring.models import KeptDraft
from courseapp.columns import random_public_id
from courseapp.extensions import db, insert_into

PUBLIC_ID = re.compile(r"[0-9a-z]{16}")
Typed = dict[str, str]


@dataclass(frozen=True)
class Place:
    """Where a page keeps its draft: under which id, how many times it has sent, and from which state of the lesson it began.

    `continues` is the draft whose text the page was opened with, as it stood then.
    """

    public_id: str
    seq: int
    base_number: int
    base_stamp: str
    continues: str = ""
    continues_seq: int = 0


def keep(user_id: int, lesson_id: int, place: Place, typed: Typed, now: datetime, *, may_be_late: bool = False) -> tuple[str, int]:
    """Keep what was typed; under which id it is kept now, and with which `seq`. The caller commits.

    A page that sends twice changes nothing. Where the id turns out to be another page's (a tab that was doubled), the text is kept
    under an id of its own, so that neither loses anything.

    Args:
        may_be_late: the page sends while one types, so what is older than the kept text may be its own, overtaken. The page knows:
            where the `seq` answered is higher than any of its own, it is not.
    """
    public_id = place.public_id if PUBLIC_ID.fullmatch(place.public_id) else random_public_id()
    if not _put(user_id, lesson_id, public_id, place, typed, now):
        held = own_draft(user_id, lesson_id, public_id)
        if may_be_late and held is not None and held.seq > place.seq:
            return public_id, held.seq
        if held is None or held.typed != typed:
            public_id = random_public_id()
            _put(user_id, lesson_id, public_id, place, typed, now)
    if place.continues and place.continues != public_id:
        drop(user_id, lesson_id, place.continues, place.continues_seq)
    return public_id, place.seq


def _put(user_id: int, lesson_id: int, public_id: str, place: Place, typed: Typed, now: datetime) -> bool:
    values = {"seq": place.seq, "typed": typed, "base_number": place.base_number, "base_stamp": place.base_stamp, "at": now}
    statement = insert_into(KeptDraft).values(public_id=public_id, lesson_id=lesson_id, user_id=user_id, **values)
    statement = statement.on_conflict_do_update(
        index_elements=["public_id"],
        set_={name: statement.excluded[name] for name in values},
        where=sa.and_(KeptDraft.user_id == user_id, KeptDraft.lesson_id == lesson_id, KeptDraft.seq < statement.excluded.seq),
    )
    return db.session.scalar(statement.returning(KeptDraft.id)) is not None


def own_drafts(user_id: int, lesson_id: int) -> Sequence[KeptDraft]:
    """Somebody's drafts of a lesson, the latest first."""
    query = sa.select(KeptDraft).where(KeptDraft.user_id == user_id, KeptDraft.lesson_id == lesson_id)
    return db.session.scalars(query.order_by(KeptDraft.at.desc(), KeptDraft.id.desc())).all()


def own_draft(user_id: int, lesson_id: int, public_id: str) -> KeptDraft | None:
    """One of somebody's drafts of a lesson."""
    query = sa.select(KeptDraft).where(KeptDraft.user_id == user_id, KeptDraft.lesson_id == lesson_id, KeptDraft.public_id == public_id)
    return db.session.scalar(query.execution_options(populate_existing=True))


def others_writing(user_id: int, lesson_id: int) -> datetime | None:
    """When anybody else last wrote at a draft of this lesson that is not saved; None where nobody has one."""
    query = sa.select(sa.func.max(KeptDraft.at)).where(KeptDraft.user_id != user_id, KeptDraft.lesson_id == lesson_id)
    return db.session.scalar(query)


def drop(user_id: int, lesson_id: int, public_id: str, seq: int | None = None) -> None:
    """Throw one of somebody's drafts away; with `seq`, only if it was not written on since."""
    query = sa.delete(KeptDraft).where(KeptDraft.user_id == user_id, KeptDraft.lesson_id == lesson_id, KeptDraft.public_id == public_id)
    db.session.execute(query if seq is None else query.where(KeptDraft.seq == seq))
