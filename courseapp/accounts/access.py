"""Who may pass: the guards of whole blueprints."""

from collections.abc import Callable

from flask import abort, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response


def need_session() -> Response | None:
    """Guard for learners' pages: a session is enough, a guest's too; anyone else is asked to sign in."""
    if current_user.is_authenticated:
        return None
    if request.method == "GET":
        return redirect(url_for("accounts.sign_in"))
    abort(403)
    return None


def need_role(*roles: str) -> Callable[[], Response | None]:
    """Guard for staff pages: without one of the roles there is nothing here (404)."""

    def guard() -> Response | None:
        if not current_user.is_authenticated:
            return redirect(url_for("accounts.sign_in"))
        if not current_user.has_role(*roles):
            abort(404)
        return None

    return guard
