"""Stopping mail, choosing mail, clicks, what providers tell of mail, and the outbox page of the embedded mode."""

import ipaddress
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import structlog
from flask import Blueprint, abort, current_app, make_response, render_template, request, url_for
from sqlalchemy.orm import joinedload
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.columns import row_number
from courseapp.contacts import resting
from courseapp.contacts.address import address_hint, network_of
from courseapp.contacts.consent import holds_consent, set_consent
from courseapp.contacts.models import Contact, Purpose
from courseapp.contacts.pace import choose_pace
from courseapp.extensions import csrf, db, limiter
from courseapp.mailing import clicks
from courseapp.mailing.capping import look_again
from courseapp.mailing.forms import PURPOSE_WORDS, PreferencesForm
from courseapp.mailing.links import MailToken, contact_of_token
from courseapp.mailing.looks import in_frame
from courseapp.mailing.models import Message, ReturnSource
from courseapp.mailing.preview import preview_of
from courseapp.mailing.resting import go_on
from courseapp.mailing.selftest import is_self_test
from courseapp.mailing.standing import recent_messages
from courseapp.site import present_site
from courseapp.web import keep_to_english

pages = Blueprint("mailing", __name__)
BLUEPRINTS = (pages,)
PAGE = 30
CALLS = "1200 per minute"  # of a network of the provider's; it calls again
log = structlog.get_logger()


def contact_and_token(token: str) -> tuple[Contact, MailToken]:
    """Whom a mail token speaks for, and what it says; 404 where it is not ours, and a page in words with 200 where nobody is left.

    Mail programs that unsubscribe take anything but 200 for a failure (RFC 8058), and people a page that is not there for a lie.
    """
    found = contact_of_token(token)
    if found is None:
        abort(404)
    contact = db.session.scalar(sa.select(Contact).where(Contact.public_id == found.contact, Contact.erased_at.is_(None)))
    if contact is None:
        abort(make_response(render_template("mailing/gone.html")))
    return contact, found


def purposes_of(name: str) -> list[Purpose]:
    """The purposes a token stops: the one it was made for, or all that can be stopped."""
    known = [purpose for purpose in PURPOSE_WORDS if purpose.value == name]
    return known or list(PURPOSE_WORDS)


@pages.get("/unsubscribe/<token>")
def unsubscribe(token: str) -> str:
    """Asks; a GET changes nothing, for scanners follow every link."""
    contact, found = contact_and_token(token)
    return stop_page("mailing/unsubscribe.html", token, contact, found)


def stop_page(template: str, token: str, contact: Contact, found: MailToken) -> str:
    """A page that stops, or has stopped; it leads on to choosing whoever reads the address of today."""
    chooses = found.is_of_address(contact.address_mac)
    return render_template(
        template,
        purpose_words=PURPOSE_WORDS[purposes_of(found.purpose)[0]],
        preferences_url=url_for("mailing.preferences", token=token) if chooses else None,
    )


@pages.post("/unsubscribe/<token>")
@csrf.exempt  # type: ignore[untyped-decorator]  # RFC 8058: the mail program posts without a session; the token is the proof
@limiter.exempt
def stop(token: str) -> str:
    """Stops at once; says so with 200 as often as asked (RFC 8058). The doctor's own token stops nothing."""
    if is_self_test(token):
        return ""
    contact, found = contact_and_token(token)
    withdraw(contact, purposes_of(found.purpose), "unsubscribe")
    db.session.commit()
    return stop_page("mailing/unsubscribed.html", token, contact, found)


def withdraw(contact: Contact, purposes: Iterable[Purpose], source: str) -> None:
    """Have mail of these purposes stop."""
    for purpose in purposes:
        set_consent(contact, purpose, False, clock.now(), source, network_of(request.remote_addr))


