"""Somebody who buys: checkouts made as the site makes them, and the worker that follows Stripe's events."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.billing import loops
from courseapp.billing import stripe_gateway as gateway
from courseapp.billing.entitlements import is_live
from courseapp.billing.models import Checkout, Customer, Entitlement, Interval, Plan, Price, StripeEvent, Tier
from courseapp.extensions import db
from courseapp.mailing.models import Message
from tests.billing.conftest import Shop
from tests.factories import make_plan, make_tier
from tests.fakes.clicking import Clicker

COUNTRY = "ada@example.org"


def synced_plan(tier: Tier | None = None, interval: Interval | str = Interval.MONTH, amount: int = 900, **kw: Any) -> Plan:
    """A plan whose prices are at Stripe."""
    plan = make_plan(tier or make_tier(), interval, amount=amount, **kw)
    product = gateway.create("products", {"name": plan.tier.neutral_name}, f"product:{plan.id}")
    for price in db.session.scalars(sa.select(Price).where(Price.plan_id == plan.id)).all():
        recurring = {"recurring": {"interval": plan.interval.value}} if plan.is_recurring else {}
        facts = {"product": product["id"], "currency": price.currency, "unit_amount": price.amount}
        made = gateway.create("prices", facts | recurring | {"lookup_key": f"{plan.key}-{price.currency}"}, f"price:{price.id}")
        price.stripe_id = made["id"]
    db.session.commit()
    return plan


def price_of(plan: Plan, currency: str = "eur") -> Price:
    """What a plan costs new buyers."""
    return db.session.scalars(
        sa.select(Price).where(Price.plan_id == plan.id, Price.currency == currency, Price.retired_at.is_(None))
    ).one()


def begun(plan: Plan, user: User, currency: str = "eur", **more: Any) -> Checkout:
    """A checkout that has been begun: our row, and the session at Stripe."""
    price = price_of(plan, currency)
    checkout = Checkout(user_id=user.id, plan_id=plan.id, price_id=price.id, created_at=clock.now())
    db.session.add(checkout)
    db.session.flush()
    named = {"metadata": {"checkout": checkout.public_id}}
    if plan.is_recurring:
        params: dict[str, Any] = {"mode": "subscription", "subscription_data": {**named, **more.pop("subscription_data", {})}}
    else:
        params = {"mode": "payment", "payment_intent_data": named, "invoice_creation": {"enabled": True}}
        if "customer" not in more:
            params["customer_creation"] = "always"
    params |= named | {
        "client_reference_id": checkout.public_id,
        "success_url": "http://localhost/",
        "line_items": [{"price": price.stripe_id, "quantity": 1}],
    }
    session = gateway.create("checkout.sessions", params | more, f"checkout:{checkout.public_id}")
    checkout.stripe_id = session["id"]
    db.session.commit()
    return checkout


def bought(shop: Shop, plan: Plan, user: User, way: str = "pay", address: str = COUNTRY, **more: Any) -> Checkout:
    """A checkout that somebody went through with; its events have arrived and been worked."""
    checkout = begun(plan, user, **more)
    assert shop.steering.buy(checkout.stripe_id, way, email=address) is None
    work(shop)
    return checkout


def work(shop: Shop) -> dict[str, int]:
    """Let every webhook arrive, and the worker work until nothing is due, attempts put off among them."""
    shop.settle()
    counts = loops.work_events(clock.now)
    for _time in range(20):
        db.session.execute(sa.update(StripeEvent).where(StripeEvent.processed_at.is_(None)).values(due_at=clock.now()))
        db.session.commit()
        again = loops.work_events(clock.now)
        counts = {name: counts.get(name, 0) + again.get(name, 0) for name in counts.keys() | again.keys()}
        if not again.get("again"):
            break
    return counts


def holds(user: User, tier: Tier, after: timedelta = timedelta()) -> bool:
    """Whether somebody holds a tier now, or after some time in which nobody hears of anything."""
    query = sa.select(Entitlement.id).where(Entitlement.user_id == user.id, Entitlement.tier_id == tier.id, is_live(clock.now() + after))
    db.session.commit()
    return db.session.scalar(query.limit(1)) is not None


def mails(part: str = "") -> list[str]:
    """The templates of the mails of billing in the outbox, in order."""
    db.session.commit()
    found = db.session.scalars(sa.select(Message.template).where(Message.template.startswith(f"billing/{part}")).order_by(Message.id))
    return [str(name).removeprefix("billing/") for name in found]


def only(model: Any) -> Any:
    """The one row of a table."""
    db.session.commit()
    return db.session.scalars(sa.select(model)).one()


def the_customer(user: User) -> Customer:
    """Somebody's customer."""
    return db.session.scalars(sa.select(Customer).where(Customer.user_id == user.id)).one()


def portal_of(shop: Shop, person: Clicker, customer: Customer, *plans: Plan) -> Clicker:
    """Somebody at their Customer Portal, which allows what ours allows."""
    prices = [price_of(plan).stripe_id for plan in plans]
    later = {"conditions": [{"type": "decreasing_item_amount"}, {"type": "shortening_interval"}]}
    products = {product: [] for product in {gateway.price(str(price))["product"] for price in prices}}
    for price in prices:
        products[gateway.price(str(price))["product"]].append(price)
    update = {
        "enabled": True,
        "default_allowed_updates": ["price"],
        "proration_behavior": "always_invoice",
        "schedule_at_period_end": later,
    }
    update["products"] = [{"product": product, "prices": listed} for product, listed in products.items()]
    features: dict[str, Any] = {"invoice_history": {"enabled": True}, "payment_method_update": {"enabled": True}}
    features |= {"subscription_cancel": {"enabled": True, "mode": "at_period_end"}} | ({"subscription_update": update} if plans else {})
    gateway.create("billing_portal.configurations", {"features": features}, f"portal:{len(shop.steering.requests())}")
    wanted = {"customer": customer.stripe_id, "return_url": "http://localhost/account/plan"}
    session = gateway.create("billing_portal.sessions", wanted, f"session:{len(shop.steering.requests())}")
    return person.visit(session["url"])
