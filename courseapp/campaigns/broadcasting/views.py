"""Broadcasts, for marketers and owners: written, looked at, tried out, scheduled, watched, stopped."""

from collections.abc import Callable, Mapping
from datetime import datetime, time
from functools import partial
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.campaigns import broadcasts
from courseapp.campaigns.broadcasting.forms import BroadcastForm
from courseapp.campaigns.experiment_sentences import ARM_WORDS, plan_of, rule_of, subjects_of, unsaid_of, verdict_of
from courseapp.campaigns.experiments import experiment_of
from courseapp.campaigns.forms import TrialForm, version_in
from courseapp.campaigns.models import Arm, Broadcast, BroadcastState, Segment
from courseapp.campaigns.saved_segments import segment_of, segments_saved
from courseapp.campaigns.segment_values import known_courses, languages
from courseapp.campaigns.translations import languages_beside, names_of, shares_of
from courseapp.campaigns.trials import send_trial, staff_who_read_mail
from courseapp.columns import row_number
from courseapp.contacts.models import Purpose
from courseapp.contacts.windows import Window, words_of_window, zone_of
from courseapp.errors import Refusal
from courseapp.extensions import db, limiter
from courseapp.mailing.looks import Look, Seen, html_in, in_frame, reader_named, seen_by
from courseapp.mailing.models import ON_THEIR_WAY, State
from courseapp.mailing.sums import unsent_of
from courseapp.mailing.text import Text, name_of_language
from courseapp.moments import moment_of, words_of_moment
from courseapp.site import present_site

pages = Blueprint("broadcasts", __name__)
pages.before_request(need_role(Role.MARKETER, Role.OWNER))
PAGE = 30
MOST_SEGMENTS = 200
USUAL = Window(time(9), time(18))
STATE_WORDS = {
    BroadcastState.DRAFT: _l("draft"),
    BroadcastState.SCHEDULED: _l("scheduled"),
    BroadcastState.EXPANDING: _l("being sent"),
    BroadcastState.TRYING: _l("being tried out"),
    BroadcastState.SENDING: _l("being sent"),
    BroadcastState.FINISHED: _l("sent"),
    BroadcastState.CANCELLED: _l("cancelled"),
}
CHOICES = {"take_first": Arm.FIRST, "take_second": Arm.SECOND}
ASKED = {"cancel": "broadcasts.ask_to_cancel"} | dict.fromkeys(CHOICES, "broadcasts.ask_to_choose")
"""What asks to be sure first, and where."""


@pages.get("/staff/mail/broadcasts")
def listed() -> str:
    """The newest broadcasts and how they stand."""
    rows = broadcasts.broadcasts_before(request.args.get("before", type=row_number), PAGE + 1)
    older = url_for("broadcasts.listed", before=rows[PAGE - 1].id) if len(rows) > PAGE else None
    shown = {"broadcasts": rows[:PAGE], "words": STATE_WORDS, "open": broadcasts.OPEN, "older_url": older}
    return render_template("campaigns/broadcasts.html", **shown)


@pages.get("/staff/mail/broadcasts/new")
def begin() -> str:
    """An empty one."""
    form = form_of(formdata=None)
    form.window_start.data, form.window_end.data = USUAL.start, USUAL.end
    return editor(None, form)


@pages.post("/staff/mail/broadcasts/new")
@limiter.limit("60 per minute")
def make() -> Response | tuple[str, int]:
    """Keep a draft."""
    form = form_of()
    if not form.validate():
        return editor(None, form), 422
    made = broadcasts.new_broadcast(form.draft(chosen(form)), current_user.id, clock.now())
    db.session.commit()
    flash(_("The draft is kept. Nothing is sent before you say so."), "success")
    return redirect(url_for("broadcasts.broadcast", id=made.public_id), 303)


@pages.get("/staff/mail/broadcasts/<id>")
def broadcast(id: str) -> str:
    """A draft to be written on; or how a scheduled one stands."""
    found = named(id)
    if found.state is not BroadcastState.DRAFT:
        return watching(found)
    form = form_of(found, formdata=None)
    segment = broadcasts.segment_of_draft(found)
    form.show(found, segment.public_id if segment is not None else "")
    return editor(found, form)


