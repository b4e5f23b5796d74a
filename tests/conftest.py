"""The harness: a fresh database, an application, a client, real servers; and a summary that names what did not run.

Every test that uses `app` (or anything built on it) runs twice, `[sqlite]` and `[postgresql]`; one that says
`@pytest.mark.one_database` runs on SQLite alone. `@pytest.mark.settings(rate_limits=True)` gives a test an application of
its own with those settings. What each fixture gives stands in its docstring: `pytest --fixtures`.
"""

import gc
import os
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import kombu.pools
import pytest
import structlog
from flask import Flask, has_app_context
from jinja2.bccache import Bucket, BytecodeCache
from sqlalchemy.orm import Session, scoped_session
from werkzeug.serving import make_server

import courseapp.config
from courseapp import clock, create_app
from courseapp.config import Settings
from courseapp.extensions import bell, celery, db, limiter
from courseapp.typed_values import types_of
from tests.client import Client
from tests.databases import Database, PostgresDatabase, SqliteDatabase
from tests.recording_smtp import RecordingSmtp
from tests.services import Keeper, services_in

pytest_plugins = ["tests.browser", "tests.buckets"]

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)  # a Monday, in winter time everywhere
DATABASES = ("sqlite", "postgresql")
SECRET = "tests-only-tests-only-tests-only-tests-only"  # longer than SECRET_MINIMUM


# --- the run -----------------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers, keep the developer's own settings out, and start the servers where this process leads the run."""
    config.addinivalue_line("markers", "one_database: the database does not matter; run on SQLite alone")
    config.addinivalue_line("markers", "settings(**overrides): an application of its own, with these settings")
    config.addinivalue_line("markers", "xdist_group(name): of xdist, named here for runs without it")
    courseapp.config.ENV_FILE = os.devnull
    for name in types_of(Settings):
        os.environ.pop(name.upper(), None)
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.keeper = Keeper()  # type: ignore[attr-defined]  # the run's own place for what belongs to the run
        config.services_folder = config.keeper.folder  # type: ignore[attr-defined]  # as above
    elif hasattr(config, "workerinput"):
        config.services_folder = Path(config.workerinput["services"])  # type: ignore[attr-defined]  # as above


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each xdist worker where the servers are."""
    node.workerinput["services"] = str(node.config.services_folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers, also after Ctrl-C."""
    if keeper := getattr(config, "keeper", None):
        keeper.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run whatever needs a database on both."""
    if "database" in metafunc.fixturenames:
        alone = metafunc.definition.get_closest_marker("one_database") is not None
        metafunc.parametrize("database", DATABASES[:1] if alone else DATABASES, indirect=True)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests share one worker, and so one browser."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("browser"))


def pytest_collection_finish() -> None:
    """Modules and thousands of tests stand until the end."""
    spare_the_collector()


def spare_the_collector() -> None:
    """Let the garbage collector look no more at what is there now: it would at all of it, again and again, a quarter of a run's work."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name what did not run, and why; nothing is skipped in silence."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    for report in terminalreporter.stats.get("xfailed", []):
        reasons[f"{report.nodeid}: known to fail: {report.wasxfail}"] += 1
    if reasons:
        terminalreporter.section("DID NOT RUN", yellow=True)
        for reason, count in sorted(reasons.items()):
            terminalreporter.write_line(f"{count} × {reason}")


def _reason(report: Any) -> str:
    words = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return str(words).removeprefix("Skipped: ")


# --- servers -----------------------------------------------------------------------------------------------------------


@cache
def _services(folder: Path) -> dict[str, dict[str, str]]:
    return services_in(folder)


@pytest.fixture(scope="session")
def worker(request: pytest.FixtureRequest) -> str:
    """This process's name among the workers: gw0, gw1, …"""
    return getattr(request.config, "workerinput", {}).get("workerid", "gw0")


