"""One letter of a sequence's draft, for marketers and owners: written, looked at as its readers would see it, tried out."""

from dataclasses import replace
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.campaigns import sequence_drafts as drafts
from courseapp.campaigns.composing.forms import StepForm
from courseapp.campaigns.composing.views import keep, named, writable
from courseapp.campaigns.forms import TranslationForm, TrialForm
from courseapp.campaigns.models import Sequence
from courseapp.campaigns.sequence_sentences import column_of
from courseapp.campaigns.sequence_shapes import SequenceDraft, StepDraft
from courseapp.campaigns.sequence_steps import letter_of_step, with_language, with_step, with_words, without_language_in
from courseapp.campaigns.translations import languages_beside, translation_in
from courseapp.campaigns.trials import send_trial, staff_who_read_mail
from courseapp.errors import Refusal
from courseapp.extensions import db, limiter
from courseapp.mailing.looks import Look, html_in, in_frame, reader_named, seen_by
from courseapp.mailing.text import name_of_language

pages = Blueprint("sequence_letters", __name__)
pages.before_request(need_role(Role.MARKETER, Role.OWNER))
BETWEEN = 3  # days from the last letter to a new one, until somebody says otherwise


@pages.get("/staff/mail/sequences/<id>/draft/letters/new")
def new_letter(id: str) -> str:
    """An empty letter, a few days behind the last one."""
    found = writable(id)
    steps = drafts.draft_of(found).steps
    form = StepForm(formdata=None, version=str(found.draft_version))
    form.show(StepDraft(steps[-1].delay_days + BETWEEN if steps else 0, None, "", "", ""))
    return letter_page(found, 0, form)


@pages.post("/staff/mail/sequences/<id>/draft/letters/new")
@limiter.limit("60 per minute")
def add_letter(id: str) -> Response | tuple[str, int]:
    """Put it where its day belongs."""
    return write(id, 0)


@pages.get("/staff/mail/sequences/<id>/draft/letters/<int:number>")
def letter(id: str, number: int) -> str:
    """One letter, to be written on."""
    found, step = step_of(id, number)
    form = StepForm(formdata=None, version=str(found.draft_version))
    form.show(step)
    return letter_page(found, number, form)


@pages.post("/staff/mail/sequences/<id>/draft/letters/<int:number>")
@limiter.limit("60 per minute")
def change_letter(id: str, number: int) -> Response | tuple[str, int]:
    """Keep what was written."""
    return write(id, number)


def write(id: str, number: int) -> Response | tuple[str, int]:
    """Keep a letter of the draft, a new one where `number` is 0."""
    found, form = named(id), StepForm()
    if not form.validate():
        return letter_page(found, number, form), 422
    present = drafts.draft_of(found)
    if number > len(present.steps):
        form.version.data = str(found.draft_version)
        form.subject.errors = [_("Somebody else has taken this letter out meanwhile. If you keep it, it is added as a new one.")]
        return letter_page(found, 0, form), 409
    try:
        changed, place = written(present, number, form.step())
        keep(found, changed)
    except Refusal as refusal:
        db.session.rollback()
        form.subject.errors = [refusal.words]
        return letter_page(named(id), number, form), 409
    db.session.commit()
    flash(_("The letter is kept in the draft."), "success")
    if request.form.get("then") == "look":
        return redirect(url_for("sequence_letters.look", id=id, number=place), 303)
    return redirect(url_for("sequence_drafts.draft", id=id, _anchor=f"letter-{place}"), 303)


def written(present: SequenceDraft, number: int, step: StepDraft) -> tuple[SequenceDraft, int]:
    """A draft with what a letter says now, a new one where `number` is 0, and its number; other languages stay as they are."""
    if not number:
        return with_step(present, step)
    return with_words(present, number, replace(step, translations=present.steps[number - 1].translations)), number


@pages.get("/staff/mail/sequences/<id>/draft/letters/<int:number>/look")
def look(id: str, number: int) -> str:
    """The letter as its readers would see it, and what is wrong with it; from here it is tried out."""
    return look_page(id, number, TrialForm(to=current_user.public_id))


