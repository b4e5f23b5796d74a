"""Uploads: taken in, looked through, brought in or thrown away. The looking is the worker's; see `loops.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from flask_babel import gettext as _
from sqlalchemy.orm import joinedload

from courseapp import storage
from courseapp.accounts.models import User
from courseapp.authoring.models import UPLOADS, Problem, Upload, UploadState
from courseapp.catalog.models import Course, Module, Need
from courseapp.columns import random_public_id
from courseapp.errors import Refusal
from courseapp.extensions import db, wake
from courseapp.journal import events

LEASE = timedelta(minutes=2)  # renewed with each sign of progress
MOST_ATTEMPTS = 3
KEPT = timedelta(days=14)  # how long the files of an upload wait for the worker; one that is ready waits for people, and stays
ORPHANED = timedelta(days=1)  # after which files without a row are nobody's
MOST = 500  # files of one upload; an archive may hold more
WORKING = (UploadState.WAITING, UploadState.ACCEPTED)
OPEN = (*WORKING, UploadState.READY)
NAMED = (joinedload(Upload.by), joinedload(Upload.course), joinedload(Upload.into_course))  # what pages say beside an upload


@dataclass(frozen=True)
class Place:
    """Where an upload goes: nowhere, for a whole course; or into a course, as one of its modules (by key) or a new one.

    `needs` is what lessons ask of the body that do not say it themselves.
    """

    course: Course | None = None
    module: str | None = None
    title: str = ""
    needs: Need | None = None


def place_of(answer: str, title: str, needs: str) -> Place:
    """The place that the form's answers name: "", "slug/" for a new module, "slug/key". Raises Refusal (400) in words."""
    slug, _slash, key = answer.partition("/")
    course = db.session.scalar(sa.select(Course).where(Course.slug == slug)) if slug else None
    module = sa.select(Module.key).where(Module.course_id == course.id, Module.key == key, Module.retired_at.is_(None)) if course else None
    if (slug and course is None) or (key and (module is None or db.session.scalar(module) is None)):
        raise Refusal(_("The course or module you chose is not there any more. Please choose again."), 400)
    known = {need.value: need for need in Need}
    return Place(course, key or None, " ".join(title.split())[:200] if course and not key else "", known.get(needs))


def places() -> dict[Course, list[Module]]:
    """Every course with its modules, as places for an upload, in two queries."""
    courses = db.session.scalars(sa.select(Course).order_by(Course.title)).all()
    modules = db.session.scalars(sa.select(Module).where(Module.retired_at.is_(None)).order_by(Module.position)).all()
    return {course: [module for module in modules if module.course_id == course.id] for course in courses}


def receive(user: User, files: Sequence[tuple[str, IO[bytes] | Path]], now: datetime, place: Place | None = None) -> Upload:
    """Keep what was sent, open or as whole files of this machine, and have it looked through; the caller commits.

    Raises Refusal (400, 413) in words.
    """
    if not files:
        raise Refusal(_("Please choose a file first: a ZIP archive, or the files of a course."), 400)
    if len(files) > MOST:
        raise Refusal(_("These are more than %(count)s files. Please pack them into one ZIP archive.", count=MOST), 413)
    upload = Upload(public_id=random_public_id(), by_user_id=user.id, files=[], size=0, state=UploadState.WAITING, created_at=now)
    place = place or Place()
    upload.into_course_id = place.course.id if place.course is not None else None
    upload.into_module, upload.module_title, upload.needs_check = place.module, place.title, place.needs
    try:
        for index, (name, content) in enumerate(files):
            upload.files.append(name[:200])
            key = upload.storage_key(index)
            upload.size += storage.keep_file(key, content) if isinstance(content, Path) else storage.keep_stream(key, content)
    except BaseException:  # the disk is full, or whoever sends has gone: nobody would ever ask for what was kept by then
        _remove_files(upload.folder)
        raise
    db.session.add(upload)
    db.session.flush()
    events.record("upload_received", f"upload:{upload.id}", now, by_user_id=user.id)
    wake("uploads")
    return upload


def upload_of(public_id: str) -> Upload | None:
    """The upload of an address, or None."""
    return db.session.scalar(sa.select(Upload).where(Upload.public_id == public_id).options(*NAMED))


def recent_uploads(before_id: int | None, limit: int) -> Sequence[Upload]:
    """The newest uploads older than `before_id`."""
    query = sa.select(Upload).options(*NAMED)
    if before_id is not None:
        query = query.where(Upload.id < before_id)
    return db.session.scalars(query.order_by(Upload.id.desc()).limit(limit)).all()


def ready_uploads(course: Course | None = None) -> list[Upload]:
    """The uploads that wait for somebody to decide, the one that has waited longest first; those for one course alone."""
    query = sa.select(Upload).where(Upload.state == UploadState.READY).options(joinedload(Upload.by), joinedload(Upload.course))
    if course is not None:
        query = query.where(Upload.course_slug == course.slug)
    return list(db.session.scalars(query.order_by(Upload.id)))


def is_stale(upload: Upload) -> bool:
    """Whether the course has changed since the upload was held against it, so that its difference is none any more."""
    present = sa.select(Course.version).where(Course.slug == upload.course_slug)
    return upload.state is UploadState.READY and db.session.scalar(present) != upload.course_version


