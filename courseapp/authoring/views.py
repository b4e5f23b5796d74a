"""Staff pages about courses: how they stand, uploads, previews, publishing, undoing."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from flask import Blueprint, abort, flash, make_response, redirect, render_template, request, stream_with_context, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role, User
from courseapp.authoring import looks, parts, publications, uploads
from courseapp.authoring.arranging.views import pages as arranging_pages
from courseapp.authoring.decisions import (
    COURSE_CHOICES,
    PROBLEM_WORDS,
    UPLOAD_CHOICES,
    Answer,
    decide_course,
    decide_upload,
    plan_of,
    planned_words,
)
from courseapp.authoring.editing import course_to_change
from courseapp.authoring.editor.views import pages as editor_pages
from courseapp.authoring.exporting import packed
from courseapp.authoring.models import Upload, UploadState
from courseapp.authoring.previews import OUTCOMES, file_in, pointed_at, reading_in, source_of
from courseapp.authoring.releasing import unreviewed_touch, withdraw_course
from courseapp.authoring.report import by_file
from courseapp.authoring.sending.views import pages as sending_pages
from courseapp.authoring.standing import (
    course_named,
    course_standings,
    learners_of,
    lesson_standings,
    recent_imports,
)
from courseapp.authoring.undoing import edits_since, import_of, last_import, undo
from courseapp.catalog.models import Course
from courseapp.columns import row_number
from courseapp.delivery import send_beside
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
    "keeping": _l("Making the preview"),
    "importing": _l("Bringing it in"),
}
OUTCOME_WORDS = {
    "unchecked": _l("has taken no check yet"),
    "professional": _l("should see a professional first"),
    "gently": _l("may go gently"),
    "ahead": _l("may go ahead"),
}
SHOWN_AT_ONCE = 5  # differences on the upload's own page; each has a page of its own too

pages = Blueprint("authoring", __name__)
BLUEPRINTS = (pages, editor_pages, arranging_pages, sending_pages)
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
    return render_template(
        "authoring/course.html",
        course=facts,
        lessons=lesson_standings(found, clock.now().date()),
        imports=imports,
        waiting=uploads.ready_uploads(found),
        plan=plan_of(found),
    )


def course_of(slug: str) -> Course:
    """The course of an address, or 404."""
    return course_named(slug) or abort(404)


def person() -> User:
    """Who asks."""
    user: User = current_user._get_current_object()
    return user


@pages.get("/staff/courses/<slug>/publish")
def ask_to_publish(slug: str) -> Response | str:
    """What learners will see of a draft, and when."""
    found = course_of(slug)
    if found.is_published:
        return redirect(url_for("authoring.course", slug=slug), 303)
    lessons = lesson_standings(found, clock.now().date())
    return render_template(
        "authoring/publish.html",
        course={"title": found.title, "slug": slug},
        lessons=lessons,
        minutes=sum(lesson.minutes for lesson in lessons),
        unreviewed=sum(lesson.reviewed_by is None for lesson in lessons),
        touch=unreviewed_touch(found.id),
        learners=learners_of(found),
        plan=plan_of(found),
    )


@pages.post("/staff/courses/<slug>/publish")
def publish(slug: str) -> Response:
    """Let learners see a draft, now or at a time; or call that off."""
    found, choice = course_to_change(slug) or abort(404), request.form.get("choice", "")
    if choice not in COURSE_CHOICES:
        abort(400)
    is_done = tell(lambda: decide_course(found, choice, request.form, clock.now(), person().id))
    return redirect(url_for("authoring.course" if is_done else "authoring.ask_to_publish", slug=slug), 303)


def tell(decide: Callable[[], Answer]) -> bool:
    """Have something decided, committed, and said what came of it; whether it was what was asked for."""
    try:
        answer = decide()
    except Refusal as refusal:
        answer = Answer(False, refusal.words)
    db.session.commit()
    if answer.words:
        flash(answer.words, "success" if answer.is_done else "error")
    return answer.is_done


@pages.get("/staff/courses/<slug>/withdraw")
def ask_to_withdraw(slug: str) -> str:
    """What taking a course out of learners' sight means, before it is done."""
    found = course_of(slug)
    return render_template("authoring/withdraw.html", course={"title": found.title, "slug": slug}, learners=learners_of(found))


