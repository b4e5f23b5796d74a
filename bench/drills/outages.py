"""Redis gone, PostgreSQL gone: what pages answer meanwhile, and that everything goes on by itself."""

import random
import signal
import time
from collections import Counter
from typing import Any

from bench.drills.browser import Answer, Browser, Crowd
from bench.drills.ground import LEASE, Ground, Sums, soon, wait_for
from bench.drills.mailbox import Mailbox
from bench.processes import free_port

# Redis


def redis_gone(ground: Ground, dice: random.Random) -> Sums:
    """Production mode; Redis is killed and comes back. Web, worker and beat are never restarted."""
    sums = Sums()
    ground.database("redis")
    mailbox = Mailbox(ground, "redis", doors=1)
    port = free_port()
    environment = ground.environment("redis", port, SMTP_URL=mailbox.url(), REDIS_URL=ground.start_redis())
    web = ground.web("redis-web", environment)
    worker = ground.celery_worker("redis-worker", environment)
    beat = ground.beat("redis-beat", environment)
    started: list[str] = []

    def start(network: str) -> Answer:
        address = f"redis{len(started)}@example.org"
        answer = Browser(port, network).begin(address)
        if answer.status == 303:
            started.append(address)
        return answer

    reader = Browser(port, "10.1.0.1")
    sums.expect(reader.begin().status == 303, "a guest could not begin")
    lesson = reader.lessons()[0]
    start("10.1.0.2")
    wait_for(lambda: mailbox.count() == 1, 30, "the first mail, with Redis there")
    end_of = signal.SIGKILL if dice.random() < 0.5 else signal.SIGTERM
    ground.stop_redis(end_of)
    pages = ["/", "/start", f"/lessons/{lesson}", "/learn/introduction", "/learn/introduction/progress", "/sign-in", "/healthz"]
    answers: list[tuple[str, int, float]] = []
    for number in range(70):
        page = pages[number % len(pages)]
        answer = reader.get(page)
        answers.append((page, answer.status, answer.seconds))
    begun = []
    for number in range(8):
        answer = start(f"10.2.0.{number}")
        begun.append(answer.seconds)
        sums.expect(answer.status == 303, f"POST /start answered {answer.status} without Redis")
    times = sorted(seconds for _page, _status, seconds in answers)
    wrong = Counter((page, status) for page, status, _seconds in answers if status != 200)
    sums.expect(not wrong, f"without Redis: {dict(wrong)}")
    p95 = times[int(0.95 * len(times))]
    sums.expect(p95 < 1.5, f"p95 of pages without Redis is {p95:.2f} s")
    sums.expect(sorted(begun)[-2] < 1.5, f"POST /start took {sorted(begun)} s without Redis")
    sums.detail["without_redis"] = {
        "pages": len(answers),
        "p95_s": round(p95, 3),
        "most_s": round(times[-1], 3),
        "start_s": round(max(begun), 3),
    }
    _limits(port, sums)
    ready = Browser(port).get("/readyz")
    sums.expect(ready.status == 503 and "cannot be reached" in ready.text, f"/readyz says {ready.status} {ready.text}")
    rows = ground.rows("redis", "SELECT count(*) FROM messages JOIN contacts ON contacts.id = contact_id WHERE address LIKE 'redis%%'")[0][
        0
    ]
    sums.expect(rows == len(started), f"{rows} rows in the outbox for {len(started)} answered starts")
    ground.drain(environment)
    sums.expect(_whose(mailbox) >= set(started), f"flask mail work sent {len(_whose(mailbox))} of {len(started)}")
    time.sleep(dice.random() * 5)
    beat.terminate()  # ticks would hide whether wake-ups travel
    beat.wait(15)
    ground.start_redis()
    back = _until_woken(mailbox, start, sums)
    sums.detail["wake_ups_travel_again_after_s"] = back
    for process, name in ((web, "web"), (worker, "worker")):
        sums.expect(process.poll() is None, f"{name} ended: {ground.log(f'redis-{name}')[-600:]}")
    soon(lambda: Browser(port).get("/readyz").text.count("wake-ups can travel") == 1, 5)
    sums.expect("wake-ups can travel" in Browser(port).get("/readyz").text, "/readyz does not see Redis again")
    _judge_redis(ground, mailbox, started, sums)
    sums.detail["killed_by"] = end_of.name
    return sums


