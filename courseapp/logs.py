"""Structured logs on standard error: one JSON line an event, with the number of the request that it belongs to.

No address, name, answer, title, token or path of a lesson goes in. So a failure is told by the kinds of its errors and the
places they passed, never by their messages or variables; and what libraries say comes with the facts left out of it.
"""

import json
import logging
import re
import secrets
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from time import perf_counter
from types import TracebackType
from typing import Any

import structlog
from flask import Flask, Response, request

from courseapp.config import Settings

WELL_FORMED = re.compile(r"[0-9A-Za-z-]{8,64}")  # a UUID, or the hex digits of nginx's $request_id
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
FRAMES = 20  # of a failure, the innermost
QUIET = ("kombu", "amqp", "fontTools", "alembic", "celery", "stripe")
_present: ContextVar[str] = ContextVar("request_id", default="")
_began: ContextVar[float] = ContextVar("began", default=0.0)


def request_id() -> str:
    """The number of the request that is being answered, or that woke the present task; empty where there is none."""
    return _present.get()


@contextmanager
def known_as(number: str) -> Iterator[None]:
    """Lines written inside carry this number: a task's, of the request that woke it."""
    token = _present.set(number)
    try:
        yield
    finally:
        _present.reset(token)


def init_logs(settings: Settings) -> None:
    """Set structlog and the standard library's loggers to one format."""
    level = getattr(logging, settings.log_level)
    line = logging.StreamHandler(sys.stderr)
    line.setFormatter(LibraryLine())
    logging.basicConfig(level=level, handlers=[line])
    for noisy in QUIET:
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    logging.getLogger("celery.app.trace").setLevel(logging.CRITICAL + 1)  # AppTask says what failed, without the error's words
    served = logging.getLogger("gunicorn.error")
    if served.handlers:  # gunicorn has set its own; its main process goes on with them
        served.handlers, served.propagate = [], True
    if not settings.is_embedded:
        _tell_what_nobody_caught()
    structlog.configure(
        processors=[
            _number,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _failure,
            structlog.processors.JSONRenderer(),  # escapes line breaks, so that no value can forge a line
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _tell_what_nobody_caught() -> None:
    """Of an error that ends a command or a thread Python would print the message, which may quote a row; likewise of warnings."""
    sys.excepthook = lambda kind, error, _trace: _last_words(kind, error)
    if threading.excepthook is threading.__excepthook__:  # else whoever set another wants it
        threading.excepthook = lambda facts: _last_words(facts.exc_type, facts.exc_value)
    logging.captureWarnings(True)


def _last_words(kind: type[BaseException], error: BaseException | None) -> None:
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        structlog.get_logger().error("not_caught", failure=failure_of(error) if error is not None else [kind.__name__])


def init_request_ids(app: Flask, settings: Settings) -> None:
    """Number each request before anything else looks at it, and note it when it is answered."""
    is_behind_proxy = settings.trusted_proxies > 0  # else whoever asks could choose what our log says

    @app.before_request
    def begin() -> None:
        given = request.environ.get("HTTP_X_REQUEST_ID", "") if is_behind_proxy else ""
        _present.set(given if WELL_FORMED.fullmatch(given) else secrets.token_hex(6))
        _began.set(perf_counter())

    if settings.access_log and settings.log_level in {"DEBUG", "INFO"}:
        unnoted: tuple[str, ...] = app.config["UNNOTED"]

        @app.after_request
        def note(answer: Response) -> Response:
            endpoint = request.endpoint
            if endpoint is None or not endpoint.startswith(unnoted) or answer.status_code >= 500:
                sys.stderr.write(access_line(request.method, endpoint, answer.status_code, perf_counter() - _began.get()))
            return answer


def access_line(method: str, endpoint: str | None, status: int, seconds: float) -> str:
    """One answered request. The endpoint, not the path: a path can say who did what.

    Written by hand, for the hot pages pay for it: every value is a number, one of our own names or of a checked form.
    """
    name = f'"{endpoint}"' if endpoint else "null"
    shown = method if method in METHODS else "OTHER"
    at = datetime.now(UTC).replace(tzinfo=None).isoformat()
    return (
        f'{{"event": "request", "method": "{shown}", "endpoint": {name}, "status": {status}, "ms": {seconds * 1000:.1f}, '
        f'"request_id": "{_present.get()}", "level": "info", "timestamp": "{at}Z"}}\n'
    )


class LibraryLine(logging.Formatter):
    """What a library logs, as a line of ours: its sentence, with nothing filled in but numbers and the kinds of errors."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        said: MutableMapping[str, Any] = {"event": _harmless_words(record), "logger": record.name, "level": record.levelname.lower()}
        _number(None, "", said)
        if record.exc_info and record.exc_info[1]:
            said["failure"] = failure_of(record.exc_info[1])
        said["timestamp"] = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None).isoformat() + "Z"
        return json.dumps(said)


def failure_of(error: BaseException) -> list[dict[str, Any]]:
    """An error and those it came from, last first: kinds and places. Messages may quote rows, and variables hold them."""
    found: list[dict[str, Any]] = []
    seen: BaseException | None = error
    while seen is not None and len(found) < 5:
        found.append({"kind": type(seen).__name__, "at": _places(seen.__traceback__)})
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return found


def _places(trace: TracebackType | None) -> list[str]:
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{'/'.join(code.co_filename.split('/')[-3:])}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places[-FRAMES:]


def _number(_logger: object, _method: str, said: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if number := _present.get():
        said.setdefault("request_id", number)
    return said


def _failure(_logger: object, _method: str, said: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    given = said.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        said["failure"] = failure_of(error)
    return said


def _harmless_words(record: logging.LogRecord) -> str:
    if record.name == "py.warnings":  # all of it is filled in: file, line, kind, words, and the line of source
        kind = re.search(r": (\w+): ", str(record.msg))
        return kind[1] if kind else "Warning"
    sentence = str(record.msg)
    facts = record.args
    try:
        if isinstance(facts, dict):
            sentence = sentence % {name: _harmless(value) for name, value in facts.items()}
        elif facts:
            sentence = sentence % tuple(_harmless(value) for value in facts)
    except (TypeError, ValueError, KeyError):
        pass  # the sentence without its facts
    return re.sub(r"\S*[@/?=]\S*", "…", sentence)[:300]  # where a library has filled it in itself: addresses, paths, queries


def _harmless(value: object) -> object:
    if isinstance(value, BaseException):
        return type(value).__name__
    return value if isinstance(value, int | float) else "…"
