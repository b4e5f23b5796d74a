"""People buy while all goes wrong: webhooks come a hundred times, backwards, late, forged or never, Stripe fails, processes are killed."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from bench.drills.books_of_stripe import Ledger
from bench.drills.browser import Browser
from bench.drills.ground import DrillError, Ground, Sums, soon, wait_for
from bench.drills.mailbox import Mailbox
from bench.processes import PYTHON, family, free_port
from tests.fakes.stripe.steering import Steering

KEY, SECRET = "sk_test_drill", "whsec_of_the_fault_drills"
DAY = 86_400
ONCE, MONTHLY, RENEWALS = 100, 60, 2
BUYERS = 4  # at a time
KILLS = 3  # of each process
GIVING = ["checkout.session.completed", "customer.subscription.created", "invoice.paid"]
"""What may get lost without Stripe knowing. What is lost of the other kind is told by the comparison, and never mended by itself."""
BEFALLS: tuple[dict[str, Any], ...] = (
    {"copies": 100, "times": 1},
    {"copies": 5, "times": 3},
    {"drop": True, "times": 3},
    {"lose": True, "times": 2, "types": GIVING},
    {"signature": "wrong", "times": 2},
    {"signature": "none", "times": 1},
    {"signature": "garbled", "times": 1},
    {"shift": -1000, "times": 1},
    {"shift": 1000, "times": 1},
    {"livemode": True, "times": 1},
    {"api_version": "2020-08-27", "times": 3},
    {"delay": 1.5, "times": 5},
    {"hold": True, "times": 10},
)
FAULTS: tuple[dict[str, Any], ...] = (
    {"what": "500", "times": 2},
    {"what": "503", "times": 2},
    {"what": "429", "times": 3},
    {"what": "403", "times": 2},
    {"what": "drop", "times": 2},
    {"what": "drop", "times": 1, "after": True},
    {"what": "500", "times": 1, "after": True},
    {"what": "hang", "times": 1, "seconds": 12.0},
)


class Sale:
    """The shop, the fake Stripe beside it, and those who buy."""

    def __init__(self, ground: Ground, dice: random.Random) -> None:
        self.ground, self.dice = ground, dice
        self.kills: Counter[str] = Counter()
        self.turned_away: Counter[str] = Counter()
        self.over, self.calm = threading.Event(), threading.Event()
        self._moving = threading.Lock()
        ground.database("sold")
        self.port, at = free_port(), free_port()
        self.mailbox = Mailbox(ground, "sold", doors=1)
        stripe = {"STRIPE_SECRET_KEY": KEY, "STRIPE_URL": f"http://127.0.0.1:{at}", "STRIPE_WEBHOOK_SECRETS": SECRET}
        self.environment = ground.environment("sold", self.port, REDIS_URL=ground.start_redis(), **stripe)
        hook = f"http://127.0.0.1:{self.port}/billing/webhook={SECRET}"
        command = [PYTHON, "-m", "tests.fakes.stripe_server", "--port", str(at), "--key", KEY, "--hook", hook]
        ground.start("stripe", command, self.environment)
        self.url, self.steering = stripe["STRIPE_URL"], Steering(stripe["STRIPE_URL"])
        wait_for(lambda: _answers(self.steering), 30, "the fake Stripe")
        self.plans = json.loads(ground.run([PYTHON, "-m", "bench.drills.shop"], self.environment))
        self.starts: dict[str, Callable[[], subprocess.Popen[bytes]]] = {
            "web": lambda: ground.web("sold-web", self.environment),
            "worker": lambda: ground.celery_worker("sold-worker", self.environment),
        }
        self.running = {name: start() for name, start in self.starts.items()}

    def travel(self, seconds: float) -> None:
        """Move the application's clock."""
        with self._moving:
            self.ground.travel(seconds)

    # What goes wrong

    def befall(self) -> None:
        """Let the next events meet with everything, a few at a time, with undisturbed ones between them."""
        rules = [dict(rule) for rule in BEFALLS]
        self.dice.shuffle(rules)
        for rule in rules:
            self.steering.rule(**rule)
            self.steering.rule(times=self.dice.randrange(1, 6))

    def trouble(self) -> None:
        """Let calls of Stripe's API fail, and end processes, until it is over."""
        doomed = [*["web"] * KILLS, *["worker"] * KILLS]
        self.dice.shuffle(doomed)
        while not self.over.wait(0.5 + self.dice.random() * 2):
            if self.calm.is_set():
                continue
            self.steering.fail(path="/v1/", **self.dice.choice(FAULTS))
            if doomed and self.dice.random() < 0.3:
                self.kill(doomed.pop())
        for name in doomed:
            self.kill(name)

    def kill(self, name: str) -> None:
        """End a process and all below it, and start it again."""
        for pid in family(self.running[name].pid):
            os.kill(pid, signal.SIGKILL)
        self.running[name].wait(10)
        self.kills[name] += 1
        self.running[name] = self.starts[name]()

    def tick(self) -> None:
        """The timetable, hastened: what was put off comes due sooner."""
        while not self.over.wait(1.0):
            self.travel(15)
            self.ground.wake("billing.work_events")

    # Who buys

    def sell(self) -> None:
        """Everybody buys, some at a time."""
        wishes = [(number, "once") for number in range(ONCE)] + [(ONCE + number, "monthly") for number in range(MONTHLY)]
        self.dice.shuffle(wishes)
        turns, errors = iter(wishes), list[BaseException]()
        lock = threading.Lock()

        def queue() -> None:
            while True:
                with lock:
                    wish = next(turns, None)
                if wish is None or errors:
                    return
                try:
                    self.buy(*wish)
                except BaseException as error:
                    errors.append(error)

        threads = [threading.Thread(target=queue, daemon=True) for _ in range(BUYERS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.befall()
            for thread in threads:
                thread.join(2)
        if errors:
            raise DrillError(f"a buyer came to nothing: {errors[0]!r}")

    def buy(self, number: int, plan: str) -> None:
        """One guest buys, pressing again for as long as the shop or Stripe is away; every third never comes back to our page."""
        browser = Browser(self.port, f"10.77.{number // 250}.{number % 250 + 1}", patience=60)
        page = ""
        for _try in range(60):
            try:
                token = browser.get("/plans").token
                answer = browser.post(f"/plans/{self.plans[plan]}/checkout", csrf_token=token)
            except OSError:
                self.turned_away["line"] += 1
                time.sleep(0.5)
                continue
            page = answer.headers.get("location", "")
            if answer.status == 303 and page.startswith(self.url):
                break
            self.turned_away[str(answer.status)] += 1
            time.sleep(0.5)
        else:
            raise DrillError(f"buyer {number} never came to Stripe's page")
        session = urlsplit(page).path.rpartition("/")[2]
        self.steering.buy(session, email=address_of(number))
        if number % 3:
            with_patience = Browser(self.port, browser.network, patience=5)
            with_patience.cookies = browser.cookies
            self._come_back(with_patience, session)

    def _come_back(self, browser: Browser, session: str) -> None:
        """To the page that Stripe sends people to, which asks Stripe too; unless the web process was killed before it noted the session."""
        for (public_id,) in self.ground.rows("sold", "SELECT public_id FROM checkouts WHERE stripe_id = %s", session):
            try:
                browser.get(f"/checkouts/{public_id}")
            except OSError:
                self.turned_away["back"] += 1

    # Time

    def settle(self, patience: float = 60) -> None:
        """Wait until nothing is on its way and every event was worked."""
        ends = time.monotonic() + patience
        while time.monotonic() < ends:
            self.steering.settle(5)
            self.travel(60)
            self.ground.wake("billing.work_events")
            if not self.open_events():
                return
            time.sleep(0.5)
        rows = self.ground.rows("sold", "SELECT type, attempts, problem FROM stripe_events WHERE processed_at IS NULL LIMIT 5")
        raise DrillError(f"{self.open_events()} events are not worked after {patience} s: {rows}")

    def night(self) -> dict[str, Any]:
        """Stripe is well, what was held comes, what was missed is asked for, all is compared; what was mended, and what is left."""
        self.calm.set()
        self.steering.heal()
        self.deliver_again()
        self.settle()
        self.ground.wake("billing.find_missed")
        time.sleep(3)
        self.settle()
        found = {name: self._compared(*words) for name, words in (("mended", ["--fix"]), ("left", []))}
        self.mail()
        self.calm.clear()
        return found

    def _compared(self, *words: str) -> dict[str, int]:
        """How many of which kind `flask billing reconcile` finds; ended with 1 it has printed them all the same."""
        command = [PYTHON, "-m", "flask", "--app", "courseapp", "billing", "reconcile", "--json", *words]
        ended = subprocess.run(
            command, env=self.environment, cwd=self.ground.folder, capture_output=True, text=True, check=False, timeout=90
        )
        self.settle()
        if not ended.stdout.startswith("{"):
            raise DrillError(f"{' '.join(command[3:])}: {ended.stdout}{ended.stderr[-1500:]}")
        return dict(Counter(str(finding["kind"]) for finding in json.loads(ended.stdout)["findings"]))

    def open_events(self) -> int:
        """Events that are not worked yet."""
        return int(self.ground.rows("sold", "SELECT count(*) FROM stripe_events WHERE processed_at IS NULL")[0][0])

    def mail(self) -> None:
        """Send what is in the outbox; while people bought there was no mail server, so no kill is in the middle of a mail."""
        self.ground.drain({**self.environment, "SMTP_URL": self.mailbox.url()})

    def month(self) -> None:
        """Let a month go by, with everything going wrong for the news of it; what was held comes backwards."""
        self.befall()
        self.steering.pass_time(days=31)
        self.travel(31 * DAY)
        self.deliver_again()

    def deliver_again(self) -> None:
        """What was kept back comes backwards and doubled; some of what came before comes once more, in any order."""
        self.steering.deliver(order="reversed", copies=2, at_once=True)
        before = sorted({letter["event"] for letter in self.steering.letters() if letter["state"] == "delivered"})
        self.steering.deliver(self.dice.sample(before, min(40, len(before))), order="shuffled", copies=2, at_once=True)


def address_of(number: int) -> str:
    """Where a buyer gets mail."""
    return f"buyer{number}@example.org"


def stripe_webhooks(ground: Ground, dice: random.Random) -> Sums:
    """160 people buy, 60 of them for two months more. In the end Stripe is well, what was missed is asked for, all is compared."""
    sums = Sums()
    sale = Sale(ground, dice)
    threads = [threading.Thread(target=act, daemon=True) for act in (sale.trouble, sale.tick)]
    for thread in threads:
        thread.start()
    try:
        ledger, wishes, nights, took = _all_goes_wrong(sale, dice)
    finally:
        sale.over.set()
        for thread in threads:
            thread.join(60)
    sums.expect(not any(night["left"] for night in nights), f"comparing left something: {[night['left'] for night in nights]}")
    ledger.hold_against(ground, sale.mailbox, sums)
    states = Counter(letter["state"] for letter in sale.steering.letters())
    answers = Counter(answer for letter in sale.steering.letters() for answer in letter["answers"])
    sums.expect(answers[400] > 0, "no forged webhook was ever refused")
    sums.expect(set(sale.kills) == {"web", "worker"}, f"killed only {dict(sale.kills)}")
    sums.detail |= {"seconds_until": took, "kills": dict(sale.kills), "events": dict(states), "nights": nights, **wishes}
    sums.detail["webhook_answers"] = {str(status): count for status, count in answers.items()}
    sums.detail["buyers_turned_away"] = dict(sale.turned_away)
    return sums


def _all_goes_wrong(sale: Sale, dice: random.Random) -> tuple[Ledger, dict[str, int], list[dict[str, Any]], dict[str, float]]:
    """Everybody buys, much happens to what they bought, two months go by; each ends with a night in which all is well and compared.

    Returns Stripe's books, what happened, what each night found, and after how many seconds.
    """
    began, took = time.monotonic(), dict[str, float]()
    ledger = Ledger(sale.url, KEY)
    sale.sell()
    sale.deliver_again()
    wishes = ledger.let_things_happen(dice, sale.steering)
    took["sold"] = round(time.monotonic() - began, 1)
    nights = [sale.night()]
    for number in range(RENEWALS):
        sale.month()
        soon(lambda: not sale.open_events(), 10)
        nights.append(sale.night())
        took[f"month {number + 1}"] = round(time.monotonic() - began, 1)
    return ledger, wishes, nights, took


def _answers(steering: Steering) -> bool:
    try:
        return bool(steering.now())
    except OSError:
        return False
