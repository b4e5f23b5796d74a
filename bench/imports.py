"""Rows of the import: a course of 200 lessons with 300 MB of recordings, against unpacking the same archive and hashing what was in it."""

import hashlib
import json
import os
import random
import resource
import shutil
import struct
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from bench.harness import Ground, middle
from bench.processes import PYTHON
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
    for number in range(2 if plan.quick else 4):
        ground.database("imports", "small")
        data = ground.folder / f"data-imports-{number}"
        environment = ground.environment("imports") | {"DATA_DIR": str(data)}
        for name, command in (("floor", "unpack"), ("app", "import")):
            os.sync()  # neither waits for what was written before
            found[name].append(json.loads(ground.run([PYTHON, "-m", "bench.imports", command, archive], environment).splitlines()[-1]))
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


def course_archive(path: Path, megabytes: int, lessons: int = 200) -> Path:
    """A course of so many lessons, each with a drawing and a recording of noise, which does not pack."""
    noise = random.Random(1)
    words = "Lie down, let the belly rise, and let the breath go by itself. " * 30
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
    from courseapp import clock, create_app
    from courseapp.accounts.models import User
    from courseapp.authoring import loops, uploads
    from courseapp.authoring.models import UploadState
    from courseapp.extensions import db

    def worked() -> tuple[float, float]:
        began, cpu = time.perf_counter(), time.process_time()
        loops.work_uploads(clock.now)
        return time.perf_counter() - began, time.process_time() - cpu

    with create_app().app_context():
        user = db.session.query(User).first()
        assert user is not None
        found = []
        small = course_archive(archive.with_name("small.zip"), 0, lessons=1)
        for sent in (small, archive, archive):  # the first as a worker at work has loaded everything and built its statements
            with sent.open("rb") as file:
                upload = uploads.receive(user, [("course.zip", file)], clock.now())
            db.session.commit()
            looked = worked()
            db.session.refresh(upload)
            assert upload.state is UploadState.READY, upload.report
            uploads.accept(upload, publish=False)
            db.session.commit()
            found.append((looked, worked()))
            db.session.refresh(upload)
            assert upload.state is UploadState.COMMITTED, upload.report
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    _small, (look, bring), (_look, again) = found
    return {"look_s": look[0], "bring_in_s": bring[0], "again_s": again[0], "cpu_s": max(look[1], bring[1]), "rss_mb": memory}


if __name__ == "__main__":
    import sys

    print(json.dumps({"unpack": unpack, "import": bring_in}[sys.argv[1]](Path(sys.argv[2]))))
