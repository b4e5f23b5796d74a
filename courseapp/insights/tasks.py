"""The daily count."""

from courseapp import clock
from courseapp.extensions import celery
from courseapp.insights import loops


@celery.task(name="insights.renew_figures")
def renew_figures() -> None:
    """Count the courses whose figures are a day old."""
    loops.renew_figures(clock.now)


@celery.task(name="insights.renew_mail_figures")
def renew_mail_figures() -> None:
    """Count what people did after mails."""
    loops.renew_mail_figures(clock.now)
