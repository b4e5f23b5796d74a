"""Wake-ups for sequences, broadcasts and lists of contacts."""

from courseapp import clock
from courseapp.campaigns import loops
from courseapp.campaigns.contacting.loops import work_contacts as work
from courseapp.extensions import celery


@celery.task(name="campaigns.read_news")
def read_news() -> None:
    """Begin and end runs by what the journal says."""
    loops.read_news(clock.now)


@celery.task(name="campaigns.advance_sequences")
def advance_sequences() -> None:
    """Send the steps that are due."""
    loops.advance_runs(clock.now)


@celery.task(name="campaigns.notice")
def notice() -> None:
    """Begin and end runs by who has gone quiet or came back, and by modules that opened."""
    loops.notice(clock.now)


@celery.task(name="campaigns.work_broadcasts")
def work_broadcasts() -> None:
    """Begin, expand and finish broadcasts."""
    loops.work_broadcasts(clock.now)


@celery.task(name="campaigns.work_contacts")
def work_contacts() -> None:
    """Bring contacts in and take them out."""
    work(clock.now)
