"""A broadcast through a real Postfix, with TLS and a login, to `smtp-sink`, which keeps each mail as a file: the ledger."""

import os
import pwd
import random
import re
import shutil
import time
from collections import Counter

from bench.drills.ground import DrillError, Ground, NotHere, Sums, soon, wait_for
from bench.drills.marketer import OPEN, Books, Marketer, audience, expander
from bench.drills.staff import installation
from bench.processes import PYTHON, end, free_port, start
from tests.certificates import Authority
from tests.postfix import Postfix, why_not

READERS = 2_000
GONE = 9  # of them, whom the relay does not know; of ten the stream would pause itself
STOPS = 2
SENDERS = 2
AT_ONCE = 20  # mails that Postfix hands on at the same time (default_destination_concurrency_limit)
LOGIN = "courseapp:a%20word%20with%20%40%20and%20%3A@"
ID = re.compile(rb"^Message-ID: *(<[^>]+>)", re.MULTILINE | re.IGNORECASE)
NOTED = re.compile(r"postfix/(?:cleanup\[\d+\]: (\w+): message-id=(<[^>]+>)|qmgr\[\d+\]: (\w+): from=)")
"""Where Postfix's log names a mail that comes in, and where it has taken one on (and again after each start)."""


class SmtpSink:
    """Postfix's own sink: takes whatever comes, fast, and writes each mail to a file."""

    def __init__(self, ground: Ground) -> None:
        program = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise NotHere("there is no smtp-sink (Debian: apt-get install postfix)")
        self.folder, self.port = ground.folder / "sunk", free_port()
        self.folder.mkdir(exist_ok=True)
        nobody = pwd.getpwnam("nobody")
        os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        command = [program, "-u", "nobody", "-d", f"{self.folder}/%H%M%S.", f"127.0.0.1:{self.port}", "256"]
        self.process = start(command, ground.folder / "sunk.log", cwd=self.folder)
        ground.processes.append(self.process)

    def taken(self) -> Counter[str]:
        """How often each Message-ID was taken."""
        found = (ID.search(path.read_bytes()[:6000]) for path in self.folder.iterdir())
        return Counter(match[1].decode() for match in found if match is not None)

    def count(self) -> int:
        """How many mails were taken."""
        return sum(1 for _path in self.folder.iterdir())


def real_relay(ground: Ground, dice: random.Random) -> Sums:
    """2,000 mails, two workers, a Postfix that is ended in mid-send and started again, twice."""
    if why := why_not():
        raise NotHere(why)
    sums = Sums()
    environment = installation(ground, "relay")
    sink, books = SmtpSink(ground), Books(ground, "relay", sums, READERS)
    audience(ground, "relay", READERS)
    gone = "UPDATE contacts SET address = replace(address, '@example.org', '@here.example') WHERE address LIKE 'reader%%9@%%' AND id IN " \
           "(SELECT id FROM contacts WHERE address LIKE 'reader%%9@%%' ORDER BY id LIMIT %s) RETURNING id"  # fmt: skip
    sums.expect(len(ground.rows("relay", gone, GONE)) == GONE, "not as many are gone as should be")
    authority = Authority(ground.folder)
    postfix = Postfix(ground.folder / "postfix", sink.port, authority.certificate_for("127.0.0.1"))
    try:
        sent = {**environment, "SMTP_URL": postfix.url("submission", LOGIN), "SMTP_CA_FILE": str(authority.file)}
        Marketer(ground, "relay", environment).send_broadcast()
        expander(ground, "relay-expander", environment)
        wait_for(lambda: books.look()[0] == "sending", 30, "the broadcast to be expanded")
        command = [PYTHON, "-m", "bench.drills.inside", "restless-work"]
        workers = [ground.start(f"relay-{number}", command, sent) for number in range(SENDERS)]
        stopped_after, began = [], time.monotonic()
        for number in range(STOPS):
            until = (number + 1) * READERS // (STOPS + 2) + dice.randrange(READERS // 8)
            wait_for(lambda until=until: _left(ground) >= until, 60, f"{until} mails to leave")
            postfix.stop()
            stopped_after.append(_left(ground))
            time.sleep(0.3 + dice.random())
            postfix.start()
        books.until_finished(60)
        took = time.monotonic() - began
        if not soon(lambda: sink.count() >= ground.states("relay").get("accepted", 0), 30):
            sums.detail["postfix_says"] = postfix.log()[-1500:]
        for worker in workers:
            end(worker)
        _judge(ground, sums, books, sink, _taken_on(postfix.log()))
        sums.detail |= {"postfix_stopped_after": stopped_after, "seconds_through_postfix": round(took, 1)}
        sums.expect(f"sasl_username={LOGIN.partition(':')[0]}" in postfix.log(), "nobody logged in")
        sums.expect("TLS connection established" in postfix.log(), "no line was encrypted")
    finally:
        postfix.stop()
    sums.detail["straight_to_smtp_sink_per_s"] = _speed(ground, environment, sink)
    return sums


