"""Sequences, for marketers and owners: read from top to bottom with who is where, paused, put away, people moved to the newest version."""

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.campaigns import sequence_drafts as drafts
from courseapp.campaigns.models import RunEnd, Sequence, SequenceVersion
from courseapp.campaigns.sequence_counts import Standing, standing_of
from courseapp.campaigns.sequence_lists import as_listed, sequences_before, steps_of, under_way, under_way_in, versions_of
from courseapp.campaigns.sequence_sentences import column_of, ends_of, moving, number_in, number_of, people
from courseapp.campaigns.sequence_shapes import languages_of
from courseapp.campaigns.translations import names_of
from courseapp.columns import row_number
from courseapp.contacts.consent import PURPOSE_NAMES
from courseapp.errors import Refusal
from courseapp.extensions import db, limiter

pages = Blueprint("sequences", __name__)
pages.before_request(need_role(Role.MARKETER, Role.OWNER))
PAGE = 30
STATES = {"draft": _l("draft"), "published": _l("published"), "paused": _l("paused"), "archived": _l("put away")}


@pages.get("/staff/mail/sequences")
def listed() -> str:
    """Sequences in use, or those that were put away (`show=archived`), the newest first."""
    is_archived = request.args.get("show") == "archived"
    found = sequences_before(request.args.get("before", type=row_number), PAGE + 1, current_user, archived=is_archived)
    shown = "archived" if is_archived else None
    older = url_for("sequences.listed", before=found[PAGE - 1].id, show=shown) if len(found) > PAGE else None
    counts = under_way_in(row.id for row in found[:PAGE])
    rows = [(row, state_of(row.sequence, row.has_versions), people(counts.get(row.sequence.id, ()))) for row in as_listed(found[:PAGE])]
    return render_template(
        "campaigns/sequences.html", rows=rows, words=STATES, purposes=PURPOSE_NAMES, is_archived=is_archived, older_url=older
    )


@pages.get("/staff/mail/sequences/<id>")
def sequence(id: str) -> Response | str:
    """One as a column, as its newest version or an older one (`version`, its number) says it, with who is where."""
    found = named(id)
    versions = versions_of(found)
    if not versions and found.archived_at is None:
        return redirect(url_for("sequence_drafts.draft", id=id), 303)
    number = request.args.get("version", type=row_number)
    shown = next((version for version in versions if number is None or version.number == number), None)
    if number is not None and shown is None:
        abort(404)
    newest = versions[0] if versions else None
    on_way = under_way(found)
    behind = behind_of(on_way, newest)
    said = drafts.said_by(shown) if shown is not None else drafts.draft_of(found)
    return render_template(
        "campaigns/sequence.html",
        sequence=found,
        languages=names_of(said.language, languages_of(said)),
        state=state_of(found, bool(versions)),
        words=STATES,
        purpose=PURPOSE_NAMES[found.purpose],
        column=column_of(said),
        shown=shown,
        newest=newest,
        letters=[step.letter.public_id for step in steps_of(shown.id)] if shown is not None else [],
        counts=counts_of(standing_of(shown), ends_of(shown.trigger, shown.goal)) if shown is not None else None,
        on_way=people(chain.from_iterable(on_way.values())),
        behind=people(behind) if behind else "",
        moving=moving(behind),
        history=[(version, by_words(version.by_user_id), number_in(on_way.get(version.id, ()))) for version in versions],
    )


def counts_of(standing: Standing, ends: Mapping[RunEnd, LazyString]) -> dict[str, Any]:
    """Who is where, as a page shows it: (words, number) beside each letter, and at the end."""
    return {
        "letters": [
            [
                (_("wait for it"), number_of(step.waiting)),
                (_("have got it"), number_of(step.sent)),
                (_("were left out"), number_of(step.skipped)),
            ]
            for step in standing.steps
        ],
        "ends": [(words, number_of(standing.ends[end])) for end, words in ends.items() if standing.ends.get(end)],
    }


