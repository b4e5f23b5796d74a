"""What a letter may refer to on this site: published courses, lessons that everybody may read in them, tiers on offer, a few pages.

A lesson that needs the safety check is none of it, whoever gets the mail: nothing that is mailed may depend on an outcome.
"""

import sqlalchemy as sa
from flask import current_app
from flask_babel import lazy_gettext as _l

from courseapp.billing.models import Tier
from courseapp.billing.offers import prices_offered
from courseapp.billing.selling import is_selling
from courseapp.catalog.models import Course, Lesson, Need
from courseapp.catalog.outline import is_released
from courseapp.extensions import db
from courseapp.mailing.text import Target
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
    "plans": ("billing.plans", _l("Plans")),  # there only where something is sold
}
LEGAL = {"privacy", "terms", "imprint"}  # there only where the owner has written them


def targets_of(body: str) -> tuple[tuple[str, Target], ...]:
    """What the references of a letter's text lead to; those that lead nowhere are left out."""
    from courseapp.mailing.problems import references_in  # what reads letters is large, and few processes do

    found = {reference: _target(*reference.split(":", 1)) for reference in sorted(references_in(body))}
    return tuple((reference, target) for reference, target in found.items() if target is not None)


def _target(kind: str, name: str) -> Target | None:
    if kind == "lesson":
        return _lesson(*name.partition("/")[::2])
    if kind == "course":
        return _course(name)
    if kind == "page":
        return _page(name)
    return _tier(name) if kind == "tier" else None


def _lesson(slug: str, key: str) -> Target | None:
    query = sa.select(Lesson).join(Course, Course.id == Lesson.course_id).where(is_released(), Lesson.needs_check == Need.NONE)
    lesson = db.session.scalar(query.where(Course.slug == slug, Course.published_at.is_not(None), Lesson.key == key))
    return Target(lesson.title, lesson.shows, _path("learning.lesson", id=lesson.public_id)) if lesson else None


def _course(slug: str) -> Target | None:
    course = db.session.scalar(sa.select(Course).where(Course.slug == slug, Course.published_at.is_not(None)))
    return Target(course.title, course.summary, _path("catalog.course", slug=slug)) if course else None


def _page(name: str) -> Target | None:
    if name not in PAGES or (name in LEGAL and name not in present_site().legal) or (name == "plans" and not _tiers_on_offer()):
        return None
    endpoint, words = PAGES[name]
    return Target(str(words), "", _path(endpoint))


def _tier(key: str) -> Target | None:
    """Where it is offered, by the name that stands in mails: who else reads along is not to learn what it is about."""
    tier = _tiers_on_offer().get(key)
    return Target(tier.neutral_name, "", f"{_path('billing.plans')}#{tier.key}") if tier is not None and tier.sensitive_at is None else None


def _tiers_on_offer() -> dict[str, Tier]:
    return {price.plan.tier.key: price.plan.tier for price in prices_offered()} if is_selling() else {}


def _path(endpoint: str, **values: str) -> str:
    return current_app.url_map.bind("").build(endpoint, values)
