"""What a letter may refer to on this site: published courses, lessons that everybody may read in them, a few pages.

A lesson that needs the safety check is none of it, whoever gets the mail: nothing that is mailed may depend on an outcome.
"""

import sqlalchemy as sa
from flask import current_app
from flask_babel import lazy_gettext as _l

from courseapp.catalog.models import Course, Lesson, Need
from courseapp.catalog.outline import is_released
from courseapp.extensions import db
from courseapp.mailing.blocks import Target
from courseapp.mailing.problems import references_in
from courseapp.site import present_site

PAGES = {
    "start": ("learning.start", _l("Start the course")),
    "my-course": ("learning.my_courses", _l("My course")),
    "account": ("accounts.settings", _l("Account")),
    "help-now": ("learning.help_now", _l("Get help now")),
    "ask": ("asking.ask", _l("Ask us")),
    "privacy": ("site.privacy", _l("Privacy")),
    "terms": ("site.terms", _l("Terms")),
    "imprint": ("site.imprint", _l("Imprint")),
}
LEGAL = {"privacy", "terms", "imprint"}  # there only where the owner has written them


def targets_of(body: str) -> tuple[tuple[str, Target], ...]:
    """What the references of a letter's text lead to; those that lead nowhere are left out."""
    found = {reference: _target(*reference.split(":", 1)) for reference in sorted(references_in(body))}
    return tuple((reference, target) for reference, target in found.items() if target is not None)


def _target(kind: str, name: str) -> Target | None:
    if kind == "lesson":
        return _lesson(*name.partition("/")[::2])
    if kind == "course":
        return _course(name)
    if kind == "page":
        return _page(name)
    return None


def _lesson(slug: str, key: str) -> Target | None:
    query = sa.select(Lesson).join(Course, Course.id == Lesson.course_id).where(is_released(), Lesson.needs_check == Need.NONE)
    lesson = db.session.scalar(query.where(Course.slug == slug, Course.published_at.is_not(None), Lesson.key == key))
    return Target(lesson.title, lesson.shows, _path("learning.lesson", id=lesson.public_id)) if lesson else None


def _course(slug: str) -> Target | None:
    course = db.session.scalar(sa.select(Course).where(Course.slug == slug, Course.published_at.is_not(None)))
    return Target(course.title, course.summary, _path("catalog.course", slug=slug)) if course else None


def _page(name: str) -> Target | None:
    if name not in PAGES or (name in LEGAL and name not in present_site().legal):
        return None
    endpoint, words = PAGES[name]
    return Target(str(words), "", _path(endpoint))


def _path(endpoint: str, **values: str) -> str:
    return current_app.url_map.bind("").build(endpoint, values)
