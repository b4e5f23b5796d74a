"""Tiers, plans and prices, for owners; and bringing them in line with Stripe."""

from typing import Any

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.billing import plans, tiers
from courseapp.billing.amounts import amount_words
from courseapp.billing.cataloguing.forms import IntervalForm, PricesForm, TierForm, TrialForm, form_of, prices_form
from courseapp.billing.cataloguing.loops import Outcome, bring_in_line, planned_steps
from courseapp.billing.models import Plan, Tier
from courseapp.billing.selling import need_selling
from courseapp.billing.stripe_gateway import StripeError
from courseapp.config import Settings
from courseapp.errors import Refusal, error_page
from courseapp.extensions import db

pages = Blueprint("tiers", __name__)
pages.before_request(need_selling)
pages.before_request(need_role(Role.OWNER))


def tier_here(id: str) -> Tier:
    """The tier of an address, or 404."""
    return tiers.tier_of(id) or abort(404)


def plan_here(id: str, plan: str) -> Plan:
    """A tier's plan of an address, or 404."""
    return plans.plan_of(tier_here(id), plan) or abort(404)


@pages.get("/staff/tiers")
def listed() -> str:
    """All tiers with their plans and prices, and courses that are closed without one."""
    found = tiers.tiers_with_plans()
    rows = [shown_tier(row) for row in found]
    return render_template("billing/tiers.html", rows=rows, waiting=waiting_in(rows), closed=tiers.closed_courses())


def shown_tier(row: tiers.TierOnOffer) -> dict[str, Any]:
    """A tier for a page: what it opens and costs, in words."""
    names = {course.id: course.title for course, _modules in tiers.courses_to_open()} if row.modules else {}
    opens = [course.title for course in row.courses] + [f"{names.get(part.course_id, '')}: {part.title}" for part in row.modules]
    return {"tier": row.tier, "opens": opens, "plans": [shown_plan(row.tier, plan) for plan in row.plans]}


def shown_plan(tier: Tier, row: tiers.PlanOnOffer) -> dict[str, Any]:
    """A plan for a page; `waiting`: its prices that are not at Stripe, though they are to be sold."""
    plan = row.plan
    is_sold = plan.archived_at is None and tier.archived_at is None
    prices = [
        {"words": amount_words(price.amount, currency), "is_ready": tiers.can_be_bought(plan, price)}
        for currency, price in row.prices.items()
    ]
    return {"plan": plan, "interval": plans.INTERVAL_WORDS[plan.interval], "prices": prices, "waiting": is_sold and [
        price["words"] for price in prices if not price["is_ready"]
    ]}  # fmt: skip


def waiting_in(rows: list[dict[str, Any]]) -> list[str]:
    """The prices that nobody can pay yet, with the name of their tier."""
    return [f"{row['tier'].name}, {plan['interval']}: {words}" for row in rows for plan in row["plans"] for words in plan["waiting"] or ()]


@pages.get("/staff/tiers/<id>")
def tier(id: str) -> str:
    """One tier: what it opens, its plans and prices."""
    return tier_page(tier_here(id), IntervalForm(formdata=None))


def tier_page(found: Tier, form: IntervalForm) -> str:
    """The page, with what was wrong in its form."""
    row = shown_tier(tiers.tiers_with_plans([found])[0])
    settings: Settings = current_app.config["SETTINGS"]
    return render_template("billing/tier.html", row=row, waiting=waiting_in([row]), form=form, has_trials=settings.stripe_trials)


# Making and changing a tier


@pages.get("/staff/tiers/new")
def begin() -> str:
    """A tier to be made."""
    return edit_page(None, TierForm(formdata=None), set(), set())


@pages.post("/staff/tiers/new")
def make() -> Response | str:
    """Make a tier; where that closes something to everybody, ask first."""
    return keep(None)


@pages.get("/staff/tiers/<id>/edit")
def edit(id: str) -> str:
    """What a tier says and opens, to be changed."""
    row = tiers.tiers_with_plans([tier_here(id)])[0]
    return edit_page(row.tier, form_of(row), {course.id for course in row.courses}, {part.id for part in row.modules})


