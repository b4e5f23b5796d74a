"""`make run`, killed in mid-work and started again."""

import email
import email.policy
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.drills.browser import Answer, Browser, Crowd
from bench.drills.ground import LEASE, DrillError, Ground, Sums, soon, wait_for
from bench.processes import ROOT, die_with_parent, end, family, free_port

VICTIMS = ("launcher", "make", "web", "web worker", "worker", "make while it starts")
GONE_WITHIN = 25.0  # seconds children have to end by themselves


class Run:
    """One installation, started and killed."""

    def __init__(self, ground: Ground) -> None:
        self.ground, self.port = ground, free_port()
        self.home = ground.folder / "run"
        self.data = self.home / "data"
        self.home.mkdir()
        self.log = ground.folder / "make.log"
        self.make: subprocess.Popen[bytes] | None = None
        self.refused = 0

    @property
    def environment(self) -> dict[str, str]:
        """An ordinary machine's, with a clock that can be moved, and without limits, for all learners come from one address."""
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "LANG": "C.UTF-8",
            "PORT": str(self.port),
            "DATA_DIR": str(self.data),
            "CLOCK_FILE": str(self.ground.clock_file),
            "RATE_LIMITS": "no",
            "LOG_LEVEL": "WARNING",
        }

    def start(self) -> None:
        """`make run`, by the interpreter that runs the drills."""
        with self.log.open("ab") as log:
            self.make = subprocess.Popen(
                ["make", "--no-print-directory", "run", f"VENV={sys.prefix}"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509  # prctl alone
            )
        self.ground.processes.append(self.make)

    def come_up(self, seconds: float = 60) -> float:
        """Wait for `Ready on`; started again where the last run still holds the folder. How long it took."""
        began = time.monotonic()
        ready = self._words().count("Ready on")
        while self._words().count("Ready on") == ready or self.make is None or self.make.poll() is not None:
            if self.make is None or self.make.poll() is not None:
                if time.monotonic() - began > 30 and "Another run uses" not in self._words()[-800:]:
                    raise DrillError(f"make run ended by itself: {self._words()[-800:]}")
                self.refused += self.make is not None
                time.sleep(0.3)
                self.start()
            if time.monotonic() - began > seconds:
                raise DrillError(f"make run did not come up: {self._words()[-800:]}; alive: {self.alive()}")
            time.sleep(0.05)
        return round(time.monotonic() - began, 1)

    def _words(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def alive(self) -> dict[int, str]:
        """Every process of this installation, whoever its parent is: pid and command, by DATA_DIR in its environment."""
        mark = f"DATA_DIR={self.data}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:160].strip()
                except OSError:
                    continue
        return {pid: words for pid, words in found.items() if words}  # a zombie has no command any more

    def victim(self, name: str) -> int:
        """The process of a name."""
        assert self.make is not None
        if name.startswith("make"):
            return self.make.pid
        members = {pid: self.alive().get(pid, "") for pid in family(self.make.pid)}
        marks = {
            "launcher": "--app courseapp up",
            "web": "gunicorn",
            "web worker": "gunicorn",
            "worker": "celery --app worker worker",
            "beat": "celery --app worker beat",
        }
        fitting = sorted(pid for pid, words in members.items() if marks[name] in words and "sh -c" not in words)
        if name == "launcher":
            fitting = [pid for pid in fitting if pid != self.make.pid]
        if name == "web worker":
            fitting = fitting[1:]
        if not fitting:
            raise DrillError(f"there is no {name} among {members}")
        return fitting[0]

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the database, read only."""
        line = sqlite3.connect(f"file:{self.data / 'courseapp.sqlite3'}?mode=ro", uri=True, timeout=20)
        try:
            return line.execute(statement).fetchall()
        finally:
            line.close()


class Learners(Crowd):
    """People who start, complete lessons and confirm their address, all the time; what was answered is written down."""

    def __init__(self, run: Run, count: int) -> None:
        self.run = run
        self.started: set[str] = set()
        self.confirmed: set[str] = set()
        self.done: set[tuple[str, str]] = set()
        self.odd: Counter[str] = Counter()
        self.answered = self.cut = 0
        self._mails: dict[str, Path] = {}
        self._lock = threading.Lock()
        super().__init__(count)

    def walk(self, number: int) -> None:
        """Learn, again and again."""
        turn = 0
        while not self.over.is_set():
            turn += 1
            try:
                self._learn(f"run{number}-{turn}@example.org")
            except OSError:
                self.cut += 1
            self.over.wait(0.15)

    def _learn(self, address: str) -> None:
        browser = Browser(self.run.port)
        if not self._is_kept(browser.begin(address), "start"):
            return
        self.started.add(address)
        for lesson in self._patiently(browser.lessons)[:3]:
            answer = self._patiently(lambda lesson=lesson: browser.complete(lesson))
            if self._is_kept(answer, "completion"):
                self.done.add((address, lesson))
        if link := self._link(address):
            page = self._patiently(lambda: browser.get(link))
            answer = browser.post(link, csrf_token=page.token)
            if answer.status == 303 and self._is_kept(answer, "confirmation"):
                self.confirmed.add(address)

    def _patiently(self, ask: Any) -> Any:
        """Once more where the line was cut: what is asked for here may be sent twice."""
        for _ in range(60):
            try:
                return ask()
            except OSError:
                self.cut += 1
                if self.over.wait(0.4):
                    break
        return ask()

    def _is_kept(self, answer: Answer, what: str) -> bool:
        self.answered += 1
        if answer.status in {200, 303} and answer.location != "/sign-in":
            return answer.status == 303
        self.odd[f"{what} {answer.status} {answer.location}".strip()] += 1
        return False

    def _link(self, address: str) -> str:
        """The link of the sign-in mail, once it is in the file box."""
        for _ in range(40):
            with self._lock:
                for file in (self.run.data / "mail").glob("*.eml"):
                    if file.name not in self._mails:
                        self._mails[file.name] = file
                        head = file.read_bytes()
                        if found := re.search(rb"^To: *(\S+)", head, re.MULTILINE):
                            self._mails.setdefault(found.group(1).decode().strip(), file)
            if address in self._mails:
                mail = email.message_from_bytes(self._mails[address].read_bytes(), policy=email.policy.default)
                body = mail.get_body(("plain",))
                found_link = re.search(r"https?://\S+/sign-in/link/\S+", body.get_content() if body else "")
                return urlsplit(found_link.group()).path if found_link else ""
            if self.over.wait(0.1):
                break
        return ""


def run_killed(ground: Ground, dice: random.Random) -> Sums:
    """Six SIGKILLs at random moments under load: the launcher, make, the children, and make before anything runs."""
    sums = Sums()
    run = Run(ground)
    run.start()
    first = run.come_up(120)
    learners = Learners(run, 4)
    victims = list(VICTIMS)
    dice.shuffle(victims)
    rounds = []
    try:
        for victim in victims:
            before = len(learners.done)
            wait_for(lambda before=before: len(learners.done) > before + 5, 60, "learners to go on")
            rounds.append(_kill(run, victim, dice, sums))
    finally:
        learners.stop()
    sums.detail |= {"first_start_s": first, "rounds": rounds, "refused_because_the_last_still_ended": run.refused}
    _settle(run, sums)
    _judge_database(run, learners, sums)
    _judge_mail(run, sums)
    _end(run, sums)
    return sums


def _kill(run: Run, victim: str, dice: random.Random, sums: Sums) -> dict[str, Any]:
    if victim == "make while it starts":
        assert run.make is not None
        os.kill(run.victim("launcher"), signal.SIGKILL)
        soon(lambda: not run.alive(), GONE_WITHIN)
        run.start()
        time.sleep(0.3 + dice.random() * 2.5)
    else:
        time.sleep(dice.random() * 1.5)
    pid = run.victim(victim)
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    row: dict[str, Any] = {"killed": victim}
    if victim == "web worker":  # gunicorn starts another, and nobody else notices
        soon(lambda: run.alive().get(pid) is None, 5)
        if not soon(lambda: _answers(run), 15):
            sums.expect(False, "the site did not come back after its worker process was killed")
        return row | {"served_again_s": round(time.monotonic() - killed, 1)}
    if dice.random() < 0.5 or victim == "make while it starts":
        gone = soon(lambda: not run.alive(), GONE_WITHIN)
        row["gone_s"] = round(time.monotonic() - killed, 1) if gone else None
        sums.expect(gone, f"{victim} killed: left over {run.alive()}")
    else:
        row["started_at_once"] = True
        if run.make is not None and victim == "make":
            run.make.wait(5)
        elif run.make is not None:
            soon(lambda: run.make is not None and run.make.poll() is not None, GONE_WITHIN)
    if run.make is not None:
        end(run.make, 1)
    run.start()
    row["up_s"] = run.come_up()
    members = set(family(run.make.pid)) if run.make else set()
    stray = {pid: words for pid, words in run.alive().items() if pid not in members}
    if stray:
        soon(lambda: not set(run.alive()) - set(family(run.make.pid if run.make else 0)), 5)
        stray = {pid: words for pid, words in run.alive().items() if pid not in set(family(run.make.pid if run.make else 0))}
    sums.expect(not stray, f"{victim} killed, started again: not of this run: {stray}")
    return row


def _answers(run: Run) -> bool:
    try:
        return Browser(run.port).get("/healthz").status == 200
    except OSError:
        return False


def _settle(run: Run, sums: Sums) -> None:
    """Wait until mail has left; what killed workers held comes back after its lease, so time goes on by one."""
    open_states = "SELECT state, count(*) FROM messages WHERE state IN ('pending', 'leased', 'submitting') GROUP BY state"
    soon(lambda: not [row for row in run.query(open_states) if row[0] == "pending"], 20)
    sums.detail["open_before_their_lease_ended"] = dict(run.query(open_states))
    run.ground.travel(LEASE)
    command = [f"{sys.prefix}/bin/flask", "--app", "courseapp", "mail", "work", "--drain"]
    run.ground.run(command, {**run.environment, "PYTHONPATH": str(ROOT)}, 60)
    soon(lambda: not run.query(open_states), 40)
    left = run.query(open_states)
    sums.expect(not left, f"for ever {left}")


def _judge_database(run: Run, learners: Learners, sums: Sums) -> None:
    people = dict(
        run.query("SELECT address, guest_id FROM sign_in_requests JOIN contacts ON contacts.id = contact_id WHERE guest_id IS NOT NULL")
    )
    confirmed = {row[0] for row in run.query("SELECT address FROM contacts WHERE confirmed_at IS NOT NULL")}
    enrolled = {row[0] for row in run.query("SELECT user_id FROM enrolments")}
    done = set(run.query("SELECT user_id, lessons.public_id FROM completions JOIN lessons ON lessons.id = lesson_id"))
    lost = [f"start of {address}" for address in learners.started if people.get(address) not in enrolled]
    lost += [f"{lesson} of {address}" for address, lesson in learners.done if (people.get(address), lesson) not in done]
    lost += [f"confirmation of {address}" for address in learners.confirmed - confirmed]
    sums.lost += len(lost)
    sums.expect(not lost, f"answered and not in the database: {lost[:5]}")
    sums.expect(not learners.odd, f"answers that should not be: {dict(learners.odd)}")
    sums.expect(
        len(learners.started) > 10 and len(learners.confirmed) > 3,
        f"too little went on: {len(learners.started)}, {len(learners.confirmed)}",
    )
    sums.expect(run.query("PRAGMA integrity_check") == [("ok",)], "the database is damaged")
    begun = {row[0] for row in run.query("SELECT address FROM sequence_runs JOIN contacts ON contacts.id = contact_id")}
    sums.expect(begun >= learners.confirmed, f"{len(learners.confirmed - begun)} confirmed learners without their sequence")
    sums.lost += len(learners.confirmed - begun)
    sums.detail |= {
        "started": len(learners.started),
        "completed": len(learners.done),
        "confirmed": len(learners.confirmed),
        "answered": learners.answered,
        "cut_off": learners.cut,
    }


def _judge_mail(run: Run, sums: Sums) -> None:
    """Each accepted row is one file with its Message-ID; each file is one row that says so, or is in doubt."""
    rows = {row[0]: row[1:] for row in run.query("SELECT public_id, message_id, state FROM messages")}
    files: dict[str, str] = {}
    for file in (run.data / "mail").glob("*.eml"):
        mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        files[file.stem] = str(mail["Message-ID"]).strip()
        sums.expect(mail.get_body(("html",)) is not None, f"{file.name} is not whole")
    lost = [name for name, (_id, state) in rows.items() if state == "accepted" and name not in files]
    foreign = [name for name, message_id in files.items() if rows.get(name, ("",))[0] != message_id]
    twice = sum(number - 1 for number in Counter(files.values()).values())
    states = Counter(state for _id, state in rows.values())
    hidden = [name for name in files if name in rows and rows[name][1] not in {"accepted", "uncertain"}]
    sums.lost += len(lost)
    sums.duplicated += twice
    sums.uncertain += states["uncertain"]
    sums.expect(not lost, f"accepted without a file: {len(lost)}")
    sums.expect(not foreign, f"files that are no row's: {foreign[:5]}")
    sums.expect(not twice, f"{twice} mails twice")
    sums.expect(not hidden, f"in the file box, but {Counter(rows[name][1] for name in hidden)}")
    sums.expect(states["uncertain"] <= len(VICTIMS), f"{states['uncertain']} in doubt after {len(VICTIMS)} kills")
    sums.expect(set(states) <= {"accepted", "uncertain", "expired"}, f"the outbox says {dict(states)}")
    sums.detail |= {"states": dict(states), "files": len(files), "half_written_files": len(list((run.data / "mail").glob(".*.part")))}


def _end(run: Run, sums: Sums) -> None:
    """Ctrl-C, as a terminal sends it: to everyone in front of it. Nothing stays."""
    assert run.make is not None
    at = time.monotonic()
    os.killpg(run.make.pid, signal.SIGINT)
    gone = soon(lambda: not run.alive(), GONE_WITHIN)
    sums.detail["ended_by_ctrl_c_s"] = round(time.monotonic() - at, 1)
    sums.expect(gone, f"left over after Ctrl-C: {run.alive()}")
