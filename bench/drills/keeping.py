"""A backup taken while people learn and staff publish: brought back into PostgreSQL and into SQLite, and compared."""

import hashlib
import json
import random
import threading
import time
from pathlib import Path
from typing import Any

from bench.drills.ground import DrillError, Ground, Sums, wait_for
from bench.drills.imports import course_of
from bench.drills.learners import Load, missing
from bench.drills.mailbox import Mailbox
from bench.drills.staff import Staff, installation
from bench.processes import PYTHON, ROOT

ONLY_ADDED = ("events", "completions", "consents", "revisions", "imports")  # a row of these never changes
FLASK = [PYTHON, "-m", "flask", "--app", "courseapp"]
Rows = dict[str, dict[str, str]]
"""Table → key → a sum over the row."""


def backup_under_load(ground: Ground, dice: random.Random) -> Sums:
    """Learners start and complete, an instructor publishes version after version; meanwhile a backup is taken, at no special moment."""
    sums = Sums()
    mailbox = Mailbox(ground, "kept", doors=2)
    environment = installation(ground, "kept", SMTP_URL=mailbox.url(0))
    ground.celery_worker("kept-worker", environment)
    ground.beat("kept-beat", environment)
    file = ground.folder / "all.backup"
    load = Load(int(environment["PORT"]), 4)
    publishing = Publishing(Staff(ground, "kept", environment))
    try:
        wait_for(lambda: len(load.done) > 30 and publishing.version > 1, 60, "some load")
        time.sleep(dice.random() * 2)
        known, started, versions = set(load.done), set(load.started), publishing.version
        began = time.monotonic()
        ground.run([*FLASK, "backup", "create", str(file)], environment, 90)
        took = round(time.monotonic() - began, 1)
        meanwhile = len(load.done) - len(known), publishing.version - versions
        wait_for(lambda: len(load.done) > len(known) + meanwhile[0] + 10, 60, "learners to go on after the backup")
    finally:
        publishing.stop()
        load.stop()
    ground.clear()
    sums.expect(meanwhile[0] > 0, "nobody did anything while the backup was taken")
    ground.run([*FLASK, "backup", "verify", str(file)], environment, 60)
    live = _rows(ground, environment)
    copies = {kind: _elsewhere(ground, environment, kind) for kind in ("postgresql", "sqlite")}
    rows = {}
    for kind, copy in copies.items():
        ground.run([PYTHON, "-m", "bench.drills.inside", "restore", str(file)], copy, 120)
        rows[kind] = _rows(ground, copy)
    _compare(rows["postgresql"], rows["sqlite"], sums)
    _hold_against(live, rows["postgresql"], sums)
    _judge_answered(ground, known, started, sums)
    for kind, copy in copies.items():
        _judge_files(ground, kind, copy, sums)
        _judge_mail(ground, kind, file, environment, sums)
    sums.detail |= {
        "rows": sum(len(found) for found in rows["postgresql"].values()),
        "file_mb": round(file.stat().st_size / 1e6, 1),
        "took_s": took,
        "completed_meanwhile": meanwhile[0],
        "published_meanwhile": meanwhile[1],
    }
    return sums


class Publishing:
    """An instructor who publishes one version after the other."""

    def __init__(self, staff: Staff) -> None:
        self.staff, self.version, self.over = staff, 0, threading.Event()
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._go_on, daemon=True)
        self.thread.start()

    def _go_on(self) -> None:
        try:
            while not self.over.is_set():
                public_id = self.staff.upload(("course.zip", course_of(self.version + 1)))
                self.staff.until(public_id, "ready")
                self.staff.decide(public_id, "publish", without_review="1")
                self.staff.until(public_id, "committed")
                self.version += 1
        except (DrillError, OSError) as error:
            self.error = error

    def stop(self) -> None:
        """Let the version come in that is on its way."""
        self.over.set()
        self.thread.join(60)
        if self.error is not None:
            raise DrillError(f"publishing broke off: {self.error}")


