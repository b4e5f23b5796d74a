"""The wake-up for printed copies."""

from courseapp import clock
from courseapp.extensions import celery
from courseapp.learning import loops


@celery.task(name="learning.build_copies")
def build_copies() -> None:
    """Build the copies that are asked for."""
    loops.build_copies(clock.now)
