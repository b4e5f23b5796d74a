"""Whole broadcasts: through lost wake-ups, an emptied Redis and a PostgreSQL that goes; paused, gone on with and cancelled by page."""

import random
import signal
import subprocess
import time
from typing import Any

from bench.drills.ground import LEASE, DrillError, Ground, Sums, soon, wait_for
from bench.drills.mailbox import Mailbox
from bench.drills.marketer import Books, Marketer, audience, expander, until_taken
from bench.drills.schedules import ALL, flush
from bench.drills.staff import installation

STORMY = 10_000
SENDERS = 2
REPEATED = 8
WAKES = (*ALL, "campaigns.work_broadcasts")
OUTAGES = (signal.SIGINT, signal.SIGKILL)


def broadcast_storm(ground: Ground, dice: random.Random) -> Sums:
    """10,000 mails, two beats, two Celery workers; wake-ups lost, repeated, out of order; Redis emptied; PostgreSQL restarted twice."""
    sums = Sums()
    environment = installation(ground, "storm")
    mailbox, books = Mailbox(ground, "storm"), Books(ground, "storm", sums, STORMY)
    audience(ground, "storm", STORMY)
    marketer = Marketer(ground, "storm", environment)

    def start(number: int) -> subprocess.Popen[bytes]:
        own = {**environment, "SMTP_URL": mailbox.url(number)}
        return ground.celery_worker(f"storm-worker-{number}", own, "--concurrency", "1")

    workers = [start(number) for number in range(SENDERS)]
    for number in range(SENDERS):
        ground.beat(f"storm-beat-{number}", environment)
    ground.wake("operations.beat")
    wait_for(lambda: ground.rows("storm", "SELECT 1 FROM heartbeats"), 60, "the first heartbeat")
    mailbox.tell(slow=0.004)  # so that there is a middle
    marketer.send_broadcast()
    flush(ground)  # the wake-up that it sent is lost, unless a worker has it already
    _storm(ground, dice)
    marks = {}
    until_taken(mailbox, 500 + dice.randrange(1000), 120, books.look)
    marks["redis_emptied_after"] = mailbox.count()
    flush(ground)
    _storm(ground, dice)
    until_taken(mailbox, 1800, 120, books.look)
    workers[0].terminate()  # a deploy in mid-send
    sums.expect(workers[0].wait(45) == 0, f"told to end in mid-send, a worker ended with {workers[0].returncode}")
    workers[0] = start(0)
    for at, number in zip((3000, 6000), OUTAGES, strict=True):
        until_taken(mailbox, at + dice.randrange(1000), 120)
        marks[f"{number.name}_after"] = mailbox.count()
        ground.stop_postgresql(number)
        time.sleep(0.5 + dice.random())
        ground.start_postgresql()
        flush(ground)
        _storm(ground, dice)
    until_taken(mailbox, 8000, 120, books.look)
    mailbox.tell(slow=0)
    soon(lambda: not _open(ground) or _stands_still(mailbox), 60)
    marks["open_before_their_lease_ended"] = _open(ground)
    ground.travel(LEASE)
    ground.wake("mailing.reap", "mailing.send_due", "campaigns.work_broadcasts")
    books.until_finished(90)
    sums.detail = {**books.settle(mailbox, may_be_in_doubt=SENDERS * len(OUTAGES)), **marks}
    return sums


def _storm(ground: Ground, dice: random.Random) -> None:
    """Every wake-up there is, many times and in any order."""
    storm = [task for task in WAKES for _ in range(REPEATED)]
    dice.shuffle(storm)
    ground.wake(*storm)


def _open(ground: Ground) -> dict[str, int]:
    return {state: count for state, count in ground.states("storm").items() if state in {"pending", "leased", "submitting"}}


def _stands_still(mailbox: Mailbox) -> bool:
    before = mailbox.count()
    time.sleep(3)
    return mailbox.count() == before


# broadcast_paused

READERS = 3_000
PAUSES = 5
QUIET = 1.5  # seconds in which a worker that did not listen would send dozens


def broadcast_paused(ground: Ground, dice: random.Random) -> Sums:
    """By page: paused five times in mid-send and gone on with, workers replaced meanwhile (a deploy); then another one is cancelled."""
    sums = Sums()
    sending = _Sending(ground, sums)
    sending.begin()
    rounds = [_pause(sending, dice, number) for number in range(PAUSES)]
    until_taken(sending.mailbox, sending.mailbox.count() + 100, 60)
    sums.expect(sending.replace() == [0, 0], "told to end in mid-send, a worker did not end well")
    sending.mailbox.tell(slow=0)
    sending.books.until_finished(60)
    facts = sending.books.settle(sending.mailbox, may_be_in_doubt=0)
    sums.expect(facts["states"] == {"accepted": READERS}, f"resumed, and the outbox says {facts['states']}")
    sums.detail = {**facts, "pauses": rounds, "cancelled": _cancel(sending, dice)}
    return sums


