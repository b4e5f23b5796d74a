"""Contacts, for marketers and owners: brought in from a file, taken out into one, and the form with which people come from other sites."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, abort, current_app, flash, redirect, render_template, request, stream_with_context, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString
from flask_login import current_user
from werkzeug.wrappers import Response as Answer

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role, User
from courseapp.campaigns import contact_exports as exports
from courseapp.campaigns import contact_imports as imports
from courseapp.campaigns.bringing_in import MOST_FINDINGS
from courseapp.campaigns.contact_files import LARGEST, OLD
from courseapp.campaigns.contact_rows import FIELD_WORDS, FIELDS, TOLD, WRONG
from courseapp.campaigns.contacting.forms import ELSEWHERE, ColumnsForm, ExportForm, FileForm, SnippetForm
from courseapp.campaigns.models import ContactExport, ContactImport, ExportState, ImportState
from courseapp.campaigns.saved_segments import segment_of, segments_saved
from courseapp.campaigns.segment_values import languages
from courseapp.campaigns.signing_up import Offer, link_of_form, snippet_for
from courseapp.columns import row_number
from courseapp.contacts.models import Purpose
from courseapp.delivery import disposition_of
from courseapp.errors import Refusal
from courseapp.extensions import db, limiter
from courseapp.learning.enrolment import FEWEST

pages = Blueprint("contacts", __name__)
pages.before_request(need_role(Role.MARKETER, Role.OWNER))
PAGE = 30
MOST_SEGMENTS = 200
LATE = timedelta(minutes=2)  # after which the worker may not be running
STATE_WORDS = {
    ImportState.SENT: _l("columns to be named"),
    ImportState.CHECKING: _l("being looked through"),
    ImportState.READY: _l("waits for you"),
    ImportState.RUNNING: _l("being brought in"),
    ImportState.FINISHED: _l("brought in"),
    ImportState.CANCELLED: _l("thrown away"),
    ImportState.FAILED: _l("could not be read"),
}
EXPORT_WORDS = {
    ExportState.WRITING: _l("being written"),
    ExportState.READY: _l("ready"),
    ExportState.EXPIRED: _l("gone"),
    ExportState.FAILED: _l("not possible"),
}
COUNT_WORDS = {
    "new": _l("new"),
    "joined": _l("known, and agree to something new"),
    "known": _l("known, and agreed already"),
    "stay_out": _l("stay out: they withdrew here, or get no mail"),
    "wrong": _l("left out, for something is wrong"),
}


def staff() -> User:
    """Who does it, in this request."""
    user: User = current_user._get_current_object()
    return user


@pages.get("/staff/mail/contacts")
def listed() -> str:
    """What came in and what went out, newest first."""
    return list_page(ExportForm(formdata=None))


def list_page(form: ExportForm) -> str:
    """The page, with what was wrong in its form."""
    everybody = _("Everybody") if staff().has_role(Role.OWNER) else _("Everybody who agreed to some mail and gets it")
    form.segment.choices = [("", everybody), *((row.public_id, row.name) for row in segments_saved(None, MOST_SEGMENTS))]
    came = imports.imports_before(request.args.get("before", type=row_number), PAGE + 1)
    went = exports.exports_before(request.args.get("taken_before", type=row_number), PAGE + 1)
    return render_template(
        "campaigns/contacts.html",
        imports=came[:PAGE],
        exports=went[:PAGE],
        words=STATE_WORDS,
        export_words=EXPORT_WORDS,
        choice_of=exports.words_of_choice,
        older_url=url_for("contacts.listed", before=came[PAGE - 1].id) if len(came) > PAGE else None,
        older_taken_url=url_for("contacts.listed", taken_before=went[PAGE - 1].ContactExport.id, _anchor="taken")
        if len(went) > PAGE
        else None,
        form=form,
        takes_all=staff().has_role(Role.OWNER),
    )


# What comes in


@pages.get("/staff/mail/contacts/new")
def begin() -> str:
    """A file to be chosen, and how it should look."""
    return file_page(FileForm(formdata=None))


def file_page(form: FileForm) -> str:
    """The page, with what was wrong in its form."""
    return render_template("campaigns/contacts_new.html", form=form, largest=LARGEST, fields=FIELD_WORDS)


@pages.post("/staff/mail/contacts/new")
@limiter.limit("30 per hour")
def receive() -> Answer | tuple[str, int]:
    """Keep a file."""
    form = FileForm()
    if not form.validate():
        return file_page(form), 422
    sent = form.file.data
    language = current_app.config["SETTINGS"].language_list[0]
    try:
        found = imports.receive(sent.stream, sent.filename or "", staff().id, language, clock.now())
    except Refusal as refusal:
        form.file.errors = [refusal.words]
        return file_page(form), refusal.status
    db.session.commit()
    return redirect(url_for("contacts.coming", id=found.public_id), 303)


@pages.get("/staff/mail/contacts/<id>")
def coming(id: str) -> str:
    """A file on its way in: its columns, how far the worker is, or what was found."""
    found = import_named(id)
    if found.state is ImportState.SENT:
        return columns_page(found, ColumnsForm(formdata=None, language=found.language, source=found.source))
    after = request.args.get("after", default=0, type=row_number) or 0
    rows = imports.findings_after(found, after, PAGE + 1)
    return render_template(
        "campaigns/contacts_import.html",
        found=found,
        state=STATE_WORDS[found.state],
        sums=sums_of(found),
        taken=found.counts.get("new", 0) + found.counts.get("joined", 0),
        fewest=FEWEST,
        findings=[(row.line, FIELD_WORDS[row.field], *(WRONG | TOLD)[row.code]) for row in rows[:PAGE]],
        uncounted=max(0, found.counts.get("findings", 0) - MOST_FINDINGS),
        more_url=url_for("contacts.coming", id=id, after=rows[PAGE - 1].id, _anchor="lines") if len(rows) > PAGE else None,
        is_late=found.is_working and found.leased_until is None and clock.now() > (found.stated_at or found.created_at) + LATE,
        why=why_it_failed(found),
        may_accept=staff().has_role(Role.OWNER) or not found.is_confirmed,
    )


def sums_of(found: ContactImport) -> list[tuple[LazyString, int | str]]:
    """What a file comes to, in words and numbers. Until it is brought in, what depends on who is known here is never told of a few."""
    counts = {**found.counts, "stay_out": found.counts.get("withdrawn", 0) + found.counts.get("suppressed", 0)}
    shown = [(name, words, counts.get(name, 0)) for name, words in COUNT_WORDS.items()]
    if found.state is ImportState.READY:
        few = _("fewer than five")
        return [(words, count if count >= FEWEST or name == "wrong" else few) for name, words, count in shown if count or name != "wrong"]
    return [(words, count) for name, words, count in shown if count or name == "new"]


def why_it_failed(found: ContactImport) -> str:
    """Why a file could not be worked through."""
    kind, _space, line = (found.problem or "").partition(" ")
    if kind == "line":
        return imports.unreadable_words(int(line))
    return str(_("It is not there any more. Please send it again.") if kind == "gone" else _("The reason stands in the server’s log."))


def columns_page(found: ContactImport, form: ColumnsForm) -> str:
    """Which column is what; the first rows of the file stand beside them."""
    form.language.choices = list(languages().items())
    chosen = {place: field for field, place in found.columns.items()}
    if request.method == "POST":
        chosen = {place: request.form.get(f"column-{place}", "") for place in range(len(found.heads))}
    return render_template(
        "campaigns/contacts_columns.html",
        found=found,
        form=form,
        fields={name: FIELD_WORDS[name] for name in FIELDS},
        chosen=chosen,
        sample=imports.sample_of(found),
        is_guessed=found.encoding == OLD,
        may_vouch=staff().has_role(Role.OWNER),
    )


@pages.post("/staff/mail/contacts/<id>/columns")
@limiter.limit("60 per hour")
def name_columns(id: str) -> Answer | tuple[str, int]:
    """Say what the columns are, and have the file looked through."""
    found, form = import_named(id), ColumnsForm()
    form.language.choices = list(languages().items())
    fields = [request.form.get(f"column-{place}", "") for place in range(len(found.heads))]
    is_confirmed = form.way.data == ELSEWHERE
    if is_confirmed and not staff().has_role(Role.OWNER):
        form.way.errors = [_("Only an owner can say that. Ask them to bring the file in, or have everybody asked.")]
    elif form.validate():
        try:
            said = form.language.data, form.source.data or ""
            imports.describe(found, fields, *said, is_confirmed=is_confirmed, by_user_id=staff().id, now=clock.now())
        except Refusal as refusal:
            db.session.rollback()
            form.columns.errors = [refusal.words]
        else:
            db.session.commit()
            return redirect(url_for("contacts.coming", id=id), 303)
    return columns_page(import_named(id), form), 422


@pages.post("/staff/mail/contacts/<id>/decide")
@limiter.limit("60 per hour")
def decide(id: str) -> Answer:
    """Bring it in, go back to its columns, or throw it away (`choice`)."""
    acts: dict[str, tuple[Callable[[ContactImport], None], str]] = {
        "accept": (lambda found: imports.accept(found, staff(), clock.now()), _("It is being brought in.")),
        "columns": (imports.change_columns, _("Name the columns anew.")),
        "cancel": (lambda found: imports.cancel(found, staff().id, clock.now()), _("The file is thrown away.")),
    }
    found, choice = import_named(id), request.form.get("choice", "")
    if choice not in acts:
        abort(400)
    work, words = acts[choice]
    try:
        work(found)
        db.session.commit()
        flash(words, "success")
    except Refusal as refusal:
        db.session.rollback()
        flash(refusal.words, "error")
    return redirect(url_for("contacts.coming", id=id), 303)


def import_named(id: str) -> ContactImport:
    """The file of an address, or 404."""
    return imports.import_of(id) or abort(404)


# What goes out


@pages.post("/staff/mail/contacts/files")
@limiter.limit("20 per hour")
def take_out() -> Answer | str | tuple[str, int]:
    """Have everybody, or a segment, written into a file for whoever asks; says how many first, and asks to be sure."""
    form = ExportForm()
    segment = (segment_of(form.segment.data) or abort(404)) if form.segment.data else None
    try:
        if not request.form.get("sure"):
            count = exports.count_for(segment, staff(), clock.now())
            takes_all = staff().has_role(Role.OWNER)
            return render_template("campaigns/contacts_take_out.html", segment=segment, count=count, takes_all=takes_all)
        found = exports.ask_for_file(segment, staff(), clock.now())
    except Refusal as refusal:
        db.session.rollback()
        form.segment.errors = [refusal.words]
        return list_page(form), 422
    db.session.commit()
    return redirect(url_for("contacts.going", id=found.public_id), 303)


@pages.get("/staff/mail/contacts/files/<id>")
def going(id: str) -> str:
    """How far a file is."""
    found = export_named(id)
    is_own = found.by_user_id == staff().id
    return render_template(
        "campaigns/contacts_export.html",
        found=found,
        choice=exports.words_of_choice(found),
        is_own=is_own,
        is_there=exports.file_of(id, staff(), clock.now()) is not None,
    )


@pages.post("/staff/mail/contacts/files/<id>")
@limiter.limit("60 per hour")
def fetch(id: str) -> Response:
    """The file, for whoever asked for it. A POST, for it is written down."""
    export_named(id)
    found = exports.file_of(id, staff(), clock.now()) or abort(404)
    exports.note_download(found, clock.now())
    content, size = exports.content_of(found.public_id, list(found.names)), found.size
    db.session.commit()
    answer = Response(stream_with_context(content), mimetype="text/csv")
    answer.headers["Content-Type"] = "text/csv; charset=utf-8"
    answer.headers["Content-Disposition"] = disposition_of("contacts.csv", inline=False)
    answer.content_length = size
    return answer


def export_named(id: str) -> ContactExport:
    """The file of an address, or 404."""
    return exports.export_of(id) or abort(404)


# The form for other sites


@pages.get("/staff/mail/contacts/form")
def snippet() -> str:
    """Plain HTML for another site, made of what the address says."""
    offered = languages()
    is_asked = "source" in request.args
    form = SnippetForm(request.args if is_asked else None, language=next(iter(offered)), source="blog")
    form.language.choices = list(offered.items())
    shown: dict[str, Any] = {}
    if is_asked and form.validate() and form.purpose.data:
        offer = Offer(tuple(Purpose(name) for name in form.purpose.data), form.language.data, form.source.data or "")
        shown = {"snippet": snippet_for(offer), "link": link_of_form(offer)}
    elif is_asked and not form.purpose.data:
        form.purpose.errors = [_("Please tick at least one.")]
    return render_template("campaigns/contacts_form.html", form=form, **shown)
