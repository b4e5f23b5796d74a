"""Setting up, the site's settings, people with roles; and the pages and files those settings make."""

from collections.abc import Mapping

import structlog
from flask import Blueprint, abort, current_app, flash, make_response, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from flask_login import current_user
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import home_of, need_role
from courseapp.accounts.browser import begin_session, per_address, per_network
from courseapp.accounts.models import Role, User
from courseapp.contacts.address import address_hint
from courseapp.delivery import send_stored
from courseapp.errors import Refusal, error_page
from courseapp.extensions import db, limiter
from courseapp.journal import events
from courseapp.organisation import forms, invitations, legal, logo, owner_link, staff
from courseapp.organisation.contrast import style_sheet
from courseapp.organisation.history import CHANGED, FIELD_WORDS, SUBJECT, recent_changes
from courseapp.site import ON, SWITCHES, Outdated, change_site, digest_of, forget_site, present_site
from courseapp.web import keep_to_english, kept_page

log = structlog.get_logger()
doors = Blueprint("entrance", __name__)
pages = Blueprint("organisation", __name__)
public = Blueprint("site", __name__)
BLUEPRINTS = (doors, pages, public)
pages.before_request(need_role(Role.OWNER))
doors.before_request(keep_to_english)

SECTIONS: dict[str, type[FlaskForm]] = {
    "names": forms.NamesForm,
    "help": forms.HelpForm,
    "people": forms.PeopleForm,
    "mail": forms.MailForm,
    "colours": forms.ColourForm,
}
FOR_A_YEAR = "public, max-age=31536000, immutable"  # the address carries a hash of what it gives


# The first owner, and whoever is invited


@doors.get("/setup/<token>")
@limiter.limit("60 per hour")
def set_up(token: str) -> str:
    """What the link in the log opens. There is nothing here once somebody is the owner."""
    if not owner_link.is_open(token, clock.now()):
        abort(404)
    return render_template("organisation/set_up.html", form=forms.SetUpForm())


@doors.post("/setup/<token>")
@limiter.limit("20 per hour")
@per_network
@per_address
def begin(token: str) -> Response | str:
    """Use the link up, and mail the address its owner's invitation."""
    now = clock.now()
    if not owner_link.is_open(token, now):
        abort(404)
    form = forms.SetUpForm()
    if not form.validate():
        return render_template("organisation/set_up.html", form=form)
    if not owner_link.use_owner_link(token, now):
        abort(404)
    invitations.invite(form.address.data, form.roles(), None, now, present_site().default_zone, present_site().default_language)
    db.session.commit()
    log.info("owner_link_used")
    return render_template("organisation/set_up_mailed.html", address_hint=address_hint(form.address.data))


@doors.get("/invitation/<token>")
@limiter.limit("60 per hour")
def invitation(token: str) -> Response | str:
    """What a mailed invitation opens: a page with a button, so that scanners that follow links accept nothing."""
    found = invitations.invitation_of_link(token, clock.now())
    if found is None:
        return error_page(410)
    roles = [forms.ROLE_WORDS[role] for role in found.role_list]
    return render_template("organisation/invitation.html", address_hint=address_hint(found.contact.address), roles=roles)


@doors.post("/invitation/<token>")
@limiter.limit("60 per hour")
def accept_invitation(token: str) -> Response | str:
    """Accept, and sign in; a guest of this browser is asked about afterwards."""
    now = clock.now()
    found = invitations.invitation_of_link(token, now)
    user = invitations.accept(found, now) if found is not None else None
    if user is None or found is None:
        db.session.rollback()
        return error_page(410)
    guest = current_user.public_id if current_user.is_authenticated and current_user.is_guest else None
    begin_session(user)
    db.session.commit()
    log.info("invitation_accepted", user=user.id)
    if guest is not None:
        session["join"] = guest
        return redirect(url_for(current_app.config["JOIN_ENDPOINT"]), 303)
    flash(_("You are signed in, and part of those who run this site."), "success")
    return redirect(url_for("organisation.settings") if Role.OWNER in found.role_list else home_of(user), 303)


# The settings


@pages.get("/staff/settings")
def settings() -> str:
    """Every setting of the site, in sections."""
    return settings_page()


def settings_page(section: str = "", refused: FlaskForm | None = None, standing: list[tuple[str, str]] | None = None) -> str:
    """The settings, with the form that was refused in place of a fresh one; `standing`: what others have put there meanwhile."""
    data = present_site().fields
    filled = {name: sectioned(kind(formdata=None, data=data, prefix=name)) for name, kind in SECTIONS.items()}
    filled["logo"] = forms.LogoForm(formdata=None, prefix="logo")
    if refused is not None:
        filled[section] = refused
    shown = [{"name": page, "title": legal.title_of(page), "is_shown": bool(data[page])} for page in legal.PAGES]
    changes = [
        {"at": change.at, "by": change.by, "fields": [FIELD_WORDS[name] for name in change.fields if name in FIELD_WORDS]}
        for change in recent_changes()
    ]
    seen = {name: digest_of({field: data[field] for field in names_of(filled[name])}) for name in SECTIONS}
    facts = {"forms": filled, "seen": seen, "refused": section, "clash": section if standing else "", "standing": standing}
    return render_template("organisation/settings.html", **facts, legal_pages=shown, changes=changes, missing=missing_words(data))


