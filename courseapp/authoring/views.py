"""Staff pages about courses: how they stand, uploads, publishing, undoing."""

from collections import Counter
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, stream_with_context, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role, User
from courseapp.authoring import uploads
from courseapp.authoring.arranging.views import pages as arranging_pages
from courseapp.authoring.editing import course_to_change
from courseapp.authoring.editor.views import pages as editor_pages
from courseapp.authoring.exporting import packed
from courseapp.authoring.models import UploadState
from courseapp.authoring.releasing import publish_course, withdraw_course
from courseapp.authoring.report import by_file
from courseapp.authoring.standing import course_named, course_standings, learners_half_way, lesson_standings, recent_imports
from courseapp.authoring.undoing import edits_since, last_import, undo
from courseapp.catalog.models import Course
from courseapp.columns import row_number
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.web import LARGEST_UPLOAD

PAGE = 30
STATE_WORDS = {
    UploadState.WAITING: _l("being looked through"),
    UploadState.REFUSED: _l("needs mending"),
    UploadState.READY: _l("ready, waiting for you"),
    UploadState.ACCEPTED: _l("being brought in"),
    UploadState.COMMITTED: _l("brought in"),
    UploadState.CANCELLED: _l("thrown away"),
    UploadState.FAILED: _l("failed"),
}
STAGE_WORDS = {
    "unpacking": _l("Unpacking"),
    "preparing": _l("Making pictures and recordings fit for the web"),
    "filming": _l("Converting a film"),
    "checking": _l("Checking every lesson"),
    "importing": _l("Bringing it in"),
}

pages = Blueprint("authoring", __name__)
BLUEPRINTS = (pages, editor_pages, arranging_pages)
pages.before_request(need_role(Role.INSTRUCTOR))


@pages.get("/staff/courses")
def courses() -> str:
    """All courses and how they stand."""
    return render_template("authoring/courses.html", courses=course_standings())


@pages.get("/staff/courses/<slug>")
def course(slug: str) -> str:
    """One course: its lessons, their review, what was brought in when."""
    found = course_of(slug)
    facts = {"title": found.title, "slug": found.slug, "edition": found.edition, "state": "published" if found.is_published else "draft"}
    last = last_import(found.id)
    imports = [
        {
            "id": row.id,
            "at": row.at,
            "by": _("somebody of the staff") if row.by_user_id else _("command line"),
            "result": _("undone") if row.undone_at else _("imported"),
            "changes": words_of(row.changes),
            "can_undo": last is not None and row.id == last.id,
        }
        for row in recent_imports(found)
    ]
    return render_template("authoring/course.html", course=facts, lessons=lesson_standings(found, clock.now().date()), imports=imports)


def course_of(slug: str) -> Course:
    """The course of an address, or 404."""
    return course_named(slug) or abort(404)


def person() -> User:
    """Who asks."""
    user: User = current_user._get_current_object()
    return user


@pages.post("/staff/courses/<slug>/publish")
def publish(slug: str) -> Response:
    """Let learners see a draft, or take a course out of their sight (`visible=0`)."""
    found, now = course_to_change(slug) or abort(404), clock.now()
    if request.form.get("visible") == "0":
        withdraw_course(found, now, person().id)
        flash(_("Learners see this course no more. Their progress is kept."), "success")
    elif problems := publish_course(found, now, person().id, without_review="without_review" in request.form):
        flash(problems, "error")
    else:
        flash(_("Learners can see this course now."), "success")
    db.session.commit()
    return redirect(url_for("authoring.course", slug=slug), 303)


@pages.get("/staff/courses/<slug>/export")
def export(slug: str) -> Response:
    """The course as a ZIP archive, sent as it is packed, so that its size costs no memory."""
    pieces = packed(course_of(slug))
    answer = Response(stream_with_context(pieces), mimetype="application/zip")
    answer.headers["Content-Disposition"] = f'attachment; filename="{slug}.zip"'
    return answer