@pages.post("/staff/tiers/<id>/edit")
def change(id: str) -> Response | str:
    """Change a tier; where that closes or opens something to everybody, ask first."""
    return keep(tier_here(id))


def keep(found: Tier | None) -> Response | str:
    """Make or change a tier as the form says."""
    form, now = TierForm(), clock.now()
    courses, modules = (set(map(int, filter(str.isdecimal, request.form.getlist(name)))) for name in ("courses", "modules"))
    offered = tiers.courses_to_open()
    courses &= {course.id for course, _parts in offered}
    modules &= {part.id for _course, parts in offered for part in parts}
    if not form.validate():
        return edit_page(found, form, courses, modules)
    told = tiers.consequences_of(found, courses, modules)
    if told and not request.form.get("sure"):
        return edit_page(found, form, courses, modules, told=told)
    facts = form.facts(courses, modules)
    try:
        if found is None:
            kept = tiers.make_tier(facts, now, current_user.id)
        else:
            kept = found
            tiers.change_tier(found, facts, now, current_user.id, request.form.get("seen", ""))
    except Refusal as refusal:
        db.session.rollback()
        return edit_page(found, form, courses, modules, refused=refusal.words)
    db.session.commit()
    flash(_("The tier is saved.") if found is not None else _("The tier is made. Now say how it is paid."), "success")
    return redirect(url_for("tiers.tier", id=kept.public_id), 303)


def edit_page(
    found: Tier | None,
    form: TierForm,
    courses: set[int],
    modules: set[int],
    *,
    told: tiers.Consequences | None = None,
    refused: str = "",
) -> str:
    """The form of a tier; `told`: what it does to everybody without the tier, to be agreed to."""
    seen = request.form.get("seen") or (tiers.stamp_of(found) if found is not None else "")
    facts = {"courses": courses, "modules_chosen": modules, "told": told, "refused": refused, "seen": seen}
    return render_template("billing/tier_edit.html", tier=found, form=form, offered=tiers.courses_to_open(), **facts)


@pages.get("/staff/tiers/<id>/archive")
def ask_to_archive(id: str) -> str:
    """What putting a tier away means, before it is done."""
    return render_template("billing/tier_archive.html", tier=tier_here(id))


@pages.post("/staff/tiers/<id>/archive")
def archive(id: str) -> Response:
    """Put a tier away, or bring it back (`back`)."""
    found, wanted = tier_here(id), not request.form.get("back")
    tiers.put_away(found, wanted, clock.now(), current_user.id)
    db.session.commit()
    words = (
        _("The tier is put away. Bring prices in line with Stripe, so that they are off there too.") if wanted else _("The tier is back.")
    )
    flash(words, "success")
    return redirect(url_for("tiers.tier", id=id), 303)


@pages.get("/staff/tiers/courses/<slug>/opening")
def ask_to_open(slug: str) -> str:
    """What opening a course to everybody means, before it is done."""
    return render_template("billing/course_open.html", course=tiers.course_named(slug) or abort(404))


@pages.post("/staff/tiers/courses/<slug>/opening")
def open_course(slug: str) -> Response:
    """Let everybody take a course again."""
    found = tiers.course_named(slug) or abort(404)
    try:
        tiers.open_to_everybody(found, clock.now(), current_user.id)
    except Refusal as refusal:
        db.session.rollback()
        flash(refusal.words, "error")
    else:
        db.session.commit()
        flash(_("“%(title)s” is open to everybody.", title=found.title), "success")
    return redirect(url_for("tiers.listed"), 303)


# Plans and prices


@pages.post("/staff/tiers/<id>/plans")
def add_plan(id: str) -> Response | str:
    """One more way of paying for a tier."""
    found, form = tier_here(id), IntervalForm()
    if not form.validate():
        return tier_page(found, form)
    made = plans.make_plan(found, form.chosen(), clock.now(), current_user.id)
    db.session.commit()
    flash(_("The plan is made. Now say what it costs."), "success")
    return redirect(url_for("tiers.plan", id=id, plan=made.public_id), 303)


