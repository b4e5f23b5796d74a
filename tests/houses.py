"""A whole installation on this machine, as `flask up` runs it: web process, worker and database in a folder of its own."""

import contextlib
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parent.parent
STARTS_IN = 90  # seconds, on a machine that has much else to do


class House:
    """One installation in a folder of its own, started and ended as often as a test likes."""

    def __init__(self, folder: Path, **settings: str) -> None:
        with socket.socket() as line:
            line.bind(("127.0.0.1", 0))
            self.port = line.getsockname()[1]
        self.folder, self.url = folder, f"http://127.0.0.1:{self.port}"
        self._settings = settings
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Run `flask up`; what it printed until it was ready."""
        told = {"DATA_DIR": str(self.folder), "PORT": str(self.port), "PYTHONUNBUFFERED": "1", **self._settings}
        command = [sys.executable, "-m", "flask", "--app", "courseapp", "up"]
        with (self.folder.parent / "errors.log").open("a") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **told}, stdout=subprocess.PIPE, stderr=log, text=True)
        printed = ""
        ends = time.monotonic() + STARTS_IN
        while "Ctrl-C stops" not in printed and time.monotonic() < ends:
            line = self.process.stdout.readline()
            assert line, f"it ended: {printed}"
            printed += line
        return printed

    def link_of(self, role: str, printed: str) -> str:
        """The sign-in link that was printed for one of the demonstration's people."""
        return re.search(rf"{role}\s+({self.url}/sign-in/link/\S+)", printed)[1]

    def people(self) -> list[psutil.Process]:
        """The launcher's children and theirs."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int) -> None:
        """Send a signal to the launcher alone and wait for it."""
        self.process.send_signal(number)
        self.process.wait(30)
        self.process.stdout.close()

    def rows(self, query: str) -> list[tuple]:
        """What the database holds."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder}/courseapp.sqlite3?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()

    def mails(self) -> dict[str, float]:
        """The mail files and when each was written."""
        return {path.name: path.stat().st_mtime for path in (self.folder / "mail").glob("*.eml")}
