"""Staff pages about courses."""

from typing import Any

import sqlalchemy as sa
from flask import Blueprint, abort, render_template
from flask_babel import gettext as _

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.authoring.standing import course_standings, lesson_standings, recent_imports
from courseapp.catalog.models import Course
from courseapp.extensions import db

pages = Blueprint("authoring", __name__)
BLUEPRINTS = (pages,)
pages.before_request(need_role(Role.INSTRUCTOR))


@pages.get("/staff/courses")
def courses() -> str:
    """All courses and how they stand."""
    return render_template("authoring/courses.html", courses=course_standings())


@pages.get("/staff/courses/<slug>")
def course(slug: str) -> str:
    """One course: its lessons, their review, what was brought in when."""
    found = db.session.scalar(sa.select(Course).where(Course.slug == slug)) or abort(404)
    facts = {"title": found.title, "slug": found.slug, "edition": found.edition, "state": "published" if found.is_published else "draft"}
    imports = [
        {"at": row.at, "by": _("command line"), "result": _("imported"), "changes": words_of(row.changes)} for row in recent_imports(found)
    ]
    return render_template("authoring/course.html", course=facts, lessons=lesson_standings(found, clock.now().date()), imports=imports)


def words_of(changes: dict[str, Any]) -> str:
    """What an import changed, in words."""
    counts = {name: len(changes[name]) for name in ("new", "changed", "removed")}
    return str(_("%(new)s new, %(changed)s changed, %(removed)s removed lessons", **counts))
