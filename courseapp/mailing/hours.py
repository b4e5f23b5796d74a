"""Mail that may come at some hours of its reader's own day only, or on some days: asked around the claim, of what is read of each anyway.

When a row is made it is due within its hours. A cap, a rest, a paused stream, a server that was away, a limit or another try make it
late, by any number of hours; so they are asked again whenever it is to leave.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime

from courseapp.contacts.models import Purpose
from courseapp.contacts.windows import EVERY_DAY, Window, next_in
from courseapp.mailing import outbox
from courseapp.mailing.leases import give_back_all

OUTSIDE = "outside its hours"  # the reason of a mail that waits for the next of them


def within_hours(claimed: outbox.Claimed, found: Mapping[int, outbox.Sendable], now: datetime) -> outbox.Claimed:
    """The leases whose mail may come at this hour; the others go back until theirs. The caller commits."""
    back: dict[datetime, outbox.Claimed] = defaultdict(list)
    seen: dict[tuple[object, ...], datetime] = {}
    for lease in claimed:
        message = found[lease[0]]
        if message.window_start is None or message.window_end is None or message.purpose is Purpose.SERVICE:
            continue
        hours = (message.window_start, message.window_end, message.weekdays, message.zone)
        if hours not in seen:
            window = Window(message.window_start, message.window_end)
            seen[hours] = next_in(window, now, message.zone, message.weekdays or EVERY_DAY)
        if seen[hours] > now:
            back[seen[hours]].append(lease)
    for due_at, leases in sorted(back.items()):
        give_back_all(leases, due_at, OUTSIDE)
    gone = {lease for leases in back.values() for lease in leases}
    return [lease for lease in claimed if lease not in gone] if gone else claimed
