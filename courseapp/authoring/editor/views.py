"""The editor's pages: a lesson's text, its drafts and its history."""

from typing import Any

from flask import Blueprint, abort, flash, jsonify, redirect, render_template, request, url_for
from flask_babel import format_time
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.authoring import drafts, editing, history
from courseapp.authoring.differences import side_by_side
from courseapp.authoring.drafts import Place, Typed
from courseapp.authoring.editing import Look, Subject
from courseapp.authoring.merging import merged_fields
from courseapp.authoring.report import Severity
from courseapp.authoring.standing import learners_of, staff_file
from courseapp.catalog.models import Origin, Revision
from courseapp.columns import random_public_id
from courseapp.delivery import send_beside
from courseapp.extensions import db

FIELD_WORDS = {
    "title": _l("Title"),
    "minutes": _l("Minutes"),
    "shows": _l("What it shows"),
    "needs_check": _l("Opens"),
    "completes": _l("Done when"),
    "sources": _l("Sources"),
    "reviewed_by": _l("Reviewed by"),
    "reviewer_role": _l("Reviewer’s role"),
    "reviewed_on": _l("Reviewed on"),
    "review_due": _l("Review due"),
    "body": _l("Text"),
}
ORIGIN_WORDS = {
    Origin.IMPORT: _l("came with an import"),
    Origin.EDIT: _l("written in the page"),
    Origin.RESTORE: _l("put back from the history"),
    Origin.REVIEW: _l("review noted"),
}
MOST = 2**31 - 1

pages = Blueprint("editor", __name__)
pages.before_request(need_role(Role.INSTRUCTOR))


def own_id() -> int:
    """The id of who asks."""
    return int(current_user.id)


def subject_or_404(slug: str, key: str, to_change: bool = False) -> Subject:
    """The lesson of an address."""
    return editing.subject_of(slug, key, to_change) or abort(404)


# A lesson's text


@pages.get("/staff/courses/<slug>/lessons/<key>/edit")
def lesson(slug: str, key: str) -> Any:
    """A lesson in the editor: with the person's latest draft, or the one asked for (`draft`).

    `fresh` leaves out drafts up to that second: whoever has just saved, or begins anew, is not shown an older one at once.
    """
    subject = subject_or_404(slug, key)
    present = editing.typed_of(subject)
    own = [row for row in drafts.own_drafts(own_id(), subject.lesson.id) if editing.differing(row.typed, present)]
    wanted, fresh = request.args.get("draft"), request.args.get("fresh", 0, type=int)
    draft = next((row for row in own if row.public_id == wanted or (wanted is None and row.at.timestamp() > fresh)), None)
    if draft is None:
        return editor_page(subject, present, fresh_place(subject), own=own)
    place = Place("", 1, draft.base_number, draft.base_stamp, draft.public_id, draft.seq)
    typed = editing.clean_typed(draft.typed)
    return editor_page(subject, typed, place, own=[row for row in own if row is not draft], restored=draft.at)


def fresh_place(subject: Subject) -> Place:
    """Where a page that begins from the saved text keeps its draft."""
    return Place("", 1, subject.revision.number, subject.stamp)


def posted_place() -> Place:
    """Where the page that sends this keeps its draft."""
    form = request.form
    number = {name: min(max(form.get(name, 0, type=int), 0), MOST) for name in ("seq", "base_number", "continues_seq")}
    words = {name: form.get(name, "")[:16] for name in ("draft", "base_stamp", "continues")}
    return Place(words["draft"], number["seq"], number["base_number"], words["base_stamp"], words["continues"], number["continues_seq"])


def editor_page(subject: Subject, typed: Typed, place: Place, *, status: int = 200, **more: Any) -> Any:
    """The editor as a page. Further words are what it says besides: restored, own drafts, conflict, tried, asks_word."""
    course, lesson_row = subject.course, subject.lesson
    look = editing.look_at(subject, typed, read_again="read_again" in request.form, for_staff=True)
    return (
        render_template(
            "authoring/edit_lesson.html",
            course={"title": course.title, "slug": course.slug, "is_published": course.is_published, "language": course.language},
            lesson={"key": lesson_row.key, "title": lesson_row.title, "number": subject.revision.number, "id": lesson_row.public_id},
            typed=typed,
            place=place,
            page_draft=place.public_id or random_public_id(),
            preview_html=look.rendered.html,
            adapted_html=look.rendered.adapted_html,
            problems=problems_of(look),
            learners=learners_of(course) if course.is_published else 0,
            asks_word=more.pop("asks_word", False) or editing.needs_word(subject, look.draft),
            others_at=drafts.others_writing(own_id(), lesson_row.id),
            reviewed=subject.revision.reviewed_by,
            changed=editing.differing(typed, editing.typed_of(subject)),
            field_words=FIELD_WORDS,
            **more,
        ),
        status,
    )


