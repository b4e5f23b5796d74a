"""Subscriptions and checkouts of Stripe's list against ours, a page at a time. What is found is only told, and nothing changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import joinedload

from courseapp.billing.findings import Finding
from courseapp.billing.models import Checkout, CheckoutState, Customer, Entitlement, Plan, Price, Subscription, TierGrant
from courseapp.billing.standing import ENDED, Access, access_by_subscription
from courseapp.billing.stripe_gateway import Thing, id_of, moment
from courseapp.billing.subscriptions import money_of
from courseapp.extensions import db

PAGE = 200
PAID = {"paid", "no_payment_required"}


class Subscriptions:
    """Comparing subscriptions; it remembers which of ours it has seen, by their numbers."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    @property
    def has_seen_any(self) -> bool:
        """Whether Stripe listed any that is ours."""
        return bool(self._seen)

    def compare(self, things: Sequence[Thing], now: datetime) -> list[Finding]:
        """What differs of these."""
        ids = [thing["id"] for thing in things]
        query = sa.select(Subscription).options(joinedload(Subscription.customer), joinedload(Subscription.plan))
        ours = {row.stripe_id: row for row in db.session.scalars(query.where(Subscription.stripe_id.in_(ids)))}
        self._seen.update(row.id for row in ours.values())
        held = _by(Entitlement.subscription_id, [row.id for row in ours.values()])
        plans = plans_of_prices({price_of(thing) for thing in things})
        customers = customers_named({str(id_of(thing["customer"])) for thing in things})
        found: list[Finding] = []
        for thing in things:
            row, plan = ours.get(thing["id"]), plans.get(price_of(thing))
            if row is None:
                found += _unknown(thing, plan, customers.get(str(id_of(thing["customer"]))))
            else:
                found += _known(thing, row, plan, held.get(row.id), now)
        return found

    def not_listed(self, began_at: datetime, after: int) -> tuple[list[Finding], int | None]:
        """Ours that are open and that Stripe did not list, of a page after a number; and the number to go on after."""
        query = sa.select(Subscription.id, Subscription.stripe_id, Subscription.status)
        still_open = (Subscription.status.not_in(ENDED), Subscription.told_at < began_at, Subscription.id > after)
        rows = db.session.execute(query.where(*still_open).order_by(Subscription.id).limit(PAGE)).all()
        gone = [
            Finding("subscription_gone", {"subscription": row.stripe_id}, {"ours": row.status}, takes_access=True)
            for row in rows
            if row.id not in self._seen
        ]
        return gone, rows[-1].id if len(rows) == PAGE else None


def has_open_subscriptions() -> bool:
    """Whether any subscription is open here."""
    return bool(db.session.scalar(sa.select(sa.select(Subscription.id).where(Subscription.status.not_in(ENDED)).exists())))


def checkouts_under_way() -> Sequence[str]:
    """The sessions, by their ids at Stripe, of checkouts whose money is on its way."""
    query = sa.select(Checkout.stripe_id).where(Checkout.state == CheckoutState.WAITING, Checkout.stripe_id.is_not(None))
    return [found for found in db.session.scalars(query.order_by(Checkout.id)) if found is not None]


def compare_checkouts(things: Sequence[Thing], now: datetime) -> list[Finding]:
    """Paid sessions that brought nobody anything, and fulfilled checkouts that nobody paid for."""
    complete = [thing for thing in things if thing["status"] == "complete"]
    named = [thing["client_reference_id"] for thing in complete if thing.get("client_reference_id")]
    query = sa.select(Checkout).options(joinedload(Checkout.plan)).where(Checkout.public_id.in_(named))
    ours = {row.public_id: row for row in db.session.scalars(query)}
    held = _by(Entitlement.checkout_id, [row.id for row in ours.values()])
    found: list[Finding] = []
    for thing in complete:
        ids, row = {"checkout": thing["id"]}, ours.get(thing.get("client_reference_id") or "")
        is_paid = thing["payment_status"] in PAID
        if row is None:
            found += [Finding("checkout_unknown", ids)] if is_paid and thing.get("client_reference_id") else []
        elif is_paid and row.state is not CheckoutState.FULFILLED:
            found.append(Finding("checkout_unfulfilled", ids))
        elif is_paid and row.user_id is not None and not row.plan.is_recurring and row.id not in held:
            intent = id_of(thing["payment_intent"])
            found.append(Finding("access_missing", ids | ({"payment": intent} if intent is not None else {})))
        elif not is_paid and row.state is CheckoutState.FULFILLED:
            found.append(Finding("checkout_unpaid", ids, takes_access=True))
    return found


def price_of(thing: Thing) -> str:
    """The id of a subscription's price."""
    return str(thing["items"]["data"][0]["price"]["id"])


