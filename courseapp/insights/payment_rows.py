"""Payments and refunds as a file for whoever keeps the books: a line each, in the order in which they were made. Nobody is named."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from courseapp.billing.amounts import digits_of
from courseapp.billing.models import Payment, Plan, Refund, Tier
from courseapp.billing.standing import GONE_BACK
from courseapp.contacts.spreadsheets import csv_of
from courseapp.extensions import snapshot
from courseapp.insights.months import Asked, Month

COLUMNS = ("date", "kind", "plan", "tier", "currency", "amount", "tax", "invoice", "stripe_id")
AT_ONCE = 500  # lines


def major(amount: int, currency: str) -> Decimal:
    """An amount in whole units, with just as many decimals as its currency has."""
    return Decimal(amount).scaleb(-digits_of(currency))


def payment_lines(first: Month, last: Month, zone: ZoneInfo) -> Iterator[str]:
    """The file from one month to another, in pieces: of one moment however long it takes to fetch, and never all of it in memory.

    Refunds are below nothing, so that the amounts of a currency add up; one that failed has come back and is not there.
    """
    yield csv_of([COLUMNS], with_mark=True)
    with snapshot() as seen:
        rows = seen.execution_options(yield_per=AT_ONCE).execute(_lines(first, last, zone))
        for some in rows.partitions():
            yield csv_of(_line(row, zone) for row in some)


def _line(row: Any, zone: ZoneInfo) -> Sequence[object]:
    tax = major(row.tax, row.currency) if row.tax is not None else None
    money = (row.currency.upper(), major(row.amount, row.currency), tax)
    return (row.at.astimezone(zone).date(), row.kind, row.key, row.neutral_name, *money, row.invoice_number, row.stripe_id)


def _lines(first: Month, last: Month, zone: ZoneInfo) -> Asked:
    begins, ends = first.begins_at(zone), last.following.begins_at(zone)
    sold = (Plan.key, Tier.neutral_name, Payment.currency)
    payments = sa.select(
        *(Payment.paid_at.label("at"), sa.literal_column("'payment'", sa.String).label("kind"), *sold, Payment.amount, Payment.tax),
        *(Payment.invoice_number, Payment.stripe_id),
    ).where(Payment.paid_at >= begins, Payment.paid_at < ends)
    refunds = (
        sa.select(
            *(Refund.made_at, sa.literal_column("'refund'", sa.String), *sold, -Refund.amount, sa.cast(sa.null(), sa.BigInteger)),
            *(Payment.invoice_number, Refund.stripe_id),
        )
        .join(Payment, Payment.id == Refund.payment_id)
        .where(Refund.made_at >= begins, Refund.made_at < ends, Refund.status.in_(GONE_BACK))
    )
    both = [query.outerjoin(Plan, Plan.id == Payment.plan_id).outerjoin(Tier, Tier.id == Plan.tier_id) for query in (payments, refunds)]
    every = sa.union_all(*both).subquery()
    return sa.select(every).order_by(every.c.at, every.c.kind, every.c.stripe_id)
