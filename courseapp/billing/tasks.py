"""Wake-ups for what Stripe has told, and for what guests bought."""

from courseapp import clock
from courseapp.billing import loops
from courseapp.billing.buying.loops import read_news as read
from courseapp.billing.selling import is_selling
from courseapp.extensions import celery


@celery.task(name="billing.work_events")
def work_events() -> None:
    """Ask about what events are about, and keep the answers."""
    if is_selling():
        loops.work_events(clock.now)


@celery.task(name="billing.read_news")
def read_news() -> None:
    """Give people who confirmed an address what guests bought with it."""
    read(clock.now)
