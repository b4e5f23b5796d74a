"""A sequence while it is written, for marketers and owners: what holds for all its letters, their order, what is wrong, publishing."""

from dataclasses import replace
from typing import Any

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.billing.selling import is_selling
from courseapp.billing.sensitivity import all_tiers
from courseapp.campaigns import sequence_drafts as drafts
from courseapp.campaigns.composing.forms import BLANK, HeadForm
from courseapp.campaigns.forms import version_in
from courseapp.campaigns.models import Sequence
from courseapp.campaigns.segment_values import languages
from courseapp.campaigns.sequence_lists import lessons_to_begin_by, under_way, versions_of
from courseapp.campaigns.sequence_sentences import column_of, publishing
from courseapp.campaigns.sequence_shapes import SequenceDraft, languages_of
from courseapp.campaigns.sequence_steps import with_step_moved, without_step
from courseapp.campaigns.translations import names_of
from courseapp.catalog.sensitivity import all_courses, courses_to_choose_by
from courseapp.errors import Refusal
from courseapp.extensions import db, limiter

pages = Blueprint("sequence_drafts", __name__)
FIELDS = {"course_slug": "course", "lesson_key": "lesson", "tier_key": "tier"}  # of a draft → of its form
pages.before_request(need_role(Role.MARKETER, Role.OWNER))


@pages.get("/staff/mail/sequences/new")
def begin() -> str:
    """An empty one."""
    form = head_form(formdata=None)
    form.show(replace(BLANK, language=current_app.config["SETTINGS"].language_list[0]), 1)
    return head_page(None, form)


@pages.post("/staff/mail/sequences/new")
@limiter.limit("60 per minute")
def make() -> Response | tuple[str, int]:
    """Keep the draft of a new one."""
    form = head_form()
    if not form.validate():
        return head_page(None, form), 422
    made = drafts.new_sequence(form.laid_over(BLANK), current_user.id, clock.now())
    db.session.commit()
    flash(_("The draft is kept. Nobody gets anything before you publish it."), "success")
    return redirect(url_for("sequence_drafts.draft", id=made.public_id), 303)


@pages.get("/staff/mail/sequences/<id>/draft")
def draft(id: str) -> Response | str:
    """The draft as a column to be worked on, what is wrong with it, and what publishing it would mean."""
    found = named(id)
    if found.archived_at is not None:
        return redirect(url_for("sequences.sequence", id=id), 303)
    present, versions = drafts.draft_of(found), versions_of(found)
    problems = drafts.problems_of(present)
    on_way = under_way(found)
    return render_template(
        "campaigns/sequence_draft.html",
        sequence=found,
        draft=present,
        column=column_of(present),
        languages=names_of(present.language, languages_of(present)),
        problems=[(problem, place_of(found, problem)) for problem in sorted(problems, key=lambda problem: problem.is_warning)],
        to_mend=sum(not problem.is_warning for problem in problems),
        newest=versions[0] if versions else None,
        means=publishing(
            {version.number: on_way.get(version.id, ()) for version in versions},
            present,
            drafts.said_by(versions[0]) if versions else None,
            is_paused=found.paused_at is not None,
        ),
    )


def place_of(found: Sequence, problem: drafts.SequenceProblem) -> str:
    """The address at which something wrong is mended."""
    if problem.step is not None and problem.letter is not None and problem.letter.language:
        language = problem.letter.language
        return url_for("sequence_letters.translation", id=found.public_id, number=problem.step, tag=language, _anchor=problem.field)
    if problem.step is not None:
        return url_for("sequence_letters.letter", id=found.public_id, number=problem.step, _anchor=problem.field)
    if problem.field == "steps":
        return url_for("sequence_letters.new_letter", id=found.public_id)
    return url_for("sequence_drafts.head", id=found.public_id, _anchor=FIELDS.get(problem.field, problem.field))


@pages.post("/staff/mail/sequences/<id>/draft")
@limiter.limit("120 per minute")
def arrange(id: str) -> Response:
    """Press a button (`do`) of the draft: `up:2`, `down:2`, `remove:2`, `discard`. The last two ask to be sure first."""
    found = named(id)
    what, number = doing_of(found, request.form.get("do", ""))
    if what == "remove" and not request.form.get("sure"):
        return redirect(url_for("sequence_letters.ask_to_remove", id=id, number=number), 303)
    if what == "discard" and not request.form.get("sure"):
        return redirect(url_for("sequence_drafts.ask_to_discard", id=id), 303)
    try:
        words, place = arranged(found, what, number)
        db.session.commit()
        flash(words, "success")
    except Refusal as refusal:
        db.session.rollback()
        flash(refusal.words, "error")
        place = number
    return redirect(url_for("sequence_drafts.draft", id=id, _anchor=f"letter-{place}" if place else None), 303)


@pages.get("/staff/mail/sequences/<id>/draft/discard")
def ask_to_discard(id: str) -> Response | str:
    """What throwing the changes away means, before it is done."""
    found = writable(id)
    newest = drafts.latest_version(found)
    if newest is None or found.draft is None:
        return redirect(url_for("sequence_drafts.draft", id=id), 303)
    return render_template("campaigns/sequence_sure.html", sequence=found, newest=newest, do="discard")


