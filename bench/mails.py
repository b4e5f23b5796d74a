"""Rows of mail: outbox_vs_building and outbox_vs_prebuilt.

The outbox end to end (claim, render, SMTP, record), two worker processes on PostgreSQL, against two plain loops of one
process each that know nothing of a database: one builds every mail with `EmailMessage` and Jinja, one sends bytes built
beforehand. All send to the same sink, in turn, and count from the first mail the sink took to the last.
"""

import json
import secrets
import sys
import time
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from smtplib import SMTP
from typing import Any

from jinja2 import Environment

from bench.harness import Ground, middle
from bench.processes import PYTHON, cpu_ms, end, start
from bench.result import Plan, Row

WORKERS = 2
LETTER = (Path(__file__).parent.parent / "content" / "sequences" / "first-week" / "1.md").read_text().split("\n---\n", 1)[1].strip()
# The plain loop's templates: the letter as it looks once rendered, with its styles inlined, so that the loop has no
# Markdown and no CSS to do.
TEXT = LETTER.replace("[Continue the course]({{ continue_url }})", "Continue the course:\n{{ continue_url }}") + (
    "\n\n-- \nYou get this because you asked for mails with your course.\nStop these mails: {{ unsubscribe_url }}\n"
)
STYLE = "margin:0 0 18px;font-family:Georgia,serif;font-size:17px;line-height:1.6;color:#1d2430"
HTML = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{{ subject }}</title></head><body style="margin:0;padding:0">'
    '<div style="max-width:560px;margin:0 auto;padding:32px 20px"><p style="font-size:19px">{{ site }}</p>'
    + "".join(f'<p style="{STYLE}">{part}</p>' for part in TEXT.split("\n\n"))
    + "</div></body></html>"
)


