"""Processes of ours, on loopback: begun, watched through /proc, ended by their id; and the application's environment."""

import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PYTHON = sys.executable
TICK = os.sysconf("SC_CLK_TCK")
THREADS = 8
SECRET = "bench-" + secrets.token_urlsafe(32)
GUNICORN = (
    "--config",
    str(ROOT / "gunicorn.conf.py"),
    "--workers",
    "1",
    "--threads",
    str(THREADS),
    "--graceful-timeout",
    "5",
    "--max-requests",
    "0",
)


def die_with_parent() -> None:
    """In a child: end when the parent does (prctl(2), PR_SET_PDEATHSIG = 1)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def start(command: Sequence[str | Path], log: Path, **options: Any) -> subprocess.Popen[bytes]:
    """A child that writes its errors to `log`."""
    with log.open("ab") as file:
        options = {"stdout": file, "stderr": file, "preexec_fn": die_with_parent, "start_new_session": True, **options}
        return subprocess.Popen([str(part) for part in command], **options)


def end(process: subprocess.Popen[bytes], patience: float = 8.0) -> None:
    """End a process that we started, by its id; kill it where it does not listen."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            for pid in family(process.pid):
                os.kill(pid, signal.SIGKILL)
            process.wait()


def family(pid: int) -> list[int]:
    """A process and everything below it, from /proc."""
    below: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            below.setdefault(parent, []).append(int(entry.name))
    found, open_ = [], [pid]
    while open_:
        found.append(open_.pop())
        open_ += below.get(found[-1], [])
    return found


def cpu_ms(pid: int) -> float:
    """CPU milliseconds of a process and its children, living and waited for (utime, stime, cutime, cstime)."""
    total = 0
    for member in family(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # of the living below the root, what they themselves waited for counts too; nothing is counted twice
        total += sum(int(value) for value in fields[11:15])
    return 1000.0 * total / TICK


def rss_mb(pid: int) -> float:
    """Resident memory of one process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def free_port() -> int:
    """A port of loopback nobody listens on."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


def production(folder: Path, database: str, url: str, port: int, **more: str) -> dict[str, str]:
    """The environment of a process of the application in production mode; nothing else is inherited."""
    data = folder / f"data-{database}"
    data.mkdir(exist_ok=True)
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LANG": "C.UTF-8",
        "MALLOC_ARENA_MAX": "2",
        "PYTHONPATH": str(ROOT),
        "MODE": "production",
        "SECRET_KEY": SECRET,
        "POSTAL_ADDRESS": "Example School, 1 Example Street, 12345 Example",
        "SENDER_ADDRESS": "course@example.org",
        "BASE_URL": f"http://127.0.0.1:{port}",
        "PORT": str(port),
        "DATABASE_URL": url,
        "DATA_DIR": str(data),
        "TRUSTED_PROXIES": "1",
        "LOG_LEVEL": "WARNING",
        **more,
    }
