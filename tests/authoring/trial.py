"""A trial: an installation through which uploads go one after the other, of each of which is asked what must hold of any."""

import io
import logging
import resource
import shutil
import time
import traceback
from pathlib import Path
from typing import Any

import flask_migrate
import sqlalchemy as sa
import structlog
from flask import Flask

from courseapp import clock, create_app, storage
from courseapp.accounts.models import User
from courseapp.authoring import looks, loops, uploads
from courseapp.authoring.importing import import_course
from courseapp.authoring.models import Upload, UploadState
from courseapp.authoring.preparing import workplace
from courseapp.catalog.markdown import sanitised
from courseapp.catalog.models import Revision
from courseapp.extensions import db
from courseapp.journal.models import Event
from tests.authoring.folders import page, small_course
from tests.authoring.strange import Strange
from tests.client import Client
from tests.factories import make_user
from tests.rows import all_rows, changed_tables

SLOW = 20.0  # seconds of the processor for one upload; several of its texts may take their fifteen
MOST_MB = 700  # that the process may grow to; a picture of 24 million points takes a third of it
PASSING = {"uploads", "prepared_files"}  # tables that a look-through may write into
CHANGED = {*PASSING, "courses", "modules", "lessons", "revisions", "assets", "imports", "copies", "events", "receipts"}


class Failed(AssertionError):
    """What was asked of an upload does not hold."""


class Grown(Failed):
    """The process holds more than it may, and goes on holding it: the next trial is for another one."""


class Trial:
    """An installation on SQLite through which uploads go one after the other, each finding it as the one before did."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.database, self.good = self.data / "db.sqlite3", folder / "good.sqlite3"
        self.broken: list[str] = []
        self.app = self._application()
        with self.app.app_context():
            flask_migrate.upgrade()
            front = page({"slug": "other", "title": "T", "summary": "S", "headline": "H"})
            was = small_course(folder / "was", **{"course.md": front})
            import_course(was, clock.now(), publish=True, without_review=True)
            user = make_user(roles=("instructor",))
            self.user_id, self.client = user.id, Client(self.app)
            self.client.sign_in(user)
            db.session.commit()
            self.rows, self.files = all_rows(), set(storage.stored_keys())
            db.engine.dispose()
        shutil.copyfile(self.database, self.good)

    def _application(self) -> Flask:
        url = f"sqlite:///{self.database}"
        app = create_app(data_dir=self.data, database_url=url, secret_key="fuzz-" * 9, rate_limits=False, log_level="ERROR")
        logging.disable(logging.CRITICAL)
        structlog.configure(processors=[self._listen])
        return app

    def _listen(self, _logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
        if event.get("exc_info"):
            self.broken.append(traceback.format_exc())
        raise structlog.DropEvent

    def run(self, drawn: Strange) -> str:
        """Send one and have it worked on, to its end; what came of it. Raises Failed."""
        began = time.process_time()
        self.broken.clear()
        with self.app.app_context():
            try:
                state = self._looked_through(drawn)
                if state is UploadState.READY:
                    state = self._brought_in()
            finally:
                self._put_back()
        if (took := time.process_time() - began) > SLOW:
            raise Failed(f"it took {took:.0f} s")
        if (grown := resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024) > MOST_MB:
            raise Grown(f"the process has grown to {grown:.0f} MB")
        return state.value

    def _looked_through(self, drawn: Strange) -> UploadState:
        user = db.session.get_one(User, self.user_id)
        place = uploads.place_of(drawn.into, "A module", drawn.needs)
        uploads.receive(user, [(name, io.BytesIO(raw)) for name, raw in drawn.sent], clock.now(), place)
        upload = self._worked()
        self._expect(upload.state in {UploadState.READY, UploadState.REFUSED}, f"it is {upload.state.value}")
        errors = [row for row in upload.report if row["severity"] == "error"]
        self._expect(bool(errors) == (upload.state is UploadState.REFUSED), f"it is {upload.state.value} with {len(errors)} errors")
        silent = [row["code"] for row in upload.report if row["severity"] != "note" and not (row["message"] and row["mend"])]
        self._expect(not silent, f"said without words: {silent}")
        self._ask(f"/staff/uploads/{upload.public_id}")
        outline = looks.outline_of(upload) if upload.state is UploadState.READY else None
        for row in outline["lessons"][-2:] if outline is not None else []:
            self._ask(f"/staff/uploads/{upload.public_id}/preview/gently/{row['public_id']}")
        db.session.execute(sa.delete(Event).where(Event.type == "upload_received"))  # that it was sent is written down
        changed = set(changed_tables(self.rows, all_rows()))
        self._expect(changed <= PASSING, f"looking changed {changed - PASSING}")
        return upload.state

    def _brought_in(self) -> UploadState:
        uploads.accept(db.session.scalars(sa.select(Upload)).one(), True, True, self.user_id)
        upload = self._worked()
        is_in = upload.state is UploadState.COMMITTED
        self._expect(is_in or (upload.state is UploadState.READY and bool(upload.problem)), f"bringing it in, it is {upload.state.value}")
        changed = set(changed_tables(self.rows, all_rows()))
        self._expect(changed <= CHANGED, f"bringing it in changed {changed - CHANGED}")
        for html in db.session.scalars(sa.select(Revision.html)):
            self._expect(sanitised(html) == html, "what is brought in can be made cleaner")
        return upload.state

    def _worked(self) -> Upload:
        db.session.commit()
        loops.work_uploads(clock.now)
        db.session.rollback()
        upload = db.session.scalars(sa.select(Upload).execution_options(populate_existing=True)).one()
        self._expect(not self.broken, f"it broke: {''.join(self.broken)}")
        left = [path.name for path in workplace().iterdir()]
        self._expect(not left, f"left over: {left}")
        return upload

    def _ask(self, path: str) -> None:
        answer = self.client.get(path)
        self._expect(answer.status_code == 200, f"{path} answers {answer.status_code}: {''.join(self.broken)}")

    def _expect(self, holds: bool, words: str) -> None:
        if not holds:
            raise Failed(words)

    def _put_back(self) -> None:
        db.session.rollback()
        db.session.remove()
        db.engine.dispose()
        for tail in ("-wal", "-shm"):
            self.database.with_name(self.database.name + tail).unlink(missing_ok=True)
        shutil.copyfile(self.good, self.database)
        for key in set(storage.stored_keys()) - self.files:
            storage.remove(key)
        for folder in ("tmp", "broker/queue"):
            for path in (self.data / folder).glob("*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
