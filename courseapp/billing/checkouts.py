"""Beginning a checkout: what stands against it, its row, and what Stripe is asked for.

A wish is one row, and the row's id is Stripe's idempotency key. Stripe repeats a failure under the same key for a day, so a
row that came to no session is given up, and the next wish is another row.
"""

import enum
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask import current_app

from courseapp.accounts.models import User
from courseapp.billing.entitlements import hold
from courseapp.billing.holdings import has_subscription, tiers_owned
from courseapp.billing.models import Checkout, CheckoutState, Customer, Interval, Kind, Plan, Price, Subscription
from courseapp.billing.standing import Access
from courseapp.billing.syncing import statement_of
from courseapp.config import Settings
from courseapp.extensions import db
from courseapp.mailing.links import full_url
from courseapp.site import present_site

REUSED_FOR = timedelta(hours=1)
OPEN_FOR = timedelta(days=1)  # how long a session can be paid, unless it is ended (Stripe, "Checkout Sessions", `expires_at`)
LOCALES = frozenset(
    {
        *("bg", "cs", "da", "de", "el", "en", "en-GB", "es", "es-419", "et", "fi", "fil", "fr", "fr-CA", "hr", "hu", "id", "it", "ja"),
        *("ko", "lt", "lv", "ms", "mt", "nb", "nl", "pl", "pt", "pt-BR", "ro", "ru", "sk", "sl", "sv", "th", "tr", "vi", "zh"),
        *("zh-HK", "zh-TW"),
    }
)
"""Languages of Stripe's pages (API reference, Checkout Session, `locale`)."""


class Obstacle(enum.StrEnum):
    """Why somebody is not to buy a plan: its tier is theirs for good, or they have a subscription, which is changed in the portal."""

    OWNED = "owned"
    SUBSCRIBED = "subscribed"


def begin_checkout(user: User, price: Price, now: datetime) -> Checkout | Obstacle:
    """The checkout of a wish: a new one; or the open one of an hour ago at most, or one whose money is on its way.

    What costs nothing is fulfilled at once. Two presses of one button wait for each other here and come to the same row.
    """
    db.session.execute(sa.select(User.id).where(User.id == user.id).with_for_update(key_share=True))
    plan = price.plan
    if plan.tier_id in tiers_owned(user.id, now):
        return Obstacle.OWNED
    if plan.is_recurring and has_subscription(user.id):
        return Obstacle.SUBSCRIBED
    trial_days = trial_days_for(user, plan)
    for found in _of_person(user.id):
        is_same = (found.price_id, found.trial_days) == (price.id, trial_days)
        if found.state is CheckoutState.WAITING and found.plan.tier_id == plan.tier_id:
            return found
        if found.state is CheckoutState.OPEN and is_same and found.created_at > now - REUSED_FOR:
            return found
    made = Checkout(user_id=user.id, plan=plan, price=price, trial_days=trial_days, state=CheckoutState.OPEN, created_at=now)
    db.session.add(made)
    db.session.flush()
    if price.amount == 0 and plan.interval is Interval.ONCE:
        hold(user.id, plan.tier_id, Kind.FREE, Access(), now, checkout_id=made.id)
        made.state, made.settled_at = CheckoutState.FULFILLED, now
    return made


def trial_days_for(user: User, plan: Plan) -> int:
    """The days somebody may try a plan for: none for guests, for whom nobody could say that it is the first time."""
    settings: Settings = current_app.config["SETTINGS"]
    if not (settings.stripe_trials and plan.is_recurring and plan.trial_days):
        return 0
    is_known = user.contact is not None and user.contact.is_confirmed
    return plan.trial_days if is_known and not has_tried(user.id) else 0


def has_tried(user_id: int) -> bool:
    """Whether somebody has had a trial."""
    began = sa.select(Checkout.id).where(Checkout.user_id == user_id, Checkout.trial_days > 0, Checkout.state == CheckoutState.FULFILLED)
    had = sa.select(Subscription.id).join(Subscription.customer)
    had = had.where(Customer.user_id == user_id, Subscription.trial_ends_at.is_not(None))
    return bool(db.session.scalar(sa.select(sa.or_(began.exists(), had.exists()))))


