"""Ticks that keep the installation in order."""

from courseapp import clock
from courseapp.extensions import celery, db
from courseapp.operations import loops
from courseapp.operations.health import beat as note_alive
from courseapp.operations.tidying import tidy as tidy_up


@celery.task(name="operations.beat")
def beat() -> None:
    """Say that the worker is alive."""
    note_alive("worker", clock.now())
    db.session.commit()


@celery.task(name="operations.tidy")
def tidy() -> None:
    """Delete what has had its time."""
    tidy_up(clock.now())
    db.session.commit()


@celery.task(name="operations.read_news")
def read_news() -> None:
    """Tell owners of what must not wait until they look."""
    loops.read_news(clock.now)
