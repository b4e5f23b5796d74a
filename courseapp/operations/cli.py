"""`flask up`, `flask doctor`, `flask privacy …`, `flask synth …`."""

import json
import os
import socket
import sys
from dataclasses import asdict

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext
from flask_migrate.cli import db as database

from courseapp import clock
from courseapp.accounts.people import user_of_contact
from courseapp.config import Settings
from courseapp.contacts.people import contact_of_address
from courseapp.extensions import db
from courseapp.operations import embedded, synthetic
from courseapp.operations.diagnosis import diagnosis
from courseapp.operations.people import erase, export

privacy = AppGroup("privacy", help="What is held about a person, and forgetting it.")
synth = AppGroup("synth", help="Synthetic data, for trying and measuring.")


@click.command("up")
@click.option("--parent", type=int, help="End with this process, also where it is gone already: make, killed in mid-start.")
@with_appcontext
def up(parent: int | None) -> None:
    """Run everything on this machine: web, worker, beat. Ctrl-C ends it."""
    settings: Settings = current_app.config["SETTINGS"]
    if not settings.is_embedded:
        raise click.ClickException("This is for the embedded mode. In production start what the Procfile names.")
    held = embedded.hold_folder(settings)
    if held is None:
        raise click.ClickException(
            f"Another run uses {settings.data_dir}. Stop it, or choose another folder: make run DATA_DIR=other PORT=8001"
        )
    if left := embedded.end_leftovers(settings):
        click.echo(f"Ended {left} processes that an earlier run had left.")
    if is_taken(settings.host, settings.port):
        raise click.ClickException(f"Port {settings.port} is in use. Choose another: make run PORT={settings.port + 1}")
    embedded.die_with_parent()
    if parent is not None and os.getppid() != parent:  # it died before we asked to be told
        raise click.ClickException("Whoever started this is gone.")
    click.echo("Preparing tables and the introductory course …")
    now = clock.now()
    embedded.prepare(now)
    links = embedded.demo_links(now)
    db.session.commit()
    db.engine.dispose()

    def say_ready() -> None:
        click.echo(f"\nReady on {settings.public_url}\n")
        for role, link in links.items():
            click.echo(f"  {role.value:11}{link}")
        click.echo(f"\nMail is shown at {settings.public_url}/outbox. The links work once, for 15 minutes. Ctrl-C stops.")
        sys.stdout.flush()

    sys.exit(embedded.run_children(settings, say_ready))


def is_taken(host: str, port: int) -> bool:
    """Whether something listens there already."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def doctor(as_json: bool) -> None:
    """Is this installation healthy? Each part is ok, warn or fail, with how to mend it; ends with 1 where one fails."""
    checks = diagnosis(clock.now())
    if as_json:
        click.echo(json.dumps([{**asdict(check), "ok": check.ok} for check in checks]))
    else:
        for check in checks:
            click.echo(f"{check.level.value:6}{check.name:15}{check.words}" + (f"\n{'':21}→ {check.mend}" if check.mend else ""))
    if not all(check.ok for check in checks):
        sys.exit(1)


@privacy.command("export")
@click.argument("email")
def export_command(email: str) -> None:
    """Print everything that is held about EMAIL, as JSON."""
    contact = contact_of_address(email)
    if contact is None:
        raise click.ClickException(f"Nothing is held about {email}.")
    click.echo(json.dumps(export(user_of_contact(contact), contact), ensure_ascii=False, indent=1))


@privacy.command("erase")
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase_command(email: str, yes: bool) -> None:
    """Forget EMAIL everywhere. This cannot be undone."""
    contact = contact_of_address(email)
    if contact is None:
        raise click.ClickException(f"Nothing is held about {email}.")
    if not yes:
        click.confirm(f"Forget {email}, with progress, sessions and consents? This cannot be undone", abort=True)
    erase(user_of_contact(contact), contact, clock.now())
    db.session.commit()
    click.echo("Forgotten.")


@synth.command("learners")
@click.argument("count", type=click.IntRange(1, 5_000_000))
def synth_learners(count: int) -> None:
    """Make COUNT invented learners with progress. Embedded mode and test databases only."""
    if not current_app.config["EMBEDDED"]:
        raise click.ClickException("Invented people do not belong into a production database.")
    with click.progressbar(length=count, label="Inventing learners") as bar:
        for made in synthetic.make_learners(count, clock.now()):
            db.session.commit()
            bar.update(made)


COMMANDS = (up, doctor, privacy, synth, database)
