"""Segments, for marketers and owners: the list, and the page on which one is made with its count and sample beside it."""

from itertools import groupby
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.campaigns.choosing.forms import NameForm
from courseapp.campaigns.models import Segment
from courseapp.campaigns.saved_segments import put_away, save_segment, segment_of, segments_saved, stamp_of
from courseapp.campaigns.segment_drafts import MODES, Tree, changed, drafted, rows_of
from courseapp.campaigns.segment_fields import fields_offered
from courseapp.campaigns.segment_values import Present, known_courses
from courseapp.campaigns.segments import look_at, problems_of
from courseapp.catalog.sensitivity import all_courses, mark_sensitive
from courseapp.columns import row_number
from courseapp.contacts.address import address_hint
from courseapp.errors import Refusal
from courseapp.extensions import db, limiter
from courseapp.journal import events
from courseapp.site import present_site

pages = Blueprint("segments", __name__)
pages.before_request(need_role(Role.MARKETER, Role.OWNER))
PAGE = 30
EVERYBODY: Tree = {"all": []}


@pages.get("/staff/mail/segments")
def saved() -> str:
    """The newest segments; those that were put away with `?show=archived`."""
    is_archived = request.args.get("show") == "archived"
    found = segments_saved(request.args.get("before", type=row_number), PAGE + 1, archived=is_archived)
    show = "archived" if is_archived else None
    older = url_for("segments.saved", before=found[PAGE - 1].id, show=show) if len(found) > PAGE else None
    return render_template(
        "campaigns/segments.html", segments=found[:PAGE], is_archived=is_archived, older_url=older, courses=all_courses()
    )


@pages.get("/staff/mail/segments/new")
def begin() -> str:
    """A segment to be made."""
    return editor(None, EVERYBODY, NameForm(formdata=None))


@pages.get("/staff/mail/segments/<id>")
def segment(id: str) -> str:
    """One segment, as it would choose now."""
    found = segment_of(id) or abort(404)
    return editor(found, found.tree, NameForm(formdata=None, name=found.name))


@pages.post("/staff/mail/segments/new")
@limiter.limit("120 per minute")
def make() -> Response | str:
    """Change the tree in the page, look, or save it as a new segment."""
    return change_or_save(None)


@pages.post("/staff/mail/segments/<id>")
@limiter.limit("120 per minute")
def change(id: str) -> Response | str:
    """Change the tree in the page, look, or save it."""
    return change_or_save(segment_of(id) or abort(404))


def change_or_save(found: Segment | None) -> Response | str:
    """What a button of the page does; only saving writes."""
    form, present = NameForm(), present_now()
    doing = request.form.get("do", "")
    tree = changed(drafted(request.form, present), doing, present)
    if doing != "save":
        form.name.errors = []
        return editor(found, tree, form, is_changed=True)
    if not form.validate() or problems_of(tree, present.courses):
        return editor(found, tree, form, is_changed=True, is_refused=True)
    try:
        kept = save_segment(found, form.name.data, tree, current_user.id, clock.now(), request.form.get("seen", ""))
    except Refusal as refusal:
        db.session.rollback()
        form.name.errors = [refusal.words]
        return editor(found, tree, form, is_changed=True, is_refused=True)
    db.session.commit()
    flash(_("The segment is saved."), "success")
    return redirect(url_for("segments.segment", id=kept.public_id), 303)


def editor(found: Segment | None, tree: Tree, form: NameForm, *, is_changed: bool = False, is_refused: bool = False) -> str:
    """The page; what is wrong is said beside each row once it keeps the segment from being counted or saved."""
    present = present_now()
    problems, offered = problems_of(tree, present.courses), fields_offered(present.courses)
    return render_template(
        "campaigns/segment.html",
        segment=found,
        seen=request.form.get("seen") or (stamp_of(found) if found is not None else ""),
        form=form,
        root=rows_of(tree, problems, present),
        problems=problems,
        is_changed=is_changed,
        is_refused=is_refused,
        look=None if problems else look_facts(tree),
        offered=offered,
        groups=[(group, list(members)) for group, members in groupby(offered, lambda field: field.group)],
        modes=MODES,
        is_walled=present.courses.is_walled,
    )


def look_facts(tree: Tree) -> dict[str, Any]:
    """How many are chosen, and of some of them what tells them apart without naming them."""
    look = look_at(tree, clock.now())
    sample = [
        {"hint": address_hint(contact.address), "name": contact.first_name, "language": contact.language, "since": contact.created_at}
        for contact in look.sample
    ]
    return {"count": look.count, "sample": sample}


def present_now() -> Present:
    """What conditions are held against now."""
    return Present(clock.now(), present_site().default_zone, known_courses())


@pages.post("/staff/mail/segments/<id>/archive")
def archive(id: str) -> Response:
    """Put a segment away, or bring it back (`back`)."""
    found = segment_of(id) or abort(404)
    wanted = not request.form.get("back")
    put_away(found, wanted, current_user.id, clock.now())
    db.session.commit()
    flash(_("“%(name)s” is put away. It can be brought back.", name=found.name) if wanted else _("The segment is back."), "success")
    return redirect(url_for("segments.saved" if wanted else "segments.segment", id=None if wanted else id), 303)


@pages.post("/staff/mail/segments/courses")
def choose_courses() -> Response | str:
    """By which courses nobody is chosen (`sensitive`, slugs), for the owner alone. Taking a mark away asks to be sure first.

    The page says which were ticked when it was made (`was`): only what whoever sends it changed is changed, and a page that was open
    for long takes no mark away that another owner has set since.
    """
    if not current_user.has_role(Role.OWNER):
        abort(404)
    now, was, wanted = clock.now(), set(request.form.getlist("was")), set(request.form.getlist("sensitive"))
    courses = all_courses()
    unmarked = [course for course in courses if course.slug in was - wanted and course.sensitive_at is not None]
    if unmarked and not request.form.get("sure"):
        return render_template("campaigns/segments_unmark.html", unmarked=unmarked, was=sorted(was), wanted=sorted(wanted))
    marked = [course for course in courses if course.slug in was ^ wanted and mark_sensitive(course, course.slug in wanted, now)]
    for course in marked:
        is_now = course.sensitive_at is not None
        events.record("course_marked_sensitive" if is_now else "course_unmarked", f"course:{course.id}", now, by=current_user.id)
    db.session.commit()
    flash(_("Saved.") if marked else _("Nothing was different."), "success")
    return redirect(url_for("segments.saved", _anchor="courses"), 303)