@pages.get("/staff/courses/<slug>/undo")
def ask_to_undo(slug: str) -> str:
    """What undoing the last import does, before it is done."""
    found = course_of(slug)
    row = last_import(found.id) or abort(404)
    facts = {"title": found.title, "slug": slug}
    edits = edits_since(row, found)
    return render_template(
        "authoring/undo.html",
        course=facts,
        entry=row,
        changes=words_of(row.changes),
        is_first=row.before is None,
        edits=edits,
        version=found.version,
    )


@pages.post("/staff/courses/<slug>/undo")
def undo_import(slug: str) -> Response:
    """Put the course back to how it stood before its last import, the one the form shows."""
    row, shown = last_import(course_of(slug).id), request.form.get("with_edits", type=int)
    if row is not None and request.form.get("import") == str(row.id) and undo(row, clock.now(), person().id, shown):
        db.session.commit()
        flash(_("Undone: the course stands as it did before."), "success")
    else:
        db.session.rollback()
        flash(_("Nothing was undone: the course has changed since, by another import or in the page. Please look again."), "error")
    return redirect(url_for("authoring.course", slug=slug), 303)


# Uploads


@pages.get("/staff/uploads")
def list_uploads() -> str:
    """Everything that was sent, newest first, and the form for more."""
    before = request.args.get("before", type=row_number)
    found = uploads.recent_uploads(before, PAGE + 1)
    older = url_for("authoring.list_uploads", before=found[PAGE - 1].id) if len(found) > PAGE else None
    chosen = request.args.get("into", "")
    return render_template(
        "authoring/uploads.html",
        uploads=found[:PAGE],
        older_url=older,
        largest=LARGEST_UPLOAD,
        words=STATE_WORDS,
        places=uploads.places(),
        chosen=f"{chosen}/" if chosen and "/" not in chosen else chosen,
    )


@pages.post("/staff/uploads")
def receive() -> Response:
    """Take files in; the worker looks them through."""
    sent = [(file.filename or "", file.stream) for file in request.files.getlist("files") if file.filename]
    try:
        answers = (request.form.get(name, "") for name in ("into", "module_title", "needs_check"))
        upload = uploads.receive(person(), sent, clock.now(), uploads.place_of(*answers))
    except Refusal as refusal:
        db.session.rollback()
        flash(refusal.words, "error")
        return redirect(url_for("authoring.list_uploads"), 303)
    db.session.commit()
    return redirect(url_for("authoring.upload", id=upload.public_id), 303)


@pages.get("/staff/uploads/<id>")
def upload(id: str) -> str:
    """One upload: how far it is, what is wrong with it, what it would change."""
    found = uploads.upload_of(id) or abort(404)
    return render_template(
        "authoring/upload.html",
        upload=found,
        words=STATE_WORDS[found.state],
        stage=STAGE_WORDS.get(found.stage or "", _("Waiting for its turn")),
        is_late=found.is_late(clock.now()),
        findings=by_file(found.report),
        counts=Counter(row["severity"] for row in found.report),
        half_way=learners_half_way(found.course) if found.state is UploadState.READY and found.course else 0,
    )


@pages.post("/staff/uploads/<id>")
def decide(id: str) -> Response:
    """Bring an upload in as a draft, publish it, or throw it away."""
    found = uploads.upload_of(id) or abort(404)
    choice = request.form.get("choice")
    if choice == "cancel":
        is_done = uploads.cancel(found, clock.now())
    elif choice in {"draft", "publish"}:
        is_done = uploads.accept(found, choice == "publish", "without_review" in request.form)
    else:
        abort(400)
    db.session.commit()
    if not is_done:
        flash(_("That came too late: the upload stands elsewhere by now."), "error")
    return redirect(url_for("authoring.upload", id=id), 303)


def words_of(changes: dict[str, Any]) -> str:
    """What an import changed, in words."""
    counts = {name: len(changes[name]) for name in ("new", "changed", "removed")}
    return str(_("%(new)s new, %(changed)s changed, %(removed)s removed lessons", **counts))
