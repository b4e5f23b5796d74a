"""Learners' pages: starting, my course, lessons, progress, the safety check, media, the copy."""

from datetime import datetime
from typing import Any

from flask import Blueprint, abort, current_app, flash, jsonify, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_session
from courseapp.accounts.browser import begin_session, browser_key, note_source, per_address, per_network
from courseapp.accounts.models import User
from courseapp.accounts.people import begin_guest
from courseapp.accounts.sign_in import ask_to_sign_in
from courseapp.catalog.copies import file_name, finished_copy
from courseapp.catalog.landing import Landing, kept_landing
from courseapp.catalog.models import Course, Rule
from courseapp.contacts.address import address_hint, network_of
from courseapp.delivery import send_beside, send_stored
from courseapp.errors import Refusal
from courseapp.extensions import db, limiter
from courseapp.learning import joining, media, safety
from courseapp.learning.enrolment import enrol, enrolment_of, enrolments_of
from courseapp.learning.forms import ClaimForm, StartForm
from courseapp.learning.gate import copy_kind
from courseapp.learning.models import Enrolment, Outcome
from courseapp.learning.playing import note_position, position_of
from courseapp.learning.progress import (
    LearnerOutline,
    complete_known,
    complete_lesson,
    next_lesson,
    note_opening,
    outline_for,
    undo_completion,
)
from courseapp.learning.reading import LessonState, known_lesson, lesson_of_learner, reading_of, state_of
from courseapp.learning.safety_questions import QUESTIONS, SENTENCES, WHAT_NOW
from courseapp.site import present_site
from courseapp.web import kept_page, page_language

pages = Blueprint("learning", __name__)
BLUEPRINTS = (pages,)

PUBLIC = {"learning.start", "learning.begin", "learning.help_now", "learning.asset"}


@pages.before_request
def guard() -> Response | None:
    """All but starting and getting help needs a session; a guest's is enough."""
    return None if request.endpoint in PUBLIC else need_session()


def learner() -> User:
    """The person of this request."""
    user: User = current_user._get_current_object()
    return user


def front_course() -> Landing:
    """The course this site begins with, from memory; 404 where none is published."""
    return kept_landing(current_app.config["SETTINGS"].front_course) or abort(404)


# Starting


@pages.get("/start")
def start() -> Response | str:
    """What starting means; the address is optional, every box unticked."""
    note_source()
    return start_page(StartForm(), front_course())


def start_page(form: StartForm, front: Landing) -> str:
    """The start page, with what was wrong in its form."""
    return render_template("learning/start.html", form=form, course={"title": front.course["title"], "totals": front.totals})


@pages.post("/start")
@per_network
@per_address
def begin() -> Response | str:
    """Start at once: as who one is, or as a guest of this browser; an address gets its mail. One commit."""
    form = StartForm()
    front = front_course()
    if not form.validate():
        return start_page(form, front)
    now = clock.now()
    user = learner() if current_user.is_authenticated else begin_guest(now)
    address = (form.address.data or "").strip() if user.is_guest else ""
    answer = redirect(url_for("learning.course", slug=front.course["slug"]), 303)
    if address:
        try:
            ask_to_sign_in(
                address,
                browser=browser_key(),
                now=now,
                guest=user,
                purposes=form.purposes(),
                network=network_of(request.remote_addr),
                zone=present_site().default_zone,
                language=page_language(),
            )
        except Refusal as refusal:
            db.session.rollback()
            form.address.errors = [refusal.words]
            return start_page(form, front)
    enrol(user, front.course_id, now, session.pop("from", ""))
    if not current_user.is_authenticated:
        begin_session(user)
    if address:
        session["address_hint"] = address_hint(address)
    db.session.commit()
    return answer


@pages.get("/help-now")
def help_now() -> str:
    """Where to get help at once; reachable from everywhere, without signing in."""
    return render_template("learning/help_now.html", signs=QUESTIONS[0].signs, **safety.help_words(present_site()))


# My course


@pages.get("/learn")
def my_courses() -> Response | str:
    """What a person takes; straight to it when it is one."""
    taken = enrolments_of(learner())
    if len(taken) == 1:
        return redirect(url_for("learning.course", slug=taken[0][1].slug))
    now = clock.now()
    outcome = safety.current_outcome(learner(), now)
    courses = [
        {
            "title": course.title,
            "slug": course.slug,
            "progress": outline_for(learner().id, course.id, enrolment.finished_at, outcome).progress,
        }
        for enrolment, course in taken
    ]
    return render_template("learning/my_courses.html", courses=courses)