def look_page(id: str, number: int, form: TrialForm) -> str:
    """The page, with what was wrong in the form for trying it out."""
    from courseapp.mailing.problems import hindering, problems_of_letter  # what reads letters is large, and few processes do

    found, step = step_of(id, number)
    form.to.choices = staff_who_read_mail()
    present = drafts.draft_of(found)
    text = drafts.text_of(present, step)
    problems = problems_of_letter(text)
    seen = seen_by(
        text,
        reader_named(request.args.get("reader", "")),
        request.args.get("language", ""),
        problems,
        lambda other, tag: url_for("sequence_letters.look", id=id, number=number, reader=other, language=tag, _anchor="looks"),
        lambda other, tag, shown: url_for("sequence_letters.letter_html", id=id, number=number, reader=other, language=tag, look=shown),
    )
    said = column_of(replace(present, steps=(step,))).letters[0]
    return render_template(
        "campaigns/sequence_look.html",
        sequence=found,
        title=present.title,
        number=number,
        said=said,
        seen=seen,
        form=form,
        is_ready=not hindering(problems),
    )


@pages.get("/staff/mail/sequences/<id>/draft/letters/<int:number>/html")
def letter_html(id: str, number: int) -> Response:
    """The letter itself, for a frame."""
    found, step = step_of(id, number)
    shown = request.args.get("look", Look.LIGHT.value)
    if shown not in list(Look):
        abort(404)
    text = drafts.text_of(drafts.draft_of(found), step).in_language(request.args.get("language", ""))
    return in_frame(html_in(text, reader_named(request.args.get("reader", "")), Look(shown)))


@pages.post("/staff/mail/sequences/<id>/draft/letters/<int:number>/trial")
@limiter.limit("60 per hour")
def try_out(id: str, number: int) -> Response | tuple[str, int]:
    """Send the letter to one person of staff (`to`)."""
    found, step = step_of(id, number)
    form = TrialForm()
    try:
        letter = letter_of_step(drafts.draft_of(found), step, clock.now())
        reader, language = current_user._get_current_object(), request.args.get("language", "")
        address = send_trial(letter, form.to.data or "", reader, clock.now(), language)
    except Refusal as refusal:
        db.session.rollback()
        form.to.errors = [refusal.words]
        return look_page(id, number, form), 422
    db.session.commit()
    flash(_("The letter is on its way to %(address)s.", address=address), "success")
    return redirect(url_for("sequence_letters.look", id=id, number=number, language=language or None), 303)


@pages.get("/staff/mail/sequences/<id>/draft/letters/<int:number>/remove")
def ask_to_remove(id: str, number: int) -> str:
    """What taking a letter out means, before it is done."""
    found, step = step_of(id, number)
    said = column_of(replace(drafts.draft_of(found), steps=(step,))).letters[0]
    return render_template("campaigns/sequence_sure.html", sequence=found, said=said, number=number, do=f"remove:{number}")


@pages.get("/staff/mail/sequences/<id>/draft/letters/<int:number>/languages/<tag>")
def translation(id: str, number: int, tag: str) -> str:
    """What a letter says in another language, to be written on."""
    found, step = step_in(id, number, tag)
    form = TranslationForm(formdata=None, version=str(found.draft_version))
    if (present := translation_in(step.translations, tag)) is not None:
        form.show(present)
    return translation_page(found, number, tag, form)


@pages.post("/staff/mail/sequences/<id>/draft/letters/<int:number>/languages/<tag>")
@limiter.limit("60 per minute")
def translate(id: str, number: int, tag: str) -> Response | tuple[str, int]:
    """Keep what was written."""
    found, _step = step_in(id, number, tag)
    form = TranslationForm()
    if not form.validate():
        return translation_page(found, number, tag, form), 422
    try:
        keep(found, with_language(drafts.draft_of(found), number, form.translation(tag)))
    except Refusal as refusal:
        db.session.rollback()
        form.subject.errors = [refusal.words]
        return translation_page(named(id), number, tag, form), 409
    db.session.commit()
    flash(_("What it says in %(language)s is kept in the draft.", language=name_of_language(tag)), "success")
    if request.form.get("then") == "look":
        return redirect(url_for("sequence_letters.look", id=id, number=number, language=tag), 303)
    return redirect(url_for("sequence_letters.letter", id=id, number=number, _anchor="languages"), 303)


