"""The list of payments adds up with Stripe's own invoices to the cent: after purchases, renewals, coupons, prorations and refunds."""

from collections import defaultdict
from decimal import Decimal
from zoneinfo import ZoneInfo

from courseapp import clock
from courseapp.billing import stripe_gateway as gateway
from courseapp.billing.models import Interval, Payment
from courseapp.extensions import db, snapshot
from courseapp.insights.months import month_of, months_between
from courseapp.insights.payment_rows import major, payment_lines
from courseapp.insights.revenue import revenue_in
from tests.billing.buying import bought, price_of, synced_plan, work
from tests.billing.conftest import Shop
from tests.conftest import NOW
from tests.factories import make_tier, make_user
from tests.insights.takings import rows_of, sums_of

UTC = ZoneInfo("UTC")
GONE = {"succeeded", "pending"}


def at_stripe() -> dict[str, Decimal]:
    """What was paid by invoices, without what was refunded, by currency: as Stripe tells it."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for invoice in gateway.invoices():
        sums[invoice["currency"].upper()] += major(invoice["amount_paid"], invoice["currency"])
    for refund in gateway.refunds():
        if refund["status"] in GONE:
            sums[refund["currency"].upper()] -= major(refund["amount"], refund["currency"])
    return dict(sums)


def in_the_file() -> dict[str, Decimal]:
    """The same, by the file of all months."""
    db.session.commit()
    months = month_of(NOW, UTC), month_of(clock.now(), UTC)
    return sums_of(rows_of("".join(payment_lines(*months, UTC))))


def on_the_page() -> dict[str, Decimal]:
    """The same, by what the page is made of."""
    with snapshot() as seen:
        found = revenue_in(seen, months_between(month_of(NOW, UTC), month_of(clock.now(), UTC)), UTC)
    return {revenue.currency.upper(): major(revenue.total.net, revenue.currency) for revenue in found}


def test_it_adds_up(shop: Shop) -> None:
    tier = make_tier()
    monthly, yearly = synced_plan(tier, Interval.MONTH, 999), synced_plan(tier, Interval.YEAR, 9900)
    once = synced_plan(tier, Interval.ONCE, prices={"eur": 4900, "jpy": 5417})
    third, all_of_it = (gateway._api().coupons.create({"percent_off": off, "duration": "once"}).id for off in (33.3, 100))
    ada, ben, eva, guy = (make_user(f"{name}@example.org") for name in ("ada", "ben", "eva", "guy"))
    bought(shop, monthly, ada, address="ada@example.org")
    bought(shop, monthly, ben, address="ben@example.org", discounts=[{"coupon": third}])
    bought(shop, once, eva, address="eva@example.org", discounts=[{"coupon": third}])
    bought(shop, once, guy, address="guy@example.org", currency="jpy")
    bought(shop, once, guy, address="guy@example.org", discounts=[{"coupon": all_of_it}])
    shop.pass_time(days=10)
    subscription = next(thing for thing in gateway.subscriptions() if thing["items"]["data"][0]["price"]["unit_amount"] == 999)
    item = {"id": subscription["items"]["data"][0]["id"], "price": price_of(yearly).stripe_id}
    gateway.update("subscriptions", subscription["id"], {"items": [item], "proration_behavior": "always_invoice"})
    work(shop)
    for _month in range(3):
        shop.pass_time(days=31)
        work(shop)
    payments = db.session.query(Payment).order_by(Payment.id).all()
    assert len(payments) >= 8
    shop.steering.refund(payment_intent=payments[0].stripe_id, amount=333)
    shop.steering.refund(payment_intent=payments[2].stripe_id)
    shop.steering.refund(payment_intent=next(row for row in payments if row.currency == "jpy").stripe_id, amount=417)
    failing = shop.steering.refund(payment_intent=payments[-1].stripe_id, amount=100)
    work(shop)
    shop.steering.finish_refund(failing["id"], succeeds=False)
    work(shop)
    sums = at_stripe()
    assert set(sums) == {"EUR", "JPY"}
    assert sums["JPY"] == 5000
    assert in_the_file() == sums
    assert on_the_page() == sums
