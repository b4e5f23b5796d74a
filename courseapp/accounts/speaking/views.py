"""Choosing the language of the pages, and of one's mails."""

from urllib.parse import quote

from flask import Blueprint, abort, current_app, redirect, request, session
from flask_login import current_user
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from courseapp.extensions import db

pages = Blueprint("speaking", __name__)


@pages.post("/language")
def choose() -> Response:
    """Keep what was chosen, for this browser and for the mails of whoever is signed in; then back to the page it was chosen on."""
    tag = request.form.get("language", "")
    if tag not in current_app.config["SETTINGS"].language_list:
        abort(400)
    session["language"] = tag
    if current_user.is_authenticated and current_user.contact is not None:
        current_user.contact.language = tag
        db.session.commit()
    return redirect(quote(page_at(request.form.get("back", ""))), 303)


def page_at(path: str) -> str:
    """A path of ours that can be read, and no other site's; the first page for any other."""
    if not path.startswith("/") or path.startswith("//"):
        return "/"
    try:
        current_app.url_map.bind_to_environ(request.environ).match(path, method="GET")
    except HTTPException:
        return "/"
    return path
