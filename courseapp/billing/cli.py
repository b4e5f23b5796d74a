"""`flask billing …`: paid tiers and Stripe, from the server's side."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click
from flask import current_app
from flask.cli import AppGroup

from courseapp import clock
from courseapp.billing.cataloguing.loops import Line, Outcome, bring_in_line, ours_now, planned_steps
from courseapp.billing.checking import findings
from courseapp.billing.stripe_gateway import StripeError
from courseapp.billing.stripe_setup import wishes
from courseapp.billing.watching.cli import reconcile
from courseapp.config import Settings
from courseapp.extensions import db

billing = AppGroup("billing", help="Paid tiers: set up, bring in line with Stripe, check, compare.")
billing.add_command(reconcile)
COMMANDS = (billing,)
OUTCOME_WORDS = {Outcome.PLANNED: "To do", Outcome.DONE: "Done", Outcome.FAILED: "Not done", Outcome.TOLD: "Look at this"}


@billing.command("sync")
@click.option("--dry-run", is_flag=True, help="Tell what would be done; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sync_command(dry_run: bool, as_json: bool) -> None:
    """Bring tiers and prices in line with Stripe, both ways. Ends with 1 where something needs somebody."""
    settings_that_sell()
    try:
        lines = planned_steps() if dry_run else bring_in_line(clock.now)
    except StripeError as error:
        raise click.ClickException(f"{error.words}. Nothing was changed; flask --app courseapp billing check says more.") from error
    is_well = not any(line.is_wrong for line in lines)
    if as_json:
        click.echo(json.dumps({"ok": is_well, "dry_run": dry_run, "lines": list(map(as_facts, lines))}, ensure_ascii=False, indent=1))
    else:
        for line in lines:
            click.echo(f"{OUTCOME_WORDS[line.outcome]}: {line.words}")
        if not lines:
            click.echo("Nothing differs between here and Stripe.")
    sys.exit(not is_well)


def as_facts(line: Line) -> dict[str, str]:
    """A line for other programs."""
    return {"outcome": line.outcome.value, "words": line.words}


@billing.command("offer")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def offer_command(path: Path) -> None:
    """Make the tiers of the file PATH that are not there yet. What is there is left as it is."""
    from courseapp.billing.offering import offer  # what reads the file is large, and web processes read none

    try:
        found = offer(path, clock.now())
    except ValueError as error:
        db.session.rollback()
        raise click.ClickException(f"Nothing was made.\n{error}") from error
    db.session.commit()
    click.echo(f"Made: {', '.join(found.made) or 'none'}. There already: {', '.join(found.kept) or 'none'}.")


@billing.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check_command(as_json: bool) -> None:
    """Look at everything that buying needs, and say how to mend what is wrong. Ends with 1 where something is."""
    found = list(findings(settings_that_sell(), ours_now()))
    is_well = not any(finding.is_wrong for finding in found)
    if as_json:
        click.echo(json.dumps({"ok": is_well, "findings": [asdict(finding) for finding in found]}, ensure_ascii=False, indent=1))
    else:
        for finding in found:
            click.echo(f"{'Wrong' if finding.is_wrong else 'Well'}: {finding.what}")
            if finding.mend:
                click.echo(f"       {finding.mend}")
    sys.exit(not is_well)


@billing.command("setup")
@click.option("--yes", is_flag=True, help="Do not ask before.")
def setup_command(yes: bool) -> None:
    """Make or mend the webhook endpoint and the Customer Portal at Stripe. Run it after each change of prices or of the version."""
    settings_that_sell()
    try:
        wished = wishes(ours_now(), clock.now())
        if not wished:
            click.echo("The webhook endpoint and the Customer Portal are as they should be.")
            return
        for wish in wished:
            click.echo(wish.words)
        if not yes:
            click.confirm("Do this at Stripe?", abort=True)
        for wish in wished:
            if (secret := wish.grant()) is not None:
                click.echo(f"\nThe signing secret, told this once:\n\n  {secret}\n")
                click.echo("Put it into STRIPE_WEBHOOK_SECRETS (behind a comma, where there is one already) and restart web and worker.")
    except StripeError as error:
        raise click.ClickException(f"{error.words}. What was done stays; run it again to do the rest.") from error
    click.echo("Done.")


def settings_that_sell() -> Settings:
    """The settings; ends in words where nothing is sold."""
    settings: Settings = current_app.config["SETTINGS"]
    if not settings.has_billing:
        raise click.ClickException(
            "This site sells nothing: STRIPE_SECRET_KEY is not set. docs/operations.md, “Paid tiers”, says how to begin."
        )
    return settings
