"""The extensions, unbound, and how each is set up; `create_app` binds them with `init_extensions`.

Redis is reached from here alone (broker and rate-limit store). It only ever carries wake-ups and counters: with Redis
gone pages work, limits count in memory, and mail waits for the next tick.
"""

import select
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
import structlog
from babel import Locale
from celery import Celery, Task
from flask import Flask, current_app, g, has_request_context, request, session
from flask_babel import Babel
from flask_limiter import Limiter
from flask_login import LoginManager
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect
from sqlalchemy.orm import DeclarativeBase, Session
from werkzeug.local import LocalProxy

from courseapp import counting
from courseapp.config import Settings
from courseapp.held import APART, Condition, HeldRow, HoldingSession, insert_of, insertion, table_of
from courseapp.logs import known_as, request_id
from courseapp.waking import Bell
from courseapp.whole_files import SCHEME

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
BROKER_PATIENCE = 1.0  # seconds that publishing a wake-up may take
REQUEST_HEADER = "request_id"  # of a wake-up: which requests asked for it

DRAWN_AT_ONCE = 32

log = structlog.get_logger()
_draw_ids = sa.text("SELECT nextval(pg_get_serial_sequence(:name, 'id')) FROM generate_series(1, :count) ORDER BY 1 DESC")


class Model(DeclarativeBase):
    """The base of every model. Constraint names are fixed, so that migrations can name them on both databases."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def flask_app_of(worker: Any) -> Flask:
    """The Flask application that a Celery application works for."""
    app: Flask = vars(worker)["flask_app"]
    return app


class AppTask(Task):  # type: ignore[type-arg]  # celery's Task is generic in its stubs alone
    """A task runs inside the application's context, on a session of its own; its lines carry the number of the request that woke it."""

    def __call__(self, *args: object, **kwargs: object) -> Any:
        app = flask_app_of(self.app)
        woken_by = (self.request.headers or {}).get(REQUEST_HEADER, "")
        with app.app_context(), known_as(woken_by):
            try:
                return super().__call__(*args, **kwargs)
            except Exception:
                log.exception("task_failed", task=self.name)
                raise


db = SQLAlchemy(model_class=Model, session_options={"class_": HoldingSession})
login_manager = LoginManager()
csrf = CSRFProtect()
babel = Babel()
celery = Celery("courseapp", task_cls=AppTask)


def network_of_caller() -> str:
    """The caller's network, the key of rate limits: the address, and of IPv6 the first 64 bits."""
    address = request.remote_addr or "unknown"
    return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address


class DecoratedLimiter(Limiter):
    """Limits stand on single pages, none on all: so the look at every request, which the library takes besides, is spared."""

    def _check_request_limit(self, callable_name: str | None = None, in_middleware: bool = True) -> None:
        if not in_middleware:
            super()._check_request_limit(callable_name, in_middleware)


limiter = DecoratedLimiter(key_func=network_of_caller, headers_enabled=False)


def init_extensions(app: Flask, settings: Settings) -> None:
    """Bind every extension to the application."""
    _init_database(app, settings)
    _init_broker(app, settings)
    app.config.update(
        WTF_CSRF_TIME_LIMIT=None,  # a token lives as long as the session: people leave a lesson open for days
        WTF_CSRF_SSL_STRICT=True,
        RATELIMIT_ENABLED=settings.rate_limits,
        RATELIMIT_STORAGE_URI=settings.redis_url or f"{counting.SCHEME}://",
        RATELIMIT_STORAGE_OPTIONS={"socket_connect_timeout": 0.3, "socket_timeout": 0.5} if settings.redis_url else {},
        RATELIMIT_IN_MEMORY_FALLBACK_ENABLED=bool(settings.redis_url),
        BABEL_DEFAULT_LOCALE=settings.language_list[0].replace("-", "_"),
        BABEL_TRANSLATION_DIRECTORIES=str(Path(__file__).parent / "translations"),
    )
    csrf.init_app(app)
    limiter.init_app(app)
    login_manager.init_app(app)
    login_manager.session_protection = None  # sessions are rows of ours; a changing address must not end them
    languages = settings.language_list
    locales = {tag: Locale.parse(tag.replace("-", "_")) for tag in languages}  # once, not once a page
    several = locales if len(languages) > 1 else {}
    english = next((locale for locale in locales.values() if locale.language == "en"), Locale("en"))

    def locale_of_reader() -> Locale:
        if g.get("is_for_staff"):
            return english
        tag: str = app.extensions["default_language"]()  # what the owner set; `site.py` hands it over
        if has_request_context():
            chosen = session.get("language")
            tag = chosen if chosen in locales else request.accept_languages.best_match(languages, tag) or tag
        return locales[tag]

    app.extensions["language_names"] = {tag: locale.get_display_name() for tag, locale in several.items()}
    babel.init_app(
        app,
        locale_selector=locale_of_reader if several or english not in locales.values() else lambda: english,
        timezone_selector=lambda: session.get("zone") or app.extensions["default_zone"]() if has_request_context() else None,
    )