@pages.post("/staff/courses/<slug>/withdraw")
def withdraw(slug: str) -> Response:
    """Take a course out of learners' sight."""
    found, now = course_of(slug), clock.now()
    if found.is_published:
        publications.call_off(found, now, person().id)  # else an old plan could bring back what was taken away
        withdraw_course(found, now, person().id)
        db.session.commit()
        flash(_("Learners see this course no more. Their progress is kept."), "success")
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
    chosen, ready = request.args.get("into", ""), uploads.ready_uploads()
    return render_template(
        "authoring/uploads.html",
        uploads=found[:PAGE],
        older_url=url_for("authoring.list_uploads", before=found[PAGE - 1].id) if len(found) > PAGE else None,
        largest=LARGEST_UPLOAD,
        words=STATE_WORDS,
        ready=ready,
        planned=planned_words(ready),
        problems=PROBLEM_WORDS,
        places=uploads.places(),
        chosen=f"{chosen}/" if chosen and "/" not in chosen else chosen,
        begun=[(part, parts.arrived(part), parts.value_in(part.told, "modified")) for part in parts.open_parts(person().id, clock.now())],
    )


@pages.post("/staff/uploads")
def receive() -> Response:
    """Take files in, those of the form or those that were sent piece by piece before; the worker looks them through."""
    sent = [(file.filename or "", file.stream) for file in request.files.getlist("files") if file.filename]
    pieced = request.form.getlist("parts")
    try:
        place = uploads.place_of(*(request.form.get(name, "") for name in ("into", "module_title", "needs_check")))
        if pieced:
            upload = parts.receive_parts(person(), pieced, clock.now(), place)
        else:
            upload = uploads.receive(person(), sent, clock.now(), place)
    except Refusal as refusal:
        db.session.rollback()
        flash(refusal.words, "error")
        return redirect(url_for("authoring.list_uploads"), 303)
    db.session.commit()
    parts.clear(upload)
    return redirect(url_for("authoring.upload", id=upload.public_id), 303)


@pages.get("/staff/uploads/<id>")
def upload(id: str) -> str:
    """One upload: how far it is, what is wrong with it, what it would change."""
    found = uploads.upload_of(id) or abort(404)
    is_ready = found.state is UploadState.READY
    outline = (looks.outline_of(found) if is_ready else None) or {}
    course_change = looks.text_of(found, outline, looks.COURSE)
    entry = import_of(found)
    return render_template(
        "authoring/upload.html",
        upload=found,
        words=STATE_WORDS[found.state],
        stage=STAGE_WORDS.get(found.stage or "", _("Waiting for its turn")),
        is_late=found.is_late(clock.now()),
        findings=by_file(found.report),
        counts=Counter(row["severity"] for row in found.report),
        learners=learners_of(found.course) if is_ready and found.course else 0,
        changes=looks.changes_of(found, outline, SHOWN_AT_ONCE) if is_ready else [],
        course_pairs=course_change["pairs"] if course_change is not None else [],
        is_stale=uploads.is_stale(found),
        entry=entry,
        can_undo=entry is not None and entry == last_import(entry.course_id),
        plan=plan_of(found),
    )


@pages.post("/staff/uploads/<id>")
def decide(id: str) -> Response:
    """Bring an upload in as a draft, publish it now or at a time, have it looked through again, or throw it away."""
    found, choice = uploads.upload_of(id) or abort(404), request.form.get("choice", "")
    if choice not in UPLOAD_CHOICES:
        abort(400)
    tell(lambda: decide_upload(found, choice, request.form, clock.now(), person().id))
    return redirect(url_for("authoring.upload", id=id), 303)


