"""Building printed copies, a commit for each."""

from collections.abc import Callable
from datetime import datetime

import structlog

from courseapp import storage
from courseapp.catalog.copies import copies_to_build, images_of, keep_copy
from courseapp.catalog.models import Copy, Course
from courseapp.catalog.typeset import typeset
from courseapp.extensions import db
from courseapp.learning.printing import printed_course

log = structlog.get_logger()


def build_copies(clock: Callable[[], datetime]) -> int:
    """Build every copy that is asked for; a copy that cannot be built says why and is not tried again. How many were built."""
    built = 0
    for copy_id in copies_to_build():
        copy = db.session.get_one(Copy, copy_id)
        course = db.session.get_one(Course, copy.course_id)
        printed, keys = printed_course(course, copy.kind), images_of(course)
        db.session.rollback()  # typesetting takes seconds; no transaction stays open for it
        try:
            content = typeset(printed, {path: _content(key) for path, key in keys.items()})
        except Exception as error:  # whatever the typesetter raises is a fact about this copy, and must not stop the others
            log.exception("copy_not_built", copy=copy_id)
            db.session.get_one(Copy, copy_id).problem = f"{type(error).__name__}: {error}"[:300]
            db.session.commit()
            continue
        storage.keep(keep_copy(db.session.get_one(Copy, copy_id), content, clock()), content)
        db.session.commit()
        built += 1
    return built


def _content(key: str) -> bytes:
    with storage.open_stored(key) as file:
        return file.read()
