"""The misbehaving mail server as a drill sees it, and what it is to be sent."""

import json
import subprocess
from collections import Counter
from typing import Any

from bench.drills.ground import Ground, soon
from bench.processes import PYTHON, ROOT, start


class Mailbox:
    """The misbehaving mail server's other end, and its ledger."""

    def __init__(self, ground: Ground, name: str, doors: int = 2) -> None:
        self.file = ground.folder / f"{name}.ledger"
        self.file.unlink(missing_ok=True)
        command = [PYTHON, "-m", "bench.drills.sink", str(self.file), str(doors)]
        self.process = start(command, ground.folder / f"{name}-sink.log", cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ground.processes.append(self.process)
        assert self.process.stdout is not None
        self.ports: list[int] = json.loads(self.process.stdout.readline())

    def url(self, door: int = 0) -> str:
        """A door's address for SMTP_URL."""
        return f"smtp://127.0.0.1:{self.ports[door]}"

    def tell(self, **order: Any) -> None:
        """Give an order."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """The ledger so far."""
        lines = self.file.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines if not kind or f'"event": "{kind}"'.encode() in line]

    def taken(self) -> Counter[str]:
        """How often each Message-ID was taken."""
        return Counter(event["id"] for event in self.events("taken"))

    def count(self) -> int:
        """How many mails were taken."""
        return self.file.read_bytes().count(b'"event": "taken"')

    def wait_until_held(self, door: int, stage: str, before: int, seconds: float = 15) -> bool:
        """Wait until something stands still; `before` is how many events of this kind there were."""
        return soon(lambda: sum(event["door"] == door and event["stage"] == stage for event in self.events("held")) > before, seconds)

    def held(self, door: int, stage: str) -> int:
        """How often something stood still there."""
        return sum(event["door"] == door and event["stage"] == stage for event in self.events("held"))


def fill(ground: Ground, database: str, tag: str, count: int, purpose: str = "course", people: int = 0) -> None:
    """`count` due messages to as many confirmed contacts who consented (or to `people` in turn), one transaction."""
    with ground.connection(database) as connection:
        reaches = purpose == "service"
        connection.execute(
            "INSERT INTO streams (key, purpose, reaches_unconfirmed) VALUES (%s, %s, false) ON CONFLICT (key) DO NOTHING",
            (purpose, purpose),
        )
        connection.execute(
            """WITH people AS (
                 INSERT INTO contacts (public_id, address, address_key, address_mac, first_name, zone, language, created_at, confirmed_at)
                 SELECT %(tag)s || n, a, a, md5(a) || md5(a || 'x'), 'Person', 'UTC', 'en', now(), now()
                 FROM generate_series(1, %(people)s) n, LATERAL (SELECT %(tag)s || n || '@example.org') AS x(a) RETURNING id
               ), said AS (
                 INSERT INTO consents (contact_id, purpose, action, wording, source, at)
                 SELECT id, 'course', 'given', 'course-1', 'drill', now() FROM people WHERE NOT %(service)s
               ), numbered AS (
                 SELECT id, row_number() OVER (ORDER BY id) AS n FROM people
               )
               INSERT INTO messages (public_id, dedupe_key, stream_id, contact_id, letter_id, fields, message_id, state, priority, due_at,
                                     lease_epoch, attempts, created_at)
               SELECT %(tag)s || 'm' || m, 'drill:' || %(tag)s || m, (SELECT id FROM streams WHERE key = %(purpose)s), numbered.id,
                      (SELECT id FROM letters WHERE subject = 'Your course: where to begin'),
                      '{"continue_url": "http://127.0.0.1/learn/introduction", "progress_words": "2 of 12 lessons"}',
                      '<' || %(tag)s || m || '@drill.example.org>', 'pending', %(priority)s, now(), 0, 0, now()
               FROM generate_series(0, %(count)s - 1) m JOIN numbered ON numbered.n = m %% %(people)s + 1""",
            {
                "tag": tag,
                "count": count,
                "people": people or count,
                "purpose": purpose,
                "service": reaches,
                "priority": 0 if reaches else 5,
            },
        )
        connection.execute("ANALYZE")
