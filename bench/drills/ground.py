"""What a drill stands on: servers of its own that it may kill, processes of the application, the misbehaving mail server, the sums.

Everything is on loopback or on sockets in one temporary folder. Only processes started here are ended, by process id, also on Ctrl-C;
they die with a killed parent.
"""

import contextlib
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psycopg
import sqlalchemy as sa
from celery import Celery
from psycopg import sql

from bench.harness import GUNICORN, PYTHON, ROOT, end, family, free_port, start
from courseapp.mailing import outbox
from tests import services

LEASE = outbox.LEASE.total_seconds() + 10  # so far the clock is moved for a lease to end
SECRET = "drills-" + secrets.token_urlsafe(32)


class DrillError(Exception):
    """A drill could not be held to its end; the words say where it stood."""


@dataclass
class Sums:
    """What a drill came to. `wrong` are sentences; none means that it holds."""

    lost: int = 0
    duplicated: int = 0
    uncertain: int = 0
    wrong: list[str] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)

    def expect(self, holds: bool, words: str) -> None:
        """Note what does not hold."""
        if not holds:
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
        """Production mode; nothing else is inherited."""
        data = self.folder / f"data-{database}"
        data.mkdir(exist_ok=True)
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "MODE": "production",
            "SECRET_KEY": SECRET,
            "POSTAL_ADDRESS": "Example School, 1 Example Street, 12345 Example",
            "SENDER_ADDRESS": "course@example.org",
            "BASE_URL": f"http://127.0.0.1:{port}",
            "PORT": str(port),
            "SMTP_URL": "smtp://127.0.0.1:9",
            "DATABASE_URL": self._url(database),
            "DATA_DIR": str(data),
            "CLOCK_FILE": str(self.clock_file),
            "TRUSTED_PROXIES": "1",
            "LOG_LEVEL": "WARNING",
            **more,
        }

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
        """The web process as the Procfile has it; waits for its first answer."""
        port = environment["PORT"]
        command = [PYTHON, "-m", "gunicorn", *GUNICORN, "--bind", f"127.0.0.1:{port}", "--log-level", "warning", "--no-control-socket"]
        process = self.start(name, [*command, "courseapp:create_app()"], environment)
        wait_for(lambda: is_served(int(port)), 40, "the web server")
        return process


def is_served(port: int) -> bool:
    """Whether the site answers."""
    try:
        return Browser(port).get("/healthz").status == 200
    except OSError:
        return False


# The mail server


