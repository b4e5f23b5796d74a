"""What a drill does inside a process of the application.

python -m bench.drills.inside prepare                  tables, course, sequence
python -m bench.drills.inside learners TAG COUNT       confirmed learners who asked for course mail and have just started
python -m bench.drills.inside hasty-work               `flask mail work` with short patience, so that a hang costs a second and not a minute
python -m bench.drills.inside restless-work            the same, where only the rest after trouble is short
python -m bench.drills.inside restore FILE             a backup brought back, and no more: the command also enqueues what has come due
python -m bench.drills.inside rows                     every row of every table, as a sum by its key; JSON
python -m bench.drills.inside files                    the content of every file that a row names; JSON
python -m bench.drills.inside expand                   what the timetable does for broadcasts, again and again
python -m bench.drills.inside tick                     what the timetable does for mail, once: news, sequences, lost leases, sending
python -m bench.drills.inside races SEED COUNT         unsubscribing and forgetting against the last-moment check, in threads; JSON
"""

import hashlib
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask

from courseapp import clock, create_app
from courseapp.accounts.models import User
from courseapp.accounts.people import account_for
from courseapp.campaigns import loops as campaigns
from courseapp.catalog.models import Asset
from courseapp.catalog.outline import published_course
from courseapp.contacts.consent import set_consent
from courseapp.contacts.models import Contact, Purpose, SuppressionReason
from courseapp.contacts.people import confirm, contact_for
from courseapp.contacts.suppression import suppress
from courseapp.extensions import db
from courseapp.learning.enrolment import enrol
from courseapp.mailing import loops, outbox, smtp
from courseapp.mailing.models import Message, State
from courseapp.operations import backups
from courseapp.operations.people import erase
from courseapp.operations.table_rows import line_of


def prepare() -> None:
    """What `make run` puts into an empty database."""
    from courseapp.operations.embedded import prepare as install

    with create_app().app_context():
        install(clock.now())
        db.session.commit()


def learners(tag: str, count: int) -> None:
    """All in one transaction, as the pages would write it."""
    with create_app().app_context():
        now = clock.now()
        course = published_course("introduction")
        assert course is not None
        for number in range(count):
            contact = contact_for(f"{tag}{number}@example.org", now)
            confirm(contact, now)
            set_consent(contact, Purpose.COURSE, True, now, "drill")
            enrol(account_for(contact, now), course.id, now)
        db.session.commit()


def restore(file: str) -> None:
    """As `flask backup restore` begins."""
    with create_app().app_context():
        backups.restore(Path(file), None, clock.now(), lambda _words: None)
        db.session.commit()


def rows() -> None:
    """Table → key → a sum over the row, as either database has it."""
    found: dict[str, dict[str, str]] = {}
    with create_app().app_context():
        for table in db.metadata.sorted_tables:
            keys = list(table.primary_key.columns)
            found[table.name] = {
                "-".join(str(row[column.name]) for column in keys): hashlib.sha256(line_of(row)).hexdigest()
                for row in db.session.execute(sa.select(table)).mappings()
            }
        found["streams"] = dict.fromkeys(found["streams"], "")  # each copy paused its own at another moment
    print(json.dumps(found))


def files() -> None:
    """The digests of all files of courses."""
    with create_app().app_context():
        print(json.dumps(sorted(set(db.session.scalars(sa.select(Asset.digest))))))


def tick() -> None:
    """All that the timetable does by itself for mail."""
    with create_app().app_context():
        campaigns.read_news(clock.now)
        campaigns.advance_runs(clock.now)
        loops.reap(clock.now())
        loops.drain(clock.now)
        loops.close_door()


def expand() -> None:
    """Begin, expand and finish broadcasts until ended."""
    with create_app().app_context():
        while True:
            campaigns.work_broadcasts(clock.now)
            time.sleep(0.2)


def hasty_work() -> None:
    """The loop of `flask mail work`, whose waits are shortened."""
    smtp.ANSWER_PATIENCE = 1.0
    smtp.CONNECT_PATIENCE = 1.0
    restless_work()


def restless_work() -> None:
    """The loop of `flask mail work`, which tries a server again at once that was in trouble."""
    loops.SENDER_REST = 0.3
    with create_app().app_context():
        from courseapp.mailing.cli import work

        work.main(args=[], standalone_mode=False)


