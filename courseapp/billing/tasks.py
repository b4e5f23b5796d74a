"""Wake-ups for what was bought."""

from courseapp import clock
from courseapp.billing.buying.loops import read_news as read
from courseapp.extensions import celery


@celery.task(name="billing.read_news")
def read_news() -> None:
    """Give people who confirmed an address what guests bought with it."""
    read(clock.now)
