"""Before somebody is erased: what they pay for again and again ends at Stripe first, and only Stripe can say that it has.

Whoever is gone from here and still charged could never find out why. So the edge asks what there is to end, closes its
transaction, has Stripe end it, and erases only then. Nothing is given back: that is staff's to decide, before.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import structlog
from flask_babel import gettext as _

from courseapp.billing import stripe_gateway as stripe
from courseapp.billing.entitlements import is_live
from courseapp.billing.models import Checkout, CheckoutState, Customer, Entitlement, Subscription, Tier
from courseapp.billing.selling import is_selling
from courseapp.billing.standing import ENDED
from courseapp.errors import Refusal
from courseapp.extensions import db

log = structlog.get_logger()


@dataclass(frozen=True)
class Leaving:
    """What of somebody may go on at Stripe, by its ids: customers, subscriptions as we know them, checkouts that are open."""

    customers: tuple[str, ...] = ()
    subscriptions: tuple[str, ...] = ()
    checkouts: tuple[str, ...] = ()


def names_held(user_id: int, now: Any) -> list[str]:
    """What somebody holds and would lose, by the names that people know."""
    query = sa.select(Tier.name).join(Entitlement, Entitlement.tier_id == Tier.id).where(Entitlement.user_id == user_id, is_live(now))
    return list(db.session.scalars(query.distinct().order_by(Tier.name)))


def what_ends(user_id: int) -> Leaving:
    """What there is to end before somebody is erased."""
    customers = sa.select(Customer.stripe_id).where(Customer.user_id == user_id).order_by(Customer.id)
    subscriptions = sa.select(Subscription.stripe_id).join(Customer, Customer.id == Subscription.customer_id)
    may_go_on = (Customer.user_id == user_id, Subscription.ended_at.is_(None), Subscription.status.not_in(ENDED))
    is_open = (Checkout.user_id == user_id, Checkout.state == CheckoutState.OPEN, Checkout.stripe_id.is_not(None))
    return Leaving(
        tuple(db.session.scalars(customers)),
        tuple(db.session.scalars(subscriptions.where(*may_go_on).order_by(Subscription.id))),
        tuple(found for found in db.session.scalars(sa.select(Checkout.stripe_id).where(*is_open).order_by(Checkout.id)) if found),
    )


def end_subscriptions(leaving: Leaving) -> int:
    """Have Stripe end all of it, no transaction being open; how many subscriptions ended now.

    Raises Refusal where Stripe cannot confirm it. What has ended by then stays so, and the next attempt goes on from there.
    Open checkouts are closed first, and Stripe is asked which subscriptions there are: one may be so new that we have not heard of it.
    """
    if not is_selling():
        _refuse_without_key(leaving)
        return 0
    try:
        wanted = [*leaving.subscriptions]
        wanted += [begun for checkout in leaving.checkouts if (begun := _close(checkout)) is not None]
        wanted += [each for customer in leaving.customers for each in _live_at_stripe(customer)]
        return sum(_end(each) for each in dict.fromkeys(wanted))
    except stripe.StripeAwayError as error:
        log.warning("leaving_refused", what=error.words)
        words = _(
            "Stripe could not confirm that the subscription has ended, so nothing was erased. Please try again in a few minutes, or "
            "end the subscription first."
        )
        raise Refusal(words, 503) from error
    except stripe.StripeError as error:
        log.warning("leaving_refused", what=error.words)
        raise Refusal(_unknown()) from error


def _refuse_without_key(leaving: Leaving) -> None:
    if leaving.subscriptions:
        raise Refusal(
            _(
                "There is a subscription that may still be charged, and this site has no key for Stripe any more, so it cannot end it. "
                "Nothing was erased. Whoever runs the server ends it at Stripe first, and then erases by the command line."
            )
        )


def _unknown() -> str:
    """Why Stripe's no keeps everything: it may be another account of Stripe's that charges."""
    return str(
        _(
            "Stripe refused to say whether the subscription has ended: the key of this site is wrong, or belongs to another account. "
            "Nothing was erased. Whoever runs the server ends it at Stripe first, and then erases by the command line."
        )
    )


def _close(checkout: str) -> str | None:
    """Nobody goes through with it any more; where that is too late, the subscription it began. A guest's customer we do not know yet."""
    try:
        stripe.expire_checkout(checkout)
    except stripe.StripeRefusedError as error:
        log.info("checkout_not_closed", what=error.words)
        session = stripe.checkout_session(checkout)
        return stripe.id_of(session["subscription"]) if session is not None else None
    return None


def _live_at_stripe(customer: str) -> list[str]:
    """A customer's subscriptions that may go on; of a customer who was deleted at Stripe there is none."""
    try:
        return [found["id"] for found in stripe.subscriptions(customer=customer) if found["status"] not in ENDED]
    except stripe.StripeRefusedError as error:
        if error.code == "resource_missing":
            return []
        raise


def _end(subscription: str) -> bool:
    """End one; False where it has ended before. Stripe says of such a one that there is none, so it is looked at."""
    try:
        stripe.cancel_subscription(subscription)
    except stripe.StripeRefusedError:
        found = stripe.subscription(subscription)
        if found is None or found["status"] not in ENDED:
            raise
        return False
    return True