class Race:
    """Two threads for each message: one moves it to `submitting`, one makes that wrong. What counts is who was first."""

    def __init__(self, app: Flask, seed: int, count: int) -> None:
        self.app, self.count, self.dice = app, count, random.Random(seed)
        self.found: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self) -> dict[str, Any]:
        """All races, one after the other."""
        with self.app.app_context():
            claimed: list[tuple[int, int]] = []
            while len(claimed) < self.count and (more := outbox.claim(clock.now(), 100)):
                claimed += more
                db.session.commit()
        kinds: dict[str, Callable[[int], None]] = {"unsubscribe": self._unsubscribe, "erase": self._erase, "suppress": self._suppress}
        for message_id, epoch in claimed:
            self._race(message_id, epoch, *self.dice.choice(list(kinds.items())))
        return {"races": len(claimed), "ends": dict(self.found), "wrong": self.wrong[:20], "violations": len(self.wrong)}

    def _race(self, message_id: int, epoch: int, kind: str, stop: Callable[[int], None]) -> None:
        times: dict[str, float] = {}
        gate = threading.Barrier(2)
        errors: list[BaseException] = []

        def begin(wait: float) -> None:
            try:
                with self.app.app_context():
                    gate.wait()
                    time.sleep(wait)
                    times["asked"] = time.monotonic()
                    is_sent = outbox.begin_submitting(message_id, epoch, clock.now())
                    db.session.commit()
                    times["began"] = time.monotonic()
                    times["is_sent"] = is_sent
            except BaseException as error:
                errors.append(error)

        def withdraw(wait: float) -> None:
            try:
                with self.app.app_context():
                    contact_id = db.session.scalar(sa.select(Message.contact_id).where(Message.id == message_id))
                    assert contact_id is not None
                    db.session.rollback()
                    gate.wait()
                    time.sleep(wait)
                    stop(contact_id)
                    db.session.commit()
                    times["stopped"] = time.monotonic()
            except BaseException as error:
                errors.append(error)

        threads = [
            threading.Thread(target=begin, args=(self.dice.random() * 0.03,)),
            threading.Thread(target=withdraw, args=(self.dice.random() * 0.004,)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        if errors or any(thread.is_alive() for thread in threads):
            self.wrong.append(f"{kind}: {errors or 'a thread stood still'}")
            return
        self._judge(message_id, kind, times)

    def _judge(self, message_id: int, kind: str, times: dict[str, float]) -> None:
        with self.app.app_context():
            state, reason = db.session.execute(sa.select(Message.state, Message.reason).where(Message.id == message_id)).one()
        is_after = times["asked"] > times["stopped"]
        self.found[f"{kind}: {'asked after' if is_after else 'overlapping or before'}: {state.value} {reason or ''}".strip()] += 1
        if is_after and times["is_sent"]:
            self.wrong.append(f"{kind}: submitted {1000 * (times['asked'] - times['stopped']):.1f} ms after the commit")
        if (times["is_sent"] and state is not State.SUBMITTING) or (not times["is_sent"] and state is not State.SKIPPED):
            self.wrong.append(f"{kind}: the sender was told {bool(times['is_sent'])}, the row says {state.value} ({reason})")

    def _unsubscribe(self, contact_id: int) -> None:
        set_consent(db.session.get_one(Contact, contact_id), Purpose.COURSE, False, clock.now(), "unsubscribe")

    def _erase(self, contact_id: int) -> None:
        user = db.session.scalar(sa.select(User).where(User.contact_id == contact_id))
        erase(user, db.session.get_one(Contact, contact_id), clock.now())

    def _suppress(self, contact_id: int) -> None:
        mac = db.session.get_one(Contact, contact_id).address_mac
        assert mac is not None
        suppress(mac, SuppressionReason.BOUNCED, clock.now())


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    if what == "prepare":
        prepare()
    elif what == "learners":
        learners(given[0], int(given[1]))
    elif what in {"hasty-work", "restless-work"}:
        {"hasty-work": hasty_work, "restless-work": restless_work}[what]()
    elif what == "restore":
        restore(given[0])
    elif what in {"rows", "files", "tick", "expand"}:
        {"rows": rows, "files": files, "tick": tick, "expand": expand}[what]()
    elif what == "races":
        print(json.dumps(Race(create_app(), int(given[0]), int(given[1])).run()))
