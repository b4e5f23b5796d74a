"""Learners who go on while something is taken away, and what of their work is not there afterwards."""

import time

from bench.drills.browser import Answer, Browser, Crowd
from bench.drills.ground import Ground


class Load(Crowd):
    """Learners who read, start and complete all the time; what was answered, and what had to be in the database then."""

    def __init__(self, port: int, people: int) -> None:
        self.port = port
        self.answers: list[tuple[float, str, Answer]] = []
        self.errors: list[tuple[float, str]] = []
        self.started: set[str] = set()
        self.done: set[tuple[str, str]] = set()
        super().__init__(people)

    def walk(self, number: int) -> None:
        """Learn, again and again."""
        turn = 0
        while not self.over.is_set():
            turn += 1
            address = f"load{number}-{turn}@example.org"
            browser = Browser(self.port, f"10.{number}.{turn // 250}.{turn % 250}")
            try:
                self._one(browser, address)
            except OSError as error:
                self.errors.append((time.monotonic(), repr(error)))
            self.over.wait(0.1)

    def _one(self, browser: Browser, address: str) -> None:
        self._note("GET /", browser.get("/"))
        answer = self._note("POST /start", browser.begin(address))
        if answer.status != 303:
            return
        self.started.add(address)
        page = self._note("GET /learn", browser.get("/learn/introduction"))
        lessons = browser.lessons() if page.status == 200 else []
        for lesson in lessons[:3]:
            answer = self._note("POST completion", browser.complete(lesson))
            if answer.status == 303 and answer.location != "/sign-in":
                self.done.add((address, lesson))

    def _note(self, what: str, answer: Answer) -> Answer:
        self.answers.append((time.monotonic(), what, answer))
        return answer


def missing(ground: Ground, database: str, started: set[str], completed: set[tuple[str, str]]) -> list[str]:
    """What was answered, starts by address and completions by address and lesson, and is not in the database."""
    people = dict(
        ground.rows(
            database,
            "SELECT address, guest_id FROM sign_in_requests JOIN contacts ON contacts.id = contact_id WHERE guest_id IS NOT NULL",
        )
    )
    done = set(ground.rows(database, "SELECT user_id, lessons.public_id FROM completions JOIN lessons ON lessons.id = lesson_id"))
    enrolled = {row[0] for row in ground.rows(database, "SELECT user_id FROM enrolments")}
    lost = [f"start of {address}" for address in started if people.get(address) not in enrolled]
    return lost + [f"{lesson} of {address}" for address, lesson in completed if (people.get(address), lesson) not in done]