@pages.post("/staff/mail/broadcasts/<id>")
@limiter.limit("60 per minute")
def change(id: str) -> Response | tuple[str, int]:
    """Keep what was written."""
    found = named(id)
    form = form_of(found)
    if not form.validate():
        return editor(found, form), 422
    try:
        broadcasts.change_broadcast(found, form.draft(chosen(form)), version_in(request.form), current_user.id, clock.now())
    except Refusal as refusal:
        db.session.rollback()
        form.title.errors = [refusal.words]
        return editor(named(id), form), 409
    db.session.commit()
    flash(_("The draft is kept."), "success")
    return redirect(url_for("broadcasts.look" if request.form.get("then") == "look" else "broadcasts.broadcast", id=id), 303)


@pages.get("/staff/mail/broadcasts/<id>/look")
def look(id: str) -> Response | str:
    """The letter as its readers would see it, what is wrong with it, for how many it is; from here it is tried out and sent."""
    found = named(id)
    if found.state is not BroadcastState.DRAFT:
        return redirect(url_for("broadcasts.broadcast", id=id), 303)
    return look_page(found, TrialForm(to=current_user.public_id))


def look_page(found: Broadcast, form: TrialForm) -> str:
    """The page, with what was wrong in the form for trying it out."""
    form.to.choices = staff_who_read_mail()
    now = clock.now()
    count, trouble = counted(found, now)
    experiment, texts = experiment_of(found), broadcasts.texts_of(found)
    asked: dict[str, Any] = {name: request.args.get(name) for name in ("reader", "language")} | {"id": found.public_id}
    arm, unsaid = arm_asked(texts), unsaid_of(texts)
    return render_template(
        "campaigns/broadcast_look.html",
        broadcast=found,
        seen=seen_as(found, texts[arm], request.args.get("reader", ""), arm),
        arm=arm,
        letters=[(ARM_WORDS[each], url_for("broadcasts.look", letter=each, **asked), each is arm) for each in texts],
        has_second=len(texts) > 1,
        plan=plan_of(experiment, count) if experiment is not None and count else [],
        form=form,
        shown=broadcasts.shown_of(found),
        count=count,
        trouble=trouble,
        shares=shares_of(texts[Arm.FIRST], broadcasts.readers_by_language(found, now)) if count and found.translations else "",
        hours=words_of_window(broadcasts.window_of(found)),
        unsaid=unsaid,
        is_ready=not unsaid and all(problem.is_warning for text in texts.values() for problem in broadcasts.problems_in(text)),
        zone=present_site().default_zone,
        today=now.astimezone(zone_of(present_site().default_zone)).date().isoformat(),
    )


def seen_as(found: Broadcast, text: Text, reader: str, arm: Arm) -> Seen:
    """What a reader would get of one of its letters."""
    letter = arm if arm is Arm.SECOND else None  # else not said in the address
    return seen_by(
        text,
        reader_named(reader),
        request.args.get("language", ""),
        broadcasts.problems_in(text),
        lambda other, tag: url_for("broadcasts.look", id=found.public_id, reader=other, language=tag, letter=letter, _anchor="looks"),
        lambda other, tag, shown: url_for(
            "broadcasts.letter_html", id=found.public_id, reader=other, language=tag, look=shown, letter=letter
        ),
    )


def arm_asked(texts: Mapping[Arm, object]) -> Arm:
    """Which of its letters an address asks for (`letter`): the first, unless there is a second and it is that."""
    return Arm.SECOND if request.args.get("letter") == Arm.SECOND and Arm.SECOND in texts else Arm.FIRST


@pages.get("/staff/mail/broadcasts/<id>/html")
def letter_html(id: str) -> Response:
    """The letter itself, for a frame."""
    found = named(id)
    shown = request.args.get("look", Look.LIGHT.value)
    if shown not in list(Look):
        abort(404)
    texts = broadcasts.texts_of(found)
    text = texts[arm_asked(texts)].in_language(request.args.get("language", ""))
    return in_frame(html_in(text, reader_named(request.args.get("reader", "")), Look(shown)))