@pages.get("/staff/tiers/<id>/plans/<plan>")
def plan(id: str, plan: str) -> str:
    """What a plan costs, and how it begins."""
    found = plan_here(id, plan)
    prices = plans.prices_of(found)
    return plan_page(
        found, TrialForm(formdata=None, trial_days=found.trial_days), prices_form(currencies_of(prices), prices, is_sent=False)
    )


def currencies_of(prices: dict[str, Any]) -> list[str]:
    """Those of the settings, then others that the plan has a price in."""
    settings: Settings = current_app.config["SETTINGS"]
    return list(dict.fromkeys([*settings.currency_list, *prices]))


def plan_page(found: Plan, trial: TrialForm, form: PricesForm, refused: str = "") -> str:
    """The page of a plan, with what was wrong in its form."""
    settings: Settings = current_app.config["SETTINGS"]
    words = {"interval": plans.INTERVAL_WORDS[found.interval], "refused": refused, "has_trials": settings.stripe_trials}
    seen = request.form.get("seen") or tiers.stamp_of(found.tier)
    return render_template("billing/plan.html", tier=found.tier, plan=found, trial=trial, form=form, seen=seen, **words)


@pages.post("/staff/tiers/<id>/plans/<plan>")
def change_plan(id: str, plan: str) -> Response | str:
    """Other prices for new buyers, or another beginning."""
    found, now = plan_here(id, plan), clock.now()
    trial, form = TrialForm(), prices_form(currencies_of(plans.prices_of(found)), {}, is_sent=True)
    if not found.is_recurring:
        trial = TrialForm(formdata=None, trial_days=0)
    is_valid = not found.is_recurring or trial.validate()
    amounts = form.amounts() if form.validate() else None
    if amounts is None or not is_valid:
        return plan_page(found, trial, form)
    try:
        tiers.touch(found.tier, request.form.get("seen", ""), now)
        changed = [plans.set_price(found, currency, amount, now, current_user.id) for currency, amount in amounts.items()]
        changed.append(plans.change_trial(found, trial.trial_days.data or 0, now, current_user.id))
    except Refusal as refusal:
        db.session.rollback()
        return plan_page(found, trial, form, refusal.words)
    db.session.commit()
    flash(_("Saved. New prices are for sale once they are at Stripe.") if any(changed) else _("Nothing was different."), "success")
    return redirect(url_for("tiers.tier", id=id), 303)


@pages.post("/staff/tiers/<id>/plans/<plan>/archive")
def archive_plan(id: str, plan: str) -> Response:
    """Put a plan away, or bring it back (`back`)."""
    found, wanted = plan_here(id, plan), not request.form.get("back")
    plans.put_plan_away(found, wanted, clock.now(), current_user.id)
    db.session.commit()
    flash(_("The plan is put away. Who pays by it goes on.") if wanted else _("The plan is back."), "success")
    return redirect(url_for("tiers.tier", id=id), 303)


# Prices at Stripe


@pages.get("/staff/tiers/sync")
def ask_to_sync() -> Response | str:
    """What would be done at Stripe and here."""
    try:
        lines = planned_steps()
    except StripeError as error:
        return stripe_away(error)
    return render_template("billing/sync.html", lines=lines, is_done=False, has_work=any(line.outcome is Outcome.PLANNED for line in lines))


@pages.post("/staff/tiers/sync")
def sync() -> Response | str:
    """Do it, and show what was done."""
    try:
        lines = bring_in_line(clock.now, current_user.id)
    except StripeError as error:
        return stripe_away(error)
    return render_template("billing/sync.html", lines=lines, is_done=True, has_work=False)


def stripe_away(error: StripeError) -> Response:
    """Stripe did not answer, or not to this key."""
    db.session.rollback()
    words = _("Stripe did not do what was asked (%(what)s). Nothing was changed. Please try again in a minute.", what=error.words)
    return error_page(503, words, retry_after=60)
