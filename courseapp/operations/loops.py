"""Reading the news that owners are told of, a commit for each batch."""

from collections.abc import Callable
from datetime import datetime

from courseapp.extensions import db
from courseapp.journal.events import unread
from courseapp.operations.alerting import tell_owners

BATCH = 20


def read_news(clock: Callable[[], datetime]) -> int:
    """Tell owners what they must know; how many events were read."""
    now = clock()
    batch = unread("operations", BATCH)
    for receipt, event in batch:
        tell_owners(event, now)
        receipt.read_at = now
    db.session.commit()
    return len(batch)
