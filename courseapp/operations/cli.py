"""`flask up`, `flask doctor`, `flask backup …`, `flask privacy …`, `flask synth …`."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext
from flask_migrate.cli import db as database
from sqlalchemy.exc import InterfaceError, OperationalError

from courseapp import clock
from courseapp.accounts.models import User
from courseapp.accounts.people import user_of_contact
from courseapp.billing.leaving import what_ends
from courseapp.campaigns.catching_up import catch_up
from courseapp.config import Settings
from courseapp.contacts.address import address_mac
from courseapp.contacts.models import Contact
from courseapp.contacts.people import contact_of_address
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.journal import events
from courseapp.mailing.links import full_url
from courseapp.operations import backups, embedded, loops, play_money, synthetic
from courseapp.operations.archive import BadBackup, Contents, Tell
from courseapp.operations.diagnosis import diagnosis
from courseapp.operations.encryption import encrypted
from courseapp.operations.people import erase, export, subjects_of
from courseapp.operations.play_money import is_taken
from courseapp.operations.questions import export_questions

privacy = AppGroup("privacy", help="What is held about a person, and forgetting it.")
backup = AppGroup("backup", help="Everything in one file: made, looked at, brought back.")
synth = AppGroup("synth", help="Synthetic data, for trying and measuring.")
KEY = click.option("--key", type=click.Path(path_type=Path), help="The file of the key it was encrypted for, as age-keygen writes it.")


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
    if settings.has_play_money and is_taken("127.0.0.1", play_money.port_of(settings)):
        kept = settings.data_dir / "stripe_port"
        raise click.ClickException(
            f"The stand-in for Stripe needs the port that {kept} names, and it is in use. Free it, or delete that file."
        )
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
        if settings.has_play_money:
            play_money.set_up(settings)
        click.echo(f"\nReady on {settings.public_url}\n")
        for role, link in links.items():
            click.echo(f"  {role.value:11}{link}")
        if settings.has_play_money:
            pricing = full_url("billing.plans")
            click.echo(f"\nPaid tiers are open, with play money: {pricing}. Nothing is charged, and no card is asked for.")
        click.echo(f"\nMail is shown at {settings.public_url}/outbox. The links work once, for 15 minutes. Ctrl-C stops.")
        sys.stdout.flush()

    sys.exit(embedded.run_children(settings, say_ready))


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
    user, contact, mac = _held_about(email)
    if contact is not None:
        events.record("operator_exported", subjects_of(user, contact)[0], clock.now())  # they read of it
        db.session.commit()
    click.echo(json.dumps(export(user, contact, mac), ensure_ascii=False, indent=1))


@privacy.command("erase")
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--subscriptions-handled", is_flag=True, help="What they pay for has ended at Stripe, or you see to it: Stripe is not asked to end it."
)
def erase_command(email: str, yes: bool, subscriptions_handled: bool) -> None:
    """Forget EMAIL everywhere. This cannot be undone.

    What they pay for again and again is ended at Stripe first; where Stripe cannot confirm that, nothing is erased.
    """
    user, contact, mac = _held_about(email)
    if not yes:
        click.confirm(f"Forget {email}, with progress, purchases, sessions and consents? This cannot be undone", abort=True)
    if subscriptions_handled:
        _warn_of_subscriptions(user)
    else:
        try:
            loops.end_subscriptions(user)
        except Refusal as refusal:
            raise click.ClickException(f"{refusal.words}\nOnce it has ended there: add --subscriptions-handled.") from refusal
    erase(user, contact, clock.now(), mac)
    events.record("operator_erased", "erased", clock.now())
    db.session.commit()
    click.echo("Forgotten.")


def _warn_of_subscriptions(user: User | None) -> None:
    for stripe_id in what_ends(user.id).subscriptions if user is not None else ():
        click.echo(
            f"As far as known here {stripe_id} goes on. Make sure at Stripe that it has ended: nobody here can after this.", err=True
        )


def _held_about(email: str) -> tuple[User | None, Contact | None, str]:
    """Who has this address, and its keyed hash: somebody may have asked something under it without more; raises ClickException."""
    contact, mac = contact_of_address(email), address_mac(email.strip())
    if contact is None and not export_questions(None, mac):
        raise click.ClickException(f"Nothing is held about {email}.")
    return user_of_contact(contact) if contact is not None else None, contact, mac


@backup.command("create")
@click.argument("file")
@click.option("--replace", is_flag=True, help="Write over a file of this name.")
@click.option(
    "--to", "recipients", multiple=True, help="Encrypt it for this key, as age does: age1… or ssh-ed25519 …; several may be given."
)
def backup_create(file: str, replace: bool, recipients: tuple[str, ...]) -> None:
    """Write everything into FILE, while people go on working; `-` writes to standard output.

    Ends with 1 where the database names files that the storage does not hold; the backup is written all the same.
    """
    with _in_words() as tell:
        whole = nullcontext(sys.stdout.buffer) if file == "-" else backups.new_file(Path(file), replace)
        with whole as opened, encrypted(opened, recipients) as plain:
            contents = backups.create(plain, clock.now(), tell)
    _describe(contents)
    if contents.missing:
        sys.exit(1)


@backup.command("verify")
@click.argument("file", type=click.Path(path_type=Path))
@KEY
def backup_verify(file: Path, key: Path | None) -> None:
    """Read FILE to its end and say whether it is whole. Changes nothing."""
    with _in_words() as tell:
        contents = backups.verify(file, tell, key)
    _describe(contents)
    if not contents.has_own_key:
        raise click.ClickException(f"Every part is as the file says; but: {backups.OTHER_KEY}")
    click.echo("The backup is whole.", err=True)


@backup.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--erasures", type=click.Path(path_type=Path), help="The old installation's files/erasures.")
@click.option("--other-secret", is_flag=True, help="The old SECRET_KEY is lost. Whether the file was changed cannot be told then.")
@KEY
def backup_restore(file: Path, erasures: Path | None, other_secret: bool, key: Path | None) -> None:
    """Bring FILE back into an empty installation, all of it or nothing. Web, worker and beat must not run."""
    if erasures is not None and not erasures.is_dir():
        words = f"There is no folder “{erasures}”. Where nobody was ever erased there is none: then leave --erasures out."
        raise click.BadParameter(words, param_hint="--erasures")
    with _in_words() as tell:
        now = clock.now()
        contents, erased = backups.restore(file, erasures, now, tell, other_secret, key)
        overdue = catch_up(now)
        db.session.commit()
    _describe(contents)
    click.echo(f"Restored. {erased} people who were erased since were erased again.", err=True)
    if overdue:
        click.echo(f"For {overdue} people letters have come due since; they wait with the other mail.", err=True)
    click.echo("No mail leaves until you say so: flask --app courseapp mail resume --help, and docs/operations.md", err=True)


@contextmanager
def _in_words() -> Iterator[Tell]:
    """Say how far it is, once a second; what is wrong with a backup ends the command in words."""
    told = time.monotonic()

    def tell(words: str) -> None:
        nonlocal told
        if time.monotonic() - told >= 1:
            told = time.monotonic()
            click.echo(f"… {words}", err=True)

    try:
        yield tell
    except BadBackup as error:
        db.session.rollback()
        raise click.ClickException(str(error)) from error
    except (OperationalError, InterfaceError) as error:
        raise click.ClickException(f"The database cannot go on ({error.orig}). Try: flask --app courseapp doctor") from error
    except OSError as error:
        db.session.rollback()
        raise click.ClickException(f"Files cannot be read or written: {error.strerror or type(error).__name__}.") from error


def _describe(contents: Contents) -> None:
    """What a backup holds and what it does not; on standard error, for the backup may go to standard output."""
    click.echo(f"Of {contents.made_at}, tables {contents.migration}: {contents.rows} rows, {contents.files} files.", err=True)
    click.echo(
        f"Settings are not in it. Set where it is restored: {', '.join(contents.settings)} (SECRET_KEY exactly as it was; "
        "in embedded mode it stands in DATA_DIR/secret_key).",
        err=True,
    )
    if contents.missing:
        click.echo(f"{len(contents.missing)} files are missing from the storage or damaged, such as {contents.missing[0]}", err=True)


@synth.command("learners")
@click.argument("count", type=click.IntRange(1, 5_000_000))
def synth_learners(count: int) -> None:
    """Make COUNT invented learners with progress. Embedded mode and test databases only."""
    _invent(count, "Inventing learners", with_contacts=False)


@synth.command("contacts")
@click.argument("count", type=click.IntRange(1, 5_000_000))
def synth_contacts(count: int) -> None:
    """Make COUNT invented learners with confirmed addresses and consents. Embedded mode and test databases only."""
    _invent(count, "Inventing contacts", with_contacts=True)


def _invent(count: int, label: str, *, with_contacts: bool) -> None:
    if not current_app.config["EMBEDDED"]:
        raise click.ClickException("Invented people do not belong into a production database.")
    with click.progressbar(length=count, label=label) as bar:
        for made in synthetic.make_learners(count, clock.now(), with_contacts=with_contacts):
            db.session.commit()
            bar.update(made)


COMMANDS = (up, doctor, backup, privacy, synth, database)
