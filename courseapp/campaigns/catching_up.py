"""Catching up after a restore: what has come due since the backup is put into the outbox at once.

There it waits with everything else until somebody says whether the old installation has sent it. Were it left to the next tick of the
timetable, it would come into the outbox after that was said, and be sent a second time.
"""

from datetime import datetime

from courseapp.campaigns import advancing, noticing, runs
from courseapp.campaigns.models import SequenceRun
from courseapp.contacts.resting import is_resting
from courseapp.extensions import db
from courseapp.journal.events import unread

AT_ONCE = 500


def catch_up(now: datetime) -> int:
    """Follow all news, notice what is to be noticed, and enqueue every step whose day has come, in the caller's transaction; how many
    runs had one."""
    while batch := unread("campaigns", AT_ONCE):
        for receipt, event in batch:
            runs.follow(event, now)
            receipt.read_at = now
        db.session.flush()
    for _page in noticing.notice(now):
        db.session.flush()
    count = 0
    while due := advancing.runs_due(now, AT_ONCE):
        for run in due:
            if advancing.has_come(run, now):
                _advance_all(run, now)
                count += 1
            else:
                advancing.advance(run, now)  # moved to another version before the step's day: it is put off to that day
        db.session.flush()
    return count


def _advance_all(run: SequenceRun, now: datetime) -> None:
    """Enqueue what is overdue of a run. Between its mails stays the least gap, should they be sent after all."""
    while run.next_run_at is not None and advancing.has_come(run, now):
        advancing.advance(run, now, is_overdue=True)
        if is_resting(run.contact, now):  # it was put off
            break