def plans_of_prices(ids: set[str]) -> dict[str, Plan]:
    """The plan of each of these prices of Stripe's that is ours."""
    rows = db.session.scalars(sa.select(Price).options(joinedload(Price.plan)).where(Price.stripe_id.in_(ids)))
    return {str(row.stripe_id): row.plan for row in rows}


def customers_named(ids: set[str]) -> dict[str, Customer]:
    """Our customers among these of Stripe's."""
    return {row.stripe_id: row for row in db.session.scalars(sa.select(Customer).where(Customer.stripe_id.in_(ids)))}


def _by(column: Any, numbers: Sequence[int]) -> dict[int, Entitlement]:
    rows = db.session.scalars(sa.select(Entitlement).where(column.in_(numbers)))
    return {getattr(row, column.key): row for row in rows}


def _unknown(thing: Thing, plan: Plan | None, customer: Customer | None) -> list[Finding]:
    """A subscription that is not here. One that has ended opens nothing, and what has neither our price nor our customer is not ours."""
    if thing["status"] in ENDED or (plan is None and customer is None):
        return []
    ids, facts = {"subscription": thing["id"], "customer": str(id_of(thing["customer"]))}, {"theirs": thing["status"]}
    return [Finding("subscription_unknown", ids, facts)]


def _known(thing: Thing, row: Subscription, plan: Plan | None, held: Entitlement | None, now: datetime) -> list[Finding]:
    ids, status, found = {"subscription": row.stripe_id}, str(thing["status"]), list[Finding]()
    what = _differences(thing, row)
    money = money_of(row) if what or not is_open(held, now) else None  # asked for where it matters, one by one
    late = row.past_due_since or now
    access = access_by_subscription(status, past_due_since=late, cancels_at=ends_of(thing)[1], money=money)
    if access is None:
        found.append(Finding("unknown_status", ids, {"theirs": status}))
    if plan is None and status not in ENDED:
        found.append(Finding("unknown_price", ids, {"price": price_of(thing)}))
    if row.customer.user_id is None and status not in ENDED:
        found.append(Finding("no_owner", ids, {"theirs": status}))
    if what:
        takes = access is not None and _takes(held, access, row.plan, plan, now)
        found.append(Finding("subscription_differs", ids, {"what": what}, takes_access=takes))
    elif access is not None and _is_missing(row, held, access, now):
        found.append(Finding("access_missing", ids))
    return found


def _differences(thing: Thing, row: Subscription) -> list[str]:
    """What of a subscription is otherwise at Stripe, as `findings.FIELD_WORDS` calls it."""
    period_ends_at, cancels_at = ends_of(thing)
    pairs = {
        "status": (thing["status"], row.status),
        "price": (price_of(thing), row.price_stripe_id),
        "period": (period_ends_at, row.period_ends_at),
        "cancel": (cancels_at, row.cancels_at),
    }
    return [name for name, (theirs, our) in pairs.items() if theirs != our]


def ends_of(thing: Thing) -> tuple[datetime | None, datetime | None]:
    """When the present period of a subscription ends, and when it is to be cancelled, whichever way that was asked for."""
    period_ends_at = moment(thing["items"]["data"][0].get("current_period_end"))
    cancels_at = moment(thing.get("cancel_at")) or (period_ends_at if thing.get("cancel_at_period_end") else None)
    return period_ends_at, cancels_at


def is_open(held: Entitlement | None, now: datetime) -> bool:
    """Whether an entitlement opens something now."""
    return held is not None and held.closed_at is None and held.begins_at <= now and (held.ends_at is None or held.ends_at > now)


def _opens(access: Access, now: datetime) -> bool:
    return access.closed is None and (access.until is None or access.until > now)


def _takes(held: Entitlement | None, access: Access, before: Plan | None, after: Plan | None, now: datetime) -> bool:
    """Whether somebody would lose something if it were brought in line."""
    if not is_open(held, now):
        return False
    moves = before is not None and after is not None and before.tier_id != after.tier_id
    return not _opens(access, now) or (moves and not _covers(after, before))


def _covers(tier_of: Plan | None, other: Plan | None) -> bool:
    """Whether the tier of one plan grants all that the tier of another does."""
    if tier_of is None or other is None:
        return False
    rows = db.session.scalars(sa.select(TierGrant).where(TierGrant.tier_id.in_((tier_of.tier_id, other.tier_id)))).all()
    given = {(row.course_id, row.module_id) for row in rows if row.tier_id == tier_of.tier_id}
    wanted = {(row.course_id, row.module_id) for row in rows if row.tier_id == other.tier_id}
    return all(pair in given or (pair[0], None) in given for pair in wanted)


def _is_missing(row: Subscription, held: Entitlement | None, access: Access, now: datetime) -> bool:
    """Whether somebody is owed what a subscription opens."""
    return row.customer.user_id is not None and row.plan_id is not None and _opens(access, now) and not is_open(held, now)