def _left(ground: Ground) -> int:
    return ground.states("relay").get("accepted", 0)


def _taken_on(log: str) -> Counter[str]:
    """How often Postfix has taken each mail from us, by its Message-ID."""
    coming, taken = dict[str, str](), Counter[str]()
    for queue_id, message_id, active in NOTED.findall(log):
        if queue_id:
            coming[queue_id] = message_id
        elif active in coming:  # the first time since it came in
            taken[coming.pop(active)] += 1
    return taken


def _judge(ground: Ground, sums: Sums, books: Books, sink: SmtpSink, taken_on: Counter[str]) -> None:
    """Joined with the files, and with what Postfix has taken, by Message-ID.

    A Postfix that is ended hands on once more what it was handing on (it has no answer from the sink); that mail left us once.
    """
    rows = dict(ground.rows("relay", "SELECT message_id, state FROM messages WHERE stream_id = (SELECT stream_id FROM broadcasts)"))
    taken, states = sink.taken(), Counter(rows.values())
    lost = [key for key, state in rows.items() if state in OPEN or (state == "accepted" and key not in taken)]
    sums.lost, sums.uncertain = len(lost), states["uncertain"]
    sums.duplicated = sum(number - 1 for number in taken_on.values())
    again = {key: number - 1 for key, number in taken.items() if number > 1}
    sums.expect(taken_on.keys() >= taken.keys(), "Postfix handed on what its log does not know")
    sums.expect(sum(again.values()) <= STOPS * AT_ONCE, f"{sum(again.values())} handed on twice by Postfix, at {STOPS} stops")
    sums.expect(not lost, f"lost: {Counter(rows[key] for key in lost)}")
    sums.expect(not sums.duplicated, f"{sums.duplicated} sent twice")
    sums.expect(sums.uncertain <= STOPS * SENDERS, f"{sums.uncertain} in doubt after {STOPS} stops with {SENDERS} workers")
    sums.expect(all(rows.get(key) in {"accepted", "uncertain"} for key in taken), "a mail arrived that the outbox does not call sent")
    sums.expect(states["bounced"] == GONE, f"{states['bounced']} of {GONE} unknown addresses came back")
    suppressed = ground.rows("relay", "SELECT count(*) FROM suppressions")[0][0]
    sums.expect(suppressed == GONE, f"{suppressed} of {GONE} unknown addresses are suppressed")
    sums.expect(states.keys() <= {"accepted", "bounced", "uncertain"}, f"the outbox says {states}")
    state, candidates, mails = books.look()
    sums.expect((state, candidates, mails) == ("finished", READERS, READERS), f"{state}, {candidates} candidates, {mails} mails")
    sums.detail |= {"candidates": candidates, "states": dict(states), "arrived": taken.total(), "again_by_postfix": sum(again.values())}


def _speed(ground: Ground, environment: dict[str, str], sink: SmtpSink) -> int:
    """How many mails a second one worker hands to smtp-sink without Postfix: its start is not counted."""
    ground.rows("relay", "UPDATE messages SET state = 'pending', attempts = 0, settled_at = NULL WHERE state = 'accepted' RETURNING id")
    before, count = sink.count(), ground.states("relay")["pending"]
    worker = ground.mail_worker("relay-speed", {**environment, "SMTP_URL": f"smtp://127.0.0.1:{sink.port}"})
    wait_for(lambda: sink.count() > before, 30, "the first mail")
    began, first = time.monotonic(), sink.count()
    if not soon(lambda: sink.count() >= before + count, 60):
        raise DrillError(f"{sink.count() - before} of {count} mails came to smtp-sink")
    took = time.monotonic() - began
    end(worker)
    return round((before + count - first) / took)
