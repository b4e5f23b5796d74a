"""Counting every course, broadcast and version of a sequence whose day has come."""

import time
from collections.abc import Callable
from datetime import datetime

from courseapp.campaigns.broadcasts import judge
from courseapp.campaigns.experiments import experiment_of
from courseapp.campaigns.models import Broadcast
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.insights import after_mails, arms
from courseapp.insights import figures as courses
from courseapp.mailing.sums import as_kept, of_stream, sums_of


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
    judge_trials(now)
    for broadcast_id, stream_id in after_mails.sums_due(now):
        after_mails.keep_sums({"broadcast_id": broadcast_id}, as_kept(sums_of(of_stream(stream_id))), clock())
        db.session.commit()
    subjects = [{"broadcast_id": number} for number in after_mails.broadcasts_due(now)]
    subjects += [{"version_id": number} for number in after_mails.versions_due(now)]
    db.session.commit()
    for subject in subjects:
        if time.monotonic() > ends:
            break
        count += _renew(subject, clock())
        judge_trials(clock())
    return count


def judge_trials(now: datetime) -> None:
    """Have the rest get the better of two letters, where it is known now."""
    for broadcast_id in arms.trials_due(now):
        broadcast = db.session.get_one(Broadcast, broadcast_id)
        try:
            judge(broadcast, arms.outcomes_of(broadcast, now), now)
            db.session.commit()
        except Refusal:  # somebody has chosen or cancelled at this very moment
            db.session.rollback()


def _renew(subject: dict[str, int], now: datetime) -> bool:
    last = after_mails.kept(**subject)
    counted_at, mailed = last.counted_at if last is not None else None, _mails_of(subject)
    db.session.commit()  # it is counted beside the session, which may take a while
    figures = after_mails.recount(mailed, counted_at)
    if figures is not None and "broadcast_id" in subject:
        broadcast = db.session.get_one(Broadcast, subject["broadcast_id"])
        figures |= arms.people_by_arm(broadcast) if experiment_of(broadcast) is not None else {}
    after_mails.keep(subject, figures, now)
    if "version_id" in subject and (sums := after_mails.large_sums_of(subject["version_id"])) is not None:
        after_mails.keep_sums(subject, sums, now)
    db.session.commit()
    return figures is not None


def _mails_of(subject: dict[str, int]) -> after_mails.Mailed:
    if "version_id" in subject:
        return after_mails.mails_of_version(subject["version_id"])
    return after_mails.mails_of_broadcast(db.session.get_one(Broadcast, subject["broadcast_id"]))