class _Sending:
    """Broadcasts on their way: a web server, whoever expands, two mail workers at a door each."""

    def __init__(self, ground: Ground, sums: Sums) -> None:
        self.ground, self.sums = ground, sums
        self.environment = installation(ground, "paused")
        self.mailbox, self.books = Mailbox(ground, "paused"), Books(ground, "paused", sums, READERS)
        audience(ground, "paused", READERS)
        self.marketer = Marketer(ground, "paused", self.environment)
        expander(ground, "paused-expander", self.environment)
        self.workers = [self.start(door) for door in range(SENDERS)]
        self.path = ""

    def begin(self) -> None:
        """Send a broadcast to all."""
        self.mailbox.tell(slow=0.005)
        self.path = self.marketer.send_broadcast()

    def start(self, door: int) -> subprocess.Popen[bytes]:
        """A worker at a door."""
        return self.ground.mail_worker(f"paused-{door}", {**self.environment, "SMTP_URL": self.mailbox.url(door)})

    def replace(self) -> list[int | None]:
        """SIGTERM to both workers, and two new ones, as a deploy does; how they ended."""
        for worker in self.workers:
            worker.terminate()
        ends = [worker.wait(20) for worker in self.workers]
        self.workers = [self.start(door) for door in range(SENDERS)]
        return ends

    def press(self, choice: str) -> float:
        """Press a button; when it was answered, by the clock of the ledger."""
        self.marketer.press(self.path, choice)
        return time.monotonic()

    def hold(self, stage: str) -> None:
        """Wait until every worker stands in the middle of a mail."""
        before = [self.mailbox.held(door, stage) for door in range(SENDERS)]
        for door in range(SENDERS):
            self.mailbox.tell(hold=[door, stage])
        for door in range(SENDERS):
            if not self.mailbox.wait_until_held(door, stage, before[door]):
                raise DrillError(f"no worker came to {stage}")

    def sent_after(self, moment: float) -> list[int]:
        """How many mails came through each door since."""
        taken = [event["door"] for event in self.mailbox.events("taken") if event["at"] > moment]
        return [taken.count(door) for door in range(SENDERS)]


def _pause(sending: _Sending, dice: random.Random, number: int) -> dict[str, Any]:
    """Pause and go on. Each second time both workers are in the middle of a mail; the other times they are replaced while it is paused."""
    sums, mailbox = sending.sums, sending.mailbox
    until_taken(mailbox, mailbox.count() + 100 + dice.randrange(300), 60, sending.books.look)
    is_held = number % 2 == 0
    if is_held:
        sending.hold("rcpt")
    paused_at = sending.press("pause")
    for door in range(SENDERS):
        mailbox.tell(go=door)
    time.sleep(QUIET)
    after, before = sending.sent_after(paused_at), mailbox.count()
    sums.expect(max(after) <= 1, f"after pause {number + 1} the workers sent {after} more")
    sums.expect(not is_held or after == [1] * SENDERS, f"held in the middle of a mail, the workers sent {after} more")
    ends = [] if is_held else sending.replace()
    sums.expect(ends in ([], [0, 0]), f"told to end while paused, workers ended with {ends}")
    time.sleep(QUIET)
    sums.expect(mailbox.count() == before, f"paused, and {mailbox.count() - before} more were sent")
    sending.books.look()
    sums.expect("paused" in sending.marketer.page(sending.path), "its page does not say that it is paused")
    sending.press("resume")
    return {"sent_before": before, "by_each_worker_after": after, "in_mid_mail": is_held, "workers_replaced": bool(ends)}


def _cancel(sending: _Sending, dice: random.Random) -> dict[str, Any]:
    """Send another one to the same people, and cancel it in the middle."""
    sums, mailbox = sending.sums, sending.mailbox
    sending.begin()
    until_taken(mailbox, READERS + 100 + dice.randrange(600), 60)
    at = sending.press("cancel")
    time.sleep(QUIET)
    after = sending.sent_after(at)
    sums.expect(max(after) <= 1, f"after cancelling the workers sent {after} more")
    soon(lambda: not {"pending", "leased", "submitting"} & sending.ground.states("paused").keys(), 30)
    facts = sending.books.settle(mailbox, may_be_in_doubt=0, end="cancelled")
    sums.expect(facts["states"].keys() == {"accepted", "cancelled"}, f"cancelled, and the outbox says {facts['states']}")
    return {**facts, "by_each_worker_after": after}
