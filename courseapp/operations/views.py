"""Export and forgetting for people; asking, and support by staff."""

import json
from collections.abc import Callable
from typing import Any

import structlog
from flask import Blueprint, abort, flash, make_response, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from flask_login import current_user, logout_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role, need_session
from courseapp.accounts.browser import per_new_address
from courseapp.accounts.models import Role, User
from courseapp.accounts.sessions import end_session
from courseapp.billing.holdings import has_subscription
from courseapp.billing.leaving import names_held
from courseapp.columns import row_number
from courseapp.errors import Refusal
from courseapp.extensions import db, limiter
from courseapp.learning.joining import titles_done
from courseapp.learning.reading import Reading, reading_of, state_of
from courseapp.operations import evidence, loops
from courseapp.operations import questions as asked
from courseapp.operations import support as supporting
from courseapp.operations.arrivals.views import pages as arrival_pages
from courseapp.operations.auditing.views import pages as audit_pages
from courseapp.operations.forms import AskForm, EraseForm, FindForm, LiftForm, MoveForm, ReportForm
from courseapp.operations.models import QuestionKind
from courseapp.operations.people import erase, export
from courseapp.operations.postroom.views import pages as postroom_pages
from courseapp.operations.probing.views import machines

pages = Blueprint("operations", __name__)
asking = Blueprint("asking", __name__)
support = Blueprint("support", __name__)
BLUEPRINTS = (machines, pages, asking, support, postroom_pages, arrival_pages, audit_pages)
pages.before_request(need_session)
support.before_request(need_role(Role.OWNER))
PAGE = 30
RETRY_AFTER = 120  # seconds until Stripe is asked again
log = structlog.get_logger()
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
few_questions: Decorator = limiter.shared_limit("6 per hour; 20 per day", scope="ask", methods=["POST"])


@pages.get("/forget-device")
def forget_device() -> str:
    """What goes and what stays, before anything does."""
    return forget_page()


def forget_page(problem: str = "") -> str:
    """The same, with why it could not be done. What a guest bought is named, for it goes too."""
    bought = names_held(current_user.id, clock.now()) if current_user.is_guest else []
    facts = {"is_guest": current_user.is_guest, "lessons_done": len(titles_done(current_user)), "bought": bought, "problem": problem}
    return render_template("operations/forget_device.html", subscribes=bool(bought) and has_subscription(current_user.id), **facts)


@pages.post("/forget-device")
def forget() -> Response:
    """A guest's trail ends here for good; whoever has an address is signed out of this device.

    A guest who bought something says first that they know it goes (`sure`), and what they pay for again and again ends before.
    """
    user = current_user._get_current_object()
    if user.is_guest:
        if names_held(user.id, clock.now()) and not request.form.get("sure"):
            return make_response(forget_page(_("Please tick that you know that what you bought goes. Nothing was forgotten.")), 422)
        try:
            loops.end_subscriptions(user)
        except Refusal as refusal:
            return refused(forget_page(refusal.words), refusal)
        erase(user, None, clock.now())
    else:
        end_session(user.session_id)
    db.session.commit()
    logout_user()
    session.clear()
    answer = redirect("/", 303)
    answer.headers["Clear-Site-Data"] = '"cache", "cookies", "storage"'
    return answer


def refused(page: str, refusal: Refusal) -> Response:
    """A page that says why something was refused; where asking again helps, when."""
    answer = make_response(page, refusal.status)
    if refusal.status == 503:
        answer.headers["Retry-After"] = str(RETRY_AFTER)
    return answer


@pages.get("/account/data.json")
@limiter.limit("20 per hour")
def export_data() -> Response:
    """Everything that is held about this person, as a file."""
    user = current_user._get_current_object()
    return json_file(export(user, user.contact), "your-data.json")


@pages.get("/account/staff")
def staff_actions() -> str:
    """What staff did with one's account."""
    user = current_user._get_current_object()
    return render_template("operations/staff_actions.html", actions=supporting.actions_on(user, user.contact))


# Asking


@asking.get("/ask")
def ask() -> str:
    """A short form, for whoever comes."""
    return ask_page(AskForm(formdata=None))


def ask_page(form: AskForm) -> str:
    """The form, with what was wrong in it."""
    known = current_user.contact.address if current_user.is_authenticated and not current_user.is_guest else None
    return render_template("operations/ask.html", form=form, known_address=known)


@asking.post("/ask")
@few_questions
def send_question() -> Response | str:
    """Keep the question, and have it mailed."""
    form = AskForm()
    if not form.validate():
        return ask_page(form)
    user = current_user._get_current_object() if current_user.is_authenticated else None
    try:
        asked.ask(QuestionKind(form.kind.data), form.text.data, clock.now(), user=user, typed_address=form.address.data or "")
    except Refusal as refusal:
        form.address.errors = [refusal.words]
        return ask_page(form)
    db.session.commit()
    flash(_("Thank you. Your question is with us."), "good")
    return redirect(url_for("asking.ask"), 303)


