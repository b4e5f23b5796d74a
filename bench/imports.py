"""Rows of the import: a course of 200 lessons with 300 MB of recordings, against unpacking the same archive and hashing what was in it."""

import hashlib
import json
import os
import random
import resource
import shutil
import struct
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any

from bench.harness import Ground, Window, middle
from bench.pages import Pages
from bench.processes import PYTHON, ROOT, end, start
from bench.result import Plan, Row

LESSON = """---
id: lesson-{number}
title: Lesson {number}
minutes: 5
shows: What it shows.
needs_check: none
---

## Breathe

{words}

![A square](square-{number}.svg)

![A recording](talk-{number}.wav)
"""
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><rect width="{number}" height="9"/></svg>'


def imports(ground: Ground, plan: Plan) -> list[Row]:
    """Both rows. An import is two walks of the worker, looking through and bringing in; the slower of the two is what counts."""
    archive = course_archive(ground.folder / "course.zip", plan.media_mb)
    found: dict[str, list[dict[str, Any]]] = {"floor": [], "app": []}
    for number in range(3 if plan.quick else 5):  # the first round warms up
        ground.database("imports", "small")
        data = ground.folder / f"data-imports-{number}"
        environment = ground.environment("imports") | {"DATA_DIR": str(data)}
        for name, command in (("floor", "unpack"), ("app", "import")):
            os.sync()  # neither waits for what was written before
            said = ground.run([PYTHON, "-m", "bench.imports", command, archive], environment).splitlines()[-1]
            found[name] += [json.loads(said)] if number else []
        shutil.rmtree(data, ignore_errors=True)
    slower = [max(app["look_s"], app["bring_in_s"]) / floor["s"] for app, floor in zip(found["app"], found["floor"], strict=True)]
    ratio, memory = middle(slower, 2), middle([app["rss_mb"] for app in found["app"]], 0)
    detail: dict[str, Any] = {
        "media_mb": plan.media_mb,
        "unpack_and_hash_s": middle([floor["s"] for floor in found["floor"]], 2),
        "look_through_s": middle([app["look_s"] for app in found["app"]], 2),
        "bring_in_s": middle([app["bring_in_s"] for app in found["app"]], 2),
        "same_again_s": middle([app["again_s"] for app in found["app"]], 2),
        "ratio_by_cpu": middle([app["cpu_s"] / floor["cpu_s"] for app, floor in zip(found["app"], found["floor"], strict=True)], 2),
        "ratio_of_rounds": [round(each, 2) for each in slower],
        "what": "an uploaded ZIP in a worker that has brought one in before: unpacked, checked, hashed, rendered, stored, committed",
    }
    if plan.media_mb < 300:
        detail["short_of_goal"] = f"{plan.media_mb} MB: --quick"
    is_whole = plan.media_mb >= 300
    return [
        Row("import_ratio", ratio, "× unzip + hash", "<= 2", ratio <= 2 and is_whole, detail),
        Row("import_rss_mb", memory, "MB, peak", "<= 150", memory <= 150 and is_whole, detail),
    ]


def page_meanwhile(pages: Pages) -> list[Row]:
    """How long the slowest hundredth of lesson pages takes while a worker brings in one version of the course after the other.

    Web server, PostgreSQL, worker and whoever asks share the machine, as they do on one small server.
    """
    ground, plan = pages.ground, pages.plan
    archives = [course_archive(ground.folder / f"version-{seed}.zip", plan.media_mb, seed=seed) for seed in (1, 2)]
    detail: dict[str, Any] = {"media_mb": plan.media_mb}
    for connections in (1, 8):
        found: dict[str, list[Window]] = {"idle": [], "meanwhile": []}
        for number in range(2 * (2 if plan.quick else 4)):
            name = list(found)[number % 2]
            with working(pages, archives) if name == "meanwhile" else nullcontext():
                found[name].append(ground.load(pages.app, pages.lesson_requests(), connections, 2 if plan.quick else 6, "200"))
        ratios = [busy.p99_ms / idle.p99_ms for idle, busy in zip(found["idle"], found["meanwhile"], strict=True)]
        detail[f"{connections}_at_once"] = {
            "ratio": middle(ratios),
            "ratio_of_rounds": [round(each, 2) for each in ratios],
            **{f"{name}_p99_ms": middle([window.p99_ms for window in windows], 1) for name, windows in found.items()},
            **{f"{name}_p50_ms": middle([window.p50_ms for window in windows], 1) for name, windows in found.items()},
        }
    value = max(detail[f"{connections}_at_once"]["ratio"] for connections in (1, 8))
    return [Row("import_page_p99", value, "× p99 when idle", "<= 2", value <= 2 and plan.media_mb >= 300, detail)]


