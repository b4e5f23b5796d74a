"""Published letters, for marketers and owners: how they look, what they weigh, and a copy to oneself."""

from dataclasses import replace

from babel.lists import format_list
from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.campaigns.broadcasting.views import pages as broadcast_pages
from courseapp.campaigns.choosing.views import pages as segment_pages
from courseapp.campaigns.composing.views import pages as draft_pages
from courseapp.campaigns.contacting.views import pages as contact_pages
from courseapp.campaigns.forms import TrialForm
from courseapp.campaigns.lettering.views import pages as step_pages
from courseapp.campaigns.references import targets_of
from courseapp.campaigns.sequencing.views import pages as sequence_pages
from courseapp.campaigns.signing.views import pages as signing_pages
from courseapp.campaigns.translating.views import pages as language_pages
from courseapp.campaigns.translations import names_of, translations_from
from courseapp.campaigns.trials import send_trial, staff_who_read_mail
from courseapp.columns import row_number
from courseapp.contacts.consent import PURPOSE_NAMES
from courseapp.errors import Refusal
from courseapp.extensions import db, limiter
from courseapp.mailing.letters import kept_letter, letter_of, letters_published
from courseapp.mailing.looks import Look, html_in, in_frame, reader_named, seen_by
from courseapp.mailing.models import Letter
from courseapp.mailing.text import Text, name_of_language

letters = Blueprint("letters", __name__)
BLUEPRINTS = (
    broadcast_pages,
    language_pages,
    sequence_pages,
    draft_pages,
    step_pages,
    segment_pages,
    contact_pages,
    signing_pages,
    letters,
)
letters.before_request(need_role(Role.MARKETER, Role.OWNER))
PAGE = 30


@letters.get("/staff/mail/letters")
def published() -> str:
    """The newest letters."""
    rows = letters_published(request.args.get("before", type=row_number), PAGE + 1)
    older = url_for("letters.published", before=rows[PAGE - 1].id) if len(rows) > PAGE else None
    languages = {row.id: names_of(row.language, translations_from(row.translations)) for row in rows[:PAGE]}
    return render_template("campaigns/letters.html", letters=rows[:PAGE], purposes=PURPOSE_NAMES, languages=languages, older_url=older)


@letters.get("/staff/mail/letters/<id>")
def letter(id: str) -> str:
    """One letter as its readers see it."""
    return letter_page(letter_of(id) or abort(404), TrialForm(to=current_user.public_id))


def letter_page(found: Letter, form: TrialForm) -> str:
    """The page, with what was wrong in the form for trying it out."""
    from courseapp.mailing.problems import problems_of_letter  # what reads letters is large, and few processes do

    form.to.choices = staff_who_read_mail()
    text = kept_letter(found.id)
    seen = seen_by(
        text,
        reader_named(request.args.get("reader", "")),
        request.args.get("language", ""),
        problems_of_letter(as_of_now(text)),
        lambda reader, tag: url_for("letters.letter", id=found.public_id, reader=reader, language=tag, _anchor="looks"),
        lambda reader, tag, look: url_for("letters.letter_html", id=found.public_id, reader=reader, language=tag, look=look),
    )
    language = format_list([name_of_language(each.language) for each in (text, *text.others)], locale=get_locale())
    shown = {"body": text.in_language(request.args.get("language", "")).body, "language": language}
    return render_template("campaigns/letter.html", letter=found, seen=seen, form=form, purposes=PURPOSE_NAMES, **shown)


def as_of_now(text: Text) -> Text:
    """A letter with what its references lead to today: what was there when it was published may be gone."""
    others = tuple(replace(other, targets=targets_of(other.body)) for other in text.others)
    return replace(text, targets=targets_of(text.body), others=others)


@letters.get("/staff/mail/letters/<id>/html")
def letter_html(id: str) -> Response:
    """The letter itself, for a frame: as `reader` would get it, in a `look`."""
    found = letter_of(id) or abort(404)
    look = request.args.get("look", Look.LIGHT.value)
    if look not in list(Look):
        abort(404)
    text = kept_letter(found.id).in_language(request.args.get("language", ""))
    return in_frame(html_in(text, reader_named(request.args.get("reader", "")), Look(look)))


@letters.post("/staff/mail/letters/<id>/trial")
@limiter.limit("60 per hour")
def try_out(id: str) -> Response | tuple[str, int]:
    """Send the letter to one person of staff (`to`)."""
    found = letter_of(id) or abort(404)
    form = TrialForm()
    try:
        reader, language = current_user._get_current_object(), request.args.get("language", "")
        address = send_trial(found, form.to.data or "", reader, clock.now(), language)
    except Refusal as refusal:
        form.to.errors = [refusal.words]
        return letter_page(found, form), 422
    db.session.commit()
    flash(_("The letter is on its way to %(address)s.", address=address), "success")
    return redirect(url_for("letters.letter", id=id, language=language or None), 303)