def open_lesson(public_id: str) -> Reading:
    """A lesson that is open to the person of this request; else they are asked to sign in, or there is nothing (404)."""
    if (refused := need_session()) is not None:
        abort(refused)
    state = state_of(current_user._get_current_object(), public_id, clock.now()) or abort(404)
    reading = reading_of(state)
    if reading.is_locked:
        abort(404)
    return reading


@asking.get("/lessons/<id>/report")
def report_lesson(id: str) -> str:
    """What is wrong in a lesson, asked of whoever can open it."""
    return report_page(open_lesson(id), ReportForm(formdata=None))


def report_page(reading: Reading, form: ReportForm) -> str:
    """The form, with what was wrong in it."""
    return render_template("operations/report.html", form=form, lesson=reading.row)


@asking.post("/lessons/<id>/report")
@few_questions
def send_report(id: str) -> Response | str:
    """Keep the report, and have it mailed without a name."""
    reading, form = open_lesson(id), ReportForm()
    if not form.validate():
        return report_page(reading, form)
    asked.report_error(reading.row.lesson_id, reading.row.title, form.text.data, clock.now(), current_user._get_current_object())
    db.session.commit()
    flash(_("Thank you. We will look at it."), "good")
    return redirect(url_for("learning.lesson", id=id), 303)


# Support, for the owner


@support.get("/staff/people")
def people() -> str:
    """The one way in: a whole address."""
    return people_page(FindForm(formdata=None))


def people_page(form: FindForm) -> str:
    """Finding somebody, and how many questions wait."""
    waiting, oldest = asked.waiting()
    return render_template("operations/people.html", form=form, waiting=waiting, oldest=oldest)


@support.post("/staff/people")
@limiter.limit("60 per hour", methods=["POST"])
def find_person() -> Response | str:
    """Find by exact address. A POST, so that no address stands in a log or a browser's history."""
    form = FindForm()
    if form.validate():
        found = supporting.person_of_address(form.address.data, staff(), clock.now())
        if found is not None:
            db.session.commit()
            log.info("staff_acted", act="find", staff=staff().id)
            return redirect(url_for("support.person", id=found.contact.public_id), 303)
        form.address.errors = [_("Nobody is known by exactly this address.")]
    return people_page(form)


def staff() -> User:
    """Who supports, in this request."""
    user: User = current_user._get_current_object()
    return user


def supported(public_id: str) -> supporting.Person:
    """The person of an address, found lately; 404 where there is none, else back to finding, which is written down."""
    found = supporting.person_of(public_id) or abort(404)
    if not supporting.is_found(found, staff(), clock.now()):
        flash(_("A learner’s page is open for an hour after you found them. Please find them again."))
        abort(redirect(url_for("support.people"), 303))
    return found


@support.get("/staff/people/<id>")
def person(id: str) -> str:
    """What staff may see of a person, and what they may do."""
    return person_page(supported(id), MoveForm(formdata=None))


def person_page(found: supporting.Person, form: MoveForm) -> str:
    """The page of a person, with what was wrong in its form."""
    seen = {"person": found, "sight": supporting.sight_of(found, clock.now()), "form": form, "lift_form": LiftForm(formdata=None)}
    return render_template("operations/person.html", **seen, **supporting.WORDS)


def done(found: supporting.Person, act: str, words: str) -> Response:
    """Commit, say in the log who did what, and back to the person."""
    db.session.commit()
    log.info("staff_acted", act=act, staff=staff().id)
    flash(words, "good")
    return redirect(url_for("support.person", id=found.contact.public_id), 303)


@support.post("/staff/people/<id>/link")
@limiter.limit("5 per 15 minutes; 20 per day", key_func=lambda: f"link:{request.view_args}", methods=["POST"])
def send_link(id: str) -> Response:
    """Mail them a link to sign in."""
    found = supported(id)
    supporting.send_link(found, staff(), clock.now())
    return done(found, "link", _("A link is on its way. It works once, for 15 minutes."))


@support.post("/staff/people/<id>/address")
@limiter.limit("10 per hour", key_func=lambda: f"address:{request.view_args}", methods=["POST"])
@per_new_address
def change_address(id: str) -> Response | str:
    """Ask both addresses, or for a reason the new one alone."""
    found, form = supported(id), MoveForm()
    if not form.validate():
        return person_page(found, form)
    is_lost, reason = form.old_is_lost.data, form.reason.data or ""
    try:
        supporting.change_address(found, staff(), form.new_address.data, clock.now(), old_is_lost=is_lost, reason=reason)
    except Refusal as refusal:
        db.session.rollback()
        (form.reason if is_lost and not reason.strip() else form.new_address).errors = [refusal.words]
        return person_page(supported(id), form)
    words = (
        _("The old address has been told. The new one is asked in two days, unless the old one says no.")
        if is_lost
        else _("Both addresses have been asked.")
    )
    return done(found, "address", words)