def missing_words(data: Mapping[str, str]) -> list[tuple[str, str]]:
    """What nobody should be invited without, where it is not set: words, and where on this site it is done."""
    wanted = (
        ("postal_address", _("A postal address: it must stand under every mail"), "#names"),
        ("support_address", _("A help address, so that questions reach you by mail"), "#names"),
        ("emergency_words", _("What to call in an emergency where your people live"), "#help"),
        ("crisis_words", _("A crisis line"), "#help"),
        *(
            (page, _("The page “%(title)s”", title=legal.title_of(page)), url_for("organisation.edit_page", name=page))
            for page in legal.PAGES
        ),
    )
    return [(str(words), anchor) for name, words, anchor in wanted if not data[name]]


def names_of(form: FlaskForm) -> list[str]:
    """The settings a section's form asks for."""
    return [field.short_name for field in form if field.type != "CSRFTokenField"]


def sectioned(form: FlaskForm) -> FlaskForm:
    """A section's form, with the languages this installation offers and the zone it has, where it asks for them."""
    if "default_zone" in form and (zone := present_site().default_zone) not in form["default_zone"].choices:
        form["default_zone"].choices = [zone, *form["default_zone"].choices]  # of the environment, by a name that we do not offer
    if "default_language" in form:
        offered = current_app.config["SETTINGS"].language_list
        form["default_language"].choices = offered
        if len(offered) == 1:
            del form["default_language"]
    return form


@pages.post("/staff/settings/<section>")
def change_settings(section: str) -> Response | str:
    """Change one section."""
    if section not in SECTIONS:
        abort(404)
    form = sectioned(SECTIONS[section](prefix=section))
    if not form.validate():
        return settings_page(section, form)
    values = {name: plain(form[name].data) for name in names_of(form)}
    try:
        keep_settings(values, request.form.get("seen", ""))
    except Outdated:
        if standing := standing_beside(values, {name: form[name].label.text for name in values}):
            return settings_page(section, form, standing)
    return redirect(url_for("organisation.settings", _anchor=section), 303)


def plain(typed: object) -> str:
    """What was typed, with the line ends we keep; of a box, whether it is ticked."""
    return ON if typed is True else str(typed or "").replace("\r\n", "\n").strip()


def said_of(name: str, value: str) -> str:
    """A setting's value as it stands beside what somebody typed; an empty text is told as such by the page."""
    if name not in SWITCHES:
        return value
    return str(_("ticked") if value == ON else _("not ticked"))


def standing_beside(values: dict[str, str], labels: dict[str, str]) -> list[tuple[str, str]]:
    """What stands now where somebody typed something else: label and value, read afresh. Where nothing does, it is said."""
    db.session.rollback()
    forget_site()
    fields = present_site().fields
    found = [(labels[name], said_of(name, fields[name])) for name, typed in values.items() if fields[name] != typed]
    if not found:
        flash(_("Nothing was different."))
    return found


def keep_settings(values: dict[str, str], seen: str = "") -> None:
    """Change, journal by whom (the fields' names alone), commit, say so. Raises Outdated where others were first."""
    now = clock.now()
    changed = change_site(values, now, seen)
    if changed:
        events.record(CHANGED, SUBJECT, now, fields=changed, by=current_user.id)
    db.session.commit()
    forget_site()
    flash(_("Saved. Every page shows it within ten seconds.") if changed else _("Nothing was different."))


@pages.post("/staff/settings/logo")
def change_logo() -> Response | str:
    """Another logo, or none."""
    if request.form.get("remove"):
        keep_settings({"logo": "", "logo_size": ""})
        return redirect(url_for("organisation.settings", _anchor="logo"), 303)
    form = forms.LogoForm(prefix="logo")
    if not form.validate():
        return settings_page("logo", form)
    try:
        values = logo.keep_logo(form.picture.data.read(logo.LARGEST + 1))
    except Refusal as refusal:
        form.picture.errors = [refusal.words]
        return settings_page("logo", form)
    keep_settings(values)
    return redirect(url_for("organisation.settings", _anchor="logo"), 303)


@pages.get("/staff/settings/pages/<name>")
def edit_page(name: str) -> str:
    """Write one of the legal pages; where there is none yet, from a draft."""
    if name not in legal.PAGES:
        abort(404)
    text = present_site().legal.get(name)
    return legal_form(name, forms.LegalForm(formdata=None, text=text or legal.draft_of(name)), is_draft=text is None)


def legal_form(name: str, form: forms.LegalForm, *, is_draft: bool = False, standing: str | None = None) -> str:
    """The page for writing one; `standing`: what somebody else has put there meanwhile."""
    present = present_site().fields[name]
    facts = {"name": name, "title": legal.title_of(name), "seen": digest_of({name: present}), "is_shown": bool(present)}
    return render_template("organisation/legal_edit.html", form=form, is_draft=is_draft, standing=standing, **facts)


