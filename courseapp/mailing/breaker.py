"""The breaker of a mail server: once it was in trouble no process tries it for a while, and what waits spends no attempts.

A row says so to all processes; it goes when the server has taken a mail again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import sqlalchemy as sa

from courseapp.config import Settings
from courseapp.extensions import db, insert_into
from courseapp.mailing.models import Breaker

REST = timedelta(seconds=30)  # without a try


@dataclass(frozen=True)
class Outage:
    """Since when a mail server has been in trouble, why, and until when nobody tries it."""

    since: datetime
    rests_until: datetime
    why: str

    def rest_left(self, now: datetime) -> timedelta:
        """How long nobody tries it yet; nothing where a clock was set back meanwhile."""
        left = self.rests_until - now
        return left if timedelta() < left <= REST else timedelta()


def server_of(settings: Settings) -> str:
    """What the breaker calls the mail server of these settings."""
    url = urlsplit(settings.smtp_url)
    return f"{url.hostname}:{url.port or ''}"[:80] if settings.smtp_url else "files"


def outage_of(server: str) -> Outage | None:
    """The trouble a mail server is in, as far as is known."""
    row = db.session.scalar(sa.select(Breaker).where(Breaker.key == server))
    return Outage(row.tripped_at, row.rests_until, row.why) if row is not None else None


def trip(server: str, why: str, now: datetime, rest: timedelta = REST) -> None:
    """Note that a mail server is in trouble; since when stays as it was first noted."""
    changes = {"rests_until": now + rest, "why": why[:200]}
    statement = insert_into(Breaker).values(key=server, tripped_at=now, **changes)
    db.session.execute(statement.on_conflict_do_update(index_elements=["key"], set_=changes))


def close(server: str) -> None:
    """Note that a mail server took a mail."""
    db.session.execute(sa.delete(Breaker).where(Breaker.key == server).execution_options(synchronize_session=False))