def own_course(slug: str) -> tuple[Enrolment, Course, LearnerOutline, Outcome | None]:
    """The learner's course of an address with its outline; 404 where they do not take it."""
    found = enrolment_of(learner(), slug)
    if found is None:
        abort(404)
    enrolment, course = found
    outcome = safety.current_outcome(learner(), clock.now())
    return enrolment, course, outline_for(learner().id, course.id, enrolment.finished_at, outcome), outcome


@pages.get("/learn/<slug>")
def course(slug: str) -> str:
    """My course: where to continue, and everything in it."""
    enrolment, found, outline, outcome = own_course(slug)
    user = learner()
    return render_template(
        "learning/course.html",
        course={"title": found.title, "slug": found.slug, "edition": found.edition},
        progress=outline.progress,
        next=next_lesson(outline, enrolment.last_lesson_id),
        modules=outline.modules,
        check={"outcome": outcome.value if outcome else None, "due": outcome is None},
        claim=user.is_guest,
        claim_form=ClaimForm(formdata=None),
        claim_pending=user.is_guest and "address_hint" in session,
        address_hint=session.get("address_hint"),
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
        course={"title": found.title, "slug": found.slug, "edition": found.edition},
        progress=outline.progress,
        modules=outline.modules,
        own=[row for row in outline.rows if not row.counts and row.done],
        next=next_lesson(outline, None),
        days=[{"day": day, "titles": titles} for day, titles in days.items()],
    )


# Lessons


@pages.get("/lessons/<id>")
def lesson(id: str) -> Response:
    """A lesson, or kind words and the safety check before it."""
    state = state_of(learner(), id, clock.now()) or abort(404)
    return kept_page(("lesson", state), lambda: lesson_page(state))


def lesson_page(state: LessonState) -> str:
    """The page of a lesson for everyone in the same state."""
    reading = reading_of(state)
    if reading.is_locked:
        return render_template(
            "learning/locked.html",
            lesson=reading.row,
            course={"title": reading.course_title, "slug": reading.course_slug},
            outcome=reading.outcome.value if reading.outcome else None,
        )
    return render_template("learning/lesson.html", **reading.as_page())


@pages.post("/lessons/<id>/completion")
def completion(id: str) -> Response:
    """Mark a lesson as done (`done=1`) or take that back (`done=0`); both may be sent twice."""
    now = clock.now()
    if request.form.get("done") == "0":
        undo_completion(lesson_of_learner(learner().id, id, now) or abort(404))
        db.session.commit()
        return redirect(url_for("learning.lesson", id=id), 303)
    following = request.form.get("next", "")
    slug, is_finished = note_done(id, now)
    if is_finished:
        flash(_("You have been through the whole course. It stays open to you."))
        following = ""
    return redirect(url_for("learning.lesson", id=following) if following.isalnum() else url_for("learning.course", slug=slug), 303)


def note_done(id: str, now: datetime) -> tuple[str, bool]:
    """Have a lesson done, in one statement where this process knows it; its course, and whether that is finished by it."""
    user_id = learner().id
    if (known := known_lesson(id)) is not None:
        done = complete_known(known, user_id, now)
        db.session.commit()
        if done.id is not None:
            return known.slug, False
    own = lesson_of_learner(user_id, id, now) or abort(404)
    is_finished = complete_lesson(own, now)
    db.session.commit()
    return own.slug, is_finished


@pages.post("/lessons/<id>/opening")
def opening(id: str) -> Response:
    """Note that a lesson was opened (sent by the page's script); completes it where that is its rule."""
    now = clock.now()
    own = lesson_of_learner(learner().id, id, now) or abort(404)
    note_opening(own, now)
    if own.rule is Rule.OPEN:
        complete_lesson(own, now)
    db.session.commit()
    return jsonify(done=own.rule is Rule.OPEN)


# The safety check


@pages.get("/safety-check")
def safety_check() -> str:
    """What the check is, and what it came to last time."""
    kept = safety.kept_outcome(learner())
    current = None
    if kept is not None:
        current = {
            "outcome": kept.outcome.value,
            "outcome_words": SENTENCES[kept.outcome],
            "decided_on": kept.decided_at,
            "due_on": kept.decided_at + safety.GOOD_FOR,
            "is_due": not safety.is_current(kept.outcome, kept.wording, kept.decided_at, clock.now()),
        }
    return render_template("learning/check_intro.html", current=current)


