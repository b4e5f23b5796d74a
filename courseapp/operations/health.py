"""Is this installation well? One list of checks, read by readiness, metrics and the doctor."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from flask import current_app
from sqlalchemy.exc import SQLAlchemyError

from courseapp import storage
from courseapp.catalog.models import Course
from courseapp.extensions import celery, db, insert_into
from courseapp.mailing.outbox import oldest_due
from courseapp.operations.models import Heartbeat

HEAD = Path(__file__).parent.parent.parent / "migrations" / "HEAD"  # a test holds it against the migrations
WORKER_SILENT = timedelta(seconds=90)
MAIL_LATE = timedelta(minutes=10)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `mend` says what to do where it is not well."""

    name: str
    ok: bool
    words: str
    mend: str = ""


def beat(name: str, now: datetime) -> None:
    """Note that a part is alive."""
    statement = insert_into(Heartbeat).values(name=name, at=now)
    db.session.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"at": now}))


def readiness(now: datetime) -> list[Check]:
    """What must hold for people to be served: database, storage, broker, worker."""
    return [check_database(), check_storage(), check_broker(), check_worker(now)]


def diagnosis(now: datetime) -> list[Check]:
    """Everything the doctor looks at."""
    found = readiness(now)
    if found[0].ok:
        found += [check_migrations(), check_mail(now), check_course()]
    return [*found, check_sender()]


def check_database() -> Check:
    """Whether the database answers."""
    try:
        db.session.execute(sa.text("SELECT 1"))
        return Check("database", True, f"{db.engine.dialect.name} answers")
    except SQLAlchemyError as error:
        db.session.rollback()
        return Check("database", False, f"it does not answer ({type(error).__name__})", "See that it runs, and that DATABASE_URL is right.")


def check_storage() -> Check:
    """Whether files can be kept."""
    ok = storage.is_writable()
    return Check(
        "storage",
        ok,
        "files can be kept" if ok else "files cannot be kept",
        "" if ok else "See to space and rights where STORAGE_URL or DATA_DIR points.",
    )


def check_broker() -> Check:
    """Whether wake-ups can travel; without them pages work and mail waits for the next tick."""
    try:
        with celery.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=1, interval_start=0, interval_step=0)
        return Check("broker", True, "wake-ups can travel")
    except Exception as error:  # whatever the transport raises
        return Check("broker", False, f"it cannot be reached ({type(error).__name__})", "See that Redis runs, and that REDIS_URL is right.")


def check_worker(now: datetime) -> Check:
    """Whether the worker was alive lately."""
    return _guarded("worker", lambda: _worker(now))


def _worker(now: datetime) -> Check:
    at = db.session.scalar(sa.select(Heartbeat.at).where(Heartbeat.name == "worker"))
    if at is None:
        return Check("worker", False, "it has never been seen", "Start the worker and beat (see Procfile).")
    seconds = round((now - at).total_seconds())
    return Check(
        "worker",
        now - at < WORKER_SILENT,
        f"last seen {seconds} s ago",
        "" if now - at < WORKER_SILENT else "Start the worker and beat (see Procfile).",
    )


def check_migrations() -> Check:
    """Whether the tables are those this version needs."""
    head = HEAD.read_text().strip()
    connection = db.session.connection()  # a second one would wait for SQLite's one writer
    is_there = sa.inspect(connection).has_table("alembic_version")
    current = connection.scalar(sa.text("SELECT version_num FROM alembic_version")) if is_there else None
    ok = head == current
    return Check("tables", ok, f"at {current}, this version needs {head}", "" if ok else "Run: flask --app courseapp db upgrade")


def check_mail(now: datetime) -> Check:
    """Whether due mail leaves."""
    oldest = oldest_due(now)
    if oldest is None:
        return Check("mail", True, "nothing is waiting")
    ok = now - oldest < MAIL_LATE
    return Check(
        "mail",
        ok,
        f"the oldest has waited {round((now - oldest).total_seconds())} s",
        "" if ok else "See that the worker runs and the mail server answers: flask mail status",
    )


def check_course() -> Check:
    """Whether there is something to learn."""
    count = db.session.scalar(sa.select(sa.func.count()).select_from(Course).where(Course.published_at.is_not(None))) or 0
    return Check(
        "course",
        count > 0,
        f"{count} published",
        "" if count else "Run: flask --app courseapp course import content/introduction --publish",
    )


def check_sender() -> Check:
    """Whether mail says who sends it."""
    settings = current_app.config["SETTINGS"]
    ok = settings.is_embedded or bool(settings.postal_address and settings.sender_address)
    return Check(
        "sender",
        ok,
        "mail says who sends it" if ok else "mail does not say who sends it",
        "" if ok else "Set POSTAL_ADDRESS and SENDER_ADDRESS.",
    )


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except SQLAlchemyError as error:
        db.session.rollback()
        return Check(name, False, f"cannot be told ({type(error).__name__})", "Mend the database first.")