@pytest.fixture(scope="session")
def service(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """service("postgresql") or ("redis"): the server's address; skips, by name, where it cannot run here."""

    def address(name: str) -> str:
        found = _services(request.config.services_folder)[name]  # type: ignore[attr-defined]  # set in pytest_configure
        if not found["url"]:
            pytest.skip(f"{name.upper()} CANNOT RUN HERE: {found['why']}")
        return found["url"]

    return address


@pytest.fixture
def redis_url(service: Callable[[str], str], worker: str) -> str:
    """The address of a real Redis, in a database of this worker's own, emptied."""
    import redis

    base = service("redis").rpartition("/")[0] if service("redis").count("/") > 2 else service("redis")
    url = f"{base}/{int(worker.removeprefix('gw')) % 15 + 1}"
    with redis.Redis.from_url(url) as connection:
        connection.flushdb()
    return url


@pytest.fixture
def smtp() -> Iterator[RecordingSmtp]:
    """A real SMTP server of this test's own: `.url`, `.received`, `.script(stage, answer, times=1)`; see recording_smtp.py."""
    server = RecordingSmtp()
    server.start()
    yield server
    server.stop()


# --- database and application ------------------------------------------------------------------------------------------


class KeptTemplates(BytecodeCache):
    """Compiled templates by their text, for every application of this worker; each would compile them all anew, 0.1 s a page."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Give what was compiled of this very text, if it was."""
        bucket.code = self._kept.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was compiled."""
        assert bucket.code is not None
        self._kept[bucket.key, bucket.checksum] = bucket.code


class Workbench:
    """What this worker keeps from test to test: one folder, and per kind of database one database and one application."""

    def __init__(self, folder: Path, service: Callable[[str], str], worker: str) -> None:
        self.folder, self._service, self._worker = folder, service, worker
        self.data_dir = folder / "data"
        self.data_dir.mkdir()
        self._templates = KeptTemplates()
        self._kept: dict[str, tuple[Database, Flask]] = {}

    def application(self, kind: str) -> tuple[Database, Flask]:
        """The application on a database of `kind`, built and migrated on first use."""
        if kind not in self._kept:
            database = SqliteDatabase(self.folder) if kind == "sqlite" else PostgresDatabase(self._service("postgresql"), self._worker)
            app = self.build(database.url)
            database.migrate(app)
            self._kept[kind] = database, app
            spare_the_collector()
        return self._kept[kind]

    def build(self, database_url: str, **overrides: Any) -> Flask:
        """A new application, with the settings of tests and `overrides`."""
        usual = {"data_dir": self.data_dir, "clock_file": self.data_dir / "clock", "secret_key": SECRET, "rate_limits": False}
        app = create_app(**{**usual, "database_url": database_url, **overrides})
        app.config.update(TESTING=True, PROPAGATE_EXCEPTIONS=True)
        app.test_client_class = Client
        app.jinja_env.bytecode_cache = self._templates
        # The error stream of this moment belongs to one test; a log line must go to the one of its own moment.
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
        return app

    def empty_data_dir(self) -> None:
        """Remove the files a test left; folders at the top stay, for the broker's are made once."""
        for path in self.data_dir.glob("*"):
            for inner in path.rglob("*") if path.name == "broker" else ():
                if inner.is_file():
                    inner.unlink(missing_ok=True)
            if path.is_dir() and path.name != "broker":
                shutil.rmtree(path)
            elif path.is_file():
                path.unlink()

    def close(self) -> None:
        """Let go of every database."""
        for database, app in self._kept.values():
            with app.app_context():
                db.engine.dispose()
            database.close()


@pytest.fixture(scope="session")
def workbench(tmp_path_factory: pytest.TempPathFactory, service: Callable[[str], str], worker: str) -> Iterator[Workbench]:
    """What the fixtures below are made from; tests need not ask for it."""
    kept = Workbench(tmp_path_factory.mktemp("workbench"), service, worker)
    yield kept
    kept.close()


@pytest.fixture
def database(request: pytest.FixtureRequest, workbench: Workbench) -> Database:
    """A fresh, migrated database: `.url`. Parametrised: sqlite, postgresql."""
    found, app = workbench.application(request.param)
    found.renew(app)
    return found


@pytest.fixture
def make_app(workbench: Workbench, database: Database) -> Iterator[Callable[..., Flask]]:
    """make_app(**settings): a further application on this test's database, with settings of its own."""
    made = []

    def make(**overrides: Any) -> Flask:
        app = workbench.build(**{"database_url": database.url, **overrides})
        made.append(app)
        _forget_broker()
        _make_current(app)
        return app

    usual = {name: celery.conf[name] for name in ("broker_url", "broker_transport_options")}
    yield make
    if has_app_context():  # the test's own session takes its connection from whichever application is on top
        db.session.rollback()
    for app in made:
        with app.app_context():
            db.session.rollback()
            db.engine.dispose()
    celery.conf.update(usual)
    _forget_broker()


@pytest.fixture
def app(request: pytest.FixtureRequest, workbench: Workbench, database: Database) -> Iterator[Flask]:
    """The application on a fresh database, with an app context pushed; its clock stands at `now` and runs on from there.

    Files are kept under `app.config["SETTINGS"].data_dir`, emptied before each test. Rate limits are off, CSRF is on.
    """
    workbench.empty_data_dir()
    marker = request.node.get_closest_marker("settings")
    if marker is not None:
        app = request.getfixturevalue("make_app")(**marker.kwargs)
    else:
        _found, app = workbench.application(request.node.callspec.params["database"])
    _make_current(app)
    set_clock(app, NOW)
    with app.app_context():
        yield app
        db.session.rollback()


def _make_current(app: Flask) -> None:
    """Point what is global to a process at this application: the broker, the limiter, the clock."""
    celery.flask_app = app
    forget_kept(app)
    bell.forgive()
    limiter.enabled = app.config["RATELIMIT_ENABLED"]
    if limiter.enabled:
        limiter.reset()
    clock.follow_shift(app.config["SETTINGS"].clock_file)


def forget_kept(app: Flask) -> None:
    """Forget what the application keeps in memory of the database."""
    app.extensions["pages"].clear()
    for name in ("streams", "landings", "letters", "site", "drawn_ids", "lessons"):
        app.extensions.pop(name, None)


def _forget_broker() -> None:
    """Close what is open to the last broker, so that the next message goes to the one that is set now."""
    kombu.pools.reset()
    celery._after_fork()  # what Celery itself does where its connections must be made anew


def set_clock(app: Flask, moment: datetime) -> None:
    """Let the clock of every process of this test say `moment` now, and run on."""
    file: Path = app.config["SETTINGS"].clock_file
    file.write_text(str((moment - datetime.now(UTC)).total_seconds()))


@pytest.fixture
def now() -> datetime:
    """Monday 2 November 2026, 09:00 UTC: what the application's clock says when the test begins."""
    return NOW


@pytest.fixture
def wait(app: Flask) -> Callable[..., None]:
    """wait(seconds=31): let the application's clock go on by that from what it shows; `pass_time` counts from when the test began."""

    def go_on(**length: float) -> None:
        set_clock(app, clock.now() + timedelta(**length))

    return go_on


@pytest.fixture
def pass_time(app: Flask) -> Callable[..., datetime]:
    """pass_time(days=3): shift the application's clock on, in every process; returns the new time, exactly now + 3 days."""
    passed = timedelta()

    def shift(**length: float) -> datetime:
        nonlocal passed
        passed += timedelta(**length)
        set_clock(app, NOW + passed)
        return NOW + passed

    return shift


@pytest.fixture
def db_session(app: Flask) -> scoped_session[Session]:
    """The session of the test itself. Requests have their own; each commits this one before it begins."""
    return db.session


@pytest.fixture
def client(app: Flask) -> Client:
    """A browser without pictures: `visit`, `submit`, `path`, `sign_in`; see client.py. A second one: `app.test_client()`."""
    made = app.test_client()
    assert isinstance(made, Client)
    return made


class LiveServer:
    """A web server of this test's own on loopback."""

    def __init__(self, app: Flask) -> None:
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self._server.daemon_threads = True  # type: ignore[attr-defined]  # of ThreadingMixIn, which `threaded` adds
        self.app, self.url = app, f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def path(self, endpoint: str, **values: Any) -> str:
        """The full address of an endpoint."""
        return self.url + self.app.url_map.bind("localhost").build(endpoint, values)

    def stop(self) -> None:
        """Answer what is being answered, then stop."""
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


@pytest.fixture
def live_server(app: Flask) -> Iterator[LiveServer]:
    """A real web server on loopback, in threads: `.url`, `.path(endpoint, **values)`.

    Commit before it is asked (`db_session.commit()`): it sees committed rows only, and SQLite has one writer.
    """
    server = LiveServer(app)
    yield server
    server.stop()