def doing_of(found: Sequence, typed: str) -> tuple[str, int]:
    """What a button means to do, and with which letter (0: none); 400 for what is no button, 404 for a letter there is not."""
    what, _colon, number = typed.partition(":")
    if what == "discard":
        return (what, 0) if drafts.latest_version(found) is not None else abort(400)
    if what not in ("up", "down", "remove") or not (number.isascii() and number.isdecimal() and len(number) < 4):
        abort(400)
    return (what, int(number)) if 0 < int(number) <= len(drafts.draft_of(found).steps) else abort(404)


def arranged(found: Sequence, what: str, number: int) -> tuple[str, int]:
    """Do it and keep the draft; what is said of it, and which letter to look at. Raises Refusal."""
    present, latest = drafts.draft_of(found), drafts.latest_version(found)
    if what == "discard":
        assert latest is not None
        keep(found, drafts.said_by(latest))
        return str(_("The changes are thrown away. The draft says what version %(number)s says.", number=latest.number)), 0
    if what == "remove":
        keep(found, without_step(present, number))
        return str(_("Step %(number)s is taken out of the draft.", number=number)), 0
    changed, place = with_step_moved(present, number, -1 if what == "up" else 1)
    keep(found, changed)
    return str(_("It is step %(number)s now, on day %(day)s.", number=place, day=changed.steps[place - 1].delay_days)), place


@pages.get("/staff/mail/sequences/<id>/draft/head")
def head(id: str) -> str:
    """What begins and ends it, and at which hours its letters come."""
    found = writable(id)
    form = head_form(found, formdata=None)
    form.show(drafts.draft_of(found), found.draft_version)
    return head_page(found, form)


@pages.post("/staff/mail/sequences/<id>/draft/head")
@limiter.limit("60 per minute")
def change_head(id: str) -> Response | tuple[str, int]:
    """Keep what was typed there."""
    found = named(id)
    form = head_form(found)
    if not form.validate():
        return head_page(found, form), 422
    try:
        keep(found, form.laid_over(drafts.draft_of(found)))
    except Refusal as refusal:
        db.session.rollback()
        form.title.errors = [refusal.words]
        return head_page(named(id), form), 409
    db.session.commit()
    flash(_("The draft is kept."), "success")
    return redirect(url_for("sequence_drafts.draft", id=id), 303)


@pages.post("/staff/mail/sequences/<id>/publication")
@limiter.limit("60 per hour")
def publish(id: str) -> Response:
    """Make the draft what new people get."""
    found, seen, now = named(id), version_in(request.form), clock.now()
    try:
        made = drafts.publish(found, current_user.id, now)
        if found.draft_version != seen + 1:  # publishing holds the row and raises the number by one
            raise Refusal(_("Somebody else has changed this sequence meanwhile. Read it again; nothing was published."))
    except Refusal as refusal:
        db.session.rollback()
        flash(refusal.words, "error")
        return redirect(url_for("sequence_drafts.draft", id=id), 303)
    db.session.commit()
    is_new = made.published_at == now
    flash(_("Version %(number)s is published.", number=made.number) if is_new else _("Its new name is kept."), "success")
    return redirect(url_for("sequences.sequence", id=id), 303)


def keep(found: Sequence, changed: SequenceDraft) -> None:
    """Keep a draft that was made from the state a form had seen. Raises Refusal where somebody else changed it since."""
    drafts.keep_draft(found, changed, version_in(request.form), current_user.id, clock.now())


def head_page(found: Sequence | None, form: HeadForm) -> str:
    """The page on which what begins and ends it is chosen."""
    return render_template("campaigns/sequence_head.html", sequence=found, form=form, title=drafts.draft_of(found).title if found else "")


def head_form(found: Sequence | None = None, **more: Any) -> HeadForm:
    """The form with its choices. What was published keeps its purpose, for people agreed to it."""
    form = HeadForm(**more)
    courses = all_courses() if current_user.has_role(Role.OWNER) else courses_to_choose_by()
    form.offer(courses, lessons_to_begin_by(courses), languages())
    tiers = [tier for tier in all_tiers() if tier.sensitive_at is None or current_user.has_role(Role.OWNER)] if is_selling() else []
    form.offer_tiers(tiers, drafts.draft_of(found) if found is not None else BLANK)
    if found is not None:
        form.translated = [each.language for each in languages_of(drafts.draft_of(found))]
    if found is not None and drafts.latest_version(found) is not None:
        del form.purpose
    return form


def writable(id: str) -> Sequence:
    """The sequence of an address that is not put away, or 404."""
    found = named(id)
    return found if found.archived_at is None else abort(404)


def named(id: str) -> Sequence:
    """The sequence of an address, or 404; one on a course marked as sensitive is the owner's."""
    return drafts.sequence_named(id, current_user) or abort(404)
