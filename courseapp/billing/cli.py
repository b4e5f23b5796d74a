"""`flask billing …`: paid tiers and Stripe, from the server's side."""

import json
import sys
from pathlib import Path

import click
from flask.cli import AppGroup

from courseapp import clock
from courseapp.billing.cataloguing.loops import Line, Outcome, bring_in_line, planned_steps
from courseapp.billing.offering import offer
from courseapp.billing.stripe_gateway import StripeError
from courseapp.billing.watching.cli import reconcile
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
    try:
        found = offer(path, clock.now())
    except ValueError as error:
        db.session.rollback()
        raise click.ClickException(f"Nothing was made.\n{error}") from error
    db.session.commit()
    click.echo(f"Made: {', '.join(found.made) or 'none'}. There already: {', '.join(found.kept) or 'none'}.")