def behind_of(on_way: Mapping[int, list[int]], newest: SequenceVersion | None) -> list[int]:
    """How many are under way on an older version than the newest, at each step apart."""
    return [count for version_id, parts in on_way.items() if newest is None or version_id != newest.id for count in parts]


def by_words(user_id: int | None) -> str:
    """Who published a version, in words."""
    if user_id is None:
        return str(_("the site, its command line, or somebody erased since"))
    return str(_("you") if user_id == current_user.id else _("somebody of the staff"))


@pages.post("/staff/mail/sequences/<id>/act")
@limiter.limit("60 per minute")
def act(id: str) -> Response:
    """Press a button (`choice`). Putting away asks to be sure first, for whoever is under way gets nothing more."""
    acts: dict[str, tuple[Callable[[Sequence, int, datetime], object], str]] = {
        "pause": (
            drafts.pause,
            _("It is paused. Each worker finishes the mail it is at; who begins it meanwhile waits."),
        ),
        "resume": (drafts.resume, _("It goes on. What came due meanwhile is late, and is treated as late letters are.")),
        "archive": (drafts.archive, _("It is put away. Nobody gets anything more of it.")),
        "bring_back": (drafts.bring_back, _("It is back, and paused. Nobody gets anything before you let it go on.")),
    }
    found, choice = named(id), request.form.get("choice", "")
    if choice not in acts:
        abort(400)
    if choice == "archive" and not request.form.get("sure"):
        return redirect(url_for("sequences.ask_to_archive", id=id), 303)
    work, words = acts[choice]
    try:
        work(found, current_user.id, clock.now())
        db.session.commit()
        flash(words, "success")
    except Refusal as refusal:
        db.session.rollback()
        flash(refusal.words, "error")
    return redirect(url_for("sequences.sequence", id=id), 303)


@pages.get("/staff/mail/sequences/<id>/archive")
def ask_to_archive(id: str) -> Response | str:
    """What putting away does, before it is done."""
    found = named(id)
    if found.archived_at is not None:
        return redirect(url_for("sequences.sequence", id=id), 303)
    on_way = list(chain.from_iterable(under_way(found).values()))
    return render_template("campaigns/sequence_archive.html", sequence=found, on_way=people(on_way) if on_way else "")


@pages.get("/staff/mail/sequences/<id>/move")
def ask_to_move(id: str) -> Response | str:
    """What moving people to the newest version does, before it is done."""
    found = named(id)
    newest = drafts.latest_version(found)
    behind = behind_of(under_way(found), newest)
    if newest is None or not behind:
        flash(_("Nobody is under way on an older version."), "info")
        return redirect(url_for("sequences.sequence", id=id), 303)
    return render_template("campaigns/sequence_move.html", sequence=found, newest=newest, behind=people(behind))


@pages.post("/staff/mail/sequences/<id>/move")
@limiter.limit("60 per hour")
def move(id: str) -> Response:
    """Move whoever is under way on an older version to the newest."""
    found = named(id)
    try:
        behind = behind_of(under_way(found), drafts.latest_version(found))
        drafts.migrate_runs(found, current_user.id, clock.now())
    except Refusal as refusal:
        db.session.rollback()
        flash(refusal.words, "error")
        return redirect(url_for("sequences.sequence", id=id), 303)
    db.session.commit()
    flash(_("Moved to the newest version: %(people)s.", people=people(behind)), "success")
    return redirect(url_for("sequences.sequence", id=id), 303)


def named(id: str) -> Sequence:
    """The sequence of an address, or 404; one on a course marked as sensitive is the owner's."""
    return drafts.sequence_named(id, current_user) or abort(404)


def state_of(found: Sequence, has_versions: bool) -> str:
    """Where a sequence stands, a key of `STATES`."""
    if found.archived_at is not None:
        return "archived"
    if not has_versions:
        return "draft"
    return "paused" if found.paused_at is not None else "published"