@pages.post("/staff/settings/pages/<name>")
def change_page(name: str) -> Response | str:
    """Show what was written; an empty text takes the page away."""
    if name not in legal.PAGES:
        abort(404)
    form = forms.LegalForm()
    if not form.validate():
        return legal_form(name, form)
    values = {name: plain(form.text.data)}
    try:
        keep_settings(values, request.form.get("seen", ""))
    except Outdated:
        if standing := standing_beside(values, {name: name}):
            return legal_form(name, form, standing=standing[0][1])
    return redirect(url_for("organisation.settings", _anchor="pages"), 303)


# People with roles


@pages.get("/staff/team")
def people() -> str:
    """Who holds which role, and who is invited."""
    return people_page(forms.InvitationForm(formdata=None))


def people_page(form: forms.InvitationForm) -> str:
    """The page, with what was wrong in its form."""
    waiting = [
        {
            "id": row.public_id,
            "address": row.contact.address,
            "roles": [staff.ROLE_NAMES[role] for role in row.role_list],
            "expires_at": row.expires_at,
        }
        for row in invitations.open_invitations(clock.now())
    ]
    members = staff.staff_members()
    owners = [member.public_id for member in members if Role.OWNER in member.roles and not member.is_disabled]
    facts = {"members": members, "only_owner": owners[0] if len(owners) == 1 else None, "own_id": current_user.public_id}
    return render_template(
        "organisation/people.html", form=form, **facts, invitations=waiting, role_names=staff.ROLE_NAMES, role_ends=forms.ROLE_ENDS
    )


@pages.post("/staff/team")
@limiter.limit("60 per hour")
@per_address
def invite() -> Response | str:
    """Mail an invitation."""
    form, site = forms.InvitationForm(), present_site()
    if not form.validate():
        return people_page(form)
    try:
        invitations.invite(form.address.data, form.roles(), owner(), clock.now(), site.default_zone, site.default_language)
    except Refusal as refusal:
        form.owner.errors = [refusal.words]
        return people_page(form)
    db.session.commit()
    flash(_("The invitation is on its way. It can be accepted for seven days."))
    return redirect(url_for("organisation.people"), 303)


@pages.post("/staff/team/invitations/<public_id>/withdrawal")
def withdraw_invitation(public_id: str) -> Response:
    """Take an invitation back."""
    now = clock.now()
    found = invitations.invitation_of(public_id, now) or abort(404)
    if not invitations.withdraw(found, owner(), now):
        raise Refusal(_("This invitation was accepted a moment ago. Take the role away instead."))
    db.session.commit()
    flash(_("The invitation is withdrawn; its link opens nothing any more."))
    return redirect(url_for("organisation.people"), 303)


@pages.post("/staff/team/<public_id>/roles/<role>/withdrawal")
def take_role(public_id: str, role: str) -> Response:
    """Take one role from one person."""
    found = staff.member_of(public_id)
    if found is None or role not in list(Role):
        abort(404)
    staff.take_role(found, Role(role), owner(), clock.now())
    db.session.commit()
    flash(_("The role is taken away."))
    is_own_end = found == owner() and role == Role.OWNER  # these pages are nothing to them any more
    return redirect(url_for(current_app.config["HOME_ENDPOINT"] if is_own_end else "organisation.people"), 303)


def owner() -> User:
    """The person of this request, whom the guard has let pass."""
    user: User = current_user._get_current_object()
    return user


# What the settings make


@public.get("/privacy")
def privacy() -> Response:
    """The privacy notice."""
    return legal_page("privacy")


@public.get("/terms")
def terms() -> Response:
    """The terms."""
    return legal_page("terms")


@public.get("/imprint")
def imprint() -> Response:
    """The imprint."""
    return legal_page("imprint")


def legal_page(name: str) -> Response:
    """One of the legal pages, from memory; 404 until it is written."""
    source = present_site().legal.get(name) or abort(404)

    def rendered() -> str:
        facts = {"title": legal.title_of(name), "text_html": legal.html_of(source), "changed_on": legal.changed_on(name)}
        return render_template("organisation/legal.html", **facts)

    return kept_page(("legal", name), rendered)


@public.get("/site.css")
def colours() -> Response:
    """The owner's colours, as a style sheet of its own: no page carries a style inside."""
    site = present_site()
    if not site.accent_light and not site.accent_dark:
        abort(404)
    answer = make_response(style_sheet(site.accent_light, site.accent_dark))
    answer.mimetype = "text/css"
    answer.headers["Cache-Control"] = FOR_A_YEAR if request.args.get("v") == site.version else "no-cache"
    return answer


@public.get("/site-logo")
def logo_picture() -> Response:
    """The owner's logo."""
    key = present_site().logo
    if key is None:
        abort(404)
    policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"  # an SVG may style itself, and do nothing else
    current = request.args.get("v") == present_site().version
    headers = {"Content-Security-Policy": policy, "Cache-Control": FOR_A_YEAR if current else "no-cache"}
    return send_stored(key, logo.media_type_of(key), f"logo.{key.rpartition('.')[2]}", inline=True, **headers)
