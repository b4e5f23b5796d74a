"""The wake-up for uploads."""

from courseapp import clock
from courseapp.authoring import loops
from courseapp.extensions import celery


@celery.task(name="authoring.work_uploads", soft_time_limit=3000, time_limit=3060)
def work_uploads() -> None:
    """Work through the uploads that wait."""
    loops.work_uploads(clock.now)
