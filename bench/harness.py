"""Starting real servers on loopback, loading them in turn, reading their CPU time from /proc.

`Ground` owns everything a run needs (PostgreSQL, databases, web servers, sink) and ends exactly the processes it started,
by process id, on success, failure and Ctrl-C alike; on Linux the children also die with a killed parent.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql

from bench.processes import GUNICORN, PYTHON, ROOT, THREADS, cpu_ms, end, family, free_port, production, rss_mb, start
from tests.services import Server, start_postgresql, start_redis

# Nothing is switched off: fsync, synchronous_commit and full_page_writes stay on. Only statistics of statements are loaded,
# and count nothing until asked to.
POSTGRESQL = ("max_connections=200", "shared_preload_libraries=pg_stat_statements", "shared_buffers=256MB")


@dataclass
class Web:
    """A web server under measurement."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    start_s: float
    database: str

    @property
    def worker_rss_mb(self) -> float:
        """Resident memory of its largest process: the worker."""
        return max(rss_mb(pid) for pid in family(self.process.pid))


@dataclass
class Window:
    """One side's load for one stretch of time, and what it cost."""

    count: int
    per_second: float
    p50_ms: float
    p99_ms: float
    bytes: float
    app_cpu_ms: float
    db_cpu_ms: float
    generator_cpu_ms: float
    wrong: int
    statuses: dict[str, int]
    collected: list[dict[str, str]] = field(default_factory=list, repr=False)


@dataclass
class Side:
    """One half of a pair: a server, and the requests of the next window (None: the kind of load ends early)."""

    web: Web
    requests: Callable[[], list[str]]
    expect: str
    cycle: bool
    before: Callable[[], None] = lambda: None


Found = dict[int, list[list[Window]]]
"""Number of connections → for each side its windows, in the order of the rounds."""