def snapshot() -> sa.Connection:
    """A connection of its own that sees the database as it stands at its first statement, writes nothing and holds up no writer."""
    if db.engine.dialect.name == "sqlite":  # in WAL a plain BEGIN is just that
        return db.engine.connect().execution_options(only_reads=True)
    return db.engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def insert_into(model: type[Model]) -> Any:
    """An INSERT that knows ON CONFLICT, for whichever of the two databases this is."""
    return insert_of(db.engine.dialect.name, table_of(model))


def numbers_in(column: sa.orm.InstrumentedAttribute[list[int]], which: sa.ColumnElement[bool]) -> sa.Subquery:
    """The numbers in lists of a column of `columns.Numbers`, a row for each, as `number`."""
    if db.engine.dialect.name == "postgresql":
        return sa.select(sa.func.unnest(column).label("number")).where(which).subquery()
    each = sa.func.json_each(column).table_valued("value")
    return sa.select(each.c.value.label("number")).select_from(column.class_).join(each, sa.true()).where(which).subquery()


def holds_number(column: sa.orm.InstrumentedAttribute[list[int]], number: int) -> sa.ColumnElement[bool]:
    """SQL: a list of a column of `columns.Numbers` holds this one."""
    if db.engine.dialect.name == "postgresql":
        return sa.literal(number) == sa.func.any(column)
    each = sa.func.json_each(column).table_valued("value")
    return sa.select(each.c.value).where(each.c.value == number).correlate(column.class_).exists()


def insert(model: type[Model], **values: Any) -> int:
    """Insert a row now; its id. One statement, built once: what hot pages write does not wait for the unit of work."""
    db.session.flush()  # what the row points at must be there, and a plain INSERT does not see to that by itself
    made: int = db.session.connection().scalar(insertion(db.engine.dialect.name, model), values)
    return made


def insert_known(model: type[Model], **values: Any) -> int:
    """Insert a row together with others, as `insert_later` does; its id, which is known at once."""
    if db.engine.dialect.name == "sqlite":
        return insert(model, **values)
    drawn = _drawn_id(model)
    insert_later(model, id=drawn, **values)
    return drawn


def _drawn_id(model: type[Model]) -> int:
    """A fresh id, drawn with others ahead of their use; what a process has left when it ends is never used."""
    left: dict[str, list[int]] = current_app.extensions.setdefault("drawn_ids", {})
    ids = left.setdefault(model.__tablename__, [])
    while True:
        try:
            return ids.pop()  # threads may ask at once
        except IndexError:
            facts = {"name": model.__tablename__, "count": DRAWN_AT_ONCE}
            ids += asking().scalars(_draw_ids, facts)


def insert_later(
    model: type[Model],
    *,
    once: tuple[str, ...] = (),
    or_find: str = "",
    adding: str = "",
    given: HeldRow | None = None,
    provided: Condition | None = None,
    **values: Any,
) -> HeldRow:
    """Insert a row together with others: before anything is next asked of the database, or with the commit.

    For rows whose id nobody needs at once; as a value of a later one, what is returned stands for the id. Every column must be
    given, defaults are not filled in. What the other arguments mean stands at `HeldRow`.
    """
    db.session.flush()  # as above
    row = HeldRow(model, values, once=once, or_find=or_find, adding=adding, given=given, provided=provided)
    cast(HoldingSession, db.session()).hold(row)
    return row


def write_held() -> None:
    """Write what `insert_later` was given, now: whoever needs an id at once."""
    cast(HoldingSession, db.session()).write_held()


def commit_each() -> bool:
    """Until the next commit, have each statement committed by itself, where the database can do that within a session; whether it does.

    For work that commits after every statement anyway: BEGIN and COMMIT cost PostgreSQL as much as what stands between.
    """
    if db.engine.dialect.name == "sqlite":
        return False
    write_held()
    # named, so that the session does not look for it, for it would begin a transaction first
    db.session.connection({"bind": db.engine}, {"isolation_level": "AUTOCOMMIT"})
    return True


def asking() -> sa.Connection:
    """The session's connection, for a plain question that hot pages ask: no transaction begins by it."""
    return cast(HoldingSession, db.session()).asking()


def wake(topic: str) -> None:
    """Wake the worker for `topic` once the present transaction is committed. A lost wake-up costs one tick."""
    db.session.info.setdefault("wakes", set()).add(topic)


