"""A worker that ends in the middle of an import: killed, or told to end by a deploy."""

import contextlib
import hashlib
import io
import os
import random
import re
import signal
import subprocess
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from PIL import Image

from bench.drills.ground import DrillError, Ground, Sums, soon, wait_for
from bench.drills.staff import WORK, Staff, files_of, installation, judge_files
from bench.processes import end, family
from courseapp.authoring import uploads
from tests.authoring.folders import SVG, lesson, page

LEASE = uploads.LEASE.total_seconds() + 10
MODULES, LESSONS, PICTURES = 4, 8, 4
LOOKING = ("unpacking", "preparing", "checking", "at random")
BRINGING = ("importing", "modules", "lessons", "revisions", "assets", "imports")


def import_killed(ground: Ground, dice: random.Random) -> Sums:
    """Twenty times a worker is killed or told to end while it looks a new version through or brings it in; another takes it up."""
    sums = Sums()
    killing = Killing(ground, dice)
    rounds = [(edge, number) for edge in (*LOOKING, *BRINGING) for number in (signal.SIGKILL, signal.SIGTERM)]
    dice.shuffle(rounds)
    for edge, number in rounds:
        killing.round(edge, number, sums)
    killing.judge(sums)
    sums.detail |= {"kills": dict(killing.kills), "found_after": dict(killing.found), "versions": killing.version}
    return sums


class Killing:
    """One course, of which each round sends another version."""

    def __init__(self, ground: Ground, dice: random.Random) -> None:
        self.ground, self.dice = ground, dice
        self.environment = installation(ground, "imports")
        self.files = files_of(self.environment)
        self.staff = Staff(ground, "imports", self.environment)
        self.kills: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.version, self.sent = 0, 0
        self.held: psycopg.Connection[Any] | None = None
        self.worker = self._start()
        self._finish(self._send())

    def _start(self) -> "subprocess.Popen[bytes]":
        return self.ground.celery_worker("imports-worker", self.environment, "--concurrency", "1")

    def _send(self) -> str:
        self.sent += 1
        return self.staff.upload(("course.zip", course_of(self.sent)))

    def _finish(self, public_id: str) -> None:
        if self.staff.until(public_id, "ready", "committed", "failed", "refused") == "ready":
            self.staff.accept(public_id)
        if self.staff.until(public_id, "committed", "failed", "refused", "ready") != "committed":
            raise DrillError(f"a version did not come in: {self.staff.shown(public_id)[:400]}")
        self.version = self.sent

    def round(self, edge: str, number: signal.Signals, sums: Sums) -> None:
        """One version, and one end of the worker in the middle of it."""
        public_id = self._send()
        if edge in BRINGING:
            self.staff.until(public_id, "ready")
            with self._standing_at(edge):
                self.staff.accept(public_id)
                self.ground.wake(WORK)
                self._wait_for(edge, public_id)
                self._end(number, sums)
        else:
            self.ground.wake(WORK)
            self._wait_for(edge, public_id)
            self._end(number, sums)
        self.kills[f"{number.name} {edge}"] += 1
        self._judge_whole(f"{number.name} at {edge}", public_id, sums)
        self.worker = self._start()
        self.ground.travel(LEASE)
        self._finish(public_id)
        self._judge_whole(f"{number.name} at {edge}, and taken up again", public_id, sums)

    @contextmanager
    def _standing_at(self, edge: str) -> Iterator[None]:
        """With a table's name for an edge, whoever writes into it stands still there, in the middle of the import's transaction."""
        if edge == "importing":
            yield
            return
        with self.ground.connection("imports", autocommit=False) as line:
            line.execute(f"LOCK TABLE {edge} IN SHARE MODE")
            self.held = line
            yield
            self.held = None
            line.rollback()

    def _wait_for(self, edge: str, public_id: str) -> None:
        if edge == "at random":
            time.sleep(self.dice.random() * 1.5)
        elif edge in {*LOOKING, "importing"}:
            query = "SELECT 1 FROM uploads WHERE public_id = %s AND stage = %s"
            soon(lambda: self.ground.rows("imports", query, public_id, edge), 20)
            time.sleep(self.dice.random() * 0.1)
        else:
            waiting = f"SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%{edge}%%'"
            wait_for(lambda: self.ground.rows("imports", waiting), 30, f"the import to stand at {edge}")

    def _end(self, number: signal.Signals, sums: Sums) -> None:
        """SIGKILL to all of the worker, or to the child that works alone; SIGTERM as a deploy sends it."""
        members = family(self.worker.pid)
        if number is signal.SIGTERM:
            self.worker.terminate()
            time.sleep(0.2)
            if self.held is not None:
                self.held.rollback()
            ended = soon(lambda: self.worker.poll() is not None, 60)
            sums.expect(ended, "a worker did not end within 60 s of SIGTERM")
        elif self.dice.random() < 0.5:
            for pid in members[1:]:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        end(self.worker)

    def _judge_whole(self, when: str, public_id: str, sums: Sums) -> None:
        """The course is of one version, from its title to its last lesson and file."""
        soon(lambda: len(self._versions()) == 1, 3)  # a connection that was cut is rolled back in its own time
        versions = self._versions()
        wanted = {self.version, self.sent} if self.staff.state(public_id) != "committed" else {self.sent}
        sums.expect(len(versions) == 1 and versions <= wanted, f"{when}: the course holds versions {sorted(versions)}, sent {self.sent}")
        self.found["the old version" if versions == {self.version} and self.version != self.sent else "the new version"] += 1
        lessons = self.ground.rows(
            "imports",
            "SELECT lessons.key FROM lessons JOIN courses ON courses.id = course_id WHERE slug = 'drill' AND lessons.retired_at IS NULL",
        )
        sums.duplicated += len(lessons) - len(set(lessons))
        sums.lost += max(0, MODULES * LESSONS - len(lessons))
        sums.expect(len(lessons) == MODULES * LESSONS, f"{when}: {len(lessons)} lessons of {MODULES * LESSONS}")
        files = Path(self.environment["DATA_DIR"]) / "files"
        own = "SELECT digest, size FROM assets JOIN courses ON courses.id = course_id WHERE slug = 'drill'"
        for digest, size in self.ground.rows("imports", own):
            file = files / "assets" / digest[:2] / digest
            is_whole = file.exists() and file.stat().st_size == size and hashlib.sha256(file.read_bytes()).hexdigest() == digest
            sums.lost += not is_whole
            sums.expect(is_whole, f"{when}: a file is missing or not whole")

    def _versions(self) -> set[int]:
        rows = self.ground.rows(
            "imports",
            """SELECT title FROM courses WHERE slug = 'drill'
               UNION ALL SELECT modules.title FROM modules JOIN courses ON courses.id = course_id WHERE slug = 'drill'
               UNION ALL SELECT revisions.source FROM revisions JOIN lessons ON lessons.id = lesson_id
                   AND revisions.number = lessons.revision_number JOIN courses ON courses.id = course_id
                   WHERE slug = 'drill' AND lessons.retired_at IS NULL""",
        )
        return {int(found) for (text,) in rows for found in re.findall(r"version (\d+)", text)}

    def judge(self, sums: Sums) -> None:
        """Each version came in once; nothing is left of what was killed."""
        states = Counter(state for (state,) in self.ground.rows("imports", "SELECT state FROM uploads"))
        imports = self.ground.rows("imports", "SELECT count(*) FROM imports JOIN courses ON courses.id = course_id WHERE slug = 'drill'")[
            0
        ][0]
        sums.lost += self.sent - states["committed"]
        sums.duplicated += max(0, imports - self.sent)
        sums.expect(states == {"committed": self.sent}, f"the uploads are {dict(states)}")
        sums.expect(imports == self.sent, f"{imports} imports of {self.sent} uploads")
        sums.expect(self.kills.total() == 20, f"{self.kills.total()} kills")
        named = {
            f"files/assets/{digest[:2]}/{digest}"
            for (digest,) in self.ground.rows("imports", "SELECT digest FROM assets UNION SELECT digest FROM prepared_files")
        }
        known = {name for name in files_of(self.environment) if name.startswith("files/assets/")}
        sums.detail["files_of_no_row"] = len(known - named)  # of earlier versions, which undoing may need
        judge_files(self.ground, self.environment, self.files | known, sums)


