"""Sequences as staff keep them: written as a draft, published as an immutable version, paused, put away.

Runs keep to the version they began with; `migrate_runs` alone moves them. Each change is in the journal, with who made it.
"""

import hashlib
import json
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask_babel import gettext as _

from courseapp.accounts.models import Role, User
from courseapp.billing.models import Tier
from courseapp.billing.sensitivity import tier_of_key
from courseapp.campaigns.holding import cancel_waiting, hold_waiting, let_waiting_go
from courseapp.campaigns.models import RunEnd, Sequence, SequenceRun, SequenceStep, SequenceVersion
from courseapp.campaigns.moving import place_in, steps_of
from courseapp.campaigns.sequence_problems import SequenceProblem, lesson_id_of, problems_of, text_of
from courseapp.campaigns.sequence_shapes import SequenceDraft, StepDraft, draft_from, kept, latest_version, said_by
from courseapp.catalog.models import Course
from courseapp.columns import random_public_id
from courseapp.errors import Refusal
from courseapp.extensions import db, wake
from courseapp.journal import events
from courseapp.mailing.letters import publish_letter

__all__ = [
    "SequenceDraft",
    "SequenceProblem",
    "StepDraft",
    "archive",
    "draft_of",
    "is_for",
    "keep_draft",
    "latest_version",
    "migrate_runs",
    "new_sequence",
    "pause",
    "problems_of",
    "publish",
    "resume",
    "said_by",
    "sequence_named",
    "text_of",
]


def sequence_named(public_id: str, reader: User) -> Sequence | None:
    """The sequence of an id in addresses, archived or not, for whoever may look after it."""
    return db.session.scalar(sa.select(Sequence).where(Sequence.public_id == public_id, is_for(reader)))


def is_for(reader: User) -> sa.ColumnElement[bool]:
    """SQL, about a `Sequence`: a member of staff may look after it. What names a marked course or tier is the owner's alone."""
    if reader.has_role(Role.OWNER):
        return sa.true()
    marked = sa.select(Course.id).where(Course.id == SequenceVersion.course_id, Course.sensitive_at.is_not(None)).exists()
    is_of_tier = Tier.id.in_((SequenceVersion.tier_id, SequenceVersion.goal_tier_id))
    marked_tier = sa.select(Tier.id).where(is_of_tier, Tier.sensitive_at.is_not(None)).correlate(SequenceVersion).exists()
    said = sa.select(SequenceVersion.id).where(SequenceVersion.sequence_id == Sequence.id, sa.or_(marked, marked_tier)).exists()
    slug, *keys = (Sequence.draft[name].as_string() for name in ("course_slug", "tier_key", "goal_tier_key"))
    drafted = sa.select(Course.id).where(Course.slug == slug, Course.sensitive_at.is_not(None)).exists()
    drafted_tier = sa.select(Tier.id).where(Tier.key.in_(keys), Tier.sensitive_at.is_not(None)).exists()
    return sa.not_(sa.or_(said, drafted, drafted_tier))


def new_sequence(draft: SequenceDraft, by_user_id: int | None, now: datetime, key: str = "") -> Sequence:
    """Begin one with a draft; nobody gets anything yet. The caller commits.

    Args:
        key: what it is called in files; one made by page needs none.
    """
    public_id = random_public_id()
    made = Sequence(
        public_id=public_id,
        key=key or public_id,
        title=draft.title,
        purpose=draft.purpose,
        draft=kept(draft),
        draft_version=1,
        created_at=now,
        changed_at=now,
        by_user_id=by_user_id,
    )
    db.session.add(made)
    db.session.flush()
    return made


def draft_of(sequence: Sequence) -> SequenceDraft:
    """What staff have written last: the draft, or what the current version says."""
    if sequence.draft is not None:
        return draft_from(sequence.draft)
    latest = latest_version(sequence)
    assert latest is not None, "a sequence without a version has a draft"
    return said_by(latest)


