"""Signing in and out, and the account page."""

import structlog
from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, session, url_for
from flask_babel import gettext as _
from flask_login import current_user, logout_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts import sessions
from courseapp.accounts.access import home_of, need_session
from courseapp.accounts.addresses import ask_to_move, change_of_link, confirm_side, stop_move
from courseapp.accounts.browser import begin_session, browser_key, key_of_field, only_forms, per_address, per_network, per_new_address
from courseapp.accounts.forms import (
    AddressForm,
    CodeForm,
    NameForm,
    PasswordForm,
    PasswordSignInForm,
    SignInForm,
    ZoneForm,
)
from courseapp.accounts.models import SignInRequest, User
from courseapp.accounts.passwords import is_password, set_password
from courseapp.accounts.people import change_name, user_of_contact
from courseapp.accounts.sign_in import accept, ask_to_sign_in, request_of_code, request_of_link
from courseapp.accounts.speaking.views import pages as speaking_pages
from courseapp.contacts.address import address_hint, network_of
from courseapp.contacts.consent import WORDING
from courseapp.contacts.models import Purpose
from courseapp.contacts.people import contact_of_address
from courseapp.errors import Refusal, error_page
from courseapp.extensions import db, limiter, login_manager
from courseapp.mailing.links import mail_token
from courseapp.site import present_site
from courseapp.web import page_language

log = structlog.get_logger()
doors = Blueprint("accounts", __name__)
BLUEPRINTS = (doors, speaking_pages)


@login_manager.user_loader  # type: ignore[untyped-decorator]  # flask-login ships no types
def load_user(token: str) -> User | None:
    """The user of this request, in one query; `last_seen_at` is noted at most once an hour."""
    found = sessions.user_of_token(token, clock.now())
    if found is None:
        return None
    user, is_due = found
    request.environ["courseapp.touch"] = user.session_id if is_due else None
    return user


@doors.after_app_request
def note_seen(answer: Response) -> Response:
    """The one thing a GET may write: when the session was last used."""
    session_id = request.environ.get("courseapp.touch")
    if session_id is not None and answer.status_code < 500:
        db.session.rollback()
        sessions.touch(session_id, clock.now())
        db.session.commit()
    return answer


@doors.before_request
def guard() -> Response | None:
    """All but the ways in needs a session."""
    public = {
        "sign_in",
        "ask_for_link",
        "sign_in_with_password",
        "check_mail",
        "enter_code",
        "sign_in_link",
        "accept_link",
        "address_change_link",
        "accept_address_change",
    }
    return None if (request.endpoint or "").partition(".")[2] in public else need_session()


@doors.get("/sign-in")
def sign_in() -> Response | str:
    """Type an address, or a password where one was set."""
    return render_template("accounts/sign_in.html", form=SignInForm(), password_form=PasswordSignInForm(prefix="pw"))


@doors.post("/sign-in")
@per_network
@per_address
def ask_for_link() -> Response | str:
    """Mail a link and a code. The answer is the same for every address."""
    form = SignInForm()
    if form.validate():
        try:
            mail_link(form.address.data)
        except Refusal as refusal:
            form.address.errors = [refusal.words]
        else:
            return redirect(url_for("accounts.check_mail"), 303)
    return render_template("accounts/sign_in.html", form=form, password_form=PasswordSignInForm(prefix="pw", formdata=None))


def mail_link(address: str) -> None:
    """Ask, commit, and remember in the cookie where the mail went."""
    guest = current_user if current_user.is_authenticated and current_user.is_guest else None
    ask_to_sign_in(
        address,
        browser=browser_key(),
        now=clock.now(),
        guest=guest,
        network=network_of(request.remote_addr),
        zone=present_site().default_zone,
        language=page_language(),
    )
    db.session.commit()
    session["address_hint"] = address_hint(address.strip())


@doors.post("/account/claim")
@per_network
@per_address
def claim() -> Response | str:
    """A guest types an address to keep the course by."""
    form = SignInForm()
    if not form.validate():
        raise Refusal(form.address.errors[0], 400)
    mail_link(form.address.data)
    return redirect(url_for("accounts.check_mail"), 303)