def problems_of(look: Look) -> list[dict[str, Any]]:
    """What is wrong with a text, in order: its line (0 for the whole), the field, and how to mend it."""
    found = []
    for row in look.report.sorted():
        field = row.code.removesuffix("_wrong").removesuffix("_missing")
        field = "completes" if field == "rule" else field if field in FIELD_WORDS else "body"
        if row.severity is not Severity.NOTE:
            is_error = row.severity is Severity.ERROR
            found.append(
                {"line": row.line if field == "body" else 0, "field": field, "is_error": is_error, "words": row.message, "mend": row.mend}
            )
    return found


@pages.post("/staff/courses/<slug>/lessons/<key>/edit")
def change(slug: str, key: str) -> Any:
    """Save what was typed, or show it (`choice=preview`), put both together (`merge`), throw it away (`discard`). It is kept first."""
    choice, now = request.form.get("choice", "save"), clock.now()
    subject = subject_or_404(slug, key, to_change=choice == "save")
    place, typed = posted_place(), editing.clean_typed(request.form)
    if choice == "discard":
        return discard(subject, place)
    present = editing.typed_of(subject)
    kept_as, _seq = drafts.keep(own_id(), subject.lesson.id, place, typed, now)
    if choice == "save" and not editing.differing(typed, present):
        return finish(subject, kept_as, _("Nothing had changed, so nothing was saved."))
    look = editing.look_at(subject, typed, read_again="read_again" in request.form)
    told: dict[str, Any] = {}
    status = 200
    if choice == "save":
        told = why_not(subject, place, look, typed)
        if not told:
            editing.save(subject, look, now, own_id())
            return finish(subject, kept_as, saved_words(subject))
        status = 409 if "conflict" in told else 422
    if choice == "merge":
        typed = together(subject, place, typed)
    is_settled = "conflict" in told or choice == "merge"
    number, stamp = (subject.revision.number, subject.stamp) if is_settled else (place.base_number, place.base_stamp)
    answer = editor_page(subject, typed, Place(kept_as, place.seq + 1, number, stamp), status=status, **told)
    db.session.commit()
    return answer


def why_not(subject: Subject, place: Place, look: Look, typed: Typed) -> dict[str, Any]:
    """What keeps a text from being saved, as the page says it; empty where nothing does."""
    if look.report.has_errors:
        return {"tried": True}
    if place.base_stamp != subject.stamp:
        present = editing.typed_of(subject)
        return {"conflict": {"present": present, "rows": side_by_side(present["body"], typed["body"])}}
    if editing.needs_word(subject, look.draft) and "without_review" not in request.form:
        return {"asks_word": True, "is_word_missing": True}
    return {}


def together(subject: Subject, place: Place, typed: Typed) -> Typed:
    """What was typed and what was saved meanwhile in one, where they touch different lines and fields; else what was typed."""
    base = history.revision_of(subject.lesson, place.base_number)
    both = merged_fields(history.typed_from(subject, base), editing.typed_of(subject), typed) if base is not None else None
    if both is None:
        flash(_("Both changed the same lines, so they cannot be put together. Yours stands below; copy over what is to stay."), "error")
        return typed
    flash(_("Both are in the text below now. Please read it through before you save it."), "success")
    return both


def saved_words(subject: Subject) -> str:
    """What was done, in words."""
    if subject.course.is_published:
        return str(_("Saved. Learners see it now."))
    return str(_("Saved. The course is a draft: learners do not see it yet."))


def finish(subject: Subject, kept_as: str, words: str) -> Response:
    """The draft is no longer needed: back to the lesson as it is saved."""
    drafts.drop(own_id(), subject.lesson.id, kept_as)
    return back_to(subject, words)


def back_to(subject: Subject, words: str) -> Response:
    """To the lesson as it is saved; other drafts of the person are named there, and not put over it."""
    left = drafts.own_drafts(own_id(), subject.lesson.id)
    fresh = int(left[0].at.timestamp()) + 1 if left else None
    address = url_for("editor.lesson", slug=subject.course.slug, key=subject.lesson.key, fresh=fresh)
    db.session.commit()
    flash(words, "success")
    return redirect(address, 303)


def discard(subject: Subject, place: Place) -> Response:
    """Throw the page's draft away, and the one it was opened with."""
    drafts.drop(own_id(), subject.lesson.id, place.public_id)
    drafts.drop(own_id(), subject.lesson.id, place.continues)
    return back_to(subject, _("The draft is thrown away. The lesson is as it was saved."))


