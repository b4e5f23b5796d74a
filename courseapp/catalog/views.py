"""Public pages: the course's landing page, its open copy, the old address, robots."""

from flask import Blueprint, abort, current_app, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from courseapp.accounts.browser import note_source
from courseapp.catalog.copies import file_name, finished_copy
from courseapp.catalog.landing import Landing, kept_landing
from courseapp.catalog.models import CopyKind
from courseapp.catalog.outline import outline_of, published_course
from courseapp.delivery import send_stored
from courseapp.extensions import limiter
from courseapp.web import kept_page, static_url

pages = Blueprint("catalog", __name__)
BLUEPRINTS = (pages,)


@pages.before_app_request
def old_path() -> Response | None:
    """Send those who come by the owner's old address to the landing page."""
    old = current_app.config["SETTINGS"].old_path
    return redirect(url_for("catalog.landing"), 301) if old and request.path.rstrip("/") == "/" + old.strip("/") else None


@pages.get("/")
def landing() -> Response | str:
    """The front course's public page."""
    return landing_page(current_app.config["SETTINGS"].front_course)


@pages.get("/courses/<slug>")
def course(slug: str) -> Response | str:
    """A course's public page."""
    if slug == current_app.config["SETTINGS"].front_course:
        return redirect(url_for("catalog.landing"), 301)
    return landing_page(slug)


def landing_page(slug: str) -> Response | str:
    """The page from memory; only the form's token is made for each visitor."""
    note_source()
    found = kept_landing(slug)
    if found is None:
        if slug != current_app.config["SETTINGS"].front_course:
            abort(404)
        return render_template("catalog/empty.html")
    return kept_page(("landing", found.course_id, found.version), lambda: rendered(found))


def rendered(found: Landing) -> str:
    """The page itself."""
    address = current_app.config["PUBLIC_URL"]
    share = {
        "title": found.course["headline"],
        "description": found.course["summary"],
        "url": f"{address}{request.path}",
        "image_url": f"{address}{static_url('img/share.png')}",
    }
    facts = {"modules": found.modules, "totals": found.totals, "has_closed": found.has_closed, "is_closed": found.is_closed}
    return render_template("catalog/landing.html", course=found.course, sample=found.sample, share=share, **facts)


@pages.get("/courses/<slug>/copy.pdf")
@limiter.limit("60 per hour")
def open_copy(slug: str) -> Response | str:
    """The printed copy that needs no address: all lessons that need no check. None of a course that is not wholly for everybody."""
    found = published_course(slug)
    if found is None:
        abort(404)
    if any(module.closed for module in outline_of(found)):
        return render_template("catalog/copy_closed.html", back_url=url_for("catalog.course", slug=slug))
    ready = finished_copy(found.id, CopyKind.OPEN)
    if ready is None:
        return render_template("catalog/copy_soon.html", back_url=url_for("catalog.landing"))
    return send_stored(ready.storage_key, "application/pdf", file_name(found))


@pages.get("/robots.txt")
def robots() -> Response:
    """Search engines may read the public pages alone."""
    lines = ["User-agent: *", "Allow: /$", "Allow: /courses/", "Allow: /static/", "Disallow: /"]
    answer = make_response("\n".join(lines) + "\n")
    answer.mimetype = "text/plain"
    answer.headers["Cache-Control"] = "public, max-age=3600"
    return answer
