"""Signing up for mails: the form that other sites post to us, and the link by which an address agrees.

The form comes from elsewhere, so it can have no token of ours, and needs none: it does nothing in anybody's name. It causes at most one
mail with a question, and says the same whether an address is known or not. The yes is given on our own page, whose form has a token.
"""

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.browser import per_address, per_network
from courseapp.campaigns import asking
from courseapp.campaigns.contacting.forms import SignUpForm
from courseapp.campaigns.signing_up import Offer, offer_in, token_of
from courseapp.contacts.address import address_hint, network_of
from courseapp.contacts.consent import WORDING
from courseapp.contacts.models import Purpose
from courseapp.errors import Refusal
from courseapp.extensions import csrf, db
from courseapp.mailing.links import mail_token
from courseapp.site import present_site
from courseapp.web import page_language

pages = Blueprint("signup", __name__)
TRAP = "website"  # a field that people do not see, and programs fill in


@pages.get("/sign-up/<token>")
def form(token: str) -> str:
    """The form on a page of ours."""
    return form_page(token, offered(token), SignUpForm(formdata=None), ())


def form_page(token: str, offer: Offer, form: SignUpForm, ticked: tuple[Purpose, ...], problem: str | None = None) -> str:
    """The page, with what was wrong."""
    wanted = [(purpose, WORDING[purpose][1], purpose in ticked) for purpose in offer.purposes]
    return render_template("campaigns/sign_up.html", token=token, form=form, wanted=wanted, problem=problem, trap=TRAP)


@pages.post("/sign-up/<token>")
@csrf.exempt  # type: ignore[untyped-decorator]  # it comes from other sites, which can have no token; see above
@per_network
@per_address
def ask(token: str) -> Response | tuple[str, int]:
    """Mail the address a question, once."""
    offer, form = offered(token), SignUpForm()
    ticked = tuple(purpose for purpose in offer.purposes if purpose.value in request.form.getlist("purpose"))
    problem = None if ticked else _("Please tick what you want to get.")
    if form.validate() and problem is None and not request.form.get(TRAP):
        language = offer.language if offer.language in current_app.config["SETTINGS"].language_list else "en"
        network, zone = network_of(request.remote_addr), present_site().default_zone
        try:
            asking.ask(form.address.data or "", ticked, offer.source, clock.now(), network=network, language=language, zone=zone)
        except Refusal as refusal:
            form.address.errors = [refusal.words]
        else:
            db.session.commit()
    if form.errors or problem:
        return form_page(token, offer, form, ticked, problem), 422
    return redirect(url_for("signup.sent", token=token), 303)


@pages.get("/sign-up/<token>/sent")
def sent(token: str) -> str:
    """What to do now; the same for everybody."""
    offered(token)
    return render_template("campaigns/sign_up_sent.html")


def offered(token: str) -> Offer:
    """What the form of an address offers; 404 where it is not ours."""
    return offer_in(token) or abort(404)


@pages.get("/agree/<token>")
def confirm(token: str) -> str | tuple[str, int]:
    """What the link of the mail opens: asks, and changes nothing."""
    asked = asking.asked_in(token)
    contact = asking.contact_asked(asked, clock.now()) if asked is not None else None
    if asked is None or contact is None:
        return over(asked)
    wanted = [WORDING[purpose][1] for purpose in asked.purposes]
    return render_template("campaigns/agree.html", wanted=wanted, address_hint=address_hint(contact.address))


@pages.post("/agree/<token>")
def agree(token: str) -> str | tuple[str, int]:
    """The address's reader says yes."""
    asked = asking.asked_in(token)
    contact = asking.agree(asked, clock.now(), network_of(request.remote_addr)) if asked is not None else None
    if contact is None:
        return over(asked)
    db.session.commit()
    preferences = url_for("mailing.preferences", token=mail_token(contact.public_id, "all", contact.address_mac))
    return render_template("campaigns/agreed.html", preferences_url=preferences)


def over(asked: asking.Asked | None) -> tuple[str, int]:
    """A link that does nothing any more; where it came by a form, the way back to that."""
    kind, _colon, place = asked.source.partition(":") if asked is not None else ("", "", "")
    offer = Offer(asked.purposes, page_language(), place) if asked is not None and kind == "form" else None
    form_url = url_for("signup.form", token=token_of(offer)) if offer is not None else None
    return render_template("campaigns/agree_over.html", form_url=form_url), 410
