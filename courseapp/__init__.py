"""courseapp: an online course platform that an organisation runs itself.

`ROOMS` is the staircase: a room may import rooms that stand after it, never those before. `create_app` builds the
application; it and `worker.py` are the doors, the only places that know every room.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from click import Command, Context
from flask import Flask
from flask.cli import AppGroup

from courseapp import clock
from courseapp.config import load_settings
from courseapp.errors import init_errors
from courseapp.extensions import init_extensions
from courseapp.journal.events import init_journal
from courseapp.logs import init_logs, init_request_ids
from courseapp.storage import init_storage
from courseapp.web import init_web

ROOMS = (
    "operations",
    "organisation",
    "insights",
    "campaigns",
    "authoring",
    "learning",
    "billing",
    "catalog",
    "accounts",
    "mailing",
    "contacts",
    "journal",
)

READERS = {
    "campaigns": frozenset(
        {
            *("enrolled", "account_claimed", "consent_given", "consent_withdrawn", "course_completed"),
            *("tier_bought", "payment_failed"),
        }
    ),
    "billing": frozenset({"account_claimed"}),
    "operations": frozenset({"stream_paused_itself", "billing_needs_attention"}),
}
"""Who reads which journal events; a reader claims its receipts."""

WAKES = {
    "outbox.service": "mailing.send_service",
    "outbox": "mailing.send_due",
    "news.campaigns": "campaigns.read_news",
    "news.billing": "billing.read_news",
    "news.operations": "operations.read_news",
    "copies": "learning.build_copies",
    "broadcasts": "campaigns.work_broadcasts",
    "contacts": "campaigns.work_contacts",
    "uploads": "authoring.work_uploads",
    "billing.events": "billing.work_events",
    "billing.reconciliation": "billing.reconcile",
}
"""Topic of a wake-up after a commit → the task it starts. The timetable in worker.py starts the same tasks anyway."""

UNNOTED = ("learning.",)
"""How endpoints begin whose requests leave a line in the log only where we failed: what is answered to whom can tell an outcome."""


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
        MAIL_DOMAIN=settings.sender.rpartition("@")[2],
        HOME_ENDPOINT="learning.my_courses",  # where signing in leads; accounts stands below learning and may not know
        STAFF_ENDPOINT="authoring.courses",  # and where it leads those who look after courses
        JOIN_ENDPOINT="learning.join",
        WAKES=WAKES,
        # files; only from those who may send them
        LARGE_POSTS={**dict.fromkeys(("authoring.receive", "parts.add", "parts.act"), "instructor"), "contacts.receive": "marketer"},
        LONG_POSTS=frozenset({"editor.change", "editor.keep_draft"}),  # a lesson's whole text
        UNNOTED=UNNOTED,
        # a page that may write though it is only read: after paying, people come to it by a redirect
        WRITING_PAGES=frozenset({"billing.done"}),
        # RFC 8058: one-click unsubscription comes from the mail program; and forms to sign up stand on other sites
        FOREIGN_POSTS=frozenset({"mailing.stop", "signup.ask"}),
    )
    init_logs(settings)
    init_request_ids(app, settings)  # first, so that what refuses a request has its number
    init_extensions(app, settings)
    init_storage(app, settings.storage, settings.s3)
    init_journal(app, READERS)
    init_web(app, settings)
    init_errors(app)
    load_parts("models")
    app.config["CLOSED_TO_ALL"] = import_module("courseapp.billing.entitlements").closed_to_all  # catalog stands below and may not know
    for views in load_parts("views"):
        for blueprint in views.BLUEPRINTS:
            app.register_blueprint(blueprint)
    app.cli = RoomCommands(app.name)
    return app


def load_parts(name: str) -> list[ModuleType]:
    """The module of this name of every room that has one, from the lowest room to the highest."""
    rooms = [room for room in reversed(ROOMS) if (Path(__file__).parent / room / f"{name}.py").exists()]
    return [import_module(f"courseapp.{room}.{name}") for room in rooms]


class RoomCommands(AppGroup):
    """The rooms' commands, loaded when one is asked for: a web process need not hold what they import."""

    is_loaded = False

    def list_commands(self, ctx: Context) -> list[str]:
        """Every command's name."""
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """The command of a name, or None."""
        self._load()
        return super().get_command(ctx, cmd_name)

    def _load(self) -> None:
        if not self.is_loaded:
            self.is_loaded = True
            for module in load_parts("cli"):
                for command in module.COMMANDS:
                    self.add_command(command)
