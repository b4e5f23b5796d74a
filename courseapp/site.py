"""What this site is called, says and looks like: the owner's settings over those of the environment.

Only the fields of `FIELDS` can be set in the database; whatever must be known before there is one stays with `config.py`.
`present_site()` is asked several times a page and so is kept in each process for `FRESH_FOR` seconds: a warm page costs
no query. Its `version` is part of the key of every kept page and of every mail's skeleton, so a change shows.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa
import structlog
from flask import Flask, current_app
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.local import LocalProxy

from courseapp.columns import Moment
from courseapp.config import Settings
from courseapp.extensions import Model, db, insert_into

log = structlog.get_logger()
FRESH_FOR = 10.0  # seconds for which another process's change may still be hidden
FROM_ENVIRONMENT = frozenset(
    {
        "site_name",
        "sender_name",
        "postal_address",
        "support_address",
        "emergency_words",
        "crisis_words",
        "default_zone",
    }
)
"""Settings of the environment that the database may override."""
OURS = frozenset(
    {
        *("public_name", "minimum_age", "default_language", "marketing_per_week", "privacy", "terms", "imprint"),
        *("accent_light", "accent_dark", "logo", "logo_size", "counts_clicks"),
    }
)
"""What stands in the database alone."""
FIELDS = FROM_ENVIRONMENT | OURS
SWITCHES = frozenset({"counts_clicks"})
"""Of these, what is on or off: `ON`, or nothing."""
ON = "on"
MARKETING_PER_WEEK = 2


class SiteSetting(Model):
    """One field the owner has set. A field without a row is the environment's, or none."""

    __tablename__ = "site_settings"

    name: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    value: Mapped[str] = mapped_column(sa.Text)
    changed_at: Mapped[Moment]


class Outdated(Exception):
    """What is to be changed is no longer what the change was made from."""


@dataclass(frozen=True)
class Site:
    """The effective values. `name` is the neutral one, for mails and for pages that others may see over a shoulder.

    `fields` holds what was set of each, here or in the environment, before one stands in for another.
    """

    version: str
    fields: Mapping[str, str]
    name: str
    public_name: str
    sender_name: str
    postal_address: str
    support_address: str | None
    emergency_words: str
    crisis_words: str
    default_zone: str
    default_language: str
    minimum_age: int | None
    marketing_per_week: int
    counts_clicks: bool
    legal: Mapping[str, str]
    accent_light: str | None
    accent_dark: str | None
    logo: str | None
    logo_size: tuple[int, int]
    embedded: bool
    leave_url: str
    url: str


def init_site(app: Flask) -> None:
    """Give templates `site`, and the extensions the zone and language of people who have chosen none."""
    app.jinja_env.globals["site"] = LocalProxy(present_site)
    app.extensions["default_zone"] = lambda: present_site().default_zone
    app.extensions["default_language"] = lambda: present_site().default_language


def present_site() -> Site:
    """The effective values, from memory where they are fresh. With the database away: those known last."""
    kept: tuple[float, Site] | None = current_app.extensions.get("site")
    if kept is not None and time.monotonic() - kept[0] < FRESH_FOR:
        return kept[1]
    settings: Settings = current_app.config["SETTINGS"]
    try:
        found = site_of(settings, _read())
    except SQLAlchemyError as error:  # the page that says so needs a name too
        log.warning("site_settings_not_read", kind=type(error).__name__)
        found = kept[1] if kept is not None else site_of(settings, {})
    current_app.extensions["site"] = time.monotonic(), found
    return found


def forget_site() -> None:
    """Read the settings anew when they are next asked for; after a change has been committed."""
    current_app.extensions.pop("site", None)


def site_of(settings: Settings, set_here: Mapping[str, str]) -> Site:
    """The effective values of an environment and the rows over it."""

    def value(name: str) -> str:
        return set_here.get(name) or (str(getattr(settings, name)) if name in FROM_ENVIRONMENT else "")

    name = value("site_name")
    language = value("default_language")
    width, _x, height = value("logo_size").partition("x")
    site = Site(
        version="",
        fields={name: value(name) for name in sorted(FIELDS)},
        name=name,
        public_name=value("public_name") or name,
        sender_name=value("sender_name") or name,
        postal_address=value("postal_address"),
        support_address=value("support_address") or None,
        emergency_words=value("emergency_words"),
        crisis_words=value("crisis_words"),
        default_zone=value("default_zone"),
        default_language=language if language in settings.language_list else settings.language_list[0],
        minimum_age=int(value("minimum_age")) if value("minimum_age") else None,
        marketing_per_week=int(value("marketing_per_week") or MARKETING_PER_WEEK),
        counts_clicks=value("counts_clicks") == ON,
        legal={page: value(page) for page in ("privacy", "terms", "imprint") if value(page)},
        accent_light=value("accent_light") or None,
        accent_dark=value("accent_dark") or None,
        logo=value("logo") or None,
        logo_size=(int(width or 1), int(height or 1)),
        embedded=settings.is_embedded,
        leave_url=settings.leave_url,
        url=settings.public_url,
    )
    return replace(site, version=hashlib.sha256(repr(site).encode()).hexdigest()[:12])


def _read() -> dict[str, str]:
    # On a connection of its own, so that a failed transaction of the page does not matter, and a reading one: on SQLite
    # the page itself may hold the only lock for writing.
    with db.engine.connect().execution_options(only_reads=True) as connection:
        rows = connection.execute(sa.select(SiteSetting.name, SiteSetting.value))
        return {name: value for name, value in rows if name in FIELDS}


def digest_of(fields: Mapping[str, str]) -> str:
    """What tells two states of some fields apart; a form takes it along, so that nobody undoes what they have not seen."""
    return hashlib.sha256(repr(sorted(fields.items())).encode()).hexdigest()[:16]


def change_site(values: Mapping[str, str], now: datetime, seen: str = "") -> list[str]:
    """Set fields, in the caller's transaction; an empty value hands a field back to the environment. The names that changed.

    Args:
        seen: `digest_of` the same fields as whoever changes them saw them; empty for whoever need not have looked.
    The caller commits, then calls `forget_site`. Raises KeyError for a name that cannot be set, Outdated where others were first.
    """
    if unknown := set(values) - FIELDS:
        raise KeyError(f"not a setting of the site: {', '.join(sorted(unknown))}")
    settings = current_app.config["SETTINGS"]
    rows = db.session.execute(sa.select(SiteSetting.name, SiteSetting.value).with_for_update())
    present = {row.name: row.value for row in rows}
    standing = {name: present.get(name) or (str(getattr(settings, name)) if name in FROM_ENVIRONMENT else "") for name in values}
    if seen and seen != digest_of(standing):
        raise Outdated
    changed = []
    for name, value in values.items():
        wanted = "" if name in FROM_ENVIRONMENT and value == getattr(settings, name) else value
        if wanted == present.get(name, ""):
            continue
        changed.append(name)
        if wanted:
            facts = {"value": wanted, "changed_at": now}
            statement = insert_into(SiteSetting).values(name=name, **facts)
            db.session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=facts))
        else:
            db.session.execute(sa.delete(SiteSetting).where(SiteSetting.name == name))
    return sorted(changed)
