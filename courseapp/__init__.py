"""courseapp: an online course platform that an organisation runs itself.

`ROOMS` is the staircase: a room may import rooms that stand after it, never those before. `create_app` builds the
application; it and `worker.py` are the doors, the only places that know every room.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from flask import Flask

from courseapp import clock
from courseapp.config import load_settings
from courseapp.errors import init_errors
from courseapp.extensions import init_extensions
from courseapp.journal.events import init_journal
from courseapp.logs import init_logs
from courseapp.storage import init_storage
from courseapp.web import init_web

ROOMS = ("operations", "campaigns", "authoring", "learning", "catalog", "accounts", "mailing", "contacts", "journal")

READERS = {
    "campaigns": frozenset({"enrolled", "account_claimed", "consent_given", "consent_withdrawn", "course_completed"}),
}
"""Who reads which journal events; a reader claims its receipts."""

WAKES = {
    "outbox.service": "mailing.send_service",
    "outbox": "mailing.send_due",
    "news.campaigns": "campaigns.read_news",
    "copies": "learning.build_copies",
}
"""Topic of a wake-up after a commit → the task it starts. The timetable in worker.py starts the same tasks anyway."""


def create_app(**overrides: Any) -> Flask:
    """The application. `overrides` are settings by field name; raises MissingSettings (a SystemExit) in words."""
    settings = load_settings(**overrides)
    clock.follow_shift(settings.clock_file)
    app = Flask(__name__, template_folder=str(Path(__file__).parent.parent / "templates"), static_folder=None)
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SETTINGS=settings,
        EMBEDDED=settings.is_embedded,
        PUBLIC_URL=settings.public_url,
        DEFAULT_ZONE=settings.default_zone,
        MAIL_DOMAIN=settings.sender.rpartition("@")[2],
        HOME_ENDPOINT="learning.my_courses",  # where signing in leads; accounts stands below learning and may not know
        JOIN_ENDPOINT="learning.join",
        WAKES=WAKES,
        FOREIGN_POSTS=frozenset({"mailing.stop"}),  # RFC 8058: one-click unsubscription comes from the mail program
    )
    init_logs(settings)
    init_extensions(app, settings)
    init_storage(app, settings.storage)
    init_journal(app, READERS)
    init_web(app, settings)
    init_errors(app)
    for room in reversed(ROOMS):
        _open_room(app, room)
    return app


def _open_room(app: Flask, room: str) -> None:
    """Load a room's models and tasks, and register its pages and commands, where it has them."""
    folder = Path(__file__).parent / room
    for part in ("models", "tasks", "views", "cli"):
        if (folder / f"{part}.py").exists():
            module = import_module(f"courseapp.{room}.{part}")
            if part == "views":
                for blueprint in module.BLUEPRINTS:
                    app.register_blueprint(blueprint)
            if part == "cli":
                for command in module.COMMANDS:
                    app.cli.add_command(command)