@pages.post("/staff/mail/broadcasts/<id>/trial")
@limiter.limit("60 per hour")
def try_out(id: str) -> Response | tuple[str, int]:
    """Send one of its letters to one person of staff (`to`)."""
    found, form = named(id), TrialForm()
    arm = arm_asked(broadcasts.texts_of(found))
    try:
        letter = broadcasts.letter_to_try(found, arm, clock.now())
        reader, language = current_user._get_current_object(), request.args.get("language", "")
        address = send_trial(letter, form.to.data or "", reader, clock.now(), language)
    except Refusal as refusal:
        db.session.rollback()
        form.to.errors = [refusal.words]
        return look_page(named(id), form), 422
    db.session.commit()
    flash(_("The letter is on its way to %(address)s.", address=address), "success")
    return redirect(url_for("broadcasts.look", id=id, letter=arm if arm is Arm.SECOND else None, language=language or None), 303)


@pages.post("/staff/mail/broadcasts/<id>/send")
@limiter.limit("60 per hour")
def send(id: str) -> Response:
    """Schedule it: for now, or for a `day` and `time` by the clocks of the house; as it was `seen`, and not otherwise."""
    found, now = named(id), clock.now()
    try:
        at = now if request.form.get("when") != "at" else chosen_moment(now)
        if at < now:
            raise Refusal(_("That moment has passed. Please choose a later one. Nothing was changed."))
        broadcasts.schedule(found, at, current_user.id, now, request.form.get("seen", ""))
    except Refusal as refusal:
        db.session.rollback()
        flash(refusal.words, "error")
        return redirect(url_for("broadcasts.look", id=id), 303)
    db.session.commit()
    flash(_("It is scheduled. Until it begins you can take it back; afterwards you can pause or cancel it."), "success")
    return redirect(url_for("broadcasts.broadcast", id=id), 303)


def chosen_moment(now: datetime) -> datetime:
    """The date and time of a form, by the clocks of the house."""
    return moment_of(request.form.get("day", ""), request.form.get("time", ""), present_site().default_zone, now)


@pages.post("/staff/mail/broadcasts/<id>/act")
@limiter.limit("60 per minute")
def act(id: str) -> Response:
    """Press a button (`choice`) of one that is scheduled or being sent. Cancelling asks to be sure first."""
    acts: dict[str, tuple[Callable[[Broadcast, int, datetime], object], str]] = {
        "pause": (broadcasts.pause, _("It is paused. Each worker finishes the mail it is at.")),
        "resume": (broadcasts.resume, _("It goes on with those who have not got it.")),
        "take_back": (broadcasts.take_back, _("It is a draft again. Nothing was sent.")),
        "cancel": (broadcasts.cancel, _("It is cancelled. Nothing more of it leaves.")),
        "take_first": (partial(choose, Arm.FIRST), _("The first letter goes to the rest.")),
        "take_second": (partial(choose, Arm.SECOND), _("The second letter goes to the rest.")),
        "retry": (broadcasts.try_failed_again, _("Those that could not be delivered are tried again.")),
    }
    found, choice = named(id), request.form.get("choice", "")
    if choice not in acts:
        abort(400)
    if choice in ASKED and not request.form.get("sure"):
        return redirect(url_for(ASKED[choice], id=id, choice=choice if choice != "cancel" else None), 303)
    work, words = acts[choice]
    try:
        work(found, current_user.id, clock.now())
        db.session.commit()
        flash(words, "success")
    except Refusal as refusal:
        db.session.rollback()
        flash(refusal.words, "error")
    return redirect(url_for("broadcasts.broadcast", id=id), 303)


def choose(better: Arm, found: Broadcast, by_user_id: int, now: datetime) -> None:
    """Send one of the two letters to the rest without waiting."""
    broadcasts.choose_letter(found, better, by_user_id, now)


@pages.get("/staff/mail/broadcasts/<id>/choose")
def ask_to_choose(id: str) -> Response | str:
    """What it means to send one of the two letters (`choice`) to the rest, before it is done."""
    found, choice = named(id), request.args.get("choice", "")
    experiment, better = experiment_of(found), CHOICES.get(choice)
    if experiment is None or better is None or found.state is not BroadcastState.TRYING:
        return redirect(url_for("broadcasts.broadcast", id=id), 303)
    account, subject = broadcasts.account_of(found), subjects_of(found, experiment)[better]
    words = {"broadcast": found, "choice": choice, "count": account.waiting, "letter": ARM_WORDS[better], "subject": subject}
    return render_template("campaigns/broadcast_choose.html", **words)


