"""What the doctor looks at besides readiness: things that change slowly, or that take seconds to find out."""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from flask import current_app

from courseapp import clock
from courseapp.billing import reconciling, stripe_events
from courseapp.billing.selling import is_selling
from courseapp.catalog.models import Course
from courseapp.config import Settings
from courseapp.extensions import db
from courseapp.mailing.breaker import outage_of, server_of
from courseapp.mailing.pausing import paused_streams
from courseapp.mailing.smtp import trouble_at
from courseapp.mailing.standing import oldest_due
from courseapp.operations.health import Check, Level, check_broker, check_database, check_storage, check_worker, guarded

HEAD = Path(__file__).parent.parent.parent / "migrations" / "HEAD"  # a test holds it against the migrations
MAIL_SLOW = timedelta(minutes=2)
MAIL_LATE = timedelta(minutes=10)
SPACE_LOW = 2_000_000_000  # bytes
SPACE_GONE = 200_000_000
UNCOMPARED = timedelta(hours=50)
CLOCK_OFF = 2.0  # seconds
CLOCK_WRONG = 30.0


def diagnosis(now: datetime) -> list[Check]:
    """Everything the doctor looks at. Takes as long as the mail server and the broker need to answer, some seconds at worst."""
    settings: Settings = current_app.config["SETTINGS"]
    database = check_database()
    found = [check_configuration(settings), database, check_worker(now)]
    if database.ok:
        found += [
            guarded("tables", check_tables),
            guarded("clock", check_clock),
            guarded("queue", lambda: check_queue(now)),
            guarded("sending", lambda: check_sending(settings, now)),
            guarded("course", check_course),
        ]
        found += [guarded("payments", lambda: check_payments(now))] if is_selling() else []
    return [*found, check_storage(), check_disk(settings), check_broker(), check_mail(settings)]


def check_configuration(settings: Settings) -> Check:
    """Whether the settings go together. What production cannot do without is refused at the start already (config.py)."""
    wrong = [
        (settings.clock_file is not None, "CLOCK_FILE is for tests: whoever may write that file sets the clock. Remove it."),
        (not settings.rate_limits, "RATE_LIMITS=false lets anyone guess codes and passwords. Remove it."),
    ]
    doubtful = [
        (not settings.is_https, "BASE_URL is not https, so cookies and pages travel open. Put a proxy with TLS in front and change it."),
        (
            settings.is_https and not settings.trusted_proxies,
            "TRUSTED_PROXIES is 0, so everybody behind your proxy counts as one for rate limits. Set it to 1 if there is one proxy.",
        ),
        (
            settings.web_workers > 1 and not settings.redis_url,
            "WEB_WORKERS is above 1 without REDIS_URL, so each process counts rate limits for itself. Set REDIS_URL.",
        ),
    ]
    if settings.is_embedded:
        return Check("configuration", Level.OK, "embedded mode, for one machine and for trying")
    for level, rules in ((Level.FAIL, wrong), (Level.WARN, doubtful)):
        if said := [mend for holds, mend in rules if holds]:
            return Check("configuration", level, f"{len(said)} settings do not go together", " ".join(said))
    return Check("configuration", Level.OK, "the settings go together")


def check_tables() -> Check:
    """Whether the tables are those this version needs."""
    head = HEAD.read_text().strip()
    connection = db.session.connection()  # a second one would wait for SQLite's one writer
    is_there = sa.inspect(connection).has_table("alembic_version")
    current = connection.scalar(sa.text("SELECT version_num FROM alembic_version")) if is_there else None
    is_right = head == current
    mend = "" if is_right else "Run: flask --app courseapp db upgrade"
    return Check("tables", Level.OK if is_right else Level.FAIL, f"at {current}, this version needs {head}", mend)


def check_clock() -> Check:
    """Whether the database's clock agrees with this machine's: leases, links and due times are written by one and read by both."""
    if db.engine.dialect.name == "sqlite":
        return Check("clock", Level.OK, "there is one clock, this machine's")
    before = clock.of_this_machine()
    theirs: datetime = db.session.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    after = clock.of_this_machine()
    return clock_apart((theirs - (before + (after - before) / 2)).total_seconds())


