"""Counting every course whose day has come."""

from collections.abc import Callable
from datetime import datetime

from courseapp.extensions import db
from courseapp.insights.figures import courses_due, keep_figures, recount


def renew_figures(now: Callable[[], datetime]) -> int:
    """Count each course that is due, a commit each; how many were."""
    due = courses_due(now())
    db.session.commit()
    count = 0
    for course_id in due:
        began = now()  # what happens while it counts is of the next time
        if (figures := recount(course_id)) is not None:
            keep_figures(course_id, figures, began)
            db.session.commit()
            count += 1
    return count
