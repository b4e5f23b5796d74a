"""A disk that is full, and has room again."""

import contextlib
import os
import random
import resource
import sqlite3
import subprocess
from pathlib import Path

from bench.drills.browser import Browser
from bench.drills.ground import Ground, Sums
from bench.drills.imports import course_of
from bench.drills.staff import Staff, content_of, files_of, installation, judge_files, words_of
from bench.processes import PYTHON, ROOT, family, free_port

SMALL = 48_000_000  # bytes of the disk that fills up


def disk_full(ground: Ground, dice: random.Random) -> Sums:
    """The disk of the files fills up while something is sent, looked through and brought in; then that of an SQLite database."""
    sums = Sums()
    for part, name in ((_files_full, "files"), (_database_full, "database")):
        disk = Disk(ground, ground.folder / f"small-{name}")
        try:
            part(ground, disk, dice, sums)
        finally:
            ground.clear()
            disk.close()
    sums.detail["disk"] = disk.words
    return sums


class Disk:
    """A small file system that can be filled up.

    Where none may be mounted (it takes root), a limit on how large a file our processes may write stands in for it.
    """

    def __init__(self, ground: Ground, place: Path) -> None:
        self.ground, self.place = ground, place
        self.ballast = place / "ballast"
        place.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(place)]
        try:
            self.is_real = subprocess.run(command, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            self.is_real = False

    @property
    def words(self) -> str:
        """What it is."""
        return f"tmpfs of {SMALL // 1_000_000} MB" if self.is_real else "RLIMIT_FSIZE in its place, for nothing may be mounted here"

    def leave(self, free: int) -> None:
        """Fill it up to so many bytes."""
        self.lift()
        if self.is_real:
            found = os.statvfs(self.place)
            with self.ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(1, found.f_bavail * found.f_frsize - free))
        else:
            sizes = [path.stat().st_size for path in self.place.glob("*/db.sqlite3*")]
            self._limit(free or max(sizes))

    def lift(self) -> None:
        """Make room again."""
        self.ballast.unlink(missing_ok=True)
        if not self.is_real:
            self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        for pid in [member for process in self.ground.processes for member in family(process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def close(self) -> None:
        """Take it away."""
        if self.is_real:
            subprocess.run(["umount", "-l", str(self.place)], check=False)


def _files_full(ground: Ground, disk: Disk, dice: random.Random, sums: Sums) -> None:
    data, spool = disk.place / "data", disk.place / "spool"
    data.mkdir()
    spool.mkdir()
    environment = installation(ground, "full", DATA_DIR=str(data), TMPDIR=str(spool))
    ground.celery_worker("full-worker", environment, "--concurrency", "1")
    staff = Staff(ground, "full", environment)
    archive = course_of(1)
    before = content_of(ground, "full")

    def check(when: str) -> None:
        sums.expect(Browser(int(environment["PORT"])).get("/").status == 200, f"{when}: the first page does not answer")
        sums.expect(content_of(ground, "full") == before, f"{when}: something was written")

    # while it arrives: beside the form (spooled by the server), and behind it (kept by the storage)
    moments = [("arriving", len(archive) // 2), ("being kept", len(archive) + dice.randrange(200_000, len(archive) // 2))]
    for when, free in moments if disk.is_real else moments[:1]:  # a limit cannot tell the second copy from the first
        disk.leave(free)
        answer = staff.send(("course.zip", archive))
        sums.expect(answer.status == 507 and "no room left" in answer.text, f"full while {when}: {answer.status} {words_of(answer)[:200]}")
        check(f"full while {when}")
        disk.lift()
        left = [path for path in (data / "files").rglob("*") if path.is_file() and "health" not in path.parts]
        sums.expect(not left, f"full while {when}: left {[path.name for path in left][:3]}")
    sums.expect(ground.rows("full", "SELECT count(*) FROM uploads")[0][0] == 0, "a row for an upload that did not arrive")
    # while it is looked through
    public_id = staff.upload(("course.zip", archive))
    disk.leave(len(archive) // 2)
    state = staff.until(public_id, "failed", "ready", "refused")
    sums.expect(
        state == "failed" and "no room left" in staff.shown(public_id),
        f"full while looked through: {state}: {staff.shown(public_id)[:300]}",
    )
    check("full while looked through")
    disk.lift()
    # while it is brought in, where it then waits to be tried again
    public_id = staff.upload(("course.zip", archive))
    staff.until(public_id, "ready")
    before = content_of(ground, "full")
    disk.leave(len(archive) // 2)
    staff.accept(public_id)
    state = staff.until(public_id, "ready", "committed", "failed")
    sums.expect(
        state == "ready" and "no room left" in staff.shown(public_id), f"full while brought in: {state}: {staff.shown(public_id)[:300]}"
    )
    check("full while brought in")
    disk.lift()
    staff.accept(public_id)
    state = staff.until(public_id, "committed", "ready", "failed")
    sums.expect(state == "committed", f"with room again it is {state}: {staff.shown(public_id)[:300]}")
    sums.lost += state != "committed"
    sums.expect(Browser(int(environment["PORT"])).get("/courses/drill").status == 200, "the course cannot be seen")
    judge_files(ground, environment, {name for name in files_of(environment) if name.startswith("files/assets/")}, sums)


def _database_full(ground: Ground, disk: Disk, _dice: random.Random, sums: Sums) -> None:
    data = disk.place / "data"
    data.mkdir()
    database = data / "db.sqlite3"
    more = {"DATA_DIR": str(data), "DATABASE_URL": f"sqlite:///{database}", "ALLOW_SQLITE": "yes", "RATE_LIMITS": "no"}
    environment = {**ground.environment("full", free_port(), REDIS_URL=ground.redis_url), **more}
    ground.run([PYTHON, "-m", "bench.drills.inside", "prepare"], {**environment, "PYTHONPATH": str(ROOT)}, 90)
    ground.web("full-sqlite-web", environment)
    port = int(environment["PORT"])
    sums.expect(Browser(port).begin("before@example.org").status == 303, "nobody could begin")
    reader = Browser(port)
    reader.begin("reader@example.org")
    lesson_id = reader.lessons()[0]
    disk.leave(0)
    answers = [Browser(port).begin(f"full{number}@example.org") for number in range(60)]  # what is allocated already is used up first
    refused = [answer for answer in answers if answer.status != 303]
    sums.expect(bool(refused), "the database was never full")
    for answer in refused:
        sums.expect(
            answer.status == 507 and "no room left" in answer.text, f"a full database answers {answer.status}: {words_of(answer)[:200]}"
        )
    sums.expect(reader.get(f"/lessons/{lesson_id}").status == 200, "a lesson cannot be read while the database is full")
    disk.lift()
    again = Browser(port).begin("after@example.org")
    sums.expect(again.status == 303, f"with room again, POST /start answers {again.status}")
    with contextlib.closing(sqlite3.connect(database)) as line:
        sums.expect(line.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "the database is damaged")
        people = {row[0] for row in line.execute("SELECT address FROM contacts")}
    taken = {f"full{number}@example.org" for number, answer in enumerate(answers) if answer.status == 303}
    missing = (taken | {"before@example.org", "reader@example.org", "after@example.org"}) - people
    half = {address for address in people if address.startswith("full")} - taken
    sums.lost += len(missing)
    sums.expect(not missing, f"answered and not in the database: {sorted(missing)[:3]}")
    sums.expect(not half, f"refused and in the database: {sorted(half)[:3]}")
    sums.detail["database_full"] = {"answered_before_it_was_full": len(taken), "refused": len(refused)}
