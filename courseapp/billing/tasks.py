"""Wake-ups for what Stripe has told, and for what guests bought."""

from courseapp import clock
from courseapp.billing import loops
from courseapp.billing.buying.loops import read_news as read
from courseapp.billing.selling import is_selling
from courseapp.billing.watching import loops as watching
from courseapp.extensions import celery


@celery.task(name="billing.work_events")
def work_events() -> None:
    """Ask about what events are about, and keep the answers."""
    if is_selling():
        loops.work_events(clock.now)


@celery.task(name="billing.find_missed")
def find_missed() -> None:
    """Ask for the events that no webhook brought."""
    if is_selling():
        watching.find_missed(clock.now())


@celery.task(name="billing.reconcile", soft_time_limit=3000, time_limit=3060)  # a list of many pages takes its time
def reconcile() -> None:
    """Compare with Stripe, each night and when somebody asked for it."""
    if is_selling():
        watching.reconcile(clock.now)


@celery.task(name="billing.read_news")
def read_news() -> None:
    """Give people who confirmed an address what guests bought with it."""
    read(clock.now)