@doors.post("/sign-in/password")
@only_forms
@limiter.limit("60 per hour", methods=["POST"])
@limiter.limit("10 per 15 minutes", key_func=lambda: key_of_field("pw-address"), methods=["POST"])
def sign_in_with_password() -> Response | str:
    """Sign in by a password; one sentence for every way it can be wrong."""
    form = PasswordSignInForm(prefix="pw")
    if form.validate():
        contact = contact_of_address(form.address.data)
        user = user_of_contact(contact) if contact is not None else None
        if is_password(user, form.password.data) and user is not None and user.disabled_at is None:
            begin_session(user)
            db.session.commit()
            log.info("sign_in_done", way="password", user=user.id)
            return redirect(home_of(user), 303)
        log.warning("sign_in_refused", way="password")
        form.password.errors = [_("Address and password do not match. You can also have a link mailed to you.")]
    return render_template("accounts/sign_in.html", form=SignInForm(formdata=None), password_form=form)


@doors.get("/sign-in/code")
def check_mail() -> Response | str:
    """Where to look for the mail, and the field for its code."""
    return render_template("accounts/check_mail.html", form=CodeForm(), address_hint=session.get("address_hint"))


@doors.post("/sign-in/code")
@limiter.limit("30 per hour", methods=["POST"])
def enter_code() -> Response | str:
    """Sign in by the typed code; five tries."""
    form = CodeForm()
    if form.validate():
        asked = request_of_code(form.code.data, browser_key(), clock.now())
        if asked is not None and (answer := let_in(asked)) is not None:
            return answer
        db.session.commit()  # the wrong try counts
        log.warning("sign_in_refused", way="code")
        form.code.errors = [_("That code does not fit. Check the newest mail; after five tries, ask for a new one.")]
    return render_template("accounts/check_mail.html", form=form, address_hint=session.get("address_hint"))


@doors.get("/sign-in/link/<token>")
def sign_in_link(token: str) -> Response | str:
    """What a mailed link opens: a page with a button, so that scanners that follow links burn nothing."""
    asked = request_of_link(token, clock.now())
    if asked is None:
        return spent()
    purpose = "claim" if asked.guest_id is not None else "sign_in"
    ticked = [WORDING[Purpose(name)][1] for name in asked.purposes.split()]
    hint = address_hint(asked.contact.address)
    return render_template("accounts/sign_in_link.html", purpose=purpose, address_hint=hint, asked_for=ticked)


@doors.post("/sign-in/link/<token>")
@limiter.limit("60 per hour", methods=["POST"])
def accept_link(token: str) -> Response | str:
    """Sign in by the mailed link, once."""
    asked = request_of_link(token, clock.now())
    answer = let_in(asked) if asked is not None else None
    return answer if answer is not None else spent()


def let_in(asked: SignInRequest) -> Response | None:
    """Accept, open the session, commit; then home, or to the question whose progress this is."""
    current = current_user._get_current_object() if current_user.is_authenticated else None
    accepted = accept(asked, current, clock.now())
    if accepted is None:
        return None
    begin_session(accepted.user)
    if accepted.guest is not None:
        session["join"] = accepted.guest.public_id
    db.session.commit()
    log.info("sign_in_done", way="mail", user=accepted.user.id)
    return redirect(home_of(accepted.user) if accepted.guest is None else url_for(current_app.config["JOIN_ENDPOINT"]), 303)


def spent() -> Response:
    """A used or too old link: what to do now."""
    answer = current_app.make_response(render_template("accounts/link_spent.html", form=SignInForm(formdata=None)))
    answer.status_code = 410
    return answer


@doors.post("/sign-out")
def sign_out() -> Response:
    """End this session on the server, and have the browser forget what it kept."""
    sessions.end_session(current_user.session_id)
    db.session.commit()
    logout_user()
    session.clear()
    answer = redirect("/", 303)
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


@doors.get("/account")
def settings() -> Response | str:
    """Name, address, password, zone, devices."""
    return account_page()


def account_page(**forms: object) -> str:
    """The account page, with the form that was refused in place of a fresh one."""
    user = current_user._get_current_object()
    contact = user.contact
    token = mail_token(contact.public_id, "all", contact.address_mac) if contact else ""
    rows = [
        {
            "id": row.public_id,
            "device": sessions.device_name(row.device),
            "created_at": row.created_at,
            "last_seen_at": row.last_seen_at,
            "current": row.id == user.session_id,
        }
        for row in sessions.sessions_of(user)
    ]
    fresh = {
        "name_form": NameForm(formdata=None, name=user.name),
        "password_form": PasswordForm(formdata=None),
        "address_form": AddressForm(formdata=None),
        "zone_form": ZoneForm(formdata=None, zone=contact.zone if contact else "UTC"),
        "claim_form": SignInForm(formdata=None),
    }
    return render_template(
        "accounts/settings.html",
        **{**fresh, **forms},
        has_password=user.password_hash is not None,
        address=contact.address if contact else None,
        sessions=rows,
        is_guest=user.is_guest,
        preferences_url=url_for("mailing.preferences", token=token) if contact else None,
    )


