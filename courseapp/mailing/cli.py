"""`flask mail …`: the outbox without Celery and without Redis."""

import json
import signal

import click
import structlog
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.exc import InterfaceError, OperationalError

from courseapp import clock
from courseapp.extensions import db
from courseapp.mailing import loops, outbox

log = structlog.get_logger()
DATABASE_REST = 2.0  # seconds until a database that was away is asked again

mail = AppGroup("mail", help="The outbox: work through it, see how it stands.")
COMMANDS = (mail,)


@mail.command("work")
@click.option("--drain", is_flag=True, help="End once nothing is due.")
def work(drain: bool) -> None:
    """Send what is due, again and again, until told to stop."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loops.stopping.set())
    sent = 0
    while not loops.stopping.is_set():
        try:
            loops.reap(clock.now())
            sums = loops.drain(clock.now)
        except (OperationalError, InterfaceError) as error:
            if drain:
                raise click.ClickException("The database does not answer. Try: flask --app courseapp doctor") from error
            log.warning("database_away", kind=type(error).__name__)
            db.session.remove()
            loops.stopping.wait(DATABASE_REST)
            continue
        sent += sums["accepted"]
        if drain and (not sums or loops.is_resting()):
            break
        if not sums:
            loops.stopping.wait(1.0)
    in_trouble = loops.is_resting()
    loops.close_door()
    click.echo(f"{sent} messages sent.")
    if drain and in_trouble:
        raise click.ClickException("The mail server is in trouble; what is left waits. Try: flask --app courseapp mail status")


@mail.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """How many messages stand in each state, and how long the oldest due one has waited."""
    states, oldest, now = outbox.states_of_outbox(), outbox.oldest_due(clock.now()), clock.now()
    waits = round((now - oldest).total_seconds()) if oldest else 0
    if as_json:
        click.echo(json.dumps({"states": states, "oldest_due_seconds": waits}))
        return
    for state, count in sorted(states.items()):
        click.echo(f"{state:12} {count:8}")
    click.echo(f"The oldest due message has waited {waits} s." if oldest else "Nothing is due.")
    if current_app.config["EMBEDDED"]:
        click.echo(f"Mail is written to {current_app.config['SETTINGS'].data_dir / 'mail'}.")
