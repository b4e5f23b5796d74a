"""What happens in a course, for instructors and owners."""

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.authoring.standing import course_named
from courseapp.catalog.models import Course
from courseapp.errors import Refusal
from courseapp.extensions import db
from courseapp.insights.figures import figures_of, lesson_figures
from courseapp.insights.fives import LONGER
from courseapp.insights.money.views import pages as money_pages
from courseapp.insights.results.views import pages as result_pages
from courseapp.insights.sources import SHOWN, source_figures
from courseapp.learning.arrivals import day_of, make_source

pages = Blueprint("insights", __name__)
BLUEPRINTS = (pages, result_pages, money_pages)
pages.before_request(need_role(Role.INSTRUCTOR, Role.OWNER))


@pages.get("/staff/courses/<slug>/insights")
def course(slug: str) -> str:
    """Who started, how far they are, where they came from; in whole fives."""
    return course_page(course_named(slug) or abort(404))


def course_page(found: Course, typed: str = "", problem: str = "") -> str:
    """The page, with what was wrong in the form for a new link."""
    kept = figures_of(found.id)
    lessons = lesson_figures(kept) if kept is not None else []
    sources = source_figures(found.id, day_of(clock.now())) if is_first(found) else []
    return render_template(
        "insights/course.html",
        course={"title": found.title, "slug": found.slug, "is_first": is_first(found)},
        figures=kept.figures if kept is not None else None,
        counted_at=kept.counted_at if kept is not None else None,
        lessons=lessons,
        lesson_points=[(lesson.number, lesson.done) for lesson in lessons],
        longer=LONGER,
        sources=sources,
        shown_days=SHOWN,
        link=f"{current_app.config['PUBLIC_URL']}{url_for('catalog.landing')}?from=",
        typed=typed,
        problem=problem,
    )


def is_first(found: Course) -> bool:
    """Whether the site begins with this course: only there does a link lead to a start."""
    return bool(found.slug == current_app.config["SETTINGS"].front_course)


@pages.post("/staff/courses/<slug>/sources")
def add_source(slug: str) -> Response | tuple[str, int]:
    """Make a link whose starts are counted (`word`); one that is there already stays as it is."""
    found = course_named(slug) or abort(404)
    if not is_first(found):
        abort(404)
    typed = request.form.get("word", "")
    try:
        word = make_source(found.id, typed, clock.now(), current_user.id)
    except Refusal as refusal:
        return course_page(found, typed[:60], str(refusal.words)), 422
    db.session.commit()
    flash(_("Starts by links with “%(word)s” are counted from now on.", word=word), "success")
    return redirect(url_for("insights.course", slug=slug, _anchor="sources"), 303)
