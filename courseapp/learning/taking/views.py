"""My courses: what is taken and what waits to be begun; a course, what was done in it, its copy."""

from datetime import datetime
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, session, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_session
from courseapp.accounts.models import User
from courseapp.billing.claiming import claim_before_the_news
from courseapp.billing.grace import Grace, banner_for
from courseapp.billing.selling import is_selling
from courseapp.catalog.copies import file_name, finished_copy
from courseapp.catalog.models import Course, Need
from courseapp.delivery import send_stored
from courseapp.extensions import db, limiter
from courseapp.learning import safety
from courseapp.learning.enrolment import enrol, enrolment_of, enrolments_of, waiting_for
from courseapp.learning.forms import ClaimForm
from courseapp.learning.gate import copy_kind
from courseapp.learning.models import Enrolment, Outcome
from courseapp.learning.progress import LearnerOutline, next_lesson, outline_for

OwnCourse = tuple[Enrolment, Course, LearnerOutline, Outcome | None]

pages = Blueprint("learning", __name__)

PUBLIC = {"learning.start", "learning.begin", "learning.help_now", "learning.asset"}


@pages.before_request
def guard() -> Response | None:
    """All but starting and getting help needs a session; a guest's is enough."""
    return None if request.endpoint in PUBLIC else need_session()


def learner() -> User:
    """The person of this request."""
    user: User = current_user._get_current_object()
    return user


def grace_of(user: User, now: datetime) -> Grace | None:
    """What to say of a payment that did not go through; nothing where nothing is sold."""
    return banner_for(user.id, now) if is_selling() else None


@pages.get("/learn")
def my_courses() -> Response | str:
    """What a person takes, and what is theirs and not begun; straight to it when all that is one course."""
    user, now = learner(), clock.now()
    if claim_before_the_news(user):
        db.session.commit()
    taken = enrolments_of(user)
    waiting = waiting_for(user, now)
    if len(taken) == 1 and not waiting:
        return redirect(url_for("learning.course", slug=taken[0][1].slug))
    outcome = safety.current_outcome(user, now)
    courses = [
        {
            "title": course.title,
            "slug": course.slug,
            "language": course.language,
            "progress": outline_for(user.id, course.id, enrolment.finished_at, outcome, now).progress,
        }
        for enrolment, course in taken
    ]
    facts = {"courses": courses, "waiting": waiting, "grace": grace_of(user, now), "own_plan_url": url_for("billing.own")}
    return render_template("learning/my_courses.html", **facts)


@pages.post("/learn/<slug>/start")
def take(slug: str) -> Response:
    """Begin a course that something of theirs opens; may be sent twice."""
    user, now = learner(), clock.now()
    if enrolment_of(user, slug) is None:
        enrol(user, waiting_course(user, slug, now).id, now)
        db.session.commit()
    return redirect(url_for("learning.course", slug=slug), 303)


def waiting_course(user: User, slug: str, now: datetime) -> Course:
    """A course of theirs that is not begun; 404 where there is none of this address."""
    return next((course for course in waiting_for(user, now) if course.slug == slug), None) or abort(404)


def own_course(slug: str) -> OwnCourse:
    """The learner's course of an address with its outline; 404 where they do not take it."""
    return course_taken(slug) or abort(404)


def course_taken(slug: str) -> OwnCourse | None:
    """The same; None where they do not take it."""
    found = enrolment_of(learner(), slug)
    if found is None:
        return None
    enrolment, course = found
    now = clock.now()
    outcome = safety.current_outcome(learner(), now)
    return enrolment, course, outline_for(learner().id, course.id, enrolment.finished_at, outcome, now), outcome


@pages.get("/learn/<slug>")
def course(slug: str) -> str:
    """My course: where to continue, and everything in it; or how to begin it, where it is theirs."""
    user, now = learner(), clock.now()
    own = course_taken(slug)
    if own is None:
        return render_template("learning/begin.html", course=waiting_course(user, slug, now))
    enrolment, found, outline, outcome = own
    return render_template(
        "learning/course.html",
        course={"title": found.title, "slug": found.slug, "edition": found.edition, "language": found.language},
        progress=outline.progress,
        next=next_lesson(outline, enrolment.last_lesson_id),
        modules=outline.modules,
        check={"outcome": outcome.value if outcome else None, "due": outcome is None},
        claim=user.is_guest,
        claim_form=ClaimForm(formdata=None),
        claim_pending=user.is_guest and "address_hint" in session,
        address_hint=session.get("address_hint"),
        has_closed=outline.has_closed,
        plans_url=url_for("billing.plans"),
        grace=grace_of(user, now),
        own_plan_url=url_for("billing.own"),
    )


@pages.get("/learn/<slug>/progress")
def progress(slug: str) -> str:
    """What was done, and when. No scores."""
    _enrolment, found, outline, _outcome = own_course(slug)
    done = sorted((row for row in outline.rows if row.done_at is not None), key=lambda row: row.done_at or clock.now(), reverse=True)
    days: dict[Any, list[str]] = {}
    for row in done:
        assert row.done_at is not None
        days.setdefault(row.done_at.date(), []).append(row.title)
    return render_template(
        "learning/progress.html",
        course={"title": found.title, "slug": found.slug, "edition": found.edition, "language": found.language},
        progress=outline.progress,
        modules=outline.modules,
        own=[row for row in outline.rows if row.needs_check is not Need.NONE and row.done],
        kept=[row for row in outline.rows if row.needs_check is Need.NONE and row.closed and row.done],
        next=next_lesson(outline, None),
        days=[{"day": day, "titles": titles} for day, titles in days.items()],
    )


@pages.get("/learn/<slug>/copy.pdf")
@limiter.limit("60 per hour")
def copy(slug: str) -> Response | str:
    """The course on paper, with what the learner's outcome opens; one neutral name for every kind.

    A copy holds the whole course, so there is none for whom payment closes a part of it.
    """
    _enrolment, found, outline, outcome = own_course(slug)
    if outline.has_closed:
        return render_template("catalog/copy_closed.html", back_url=url_for("learning.course", slug=slug))
    ready = finished_copy(found.id, copy_kind(outcome))
    if ready is None:
        return render_template("catalog/copy_soon.html", back_url=url_for("learning.course", slug=slug))
    return send_stored(ready.storage_key, "application/pdf", file_name(found))
