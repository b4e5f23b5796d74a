"""A marketer at a browser, whom a broadcast is for, and what became of it: for drills of whole broadcasts."""

import re
import subprocess
from collections import Counter
from collections.abc import Callable
from typing import Any

from bench.drills.ground import DrillError, Ground, Sums, soon, wait_for
from bench.drills.mailbox import Mailbox
from bench.drills.staff import Staff, words_of
from bench.processes import PYTHON

OPEN = ("pending", "leased", "submitting")
LETTER = {
    "title": "A drill",
    "purpose": "marketing",
    "segment": "",
    "language": "en",
    "subject": "What comes next",
    "preheader": "Two courses more",
    "body": 'Hello {{ first_name | default("there") }},\r\n\r\nthere are two courses more.',
    "window_start": "00:00",
    "window_end": "00:00",
    "version": "1",
}


class Marketer(Staff):
    """Writes a broadcast, sends it, and presses its buttons."""

    def __init__(self, ground: Ground, database: str, environment: dict[str, str]) -> None:
        super().__init__(ground, database, environment, "marketer")

    def send_broadcast(self) -> str:
        """Write a broadcast to everybody who agreed, and have it sent now; the path of its page."""
        new = "/staff/mail/broadcasts/new"
        path = self._pressed(new, new, **LETTER)
        seen = re.search(r'name="seen" value="([^"]*)"', self.browser.get(f"{path}/look").text)
        if seen is None:
            raise DrillError("the page from which a broadcast is sent does not say what it shows")
        self._pressed(path, f"{path}/send", when="now", seen=seen[1])
        return path

    def press(self, path: str, choice: str) -> None:
        """Press a button of its page."""
        self._pressed(path, f"{path}/act", choice=choice, sure="1")

    def page(self, path: str) -> str:
        """What its page says."""
        return words_of(self.browser.get(path))

    def _pressed(self, page: str, path: str, **fields: str) -> str:
        answer = self.browser.post(path, csrf_token=self.browser.get(page).token, **fields)
        if answer.status != 303:
            raise DrillError(f"{path} was answered {answer.status}: {words_of(answer)[:300]}")
        return answer.location


def audience(ground: Ground, database: str, count: int) -> None:
    """So many confirmed people who agreed to marketing mail, in one transaction."""
    with ground.connection(database) as connection:
        connection.execute(
            """WITH people AS (
                 INSERT INTO contacts (public_id, address, address_key, address_mac, first_name, zone, language, created_at, confirmed_at)
                 SELECT 'reader' || n, a, a, md5(a) || md5(a || 'x'), 'Person', 'UTC', 'en', now(), now()
                 FROM generate_series(1, %s) n, LATERAL (SELECT 'reader' || n || '@example.org') AS x(a) RETURNING id
               )
               INSERT INTO consents (contact_id, purpose, action, wording, source, at)
               SELECT id, 'marketing', 'given', 'marketing-1', 'drill', now() FROM people""",
            (count,),
        )
        connection.execute("ANALYZE")


def expander(ground: Ground, name: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process that does for broadcasts what the timetable does, without Celery."""
    return ground.start(name, [PYTHON, "-m", "bench.drills.inside", "expand"], environment)


class Books:
    """The sums of the newest broadcast of a database, looked at as often as one likes: they hold at any moment."""

    def __init__(self, ground: Ground, database: str, sums: Sums, count: int) -> None:
        self.ground, self.database, self.sums, self.count, self.looks = ground, database, sums, count, 0
        self.erased = 0  # who is erased before their page came gets no mail; a mail that is there stays counted

    def look(self) -> tuple[str, int, int]:
        """Its state, how many it is for, and how many mails of it there are; in one statement, so of one moment."""
        state, candidates, waiting, mails = self.ground.rows(
            self.database,
            """SELECT state, candidates, (SELECT coalesce(sum(people), 0) FROM broadcast_pages WHERE broadcast_id = broadcasts.id),
                      (SELECT count(*) FROM messages WHERE messages.stream_id = broadcasts.stream_id)
               FROM broadcasts ORDER BY id DESC LIMIT 1""",
        )[0]
        self.looks += 1
        adds_up = candidates - self.erased <= waiting + mails <= candidates
        self.sums.expect(adds_up, f"{state}: {candidates} candidates, {waiting} waiting, {mails} mails, {self.erased} erased")
        is_whole = state in {"sending", "finished", "cancelled"}
        self.sums.expect(not is_whole or mails == candidates, f"{state}: {mails} mails for {candidates} candidates")
        return state, candidates, mails

    def until_finished(self, seconds: float) -> bool:
        """Whether it comes to be finished in time."""
        return soon(lambda: self.look()[0] == "finished", seconds)

    def settle(self, mailbox: Mailbox, *, may_be_in_doubt: int, end: str = "finished") -> dict[str, Any]:
        """At the end: joined with the ledger by Message-ID and by recipient; the facts, among them how many mails stand in each state."""
        sums = self.sums
        state, candidates, mails = self.look()
        sums.expect(state == end, f"the broadcast is {state} and not {end}")
        sums.expect(candidates == mails == self.count, f"{candidates} candidates and {mails} mails for {self.count} people")
        rows = self.ground.rows(
            self.database,
            "SELECT message_id, address, messages.state FROM messages JOIN contacts ON contacts.id = contact_id "
            "WHERE stream_id = (SELECT stream_id FROM broadcasts ORDER BY id DESC LIMIT 1)",
        )
        own, states = {row[0] for row in rows}, Counter(row[2] for row in rows)
        events = [event for event in mailbox.events("taken") if event["id"] in own]
        taken, reached = Counter(event["id"] for event in events), Counter(event["to"] for event in events)
        lost = [row for row in rows if row[2] in OPEN or (row[2] == "accepted" and row[0] not in taken)]
        hidden = [row for row in rows if row[0] in taken and row[2] not in {"accepted", "uncertain"}]
        sums.lost += len(lost)
        sums.uncertain += states["uncertain"]
        sums.duplicated += max(sum(number - 1 for number in taken.values()), sum(number - 1 for number in reached.values()))
        sums.expect(not lost, f"lost: {Counter(row[2] for row in lost)}")
        sums.expect(not hidden, f"taken by the server, but {Counter(row[2] for row in hidden)} in the outbox")
        known = {row[0] for row in self.ground.rows(self.database, "SELECT message_id FROM messages")}
        sums.expect(mailbox.taken().keys() <= known, "the server took mails that no row knows")
        sums.expect(sums.duplicated == 0, f"{sums.duplicated} sent twice")
        sums.expect(states["uncertain"] <= may_be_in_doubt, f"{states['uncertain']} in doubt, and no more than {may_be_in_doubt} may be")
        sums.expect(states.total() == candidates, f"{states} are not {candidates}")
        doubtful = [row[0] for row in rows if row[2] == "uncertain"]
        return {
            "candidates": candidates,
            "states": dict(states),
            "in_doubt_and_taken": sum(key in taken for key in doubtful),
            "in_doubt_and_not_taken": sum(key not in taken for key in doubtful),
            "taken": taken.total(),
            "times_the_sums_were_looked_at": self.looks,
        }


def until_taken(mailbox: Mailbox, count: int, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Wait until so many mails are taken; raises DrillError with how many there are."""

    def are_there() -> bool:
        meanwhile()
        return mailbox.count() >= count

    try:
        wait_for(are_there, seconds, f"{count} mails")
    except DrillError as error:
        raise DrillError(f"{error}; there are {mailbox.count()}") from None
