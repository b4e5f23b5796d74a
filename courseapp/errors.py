"""Refusals, and the one set of error pages. A Refusal is a rule saying no, in words for the user."""

import errno

import structlog
from flask import Flask, Response, g, make_response, render_template, request, session
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_limiter import RateLimitExceeded
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from courseapp.extensions import db, login_manager
from courseapp.logs import request_id

log = structlog.get_logger()

WORDS = {
    400: (_l("That did not arrive whole"), _l("Please go back, reload the page and try again. Nothing was changed.")),
    403: (_l("That is not open to you"), _l("Your account may not do this. If you think it should, ask the people who run this site.")),
    404: (_l("There is nothing here"), _l("The address may be mistyped, or the page may have moved. Nothing of yours is lost.")),
    405: (_l("That did not arrive whole"), _l("Please go back, reload the page and try again. Nothing was changed.")),
    410: (_l("This link has been used or is too old"), _l("Links in our mails work once and for a short time. Ask for a new one.")),
    413: (_l("That file is too large"), _l("Choose a smaller file. Nothing was stored.")),
    429: (_l("A little too often"), _l("To keep everyone's account safe we slow things down here. Nothing is lost.")),
    500: (_l("Something went wrong on our side"), _l("What you had saved is safe. Please try again in a minute.")),
    507: (
        _l("There is no room left on this server"),
        _l("Nothing was changed. Please tell the people who run this site; once they have made room, send it again."),
    ),
    503: (
        _l("We cannot reach our records just now"),
        _l("What you had saved is safe. This page comes back by itself; please try again in a minute."),
    ),
}


NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NO_ROOM_SQLITE = {13, 19 << 8 | 10, 3 << 8 | 10}  # SQLITE_FULL, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE; not every process needs sqlite3
NO_ROOM_POSTGRESQL = "53100"  # disk_full (PostgreSQL, appendix A)


class Refusal(Exception):
    """A rule said no. `words` are for the user; `status` is the HTTP status an edge answers with."""

    def __init__(self, words: str, status: int = 409) -> None:
        super().__init__(words)
        self.words = str(words)
        self.status = status


def error_page(status: int, words: str | None = None, retry_after: int | None = None) -> Response:
    """One error page; it also serves when the database is away."""
    _look_for_user()
    title, standard = WORDS.get(status, WORDS[500])
    body = render_template(
        f"errors/{status if status in WORDS and status != 405 else 500 if status >= 500 else 400}.html",
        title=title,
        words=words or standard,
        retry_after=retry_after,
        number=request_id(),
    )
    answer = make_response(body, status)
    answer.headers["Cache-Control"] = "no-store"
    if retry_after:
        answer.headers["Retry-After"] = str(retry_after)
    return answer


def _look_for_user() -> None:
    """The page's head greets whoever is signed in; where the database cannot say, nobody."""
    try:
        bool(current_user.is_authenticated)
    except SQLAlchemyError:
        _know_nobody()


def _know_nobody() -> None:
    g._login_user = login_manager.anonymous_user()  # where flask-login keeps the user of this request


def _forget_changes(app: Flask) -> None:
    """Nothing was written, so whoever was made here is not there, and a cookie that speaks of them must not leave."""
    db.session.rollback()
    _know_nobody()
    before = app.session_interface.open_session(app, request)
    session.clear()
    session.update(before or {})
    session.modified = False


def is_out_of_room(error: BaseException) -> bool:
    """Whether something failed because a disk is full, or as much as one may write: ours, or the database's."""
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    cause = error.orig if isinstance(error, DBAPIError) else None
    return getattr(cause, "sqlite_errorcode", None) in NO_ROOM_SQLITE or getattr(cause, "sqlstate", None) == NO_ROOM_POSTGRESQL


def retry_words(seconds: int) -> str:
    """When to try again, in words."""
    if seconds < 90:
        return str(_("Please try again in about a minute."))
    if seconds < 3600:
        return str(_("Please try again in about %(count)s minutes.", count=-(-seconds // 60)))
    return str(_("Please try again in about %(count)s hours.", count=-(-seconds // 3600)))


def init_errors(app: Flask) -> None:
    """Answer every failure with a page in words."""

    @app.errorhandler(Refusal)
    def refused(error: Refusal) -> Response:
        return error_page(error.status if error.status in WORDS else 400, error.words)

    @app.errorhandler(CSRFError)
    def forged(error: CSRFError) -> Response:
        return error_page(
            400,
            _("This page was open for too long or in another session. Please go back, reload it and send it again. Nothing was changed."),
        )

    @app.errorhandler(RateLimitExceeded)
    def too_often(error: RateLimitExceeded) -> Response:
        seconds = error.limit.limit.get_expiry() if error.limit else 60
        return error_page(429, retry_words(seconds), seconds)

    @app.errorhandler(HTTPException)
    def known(error: HTTPException) -> Response:
        if error.response is not None or (error.code or 500) < 400:  # a redirect raised by routing
            return make_response(error.get_response())
        return error_page(error.code or 500)

    _init_failures(app)


def _init_failures(app: Flask) -> None:
    """What is nobody's doing outside: the database away, a disk that is full, an error of ours."""

    @app.errorhandler(PoolTimeout)
    @app.errorhandler(OperationalError)
    @app.errorhandler(InterfaceError)
    def database_away(error: SQLAlchemyError) -> Response:
        if is_out_of_room(error):
            return no_room(error)
        log.error("database_away", endpoint=request.endpoint, kind=type(error).__name__)
        _know_nobody()  # else the page asks the database again, and waits for it
        return error_page(503, retry_after=30)

    @app.errorhandler(OSError)
    def no_room(error: Exception) -> Response:
        if not is_out_of_room(error):
            return broken(error)
        log.error("no_room", endpoint=request.endpoint, kind=type(error).__name__)
        _forget_changes(app)
        return error_page(507)

    @app.errorhandler(Exception)
    def broken(error: Exception) -> Response:
        if app.config.get("PROPAGATE_EXCEPTIONS"):
            raise error
        log.exception("request_failed", endpoint=request.endpoint)
        return error_page(500)