class Mails:
    """The outbox against the plain loops, in alternation."""

    def __init__(self, ground: Ground, plan: Plan) -> None:
        self.ground, self.plan = ground, plan
        self.ground.database("mails", "small")

    def rows(self) -> list[Row]:
        """Both rows, of one run."""
        rounds = 1 if self.plan.quick else 2
        found: dict[str, list[dict[str, float]]] = {"outbox": [], "building": [], "prebuilt": []}
        for _ in range(rounds):
            found["outbox"].append(self._outbox())
            found["building"].append(self._loop("building", self.plan.mails // 2))
            found["prebuilt"].append(self._loop("prebuilt", self.plan.mails * 2))
        rates = {name: [each["per_second"] for each in rows] for name, rows in found.items()}
        detail: dict[str, Any] = {
            "workers": WORKERS,
            "mails_of_outbox": self.plan.mails,
            **{f"{name}_per_s": middle(values, 0) for name, values in rates.items()},
            **{f"{name}_cpu_ms_per_mail": middle([each["cpu_ms"] for each in rows]) for name, rows in found.items()},
            "outbox_database_cpu_ms_per_mail": middle([each["db_cpu_ms"] for each in found["outbox"]]),
            "mail_bytes": {name: middle([each["bytes"] for each in rows], 0) for name, rows in found.items()},
            "rounds": found,
        }
        answers = []
        for name, other, goal in (("outbox_vs_building", "building", 3.0), ("outbox_vs_prebuilt", "prebuilt", 0.12)):
            value = middle([a / b for a, b in zip(rates["outbox"], rates[other], strict=True)], 3)
            answers.append(Row(name, value, f"× {other} loop", f">= {goal:g}", value >= goal, detail))
        return answers

    def _outbox(self) -> dict[str, float]:
        count = self.plan.mails
        self._fill(count)
        self.ground.new_sink()
        environment = self.ground.environment("mails")
        command = [PYTHON, "-m", "flask", "--app", "courseapp", "mail", "work", "--drain"]
        db = cpu_ms(self.ground.postgresql.process.pid) if self.ground.postgresql.process else 0.0
        workers = [start(command, self.ground.folder / "worker.log", cwd=self.ground.folder, env=environment) for _ in range(WORKERS)]
        own = 0.0
        try:
            while any(worker.poll() is None for worker in workers):
                reading = sum(cpu_ms(worker.pid) for worker in workers if worker.poll() is None)
                own = max(own, reading)
                time.sleep(0.05)
        finally:
            for worker in workers:
                end(worker)
        db = (cpu_ms(self.ground.postgresql.process.pid) if self.ground.postgresql.process else 0.0) - db
        facts = self._settled(count)
        with self.ground.connection("mails") as connection:
            states = dict(connection.execute("SELECT state, count(*) FROM messages GROUP BY state").fetchall())
        if states != {"accepted": count}:
            raise RuntimeError(f"the outbox ended as {states}, of {count}; {(self.ground.folder / 'worker.log').read_text()[-1500:]}")
        return self._rate(facts, own) | {"db_cpu_ms": db / count}

    def _loop(self, kind: str, count: int) -> dict[str, float]:
        self.ground.new_sink()
        said = self.ground.run(
            [PYTHON, "-m", "bench.mails", kind, str(self.ground.port_of_sink), str(count)], self.ground.environment("mails")
        )
        return self._rate(self._settled(count), float(said))

    def _rate(self, facts: dict[str, float], cpu: float) -> dict[str, float]:
        return {
            "per_second": (facts["count"] - 1) / (facts["last"] - facts["first"]),
            "cpu_ms": cpu / facts["count"],
            "bytes": facts["bytes"] / facts["count"],
        }

    def _sunk(self) -> dict[str, float]:
        try:
            found: dict[str, float] = json.loads(self.ground.sink_file.read_text())
            return found
        except (FileNotFoundError, ValueError):
            return {}

    def _settled(self, count: int) -> dict[str, float]:
        """What the sink counted, once it has counted all; each mail went to somebody else."""
        for _ in range(50):
            facts = self._sunk()
            if facts.get("count") == count:
                break
            time.sleep(0.1)
        if facts.get("count") != count or facts.get("distinct") != count:
            raise RuntimeError(f"the sink took {facts}, of {count}")
        return facts

    def _fill(self, count: int) -> None:
        """`count` due messages of one letter to as many confirmed contacts who consented; written in bulk, as nothing here is measured."""
        with self.ground.connection("mails") as connection:
            connection.execute("DELETE FROM messages")
            letter = connection.execute(
                "SELECT letter_id FROM sequence_steps JOIN letters ON letters.id = letter_id WHERE subject = 'Your course: where to begin'"
            ).fetchone()
            assert letter is not None
            tag = secrets.token_hex(3)
            connection.execute(
                "INSERT INTO streams (key, purpose, reaches_unconfirmed) VALUES ('course', 'course', false) ON CONFLICT (key) DO NOTHING"
            )
            connection.execute(
                """WITH people AS (
                     INSERT INTO contacts (public_id, address, address_key, address_mac, first_name, zone, language, created_at,
                                           confirmed_at)
                     SELECT %(tag)s || n, a, a, md5(a) || md5(a || 'x'), 'Person', 'UTC', 'en', now(), now()
                     FROM generate_series(1, %(count)s) n, LATERAL (SELECT 'p' || %(tag)s || n || '@example.org') AS x(a) RETURNING id
                   ), said AS (
                     INSERT INTO consents (contact_id, purpose, action, wording, source, at)
                     SELECT id, 'course', 'given', 'course-1', 'bench', now() FROM people
                   )
                   INSERT INTO messages (public_id, dedupe_key, stream_id, contact_id, letter_id, fields, message_id, state, priority,
                                         due_at, lease_epoch, attempts, created_at)
                   SELECT %(tag)s || id, 'bench:' || id, (SELECT id FROM streams WHERE key = 'course'), id, %(letter)s,
                          '{"continue_url": "http://127.0.0.1/learn/introduction", "progress_words": "2 of 12 lessons"}',
                          '<' || id || '.' || %(tag)s || '@example.org>', 'pending', 5, now(), 0, 0, now() FROM people""",
                {"tag": tag, "count": count, "letter": letter[0]},
            )
            connection.execute("VACUUM ANALYZE")


def built(number: int, text: Any, html: Any) -> EmailMessage:
    """A mail as one would write it plainly: two Jinja templates, an EmailMessage."""
    values = {
        "first_name": "Person",
        "continue_url": "http://127.0.0.1/learn/introduction",
        "unsubscribe_url": f"http://127.0.0.1/mail/unsubscribe/{number}.{'x' * 60}",
        "subject": "Your course: where to begin",
        "site": "Your course",
    }
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = values["subject"], "Your course <course@example.org>", f"p{number}@example.org"
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="example.org")
    mail["List-Unsubscribe"] = f"<{values['unsubscribe_url']}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(text.render(values))
    mail.add_alternative(html.render(values), subtype="html")
    return mail


def loop(kind: str, port: int, count: int) -> None:
    """One of the plain loops; prints the CPU milliseconds of sending (and building)."""
    environment = Environment(autoescape=True)
    plain = Environment(autoescape=False)
    text, html = plain.from_string(TEXT), environment.from_string(HTML)
    ready = [bytes(built(1, text, html))] if kind == "prebuilt" else []
    with SMTP("127.0.0.1", port) as connection:
        connection.ehlo()
        began = time.process_time()
        for number in range(count):
            content = ready[0] if ready else bytes(built(number, text, html))
            connection.sendmail("course@example.org", [f"p{number}@example.org"], content)
        print(1000 * (time.process_time() - began))


if __name__ == "__main__":
    loop(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