def _limits(port: int, sums: Sums) -> None:
    """Six mails to one address within a minute: the sixth is refused, with words and a time."""
    found = []
    for number in range(7):
        found.append(Browser(port, f"10.3.0.{number}").begin("often@example.org"))
    statuses = [answer.status for answer in found]
    sums.expect(429 in statuses and statuses[:3] == [303] * 3, f"the limit for one address answered {statuses} without Redis")
    refused = next((answer for answer in found if answer.status == 429), None)
    sums.expect(refused is None or "retry-after" in refused.headers, "a 429 without Retry-After")
    sums.detail["limit_without_redis"] = statuses


def _until_woken(mailbox: Mailbox, start: Any, sums: Sums) -> float | None:
    """Nothing ticks: only a wake-up of the web process makes the worker send. How long until one came through."""
    began = time.monotonic()
    for number in range(30):
        before = _whose(mailbox)
        start(f"10.4.0.{number}")
        if soon(lambda before=before: len(_whose(mailbox)) > len(before), 1.5):
            return round(time.monotonic() - began, 1)
    sums.expect(False, "45 s after Redis came back no wake-up had travelled")
    return None


def _whose(mailbox: Mailbox) -> set[str]:
    return {event["to"] for event in mailbox.events("taken")}


def _judge_redis(ground: Ground, mailbox: Mailbox, started: list[str], sums: Sums) -> None:
    soon(lambda: _whose(mailbox) >= set(started), 15)
    got = Counter(event["to"] for event in mailbox.events("taken") if event["to"].startswith("redis"))
    sums.lost = len(set(started) - got.keys())
    sums.duplicated = sum(number - 1 for number in got.values())
    soon(lambda: ground.states("redis").keys() == {"accepted"}, 10)  # the last answer may not be written down yet
    states = ground.states("redis")
    sums.uncertain = states.get("uncertain", 0) + states.get("submitting", 0)
    sums.expect(not sums.lost, f"{sums.lost} of {len(started)} sign-in mails never came")
    sums.expect(not sums.duplicated, f"{sums.duplicated} came twice")
    sums.expect(states.keys() == {"accepted"}, f"the outbox says {states}")
    sums.detail["mails"] = got.total()


# PostgreSQL


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


def missing(ground: Ground, database: str, load: Load) -> list[str]:
    """What was answered and is not in the database."""
    people = dict(
        ground.rows(
            database,
            "SELECT address, guest_id FROM sign_in_requests JOIN contacts ON contacts.id = contact_id WHERE guest_id IS NOT NULL",
        )
    )
    done = set(ground.rows(database, "SELECT user_id, lessons.public_id FROM completions JOIN lessons ON lessons.id = lesson_id"))
    enrolled = {row[0] for row in ground.rows(database, "SELECT user_id FROM enrolments")}
    lost = [f"start of {address}" for address in load.started if people.get(address) not in enrolled]
    return lost + [f"{lesson} of {address}" for address, lesson in load.done if (people.get(address), lesson) not in done]


def postgresql_gone(ground: Ground, dice: random.Random) -> Sums:
    """PostgreSQL goes under load and comes back, twice (once at its own pace, once by SIGKILL). Nothing is restarted."""
    sums = Sums()
    ground.database("gone")
    mailbox = Mailbox(ground, "gone", doors=1)
    port = free_port()
    environment = ground.environment("gone", port, SMTP_URL=mailbox.url(), REDIS_URL=ground.start_redis())
    web = ground.web("gone-web", environment)
    worker = ground.celery_worker("gone-worker", environment)
    alone = ground.mail_worker("gone-alone", environment)
    ground.beat("gone-beat", environment)
    reader = Browser(port, "10.9.0.1")
    reader.begin()
    lesson = reader.lessons()[0]
    ground.wake("operations.beat")
    wait_for(lambda: ground.rows("gone", "SELECT 1 FROM heartbeats"), 40, "the first heartbeat")
    load = Load(port, 4)
    wait_for(lambda: len(load.done) > 20, 40, "some load")
    for number in (signal.SIGINT, signal.SIGKILL):
        _outage(ground, dice, number, port, reader, lesson, load, mailbox, sums)
    load.stop()
    sums.expect(not load.errors, f"not answered at all: {load.errors[:3]}")
    _judge_answers(load, sums)
    _judge_database(ground, mailbox, load, sums, environment)
    for process, name in ((web, "web"), (worker, "worker"), (alone, "alone")):
        sums.expect(process.poll() is None, f"{name} ended: {ground.log(f'gone-{name}')[-600:]}")
    return sums