@pages.get("/staff/mail/broadcasts/<id>/cancel")
def ask_to_cancel(id: str) -> Response | str:
    """What cancelling does, before it is done."""
    found = named(id)
    if found.state not in broadcasts.OPEN:
        return redirect(url_for("broadcasts.broadcast", id=id), 303)
    return render_template("campaigns/broadcast_cancel.html", broadcast=found, account=broadcasts.account_of(found))


def watching(found: Broadcast) -> str:
    """How one stands that is scheduled or sent."""
    account = broadcasts.account_of(found)
    count, trouble = counted(found, clock.now()) if found.state is BroadcastState.SCHEDULED else (0, "")
    experiment = experiment_of(found)
    return render_template(
        "campaigns/broadcast.html",
        broadcast=found,
        account=account,
        under_way=account.count(*ON_THEIR_WAY),
        failed=account.count(State.FAILED),
        reasons=unsent_of(account.states),
        state=STATE_WORDS[found.state],
        is_open=found.state in broadcasts.OPEN,
        subjects=subjects_of(found, experiment) if experiment is not None else {},
        is_paused=found.stream is not None and found.stream.paused_at is not None and found.state in broadcasts.OPEN,
        hours=words_of_window(broadcasts.window_of(found)),
        languages=names_of(found.language, broadcasts.translations_of(found)),
        original=name_of_language(found.language),
        begins=words_of_moment(found.send_at, present_site().default_zone) if found.send_at is not None else "",
        count=count,
        trouble=trouble,
        experiment=experiment,
        plan=plan_of(experiment, count) if experiment is not None and count else [],
        rule=rule_of(experiment) if experiment is not None and experiment.has_second else "",
        verdict=verdict_of(found, experiment) if experiment is not None else "",
        judged=words_of_moment(experiment.judge_at, present_site().default_zone) if experiment is not None and experiment.judge_at else "",
    )


def counted(found: Broadcast, now: datetime) -> tuple[int, str]:
    """How many it would go to now; or none, and why its segment cannot be used."""
    try:
        return broadcasts.count_of_audience(found, now), ""
    except Refusal as refusal:
        return 0, refusal.words


def editor(found: Broadcast | None, form: BroadcastForm) -> str:
    """The page on which one is written."""
    why = broadcasts.why_given_back(found) if found is not None else None
    shown = {"languages": translations_listed(found), "original": name_of_language(found.language)} if found is not None else {}
    return render_template("campaigns/broadcast_edit.html", broadcast=found, form=form, why_given_back=why, **shown)


def translations_listed(found: Broadcast) -> list[dict[str, Any]]:
    """The other languages of a draft, and how it stands in each."""
    standing = languages_beside(found.language, broadcasts.translations_of(found))
    urls = {tag: url_for("broadcast_languages.translation", id=found.public_id, tag=tag) for tag in standing}
    return [{"name": name_of_language(tag), "is_written": standing[tag], "url": urls[tag]} for tag in standing]


def form_of(found: Broadcast | None = None, **more: Any) -> BroadcastForm:
    """The form with its choices: the newest segments, and whatever was chosen already. Without its own a select falls to everybody."""
    form = BroadcastForm(**more)
    chosen_already = (broadcasts.segment_of_draft(found) if found else None, segment_of(form.segment.data) if form.segment.data else None)
    segments = [*segments_saved(None, MOST_SEGMENTS), *(segment for segment in chosen_already if segment is not None)]
    form.offer(dict.fromkeys(segments), languages(), may_be_course_mail=not keeps_course_mail_to_owners())
    form.translated = [each.language for each in broadcasts.translations_of(found)] if found else ()
    return form


def chosen(form: BroadcastForm) -> Segment | None:
    """The segment that was chosen; None for everybody."""
    return (segment_of(form.segment.data) or abort(404)) if form.segment.data else None


def named(id: str) -> Broadcast:
    """The broadcast of an address, or 404. Raises Refusal where it is for owners alone."""
    found = broadcasts.broadcast_named(id) or abort(404)
    if found.purpose is Purpose.COURSE and keeps_course_mail_to_owners():
        words = _(
            "A course or a tier is marked as sensitive. How many get course mail could tell whose it is, so it is for owners to send."
        )
        raise Refusal(words, 403)
    return found


def keeps_course_mail_to_owners() -> bool:
    """Whether course mail is none of this user's business (decision 0015)."""
    return not current_user.has_role(Role.OWNER) and known_courses().is_walled
