"""What a drill stands on: servers of its own that it may kill, processes of the application, the misbehaving mail server, the sums.

Everything is on loopback or on sockets in one temporary folder. Only processes started here are ended, by process id, also on Ctrl-C;
they die with a killed parent.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from celery import Celery
from psycopg import sql

from bench.drills.browser import Browser
from bench.processes import GUNICORN, PYTHON, end, family, free_port, production, start
from courseapp.mailing import outbox
from tests import services

LEASE = outbox.LEASE.total_seconds() + 10  # so far the clock is moved for a lease to end


class DrillError(Exception):
    """A drill could not be held to its end; the words say where it stood."""


class NotHere(Exception):
    """A drill needs what this machine has not; the words say what."""


@dataclass
class Sums:
    """What a drill came to. `wrong` are sentences; none means that it holds."""

    lost: int = 0
    duplicated: int = 0
    uncertain: int = 0
    wrong: list[str] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)

    def expect(self, holds: bool, words: str) -> None:
        """Note what does not hold, once."""
        if not holds and words not in self.wrong:
            self.wrong.append(words)


def wait_for(holds: Callable[[], Any], seconds: float, what: str) -> float:
    """Wait until something holds; how long it took. Raises DrillError."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            raise DrillError(f"waited {seconds:g} s in vain for: {what}")
        time.sleep(0.04)
    return round(time.monotonic() - began, 2)


def soon(holds: Callable[[], Any], seconds: float) -> bool:
    """Whether something comes to hold in time."""
    try:
        wait_for(holds, seconds, "")
    except DrillError:
        return False
    return True


