"""The order of a course's lessons, and clinicians' reviews of them."""

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.authoring import editing, ordering, reviews
from courseapp.authoring.forms import ReviewForm
from courseapp.authoring.standing import course_named
from courseapp.catalog.models import Course
from courseapp.errors import Refusal
from courseapp.extensions import db

STANDING_WORDS = {
    reviews.Standing.NEVER: _l("never reviewed"),
    reviews.Standing.OVERDUE: _l("overdue"),
    reviews.Standing.SOON: _l("due soon"),
}

pages = Blueprint("arranging", __name__)
pages.before_request(need_role(Role.INSTRUCTOR))


# The order of a course


@pages.get("/staff/courses/<slug>/order")
def order(slug: str) -> str:
    """Modules and lessons in order, to be moved."""
    course = course_named(slug) or abort(404)
    return order_page(course, ordering.marks_of(course))


def order_page(course: Course, marks: list[str], moved: str = "") -> str:
    """The page with an order, which is not saved yet."""
    return render_template(
        "authoring/order.html",
        course={"title": course.title, "slug": course.slug, "is_published": course.is_published, "version": course.version},
        modules=ordering.ordered(course, marks),
        is_changed=marks != ordering.marks_of(course),
        moved=moved,
    )


@pages.post("/staff/courses/<slug>/order")
def change_order(slug: str) -> Any:
    """Show the order with one thing moved (`move`), or save it."""
    course = editing.course_to_change(slug) or abort(404)
    marks = request.form.getlist("mark")
    if not ordering.fits(course, marks):
        flash(_("The lessons of this course have changed since. Here is the order as it stands now; nothing was saved."), "error")
        return redirect(url_for("arranging.order", slug=slug), 303)
    mark, _colon, way = request.form.get("move", "").rpartition(":")
    if mark in marks:
        return order_page(course, ordering.moved(marks, mark, way == "up"), mark)
    if request.form.get("version", type=int) != course.version:
        flash(_("The course has changed since this page was opened. Your order stands below; save it again if it is to count."), "error")
        return order_page(course, marks), 409
    try:
        is_new = ordering.reorder(course, marks, clock.now(), current_user.id)
    except Refusal as refusal:
        flash(refusal.words, "error")
        return order_page(course, marks), 409
    db.session.commit()
    flash(_("The order is saved.") if is_new else _("The order was like this already."), "success")
    return redirect(url_for("arranging.order", slug=slug), 303)


# Reviews


@pages.get("/staff/reviews")
def list_reviews() -> str:
    """Lessons of all courses that a clinician should read: never reviewed, overdue, due within 30 days."""
    rows = reviews.reviews_wanted(clock.now().date())
    return render_template("authoring/reviews.html", rows=rows, words=STANDING_WORDS, standings=list(reviews.Standing))


@pages.route("/staff/courses/<slug>/lessons/<key>/review", methods=["GET", "POST"])
def review(slug: str, key: str) -> Any:
    """Note who reviewed the text as it stands now."""
    subject = editing.subject_of(slug, key, to_change=request.method == "POST") or abort(404)
    present, form = editing.typed_of(subject), ReviewForm()
    look = editing.look_at(subject, present, read_again=True)
    if request.method == "GET":
        form.show(subject.revision, subject.stamp, clock.now().date())
    elif form.base.data != subject.stamp:
        flash(_("The lesson has changed since this page was opened, so nothing was noted. Please read it again."), "error")
        return redirect(url_for("arranging.review", slug=slug, key=key), 303)
    elif form.validate_for(clock.now().date()):
        if look.report.has_errors:
            flash(_("The lesson needs mending first. Nothing was noted."), "error")
            return redirect(url_for("editor.lesson", slug=slug, key=key), 303)
        reviews.note_review(subject, look, form.review(), clock.now(), current_user.id)
        db.session.commit()
        flash(_("The review is noted. Learners read it below the lesson."), "success")
        return redirect(url_for("authoring.course", slug=slug), 303)
    shown = editing.look_at(subject, present, read_again=True, for_staff=True).rendered
    return render_template(
        "authoring/review.html",
        form=form,
        course={"title": subject.course.title, "slug": slug, "language": subject.course.language},
        lesson={"title": subject.lesson.title, "key": key},
        revision=subject.revision,
        preview_html=shown.html,
        adapted_html=shown.adapted_html,
    )
