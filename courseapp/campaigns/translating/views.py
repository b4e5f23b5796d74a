"""A broadcast in another language, for marketers and owners: written beside the original, and taken out again."""

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.campaigns import broadcasts
from courseapp.campaigns.broadcast_languages import take_out_language
from courseapp.campaigns.broadcast_languages import translate as say_in
from courseapp.campaigns.broadcasting.forms import BroadcastTranslationForm
from courseapp.campaigns.broadcasting.views import named
from courseapp.campaigns.experiments import experiment_of
from courseapp.campaigns.forms import version_in
from courseapp.campaigns.models import Broadcast, BroadcastState
from courseapp.campaigns.translations import languages_beside, translation_in, translations_from
from courseapp.errors import Refusal
from courseapp.extensions import db, limiter
from courseapp.mailing.text import name_of_language

pages = Blueprint("broadcast_languages", __name__)
pages.before_request(need_role(Role.MARKETER, Role.OWNER))


@pages.get("/staff/mail/broadcasts/<id>/languages/<tag>")
def translation(id: str, tag: str) -> Response | str:
    """What a draft says in another language, to be written on."""
    found = named_in(id, tag)
    if found.state is not BroadcastState.DRAFT:
        return redirect(url_for("broadcasts.broadcast", id=id), 303)
    form = form_of(found, formdata=None, version=str(found.version))
    if (first := translation_in(broadcasts.translations_of(found), tag)) is not None:
        form.show(first)
    experiment = experiment_of(found)
    second = translation_in(translations_from(experiment.translations), tag) if experiment is not None else None
    if second is not None:
        form.show_second(second)
    return editor(found, tag, form)


@pages.post("/staff/mail/broadcasts/<id>/languages/<tag>")
@limiter.limit("60 per minute")
def translate(id: str, tag: str) -> Response | tuple[str, int]:
    """Keep what was written."""
    found = named_in(id, tag)
    form = form_of(found)
    if not form.validate():
        return editor(found, tag, form), 422
    first, second = form.translation(tag), form.second_translation(tag)
    try:
        say_in(found, first, second, version_in(request.form), current_user.id, clock.now())
    except Refusal as refusal:
        db.session.rollback()
        form.subject.errors = [refusal.words]
        return editor(named(id), tag, form), 409
    db.session.commit()
    flash(_("What it says in %(language)s is kept in the draft.", language=name_of_language(tag)), "success")
    if request.form.get("then") == "look":
        return redirect(url_for("broadcasts.look", id=id, language=tag), 303)
    return redirect(url_for("broadcasts.broadcast", id=id, _anchor="languages"), 303)


@pages.get("/staff/mail/broadcasts/<id>/languages/<tag>/remove")
def ask_to_remove(id: str, tag: str) -> Response | str:
    """What taking a language out means, before it is done."""
    found = named_in(id, tag)
    first = translation_in(broadcasts.translations_of(found), tag)
    if found.state is not BroadcastState.DRAFT or first is None:
        return redirect(url_for("broadcasts.broadcast", id=id), 303)
    shown = {"version": found.version, "translation": first}
    return render_template("campaigns/translation_remove.html", **frame_of(found, tag), **shown)


@pages.post("/staff/mail/broadcasts/<id>/languages/<tag>/remove")
@limiter.limit("60 per minute")
def remove(id: str, tag: str) -> Response:
    """Take it out, as it was when somebody was asked."""
    found = named_in(id, tag)
    try:
        take_out_language(found, tag, version_in(request.form), current_user.id, clock.now())
    except Refusal as refusal:
        db.session.rollback()
        flash(refusal.words, "error")
        return redirect(url_for("broadcasts.broadcast", id=id), 303)
    db.session.commit()
    flash(_("It says nothing in %(language)s any more.", language=name_of_language(tag)), "success")
    return redirect(url_for("broadcasts.broadcast", id=id, _anchor="languages"), 303)


def editor(found: Broadcast, tag: str, form: BroadcastTranslationForm) -> str:
    """The page on which it is written."""
    is_written = languages_beside(found.language, broadcasts.translations_of(found)).get(tag, False)
    shown = {"said": found, "second": experiment_of(found), "form": form, "is_written": is_written}
    return render_template("campaigns/translation.html", **frame_of(found, tag), **shown)


def frame_of(found: Broadcast, tag: str) -> dict[str, Any]:
    """What both pages say of where they stand."""
    place: dict[str, Any] = {"id": found.public_id, "tag": tag}
    back = url_for("broadcasts.broadcast", id=found.public_id)
    return {
        "section": "broadcasts",
        "title": found.title,
        "trail": [(_("Broadcasts"), url_for("broadcasts.listed")), (found.title, back)],
        "tag": tag,
        "language": name_of_language(tag),
        "original_tag": found.language,
        "original": name_of_language(found.language),
        "urls": {
            "keep": url_for("broadcast_languages.translate", **place),
            "take_out": url_for("broadcast_languages.ask_to_remove", **place),
            "back": back,
        },
    }


def form_of(found: Broadcast, **more: object) -> BroadcastTranslationForm:
    """The form, with the fields of the second letter that are to be asked."""
    form = BroadcastTranslationForm(**more)
    form.ask(experiment_of(found))
    return form


def named_in(id: str, tag: str) -> Broadcast:
    """The broadcast of an address, or 404, also where it is not to be said in such a language."""
    found = named(id)
    return found if tag in languages_beside(found.language, broadcasts.translations_of(found)) else abort(404)
