"""`flask billing reconcile`."""

import json
import sys

import click

from courseapp import clock
from courseapp.billing import reconciling
from courseapp.billing.findings import Finding, words_of_finding
from courseapp.billing.selling import is_selling
from courseapp.billing.watching.loops import compare_all
from courseapp.extensions import db


@click.command("reconcile")
@click.option("--fix", is_flag=True, help="Mend what is missing here. What would close something to somebody is only told.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def reconcile(fix: bool, as_json: bool) -> None:
    """Compare subscriptions, purchases and payments with Stripe, both ways. Ends with 1 where something remains."""
    if not is_selling():
        raise click.ClickException("This site sells nothing: there is no STRIPE_SECRET_KEY.")
    begun = reconciling.begin(clock.now(), is_fixing=fix)
    report = reconciling.claim(clock.now(), begun.id) if begun is not None else None
    db.session.commit()
    if report is None:
        raise click.ClickException("A comparison is under way already. See how far it is at /staff/billing/reconciliation.")
    compare_all(report, clock.now)
    findings = reconciling.findings_of(report)
    left = reconciling.remaining(findings)
    if as_json:
        rows = [{**finding.as_row(), "words": words_of_finding(finding)} for finding in findings]
        click.echo(json.dumps({"looked_at": report.looked_at, "fixing": fix, "remaining": len(left), "findings": rows}))
    else:
        _print(findings, report.looked_at)
    sys.exit(1 if left else 0)


def _print(findings: list[Finding], looked_at: int) -> None:
    for finding in findings:
        mark = "mended" if finding.is_mended else "closes" if finding.takes_access else "differs"
        click.echo(f"{mark:8} {words_of_finding(finding)} {' '.join(filter(None, finding.ids.values()))}".rstrip())
    click.echo(f"{looked_at} looked at, {len(findings)} found, {len(reconciling.remaining(findings))} remain.")