def clock_apart(seconds: float) -> Check:
    """What a difference between the two clocks means."""
    apart = abs(seconds)
    level = Level.FAIL if apart >= CLOCK_WRONG else Level.WARN if apart >= CLOCK_OFF else Level.OK
    words = f"the database's is {apart:.0f} s {'ahead' if seconds > 0 else 'behind'}" if apart >= CLOCK_OFF else "both clocks agree"
    return Check("clock", level, words, "" if level is Level.OK else "Let both machines keep time: timedatectl set-ntp true")


def check_queue(now: datetime) -> Check:
    """Whether due mail leaves."""
    oldest = oldest_due(now)
    if oldest is None:
        return Check("queue", Level.OK, "no mail is waiting")
    waits = now - oldest
    level = Level.FAIL if waits >= MAIL_LATE else Level.WARN if waits >= MAIL_SLOW else Level.OK
    mend = "" if level is Level.OK else "See that the worker runs and the mail server answers: flask --app courseapp mail status"
    return Check("queue", level, f"the oldest due mail has waited {round(waits.total_seconds())} s", mend)


def check_sending(settings: Settings, now: datetime) -> Check:
    """Whether the mail server was in trouble when a mail was last to leave (a login that fails, say), or a kind of mail is paused."""
    outage = outage_of(server_of(settings))
    if outage is not None:
        level = Level.FAIL if now - outage.since >= MAIL_LATE else Level.WARN
        words = f"the mail server has been in trouble since {outage.since:%Y-%m-%d %H:%M} UTC: {outage.why}"
        return Check("sending", level, words, "Mend what it says; mail waits meanwhile and leaves by itself.")
    if paused := [stream.key for stream in paused_streams()]:
        mend = "See why, and let it run again at /staff/mail or by: flask --app courseapp mail resume"
        return Check("sending", Level.WARN, f"paused: {', '.join(paused)}", mend)
    return Check("sending", Level.OK, "nothing holds mail back")


def check_course() -> Check:
    """Whether there is something to learn."""
    count = db.session.scalar(sa.select(sa.func.count()).select_from(Course).where(Course.published_at.is_not(None))) or 0
    mend = "" if count else "Run: flask --app courseapp course import content/introduction --publish"
    return Check("course", Level.OK if count else Level.WARN, f"{count} published", mend)


def check_payments(now: datetime) -> Check:
    """Whether what Stripe tells is worked, and was compared with ours lately."""
    if late := stripe_events.count_late(now):
        mend = "See what holds them up at /staff/billing/events, and that the worker runs."
        return Check("payments", Level.WARN, f"{late} events of Stripe's have been open for over 10 minutes", mend)
    compared = reconciling.last_success()
    if compared is None or now - compared >= UNCOMPARED:
        words = "never" if compared is None else f"last {compared:%Y-%m-%d %H:%M} UTC"
        mend = "See that the worker and beat run; or run: flask --app courseapp billing reconcile"
        return Check("payments", Level.WARN, f"compared with Stripe {words}", mend)
    return Check("payments", Level.OK, f"no event waits; compared with Stripe {compared:%Y-%m-%d %H:%M} UTC")


def check_disk(settings: Settings) -> Check:
    """Whether there is space where DATA_DIR is."""
    try:
        return disk_left(shutil.disk_usage(settings.data_dir).free)
    except OSError as error:
        return Check("disk", Level.WARN, f"DATA_DIR cannot be looked at ({type(error).__name__})", "See that it exists and is ours.")


def disk_left(free: int) -> Check:
    """What so many free bytes mean."""
    level = Level.FAIL if free < SPACE_GONE else Level.WARN if free < SPACE_LOW else Level.OK
    mend = "" if level is Level.OK else "Make space where DATA_DIR is: old backups and logs first."
    return Check("disk", level, f"{free / 1e9:.1f} GB free", mend)


def check_mail(settings: Settings) -> Check:
    """Whether the mail server lets itself be spoken to. Nothing is sent and nobody logs in."""
    if not settings.smtp_url:
        return Check("mail", Level.OK, "mail becomes files in DATA_DIR")
    if words := trouble_at(settings.smtp_url, settings.smtp_ca_file):
        return Check("mail", Level.FAIL, words, "See that SMTP_URL is right and the server lets this machine in; mail waits meanwhile.")
    return Check("mail", Level.OK, "the mail server answers")
