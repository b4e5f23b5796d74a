"""Redis gone, PostgreSQL gone: what pages answer meanwhile, and that everything goes on by itself."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from bench.drills.browser import Answer, Browser
from bench.drills.ground import LEASE, Ground, Sums, soon, wait_for
from bench.drills.learners import Load, missing
from bench.drills.mailbox import Mailbox
from bench.processes import free_port

# Redis


def redis_gone(ground: Ground, dice: random.Random) -> Sums:
    """Production mode, under load; Redis ends by SIGKILL and comes back at its address. Web, worker and beat are never restarted."""
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

    reader = Browser(port, "10.101.0.1")
    sums.expect(reader.begin().status == 303, "a guest could not begin")
    start("10.101.0.2")
    wait_for(lambda: mailbox.count() == 1, 30, "the first mail, with Redis there")
    load = Load(port, 3)
    wait_for(lambda: len(load.done) > 20, 40, "some load")
    time.sleep(dice.random())
    ground.stop_redis(signal.SIGKILL)
    gone_at = time.monotonic()
    _pages_without_redis(reader, start, sums)
    _limits(port, sums)
    ready = Browser(port).get("/readyz")
    sums.expect(ready.status == 503 and "cannot be reached" in ready.text, f"/readyz says {ready.status} {ready.text}")
    _mail_without_redis(ground, mailbox, started, environment, sums)
    time.sleep(dice.random() * 5)
    beat.terminate()  # ticks would hide whether wake-ups travel
    beat.wait(15)
    waiting = ground.states("redis").get("pending", 0)
    sums.expect(waiting > 0, "no mail waited for Redis, so its return showed nothing")
    ground.start_redis()
    back_at = time.monotonic()
    back = _until_woken(mailbox, start, sums)
    sums.detail |= {"waiting_when_redis_came_back": waiting, "wake_ups_travel_again_after_s": back}
    load.stop()
    _judge_load(load, gone_at, back_at, sums)
    for process, name in ((web, "web"), (worker, "worker")):
        sums.expect(process.poll() is None, f"{name} ended: {ground.log(f'redis-{name}')[-600:]}")
    soon(lambda: Browser(port).get("/readyz").text.count("wake-ups can travel") == 1, 5)
    sums.expect("wake-ups can travel" in Browser(port).get("/readyz").text, "/readyz does not see Redis again")
    _judge_redis(ground, mailbox, load, {*started, *load.started}, sums)
    sums.detail["killed_by"] = "SIGKILL"
    return sums


def _pages_without_redis(reader: Browser, start: Callable[[str], Answer], sums: Sums) -> None:
    """A reader's pages and eight starts, beside the load."""
    pages = [
        "/",
        "/start",
        f"/lessons/{reader.lessons()[0]}",
        "/learn/introduction",
        "/learn/introduction/progress",
        "/sign-in",
        "/healthz",
    ]
    answers = [(page, reader.get(page)) for page in pages * 10]
    begun = [start(f"10.102.0.{number}") for number in range(8)]
    wrong = Counter((page, answer.status) for page, answer in answers if answer.status != 200)
    wrong.update(("POST /start", answer.status) for answer in begun if answer.status != 303)
    sums.expect(not wrong, f"without Redis: {dict(wrong)}")
    p95 = _p95(answer.seconds for _page, answer in answers)
    sums.expect(p95 < 1.5, f"p95 of pages without Redis is {p95:.2f} s")
    times = sorted(answer.seconds for answer in begun)
    sums.expect(times[-2] < 1.5, f"POST /start took {times} s without Redis")
    most = max(answer.seconds for _page, answer in answers)
    sums.detail["without_redis"] = {"pages": len(answers), "p95_s": p95, "most_s": round(most, 3), "start_s": round(times[-1], 3)}


def _p95(seconds: Iterable[float]) -> float:
    times = sorted(seconds)
    return round(times[int(0.95 * len(times))], 3)


def _mail_without_redis(ground: Ground, mailbox: Mailbox, started: list[str], environment: dict[str, str], sums: Sums) -> None:
    """Mail waits in the outbox and is given up nowhere; `flask mail work` needs no Redis to send it."""
    query = "SELECT count(*) FROM messages JOIN contacts ON contacts.id = contact_id WHERE address LIKE 'redis%%'"
    rows = ground.rows("redis", query)[0][0]
    sums.expect(rows == len(started), f"{rows} rows in the outbox for {len(started)} answered starts")
    states = ground.states("redis")
    sums.expect(states.keys() <= {"accepted", "pending"}, f"without Redis mail does not only wait: {states}")
    sums.expect(states.get("pending", 0) > 0, "no mail waits, so this showed nothing")
    sums.detail["outbox_without_redis"] = states
    ground.drain(environment)
    sums.expect(_whose(mailbox) >= set(started), f"flask mail work sent {len(_whose(mailbox) & set(started))} of {len(started)}")


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


def _judge_load(load: Load, gone_at: float, back_at: float, sums: Sums) -> None:
    """What the load was answered, from the kill to the end: pages and starts as ever, no error, no wait."""
    sums.expect(not load.errors, f"not answered at all: {load.errors[:3]}")
    later = [(what, answer) for moment, what, answer in load.answers if moment >= gone_at]
    wrong = Counter((what, answer.status) for what, answer in later if answer.status not in {200, 303})
    sums.expect(not wrong, f"under load: {dict(wrong)}")
    without = [answer.seconds for moment, _what, answer in load.answers if gone_at <= moment < back_at]
    sums.expect(len(without) > 50, f"only {len(without)} answers without Redis, so this showed nothing")
    p95 = _p95(without)
    sums.expect(p95 < 1.5, f"p95 under load without Redis is {p95:.2f} s")
    sums.detail["load"] = {
        "answers_without_redis": len(without),
        "p95_s": p95,
        "most_s": round(max(without), 3),
        "answers": len(load.answers),
    }


def _judge_redis(ground: Ground, mailbox: Mailbox, load: Load, started: set[str], sums: Sums) -> None:
    soon(lambda: _whose(mailbox) >= started, 15)
    got = Counter(event["to"] for event in mailbox.events("taken") if event["to"] in started)
    lost = missing(ground, "redis", load.started, load.done)
    sums.expect(not lost, f"answered and not in the database: {lost[:5]}")
    unsent = started - got.keys()
    sums.lost = len(unsent) + len(lost)
    sums.duplicated = sum(number - 1 for number in got.values())
    soon(lambda: ground.states("redis").keys() == {"accepted"}, 10)  # the last answer may not be written down yet
    states = ground.states("redis")
    sums.uncertain = states.get("uncertain", 0) + states.get("submitting", 0)
    sums.expect(not unsent, f"{len(unsent)} of {len(started)} sign-in mails never came")
    sums.expect(not sums.duplicated, f"{sums.duplicated} came twice")
    sums.expect(states.keys() == {"accepted"}, f"the outbox says {states}")
    sums.detail |= {"mails": got.total(), "completed": len(load.done)}


# PostgreSQL


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
    lost = missing(ground, "gone", load.started, load.done)
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
