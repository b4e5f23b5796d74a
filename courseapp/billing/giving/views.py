"""Tiers given by staff: those given, giving one, changing until when, taking one back. For owners, where something is sold."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.billing import gifts
from courseapp.billing.entitlements import change_end, is_open, withdraw
from courseapp.billing.giving.forms import GiftForm, UntilForm, WithdrawalForm
from courseapp.billing.models import Entitlement
from courseapp.billing.selling import need_selling
from courseapp.columns import row_number
from courseapp.contacts.windows import zone_of
from courseapp.errors import Refusal
from courseapp.extensions import db, limiter
from courseapp.site import present_site
from courseapp.web import day_words

pages = Blueprint("gifts", __name__)
pages.before_request(need_selling)
pages.before_request(need_role(Role.OWNER))
PAGE = 30
log = structlog.get_logger()
Answer = Response | str | tuple[str, int]


@pages.get("/staff/gifts")
def listed() -> str:
    """Those given, newest first, and the form for another."""
    return list_page(GiftForm(formdata=None))


def list_page(form: GiftForm) -> str:
    """The page, with what was wrong in its form."""
    rows = gifts.gifts_before(request.args.get("before", type=row_number), PAGE + 1)
    older = url_for("gifts.listed", before=rows[PAGE - 1].id) if len(rows) > PAGE else None
    form.offer(gifts.tiers_to_give())
    return render_template("billing/gifts.html", form=form, gifts=told(rows[:PAGE]), is_later="before" in request.args, older_url=older)


def told(rows: Sequence[Entitlement]) -> list[dict[str, Any]]:
    """Gifts as whoever asks may see them."""
    now, zone = clock.now(), zone_of(present_site().default_zone)
    people, givers = gifts.people_shown(rows, current_user.id, now), gifts.givers_of(rows)
    return [
        {
            "id": row.public_id,
            "tier": row.tier.name,
            "who": people[row.user_id],
            "by": givers.get(row.given_by_user_id),
            "given_on": row.begins_at.astimezone(zone).date(),
            "reason": row.reason or "",
            "is_open": is_open(row, now),
            "standing": standing_of(row, now, zone),
        }
        for row in rows
    ]


def standing_of(row: Entitlement, now: datetime, zone: ZoneInfo) -> str:
    """Until when it is open, or since when no more: days by the clocks of the site."""
    if row.closed_at is not None:
        return str(_("taken back on %(day)s", day=day_words(row.closed_at.astimezone(zone).date())))
    if row.ends_at is None:
        return str(_("open, without an end"))
    day = day_words(row.ends_at.astimezone(zone).date())
    return str(_("open until %(day)s", day=day) if row.ends_at > now else _("over since %(day)s", day=day))


@pages.post("/staff/gifts")
@limiter.limit("60 per hour")
def make() -> Answer:
    """Give a tier to whoever has an address."""
    form, now = GiftForm(), clock.now()
    tiers = gifts.tiers_to_give()
    if not form.offer(tiers).validate():
        return list_page(form), 422
    tier = next(tier for tier in tiers if tier.public_id == form.tier.data)
    refusing: Any = form.until
    try:
        ends_at = gifts.end_of(form.until.data, zone_of(present_site().default_zone), now)
        refusing = form.address
        user = gifts.person_to_give(form.address.data)
        gifts.make_gift(user, tier, now, ends_at=ends_at, reason=form.reason.data, by_user_id=current_user.id)
    except Refusal as refusal:
        db.session.rollback()
        refusing.errors = [refusal.words]
        return list_page(form), 422
    return done("give", _("It is open to them now, and a mail tells them that something was opened. It says neither what nor why."))


def done(act: str, words: str, id: str | None = None) -> Response:
    """Commit, say in the log who did what, and back to the list or to the gift."""
    staff = current_user.id
    db.session.commit()
    log.info("staff_acted", act=act, staff=staff)
    flash(words, "good")
    return redirect(url_for("gifts.gift", id=id) if id else url_for("gifts.listed"), 303)


@pages.get("/staff/gifts/<id>")
def gift(id: str) -> str:
    """One gift, and what can be done with it."""
    return gift_page(found(id))


def found(id: str) -> Entitlement:
    """The gift of an address, or 404."""
    return gifts.gift_named(id) or abort(404)


def gift_page(given: Entitlement, until_form: UntilForm | None = None, withdrawal_form: WithdrawalForm | None = None) -> str:
    """The page, with what was wrong in one of its forms."""
    last_day = given.ends_at.astimezone(zone_of(present_site().default_zone)).date() if given.ends_at is not None else None
    return render_template(
        "billing/gift.html",
        gift=told([given])[0],
        until_form=until_form or UntilForm(formdata=None, until=last_day),
        withdrawal_form=withdrawal_form or WithdrawalForm(formdata=None),
    )


def too_late(id: str) -> Response:
    """Somebody else was faster, or its time was over."""
    db.session.rollback()
    flash(_("This gift is over already, or was taken back. Nothing was changed."), "error")
    return redirect(url_for("gifts.gift", id=id), 303)


@pages.post("/staff/gifts/<id>/end")
@limiter.limit("60 per hour")
def prolong(id: str) -> Answer:
    """Have it last until another day, or without an end."""
    given, form, now = found(id), UntilForm(), clock.now()
    if not form.validate():
        return gift_page(given, until_form=form), 422
    try:
        ends_at = gifts.end_of(form.until.data, zone_of(present_site().default_zone), now)
    except Refusal as refusal:
        form.until.errors = [refusal.words]
        return gift_page(given, until_form=form), 422
    if not change_end(given, ends_at, now, current_user.id):
        return too_late(id)
    return done("prolong", _("Changed. No mail tells them; they see it on the page of their plan."), id)


@pages.post("/staff/gifts/<id>/withdrawal")
@limiter.limit("60 per hour")
def take_back(id: str) -> Answer:
    """Take it back."""
    given, form, now = found(id), WithdrawalForm(), clock.now()
    if not form.validate():
        return gift_page(given, withdrawal_form=form), 422
    if not withdraw(given, now, current_user.id, form.reason.data):
        return too_late(id)
    return done("take_back", _("It is taken back. What they have done and earned stays theirs."), id)