@pages.post("/safety-check")
def safety_check_step() -> Response | str:
    """One screen after another; the answers travel in the form and end there."""
    answers = safety.answers_of(request.form.get("answers", ""))
    asked = next((question for question in QUESTIONS if question.key == request.form.get("question")), None)
    if "back" in request.form:
        return step_page(safety.previous_answers(answers))
    if asked is None:
        return step_page({})
    value = request.form.get("choice")
    if not safety.is_answer(asked, value):
        return step_page(answers, problem=_("Please choose one answer. If you are not sure, choose yes."))
    answers[asked.key] = str(value)
    if safety.next_question(answers) is not None:
        return step_page(answers)
    safety.keep_outcome(learner(), safety.outcome_of(answers), clock.now())
    db.session.commit()
    return redirect(url_for("learning.safety_outcome"), 303)


def step_page(answers: dict[str, str], problem: str | None = None) -> str:
    """The screen of the first open question."""
    question = safety.next_question(answers)
    if question is None:  # only a form put together by hand holds more answers than were asked for
        return step_page({}, problem)
    return render_template(
        "learning/check_step.html",
        question=question,
        number=QUESTIONS.index(question) + 1,
        total=len(QUESTIONS),
        answers=safety.packed(answers),
        problem=problem,
    )


@pages.get("/safety-check/outcome")
def safety_outcome() -> Response | str:
    """What the check came to, in one sentence, and what to do now."""
    kept = safety.kept_outcome(learner())
    if kept is None or not safety.is_current(kept.outcome, kept.wording, kept.decided_at, clock.now()):
        return redirect(url_for("learning.safety_check"))
    taken = enrolments_of(learner())
    return render_template(
        "learning/check_outcome.html",
        outcome=kept.outcome.value,
        sentence=SENTENCES[kept.outcome],
        what_now=WHAT_NOW[kept.outcome],
        decided_on=kept.decided_at,
        due_on=kept.decided_at + safety.GOOD_FOR,
        course_url=url_for("learning.course", slug=taken[0][1].slug) if taken else url_for("learning.my_courses"),
        **safety.help_words(present_site()),
    )


# Joining, media, the copy


@pages.get("/join")
def join() -> Response | str:
    """“Are these yours?”: a guest's course beside the account's."""
    guest = joining.guest_of(session.get("join"))
    if guest is None or learner().is_guest or not enrolments_of(guest):
        return redirect(url_for("learning.my_courses"))
    theirs, own = joining.titles_done(guest), joining.titles_done(learner())
    return render_template("learning/join.html", guest={"done": len(theirs), "titles": theirs}, account={"done": len(own), "titles": own})


@pages.post("/join")
def settle_join() -> Response:
    """Join them, or leave the guest apart."""
    guest = joining.guest_of(session.pop("join", None))
    if guest is not None and not learner().is_guest and request.form.get("choice") == "join":
        joining.join_guest(guest, learner(), clock.now())
        db.session.commit()
        flash(_("Your progress is together now."))
    return redirect(url_for("learning.my_courses"), 303)


@pages.get("/assets/<public_id>.<suffix>")
def asset(public_id: str, suffix: str) -> Response:
    """A file of a lesson, behind the lesson's own gate."""
    found = media.asset_for(learner() if current_user.is_authenticated else None, public_id, clock.now())
    if found is None:
        abort(404)
    return send_beside(found.storage_key, found.media_type, found.path, suffix, found.digest, found.size)


@pages.get("/assets/<public_id>/position")
def position(public_id: str) -> Response:
    """Where the learner stopped in a film or sound, for the page's script."""
    found = media.asset_for(learner(), public_id, clock.now()) or abort(404)
    return jsonify(seconds=position_of(learner().id, found.id))


@pages.post("/assets/<public_id>/position")
@limiter.limit("40 per minute", key_func=lambda: f"learner:{learner().id}")
def keep_position(public_id: str) -> Response:
    """Remember where the learner is (`seconds`; 0: no longer); may be sent twice."""
    now = clock.now()
    found = media.asset_for(learner(), public_id, now) or abort(404)
    seconds = request.form.get("seconds", "")
    if not (seconds.isascii() and seconds.isdecimal()) or len(seconds) > 6:
        abort(400)
    note_position(learner().id, found.id, int(seconds), now)
    db.session.commit()
    return Response(status=204)


@pages.get("/learn/<slug>/copy.pdf")
@limiter.limit("60 per hour")
def copy(slug: str) -> Response | str:
    """The course on paper, with what the learner's outcome opens; one neutral name for every kind."""
    _enrolment, found, _outline, outcome = own_course(slug)
    ready = finished_copy(found.id, copy_kind(outcome))
    if ready is None:
        return render_template("catalog/copy_soon.html", back_url=url_for("learning.course", slug=slug))
    return send_stored(ready.storage_key, "application/pdf", file_name(found))
