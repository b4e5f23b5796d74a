"""Working through uploads: unpack → look through → say what is wrong and what would change; and, once accepted, bring in.

And publishing what is due: an upload is accepted then as if somebody pressed the button, a draft is published at once.
"""

import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog
from celery.exceptions import SoftTimeLimitExceeded

from courseapp import storage
from courseapp.authoring import looks, publications, uploads
from courseapp.authoring.documents import convert_documents
from courseapp.authoring.importing import Result, import_course
from courseapp.authoring.models import Problem, Publication, Upload, UploadState
from courseapp.authoring.placing import Laid, Target, complete_made, lay_over
from courseapp.authoring.preparing import work_folder
from courseapp.authoring.receiving import is_too_large, is_too_much_text
from courseapp.authoring.releasing import publish_course
from courseapp.authoring.report import Report
from courseapp.authoring.unpacking import Large, Progress, Refused, is_archive, lift_single_folder, place_for, safe_path, unpack
from courseapp.catalog.models import Course
from courseapp.errors import is_out_of_room
from courseapp.extensions import db

log = structlog.get_logger()
NEWS_EVERY = 0.5  # seconds between two words on progress
Clock = Callable[[], datetime]


class Cancelled(Exception):
    """Somebody threw the upload away while it was worked on."""


def work_uploads(clock: Clock) -> int:
    """Publish what is due, then work through every upload that waits, a commit for each step; how many were worked on."""
    while (publication := publications.claim_due(clock())) is not None:
        try:
            _publish(publication, clock())
        except Exception:  # whatever it is, it is a fact about this one and must not keep the others
            db.session.rollback()
            log.exception("publication_broke", publication=publication.id)
            publications.end(publication, clock(), Problem.BROKE)
        db.session.commit()
    count = 0
    while (upload := uploads.claim(clock())) is not None:
        db.session.commit()
        if upload.is_working:
            _work(upload, clock)
        count += 1
    db.session.rollback()
    return count


def _publish(publication: Publication, now: datetime) -> None:
    """See to a publication whose time has come; what keeps it from that is noted, and the thing stays as it is."""
    is_missed = now - publication.at > publications.MISSED_AFTER
    if publication.upload_id is not None:
        upload = db.session.get_one(Upload, publication.upload_id, with_for_update=True)
        problem = Problem.MISSED if is_missed else Problem.CHANGED if uploads.is_stale(upload) else None
        if problem is Problem.CHANGED:
            uploads.look_again(upload, problem)
        elif problem is not None:
            upload.problem = problem
        elif uploads.accept(upload, True, publication.without_review, publication.by_user_id):
            publications.note("upload_accepted", upload, now, by_user_id=publication.by_user_id, publish=True)
    else:
        course = db.session.get_one(Course, publication.course_id, with_for_update={"key_share": True})
        problem = Problem.MISSED if is_missed else None
        if problem is None and not course.is_published and publish_course(course, now, publication.by_user_id, publication.without_review):
            problem = Problem.REFUSED
    publications.end(publication, now, problem)


def _work(upload: Upload, clock: Clock) -> None:
    report, folder_kept = Report(), upload.folder
    try:
        with work_folder() as folder:
            large = Large(looks.kept_files(upload))
            sent, name = _laid_out(upload, folder, large, report, clock)
            course, laid = _placed(upload, sent, name, folder, report, clock)
            _look_or_commit(upload, course, laid, folder, large, report, clock)
    except Cancelled:
        db.session.rollback()
        looks.forget(folder_kept)
        log.info("upload_cancelled", upload=upload.id)
    except Refused:
        db.session.rollback()
        upload.report = report.as_dicts()
        uploads.settle(upload, UploadState.REFUSED, clock())
        db.session.commit()
    except SoftTimeLimitExceeded:
        _give_up(upload, report, clock, "too_slow", "Looking through it took too long.", "Upload it in parts.")
    except Exception as error:  # whatever it is, it is a fact about this upload and must not stop the others
        if is_out_of_room(error):
            words = "There is no room left on the server."
            _give_up(upload, report, clock, "no_space", words, "Tell its owner. Once there is room, upload it again.")
        elif isinstance(error, OSError):
            words = f"The server could not read or write the files ({error.strerror or type(error).__name__})."
            _give_up(upload, report, clock, "files_failed", words, "Tell its owner, then upload it again.")
        else:
            db.session.rollback()
            log.exception("upload_broke", upload=upload.id)  # it is tried again


def _give_up(upload: Upload, report: Report, clock: Clock, code: str, words: str, mend: str) -> None:
    """End the worker's part with the reason in the report. Where not even that can be written, it is taken up again later."""
    db.session.rollback()
    log.warning("upload_not_worked", upload=upload.id, why=words)
    report.error(code, "", 0, words, mend)
    upload.report = report.as_dicts()
    uploads.give_up(upload, clock())
    db.session.commit()


