"""`flask mail …`: the outbox without Celery and without Redis."""

import json
import signal
from collections.abc import Sequence

import click
import structlog
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.exc import InterfaceError, OperationalError

from courseapp import clock
from courseapp.extensions import db
from courseapp.mailing import bounces, loops, pausing, standing
from courseapp.mailing.mailboxes import MailboxAway
from courseapp.mailing.models import Stream

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
    states, oldest, now = standing.states_of_outbox(), standing.oldest_due(clock.now()), clock.now()
    waits = round((now - oldest).total_seconds()) if oldest else 0
    if as_json:
        paused = {stream.key: stream.paused_why for stream in pausing.paused_streams()}
        click.echo(json.dumps({"states": states, "oldest_due_seconds": waits, "paused": paused}))
        return
    for state, count in sorted(states.items()):
        click.echo(f"{state:12} {count:8}")
    click.echo(f"The oldest due message has waited {waits} s." if oldest else "Nothing is due.")
    for stream in pausing.paused_streams():
        click.echo(f"Paused: {stream.key}. {stream.paused_why or ''} To let it run: flask --app courseapp mail resume {stream.key}")
    if current_app.config["EMBEDDED"]:
        click.echo(f"Mail is written to {current_app.config['SETTINGS'].data_dir / 'mail'}.")


@mail.command("bounces")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bounces_command(as_json: bool) -> None:
    """Read once what came back, and say how much of each kind there is: now, and of the last 30 days."""
    if not current_app.config["SETTINGS"].bounces_url:
        raise click.ClickException("There is no mailbox to read. Set BOUNCES_URL; docs/operations.md, What comes back, says how.")
    try:
        now_read = loops.read_returned(clock.now, seconds=600.0)
    except MailboxAway as error:
        raise click.ClickException(f"{error}. What came before is kept; try again.") from error
    lately = bounces.returns_by_kind(clock.now() - bounces.RETURNS_KEPT)
    if as_json:
        click.echo(json.dumps({"read": now_read, "last_30_days": lately}))
        return
    for kind, count in sorted(lately.items()):
        click.echo(f"{kind:12} {now_read[kind]:8} now {count:8} in 30 days")
    click.echo(f"{now_read.total()} mails read.")


@mail.command("resume")
@click.argument("keys", nargs=-1, metavar="[STREAM]...")
@click.option("--send-waiting", "waiting", flag_value="send", help="What has waited leaves now.")
@click.option("--drop-waiting", "waiting", flag_value="drop", help="What has waited is never sent.")
def resume_command(keys: tuple[str, ...], waiting: str | None) -> None:
    """Let paused streams run again: those named, or all.

    After a restore the mail that waits may have been sent by the old installation. So where any waits you say what is to become of it.
    """
    now = clock.now()
    streams = pausing.paused_streams(keys)
    if left := set(keys) - {stream.key for stream in streams}:
        raise click.ClickException(f"Not paused, or not there: {', '.join(sorted(left))}. See: flask --app courseapp mail status")
    if not streams:
        click.echo("No stream is paused.")
        return
    count = pausing.waiting_in(streams, now)
    if count and waiting is None:
        raise click.ClickException(f"{count} mails wait in {_names(streams)}. Say --send-waiting or --drop-waiting.")
    if waiting == "drop":
        pausing.drop_waiting(streams, now)
    names = _names(streams)
    pausing.resume(streams, now)
    db.session.commit()
    click.echo(f"Running again: {names}. {count} mails {'will not be sent' if waiting == 'drop' else 'leave now'}.")


def _names(streams: Sequence[Stream]) -> str:
    return ", ".join(stream.key for stream in streams)
