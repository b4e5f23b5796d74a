"""For owners: what Stripe told, having it looked at again; and comparing with Stripe, what it found and bringing that in line."""

from typing import Any

import structlog
from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.billing import reconciling, stripe_events
from courseapp.billing.customers import OvertakenError
from courseapp.billing.findings import FINDING_KINDS, Finding, words_of_finding
from courseapp.billing.models import Reconciliation, StripeEvent
from courseapp.billing.selling import need_selling
from courseapp.billing.stripe_events import SHOWN_WORDS, Shown
from courseapp.billing.stripe_gateway import StripeAwayError, StripeError
from courseapp.billing.watching.loops import bring_in_line
from courseapp.columns import row_number
from courseapp.errors import Refusal
from courseapp.extensions import db, limiter

pages = Blueprint("stripe_events", __name__)
pages.before_request(need_selling)
pages.before_request(need_role(Role.OWNER))
PAGE = 50
REPORTS = 14
log = structlog.get_logger()


@pages.get("/staff/billing/events")
def events() -> str:
    """The newest first, `show` narrowing them."""
    asked = request.args.get("show", "")
    if asked and asked not in list(Shown):
        abort(404)
    rows = stripe_events.events_before(Shown(asked) if asked else None, request.args.get("before", type=row_number), PAGE + 1)
    narrowed: dict[str, Any] = {"show": asked} if asked else {}
    return render_template(
        "billing/events.html",
        events=[_shown(row) for row in rows[:PAGE]],
        choices=SHOWN_WORDS.items(),
        asked=asked,
        is_later="before" in request.args,
        older_url=url_for("stripe_events.events", before=rows[PAGE - 1].id, **narrowed) if len(rows) > PAGE else None,
    )


def _shown(row: StripeEvent) -> dict[str, Any]:
    now = clock.now()
    return {
        "id": row.stripe_id,
        "what": stripe_events.words_of_type(row.type),
        "standing": stripe_events.words_of_standing(row, now),
        "is_open": row.processed_at is None,
        "is_given_up": row.result == stripe_events.FAILED,
        "row": row,
    }


def _event(id: str) -> StripeEvent:
    return stripe_events.event_named(id) or abort(404)


@pages.get("/staff/billing/events/<id>")
def event(id: str) -> str:
    """One event: what it says, how it stands, what went wrong."""
    return render_template("billing/event.html", event=_shown(_event(id)))


@pages.post("/staff/billing/events/<id>/replay")
@limiter.limit("120 per hour")
def replay(id: str) -> Response:
    """Have it looked at again."""
    found = _event(id)
    stripe_events.replay(found, current_user.id, clock.now())
    db.session.commit()
    log.info("staff_acted", act="replay_stripe_event", staff=current_user.id)
    flash(_("The event is looked at again in a moment."), "good")
    return redirect(url_for("stripe_events.event", id=id), 303)


# Comparing


@pages.get("/staff/billing/reconciliation")
def reconciliation() -> str:
    """The latest comparison, with those before it."""
    return _report_page(next(iter(reconciling.reports_before(None, 1)), None))


@pages.get("/staff/billing/reconciliation/<number>")
def report(number: str) -> str:
    """An earlier comparison."""
    return _report_page(_report(number))


def _report(number: str) -> Reconciliation:
    try:
        return db.session.get(Reconciliation, row_number(number)) or abort(404)
    except ValueError:
        abort(404)


def _report_page(found: Reconciliation | None) -> str:
    findings = reconciling.findings_of(found) if found is not None else []
    groups: dict[str, list[tuple[int, Finding]]] = {}
    for place, finding in enumerate(findings):
        groups.setdefault(finding.kind, []).append((place, finding))
    return render_template(
        "billing/reconciliation.html",
        report=found,
        is_running=found is not None and reconciling.is_running(found, clock.now()),
        left=len(reconciling.remaining(findings)),
        findings=findings,
        groups=[(FINDING_KINDS[kind], rows) for kind, rows in groups.items()],
        has_broken_off=reconciling.has_broken_off(findings),
        words_of=words_of_finding,
        reports=[(row, len(row.findings), len(reconciling.remaining(reconciling.findings_of(row)))) for row in _reports()],
    )


def _reports() -> list[Reconciliation]:
    return list(reconciling.reports_before(None, REPORTS))


@pages.post("/staff/billing/reconciliation")
@limiter.limit("20 per hour")
def compare() -> Response:
    """Have the worker compare now, and mend what is missing, as it does each night."""
    begun = reconciling.begin(clock.now(), is_fixing=True, by=current_user.id)
    db.session.commit()
    if begun is None:
        flash(_("A comparison is under way already."), "info")
    else:
        log.info("staff_acted", act="reconcile", staff=current_user.id)
    return redirect(url_for("stripe_events.reconciliation"), 303)


@pages.get("/staff/billing/reconciliation/<number>/<place>")
def settling(number: str, place: str) -> str:
    """What bringing one finding in line does, before it is done."""
    found, finding = _finding(number, place)
    return render_template(
        "billing/bring_in_line.html",
        report=found,
        place=place,
        finding=finding,
        words=words_of_finding(finding),
        advice=FINDING_KINDS[finding.kind].advice,
    )


def _finding(number: str, place: str) -> tuple[Reconciliation, Finding]:
    """A finding that can be brought in line, by its report and its place in that; else 404."""
    found = _report(number)
    findings = reconciling.findings_of(found)
    if not place.isdecimal() or len(place) > 3 or int(place) >= len(findings):
        abort(404)
    finding = findings[int(place)]
    return (found, finding) if finding.refresh is not None else abort(404)


@pages.post("/staff/billing/reconciliation/<number>/<place>")
@limiter.limit("120 per hour")
def settle(number: str, place: str) -> Response:
    """Bring one finding in line: Stripe is asked about it, and what it says counts."""
    found, finding = _finding(number, place)
    found_id, now = found.id, clock.now()
    db.session.commit()
    try:
        changed = bring_in_line(finding, now)
    except StripeAwayError as error:
        raise Refusal(_("Stripe cannot be reached just now. Nothing was changed; please try again in a few minutes."), 503) from error
    except StripeError as error:
        raise Refusal(_("Stripe did not answer as it should. Nothing was changed. It said: %(said)s", said=error.words), 503) from error
    except OvertakenError as error:
        raise Refusal(_("The same was being looked at in this very moment. Nothing was changed; please try again."), 503) from error
    if changed:
        reconciling.mark_mended(found_id, int(place), current_user.id, now)
    db.session.commit()
    log.info("staff_acted", act="bring_in_line", staff=current_user.id)
    if changed:
        flash(_("Brought in line: what Stripe says now counts here."), "good")
    else:
        flash(_("Stripe was asked, and knows nothing of it. Nothing was changed."), "info")
    return redirect(url_for("stripe_events.report", number=number), 303)
