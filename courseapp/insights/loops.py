"""Counting every course, broadcast and version of a sequence whose day has come."""

import time
from collections.abc import Callable
from datetime import datetime

from courseapp.campaigns.models import Broadcast
from courseapp.extensions import db
from courseapp.insights import figures as courses
from courseapp.insights.after_mails import (
    Mailed,
    broadcasts_due,
    keep,
    kept,
    mails_of_broadcast,
    mails_of_version,
    recount,
    versions_due,
)


def renew_figures(now: Callable[[], datetime]) -> int:
    """Count each course that is due, a commit each; how many were."""
    due = courses.courses_due(now())
    db.session.commit()
    count = 0
    for course_id in due:
        began = now()  # what happens while it counts is of the next time
        if (figures := courses.recount(course_id)) is not None:
            courses.keep_figures(course_id, figures, began)
            db.session.commit()
            count += 1
    return count


def renew_mail_figures(clock: Callable[[], datetime], seconds: float = 20.0) -> int:
    """Look at every broadcast and version of a sequence that is due, a commit each, until the time is over; of how many there was news."""
    ends, count, now = time.monotonic() + seconds, 0, clock()
    subjects = [{"broadcast_id": number} for number in broadcasts_due(now)] + [{"version_id": number} for number in versions_due(now)]
    db.session.commit()
    for subject in subjects:
        if time.monotonic() > ends:
            break
        began, last = clock(), kept(**subject)
        figures = recount(_mails_of(subject), last.counted_at if last is not None else None)
        keep(subject, figures, began)
        db.session.commit()
        count += figures is not None
    return count


def _mails_of(subject: dict[str, int]) -> Mailed:
    if "version_id" in subject:
        return mails_of_version(subject["version_id"])
    return mails_of_broadcast(db.session.get_one(Broadcast, subject["broadcast_id"]).stream_id or 0)
