"""`flask mail …`: the outbox without Celery and without Redis."""

import gc
import json
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict

import click
import structlog
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError

from courseapp import clock
from courseapp.config import Settings
from courseapp.extensions import db
from courseapp.mailing import bounces, breaker, forgetting, loops, pausing, standing
from courseapp.mailing.mailboxes import MailboxAway
from courseapp.mailing.models import Stream

log = structlog.get_logger()
WATCH_EVERY = 60.0  # seconds between looks at whether a stream must pause
DATABASE_REST = 2.0  # seconds until a database that was away is asked again

mail = AppGroup("mail", help="The outbox: work through it, see how it stands.")
COMMANDS = (mail,)


@mail.command("work")
@click.option("--drain", is_flag=True, help="End once nothing is due.")
def work(drain: bool) -> None:
    """Send what is due, again and again, until told to stop."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loops.stopping.set())
    gc.freeze()  # what is loaded by now stays: looking for garbage in it takes a tenth of a second each time, as in the worker
    sent, watched_at = 0, -WATCH_EVERY
    while not loops.stopping.is_set():
        try:
            loops.reap(clock.now())
            if time.monotonic() - watched_at >= WATCH_EVERY:
                loops.watch(clock.now())
                watched_at = time.monotonic()
            sums = loops.drain(clock.now)
        except (OperationalError, InterfaceError) as error:
            if drain:
                raise click.ClickException("The database does not answer. Try: flask --app courseapp doctor") from error
            log.warning("database_away", kind=type(error).__name__)
            db.session.remove()
            loops.stopping.wait(DATABASE_REST)
            continue
        sent += sums["accepted"]
        if drain and (loops.is_resting() or not (sums or loops.is_held_back(clock.now()))):
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
    try:
        states, oldest, now = standing.states_of_outbox(), standing.oldest_due(clock.now()), clock.now()
    except (OperationalError, InterfaceError, ProgrammingError) as error:
        raise click.ClickException(
            "The database does not answer, or has no tables yet. Try: flask --app courseapp db upgrade; else flask --app courseapp doctor"
        ) from error
    settings: Settings = current_app.config["SETTINGS"]
    outage = breaker.outage_of(breaker.server_of(settings))
    waits = round((now - oldest).total_seconds()) if oldest else 0
    if as_json:
        paused = {stream.key: stream.paused_why for stream in pausing.paused_streams()}
        server = {"since": outage.since.isoformat(), "why": outage.why} if outage is not None else None
        click.echo(json.dumps({"states": states, "oldest_due_seconds": waits, "paused": paused, "server_in_trouble": server}))
        return
    for state, count in sorted(states.items()):
        click.echo(f"{state:12} {count:8}")
    click.echo(f"The oldest due message has waited {waits} s." if oldest else "Nothing is due.")
    for words in filter(None, (settings.mail_rate, settings.mail_domain_rates)):
        click.echo(f"At most {words}.")
    if outage is not None:
        click.echo(f"The mail server has been in trouble since {outage.since:%Y-%m-%d %H:%M} UTC: {outage.why}")
    for stream in pausing.paused_streams():
        click.echo(f"Paused: {stream.key}. {stream.paused_why or ''} To let it run: flask --app courseapp mail resume {stream.key}")
    if current_app.config["EMBEDDED"]:
        click.echo(f"Mail is written to {settings.data_dir / 'mail'}.")


@mail.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """What mail servers elsewhere look at: SPF, DKIM, DMARC, names, one-click unsubscription. Ends with 1 where something fails."""
    from courseapp.mailing.reputation import findings  # what speaks DNS is large, and no other command does

    found = findings(current_app.config["SETTINGS"])
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found]))
    else:
        for finding in found:
            click.echo(f"{finding.level:6}{finding.name:15}{finding.words}" + (f"\n{'':21}→ {finding.mend}" if finding.mend else ""))
    if any(finding.level == "fail" for finding in found):
        raise SystemExit(1)


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
    lately = bounces.returns_by_kind(clock.now() - forgetting.RETURNS_KEPT)
    if as_json:
        click.echo(json.dumps({"read": now_read, "last_30_days": lately}))
        return
    for kind, count in sorted(lately.items()):
        click.echo(f"{kind:12} {now_read[kind]:8} now {count:8} in 30 days")
    click.echo(f"{now_read.total()} mails read.")


@mail.command("resume")
@click.argument("keys", nargs=-1, metavar="[STREAM]...")
@click.option("--all", "is_all", is_flag=True, help="All of them, for whatever reason each is paused.")
@click.option("--send-waiting", "waiting", flag_value="send", help="What has waited leaves now.")
@click.option("--drop-waiting", "waiting", flag_value="drop", help="What has waited is never sent.")
def resume_command(keys: tuple[str, ...], is_all: bool, waiting: str | None) -> None:
    """Let paused streams run again: those named, or all where all are paused for one reason, as after a restore.

    After a restore the mail that waits may have been sent by the old installation. So where any waits you say what is to become of it.
    """
    now = clock.now()
    streams = pausing.paused_streams(keys)
    if left := set(keys) - {stream.key for stream in streams}:
        raise click.ClickException(f"Not paused, or not there: {', '.join(sorted(left))}. See: flask --app courseapp mail status")
    if not streams:
        click.echo("No stream is paused.")
        return
    if not (keys or is_all) and len({stream.paused_why for stream in streams}) > 1:
        each = "".join(f"\n  {stream.key}: {stream.paused_why}" for stream in streams)
        raise click.ClickException(f"They are paused for different reasons. Name those that are to run again, or say --all.{each}")
    count = pausing.waiting_in(streams, now)
    if count and waiting is None:
        raise click.ClickException(f"{count} mails wait in {_names(streams)}. Say --send-waiting or --drop-waiting.")
    dropped = pausing.drop_waiting(streams, now) if waiting == "drop" else 0
    names = _names(streams)
    pausing.resume(streams, now, dropped=dropped)
    db.session.commit()
    click.echo(f"Running again: {names}. {count} mails {'will not be sent' if waiting == 'drop' else 'leave now'}.")


def _names(streams: Sequence[Stream]) -> str:
    return ", ".join(stream.key for stream in streams)