@pages.route("/mail/<token>", methods=["GET", "POST"])
def preferences(token: str) -> str:
    """Which mails a contact wants; no sign-in needed. Whose mail went to another address than theirs of today may only stop them all."""
    contact, found = contact_and_token(token)
    if not found.is_of_address(contact.address_mac):
        return stop_all_page(contact)
    said, now = "", clock.now()
    form = preferences_form()
    if form.validate_on_submit():
        said = change_preferences(contact, form, now)
        db.session.commit()
    held = {purpose: holds_consent(contact, purpose) for purpose in PURPOSE_WORDS}
    return render_template(
        "mailing/preferences.html",
        form=preferences_form(
            formdata=None,
            course_mail=held[Purpose.COURSE],
            marketing=held[Purpose.MARKETING],
            pace=str(contact.marketing_days or ""),
        ),
        refused=form if form.errors else None,
        address_hint=address_hint(contact.address),
        said=said,
        paused_until=contact.mail_paused_until if resting.is_resting(contact, now) else None,
        pause_ends=now + resting.PAUSE,
    )


def preferences_form(**more: Any) -> PreferencesForm:
    """The form with its choices."""
    form = PreferencesForm(**more)
    form.offer(present_site().marketing_per_week)
    return form


def stop_all_page(contact: Contact) -> str:
    """The page in a mailbox that somebody left, or from a mail so old that it does not say where it went: it tells nothing of them."""
    is_stopped = "stop_all" in request.form
    if is_stopped:
        withdraw(contact, PURPOSE_WORDS, "preferences")
        db.session.commit()
    return render_template("mailing/stop_all.html", is_stopped=is_stopped)


def change_preferences(contact: Contact, form: PreferencesForm, now: datetime) -> str:
    """Do what one of the page's buttons says: pause, end the pause, stop everything, or keep what is ticked. What was done, in a word."""
    if "pause" in request.form:
        resting.begin_pause(contact, now)
        return "paused"
    if "go_on" in request.form:
        if resting.end_pause(contact, now):
            go_on(contact, now)
        return "going on"
    stops = "stop_all" in request.form
    wanted = {Purpose.COURSE: form.course_mail.data and not stops, Purpose.MARKETING: form.marketing.data and not stops}
    for purpose, wish in wanted.items():
        set_consent(contact, purpose, wish, now, "preferences", network_of(request.remote_addr))
    if "pace" in request.form and choose_pace(contact, int(form.pace.data) if form.pace.data else None):
        look_again(contact, now)
    return "stopped" if stops else "saved"


# Clicks


@pages.post("/clicks")
# A page that is kept for all who read it has no token to give. Nothing of anybody's is changed, one is added to a number, and whoever
# forges that could as well follow the link. From pages of other sites it is refused like every other form.
@csrf.exempt  # type: ignore[untyped-decorator]  # as above
@limiter.limit("120 per hour")
def count_click() -> Response:
    """Count that a link of a mail was followed, where that is counted; the answer does not say. Who it was is not asked or noted."""
    is_counting = present_site().counts_clicks and not asks_not_to_be_followed()
    if is_counting and clicks.count_click(request.form.get("letter", ""), request.form.get("link", ""), clock.now()):
        db.session.commit()
    return Response(status=204)


def asks_not_to_be_followed() -> bool:
    """Whether the browser says so (Global Privacy Control; Do Not Track). Our script then sends nothing; others might."""
    return "1" in {request.headers.get("Sec-GPC"), request.headers.get("DNT")}


# What providers tell of mail


@pages.post("/webhooks/ses")
@csrf.exempt  # type: ignore[untyped-decorator]  # Amazon posts without a session; its signature is the proof
@limiter.limit(CALLS)
def take_ses() -> Response:
    """A notification of Amazon SES by SNS, or the question whether we want to be told."""
    from courseapp.mailing import ses  # large, and most installations send by no provider
    from courseapp.mailing.bounces import key_of, take

    if not current_app.config["SETTINGS"].ses_topic:
        abort(404)
    try:
        said = ses.signed(request.get_data(), clock.now())
        if said["Type"] == "SubscriptionConfirmation":
            ses.confirm(said)
    except ses.Unsigned as error:
        log.warning("webhook_refused", source="ses", why=str(error))
        abort(400)
    except ses.AmazonAway as error:
        log.warning("amazon_away", why=str(error))
        abort(503)
    if said["Type"] == "Notification":
        take(ses.report_of(said), ReturnSource.SES, key_of(ReturnSource.SES, said["MessageId"]), clock.now())
        db.session.commit()
    return _heard()


