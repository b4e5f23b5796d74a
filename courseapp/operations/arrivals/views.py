"""How mail arrives by domain, and what to do where it does not: for marketers and owners."""

from flask import Blueprint, render_template, request, url_for

from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.mailing.deliverability import WINDOWS, Arrivals, arrivals_of

pages = Blueprint("arrivals", __name__)
pages.before_request(need_role(Role.MARKETER, Role.OWNER))
USUAL = 30  # days
DRAWN = 10  # domains


@pages.get("/staff/mail/deliverability")
def by_domain() -> str:
    """What became of the mail of the last so many `days`, by domain."""
    asked = request.args.get("days", USUAL, type=int)
    days = asked if asked in WINDOWS else USUAL
    rows, counted_at = arrivals_of(days)
    return render_template(
        "operations/arrivals.html",
        rows=rows,
        drawn=[(row, 100 * row.arrived // row.sent) for row in rows if row.sent][:DRAWN],
        troubled=[(row, row.troubles) for row in rows if row.troubles],
        share=share,
        counted_at=counted_at,
        days=days,
        choices=[(each, url_for("arrivals.by_domain", days=each)) for each in WINDOWS],
    )


def share(row: Arrivals, count: int) -> str:
    """A part of what was sent to a domain, in per cent with two digits behind the point where it is small."""
    percent = 100 * count / row.sent if row.sent else 0
    return f"{percent:.0f}" if percent >= 10 or not count else f"{percent:.1f}" if percent >= 1 else f"{percent:.2f}"
