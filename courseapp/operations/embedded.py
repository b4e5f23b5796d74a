"""`make run`: one machine, no services. Tables, the introductory course, demo people, then web, worker and beat as children.

With BILLING=demo a stand-in for Stripe is one of them (`play_money`).

The children die with this process (on Linux by the kernel, PR_SET_PDEATHSIG), and what a SIGKILL left all the same is
ended at the next start, by process id and start time, so that nobody else's process is ever touched.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import IO

from flask import current_app
from flask_migrate import upgrade

from courseapp.accounts.models import Role
from courseapp.accounts.people import account_for, grant_role
from courseapp.accounts.sign_in import new_request
from courseapp.authoring.importing import import_course
from courseapp.authoring.standing import course_named
from courseapp.campaigns.publishing import bring_in
from courseapp.config import Settings
from courseapp.contacts.people import confirm, contact_for
from courseapp.mailing.links import full_url
from courseapp.operations import play_money

ROOT = Path(__file__).parent.parent.parent
DEMO_PEOPLE = {Role.OWNER: "owner@example.org", Role.INSTRUCTOR: "instructor@example.org", Role.MARKETER: "marketer@example.org"}
STAND_IN = "stand-in for Stripe"
PATIENCE = 12.0  # seconds children have to finish what they are at
_PR_SET_PDEATHSIG = 1
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def prepare(now: datetime) -> None:
    """Tables, the introductory course and its sequences; a second start changes nothing. The caller commits."""
    settings: Settings = current_app.config["SETTINGS"]
    upgrade()
    for name in ("introduction", *(play_money.EXAMPLES if settings.has_play_money else ())):
        _publish(name, now)
    for folder in sorted((ROOT / "content" / "sequences").iterdir()):
        bring_in(folder, now)
    if settings.has_play_money:
        play_money.offer(now)


def _publish(name: str, now: datetime) -> None:
    """A course of `content/`; one that is there may have been corrected or withdrawn by page, and is left alone."""
    if course_named(name) is not None:
        return
    result = import_course(ROOT / "content" / name, now, publish=True, without_review=True)
    if result.report.has_errors:
        raise SystemExit("\n".join(row.words() for row in result.report.sorted()))


def demo_links(now: datetime) -> dict[Role, str]:
    """A one-time sign-in link for each demo person. The caller commits."""
    links = {}
    for role, address in DEMO_PEOPLE.items():
        contact = contact_for(address, now)
        confirm(contact, now)
        grant_role(account_for(contact, now), role, now)
        token, _code = new_request(contact.id, "make run", now)
        links[role] = full_url("accounts.sign_in_link", token=token)
    return links


def commands(settings: Settings) -> dict[str, list[str]]:
    """What runs beside each other."""
    python = sys.executable
    web = [
        python,
        "-m",
        "gunicorn",
        "--config",
        str(ROOT / "gunicorn.conf.py"),
        "--workers",
        str(settings.web_workers),
        "--threads",
        str(settings.web_threads),
    ]
    web += [
        "--bind",
        f"{settings.host}:{settings.port}",
        "--graceful-timeout",
        "5",
        "--log-level",
        "warning",
    ]
    celery = [python, "-m", "celery", "--app", "worker"]
    worker = [
        *celery,
        "worker",
        "--pool",
        "solo",
        "--queues",
        "service,work",
        "--loglevel",
        "WARNING",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
    ]
    beat = [*celery, "beat", "--loglevel", "WARNING", "--schedule", str(settings.data_dir / "run" / "beat"), "--pidfile", ""]
    stand_in = {STAND_IN: play_money.stand_in(settings)} if settings.has_play_money else {}
    return {**stand_in, "web": web, "worker": worker, "beat": beat}


def run_children(settings: Settings, on_ready: Callable[[], None]) -> int:
    """Start the children, say when pages are served, wait; on a signal or a child's end, end all. Returns the exit code."""
    die_with_parent()
    for number in ENDING:
        signal.signal(number, _raise_interrupt)  # SIGINT too: a shell that starts this in the background has it ignored
    run = settings.data_dir / "run"
    run.mkdir(parents=True, exist_ok=True)
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands(settings).items():
            said = subprocess.DEVNULL if name == STAND_IN else None  # it says that it is ready, and so shall only we
            children[name] = subprocess.Popen(command, cwd=ROOT, stdout=said, start_new_session=True, preexec_fn=die_with_parent)  # noqa: S603, PLW1509  # fixed words; prctl alone, before any thread
        note_children(run / "children.json", [child.pid for child in children.values()])
        _wait_until_served(settings, children)
        on_ready()
        while all(child.poll() is None for child in children.values()):
            time.sleep(0.3)
        ended = next(name for name, child in children.items() if child.poll() is not None)
        print(f"The {ended} process ended; stopping the others.", file=sys.stderr)  # noqa: T201  # the launcher speaks to a terminal
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave children behind
        _end(list(children.values()))
        (run / "children.json").unlink(missing_ok=True)


def die_with_parent() -> None:
    """Have the kernel send SIGTERM here when the parent dies; elsewhere than on Linux this does nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def note_children(file: Path, pids: list[int]) -> None:
    """Write down who was started, so that the next start can end what a SIGKILL left."""
    file.write_text(json.dumps([[pid, _started(pid)] for pid in pids]))


def hold_folder(settings: Settings) -> IO[str] | None:
    """Keep `data_dir` to this launcher while the returned file is open; None where another launcher lives in it."""
    folder = settings.data_dir / "run"
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def end_leftovers(settings: Settings) -> int:
    """End children that an earlier start left behind; how many there were."""
    file = settings.data_dir / "run" / "children.json"
    if not file.exists():
        return 0
    left = [pid for pid, started in json.loads(file.read_text()) if started and _started(pid) == started]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left:
            _signal_group(pid, number)
        ends = time.monotonic() + PATIENCE
        while any(_started(pid) for pid in left) and time.monotonic() < ends:
            time.sleep(0.1)
        if not any(_started(pid) for pid in left):
            break
    file.unlink(missing_ok=True)
    return len(left)


def _started(pid: int) -> str:
    """When a process began, in the system's own words; empty where there is no such process."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state == "Z" else rest[18]
    except (FileNotFoundError, ProcessLookupError):
        if sys.platform == "linux":
            return ""
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607  # fixed words
    return found.stdout.strip()


def _wait_until_served(settings: Settings, children: dict[str, subprocess.Popen[bytes]]) -> None:
    for _attempt in range(300):
        if any(child.poll() is not None for child in children.values()):
            return
        try:
            with urllib.request.urlopen(f"http://{settings.host}:{settings.port}/healthz", timeout=1):
                return
        except OSError:
            time.sleep(0.1)


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for child in children:
            if child.poll() is None:
                _signal_group(child.pid, number)
        ends = time.monotonic() + PATIENCE
        while any(child.poll() is None for child in children) and time.monotonic() < ends:
            time.sleep(0.05)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _raise_interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
