"""Wake-ups: each drains what is due and wakes the next where time ran out."""

import contextlib

from celery.signals import worker_shutting_down

from courseapp import clock
from courseapp.extensions import celery
from courseapp.mailing import loops
from courseapp.mailing.mailboxes import MailboxAway


@worker_shutting_down.connect
def stop_claiming(**_facts: object) -> None:
    """Told to end: finish the message in hand and give the rest back."""
    loops.stopping.set()


@celery.task(name="mailing.send_service")
def send_service() -> None:
    """Sign-in links and receipts, which never wait behind a broadcast."""
    loops.drain(clock.now, service_only=True)


@celery.task(name="mailing.send_due")
def send_due() -> None:
    """Everything that is due."""
    loops.drain(clock.now)


@celery.task(name="mailing.reap")
def reap() -> None:
    """Put right what killed workers left."""
    loops.reap(clock.now())


@celery.task(name="mailing.watch")
def watch() -> None:
    """Pause streams in which too much goes wrong."""
    loops.watch(clock.now())


@celery.task(name="mailing.read_returned")
def read_returned() -> None:
    """What came back by mail, and what waits for its message."""
    with contextlib.suppress(MailboxAway):  # the log says so; the next tick tries again
        loops.read_returned(clock.now)


@celery.task(name="mailing.renew_deliverability")
def renew_deliverability() -> None:
    """Count how mail arrives by domain."""
    loops.renew_deliverability(clock.now())
