"""Structured logs on standard error, one line an event. No address, answer, path of a lesson or token goes in."""

import logging
import sys

import structlog

from courseapp.config import Settings


def init_logs(settings: Settings) -> None:
    """Set structlog and the standard library's loggers to one format."""
    level = getattr(logging, settings.log_level)
    logging.basicConfig(level=level, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
    for noisy in ("kombu", "amqp", "fontTools", "alembic", "celery.beat"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),  # escapes line breaks, so that no value can forge a line
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