@pages.get("/staff/mail/sequences/<id>/draft/letters/<int:number>/languages/<tag>/remove")
def ask_to_take_out(id: str, number: int, tag: str) -> Response | str:
    """What taking a language out means, before it is done."""
    found, step = step_in(id, number, tag)
    present = translation_in(step.translations, tag)
    if present is None:
        return redirect(url_for("sequence_letters.letter", id=id, number=number), 303)
    shown = {"version": found.draft_version, "translation": present}
    return render_template("campaigns/translation_remove.html", **frame_of(found, number, tag), **shown)


@pages.post("/staff/mail/sequences/<id>/draft/letters/<int:number>/languages/<tag>/remove")
@limiter.limit("60 per minute")
def take_out(id: str, number: int, tag: str) -> Response:
    """Take it out, as it was when somebody was asked."""
    found, _step = step_in(id, number, tag)
    try:
        keep(found, without_language_in(drafts.draft_of(found), number, tag))
    except Refusal:
        db.session.rollback()
        flash(_("Somebody else has changed this sequence meanwhile. Nothing was taken out; look at it again."), "error")
        return redirect(url_for("sequence_letters.letter", id=id, number=number), 303)
    db.session.commit()
    flash(_("It says nothing in %(language)s any more.", language=name_of_language(tag)), "success")
    return redirect(url_for("sequence_letters.letter", id=id, number=number, _anchor="languages"), 303)


def translation_page(found: Sequence, number: int, tag: str, form: TranslationForm) -> str:
    """The page on which a letter is written in another language."""
    step = drafts.draft_of(found).steps[number - 1]
    shown = {"said": step, "form": form, "is_written": translation_in(step.translations, tag) is not None}
    return render_template("campaigns/translation.html", **frame_of(found, number, tag), **shown)


def frame_of(found: Sequence, number: int, tag: str) -> dict[str, Any]:
    """What both pages say of where they stand."""
    present = drafts.draft_of(found)
    place: dict[str, Any] = {"id": found.public_id, "number": number}
    back = url_for("sequence_letters.letter", **place)
    above = [(_("Sequences"), url_for("sequences.listed")), (present.title, url_for("sequence_drafts.draft", id=found.public_id))]
    return {
        "section": "sequences",
        "title": present.title,
        "trail": [*above, (_("Step %(number)s", number=number), back)],
        "tag": tag,
        "language": name_of_language(tag),
        "original_tag": present.language,
        "original": name_of_language(present.language),
        "urls": {
            "keep": url_for("sequence_letters.translate", **place, tag=tag),
            "take_out": url_for("sequence_letters.ask_to_take_out", **place, tag=tag),
            "back": back,
        },
    }


def step_in(id: str, number: int, tag: str) -> tuple[Sequence, StepDraft]:
    """A letter of a draft by its number, or 404, also where it is not to be said in such a language."""
    found, step = step_of(id, number)
    return (found, step) if tag in languages_beside(drafts.draft_of(found).language, step.translations) else abort(404)


def letter_page(found: Sequence, number: int, form: StepForm) -> str:
    """The page on which one letter is written; `number` is 0 for a new one."""
    present = drafts.draft_of(found)
    shown = {"languages": translations_listed(found, present, number), "original": name_of_language(present.language)} if number else {}
    return render_template("campaigns/sequence_letter.html", sequence=found, number=number, form=form, title=present.title, **shown)


def translations_listed(found: Sequence, present: SequenceDraft, number: int) -> list[dict[str, object]]:
    """The other languages of a letter, and how it stands in each."""
    standing = languages_beside(present.language, present.steps[number - 1].translations)
    urls = {tag: url_for("sequence_letters.translation", id=found.public_id, number=number, tag=tag) for tag in standing}
    return [{"name": name_of_language(tag), "is_written": standing[tag], "url": urls[tag]} for tag in standing]


def step_of(id: str, number: int) -> tuple[Sequence, StepDraft]:
    """A letter of a draft by its number from 1, or 404."""
    found = writable(id)
    steps = drafts.draft_of(found).steps
    return (found, steps[number - 1]) if 0 < number <= len(steps) else abort(404)
