"""Whether this site sells anything. Without a key for Stripe it does not, and no page speaks of money."""

from flask import abort, current_app

from courseapp.config import Settings


def is_selling() -> bool:
    """Whether there is a key for Stripe."""
    settings: Settings = current_app.config["SETTINGS"]
    return settings.has_billing


def need_selling() -> None:
    """Guard for every page about money: where nothing is sold there is nothing here (404)."""
    if not is_selling():
        abort(404)