def _elsewhere(ground: Ground, environment: dict[str, str], kind: str, name: str = "restored") -> dict[str, str]:
    """The environment of an empty database of a kind and an empty folder."""
    data = ground.folder / f"{name}-{kind}"
    data.mkdir()
    url = ground.empty_database(name) if kind == "postgresql" else f"sqlite:///{data}/db.sqlite3"
    return {**environment, "DATABASE_URL": url, "DATA_DIR": str(data), "ALLOW_SQLITE": "yes", "SMTP_URL": "smtp://127.0.0.1:9"}


def _rows(ground: Ground, environment: dict[str, str]) -> Rows:
    found: Rows = json.loads(ground.run([PYTHON, "-m", "bench.drills.inside", "rows"], {**environment, "PYTHONPATH": str(ROOT)}, 60))
    return found


def _compare(one: Rows, other: Rows, sums: Sums) -> None:
    """Both copies hold the same, row by row."""
    for table in one:
        keys = one[table].keys() ^ other[table].keys()
        differing = [key for key in one[table].keys() & other[table].keys() if one[table][key] != other[table][key]]
        sums.expect(not keys and not differing, f"{table}: {len(keys)} rows in one copy alone, {len(differing)} differ")


def _hold_against(live: Rows, copy: Rows, sums: Sums) -> None:
    """What is only ever added to stands in the copy as it does in the original, which has gone on since."""
    for table in ONLY_ADDED:
        strange = [key for key, row in copy[table].items() if live[table].get(key) != row]
        sums.lost += len(strange)
        sums.expect(not strange, f"{table}: {len(strange)} restored rows are not those of the original")
        sums.expect(len(copy[table]) <= len(live[table]), f"{table}: more rows than in the original")


def _judge_answered(ground: Ground, done: set[tuple[str, str]], started: set[str], sums: Sums) -> None:
    """Whatever was answered before the backup began is in it; and the course is of one version."""
    lost = missing(ground, "restored", started, done)
    sums.lost += len(lost)
    sums.expect(not lost, f"answered before the backup and not in it: {lost[:5]}")
    versions = ground.rows(
        "restored",
        """SELECT count(DISTINCT substring(revisions.source FROM 'version (\\d+)')) FROM revisions JOIN lessons ON lessons.id = lesson_id
           AND revisions.number = lessons.revision_number JOIN courses ON courses.id = course_id
           WHERE slug = 'drill' AND lessons.retired_at IS NULL""",
    )[0][0]
    sums.expect(versions == 1, f"the course was caught between {versions} versions")


def _judge_files(ground: Ground, kind: str, copy: dict[str, str], sums: Sums) -> None:
    """Every file that a row names is there, with the content that its name says."""
    named: list[Any] = json.loads(ground.run([PYTHON, "-m", "bench.drills.inside", "files"], {**copy, "PYTHONPATH": str(ROOT)}, 60))
    for digest in named:
        file = Path(copy["DATA_DIR"]) / "files" / "assets" / digest[:2] / digest
        is_whole = file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == digest
        sums.lost += not is_whole
        sums.expect(is_whole, f"{kind}: the file {digest[:12]} is missing or another")
    sums.detail[f"files_{kind}"] = len(named)


def _judge_mail(ground: Ground, kind: str, file: Path, environment: dict[str, str], sums: Sums) -> None:
    """Restored by the command, not one mail leaves by itself, today or in a week; nor anything when what waits is dropped."""
    mailbox = Mailbox(ground, f"mail-{kind}", doors=1)
    copy = {**_elsewhere(ground, environment, kind, "mail"), "SMTP_URL": mailbox.url()}
    ground.run([*FLASK, "backup", "restore", str(file)], copy, 120)
    tick, before = [PYTHON, "-m", "bench.drills.inside", "tick"], ground.shift
    ground.run(tick, copy, 90)
    ground.travel(7 * 86_400)
    ground.run(tick, copy, 90)
    ground.run([*FLASK, "mail", "resume", "--drop-waiting"], copy, 60)
    ground.run(tick, copy, 90)
    ground.travel(before - ground.shift)
    sums.duplicated += mailbox.count()
    sums.expect(mailbox.count() == 0, f"{kind}: {mailbox.count()} mails left the restored installation")
