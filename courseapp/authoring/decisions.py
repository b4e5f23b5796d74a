"""What instructors decide about an upload or a draft: in as a draft, seen by learners now or at a time, not after all, away with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from courseapp import moments
from courseapp.authoring import publications, releasing, uploads
from courseapp.authoring.models import Problem, Upload, UploadState
from courseapp.catalog.models import Course
from courseapp.extensions import db
from courseapp.site import present_site

UPLOAD_CHOICES = {"draft", "publish", "plan", "unplan", "again", "cancel"}
COURSE_CHOICES = {"publish", "plan", "unplan"}
PASSED = _l("That time has passed already, so it is published now.")
LATE = _l("That came too late: it stands elsewhere by now.")
PROBLEM_WORDS: dict[str, Any] = {
    Problem.CHANGED: _l("The course had changed since this was looked through. Read what changes now, and decide anew."),
    Problem.REFUSED: _l("Something is to be mended first, such as a review that is missing. Mend it, or say that it may go without."),
    Problem.BROKE: _l("The server could not do it; the reason stands in its log. You can try again."),
    Problem.MISSED: _l("The server was away for more than a day at that time, so please decide anew."),
}


@dataclass(frozen=True)
class Answer:
    """What came of a decision, in words; `is_done` is False where nothing was changed, or something else than was asked for."""

    is_done: bool
    words: str = ""


def decide_upload(upload: Upload, choice: str, form: Mapping[str, str], now: datetime, user_id: int) -> Answer:
    """Do what was chosen (one of `UPLOAD_CHOICES`) with an upload; the caller commits."""
    uploads.hold(upload)
    if choice == "unplan":
        return _called_off(upload, now, user_id)
    if choice == "cancel":
        publications.call_off(upload, now, user_id)
        return Answer(True) if uploads.cancel(upload, now, user_id) else Answer(False, str(LATE))
    if upload.state is not UploadState.READY:
        return Answer(False, str(LATE))
    if choice == "again" or uploads.is_stale(upload):
        publications.call_off(upload, now, user_id)
        uploads.look_again(upload)
        is_asked = choice == "again"
        words = _("The course has changed meanwhile, so nothing was brought in. Please read what changes now, and decide anew.")
        return Answer(is_asked, "" if is_asked else str(words))
    return _bring_in(upload, choice, form, now, user_id)


def _bring_in(upload: Upload, choice: str, form: Mapping[str, str], now: datetime, user_id: int) -> Answer:
    without_review = "without_review" in form
    if choice != "draft" and (lack := releasing.lack_of_review(upload.difference.get("unreviewed", 0), without_review)):
        return Answer(False, lack)
    at, words = _time_chosen(form, now) if choice == "plan" else (now, "")
    if at > now:
        upload.problem = None
        publications.plan(upload, at, now, user_id, without_review)
        return Answer(True, words)
    publications.call_off(upload, now, user_id)
    publications.note("upload_accepted", upload, now, by_user_id=user_id, publish=choice != "draft")
    uploads.accept(upload, choice != "draft", without_review, user_id)
    return Answer(True, words)


def decide_course(course: Course, choice: str, form: Mapping[str, str], now: datetime, user_id: int) -> Answer:
    """Do what was chosen (one of `COURSE_CHOICES`) with a course that is a draft; the caller commits."""
    db.session.refresh(course, with_for_update={"key_share": True})
    without_review = "without_review" in form
    if choice == "unplan":
        return _called_off(course, now, user_id)
    if course.is_published:
        return Answer(False, str(LATE))
    if lack := releasing.lack_of_review(releasing.unreviewed_touch(course.id), without_review):
        return Answer(False, lack)
    at, words = _time_chosen(form, now) if choice == "plan" else (now, str(_("Learners can see this course now.")))
    if at > now:
        publications.plan(course, at, now, user_id, without_review)
    else:
        publications.call_off(course, now, user_id)
        releasing.publish_course(course, now, user_id, without_review)
    return Answer(True, words)


def plan_of(thing: Upload | Course) -> dict[str, Any]:
    """When something is to be published, as its page says it; and what was wrong when it last was to be."""
    open_one, ended, zone = publications.planned(thing), publications.last_ended(thing), present_site().default_zone
    problem = thing.problem if isinstance(thing, Upload) else ended.problem if ended is not None and not thing.is_published else None
    was_due = ended is not None and ended.ended_at is not None and ended.at <= ended.ended_at
    moment = open_one or (ended if was_due else None)
    return {
        "is_open": open_one is not None,
        "moment": moments.words_of_moment(moment.at, zone) if moment is not None else None,
        "problem": PROBLEM_WORDS[problem] if problem else None,
        "fields": moments.fields_of(open_one.at if open_one is not None else None, zone),
        "zone": zone,
    }


def planned_words(found: list[Upload]) -> dict[int, str]:
    """When each of some uploads is to be published, in words, of those that are."""
    times = publications.planned_times([upload.id for upload in found])
    return {upload_id: moments.words_of_moment(at, present_site().default_zone) for upload_id, at in times.items()}


def _time_chosen(form: Mapping[str, str], now: datetime) -> tuple[datetime, str]:
    """The moment of a form's date and time, and what is to be said of it. Raises Refusal (400) in words."""
    day, time, zone = form.get("day", ""), form.get("time", ""), present_site().default_zone
    at = moments.moment_of(day, time, zone, now)
    if at <= now:
        return at, str(PASSED)
    words = str(_("It will be published on %(moment)s. Until then you can change that.", moment=moments.words_of_moment(at, zone)))
    if not moments.is_as_typed(at, time, zone):
        words = f"{words} {_('The clocks are put forward then and leave out the time you chose; this is the one they show instead.')}"
    return at, words


def _called_off(thing: Upload | Course, now: datetime, user_id: int) -> Answer:
    if not publications.call_off(thing, now, user_id):
        return Answer(False, str(LATE))
    return Answer(True, str(_("It will not be published at that time. It stays as it is.")))