@doors.post("/account/name")
def change_own_name() -> Response | str:
    """What to call a person."""
    form = NameForm()
    if not form.validate():
        return account_page(name_form=form)
    change_name(current_user, form.name.data or "")
    db.session.commit()
    flash(_("Saved."))
    return redirect(url_for("accounts.settings"), 303)


@doors.post("/account/password")
@limiter.limit("20 per hour", methods=["POST"])
def change_password() -> Response | str:
    """Set or replace the password; all other sessions end."""
    form = PasswordForm()
    user = current_user._get_current_object()
    if not form.validate():
        return account_page(password_form=form)
    if user.is_guest:
        raise Refusal(_("Please confirm an address first."), 400)
    if user.password_hash is not None and not is_password(user, form.current.data or ""):
        form.current.errors = [_("That is not your present password.")]
        return account_page(password_form=form)
    try:
        set_password(user, form.new.data)
    except Refusal as refusal:
        form.new.errors = [refusal.words]
        return account_page(password_form=form)
    sessions.end_sessions(user, but=user.session_id)
    db.session.commit()
    flash(_("Your password is set. You were signed out everywhere else."))
    return redirect(url_for("accounts.settings"), 303)


@doors.post("/account/zone")
def change_zone() -> Response | str:
    """The time zone that mails and dates keep to."""
    form = ZoneForm()
    user = current_user._get_current_object()
    if not form.validate():
        return account_page(zone_form=form)
    session["zone"] = form.zone.data
    if user.contact is not None:
        user.contact.zone = form.zone.data
    db.session.commit()
    flash(_("Saved."))
    return redirect(url_for("accounts.settings"), 303)


@doors.post("/account/address")
@per_network
@per_new_address
def change_address() -> Response | str:
    """Ask both addresses."""
    form = AddressForm()
    user = current_user._get_current_object()
    if not form.validate():
        return account_page(address_form=form)
    if user.password_hash is not None and not is_password(user, form.password.data or ""):
        form.password.errors = [_("That is not your present password.")]
        return account_page(address_form=form)
    try:
        ask_to_move(user, form.new_address.data, clock.now())
    except Refusal as refusal:
        form.new_address.errors = [refusal.words]
        return account_page(address_form=form)
    db.session.commit()
    flash(_("We have written to both addresses. The change happens once both links were opened."))
    return redirect(url_for("accounts.settings"), 303)


@doors.get("/account/address/<token>")
def address_change_link(token: str) -> Response | str:
    """What a link of an address change opens."""
    return address_change_page(token)


def address_change_page(token: str, finished: bool = False) -> Response | str:
    """One side of a change of address."""
    found = change_of_link(token, clock.now())
    if found is None:
        return error_page(410)
    change, side = found
    return render_template(
        "accounts/address_change.html",
        old_hint=address_hint(change.user.contact.address if change.user.contact else None),
        new_hint=address_hint(change.new_contact.address),
        side=side,
        old_is_lost=change.is_old_lost,
        own_confirmed=(change.old_confirmed_at if side == "old" else change.new_confirmed_at) is not None,
        other_confirmed=(change.new_confirmed_at if side == "old" else change.old_confirmed_at) is not None,
        finished=finished or change.finished_at is not None,
    )


@doors.post("/account/address/<token>")
def accept_address_change(token: str) -> Response | str:
    """One address says yes; or the old one, of which somebody said that it is lost, says no."""
    found = change_of_link(token, clock.now())
    if found is None:
        return error_page(410)
    change, side = found
    if side == "old" and change.is_old_lost:
        is_stopped = stop_move(change, clock.now())
        db.session.commit()
        return render_template("accounts/address_kept.html") if is_stopped else address_change_page(token)
    finished = confirm_side(*found, clock.now())
    db.session.commit()
    return address_change_page(token, finished)


@doors.post("/account/sessions/<public_id>/end")
def end_session(public_id: str) -> Response:
    """End one of one's own sessions."""
    if not sessions.end_own_session(current_user, public_id):
        abort(404)
    db.session.commit()
    flash(_("That device is signed out."))
    return redirect(url_for("accounts.settings"), 303)


@doors.post("/account/sessions/end")
def end_other_sessions() -> Response:
    """End all of one's sessions but this one."""
    sessions.end_sessions(current_user, but=current_user.session_id)
    db.session.commit()
    flash(_("You are signed out everywhere else."))
    return redirect(url_for("accounts.settings"), 303)