@pages.post("/staff/courses/<slug>/lessons/<key>/draft")
def keep_draft(slug: str, key: str) -> Response:
    """Keep what is being typed, and say how it looks, what is wrong with it, and whether the lesson has changed meanwhile."""
    subject = subject_or_404(slug, key)
    place, typed, now = posted_place(), editing.clean_typed(request.form), clock.now()
    kept_as, seq = drafts.keep(own_id(), subject.lesson.id, place, typed, now, may_be_late=True)
    look = editing.look_at(subject, typed, for_staff=True)
    facts = {
        "draft": kept_as,
        "seq": seq,
        "at": format_time(now, "short"),
        "html": look.rendered.html,
        "adapted_html": look.rendered.adapted_html,
        "problems": problems_of(look),
        "is_changed": place.base_stamp != subject.stamp,
    }
    db.session.commit()
    return jsonify(facts)


@pages.get("/staff/files/<public_id>.<suffix>")
def file(public_id: str, suffix: str) -> Response:
    """A file of a course as staff see it in the editor, whatever learners may open."""
    found = staff_file(public_id) or abort(404)
    return send_beside(found.storage_key, found.media_type, found.path, suffix, found.digest, found.size)


# Its history


@pages.get("/staff/courses/<slug>/lessons/<key>/history")
def revisions(slug: str, key: str) -> str:
    """Every revision of a lesson, and what each changed."""
    subject = subject_or_404(slug, key)
    entries = [
        {
            "number": row.number,
            "at": row.at,
            "by": by_words(row),
            "what": ORIGIN_WORDS[row.origin],
            "changed": [FIELD_WORDS[name] for name in row.changed],
            "is_present": row.is_present,
        }
        for row in history.history_of(subject)
    ]
    return render_template("authoring/history.html", **facts_of(subject), entries=entries)


def by_words(entry: history.Entry) -> str:
    """Who made a revision, in words."""
    if entry.source:
        return str(_("import of %(source)s", source=entry.source))
    if entry.by_user_id is None:
        return str(_("command line") if entry.origin is Origin.IMPORT else _("somebody of the staff"))
    return str(_("you") if entry.by_user_id == own_id() else _("somebody of the staff"))


def facts_of(subject: Subject) -> dict[str, Any]:
    """What the pages about one lesson name."""
    course, row = subject.course, subject.lesson
    return {
        "course": {"title": course.title, "slug": course.slug, "is_published": course.is_published},
        "lesson": {"key": row.key, "title": row.title, "number": subject.revision.number},
        "stamp": subject.stamp,
    }


def revision_or_404(subject: Subject, number: int) -> Revision:
    """A revision of a lesson by its number."""
    return history.revision_of(subject.lesson, min(number, MOST)) or abort(404)


@pages.get("/staff/courses/<slug>/lessons/<key>/history/<int:number>")
def revision(slug: str, key: str, number: int) -> str:
    """One revision beside another (`with`; else the present one), and the way back to it."""
    subject = subject_or_404(slug, key)
    other = request.args.get("with", subject.revision.number, type=int)
    first, second = sorted((number, other))
    older, newer = revision_or_404(subject, first), revision_or_404(subject, second)
    before, after = history.typed_from(subject, older), history.typed_from(subject, newer)
    changed = [name for name in editing.differing(before, after) if name != "body"]
    return render_template(
        "authoring/revision.html",
        **facts_of(subject),
        numbers=[row.number for row in history.revisions_of(subject.lesson)],
        older=older.number,
        newer=newer.number,
        shown=number,
        facts=[(FIELD_WORDS[name], before[name], after[name]) for name in changed],
        rows=side_by_side(before["body"], after["body"]),
        is_text_same="body" not in editing.differing(before, after),
    )


@pages.post("/staff/courses/<slug>/lessons/<key>/history/<int:number>/restore")
def restore(slug: str, key: str, number: int) -> Response:
    """Make an earlier text the present one, as a new revision. Where it cannot be saved as it is, it opens in the editor as a draft."""
    subject, now = subject_or_404(slug, key, to_change=True), clock.now()
    wanted = revision_or_404(subject, number)
    if request.form.get("base_stamp") != subject.stamp:
        flash(_("Nothing was put back: the lesson has changed since this page was opened. Please look again."), "error")
        return redirect(url_for("editor.revision", slug=slug, key=key, number=number), 303)
    typed = history.typed_from(subject, wanted)
    look = editing.look_at(subject, typed, read_again=True)  # the review of that revision was of that very text
    if look.report.has_errors or editing.needs_word(subject, look.draft):
        drafts.keep(own_id(), subject.lesson.id, Place("", 1, subject.revision.number, subject.stamp), typed, now)
        flash(_("This text needs your attention before learners may see it. It stands here as your draft."), "error")
    else:
        editing.save(subject, look, now, own_id(), Origin.RESTORE)
        flash(saved_words(subject), "success")
    db.session.commit()
    return redirect(url_for("editor.lesson", slug=slug, key=key), 303)