@pages.post("/webhooks/postmark")
@csrf.exempt  # type: ignore[untyped-decorator]  # Postmark posts without a session; the password in the address is the proof
@limiter.limit(CALLS)
def take_postmark() -> Response:
    """An event of Postmark's."""
    from courseapp.mailing import postmark  # as above
    from courseapp.mailing.bounces import take

    secret = current_app.config["SETTINGS"].postmark_secret
    if not secret:
        abort(404)
    if not postmark.is_postmark(request.authorization.password if request.authorization else None, secret):
        log.warning("webhook_refused", source="postmark", why="the password is wrong")
        abort(403)
    found = postmark.report_of(request.get_data())
    if found is None:
        abort(400)
    key, report = found
    take(report, ReturnSource.POSTMARK, key, clock.now())
    db.session.commit()
    return _heard()


@pages.post("/webhooks/mailgun")
@csrf.exempt  # type: ignore[untyped-decorator]  # Mailgun posts without a session; its signature is the proof
@limiter.limit(CALLS)
def take_mailgun() -> Response:
    """An event of Mailgun's."""
    from courseapp.mailing import mailgun  # as above
    from courseapp.mailing.bounces import take

    signing_key = current_app.config["SETTINGS"].mailgun_signing_key
    if not signing_key:
        abort(404)
    found = mailgun.call_of(request.get_data())
    if found is None:
        abort(400)
    signature, event = found
    if why := mailgun.fault_of(signature, signing_key, clock.now()):
        log.warning("webhook_refused", source="mailgun", why=why)
        abort(403)  # so it calls again for 8 hours, and nothing is lost while the key is put right; after 406 it never would
    take(mailgun.report_of(event), ReturnSource.MAILGUN, mailgun.signature_key(signature), clock.now())
    db.session.commit()
    return _heard()


def _heard() -> Response:
    answer = make_response("")
    answer.mimetype = "text/plain"
    return answer


# The outbox page: embedded mode, from this machine alone


def need_own_machine() -> None:
    """There is no outbox page but in the embedded mode on loopback."""
    settings = current_app.config["SETTINGS"]
    is_near = request.remote_addr is not None and ipaddress.ip_address(request.remote_addr).is_loopback
    if not (settings.is_embedded and settings.is_loopback and is_near):
        abort(404)
    keep_to_english()


@pages.get("/outbox")
def outbox() -> str:
    """The newest mails, as they left."""
    need_own_machine()
    before = request.args.get("before", type=row_number)
    rows = recent_messages(before, PAGE + 1)
    shown = [preview_of(row, clock.now()) for row in rows[:PAGE]]
    older = url_for("mailing.outbox", before=rows[PAGE - 1].id) if len(rows) > PAGE else None
    return render_template("mailing/outbox.html", messages=shown, older_url=older)


def message_of(id: str) -> Message:
    """The message of an id; 404 where there is none."""
    options = (joinedload(Message.contact), joinedload(Message.stream), joinedload(Message.letter))
    return db.session.scalar(sa.select(Message).options(*options).where(Message.public_id == id)) or abort(404)


@pages.get("/outbox/<id>")
def outbox_message(id: str) -> str:
    """One mail: headers and text, and how it looks."""
    need_own_machine()
    found = preview_of(message_of(id), clock.now())
    return render_template("mailing/outbox_message.html", message=found, html_url=url_for("mailing.outbox_html", id=id))


@pages.get("/outbox/<id>/html")
def outbox_html(id: str) -> Response:
    """A mail's HTML, shown in a sandboxed frame under a policy of its own."""
    need_own_machine()
    return in_frame(preview_of(message_of(id), clock.now()).html)
