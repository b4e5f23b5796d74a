"""Reading the news that owners are told of, a commit for each batch; ending at Stripe what goes on, before somebody is erased."""

from collections.abc import Callable
from datetime import datetime

from courseapp.accounts.models import User
from courseapp.billing import leaving
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


def end_subscriptions(user: User | None) -> None:
    """Before somebody is erased: end what they pay for again and again, with no transaction open while Stripe is asked.

    Raises Refusal where Stripe cannot confirm it; then nobody may be erased.
    """
    if user is None:
        return
    found = leaving.what_ends(user.id)
    db.session.commit()
    leaving.end_subscriptions(found)
