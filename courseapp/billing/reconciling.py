"""Comparisons with Stripe: beginning one, one at a time; how they went; what is to be said about them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from courseapp.billing.attention import need_attention
from courseapp.billing.findings import Finding, finding_of
from courseapp.billing.models import Reconciliation
from courseapp.extensions import db, wake
from courseapp.journal import events

LONGEST = timedelta(hours=1)
"""After which one that has not ended is given up, and another may begin."""
FURTHEST = timedelta(days=120)
"""So far back it looks where none has succeeded for long: people dispute a payment within that time."""
NIGHT = 3
"""The hour (UTC) after which the nightly one is due."""
WAKE = "billing.reconciliation"
BROKEN_OFF = {"wrong_key", "key_refused", "stripe_away"}


def begin(now: datetime, *, is_fixing: bool, by: int | None = None) -> Reconciliation | None:
    """A comparison that whoever claims it may carry out; None where one is under way. `by`: who of the staff wants it."""
    latest = db.session.scalar(sa.select(Reconciliation).order_by(Reconciliation.id.desc()).limit(1).with_for_update())
    if latest is not None and is_running(latest, now):
        return None
    made = Reconciliation(began_at=now, is_fixing=is_fixing, looked_at=0, findings=[])
    db.session.add(made)
    db.session.flush()
    if by is not None:
        events.record("billing_reconciled", "billing:0", now, by=by)
        wake(WAKE)
    return made


def begin_nightly(now: datetime) -> Reconciliation | None:
    """The nightly one, once it is due and none has begun since."""
    due = now.replace(hour=NIGHT, minute=0, second=0, microsecond=0)
    due -= timedelta(days=0 if due <= now else 1)
    has_begun = sa.select(Reconciliation.id).where(Reconciliation.began_at >= due).exists()
    return None if db.session.scalar(sa.select(has_begun)) else begin(now, is_fixing=True)


def claim(now: datetime, number: int | None = None) -> Reconciliation | None:
    """One that was begun and that nobody carries out yet (of this number), for whoever asks first. The account counts as looked at."""
    waits = (Reconciliation.ended_at.is_(None), Reconciliation.looked_at == 0, Reconciliation.began_at > now - LONGEST)
    which = number if number is not None else sa.select(sa.func.min(Reconciliation.id)).where(*waits).scalar_subquery()
    claimed = sa.update(Reconciliation).where(Reconciliation.id == which, *waits).values(looked_at=1).returning(Reconciliation.id)
    found = db.session.scalar(claimed.execution_options(synchronize_session=False))
    return db.session.get(Reconciliation, found, populate_existing=True) if found is not None else None


def is_running(report: Reconciliation, now: datetime) -> bool:
    """Whether it is under way, or is about to be."""
    return report.ended_at is None and report.began_at > now - LONGEST


def reports_before(before: int | None, limit: int) -> Sequence[Reconciliation]:
    """The newest comparisons, or those before one."""
    query = sa.select(Reconciliation).order_by(Reconciliation.id.desc()).limit(limit)
    return db.session.scalars(query.where(Reconciliation.id < before) if before is not None else query).all()


def findings_of(report: Reconciliation) -> list[Finding]:
    """What it found."""
    return [finding_of(row) for row in report.findings]


def has_broken_off(findings: Sequence[Finding]) -> bool:
    """Whether it could not compare everything."""
    return any(finding.kind in BROKEN_OFF for finding in findings)


def remaining(findings: Sequence[Finding]) -> list[Finding]:
    """What is not mended."""
    return [finding for finding in findings if not finding.is_mended]


def last_success() -> datetime | None:
    """When a comparison last ended that could compare everything. Of the newest few; older ones do not matter any more."""
    for report in reports_before(None, 20):
        if report.ended_at is not None and not has_broken_off(findings_of(report)):
            return report.ended_at
    return None


def reaching_back(window: timedelta, last: datetime | None, now: datetime) -> datetime:
    """Since when a comparison looks at what Stripe lists by day: over its window, and at least over all that nobody has compared yet."""
    unseen = now - FURTHEST if last is None else max(last - timedelta(days=1), now - FURTHEST)
    return min(now - window, unseen)


def mark_mended(report_id: int, place: int, by: int, now: datetime) -> None:
    """Note that somebody of the staff brought one finding in line."""
    report = db.session.get_one(Reconciliation, report_id, with_for_update=True, populate_existing=True)
    report.findings = [{**row, "is_mended": row["is_mended"] or number == place} for number, row in enumerate(report.findings)]
    events.record("billing_brought_in_line", "billing:0", now, kind=report.findings[place]["kind"], by=by)


def tell_of(report: Reconciliation, now: datetime) -> None:
    """Have owners told of what the comparison before did not find already."""
    left = remaining(findings_of(report))
    before = db.session.scalars(
        sa.select(Reconciliation)
        .where(Reconciliation.id < report.id, Reconciliation.ended_at.is_not(None))
        .order_by(Reconciliation.id.desc())
        .limit(1)
    ).first()
    known = [(finding.kind, finding.ids) for finding in remaining(findings_of(before))] if before is not None else []
    fresh = {finding.kind for finding in left if (finding.kind, finding.ids) not in known} - {"stripe_away"}
    for kind, code in (("key_refused", "key_refused"), ("second_customer", "second_customer")):
        if kind in fresh:
            fresh.discard(kind)
            need_attention(code, now)
    if fresh:
        need_attention("reconcile_found", now, report=report.id)