class Mailbox:
    """The misbehaving mail server's other end, and its ledger."""

    def __init__(self, ground: Ground, name: str, doors: int = 2) -> None:
        self.file = ground.folder / f"{name}.ledger"
        self.file.unlink(missing_ok=True)
        command = [PYTHON, "-m", "bench.drills.sink", str(self.file), str(doors)]
        self.process = start(command, ground.folder / f"{name}-sink.log", cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ground.processes.append(self.process)
        assert self.process.stdout is not None
        self.ports: list[int] = json.loads(self.process.stdout.readline())

    def url(self, door: int = 0) -> str:
        """A door's address for SMTP_URL."""
        return f"smtp://127.0.0.1:{self.ports[door]}"

    def tell(self, **order: Any) -> None:
        """Give an order."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """The ledger so far."""
        lines = self.file.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines if not kind or f'"event": "{kind}"'.encode() in line]

    def taken(self) -> Counter[str]:
        """How often each Message-ID was taken."""
        return Counter(event["id"] for event in self.events("taken"))

    def count(self) -> int:
        """How many mails were taken."""
        return self.file.read_bytes().count(b'"event": "taken"')

    def wait_until_held(self, door: int, stage: str, before: int, seconds: float = 15) -> bool:
        """Wait until something stands still; `before` is how many events of this kind there were."""
        return soon(lambda: sum(event["door"] == door and event["stage"] == stage for event in self.events("held")) > before, seconds)

    def held(self, door: int, stage: str) -> int:
        """How often something stood still there."""
        return sum(event["door"] == door and event["stage"] == stage for event in self.events("held"))


def fill(ground: Ground, database: str, tag: str, count: int, purpose: str = "course", people: int = 0) -> None:
    """`count` due messages to as many confirmed contacts who consented (or to `people` in turn), one transaction."""
    with ground.connection(database) as connection:
        reaches = purpose == "service"
        connection.execute(
            "INSERT INTO streams (key, purpose, reaches_unconfirmed) VALUES (%s, %s, false) ON CONFLICT (key) DO NOTHING",
            (purpose, purpose),
        )
        connection.execute(
            """WITH people AS (
                 INSERT INTO contacts (public_id, address, address_key, address_mac, first_name, zone, language, created_at, confirmed_at)
                 SELECT %(tag)s || n, a, a, md5(a) || md5(a || 'x'), 'Person', 'UTC', 'en', now(), now()
                 FROM generate_series(1, %(people)s) n, LATERAL (SELECT %(tag)s || n || '@example.org') AS x(a) RETURNING id
               ), said AS (
                 INSERT INTO consents (contact_id, purpose, action, wording, source, at)
                 SELECT id, 'course', 'given', 'course-1', 'drill', now() FROM people WHERE NOT %(service)s
               ), numbered AS (
                 SELECT id, row_number() OVER (ORDER BY id) AS n FROM people
               )
               INSERT INTO messages (public_id, dedupe_key, stream_id, contact_id, letter_id, fields, message_id, state, priority, due_at,
                                     lease_epoch, attempts, created_at)
               SELECT %(tag)s || 'm' || m, 'drill:' || %(tag)s || m, (SELECT id FROM streams WHERE key = %(purpose)s), numbered.id,
                      (SELECT letter_id FROM sequence_steps ORDER BY id LIMIT 1),
                      '{"continue_url": "http://127.0.0.1/learn/introduction", "progress_words": "2 of 12 lessons"}',
                      '<' || %(tag)s || m || '@drill.example.org>', 'pending', %(priority)s, now(), 0, 0, now()
               FROM generate_series(0, %(count)s - 1) m JOIN numbered ON numbered.n = m %% %(people)s + 1""",
            {
                "tag": tag,
                "count": count,
                "people": people or count,
                "purpose": purpose,
                "service": reaches,
                "priority": 0 if reaches else 5,
            },
        )
        connection.execute("ANALYZE")


# A visitor


@dataclass
class Answer:
    """What a page answered."""

    status: int
    text: str
    headers: dict[str, str]
    seconds: float

    @property
    def location(self) -> str:
        """Where it sends us."""
        return urlsplit(self.headers.get("location", "")).path

    @property
    def token(self) -> str:
        """The form's token."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.text)
        return found.group(1) if found else ""


class Browser:
    """Cookies and forms; a connection for each request, since the other end may die at any moment."""

    def __init__(self, port: int, network: str = "", patience: float = 20) -> None:
        self.port, self.network, self.patience = port, network, patience
        self.cookies: dict[str, str] = {}

    def get(self, path: str) -> Answer:
        """Fetch; follows nothing. Raises OSError."""
        return self._ask("GET", path, None)

    def post(self, path: str, **fields: str) -> Answer:
        """Send a form; follows nothing. Raises OSError."""
        return self._ask("POST", path, urlencode(fields))

    def _ask(self, method: str, path: str, body: str | None) -> Answer:
        headers = {"Accept": "text/html", "Connection": "close"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self.network:
            headers["X-Forwarded-For"] = self.network
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        began = time.monotonic()
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.patience)
        try:
            line.request(method, path, body, headers)
            answer = line.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except http.client.HTTPException as error:  # cut in the middle of an answer: not answered
            raise ConnectionError(repr(error)) from error
        finally:
            line.close()
        for value in answer.headers.get_all("Set-Cookie") or []:
            name, _equals, rest = value.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return Answer(answer.status, text, {name.lower(): value for name, value in answer.headers.items()}, time.monotonic() - began)

    def begin(self, address: str = "") -> Answer:
        """Start the course as a learner does."""
        page = self.get("/start")
        if page.status != 200:
            return page
        return self.post("/start", csrf_token=page.token, address=address, course_mail="y")

    def lessons(self) -> list[str]:
        """The ids of the first module's lessons."""
        page = self.get("/learn/introduction")
        return list(dict.fromkeys(re.findall(r"/lessons/([A-Za-z0-9_-]+)", page.text))) if page.status == 200 else []

    def complete(self, lesson: str) -> Answer:
        """Open a lesson and mark it as done."""
        page = self.get(f"/lessons/{lesson}")
        if page.status != 200 or not page.token:
            return page
        return self.post(f"/lessons/{lesson}/completion", csrf_token=page.token, done="1")