def _init_database(app: Flask, settings: Settings) -> None:
    app.config["SQLALCHEMY_DATABASE_URI"] = settings.database
    if settings.is_sqlite:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": {"timeout": 15}, "hide_parameters": True}
    else:
        app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
            "pool_size": settings.database_pool,
            "max_overflow": settings.database_pool,
            "pool_timeout": 5,
            "hide_parameters": True,  # in the words of errors, wherever these end up
            "connect_args": {"connect_timeout": 3},
        }
    db.init_app(app)
    app.extensions["migrate"] = LocalProxy(lru_cache(lambda: _migrations(app, settings)))
    with app.app_context():
        if settings.is_sqlite:
            sa.event.listen(db.engine, "connect", _prepare_sqlite)
            sa.event.listen(db.engine, "begin", _begin_sqlite)
        else:
            # of the pool, not of the engine, whose listeners would be thought of at every statement
            sa.event.listen(db.engine.pool, "checkout", _lend_postgresql)


def _migrations(app: Flask, settings: Settings) -> Any:
    """What flask-migrate keeps of an application; made when it is asked for, since a web process need not hold Alembic."""
    from flask_migrate import Migrate

    held = app.extensions["migrate"]
    Migrate(app, db, directory=str(Path(__file__).parent.parent / "migrations"), render_as_batch=settings.is_sqlite)
    made, app.extensions["migrate"] = app.extensions["migrate"], held
    return made


def _lend_postgresql(driver: Any, record: Any, _proxy: object) -> None:
    # Else the first page after a PostgreSQL restart fails. Nothing is to be read from a connection at rest but the news of its
    # end, and looking costs a hundredth of what asking the server costs (SQLAlchemy's pool_pre_ping).
    if select.select([driver.fileno()], [], [], 0)[0]:
        raise sa.exc.DisconnectionError
    # A page that only reads needs no transaction, and one that writes begins it when it does (held.py). The ROLLBACK that would
    # end it makes psycopg forget its prepared statements, and PostgreSQL then plans the same joins anew for every page: a
    # quarter of a lesson's time.
    record.info[APART] = is_page = has_request_context()
    if driver.autocommit != is_page:
        driver.autocommit = is_page


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin by itself: _begin_sqlite does
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL", "busy_timeout=15000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later loses updates or fails at once on SQLite, whatever the
    # busy_timeout; so all that may write takes the write lock first, and only pages that read do not.
    reading = has_request_context() and request.method in SAFE_METHODS and request.endpoint not in current_app.config["WRITING_PAGES"]
    reading = reading or connection.get_execution_options().get("only_reads", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _transport_options(settings: Settings) -> dict[str, object]:
    if settings.redis_url:
        return {
            "max_retries": 0,
            "socket_connect_timeout": BROKER_PATIENCE,
            "socket_timeout": 30,
            "visibility_timeout": 3600,
            "unacked_restore_interval": 2,  # else work of a killed worker comes back only after some 100 s
            "unacked_restore_throttle": 1,
        }
    folder = (settings.data_dir / "broker").absolute()
    for name in ("queue", "control"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    queue, control = str(folder / "queue"), str(folder / "control")
    return {"data_folder_in": queue, "data_folder_out": queue, "control_folder": control, "polling_interval": 0.1}


def _init_broker(app: Flask, settings: Settings) -> None:
    celery.conf.update(
        broker_url=settings.redis_url or f"{SCHEME}://localhost",
        broker_transport_options=_transport_options(settings),
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=BROKER_PATIENCE,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=120,
        task_soft_time_limit=60,
        task_default_queue="work",
        task_routes={"mailing.send_service": {"queue": "service"}},
        worker_prefetch_multiplier=1,
        worker_soft_shutdown_timeout=10,
        worker_enable_soft_shutdown_on_idle=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,  # our lines are whole already, and would be wrapped into a library's
        worker_send_task_events=False,
        timezone="UTC",
    )
    vars(celery)["flask_app"] = app
    celery.set_default()


def _publish(topic: str, asked_by: str) -> None:
    task = flask_app_of(celery).config["WAKES"][topic]
    celery.send_task(task, retry=False, ignore_result=True, headers={REQUEST_HEADER: asked_by} if asked_by else None)


bell = Bell(_publish)


@sa.event.listens_for(db.session, "after_commit")
def _ring(database_session: Session) -> None:
    """Ring for what `wake` collected. Runs after the commit: a broker that is away must not undo it."""
    if topics := database_session.info.pop("wakes", None):
        bell.ring(topics, request_id())


@sa.event.listens_for(db.session, "after_rollback")
def _forget_wakes(database_session: Session) -> None:
    database_session.info.pop("wakes", None)
