"""Counting every course whose day has come."""

from collections.abc import Callable
from datetime import datetime

from courseapp.extensions import db
from courseapp.insights.figures import courses_due, renew


def renew_figures(now: Callable[[], datetime]) -> int:
    """Count each course that is due, a commit each; how many were."""
    due = courses_due(now())
    db.session.commit()
    count = 0
    for course_id in due:
        count += renew(course_id, now())
        db.session.commit()
    return count