def course_of(version: int) -> bytes:
    """A course whose every part names its version, with pictures that are others each time."""
    noise = random.Random(version)
    files: dict[str, str | bytes] = {
        "course.md": page(
            {"slug": "drill", "title": f"Drill, version {version}", "summary": "S.", "headline": "H"}, f"Of version {version}.\n"
        )
    }
    for module in range(1, MODULES + 1):
        folder = f"{module:02}-part"
        files[f"{folder}/module.md"] = page({"key": f"part-{module}", "title": f"Part {module}, version {version}", "summary": "S."})
        for number in range(1, LESSONS + 1):
            body = f"This is version {version}.\n\n![A square](square.svg)\n"
            if module == 1 and number <= PICTURES:
                body += f"\n![A picture](picture-{number}.png)\n"
                files[f"{folder}/picture-{number}.png"] = picture_of(noise)
            files[f"{folder}/{number:02}-lesson.md"] = lesson(f"lesson-{module}-{number}", body)
        files[f"{folder}/square.svg"] = SVG.replace('width="9"', f'width="{version + 1}"')
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def picture_of(noise: random.Random, width: int = 360, height: int = 240) -> bytes:
    """A picture of many colours, which takes some time to be made anew."""
    buffer = io.BytesIO()
    Image.frombytes("RGB", (width, height), noise.randbytes(width * height * 3)).save(buffer, "PNG")
    return buffer.getvalue()