class Ground:
    """What one run stands on."""

    def __init__(self, quick: bool = False) -> None:
        self.quick = quick
        self._ends: list[Callable[[], Any]] = []
        self.folder = Path(tempfile.mkdtemp(prefix="courseapp-bench-", dir="/tmp"))
        self.folder.chmod(0o711)
        self.port_of_sink = 0
        self.sink: subprocess.Popen[bytes] | None = None
        self._ends.append(lambda: end(self.sink) if self.sink else None)
        self.sink_file = self.folder / "sink.json"

    def __enter__(self) -> "Ground":
        signal.signal(signal.SIGTERM, _interrupt)
        signal.signal(signal.SIGHUP, _interrupt)
        try:
            self._begin()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _begin(self) -> None:
        self.postgresql: Server = start_postgresql(self.folder / "pg", POSTGRESQL)
        self._ends.append(self.postgresql.stop)
        self.admin = psycopg.connect(self.postgresql.url, autocommit=True)
        self._ends.append(self.admin.close)
        if not os.environ.get("TEST_DATABASE_URL"):
            self.admin.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            self._count_statements(False)
        self.new_sink()

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # nothing may keep us from ending what we started
        while self._ends:
            try:
                self._ends.pop()()
            except Exception as error:
                print(f"while ending: {error!r}", file=sys.stderr)
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_sink(self) -> None:
        """A mail server that has taken nothing yet, in place of the last."""
        if self.sink is not None:
            end(self.sink)
        self.sink_file.unlink(missing_ok=True)
        self.sink = start([PYTHON, "-m", "bench.sink", self.sink_file], self.folder / "sink.log", cwd=ROOT, stdout=subprocess.PIPE)
        assert self.sink.stdout is not None
        self.port_of_sink = int(self.sink.stdout.readline())

    # Databases

    def database(self, name: str, template: str | None = None) -> str:
        """A fresh database, empty or a copy of another; its address."""
        words = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template or "template1"))
        self.admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        self.admin.execute(words)
        return self.url(name)

    def url(self, name: str) -> str:
        """The address of a database of ours, for psycopg."""
        return sa.make_url(self.postgresql.url).set(database=name).render_as_string(hide_password=False)

    @contextmanager
    def connection(self, name: str) -> Iterator[psycopg.Connection[Any]]:
        """A connection of the harness's own, each statement a transaction."""
        with psycopg.connect(self.url(name), autocommit=True) as found:
            yield found

    def environment(self, database: str, port: int = 8000, **more: str) -> dict[str, str]:
        """Production mode, against this ground's servers."""
        smtp = f"smtp://127.0.0.1:{self.port_of_sink or 9}"
        return production(self.folder, database, self.url(database), port, **{"SMTP_URL": smtp, "WEB_THREADS": str(THREADS), **more})

    def prepare(self, name: str, learners: int, template: str | None = None) -> None:
        """A database with the introductory course and `learners` more invented learners."""
        self.database(name, template)
        command = [PYTHON, "-m", "bench.inside", "prepare", str(learners), *(["--only-learners"] if template else [])]
        self.run(command, self.environment(name))
        with self.connection(name) as connection:
            connection.execute("VACUUM ANALYZE")

    def run(self, command: Sequence[str | Path], environment: dict[str, str], patience: float = 1800) -> str:
        """A command of ours to its end; what it printed. Raises RuntimeError with its errors."""
        log = self.folder / "run.log"
        process = start(command, log, cwd=self.folder, env=environment, stdout=subprocess.PIPE)
        try:
            said, _none = process.communicate(timeout=patience)
        finally:
            end(process)
        if process.returncode:
            raise RuntimeError(f"{' '.join(map(str, command[1:]))} failed:\n{log.read_text(errors='replace')[-3000:]}")
        return said.decode()

    def redis(self) -> str:
        """A real Redis, started on first use; its address."""
        server = start_redis(self.folder / "redis")
        self._ends.append(server.stop)
        return server.url

    # Web servers

    def gunicorn(self, name: str, target: str, database: str, **more: str) -> Web:
        """The web process as it is shipped, but for what would restart it in mid-measurement."""
        return self.web(name, lambda port: [PYTHON, "-m", "gunicorn", *GUNICORN, "--bind", f"127.0.0.1:{port}", "--log-level", "warning",
                                            target], database, **more)  # fmt: skip

    def web(self, name: str, command: Callable[[int], list[str]], database: str, **more: str) -> Web:
        """Any web server; waits for its first answer."""
        port = free_port()
        log = self.folder / f"{name}.log"
        environment = self.environment(database, port, **more)
        if name.startswith("floor"):
            environment["DATABASE_URL"] = environment["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1)
        began = time.monotonic()
        process = start(command(port), log, cwd=self.folder, env=environment)
        self._ends.append(lambda: end(process))
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                    break
            except urllib.error.HTTPError:  # the floor's page wants a cookie: an answer all the same
                break
            except OSError:
                if process.poll() is not None or time.monotonic() - began > 40:
                    raise RuntimeError(f"{name} did not start:\n{log.read_text(errors='replace')[-3000:]}") from None
                time.sleep(0.01)
        return Web(name, port, process, time.monotonic() - began, database)

    def app(self, name: str = "app", database: str = "bench", **more: str) -> Web:
        """The application under gunicorn."""
        return self.gunicorn(name, "courseapp:create_app()", database, **more)

    def floor(self, select: str = "orm", database: str = "bench") -> Web:
        """The floor under the same gunicorn."""
        return self.gunicorn(f"floor-{select}", "bench.floor:create_app()", database, FLOOR_SELECT=select)

    # Load

    def load(
        self, web: Web, requests: Sequence[str], connections: int, seconds: float, expect: str, cycle: bool = True, collect: bool = False
    ) -> Window:
        """One window of load, from a generator process, with the CPU that server and database spent on it."""
        plan, answer = self.folder / "plan.json", self.folder / "answer.json"
        facts = {
            "port": web.port,
            "connections": connections,
            "seconds": seconds,
            "requests": list(requests),
            "cycle": cycle,
            "collect": collect,
        }
        plan.write_text(json.dumps(facts))
        app_before, db_before = cpu_ms(web.process.pid), self._db_cpu()
        process = start([PYTHON, "-m", "bench.load", plan, answer], self.folder / "load.log", cwd=ROOT)
        try:
            code = process.wait(seconds + 40)
        finally:
            end(process)
        app, db = cpu_ms(web.process.pid) - app_before, self._db_cpu() - db_before
        if code:
            raise RuntimeError((self.folder / "load.log").read_text()[-2000:])
        found = json.loads(answer.read_text())
        count = max(1, found["count"])
        wrong = found["broken"] + sum(number for status, number in found["statuses"].items() if status != expect)
        return Window(
            found["count"],
            found["per_second"],
            found["p50_ms"],
            found["p99_ms"],
            found["bytes"],
            app / count,
            db / count,
            1000 * found["generator_cpu_s"] / count,
            wrong,
            found["statuses"],
            found["collected"],
        )

    def _db_cpu(self) -> float:
        return cpu_ms(self.postgresql.process.pid) if self.postgresql.process else 0.0

    def statements(self, side: Side) -> dict[str, Any]:
        """Statements PostgreSQL saw per request (pg_stat_statements), counted in a window of its own that is not timed."""
        if self.postgresql.process is None:
            return {"queries": None}
        side.before()
        requests = side.requests()
        self.load(side.web, requests[:40], 1, 20, side.expect, cycle=False)
        side.before()
        self._count_statements(True)
        self.admin.execute("SELECT pg_stat_statements_reset()")
        done = self.load(side.web, requests[40:80] or requests, 1, 20, side.expect, cycle=False)
        self._count_statements(False)
        rows = self.admin.execute(
            "SELECT query, calls FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE datname = %s", [side.web.database]
        ).fetchall()
        own = ("begin", "commit", "rollback", ";", "")
        queries = [(calls, " ".join(query.split())) for query, calls in rows if query.strip().lower() not in own]
        others = {query.strip().lower() or "ping": calls for query, calls in rows if query.strip().lower() in own}
        count = max(1, done.count)
        return {
            "queries": round(sum(calls for calls, _query in queries) / count, 2),
            "transaction_statements": {name: round(calls / count, 2) for name, calls in others.items()},
            "statements": [f"{calls / count:.2f} × {query[:90]}" for calls, query in sorted(queries, reverse=True)],
        }

    def _count_statements(self, wanted: bool) -> None:
        self.admin.execute(f"ALTER SYSTEM SET pg_stat_statements.track = '{'top' if wanted else 'none'}'")
        self.admin.execute("SELECT pg_reload_conf()")
        time.sleep(0.3)


def alternate(
    ground: Ground, sides: Sequence[Side], connections: Sequence[int], rounds: int, seconds: float
) -> dict[int, list[list[Window]]]:
    """Load the sides in turn, A B A B, for each number of connections; after an unmeasured window of each.

    Every other round begins with the other side, so that a neighbour's load that rises or falls favours neither.
    """
    found: Found = {}
    for many in connections:
        rows: list[list[Window]] = [[] for _ in sides]
        for index in range(rounds + 1):
            order = list(enumerate(sides))
            for number, side in order if index % 2 else order[::-1]:
                side.before()
                stretch = seconds if index else min(seconds, 1.0)
                window = ground.load(side.web, side.requests(), many, stretch, side.expect, side.cycle)
                if window.wrong:
                    words = (ground.folder / f"{side.web.name}.log").read_text(errors="replace")[-2500:]
                    raise RuntimeError(f"{side.web.name}: {window.wrong} wrong answers, {window.statuses}, expected {side.expect}\n{words}")
                if index:
                    rows[number].append(window)
        found[many] = rows
    return found


def middle(values: Sequence[float], digits: int = 2) -> float:
    """The median, rounded."""
    return round(statistics.median(values), digits)


def summary(windows: Sequence[Window]) -> dict[str, float]:
    """One side's medians."""
    names = ("per_second", "p50_ms", "p99_ms", "app_cpu_ms", "db_cpu_ms", "generator_cpu_ms", "bytes")
    return {name: middle([getattr(window, name) for window in windows], 0 if name == "bytes" else 2) for name in names}


def compare(found: Found, names: Sequence[str]) -> tuple[float, dict[str, Any]]:
    """The ratio of requests/s of the first side to the second: the median over rounds; the lower one of the numbers of connections.

    Returns the ratio and the detail: medians of each side, ratios of each round, and the ratio of CPU.
    """
    detail: dict[str, Any] = {}
    ratios = []
    for many, rows in found.items():
        pairs = list(zip(rows[0], rows[1], strict=True))
        rounds = [a.per_second / b.per_second for a, b in pairs]
        cpu = [(b.app_cpu_ms + b.db_cpu_ms) / max(0.01, a.app_cpu_ms + a.db_cpu_ms) for a, b in pairs]
        ratios.append(statistics.median(rounds))
        detail[f"{many}_connections"] = {
            "ratio": round(ratios[-1], 3),
            "ratio_of_rounds": [round(value, 3) for value in rounds],
            "ratio_by_cpu": middle(cpu, 3),
            **{name: summary(row) for name, row in zip(names, rows, strict=True)},
        }
    return round(min(ratios), 3), detail


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
