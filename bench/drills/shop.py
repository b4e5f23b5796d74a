"""`python -m bench.drills.shop`: the tiers and prices of the drill of purchases, here and at Stripe; which plans, as JSON."""

import json

import sqlalchemy as sa

from courseapp import clock, create_app
from courseapp.billing import stripe_gateway
from courseapp.billing.models import Interval, Plan, Price, Tier, TierGrant
from courseapp.catalog.models import Module
from courseapp.catalog.outline import published_course
from courseapp.extensions import db

OFFERS = {"once": (Interval.ONCE, 4900), "monthly": (Interval.MONTH, 900)}


def open_shop() -> dict[str, str]:
    """One tier for each way of paying, each for the last module of the course; which plan is which, by its public id."""
    course = published_course("introduction")
    assert course is not None
    module_id = db.session.scalar(sa.select(Module.id).where(Module.course_id == course.id).order_by(Module.position.desc()).limit(1))
    plans = {}
    for key, (interval, amount) in OFFERS.items():
        now = clock.now()
        names = {"name": f"Tier {key}", "neutral_name": f"Plan {key}", "summary": "What it is.", "features": []}
        tier = Tier(key=key, **names, created_at=now, changed_at=now)
        tier.product_id = stripe_gateway.create("products", {"name": tier.neutral_name}, f"product-{key}")["id"]
        plan = Plan(tier=tier, key=key, interval=interval)
        recurring = {"recurring": {"interval": interval.value}} if plan.is_recurring else {}
        params = {"product": tier.product_id, "currency": "eur", "unit_amount": amount, "lookup_key": f"{key}-eur", **recurring}
        price = Price(plan=plan, currency="eur", amount=amount, created_at=now)
        price.stripe_id = stripe_gateway.create("prices", params, f"price-{key}")["id"]
        db.session.add_all([tier, plan, price, TierGrant(tier=tier, course_id=course.id, module_id=module_id)])
        db.session.flush()
        plans[key] = plan.public_id
    db.session.commit()
    return plans


if __name__ == "__main__":
    with create_app().app_context():
        print(json.dumps(open_shop()))
