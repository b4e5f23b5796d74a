"""`python -m tests.authoring.hostile.child FOLDER`: has each item looked through by the worker's own loop, and prints a line for each.

Each in a process of its own, begun by a fork of one that has everything loaded: so what memory rises to is this item's alone.
"""

import io
import json
import os
import re
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import flask_migrate
import sqlalchemy as sa
from flask import Flask

from courseapp import clock, create_app
from courseapp.accounts.models import User
from courseapp.authoring import looks, loops, uploads
from courseapp.authoring.importing import import_course
from courseapp.authoring.models import Upload, UploadState
from courseapp.extensions import db
from courseapp.journal.models import Event
from tests.authoring.folders import page, small_course
from tests.authoring.hostile import Item, Table
from tests.authoring.hostile.archives import ARCHIVES, course_zip
from tests.authoring.hostile.documents import DOCUMENTS
from tests.authoring.hostile.texts import TEXTS
from tests.factories import make_user
from tests.rows import all_rows, changed_tables

ITEMS: Table = {**ARCHIVES, **TEXTS, **DOCUMENTS}
PATIENCE = 60  # seconds after which an item is given up
OWN = {"uploads"}  # the one table in which there is a row for each thing sent


def main() -> None:
    """Every item, one line of JSON each."""
    place = Path(sys.argv[1])
    app = application(place / "inner" / "data")
    with app.app_context():
        flask_migrate.upgrade()
        was = small_course(place / "was", **{"course.md": page({"slug": "other", "title": "T", "summary": "S", "headline": "H"})})
        assert import_course(was, clock.now(), publish=True, without_review=True).committed
        make_user(roles=("instructor",))
        db.session.commit()
    looked_through(app, Item((("course.zip", course_zip()),), ""), place)  # once, so that its statements are built in none of the children
    with app.app_context():
        db.engine.dispose()
    for name, make in ITEMS.items():
        item = make()
        wanted = {"code": item.code, "is_ready": item.is_ready, "shows": item.shows, "hides": item.hides}
        print(json.dumps({"name": name, "wanted": wanted, **in_a_child(app, item, place)}), flush=True)


def application(data: Path) -> Flask:
    """An installation on SQLite with everything loaded that a worker has."""
    import mammoth  # noqa: F401  # loaded so that its memory is not counted as the item's
    import PIL.Image  # noqa: F401  # loaded so that its memory is not counted as the item's
    import pptx  # noqa: F401  # loaded so that its memory is not counted as the item's

    import courseapp.catalog.markdown  # noqa: F401  # loaded so that its memory is not counted as the item's

    data.mkdir(parents=True)
    return create_app(
        data_dir=data, database_url=f"sqlite:///{data}/db.sqlite3", secret_key="hostile-" * 6, rate_limits=False, log_level="ERROR"
    )


def in_a_child(app: Flask, item: Item, place: Path) -> dict[str, Any]:
    """What a child found."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        os.close(1)
        signal.alarm(PATIENCE)
        try:
            found = looked_through(app, item, place)
        except BaseException:
            found = {"broke": traceback.format_exc()}
        os.write(writing, json.dumps(found).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(said) if said else {"broke": "it was killed or did not end"}


def looked_through(app: Flask, item: Item, place: Path) -> dict[str, Any]:
    """Send an item and have it worked on; what came of it and what it left."""
    with app.app_context():
        rows, files = all_rows(), files_in(place)
        memory, began, worked = peak_mb(), time.monotonic(), time.process_time()
        user = db.session.scalars(sa.select(User)).one()
        upload = uploads.receive(user, [(name, io.BytesIO(raw)) for name, raw in item.sent], clock.now())
        db.session.commit()
        loops.work_uploads(clock.now)
        seconds, worked, grown = time.monotonic() - began, time.process_time() - worked, peak_mb() - memory
        db.session.expire_all()
        facts = facts_of(upload)
        left = {name: size for name, size in files_in(place).items() if name not in files}
        folder = f"inner/data/files/{upload.folder}"
        allowed = {f"{folder}/{index}" for index in range(len(item.sent))}
        strange = [name for name in left if name not in allowed and not name.startswith(f"{folder}/draft/")]
        db.session.execute(sa.delete(Event).where(Event.type == "upload_received"))  # that it was sent is written down
        tables = [name for name in changed_tables(rows, all_rows()) if name not in OWN]
        measured = {"seconds": round(seconds, 2), "worked": round(worked, 2), "grown_mb": round(grown, 1)}
        return {**measured, "tables": tables, "strange": strange, **facts}


def facts_of(upload: Upload) -> dict[str, Any]:
    """What an upload's page would say."""
    kept = []
    if upload.state is UploadState.READY and (outline := looks.outline_of(upload)) is not None:
        kept = [looks.text_of(upload, outline, row["public_id"]) or {} for row in outline["lessons"]]
    words = [row["message"] for row in upload.report]
    mends = [row["mend"] for row in upload.report if row["severity"] != "note"]
    return {
        "state": upload.state.value,
        "errors": [row["code"] for row in upload.report if row["severity"] == "error"],
        "codes": [row["code"] for row in upload.report],
        "is_worded": all(words) and all(mends),
        "html": "\n".join(lesson["html"] for lesson in kept),
    }


def files_in(place: Path) -> dict[str, int]:
    """Every file below a place but the database's own, and in the folders where names that lead out would come to lie."""
    found = {path.relative_to(place).as_posix(): path.stat().st_size for path in place.rglob("*") if path.is_file()}
    outside = {path.as_posix(): 0 for path in (Path("/tmp/outside.md"), Path("/outside.md")) if path.exists()}
    return {name: size for name, size in {**found, **outside}.items() if not re.search("/data/(db.sqlite3|broker/)", name)}


def peak_mb() -> float:
    """The most memory that was resident since this process began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
