"""Who may pass, the guards of whole blueprints; and where signing in leads."""

from collections.abc import Callable

import sqlalchemy as sa
from flask import abort, current_app, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp.accounts.models import Role, RoleGrant, User
from courseapp.extensions import db
from courseapp.web import keep_to_english


def need_session() -> Response | None:
    """Guard for learners' pages: a session is enough, a guest's too; anyone else is asked to sign in."""
    if current_user.is_authenticated:
        return None
    if request.method == "GET":
        return redirect(url_for("accounts.sign_in"))
    abort(403)
    return None


def need_role(*roles: str) -> Callable[[], Response | None]:
    """Guard for staff pages, which are in English: without one of the roles there is nothing here (404)."""

    def guard() -> Response | None:
        if not current_user.is_authenticated:
            return redirect(url_for("accounts.sign_in"))
        if not current_user.has_role(*roles):
            abort(404)
        keep_to_english()
        return None

    return guard


def home_of(user: User) -> str:
    """Where signing in leads: to the courses one looks after, else to those one takes. Roles are asked anew: they may be a moment old."""
    looks_after = sa.select(RoleGrant.id).where(RoleGrant.user_id == user.id, RoleGrant.role.in_((Role.INSTRUCTOR, Role.OWNER)))
    is_staff = db.session.scalar(looks_after.limit(1)) is not None
    return url_for(current_app.config["STAFF_ENDPOINT" if is_staff else "HOME_ENDPOINT"])