def hold(upload: Upload) -> None:
    """Read an upload anew and keep others from it until the caller commits."""
    db.session.execute(sa.select(Upload.id).where(Upload.id == upload.id).with_for_update())
    db.session.refresh(upload)  # apart, for it may fetch what belongs to it by outer joins, and PostgreSQL locks no such row


def accept(upload: Upload, publish: bool, without_review: bool = False, by_user_id: int | None = None) -> bool:
    """Have an upload that was found good brought in; False where it is no longer waiting for that."""
    changes = {"publish": publish, "without_review": without_review, "decided_by_id": by_user_id, "problem": None}
    if not _move(upload, (UploadState.READY,), state=UploadState.ACCEPTED, attempts=0, stage=None, **changes):
        return False
    wake("uploads")
    return True


def look_again(upload: Upload, problem: Problem | None = None) -> bool:
    """Have an upload held against its course as it is now; False where it is not waiting for a decision."""
    if not _move(upload, (UploadState.READY,), state=UploadState.WAITING, attempts=0, stage=None, problem=problem):
        return False
    wake("uploads")
    return True


def cancel(upload: Upload, now: datetime, by_user_id: int | None = None) -> bool:
    """Throw an upload away; False where it is brought in already. A worker that is at it notices and stops."""
    if not _move(upload, OPEN, state=UploadState.CANCELLED, finished_at=now):
        return False
    events.record("upload_cancelled", f"upload:{upload.id}", now, by_user_id=by_user_id)
    return True


def _move(upload: Upload, allowed: Sequence[UploadState], **changes: Any) -> bool:
    moved = db.session.execute(sa.update(Upload).where(Upload.id == upload.id, Upload.state.in_(allowed)).values(**changes))
    db.session.refresh(upload)
    return bool(moved.rowcount)  # type: ignore[attr-defined]  # an UPDATE gives a CursorResult


def claim(now: datetime) -> Upload | None:
    """The next upload for the worker, leased; None where there is none. One whose worker died is taken again, three times at most."""
    is_free = sa.or_(Upload.leased_until.is_(None), Upload.leased_until < now)
    due = sa.select(Upload).where(Upload.state.in_(WORKING), is_free)
    upload = db.session.scalar(due.order_by(Upload.id).limit(1).with_for_update(skip_locked=True))
    if upload is None:
        return None
    upload.attempts += 1
    if upload.attempts > MOST_ATTEMPTS:
        give_up(upload, now)
    else:
        upload.leased_until = now + LEASE
    return upload


def note_progress(upload_id: int, now: datetime, stage: str, done: int = 0, total: int = 0) -> bool:
    """Say how far the worker is, and renew its lease; False where the upload was cancelled meanwhile."""
    working = (Upload.id == upload_id, Upload.state.in_(WORKING))
    noted = db.session.execute(sa.update(Upload).where(*working).values(stage=stage, done=done, total=total, leased_until=now + LEASE))
    return bool(noted.rowcount)  # type: ignore[attr-defined]  # as above


def settle(upload: Upload, state: UploadState, now: datetime) -> None:
    """Note how the worker's part ended."""
    upload.state, upload.leased_until, upload.stage, upload.done, upload.total = state, None, None, 0, 0
    if state is not UploadState.READY:
        upload.finished_at = now


def give_up(upload: Upload, now: datetime) -> None:
    """Note that the worker could not do its part. One that was good already stays, and can be brought in another time."""
    if upload.state is UploadState.ACCEPTED:
        upload.problem = Problem.BROKE
        settle(upload, UploadState.READY, now)
    else:
        settle(upload, UploadState.FAILED, now)


def sweep(now: datetime) -> int:
    """Remove the files of uploads nobody will ask for again. How many were swept.

    What no worker ever took up is thrown away in the end; what is ready is never, for somebody may count on it.
    """
    never = (Upload.state == UploadState.WAITING, Upload.course_slug.is_(None))  # not one that is only looked through again
    stale = sa.update(Upload).where(*never, Upload.created_at < now - KEPT)
    db.session.execute(stale.values(state=UploadState.CANCELLED, finished_at=now))
    ended = sa.select(Upload).where(Upload.finished_at.is_not(None), Upload.size > 0).limit(100)
    swept = db.session.scalars(ended).all()
    for upload in swept:
        _remove_files(upload.folder)
        upload.size = 0
    return len(swept)


def sweep_orphans() -> int:
    """Remove the files of uploads that have no row, for whoever took them in died before it was written; how many uploads."""
    folders = sorted({"/".join(key.split("/")[:2]) for key in storage.stored_keys(UPLOADS)})
    ids = [folder.partition("/")[2] for folder in folders]
    known = set(db.session.scalars(sa.select(Upload.public_id).where(Upload.public_id.in_(ids))))
    orphans = [folder for folder in folders if folder.partition("/")[2] not in known and _is_old(folder)]
    for folder in orphans:
        _remove_files(folder)
    return len(orphans)


def _is_old(folder: str) -> bool:
    """Whether nothing was put into a folder lately: of an upload that is just arriving there is no row yet either."""
    return all(storage.age_of(key) > ORPHANED.total_seconds() for key in storage.stored_keys(folder))


def _remove_files(folder: str) -> None:
    for key in list(storage.stored_keys(folder)):
        storage.remove(key)