def keep_draft(sequence: Sequence, draft: SequenceDraft, version: int, by_user_id: int | None, now: datetime) -> None:
    """Keep what was written; raises Refusal where somebody else changed it since `version` (its `draft_version`)."""
    _lock(sequence)
    if sequence.draft_version != version:
        raise Refusal(_("Somebody else has changed this sequence meanwhile. Your words are below; look at theirs in another window."))
    if sequence.archived_at is not None:
        raise Refusal(_("This sequence is put away. Bring it back before you change it."))
    latest = latest_version(sequence)
    sequence.draft = None if latest is not None and said_by(latest) == draft else kept(draft)
    if latest is None:
        sequence.title, sequence.purpose = draft.title, draft.purpose
    _note_change(sequence, by_user_id, now)


def publish(sequence: Sequence, by_user_id: int | None, now: datetime) -> SequenceVersion:
    """Make the draft the version with which new runs begin; those under way keep to theirs. The caller commits.

    Raises Refusal with everything that is wrong, in words, and where nothing has changed. A new name alone makes no new version.
    """
    _lock(sequence)
    if sequence.archived_at is not None:
        raise Refusal(_("This sequence is put away. Bring it back before you publish it."))
    draft, latest = draft_of(sequence), latest_version(sequence)
    if latest is not None and draft.says_the_same_as(said_by(latest)):
        if draft.title == sequence.title:
            raise Refusal(_("Nothing has changed since version %(number)s, so no new version was made.", number=latest.number))
        _take_over(sequence, draft, by_user_id, now)
        return latest
    _refuse_problems(sequence, draft, has_versions=latest is not None)
    version = _new_version(sequence, draft, (latest.number if latest else 0) + 1, by_user_id, now)
    _take_over(sequence, draft, by_user_id, now)
    _note(sequence, "sequence_published", by_user_id, now, version=version.number)
    return version


def _refuse_problems(sequence: Sequence, draft: SequenceDraft, has_versions: bool) -> None:
    words = [str(problem) for problem in problems_of(draft) if not problem.is_warning]
    if has_versions and draft.purpose is not sequence.purpose:
        words.insert(0, _("The purpose of a published sequence stays, for people agreed to it. Make a new sequence for another purpose."))
    if words:
        raise Refusal(_("It cannot be published yet. %(words)s", words=" ".join(words)))


def _new_version(sequence: Sequence, draft: SequenceDraft, number: int, by_user_id: int | None, now: datetime) -> SequenceVersion:
    course_id = db.session.scalar(sa.select(Course.id).where(Course.slug == draft.course_slug)) if draft.course_slug else None
    content = json.dumps(kept(draft) | {"title": ""}, sort_keys=True, default=str)
    version = SequenceVersion(
        sequence_id=sequence.id,
        number=number,
        content_hash=hashlib.sha256(content.encode()).hexdigest(),
        language=draft.language,
        trigger=draft.trigger,
        trigger_days=draft.trigger_days,
        course_id=course_id,
        lesson_id=lesson_id_of(draft),
        tier_id=_tier_id(draft.tier_key),
        goal=draft.goal,
        goal_tier_id=_tier_id(draft.goal_tier_key),
        window_start=draft.window.start,
        window_end=draft.window.end,
        weekdays="".join(sorted(draft.weekdays)),
        minimum_gap_hours=draft.minimum_gap_hours,
        late=draft.late,
        published_at=now,
        by_user_id=by_user_id,
    )
    db.session.add(version)
    db.session.flush()
    for position, step in enumerate(draft.steps):
        letter = publish_letter(text_of(draft, step), now)
        columns = {"delay_days": step.delay_days, "condition": step.condition, "letter_id": letter.id}
        db.session.add(SequenceStep(version_id=version.id, position=position, **columns))
    return version


def _tier_id(key: str | None) -> int | None:
    tier = tier_of_key(key)
    return tier.id if tier is not None else None


def _take_over(sequence: Sequence, draft: SequenceDraft, by_user_id: int | None, now: datetime) -> None:
    sequence.title, sequence.purpose, sequence.draft = draft.title, draft.purpose, None
    _note_change(sequence, by_user_id, now)


