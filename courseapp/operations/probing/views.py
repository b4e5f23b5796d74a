"""Health and numbers, for load balancers and monitors, and the pieces of the design, in development. No session, no limit."""

import hmac

from flask import Blueprint, abort, current_app, jsonify, make_response, render_template, request
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.extensions import limiter
from courseapp.operations.health import readiness
from courseapp.web import keep_to_english

machines = Blueprint("health", __name__)
limiter.exempt(machines)


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
    from courseapp.operations.metrics import MEDIA_TYPE, exposition  # loaded where somebody asks

    answer = make_response(exposition(clock.now()))
    answer.headers["Content-Type"] = MEDIA_TYPE
    return answer


@machines.get("/pieces")
def pieces() -> str:
    """Every piece of the design in all its states; embedded mode only."""
    if not current_app.config["EMBEDDED"]:
        abort(404)
    keep_to_english()
    return render_template("operations/pieces.html")
