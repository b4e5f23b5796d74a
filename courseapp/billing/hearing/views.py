"""The webhook: raw bytes, verified, kept once, 200. Everything else happens later."""

import structlog
from flask import Blueprint, Response, abort, current_app, request
from sqlalchemy.exc import SQLAlchemyError

from courseapp import clock
from courseapp.billing.intake import keep_event, verified_event
from courseapp.billing.stripe_gateway import ForgedError
from courseapp.config import Settings
from courseapp.extensions import csrf, db

log = structlog.get_logger()
pages = Blueprint("stripe", __name__)


@pages.post("/billing/webhook")
@csrf.exempt  # type: ignore[untyped-decorator]  # Stripe posts without a session; its signature is the proof
def take_event() -> Response:
    """An event of Stripe's. 404 without a secret to check it by, 400 for what Stripe did not sign, 500 where it cannot be kept."""
    settings: Settings = current_app.config["SETTINGS"]
    if not settings.has_billing or not settings.webhook_secrets:
        abort(404)
    try:
        event = verified_event(request.get_data(), request.headers.get("Stripe-Signature"), settings)
    except ForgedError as error:
        log.warning("stripe_webhook_refused", why=str(error))
        return Response(status=400)
    try:
        keep_event(event, clock.now())
        db.session.commit()
    except SQLAlchemyError as error:  # Stripe sends it again, for three days
        db.session.rollback()
        log.warning("stripe_webhook_not_kept", kind=type(error).__name__)
        return Response(status=500)
    return Response(status=200)
