"""Can people be served? A few quick checks, read by readiness, metrics and the doctor (diagnosis.py)."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from courseapp import storage
from courseapp.extensions import celery, db, insert_into
from courseapp.operations.models import Heartbeat

WORKER_SILENT = timedelta(seconds=90)


class Level(enum.StrEnum):
    """How well a thing is. A warning can wait until tomorrow, a failure cannot."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `mend` says what to do where it is not well."""

    name: str
    level: Level
    words: str
    mend: str = ""

    @property
    def ok(self) -> bool:
        """Whether it does its work, if with a warning."""
        return self.level is not Level.FAIL


def beat(name: str, now: datetime) -> None:
    """Note that a part is alive."""
    statement = insert_into(Heartbeat).values(name=name, at=now)
    db.session.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"at": now}))


def readiness(now: datetime) -> list[Check]:
    """What must hold for people to be served: database, storage, broker, worker. Asked every few seconds, so nothing slow is in it."""
    return [check_database(), check_storage(), check_broker(), check_worker(now)]


def check_database() -> Check:
    """Whether the database answers."""
    try:
        db.session.execute(sa.text("SELECT 1"))
        return Check("database", Level.OK, f"{db.engine.dialect.name} answers")
    except SQLAlchemyError as error:
        db.session.rollback()
        words = f"it does not answer ({type(error).__name__})"
        return Check("database", Level.FAIL, words, "See that it runs, and that DATABASE_URL is right.")


def check_storage() -> Check:
    """Whether files can be kept."""
    if storage.is_writable():
        return Check("storage", Level.OK, "files can be kept")
    return Check("storage", Level.FAIL, "files cannot be kept", "See to space and rights where STORAGE_URL or DATA_DIR points.")


def check_broker() -> Check:
    """Whether wake-ups and ticks can travel; without them pages work and mail waits."""
    try:
        with celery.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=1, interval_start=0, interval_step=0)
        return Check("broker", Level.OK, "wake-ups can travel")
    except Exception as error:  # whatever the transport raises
        words = f"it cannot be reached ({type(error).__name__})"
        return Check("broker", Level.FAIL, words, "See that Redis runs, and that REDIS_URL is right.")


def check_worker(now: datetime) -> Check:
    """Whether the worker was alive lately."""
    return guarded("worker", lambda: _worker(now))


def guarded(name: str, look: Callable[[], Check]) -> Check:
    """A look at the database that tells its failure instead of failing."""
    try:
        return look()
    except SQLAlchemyError as error:
        db.session.rollback()
        return Check(name, Level.FAIL, f"cannot be told ({type(error).__name__})", "Mend the database first.")


def _worker(now: datetime) -> Check:
    at = db.session.scalar(sa.select(Heartbeat.at).where(Heartbeat.name == "worker"))
    mend = "Start the worker and beat (see Procfile)."
    if at is None:
        return Check("worker", Level.FAIL, "it has never been seen", mend)
    is_alive = now - at < WORKER_SILENT
    words = f"last seen {round((now - at).total_seconds())} s ago"
    return Check("worker", Level.OK, words) if is_alive else Check("worker", Level.FAIL, words, mend)
