"""A real worker, killed with SIGKILL while a list comes in and goes out: nobody is lost, nobody is there twice."""

import csv
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import sleep

import sqlalchemy as sa
from flask import Flask

from courseapp.campaigns import contact_exports as exports
from courseapp.campaigns import contact_imports as imports
from courseapp.campaigns.models import ContactExport, ContactImport, ExportState, ImportState
from courseapp.contacts.models import Consent, Contact
from courseapp.extensions import db
from courseapp.mailing.models import Message
from tests.conftest import NOW, SECRET
from tests.databases import Database
from tests.factories import make_user

ROOT = Path(__file__).parent.parent.parent
PEOPLE = 400
WORKER = """
from datetime import timedelta
from courseapp import clock, create_app
from courseapp.campaigns import contact_exports, contact_imports
from courseapp.campaigns.contacting import loops
contact_imports.LEASE, contact_imports.MOST_ATTEMPTS = timedelta(0), 1000
contact_exports.PIECE, loops.PAGE = 50, 20
with create_app().app_context():
    print("up", flush=True)
    loops.work_contacts(clock.now)
"""


def work_and_be_killed(app: Flask, database: Database, is_done: Callable[[], bool]) -> int:
    """Start workers and kill each a little later, until it is done; how many were killed."""
    settings = {"DATA_DIR": str(app.config["SETTINGS"].data_dir), "DATABASE_URL": database.url, "SECRET_KEY": SECRET}
    kills = 0
    while not is_done():
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env={**os.environ, **settings, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            sleep(0.15 + 0.2 * kills)  # a little longer each time, so that it comes to an end
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
    return kills


def stands(model: type[ContactImport] | type[ContactExport], *states: str) -> Callable[[], bool]:
    """Whether the one there is stands so."""

    def ask() -> bool:
        db.session.rollback()
        found = db.session.scalars(sa.select(model.state)).one()
        db.session.rollback()  # else the workers would wait for this one
        return found.value in states

    return ask


def count(model: type[Contact] | type[Consent] | type[Message]) -> int:
    """How many rows there are."""
    return db.session.scalar(sa.select(sa.func.count()).select_from(model)) or 0


def test_killed_again_and_again_everybody_comes_in_once_and_goes_out_once(app: Flask, database: Database) -> None:
    user = make_user(roles=["owner"])
    before = count(Contact)
    lines = "".join(f"one{number}@example.org,2026-03-31\n" for number in range(PEOPLE))
    found = imports.receive(io.BytesIO(f"Email,Agreed\n{lines}one7@example.org,2026-03-31\n".encode()), "l.csv", user.id, "en", NOW)
    imports.describe(found, ["address", "marketing"], "en", "A list", is_confirmed=False, by_user_id=user.id, now=NOW)
    db.session.commit()
    kills = work_and_be_killed(app, database, stands(ContactImport, ImportState.READY))
    imports.accept(found, user, NOW)
    db.session.commit()
    kills += work_and_be_killed(app, database, stands(ContactImport, ImportState.FINISHED))
    assert (count(Contact) - before, count(Consent), count(Message)) == (PEOPLE,) * 3
    assert (found.counts["new"], found.counts["asked"], found.counts["wrong"], found.cursor) == (PEOPLE, PEOPLE, 1, PEOPLE + 1)
    db.session.execute(sa.update(Contact).values(confirmed_at=NOW))
    asked = exports.ask_for_file(None, user, NOW)
    db.session.commit()
    kills += work_and_be_killed(app, database, stands(ContactExport, ExportState.READY))
    db.session.refresh(asked)
    text = b"".join(exports.content_of(asked.public_id, asked.names)).decode("utf-8-sig")
    addresses = [row["address"] for row in csv.DictReader(io.StringIO(text, newline=""))]
    assert len(addresses) == len(set(addresses)) == PEOPLE + before == asked.count
    assert kills >= 3
