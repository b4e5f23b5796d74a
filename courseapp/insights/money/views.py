"""What was paid, who subscribes, and the list of payments as a file: for owners, where something is sold."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from flask import Blueprint, Response, current_app, render_template, request, stream_with_context, url_for
from flask_babel import lazy_gettext as _l
from flask_login import current_user

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.billing.amounts import amount_words
from courseapp.billing.plans import INTERVAL_WORDS
from courseapp.billing.selling import need_selling
from courseapp.contacts.windows import zone_of
from courseapp.delivery import disposition_of
from courseapp.extensions import db, limiter, snapshot
from courseapp.insights.money.forms import PaymentsForm
from courseapp.insights.months import USUAL, Month, month_of, months_between
from courseapp.insights.payment_rows import major, payment_lines
from courseapp.insights.revenue import Revenue, revenue_in
from courseapp.insights.subscribers import first_moment, gifts_now, moves_in, standing_now
from courseapp.journal import events
from courseapp.site import present_site

pages = Blueprint("money", __name__)
pages.before_request(need_selling)
pages.before_request(need_role(Role.OWNER))
log = structlog.get_logger()
DISPUTE_WORDS = {
    "needs_response": _l("to be answered at Stripe"),
    "under_review": _l("being looked at by the bank"),
    "won": _l("won: the money is yours"),
    "lost": _l("lost: the money went back"),
    "appeal_needs_response": _l("lost, with an appeal to be answered at Stripe"),
    "appeal_under_review": _l("lost, and being looked at again by the bank"),
    "warning_needs_response": _l("an inquiry, to be answered at Stripe"),
    "warning_under_review": _l("an inquiry, being looked at by the bank"),
    "warning_closed": _l("an inquiry that came to nothing"),
    "prevented": _l("settled before it became one"),
}
WORDS = {"interval_words": INTERVAL_WORDS, "dispute_words": DISPUTE_WORDS, "amount_words": amount_words}


@pages.get("/staff/money")
def figures() -> str:
    """The last twelve months, or those of a `year`."""
    return figures_page(None)


def figures_page(refused: PaymentsForm | None) -> str:
    """The page, with what was wrong in the form for the file."""
    now, zone = clock.now(), zone_of(present_site().default_zone)
    this = month_of(now, zone)
    with snapshot() as seen:
        began = first_moment(seen)
        first = min(month_of(began, zone), this) if began is not None else this
        year = year_asked(first, this)
        months = (
            months_between(this.before(USUAL - 1), this) if year is None else months_between(Month(year, 1), min(Month(year, 12), this))
        )
        shown: dict[str, Any] = {} if began is None else _figures(seen, months, zone, now)
    every = months_between(first, this)
    form = refused or PaymentsForm(formdata=None, first=str(max(months[0], first)), last=str(months[-1])).offer(every)
    return render_template(
        "insights/money.html",
        **shown,
        form=form,
        has_any=began is not None,
        months=months,
        year=year,
        years=[(each, url_for("money.figures", year=each)) for each in range(this.year, first.year - 1, -1)],
        **WORDS,
    )


def _figures(seen: Any, months: list[Month], zone: ZoneInfo, now: datetime) -> dict[str, Any]:
    standing = standing_now(seen, now)
    counts = {name: sum(getattr(row, name) for row in standing.values()) for name in ("active", "trying", "late")}
    revenues = revenue_in(seen, months, zone)
    return {
        "revenues": revenues,
        "charts": {revenue.currency: points_of(revenue) for revenue in revenues},
        "standing": standing,
        "counts": counts,
        "gifts": gifts_now(seen, now),
        "moves": moves_in(seen, months, zone, now),
    }


def points_of(revenue: Revenue) -> list[tuple[str, float]]:
    """What was paid in each month, as a chart takes it: in whole units."""
    return [(month.short_words, float(major(sums.paid, revenue.currency))) for month, sums in revenue.months.items()]


def year_asked(first: Month, this: Month) -> int | None:
    """The `year` that is asked for, where it is one of those there is something of."""
    year = request.args.get("year", type=int)
    return year if year is not None and first.year <= year <= this.year else None


@pages.post("/staff/money/payments")
@limiter.limit("20 per hour")
def export() -> Response | tuple[str, int]:
    """Payments and refunds of some months as a file for spreadsheets. That it was taken is written down."""
    now, zone = clock.now(), zone_of(present_site().default_zone)
    this = month_of(now, zone)
    with snapshot() as seen:
        began = first_moment(seen)
    form = PaymentsForm().offer(months_between(min(month_of(began, zone), this) if began is not None else this, this))
    if not form.validate():
        return figures_page(form), 422
    first, last = form.chosen
    events.record("payments_exported", "billing:0", now, first=str(first), last=str(last), by=current_user.id)
    staff = current_user.id
    db.session.commit()
    log.info("staff_acted", act="export_payments", staff=staff)
    answer = current_app.response_class(stream_with_context(payment_lines(first, last, zone)))
    answer.headers["Content-Type"] = "text/csv; charset=utf-8"
    answer.headers["Content-Disposition"] = disposition_of(f"payments-{first}-{last}.csv", inline=False)
    return answer
