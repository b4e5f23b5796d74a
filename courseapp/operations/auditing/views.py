"""Who of staff did what and when: all of it for owners, what is about mail for marketers; as a list and as a file."""

from typing import Any

import structlog
from flask import Blueprint, abort, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from courseapp import clock
from courseapp.accounts.access import need_role
from courseapp.accounts.models import Role
from courseapp.billing.selling import is_selling
from courseapp.columns import row_number
from courseapp.contacts.spreadsheets import csv_of
from courseapp.extensions import db, limiter
from courseapp.journal import events
from courseapp.operations.audit import MOST_EXPORTED, Entry, entries_before, user_named
from courseapp.operations.audit_words import MATTER_WORDS, SEEN_BY, Matter
from courseapp.organisation.staff import staff_members

pages = Blueprint("auditing", __name__)
pages.before_request(need_role(Role.MARKETER, Role.OWNER))
PAGE = 50
log = structlog.get_logger()


def matters_seen() -> frozenset[Matter]:
    """What whoever asks may see."""
    return SEEN_BY[Role.OWNER if current_user.has_role(Role.OWNER) else Role.MARKETER]


def is_spoken_of(matter: Matter) -> bool:
    """Whether a matter is offered to choose: money only where something is sold. What was done about it stands among all."""
    return matter is not Matter.MONEY or is_selling()


def found(asked: Any, before: int | None, limit: int) -> list[Entry]:
    """The acts that are asked for: of one `matter` or all, of one person (`by`) or everybody. 404 for what may not be seen."""
    matters, by = matters_seen(), asked.get("by", "")
    if wanted := asked.get("matter", ""):
        matters = frozenset({Matter(wanted)}) & matters if wanted in list(Matter) else frozenset()
    user = user_named(by) if by else None
    if not matters or (by and user is None):
        abort(404)
    return entries_before(matters, user.id if user is not None else None, before, limit)


@pages.get("/staff/audit")
def acts() -> str:
    """The newest first, `matter` and `by` narrowing them."""
    rows = found(request.args, request.args.get("before", type=row_number), PAGE + 1)
    asked = {name: request.args.get(name, "") for name in ("matter", "by")}
    return render_template(
        "operations/audit.html",
        entries=rows[:PAGE],
        matters=[(matter.value, words) for matter, words in MATTER_WORDS.items() if matter in matters_seen() and is_spoken_of(matter)],
        people=[(member.public_id, member.address) for member in staff_members() if member.address],
        asked=asked,
        is_narrowed=any(asked.values()),
        is_later="before" in request.args,
        older_url=url_for("auditing.acts", before=rows[PAGE - 1].id, **narrowed(asked)) if len(rows) > PAGE else None,
        most=MOST_EXPORTED,
    )


def narrowed(asked: dict[str, str]) -> dict[str, Any]:
    """What narrows the list, as an address takes it."""
    return {name: value for name, value in asked.items() if value}


@pages.post("/staff/audit/export")
@limiter.limit("20 per hour")
def export() -> Response:
    """The same as a file for spreadsheets, with moments in UTC. That it was taken is written down too."""
    rows = found(request.form, None, MOST_EXPORTED)
    head = [_("When (UTC)"), _("Who"), _("What"), _("About")]
    content = csv_of([head, *([f"{row.at:%Y-%m-%d %H:%M:%S}", row.who, row.what, row.about] for row in rows)], with_mark=True)
    events.record("audit_exported", "site", clock.now(), by_user_id=current_user.id)
    db.session.commit()
    log.info("staff_acted", act="export_audit", staff=current_user.id)
    answer = make_response(content)
    answer.headers["Content-Type"] = "text/csv; charset=utf-8"
    answer.headers["Content-Disposition"] = 'attachment; filename="who-did-what.csv"'
    return answer