def _outage(
    ground: Ground,
    dice: random.Random,
    number: signal.Signals,
    port: int,
    reader: Browser,
    lesson: str,
    load: Load,
    mailbox: Mailbox,
    sums: Sums,
) -> None:
    time.sleep(dice.random())
    ground.stop_postgresql(number)
    shown = Counter[str]()
    for path in (
        f"/lessons/{lesson}",
        "/learn/introduction",
        "/learn/introduction/progress",
        "/learn/introduction/copy.pdf",
        "/start",
        "/sign-in",
    ):
        answer = reader.get(path)
        shown[f"{path.replace(lesson, '…')} {answer.status}"] += 1
        if path.startswith(("/lessons", "/learn")):
            sums.expect(answer.status == 503, f"{path} answered {answer.status} without a database")
    alive, ready = Browser(port).get("/healthz"), Browser(port).get("/readyz")
    sums.expect(alive.status == 200, f"/healthz says {alive.status} without a database")
    sums.expect(ready.status == 503 and "does not answer" in ready.text, f"/readyz says {ready.status} {ready.text}")
    time.sleep(1 + dice.random() * 2)
    ground.start_postgresql()
    at = time.monotonic()
    back = reader.get(f"/lessons/{lesson}")
    sums.expect(back.status == 200, f"the first page after the return answered {back.status}")
    before, mails = len(load.done), mailbox.count()
    sums.expect(soon(lambda: len(load.done) > before + 10, 20), "completions did not go on")
    sums.expect(soon(lambda: mailbox.count() > mails, 20), "the worker did not go on")
    later = [answer.status for moment, _what, answer in list(load.answers) if moment - answer.seconds > at]
    sums.expect(not any(status >= 500 for status in later), f"pages asked for after the return answered {Counter(later)}")
    sums.detail[f"{number.name}"] = {
        "shown": dict(shown),
        "ready": ready.text.strip()[:300],
        "first_page_after_return_s": round(back.seconds, 2),
    }


TRACES = ("Traceback", "psycopg", "sqlalchemy", "SELECT ", 'File "')


def _judge_answers(load: Load, sums: Sums) -> None:
    statuses: Counter[str] = Counter()
    for _moment, what, answer in load.answers:
        statuses[f"{what} {answer.status}"] += 1
        if answer.status == 503:
            sums.expect("retry-after" in answer.headers, f"{what}: a 503 without Retry-After")
            sums.expect("cannot reach our records" in answer.text, f"{what}: a 503 without words: {answer.text[:200]}")
        else:
            sums.expect(answer.status in {200, 303}, f"{what} answered {answer.status} {answer.location}: {answer.text[:300]}")
        trace = [word for word in TRACES if word in answer.text]
        sums.expect(not trace, f"{what}: the page says {trace}")
    away = sum(number for words, number in statuses.items() if words.endswith("503"))
    sums.expect(away > 0, "nobody met the outage, so this showed nothing")
    slowest = max(answer.seconds for _moment, _what, answer in load.answers)
    sums.expect(slowest < 12, f"a page took {slowest:.1f} s")
    sums.detail |= {"answers": dict(sorted(statuses.items())), "slowest_s": round(slowest, 2)}


def _judge_database(ground: Ground, mailbox: Mailbox, load: Load, sums: Sums, environment: dict[str, str]) -> None:
    lost = missing(ground, "gone", load)
    sums.lost = len(lost)
    sums.expect(not lost, f"answered and not in the database: {lost[:5]}")
    soon(lambda: "pending" not in ground.states("gone"), 20)
    doubtful = ground.states("gone").get("submitting", 0)  # on its way when the database went; service mail is then sent again
    sums.detail["open_before_their_lease_ended"] = {state: n for state, n in ground.states("gone").items() if state != "accepted"}
    ground.travel(LEASE)
    ground.drain(environment)
    soon(lambda: ground.states("gone").keys() == {"accepted"}, 20)
    states = ground.states("gone")
    got = Counter(event["to"] for event in mailbox.events("taken"))
    unsent = [address for address in load.started if address not in got]
    again = sum(number - 1 for number in got.values())
    sums.uncertain = doubtful
    sums.duplicated = max(0, again - doubtful)
    sums.lost += len(unsent)
    sums.expect(doubtful <= 6, f"{doubtful} in doubt after two outages and three senders")
    sums.expect(not unsent, f"{len(unsent)} sign-in mails never came")
    sums.expect(again <= doubtful, f"{again} mails came twice, {doubtful} were in doubt")
    sums.expect(states.keys() == {"accepted"}, f"the outbox says {states}")
    sums.detail |= {
        "states": states,
        "started": len(load.started),
        "completed": len(load.done),
        "mails": got.total(),
        "sent_again_after_a_doubt": again,
    }