def _laid_out(upload: Upload, folder: Path, large: Large, report: Report, clock: Clock) -> tuple[Path, str]:
    """The folder in which the upload's files lie now, and what to call it."""
    progress = _teller(upload, clock, "unpacking")
    _tell(upload.id, clock, "unpacking")
    sent = folder / "sent"
    sent.mkdir()
    seen: set[str] = set()
    for index, name in enumerate(upload.files):
        with storage.lying_at(upload.storage_key(index), folder) as part:
            if is_archive(name):
                unpack(name, part, sent, report, progress, large=large)
            elif (path := safe_path(name, report)) is not None and not is_too_large(name, part.stat().st_size, report):
                target = place_for(path, sent, seen, report)
                if target is not None:
                    shutil.copyfile(part, target)
    if is_too_much_text(sent, report):
        raise Refused
    lifted = lift_single_folder(sent)
    return lifted, lifted.name if lifted != sent else upload.files[0].split(".")[0]


def _teller(upload: Upload, clock: Clock, stage: str) -> Progress:
    """Tells how far a stage is, not more often than anybody looks."""
    upload_id, told = upload.id, [0.0]

    def tell(done: int, total: int) -> None:
        if time.monotonic() - told[0] > NEWS_EVERY:
            told[0] = time.monotonic()
            _tell(upload_id, clock, stage, done, total)

    return tell


def _placed(upload: Upload, sent: Path, name: str, folder: Path, report: Report, clock: Clock) -> tuple[Path, Laid]:
    """The folder to bring in: what was sent, where it is a whole course; else the course it goes into, with it laid over."""
    made_from = convert_documents(sent, folder, report, _teller(upload, clock, "checking"))
    if upload.into_course is None:
        return sent, complete_made(sent, upload.needs_check, made_from, report)
    course = folder / "course"
    course.mkdir()
    target = Target(upload.into_course, upload.into_module, upload.module_title or "", upload.needs_check)
    return course, lay_over(target, sent, name, course, made_from, report)


def _look_or_commit(upload: Upload, course: Path, laid: Laid, folder: Path, large: Large, report: Report, clock: Clock) -> None:
    """Look through what was laid out; where it was accepted, bring it in."""
    made = folder / "made"
    made.mkdir()
    is_accepted, upload_id = upload.state is UploadState.ACCEPTED, upload.id
    _tell(upload.id, clock, "importing" if is_accepted else "checking")
    result = import_course(
        course,
        clock(),
        publish=upload.publish if is_accepted else True,
        dry_run=not is_accepted,
        without_review=upload.without_review if is_accepted else True,
        by_user_id=upload.decided_by_id or upload.by_user_id,
        source=upload.named_files,
        report=report,
        tell=lambda stage, done, total: _tell(upload_id, clock, stage, done, total),
        place=made,
        digests=large.digests,
    )
    laid.tell(report)
    if is_accepted:
        _note_import(upload, result, clock())
    else:
        _note_look(upload, result, large, clock)
    db.session.commit()


def _note_import(upload: Upload, result: Result, now: datetime) -> None:
    """Note how bringing in went. What cannot be brought in as it was looked at stays, or is looked at anew."""
    is_changed = result.version_found != upload.course_version
    if is_changed or result.report.has_errors:
        db.session.rollback()
    course_id = result.course.id if result.committed and result.course is not None else upload.course_id
    _hold(upload)
    if is_changed:
        upload.state, upload.problem, upload.attempts, upload.leased_until = UploadState.WAITING, Problem.CHANGED, 0, None
        return
    upload.report = result.report.as_dicts()
    if result.report.has_errors:
        upload.problem = Problem.REFUSED
        uploads.settle(upload, UploadState.READY, now)
    else:
        upload.course_id = course_id
        uploads.settle(upload, UploadState.COMMITTED, now)


def _note_look(upload: Upload, result: Result, large: Large, clock: Clock) -> None:
    """Note what the look-through found, and keep what it has made; while files are written no transaction is open."""
    look = looks.look_of(result, large.found)
    db.session.rollback()
    if look.draft is not None:
        folder, progress = upload.folder, _teller(upload, clock, "keeping")
        db.session.rollback()
        looks.keep(folder, look.draft, progress)
    _hold(upload)
    upload.report, upload.difference = result.report.as_dicts(), look.difference
    upload.course_id, upload.course_slug, upload.course_version = look.course_id, look.course_slug, look.course_version
    uploads.settle(upload, UploadState.REFUSED if result.report.has_errors else UploadState.READY, clock())


def _hold(upload: Upload) -> None:
    """Keep others from an upload until the commit; raises Cancelled where somebody threw it away meanwhile."""
    uploads.hold(upload)
    if not upload.is_working:
        raise Cancelled


def _tell(upload_id: int, clock: Clock, stage: str, done: int = 0, total: int = 0) -> None:
    if not uploads.note_progress(upload_id, clock(), stage, done, total):
        raise Cancelled
    db.session.commit()
