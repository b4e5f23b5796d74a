"""Wake-ups for what Stripe has told."""

from courseapp import clock
from courseapp.billing import loops
from courseapp.billing.selling import is_selling
from courseapp.extensions import celery


@celery.task(name="billing.work_events")
def work_events() -> None:
    """Ask about what events are about, and keep the answers."""
    if is_selling():
        loops.work_events(clock.now)