@contextmanager
def working(pages: Pages, archives: list[Path]) -> Iterator[None]:
    """A worker that brings in these archives in turn, from when its first one is on its way."""
    ground = pages.ground
    environment = ground.environment("bench") | {"DATA_DIR": str(ground.folder / "data-working")}
    command = [PYTHON, "-m", "bench.imports", "repeat", *archives]
    process = start(command, ground.folder / "working.log", cwd=ROOT, env=environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError((ground.folder / "working.log").read_text(errors="replace")[-2000:])
        yield
        if process.poll() is not None:
            raise RuntimeError((ground.folder / "working.log").read_text(errors="replace")[-2000:])
    finally:
        end(process)


def course_archive(path: Path, megabytes: int, lessons: int = 200, seed: int = 1) -> Path:
    """A course of so many lessons, each with a drawing and a recording of noise, which does not pack."""
    noise = random.Random(seed)
    words = f"Lie down for the {seed}. time, let the belly rise, and let the breath go by itself. " * 30
    size = megabytes * 1_000_000 // lessons
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "course.md", f"---\nslug: of-{lessons}\ntitle: A course\nsummary: S.\nheadline: H\nsample: lesson-0\n---\n\nThe article.\n"
        )
        for number in range(lessons):
            folder = f"{number // 20 + 1:02}-part"
            if number % 20 == 0:
                archive.writestr(f"{folder}/module.md", f"---\nkey: part-{number // 20}\ntitle: Part\nsummary: S.\n---\n")
            archive.writestr(f"{folder}/{number % 20 + 1:02}-lesson.md", LESSON.format(number=number, words=words))
            archive.writestr(f"{folder}/square-{number}.svg", SVG.format(number=number))
            sound = noise.randbytes(size)
            head = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 22050, 44100, 2, 16)
            archive.writestr(f"{folder}/talk-{number}.wav", head + b"data" + struct.pack("<I", size) + sound)
    return path


def unpack(archive: Path) -> dict[str, float]:
    """The floor: the archive unpacked, every file hashed."""
    began, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
        for file in Path(folder).rglob("*"):
            if file.is_file():
                with file.open("rb") as content:
                    hashlib.file_digest(content, "sha256")
        return {"s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}


def bring_in(archive: Path) -> dict[str, float]:
    """The archive as an upload, looked through, brought in, and the same once more."""
    from worker import flask_app

    with flask_app.app_context():
        # the first as a worker at work has loaded everything and built its statements
        small = course_archive(archive.with_name("small.zip"), 0, lessons=1)
        _small, (look, bring), (_look, again) = [send_and_work(sent) for sent in (small, archive, archive)]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"look_s": look[0], "bring_in_s": bring[0], "again_s": again[0], "cpu_s": max(look[1], bring[1]), "rss_mb": memory}


Took = tuple[float, float]
"""Seconds by the clock, and of the processor."""


def send_and_work(archive: Path) -> tuple[Took, Took]:
    """Have an archive looked through and brought in; what each took."""
    from courseapp import clock
    from courseapp.accounts.models import User
    from courseapp.authoring import loops, uploads
    from courseapp.authoring.models import UploadState
    from courseapp.extensions import db

    def worked(state: UploadState) -> Took:
        db.session.commit()
        began, cpu = time.perf_counter(), time.process_time()
        loops.work_uploads(clock.now)
        took = time.perf_counter() - began, time.process_time() - cpu
        db.session.refresh(upload)
        assert upload.state is state, upload.report
        return took

    user = db.session.query(User).first()
    assert user is not None
    with archive.open("rb") as file:
        upload = uploads.receive(user, [("course.zip", file)], clock.now())
    looked = worked(UploadState.READY)
    uploads.accept(upload, publish=False)
    return looked, worked(UploadState.COMMITTED)


def repeat(archives: list[Path]) -> None:
    """Bring these in in turn, until somebody ends it; a line when the first is in."""
    from worker import flask_app

    with flask_app.app_context():
        for number in count():
            send_and_work(archives[number % len(archives)])
            print(number, flush=True)


if __name__ == "__main__":
    import sys

    what, *paths = sys.argv[1:]
    if what == "repeat":
        repeat([Path(path) for path in paths])
    else:
        print(json.dumps({"unpack": unpack, "import": bring_in}[what](Path(paths[0]))))
