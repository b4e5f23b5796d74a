"""Health for machines; export and forgetting for people; the pieces of the design in development."""

import hmac
import json

from flask import Blueprint, abort, current_app, jsonify, make_response, redirect, render_template, request, session
from flask_login import current_user, logout_user
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_session
from courseapp.accounts.sessions import end_session
from courseapp.extensions import db, limiter
from courseapp.learning.joining import titles_done
from courseapp.operations.health import readiness
from courseapp.operations.metrics import exposition
from courseapp.operations.people import erase, export

machines = Blueprint("health", __name__)
pages = Blueprint("operations", __name__)
BLUEPRINTS = (machines, pages)
limiter.exempt(machines)
pages.before_request(need_session)


@machines.get("/healthz")
def healthz() -> Response:
    """This process is up. Asks nobody."""
    return jsonify(ok=True)


@machines.get("/readyz")
def readyz() -> Response:
    """Whether people can be served; 503 with the reason where not."""
    checks = readiness(clock.now())
    answer = jsonify(ok=all(check.ok for check in checks), checks={check.name: check.words for check in checks})
    answer.status_code = 200 if all(check.ok for check in checks) else 503
    return answer


@machines.get("/metrics")
def metrics() -> Response:
    """Prometheus's text format, for whoever holds the token."""
    token = current_app.config["SETTINGS"].metrics_token
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not token or not hmac.compare_digest(token.encode(), given.encode()):
        abort(404)
    answer = make_response(exposition(clock.now()))
    answer.headers["Content-Type"] = CONTENT_TYPE_LATEST
    return answer


@pages.get("/forget-device")
def forget_device() -> str:
    """What goes and what stays, before anything does."""
    user = current_user._get_current_object()
    return render_template("operations/forget_device.html", is_guest=user.is_guest, lessons_done=len(titles_done(user)))


@pages.post("/forget-device")
def forget() -> Response:
    """A guest's trail ends here for good; whoever has an address is signed out of this device."""
    user = current_user._get_current_object()
    if user.is_guest:
        erase(user, None, clock.now())
    else:
        end_session(user.session_id)
    db.session.commit()
    logout_user()
    session.clear()
    answer = redirect("/", 303)
    answer.headers["Clear-Site-Data"] = '"cache", "cookies", "storage"'
    return answer


@pages.get("/account/data.json")
@limiter.limit("20 per hour")
def export_data() -> Response:
    """Everything that is held about this person, as a file."""
    user = current_user._get_current_object()
    answer = make_response(json.dumps(export(user, user.contact), ensure_ascii=False, indent=1))
    answer.headers["Content-Type"] = "application/json; charset=utf-8"
    answer.headers["Content-Disposition"] = 'attachment; filename="your-data.json"'
    return answer


@machines.get("/pieces")
def pieces() -> str:
    """Every piece of the design in all its states; embedded mode only."""
    if not current_app.config["EMBEDDED"]:
        abort(404)
    return render_template("operations/pieces.html")
