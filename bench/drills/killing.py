"""SIGKILL in the middle of a broadcast: to whoever expands it, and to its mail workers at every edge between two states."""

import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from bench.drills.ground import LEASE, DrillError, Ground, Sums, soon, wait_for
from bench.drills.mailbox import Mailbox
from bench.drills.marketer import Books, Marketer, audience
from bench.drills.staff import installation
from bench.processes import PYTHON

READERS = 10_000
KILLS = 20  # of mail workers; whoever expands is killed besides
EXPANDING = ("freezing", "frozen", "paging", "between pages")
EDGES = ("claiming", "claimed", "connect", "mail", "rcpt", "data", "body", "dot", "taken", "recording", "answered")
STALLS = ("data", "dot", "taken")  # before the dot and after it, without a kill
STALL = 1.5  # seconds
PACE = 4.0  # seconds that one kill takes here, so that the mails last for all of them
PATIENCE = 40.0  # seconds for a process to start and come to where it is to be killed; on a busy machine a start takes ten


class Killing:
    """Whoever expands, and two mail workers, each at a door of its own; a third for rows that are claimed and not yet begun."""

    def __init__(self, ground: Ground, dice: random.Random, sums: Sums) -> None:
        self.ground, self.dice, self.sums = ground, dice, sums
        self.environment = installation(ground, "killed")
        self.mailbox = Mailbox(ground, "killed", doors=3)
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self.kills: Counter[str] = Counter()
        self.books = Books(ground, "killed", sums, READERS)

    # whoever expands

    def kill_expanding(self) -> None:
        """Kill whoever expands at each of its edges; one page or two of 2,000 mails are in the outbox then."""
        for edge, table, mode, is_after in (
            ("freezing", "broadcast_pages", "ACCESS EXCLUSIVE", False),
            ("frozen", "broadcast_pages", "ACCESS EXCLUSIVE", True),
            ("paging", "messages", "SHARE", False),
            ("between pages", "messages", "SHARE", True),
        ):
            expander = self.expander()
            with self._lock(table, mode) as lock:
                if not soon(lambda: self._waiting() >= 1, PATIENCE):
                    raise DrillError(f"whoever expands did not come to {edge}")
                if is_after:
                    self._past(lock, edge, expander)
                else:
                    self._end(expander, edge)
            self.books.look()
        state, candidates, mails = self.books.look()
        is_whole = (state, candidates) == ("expanding", READERS) and mails in {2000, 4000}
        self.sums.expect(is_whole, f"after four kills: {state}, {candidates}, {mails}")

    def expander(self) -> subprocess.Popen[bytes]:
        """Start what the timetable does for broadcasts."""
        return self.ground.start("expander", [PYTHON, "-m", "bench.drills.inside", "expand"], self.environment)

    def _past(self, lock: psycopg.Connection[Any], edge: str, expander: subprocess.Popen[bytes]) -> None:
        """Let it commit what it waits to write, and no further: who asks for the next broadcast reads the streams."""
        with self.ground.connection("killed", autocommit=False) as second:
            asking = threading.Thread(target=second.execute, args=("LOCK TABLE streams IN ACCESS EXCLUSIVE MODE",), daemon=True)
            asking.start()
            wait_for(lambda: self._waiting() >= 2, 10, "the second lock to be asked for")
            lock.rollback()
            asking.join(10)
            if not soon(lambda: self._waiting() >= 1, PATIENCE):
                raise DrillError(f"whoever expands did not come to {edge}")
            self._end(expander, edge)

    def _end(self, process: subprocess.Popen[bytes], edge: str) -> None:
        if process.poll() is not None:
            raise DrillError(f"ended by itself at {edge}: {self.ground.log('expander')[-800:]}")
        process.kill()
        process.wait()
        self.kills[edge] += 1

    # mail workers

    def start(self, door: int) -> None:
        """A worker at a door."""
        environment = {**self.environment, "SMTP_URL": self.mailbox.url(door)}
        self.workers[door] = self.ground.mail_worker(f"worker{door}", environment)

    def kill(self, door: int, edge: str) -> None:
        """SIGKILL, and count."""
        worker = self.workers.pop(door)
        if worker.poll() is not None:
            raise DrillError(f"a worker ended by itself: {self.ground.log(f'worker{door}')[-800:]}")
        worker.kill()
        worker.wait()
        self.kills[edge] += 1
        self.mailbox.tell(go=door)  # what it left standing ends at its closed line

    def at(self, edge: str) -> None:
        """Kill one worker at an edge between two states, and start another in its place."""
        door = self.dice.choice((0, 1))
        if edge in {"claiming", "claimed"}:
            # the statement that claims reads contacts; suppressions reads only who is about to begin, when the claim is committed
            self._before_the_first(edge, "contacts" if edge == "claiming" else "suppressions")
        elif edge == "random":
            self._until_busy(door)
            time.sleep(self.dice.random() * 0.1)
            self.kill(door, edge)
            self.start(door)
        elif edge == "recording":
            self._recording(door)
        else:
            self._at_stage(door, edge)
        self.books.look()

    def stall(self, stage: str) -> None:
        """The server thinks for a while, and goes on."""
        door = self.dice.choice((0, 1))
        self._hold(door, stage)
        time.sleep(STALL)
        self.mailbox.tell(go=door)
        self.books.look()

    def stop(self) -> None:
        """SIGTERM to all, and wait."""
        for worker in self.workers.values():
            worker.terminate()
        for worker in self.workers.values():
            worker.wait(PATIENCE)
        self.workers.clear()

    def _before_the_first(self, edge: str, table: str) -> None:
        with self._lock(table, "ACCESS EXCLUSIVE"):
            self.start(2)
            if not soon(lambda: self._waiting() >= 3, PATIENCE):  # both others come to wait as well
                raise DrillError(f"the third worker did not come to {edge}")
            self.kill(2, edge)

    def _at_stage(self, door: int, edge: str) -> None:
        if edge == "connect":  # greeted only once per connection: the next start will be
            self.kill(door, "random")
            before = self.mailbox.held(door, "connect")
            self.mailbox.tell(hold=[door, "connect"])
            self.start(door)
            if not self.mailbox.wait_until_held(door, "connect", before, PATIENCE):
                raise DrillError("no worker came to connect")
        else:
            self._hold(door, "taken" if edge == "answered" else edge)
        if edge == "answered":  # the answer is on its way, and the worker about to write it down
            self.mailbox.tell(go=door)
            time.sleep(self.dice.random() * 0.004)
        self.kill(door, edge)
        self.start(door)

    def _recording(self, door: int) -> None:
        """The server has said 250, the worker writes it down, and dies before its commit (RFC 1047)."""
        self._hold(door, "taken")
        key = [event for event in self.mailbox.events("taken") if event["door"] == door][-1]["id"]
        with self.ground.connection("killed", autocommit=False) as lock:
            lock.execute("SELECT id FROM messages WHERE message_id = %s FOR UPDATE", (key,))
            self.mailbox.tell(go=door)
            if not soon(lambda: self._waiting() >= 1, PATIENCE):
                raise DrillError("the worker did not come to write down the answer")
            self.kill(door, "recording")
        self.start(door)

    def _hold(self, door: int, stage: str) -> None:
        before = self.mailbox.held(door, stage)
        self.mailbox.tell(hold=[door, stage])
        if not self.mailbox.wait_until_held(door, stage, before, PATIENCE):
            raise DrillError(f"no worker came to {stage}")

    def _until_busy(self, door: int) -> None:
        began = time.monotonic()
        if not soon(lambda: any(event["door"] == door and event["at"] > began for event in self.mailbox.newest()), PATIENCE):
            raise DrillError("no mail came through a door")

    def _waiting(self) -> int:
        """How many wait for a lock; asked by another connection, for PostgreSQL remembers the answer within a transaction."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return int(self.ground.rows("killed", query)[0][0])

    @contextmanager
    def _lock(self, table: str, mode: str) -> Iterator[psycopg.Connection[Any]]:
        with self.ground.connection("killed", autocommit=False) as lock:
            lock.execute(f"LOCK TABLE {table} IN {mode} MODE")  # names of ours
            yield lock


def mail_workers_killed(ground: Ground, dice: random.Random) -> Sums:
    """A broadcast to 10,000, sent by page: whoever expands is killed four times, two mail workers 20 times, at every edge of states."""
    sums = Sums()
    killing = Killing(ground, dice, sums)
    audience(ground, "killed", READERS)
    Marketer(ground, "killed", killing.environment).send_broadcast()
    killing.kill_expanding()
    edges = [*EDGES, *["random"] * (KILLS - len(EDGES) - 1)]  # the edge `connect` kills twice
    dice.shuffle(edges)
    half = len(edges) // 2
    for number, edge in enumerate([*edges[:half], *STALLS, *edges[half:]]):
        if number in {0, half + len(STALLS)}:
            _begin(killing, is_first=number == 0)
        left = max(1, READERS - killing.mailbox.count())
        killing.mailbox.tell(slow=min(0.1, PACE * (len(edges) + 3 - number) / left))
        if half <= number < half + len(STALLS):
            killing.stall(edge)
        else:
            killing.at(edge)
    killing.mailbox.tell(slow=0)
    is_over = killing.books.until_finished(20)
    sums.expect(not is_over, "finished though leases of killed workers cannot have ended")
    ground.travel(LEASE)
    if not killing.books.until_finished(90):
        query = "SELECT state, reason, count(*), min(due_at), max(due_at), max(attempts) FROM messages GROUP BY 1, 2"
        sums.detail["not_settled"] = [[str(part) for part in row] for row in ground.rows("killed", query)]
        sums.detail["workers_said"] = [ground.log(name)[-600:] for name in ("worker0", "worker1", "expander")]
    killing.stop()
    of_workers = killing.kills.total() - sum(killing.kills[edge] for edge in EXPANDING)
    sums.detail |= killing.books.settle(killing.mailbox, may_be_in_doubt=of_workers)
    sums.expect(of_workers == KILLS, f"{of_workers} kills of workers instead of {KILLS}")
    sums.expect(set(killing.kills) == {*EXPANDING, *EDGES, "random"}, f"killed only at {sorted(killing.kills)}")
    sums.detail |= {"kills": dict(killing.kills), "stalls": dict.fromkeys(STALLS, STALL)}
    return sums


def _begin(killing: Killing, *, is_first: bool) -> None:
    """Start the workers; the second time as after a deploy, when the leases of those who were killed have ended."""
    before = killing.mailbox.count()
    if not is_first:
        killing.stop()
        killing.ground.travel(LEASE)
    for door in (0, 1):
        killing.start(door)
    wait_for(lambda: killing.mailbox.count() > before, PATIENCE, "the first mail")
    if is_first:
        killing.expander()
        wait_for(lambda: killing.books.look()[0] == "sending", 30, "the broadcast to be expanded")
