"""Learners' pages: starting, lessons, the safety check, joining, media. Those about a course as a whole stand in `taking/`."""

from datetime import datetime

from flask import abort, current_app, flash, jsonify, make_response, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.browser import begin_session, browser_key, note_source, per_address, per_network
from courseapp.accounts.people import begin_guest
from courseapp.accounts.sign_in import ask_to_sign_in
from courseapp.catalog.landing import Landing, kept_landing
from courseapp.catalog.models import Rule
from courseapp.contacts.address import address_hint, network_of
from courseapp.delivery import send_beside
from courseapp.errors import Refusal
from courseapp.extensions import db, limiter
from courseapp.learning import joining, media, safety
from courseapp.learning.closing import closed_part
from courseapp.learning.enrolment import enrol, enrolments_of
from courseapp.learning.forms import StartForm
from courseapp.learning.playing import note_position, position_of
from courseapp.learning.progress import complete_known, complete_lesson, note_opening, undo_completion
from courseapp.learning.reading import LessonState, known_lesson, lesson_of_learner, reading_of, state_of
from courseapp.learning.safety_questions import QUESTIONS, SENTENCES, WHAT_NOW
from courseapp.learning.taking.views import learner, pages
from courseapp.site import present_site
from courseapp.web import kept_page, page_language

BLUEPRINTS = (pages,)


def front_course() -> Landing:
    """The course this site begins with, from memory; 404 where none is published, or it is closed to whoever holds nothing."""
    front = kept_landing(current_app.config["SETTINGS"].front_course)
    return front if front is not None and not front.is_closed else abort(404)


# Starting


@pages.get("/start")
def start() -> Response | str:
    """What starting means; the address is optional, every box unticked."""
    note_source()
    return start_page(StartForm(), front_course())


def start_page(form: StartForm, front: Landing) -> str:
    """The start page, with what was wrong in its form."""
    return render_template("learning/start.html", form=form, course={**front.course, "totals": front.totals})


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


# Lessons


@pages.get("/lessons/<id>")
def lesson(id: str) -> Response:
    """A lesson; or kind words where payment closes it, or the safety check comes before it."""
    now = clock.now()
    state = state_of(learner(), id, now) or abort(404)
    if state.is_closed:
        return make_response(closed_page(state, now))
    return kept_page(("lesson", state), lambda: lesson_page(state))


def lesson_page(state: LessonState) -> str:
    """The page of a lesson for everyone in the same state."""
    reading = reading_of(state)
    if reading.is_locked:
        return render_template(
            "learning/locked.html",
            lesson=reading.row,
            course=reading.course,
            outcome=reading.outcome.value if reading.outcome else None,
        )
    return render_template("learning/lesson.html", **reading.as_page())


def closed_page(state: LessonState, now: datetime) -> str:
    """What stands in place of a lesson that payment closes. Never kept: it tells what is on offer now."""
    reading = reading_of(state)
    return render_template(
        "learning/closed.html",
        lesson=reading.row,
        course=reading.course,
        done_on=reading.done_on,
        part=closed_part(learner().id, state.module_id, now),
        plans_url=url_for("billing.plans"),
    )


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
