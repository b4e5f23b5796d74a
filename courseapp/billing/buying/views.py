"""What is offered, beginning to buy, what came of it, and one's own plan."""

from typing import Any

import structlog
from flask import Blueprint, abort, current_app, flash, make_response, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_session
from courseapp.accounts.browser import begin_session
from courseapp.accounts.models import User
from courseapp.accounts.people import begin_guest
from courseapp.billing import checkouts, claiming, holdings, offers, stripe_gateway
from courseapp.billing.amounts import amount_words
from courseapp.billing.buying.loops import lead_on
from courseapp.billing.checkouts import Obstacle
from courseapp.billing.customers import OvertakenError
from courseapp.billing.entitlements import holds_tier
from courseapp.billing.loops import refresh_checkout
from courseapp.billing.models import Checkout, CheckoutState
from courseapp.billing.selling import need_selling
from courseapp.billing.stripe_gateway import StripeAwayError, StripeError, StripeRefusedError
from courseapp.billing.stripe_setup import our_portal
from courseapp.catalog.landing import kept_landing
from courseapp.columns import random_public_id
from courseapp.config import Settings
from courseapp.extensions import db, limiter
from courseapp.mailing.links import full_url
from courseapp.web import page_language

RETRY_AFTER = 60  # seconds
ASK_AGAIN = 20  # seconds until the page after paying asks Stripe again
ASKED = 3  # how often it asks at once: somebody else may be writing the same
UNSETTLED = frozenset({CheckoutState.OPEN, CheckoutState.WAITING})

log = structlog.get_logger()
pages = Blueprint("billing", __name__)
pages.before_request(need_selling)


def person() -> User:
    """The person of this request."""
    user: User = current_user._get_current_object()
    return user


def settings() -> Settings:
    """This installation's settings."""
    found: Settings = current_app.config["SETTINGS"]
    return found


# What is offered


@pages.get("/plans")
def plans() -> str:
    """What is free and stays free; then each tier that is sold."""
    now, wanted, currencies = clock.now(), request.args.get("currency", ""), settings().currency_list
    prices = offers.prices_offered()
    user = person() if current_user.is_authenticated else None
    choices = sorted({price.currency for price in prices}, key=lambda code: (code not in currencies, code))
    return render_template(
        "billing/plans.html",
        free=free_course(),
        tiers=[tier_row(offer, user) for offer in offers.tiers_on_offer(prices, wanted, currencies)],
        held=holdings.tiers_held(user.id, now) if user is not None else set(),
        owned=holdings.tiers_owned(user.id, now) if user is not None else set(),
        subscribes=user is not None and holdings.has_subscription(user.id),
        choices=choices,
        currency=wanted if wanted in choices else currencies[0],
        taxed=settings().stripe_tax,
        takes_codes=settings().stripe_promotion_codes,
    )


def free_course() -> dict[str, Any] | None:
    """The front course as its own page names it, and how much of it is open to everybody; None where none is."""
    front = kept_landing(settings().front_course)
    if front is None or front.is_closed:
        return None
    is_open = [lesson for module in front.modules if not module.closed for lesson in module.lessons]
    return {
        "name": front.course["headline"],
        "summary": front.course["summary"],
        "lessons": len(is_open),
        "of_lessons": sum(len(module.lessons) for module in front.modules),
        "minutes": sum(lesson.minutes for lesson in is_open),
    }


def tier_row(offer: offers.TierOffer, user: User | None) -> dict[str, Any]:
    """A tier as the page shows it: each plan with its price, and what is said of trying it out."""
    is_known = user is not None and not user.is_guest
    rows = []
    for price in offer.prices:
        days = price.plan.trial_days if settings().stripe_trials and price.plan.is_recurring else 0
        trial = checkouts.trial_days_for(user, price.plan) if user is not None else 0
        words = offers.price_words(price)
        rows.append({"plan": price.plan, "price": price, "words": words, "trial": trial, "hint": 0 if is_known else days})
    return {"tier": offer.tier, "opens": offer.opens, "plans": rows}


# Beginning


@pages.post("/plans/<id>/checkout")
@limiter.limit("60 per hour")
def begin(id: str) -> Response:
    """Begin to buy a plan, as who one is, or as a guest of this browser; then on to Stripe."""
    now, prices = clock.now(), offers.prices_offered(id)
    if not prices:
        abort(404)
    price = offers.price_in(prices, request.form.get("currency", ""), settings().currency_list)
    is_new = not current_user.is_authenticated
    user = begin_guest(now) if is_new else person()
    begun = checkouts.begin_checkout(user, price, now)
    if isinstance(begun, Obstacle):
        db.session.rollback()
        return turned_away(begun)
    if is_new:
        begin_session(user)
    checkout_id, public_id, is_open = begun.id, begun.public_id, begun.state is CheckoutState.OPEN
    db.session.commit()
    if not is_open:
        return redirect(url_for("billing.done", public_id=public_id), 303)
    try:
        return redirect(lead_on(checkout_id, page_language(), now), 303)
    except StripeError as error:
        return cannot(error)