class Ground:
    """Servers and processes of one run; one PostgreSQL and one Redis, which drills stop and start again."""

    def __init__(self) -> None:
        for name in ("TEST_DATABASE_URL", "TEST_REDIS_URL"):
            os.environ.pop(name, None)  # drills kill their servers, so they must be their own
        self.folder = Path(tempfile.mkdtemp(prefix="courseapp-drills-", dir="/tmp"))
        self.folder.chmod(0o711)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.postgresql: services.Server | None = None
        self.redis: subprocess.Popen[bytes] | None = None
        self.lines: dict[str, psycopg.Connection[Any]] = {}
        self.redis_port = free_port()
        self.clock_file = self.folder / "clock"
        self.shift = 0.0
        self.clock_file.write_text("0")

    def close(self) -> None:
        """End what was started, remove the folder."""
        self.clear()
        self.stop_redis()
        for line in self.lines.values():
            line.close()
        if self.postgresql is not None:
            self.postgresql.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear(self) -> None:
        """End the processes of a drill."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            end(process)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # each is the leader of a session of its own
        self.processes.clear()

    # Time

    def travel(self, seconds: float) -> None:
        """Move the clock that every process follows."""
        self.shift += seconds
        half = self.clock_file.with_suffix(".part")
        half.write_text(str(self.shift))
        half.replace(self.clock_file)

    # PostgreSQL

    def start_postgresql(self) -> None:
        """Start it, or start it again; durable as in production."""
        self.postgresql = services.start_postgresql(self.folder / "pg", ("max_connections=200", "shared_buffers=64MB"))
        wait_for(self._takes_connections, 30, "PostgreSQL to take connections")  # what a killed one left says "ready" too soon

    def _takes_connections(self) -> bool:
        try:
            with psycopg.connect(self._url("postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def stop_postgresql(self, number: signal.Signals) -> None:
        """SIGINT is a fast shutdown, SIGQUIT one without a checkpoint, SIGKILL none at all."""
        assert self.postgresql is not None
        assert self.postgresql.process is not None
        process = self.postgresql.process
        members = family(process.pid)
        process.send_signal(number)
        process.wait(20)
        for pid in members:  # what a killed postmaster leaves ends by itself, but keeps the folder locked until then
            wait_for(lambda pid=pid: not Path(f"/proc/{pid}").exists(), 20, f"the backend {pid} to end")

    def database(self, name: str, template: str = "prepared") -> str:
        """A fresh database with tables and the course; its address."""
        if self.postgresql is None:
            self.start_postgresql()
            with psycopg.connect(self._url("postgres"), autocommit=True) as admin:
                admin.execute("CREATE DATABASE prepared")
            self.run([PYTHON, "-m", "bench.drills.inside", "prepare"], self.environment("prepared"), 90)
        with psycopg.connect(self._url("postgres"), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        files = self.folder / f"data-{template}" / "files"
        if files.is_dir():  # those that its rows name
            shutil.copytree(files, self.folder / f"data-{name}" / "files", dirs_exist_ok=True)
        return self._url(name)

    def empty_database(self, name: str) -> str:
        """A fresh database without anything in it; its address."""
        with psycopg.connect(self._url("postgres"), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self._url(name)

    def _url(self, name: str) -> str:
        assert self.postgresql is not None
        return sa.make_url(self.postgresql.url).set(database=name).render_as_string(hide_password=False)

    @contextmanager
    def connection(self, name: str, autocommit: bool = True) -> Iterator[psycopg.Connection[Any]]:
        """A connection of the drill's own."""
        with psycopg.connect(self._url(name), autocommit=autocommit) as found:
            yield found

    def rows(self, name: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        for is_last in (False, True):
            line = self.lines.get(name)
            try:
                if line is None:
                    line = self.lines[name] = psycopg.connect(self._url(name), autocommit=True)
                return line.execute(statement, values).fetchall()
            except psycopg.OperationalError:  # the server was away since
                self.lines.pop(name, None)
                if is_last:
                    raise
        raise AssertionError

    def states(self, name: str) -> dict[str, int]:
        """How many messages stand in each state."""
        return dict(self.rows(name, "SELECT state, count(*) FROM messages GROUP BY state"))

    # Redis

    def start_redis(self) -> str:
        """Start it, or start it again at the same port, empty; its address."""
        program = services._redis_program()
        command = [program, "--bind", "127.0.0.1", "--port", self.redis_port, "--save", "", "--appendonly", "no", "--dir", self.folder]
        self.redis = start(command, self.folder / "redis.log")
        wait_for(lambda: services._answers(self.redis_port), 15, "Redis")
        return self.redis_url

    @property
    def redis_url(self) -> str:
        """Its address, whether it runs or not."""
        return f"redis://127.0.0.1:{self.redis_port}/0"

    def stop_redis(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Take it away."""
        if self.redis is not None:
            self.redis.send_signal(number)
            self.redis.wait(15)
            self.redis = None

    def wake(self, *tasks: str) -> None:
        """Send wake-ups by hand, in this order."""
        routes = {"mailing.send_service": "service"}
        with Celery("hand", broker=self.redis_url) as app:
            for task in tasks:
                app.send_task(task, queue=routes.get(task, "work"), ignore_result=True)

    # Processes of the application

    def environment(self, database: str, port: int = 8000, **more: str) -> dict[str, str]:
        """Production mode, with a clock that the drill moves."""
        own = {"SMTP_URL": "smtp://127.0.0.1:9", "CLOCK_FILE": str(self.clock_file)}
        return production(self.folder, database, self._url(database), port, **own | more)

    def start(self, name: str, command: Sequence[str | Path], environment: dict[str, str], **options: Any) -> subprocess.Popen[bytes]:
        """A process of this drill; its words go to NAME.log."""
        process = start(command, self.folder / f"{name}.log", cwd=self.folder, env=environment, **options)
        self.processes.append(process)
        return process

    def run(self, command: Sequence[str | Path], environment: dict[str, str], patience: float = 60) -> str:
        """A command to its end; what it printed. Raises DrillError with its errors."""
        process = self.start("run", command, environment, stdout=subprocess.PIPE)
        try:
            said, _none = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired as error:
            raise DrillError(f"{' '.join(map(str, command[1:]))} took over {patience:g} s") from error
        finally:
            end(process)
            self.processes.remove(process)
        if process.returncode:
            raise DrillError(f"{' '.join(map(str, command[1:]))} failed: {self.log('run')[-1500:]}")
        return said.decode()

    def log(self, name: str) -> str:
        """What a process said."""
        file = self.folder / f"{name}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def mail_worker(self, name: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """`flask mail work`, as an operator runs it."""
        return self.start(name, [PYTHON, "-m", "flask", "--app", "courseapp", "mail", "work"], environment)

    def drain(self, environment: dict[str, str]) -> None:
        """`flask mail work --drain` to its end."""
        self.run([PYTHON, "-m", "flask", "--app", "courseapp", "mail", "work", "--drain"], environment, 60)

    def celery_worker(self, name: str, environment: dict[str, str], *words: str) -> subprocess.Popen[bytes]:
        """The worker as the Procfile has it, unless `words` say otherwise."""
        command = [PYTHON, "-m", "celery", "-A", "worker", "worker", "--queues", "service,work", "--loglevel", "WARNING"]
        return self.start(name, [*command, *(words or ("--concurrency", "2")), "--hostname", f"{name}@%h"], environment)

    def beat(self, name: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """The timetable."""
        command = [PYTHON, "-m", "celery", "-A", "worker", "beat", "--loglevel", "WARNING", "--pidfile="]
        return self.start(name, [*command, "--schedule", self.folder / f"{name}.schedule"], environment)

    def web(self, name: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """The web process as it is shipped, but that it neither restarts by itself nor ends slowly; waits for its first answer."""
        port = environment["PORT"]
        command = [PYTHON, "-m", "gunicorn", *GUNICORN, "--bind", f"127.0.0.1:{port}", "--log-level", "warning"]
        process = self.start(name, command, environment)
        wait_for(lambda: is_served(int(port)), 40, "the web server")
        return process


def is_served(port: int) -> bool:
    """Whether the site answers."""
    try:
        return Browser(port).get("/healthz").status == 200
    except OSError:
        return False
