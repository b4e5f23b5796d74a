"""The form for other sites: what it offers is signed into its address, so nobody can make it offer or be called anything else."""

from dataclasses import dataclass
from hashlib import sha256

from flask import current_app, render_template
from flask_babel import force_locale
from itsdangerous import BadData, URLSafeSerializer

from courseapp.campaigns.asking import LETTERS, PURPOSES
from courseapp.contacts.consent import WORDING
from courseapp.contacts.models import Purpose
from courseapp.mailing.links import full_url
from courseapp.site import present_site


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
    """Plain HTML that posts to us: no script, no style, nothing that is loaded from here."""
    with force_locale(offer.language.replace("-", "_")):
        wanted = [(purpose, WORDING[purpose][1]) for purpose in offer.purposes]
        privacy_url = full_url("site.privacy") if present_site().legal.get("privacy") else None
        return render_template("campaigns/snippet.txt", action=link_of_form(offer), wanted=wanted, privacy_url=privacy_url)


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt="sign-up-form", signer_kwargs={"digest_method": sha256})