@support.post("/staff/people/<id>/sessions/end")
def end_sessions(id: str) -> Response:
    """Sign them out everywhere."""
    found = supported(id)
    supporting.end_all_sessions(found, staff(), clock.now())
    return done(found, "sessions", _("They are signed out on every device."))


@support.post("/staff/people/<id>/suppression/end")
def end_suppression(id: str) -> Response:
    """Let mail go to them again."""
    found, form = supported(id), LiftForm()
    try:
        if not form.validate():
            raise Refusal(form.reason.errors[0], 400)
        supporting.lift_suppression(found, staff(), clock.now(), form.reason.data or "")
    except Refusal as refusal:
        flash(refusal.words, "error")
        return redirect(url_for("support.person", id=id), 303)
    return done(found, "suppression", _("Mail goes to this address again. What was not sent meanwhile stays unsent."))


@support.post("/staff/people/<id>/data.json")
@limiter.limit("20 per hour", methods=["POST"])
def export_person(id: str) -> Response:
    """What staff may see of what is held, as a file."""
    given = supporting.export_for_staff(supported(id), staff(), clock.now())
    db.session.commit()
    log.info("staff_acted", act="export", staff=staff().id)
    return json_file(given, "data.json")


@support.post("/staff/people/<id>/consents")
@limiter.limit("20 per hour", methods=["POST"])
def export_consents(id: str) -> Response:
    """What they said about mail, as proof: a file for a spreadsheet, or JSON (`format`)."""
    found = supported(id)
    given = evidence.evidence_for_staff(found, staff(), clock.now())
    db.session.commit()
    log.info("staff_acted", act="export_consents", staff=staff().id)
    return json_file(given, "consents.json") if request.form.get("format") == "json" else csv_file(evidence.as_csv(given), "consents.csv")


def csv_file(content: str, name: str) -> Response:
    """Rows as a file to keep."""
    answer = make_response(content)
    answer.headers["Content-Type"] = "text/csv; charset=utf-8"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def json_file(held: dict[str, Any], name: str) -> Response:
    """Facts as a file to keep."""
    answer = make_response(json.dumps(held, ensure_ascii=False, indent=1))
    answer.headers["Content-Type"] = "application/json; charset=utf-8"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


@support.get("/staff/people/<id>/erase")
def erasure(id: str) -> str:
    """What goes, before anything does."""
    return render_template("operations/erase_person.html", person=supported(id), form=EraseForm(formdata=None))


@support.post("/staff/people/<id>/erase")
@limiter.limit("20 per hour", methods=["POST"])
def erase_person(id: str) -> Response | str:
    """Forget them everywhere, once the address was typed again."""
    found, form = supported(id), EraseForm()
    if form.validate():
        try:
            supporting.check_erasable(found, form.address.data)
            loops.end_subscriptions(found.user)
            supporting.erase_person(found, staff(), form.address.data, clock.now())
        except Refusal as refusal:
            form.address.errors = [refusal.words]
            if refusal.status != 400:
                return refused(render_template("operations/erase_person.html", person=found, form=form), refusal)
        else:
            db.session.commit()
            log.info("staff_acted", act="erase", staff=staff().id)
            flash(_("Everything about this person is erased."), "good")
            return redirect(url_for("support.people"), 303)
    return render_template("operations/erase_person.html", person=found, form=form)


@support.get("/staff/questions")
def questions() -> str:
    """What people asked, open or answered, newest first."""
    is_answered = request.args.get("show") == "answered"
    rows = asked.questions_before(request.args.get("before", type=row_number), PAGE + 1, is_answered=is_answered)
    show = "answered" if is_answered else None
    shown = [
        {
            "id": row.public_id,
            "kind": asked.KIND_WORDS[row.kind],
            "text": row.text,
            "lesson": row.lesson.title if row.lesson else None,
            "answer_to": asked.address_to_answer(row),
            "is_report": row.kind is QuestionKind.LESSON,
            "at": row.asked_at,
            "answered_at": row.answered_at,
        }
        for row in rows[:PAGE]
    ]
    older = url_for("support.questions", show=show, before=rows[PAGE - 1].id) if len(rows) > PAGE else None
    return render_template("operations/questions.html", questions=shown, is_answered=is_answered, older_url=older)


@support.post("/staff/questions/<id>/answered")
def answer_question(id: str) -> Response:
    """Note that it is answered."""
    if not asked.mark_answered(id, clock.now(), staff().id):
        abort(404)
    db.session.commit()
    flash(_("Marked as answered."), "good")
    return redirect(url_for("support.questions"), 303)