def pause(sequence: Sequence, by_user_id: int | None, now: datetime) -> None:
    """Let nothing more of it leave until it is resumed; each worker finishes the mail it is at. People begin it meanwhile, and wait."""
    _lock(sequence)
    if sequence.paused_at is None:
        sequence.paused_at = now
        hold_waiting(sequence)
        _note(sequence, "sequence_paused", by_user_id, now)


def resume(sequence: Sequence, by_user_id: int | None, now: datetime) -> None:
    """Let it go on; what came due meanwhile is late, and its versions say what becomes of that."""
    _lock(sequence)
    if sequence.archived_at is not None:
        raise Refusal(_("This sequence is put away. Bring it back before you let it run."))
    if sequence.paused_at is not None:
        sequence.paused_at = None
        let_waiting_go(sequence)
        _note(sequence, "sequence_resumed", by_user_id, now)
        wake("news.campaigns")


def archive(sequence: Sequence, by_user_id: int | None, now: datetime) -> int:
    """Put it away: nobody begins it any more, and whoever is in it gets nothing more of it; how many that were."""
    _lock(sequence)
    if sequence.archived_at is not None:
        return 0
    sequence.archived_at = now
    stopped = db.session.execute(
        sa.update(SequenceRun)
        .where(SequenceRun.sequence_id == sequence.id, SequenceRun.ended_at.is_(None))
        .values(ended_at=now, end=RunEnd.STOPPED, next_run_at=None)
        .execution_options(synchronize_session=False)
    )
    cancel_waiting(sequence, now)
    _note(sequence, "sequence_archived", by_user_id, now)
    return int(stopped.rowcount)  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult


def bring_back(sequence: Sequence, by_user_id: int | None, now: datetime) -> None:
    """Take it out again, paused, so that somebody looks before it runs. Whoever was stopped stays stopped."""
    _lock(sequence)
    if sequence.archived_at is not None:
        sequence.archived_at, sequence.paused_at = None, sequence.paused_at or now
        _note(sequence, "sequence_brought_back", by_user_id, now)


def migrate_runs(sequence: Sequence, by_user_id: int | None, now: datetime) -> int:
    """Move whoever is under way in an older version to the newest, behind the steps they have had (`moving.py`); how many.

    Whoever is past its end has finished. When the next step is due is settled by the next tick, for each.
    """
    _lock(sequence)
    newest = latest_version(sequence)
    if newest is None:
        raise Refusal(_("This sequence has no published version yet."))
    is_open = [SequenceRun.sequence_id == sequence.id, SequenceRun.ended_at.is_(None), SequenceRun.version_id != newest.id]
    places = db.session.execute(sa.select(SequenceRun.version_id, SequenceRun.position).where(*is_open).distinct()).all()
    steps = steps_of({newest.id, *(version_id for version_id, _position in places)})
    count = 0
    for version_id, position in places:
        place = place_in(steps[newest.id], steps[version_id], position)
        is_past = place >= len(steps[newest.id])
        ended = {"ended_at": now, "end": RunEnd.FINISHED, "next_run_at": None} if is_past else {"next_run_at": now}
        moved = db.session.execute(
            sa.update(SequenceRun)
            .where(*is_open, SequenceRun.version_id == version_id, SequenceRun.position == position)
            .values(version_id=newest.id, position=place, **ended)
            .execution_options(synchronize_session=False)
        )
        count += int(moved.rowcount)  # type: ignore[attr-defined]  # as above
    if count:
        _note(sequence, "sequence_migrated", by_user_id, now, version=newest.number, runs=count)
        wake("news.campaigns")
    return count


def _lock(sequence: Sequence) -> None:
    """Nobody else changes it until the commit; what it is now is read anew."""
    db.session.flush()
    db.session.refresh(sequence, with_for_update={"key_share": True})


def _note_change(sequence: Sequence, by_user_id: int | None, now: datetime) -> None:
    sequence.draft_version, sequence.changed_at, sequence.by_user_id = sequence.draft_version + 1, now, by_user_id
    db.session.flush()


def _note(sequence: Sequence, what: str, by_user_id: int | None, now: datetime, **facts: Any) -> None:
    db.session.flush()
    events.record(what, f"sequence:{sequence.id}", now, by_user_id=by_user_id, **facts)
