"""The form for other sites: what it offers is signed into its address, so nobody can make it offer or be called anything else."""

from dataclasses import dataclass
from hashlib import sha256

from flask import current_app
from flask_babel import force_locale
from flask_babel import gettext as _
from itsdangerous import BadData, URLSafeSerializer
from markupsafe import Markup

from courseapp.campaigns.asking import LETTERS, PURPOSES
from courseapp.contacts.consent import WORDING
from courseapp.contacts.models import Purpose
from courseapp.mailing.links import full_url
from courseapp.site import present_site

HEAD = Markup('<form action="{}" method="post" accept-charset="utf-8">')
ADDRESS = Markup('  <p><label>{}<br>\n    <input type="email" name="address" required maxlength="254" autocomplete="email"></label></p>')
BOX = Markup('  <p><label><input type="checkbox" name="purpose" value="{}"{}>\n    {}</label></p>')
TRAP = Markup('  <p hidden><label>{}\n    <input type="text" name="website" tabindex="-1" autocomplete="off"></label></p>')
BUTTON = Markup('  <p><button type="submit">{}</button></p>')
TOLD = Markup("  <p>{}{}</p>")
PRIVACY = Markup(' <a href="{}">{}</a>')


@dataclass(frozen=True)
class Offer:
    """What a form lets people ask for, in which language, and the word for where it stands."""

    purposes: tuple[Purpose, ...]
    language: str
    place: str

    @property
    def source(self) -> str:
        """What the log of consents calls it."""
        return f"form:{self.place}"


def token_of(offer: Offer) -> str:
    """The offer as part of an address."""
    return str(_signer().dumps(["".join(LETTERS[purpose] for purpose in offer.purposes), offer.language, offer.place]))


def offer_in(token: str) -> Offer | None:
    """The offer of an address; None where it is not ours."""
    try:
        letters, language, place = _signer().loads(token)
    except (BadData, ValueError):
        return None
    return Offer(tuple(PURPOSES[letter] for letter in letters), language, place)


def link_of_form(offer: Offer) -> str:
    """The address of our own page with the form."""
    return full_url("signup.form", token=token_of(offer))


def snippet_for(offer: Offer) -> str:
    """Plain HTML that posts to us: no script, no style, nothing that is loaded from here; a box for each purpose, none of them ticked."""
    with force_locale(offer.language.replace("-", "_")):
        needed = Markup(" required") if len(offer.purposes) == 1 else ""
        boxes = [BOX.format(purpose.value, needed, WORDING[purpose][1]) for purpose in offer.purposes]
        privacy = PRIVACY.format(full_url("site.privacy"), _("Privacy")) if present_site().legal.get("privacy") else ""
        told = _("You get one mail, and nothing more unless you agree in it.")
        lines = [
            HEAD.format(link_of_form(offer)),
            ADDRESS.format(_("Your e-mail address")),
            *boxes,
            TRAP.format(_("Please leave this empty")),
            BUTTON.format(_("Sign up")),
            TOLD.format(told, privacy),
            Markup("</form>"),
        ]
        return "\n".join(lines)


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt="sign-up-form", signer_kwargs={"digest_method": sha256})