@pages.get("/staff/uploads/<id>/changes/<lesson>")
def change(id: str, lesson: str) -> str:
    """What an upload changes in one lesson, or in what the course says of itself, side by side."""
    found = uploads.upload_of(id) or abort(404)
    outline = looks.outline_of(found) or abort(404)
    kept = looks.text_of(found, outline, lesson) or abort(404)
    if kept["pairs"] is None:
        abort(404)
    titles = {row["public_id"]: row["title"] for row in outline["lessons"]} | {looks.COURSE: str(_("The course itself"))}
    return render_template("authoring/change.html", upload=found, lesson=lesson, title=titles[lesson], pairs=kept["pairs"])


# Previews: of an upload by its id, of a course by its slug


def shown_here(id: str | None, slug: str | None) -> Upload | Course:
    """What is to be previewed, or 404."""
    if slug is not None:
        return course_of(slug)
    found = uploads.upload_of(id or "") or abort(404)
    return found if found.state is UploadState.READY else abort(404)


@pages.get("/staff/uploads/<id>/preview")
@pages.get("/staff/courses/<slug>/preview")
def begin_preview(id: str | None = None, slug: str | None = None) -> Response:
    """The first lesson, for somebody who has taken no check."""
    source = source_of(shown_here(id, slug)) or abort(404)
    if not source.ids:
        abort(404)
    return redirect(url_for("authoring.preview", **place_of(id, slug), outcome="unchecked", lesson=source.ids[0]))


@pages.get("/staff/uploads/<id>/preview/<outcome>/<lesson>")
@pages.get("/staff/courses/<slug>/preview/<outcome>/<lesson>")
def preview(outcome: str, lesson: str, id: str | None = None, slug: str | None = None) -> Response:
    """A lesson as learners with an outcome would see it; nothing is recorded."""
    if outcome not in OUTCOMES:
        abort(404)
    thing, place = shown_here(id, slug), place_of(id, slug)
    source = source_of(thing) or abort(404)
    reading = reading_in(source, lesson, OUTCOMES[outcome]) or abort(404)
    addresses = {name: url_for("authoring.preview", **place, outcome=name, lesson=lesson) for name in OUTCOMES}
    files = url_for("authoring.preview_file", **place, public_id="x", suffix="y").removesuffix("x.y")
    root = addresses[outcome].removesuffix(lesson)
    facts = reading.as_page()
    for name in ("html", "stop_html"):
        facts["lesson"][name] = pointed_at(facts["lesson"][name], root, files)
    back = url_for("authoring.upload", id=id) if id is not None else url_for("authoring.course", slug=slug)
    answer = make_response(
        render_template(
            "authoring/preview_locked.html" if reading.is_locked else "authoring/preview_lesson.html",
            **facts,
            lesson_url=addresses[outcome],
            lessons_root=root,
            here="staff",
            course_url=back,
            outcome=reading.outcome.value if reading.outcome is not None else None,
            choices=[{"words": OUTCOME_WORDS[name], "url": url, "is_here": name == outcome} for name, url in addresses.items()],
            kind="upload" if id is not None else "live" if isinstance(thing, Course) and thing.is_published else "draft",
        )
    )
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer


def place_of(id: str | None, slug: str | None) -> dict[str, Any]:
    """What the addresses of a preview are built with."""
    return {"slug": slug} if slug is not None else {"id": id or ""}


@pages.get("/staff/uploads/<id>/media/<public_id>.<suffix>")
@pages.get("/staff/courses/<slug>/media/<public_id>.<suffix>")
def preview_file(public_id: str, suffix: str, id: str | None = None, slug: str | None = None) -> Response:
    """A file of a lesson that is previewed; for those who may preview alone."""
    found = file_in(shown_here(id, slug), public_id) or abort(404)
    unlisted = {"X-Robots-Tag": "noindex"}
    return send_beside(found.storage_key, found.media_type, found.path, suffix, found.digest, headers=unlisted)


def words_of(changes: dict[str, Any]) -> str:
    """What an import changed, in words."""
    counts = {name: len(changes[name]) for name in ("new", "changed", "removed")}
    return str(_("%(new)s new, %(changed)s changed, %(removed)s removed lessons", **counts))