def rivals_of(checkout: Checkout, now: datetime) -> list[Checkout]:
    """Sessions of the same person that would sell the same tier, or a second subscription: they are ended before this one opens."""
    return [
        other
        for other in _of_person(checkout.user_id)
        if other.state is CheckoutState.OPEN
        and other.id != checkout.id
        and other.stripe_id is not None
        and other.created_at > now - OPEN_FOR
        and (other.plan.tier_id == checkout.plan.tier_id or (other.plan.is_recurring and checkout.plan.is_recurring))
    ]


def own_checkout(user_id: int, public_id: str) -> Checkout | None:
    """A person's checkout of an id, read anew; None where it is not theirs."""
    query = sa.select(Checkout).where(Checkout.public_id == public_id, Checkout.user_id == user_id)
    return db.session.scalar(query.execution_options(populate_existing=True))


def give_up(checkout_id: int, now: datetime) -> None:
    """Nobody can go through with it: it has no session, or that was ended."""
    is_open = (Checkout.id == checkout_id, Checkout.state == CheckoutState.OPEN)
    db.session.execute(sa.update(Checkout).where(*is_open).values(state=CheckoutState.EXPIRED, settled_at=now))


def note_session(checkout_id: int, stripe_id: str) -> None:
    """Keep which session a checkout has. One that a second press gave up meanwhile is open again: its page is being shown."""
    values = {"stripe_id": stripe_id, "state": CheckoutState.OPEN, "settled_at": None}
    is_unsettled = Checkout.state.in_((CheckoutState.OPEN, CheckoutState.EXPIRED))
    db.session.execute(sa.update(Checkout).where(Checkout.id == checkout_id, is_unsettled).values(**values))


def session_params(checkout: Checkout, customer: str | None, language: str) -> dict[str, Any]:
    """What a Checkout Session is made of. Nothing in it says more of anybody than ids of ours."""
    settings: Settings = current_app.config["SETTINGS"]
    about = {"metadata": {"checkout": checkout.public_id}}
    params: dict[str, Any] = {
        **about,
        "mode": "subscription" if checkout.plan.is_recurring else "payment",
        "line_items": [{"price": checkout.price.stripe_id, "quantity": 1}],
        "client_reference_id": checkout.public_id,
        "success_url": full_url("billing.done", public_id=checkout.public_id),
        "cancel_url": full_url("billing.plans"),
        "locale": locale_of(language),
        "allow_promotion_codes": settings.stripe_promotion_codes,
    }
    if settings.stripe_tax:
        params |= {"automatic_tax": {"enabled": True}, "tax_id_collection": {"enabled": True}}
    if customer is not None:
        params |= {"customer": customer} | ({"customer_update": {"address": "auto", "name": "auto"}} if settings.stripe_tax else {})
    if checkout.plan.is_recurring:
        return params | {"subscription_data": about | ({"trial_period_days": checkout.trial_days} if checkout.trial_days else {})}
    statement = statement_of(settings.statement_words, present_site().name)  # Stripe takes the product's for subscriptions alone
    suffix = {"statement_descriptor_suffix": statement} if statement else {}
    params |= {"invoice_creation": {"enabled": True}, "payment_intent_data": about | suffix}
    return params if customer is not None else params | {"customer_creation": "always"}


def locale_of(language: str) -> str:
    """The language of Stripe's page; `auto`, which asks the browser, where Stripe has none like ours."""
    return next((tag for tag in (language, language.partition("-")[0]) if tag in LOCALES), "auto")


def _of_person(user_id: int | None) -> Sequence[Checkout]:
    return db.session.scalars(sa.select(Checkout).where(Checkout.user_id == user_id).order_by(Checkout.id.desc())).all()