def turned_away(why: Obstacle) -> Response:
    """Somebody has it already, or has a plan that is changed elsewhere."""
    if why is Obstacle.OWNED:
        flash(_("You have this already. It is open to you here."))
        return redirect(url_for(current_app.config["HOME_ENDPOINT"]), 303)
    flash(_("You have a plan already. Change it here; a second one would only be paid twice."))
    return redirect(url_for("billing.own"), 303)


def cannot(error: StripeError) -> Response:
    """Stripe is away, or said no: in words, and to be tried again later (503)."""
    is_away = isinstance(error, StripeAwayError)
    code = error.code if isinstance(error, StripeRefusedError) else type(error).__name__
    log.log(30 if is_away else 40, "stripe_asked_in_vain", words=error.words, code=code)
    answer = make_response(render_template("billing/cannot.html", is_away=is_away), 503)
    answer.headers["Retry-After"] = str(RETRY_AFTER)
    return answer


# What came of it


@pages.get("/checkouts/<public_id>")
def done(public_id: str) -> Response:
    """What came of a checkout, for whoever began it. Where Stripe has not told us yet, it is asked, so it never says less than is so."""
    user_id = person().id if current_user.is_authenticated else None
    checkout = checkouts.own_checkout(user_id, public_id) if user_id is not None else None
    if user_id is None or checkout is None:
        return make_response(render_template("billing/done.html", state="elsewhere"), 404)  # banks lead people back to another browser
    if checkout.state in UNSETTLED and checkout.stripe_id is not None:
        is_told = ask_stripe(checkout.stripe_id)
        checkout = checkouts.own_checkout(user_id, public_id) or abort(404)
        if not is_told and checkout.state in UNSETTLED:
            return ask_again(checkout)
    return make_response(done_page(checkout))


def ask_stripe(stripe_id: str) -> bool:
    """Have a checkout fulfilled if it is paid; False where nobody could say. Whoever asks at the same moment may have to ask anew."""
    for _time in range(ASKED):
        db.session.rollback()  # nothing is open while Stripe is asked
        try:
            refresh_checkout(stripe_id, clock.now())
        except OvertakenError:
            continue
        except StripeError as error:
            log.warning("stripe_asked_in_vain", words=error.words)
            break
        return True
    db.session.rollback()
    return False


def ask_again(checkout: Checkout) -> Response:
    """Stripe is away: what was paid is safe, and the page comes back by itself.

    By a header, for the tag that does the same is what accessibility checkers warn of; a link does it at once.
    """
    answer = make_response(done_page(checkout, is_away=True), 503)
    answer.headers["Retry-After"] = answer.headers["Refresh"] = str(ASK_AGAIN)
    return answer


def done_page(checkout: Checkout, is_away: bool = False) -> str:
    """The page after paying."""
    state = "away" if is_away else checkout.state.value
    if state == "fulfilled" and not holds_tier(person().id, checkout.plan.tier_id, clock.now()):
        state = "closed"
    return render_template(
        "billing/done.html",
        state=state,
        checkout=checkout,
        tier=checkout.plan.tier,
        mailed=person().is_guest and checkout.contact_id is not None,
        is_guest=person().is_guest,
        home_url=url_for(current_app.config["HOME_ENDPOINT"]),
    )


# One's own plan


@pages.get("/account/plan")
def own() -> Response | str:
    """What somebody has, until when, how it goes on, and what they paid."""
    if (answer := need_session()) is not None:
        return answer
    user_id, now = person().id, clock.now()
    if claiming.claim_before_the_news(person()):
        db.session.commit()
    return render_template(
        "billing/own.html",
        holdings=holdings.holdings_of(user_id, now),
        waiting=holdings.waiting_of(user_id),
        payments=holdings.payments_of(user_id),
        has_customer=bool(holdings.customers_of(user_id)),
        price_words=offers.price_words,
        amount_words=amount_words,
    )


@pages.post("/account/plan/portal")
@limiter.limit("60 per hour")
def portal() -> Response:
    """On to Stripe's Customer Portal: card, invoices, another plan, cancelling."""
    if (answer := need_session()) is not None:
        return answer
    known = holdings.customers_of(person().id)
    if not known:
        return redirect(url_for("billing.own"), 303)
    params = {"customer": known[0].stripe_id, "return_url": full_url("billing.own"), "locale": checkouts.locale_of(page_language())}
    db.session.rollback()
    try:
        if (configuration := our_portal()) is not None:
            params["configuration"] = configuration["id"]
        session = stripe_gateway.create("billing_portal.sessions", params, f"portal:{random_public_id()}")
    except StripeError as error:
        return cannot(error)
    return redirect(session["url"], 303)
